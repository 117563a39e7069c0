// SPDX-License-Identifier: GPL-2.0
/*
 * A process that is moved to another machine while it counts on its clocks.
 *
 *   traveller REPORT
 *
 * It looks at CLOCK_MONOTONIC and CLOCK_BOOTTIME all the time, and waits for four moments, each in
 * another way. After the last of them it writes to REPORT:
 *
 *   start MONOTONIC BOOTTIME REALTIME           when it began
 *   left MONOTONIC BOOTTIME REALTIME            the last look before the longest gap,
 *   arrived MONOTONIC BOOTTIME REALTIME         and the first after it
 *   back COUNT                                  how often a clock was seen to step back
 *   again COUNT                                 how often a moment came that had come before
 *   fired NAME CLOCK DUE NOW                    for each moment, in the clock it was set in
 */
#define _GNU_SOURCE
#include <errno.h>
#include <error.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC	1000000000LL
/* From the start to the first moment, and from each to the next. */
#define FIRST		(35 * NSEC_PER_SEC)
#define NEXT		(1 * NSEC_PER_SEC)

enum way { TIMERFD, POSIX_TIMER, NANOSLEEP, FUTEX, NR_WAYS };

static struct moment {
	const char *name;
	clockid_t clock;
	long long due;
	_Atomic long long fired;
} moments[NR_WAYS] = {
	[TIMERFD]	= { "timerfd",		CLOCK_MONOTONIC },
	[POSIX_TIMER]	= { "POSIX-timer",	CLOCK_BOOTTIME },
	[NANOSLEEP]	= { "clock_nanosleep",	CLOCK_BOOTTIME },
	[FUTEX]		= { "futex",		CLOCK_MONOTONIC },
};

static _Atomic unsigned int again;

struct look {
	long long monotonic;
	long long boottime;
	long long realtime;
};

static long long now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static struct look look(void)
{
	return (struct look){ now(CLOCK_MONOTONIC), now(CLOCK_BOOTTIME), now(CLOCK_REALTIME) };
}

static struct timespec due(enum way way)
{
	return (struct timespec){ moments[way].due / NSEC_PER_SEC, moments[way].due % NSEC_PER_SEC };
}

static void fire(enum way way)
{
	again += moments[way].fired != 0;
	moments[way].fired = now(moments[way].clock);
}

static void on_signal(int signal)
{
	(void)signal;
	fire(POSIX_TIMER);
}

static void *sleeper(void *unused)
{
	struct timespec until = due(NANOSLEEP);

	while (clock_nanosleep(moments[NANOSLEEP].clock, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	fire(NANOSLEEP);
	return unused;
}

static void *waiter(void *unused)
{
	struct timespec until = due(FUTEX);
	unsigned int word = 0;

	/* FUTEX_WAIT_BITSET takes an absolute time, of CLOCK_MONOTONIC. */
	while (syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL,
		       FUTEX_BITSET_MATCH_ANY) && errno == EINTR)
		;
	fire(FUTEX);
	return unused;
}

static void start_thread(void *(*run)(void *))
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, run, NULL);

	if (err)
		error(1, err, "pthread_create");
}

static int arm(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec at = { .it_value = due(TIMERFD) };
	timer_t timer;
	sigset_t set;
	int fd;

	fd = timerfd_create(moments[TIMERFD].clock, TFD_NONBLOCK | TFD_CLOEXEC);
	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL))
		error(1, errno, "timerfd");
	signal(SIGUSR1, on_signal);
	at.it_value = due(POSIX_TIMER);
	if (timer_create(moments[POSIX_TIMER].clock, &event, &timer) ||
	    timer_settime(timer, TIMER_ABSTIME, &at, NULL))
		error(1, errno, "timer_settime");
	/* The signal is the main thread's. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	start_thread(sleeper);
	start_thread(waiter);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return fd;
}

static void print_look(FILE *file, const char *name, const struct look *look)
{
	fprintf(file, "%s %.9f %.9f %.9f\n", name, look->monotonic / 1e9, look->boottime / 1e9,
		look->realtime / 1e9);
}

int main(int argc, char **argv)
{
	struct look start, last, left, arrived, current;
	unsigned long long expirations;
	struct pollfd poll_fd = { .events = POLLIN };
	struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int back = 0;
	bool waiting = true;
	FILE *file;
	int i;

	if (argc != 2)
		error(1, 0, "usage: traveller REPORT");
	start = look();
	for (i = 0; i < NR_WAYS; i++)
		moments[i].due = now(moments[i].clock) + FIRST + i * NEXT;
	poll_fd.fd = arm();
	last = left = arrived = start;
	while (waiting) {
		if (ppoll(&poll_fd, 1, &tick, NULL) > 0 &&
		    read(poll_fd.fd, &expirations, sizeof(expirations)) == sizeof(expirations))
			fire(TIMERFD);
		current = look();
		back += current.monotonic < last.monotonic || current.boottime < last.boottime;
		if (current.monotonic - last.monotonic > arrived.monotonic - left.monotonic) {
			left = last;
			arrived = current;
		}
		last = current;
		waiting = false;
		for (i = 0; i < NR_WAYS; i++)
			waiting |= !moments[i].fired;
	}
	file = fopen(argv[1], "w");
	if (!file)
		error(1, errno, "%s", argv[1]);
	print_look(file, "start", &start);
	print_look(file, "left", &left);
	print_look(file, "arrived", &arrived);
	fprintf(file, "back %u\nagain %u\n", back, again);
	for (i = 0; i < NR_WAYS; i++)
		fprintf(file, "fired %s %s %.9f %.9f\n", moments[i].name,
			moments[i].clock == CLOCK_MONOTONIC ? "MONOTONIC" : "BOOTTIME",
			moments[i].due / 1e9, moments[i].fired / 1e9);
	if (fclose(file))
		error(1, errno, "%s", argv[1]);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * The process that CRIU moves to another guest: it depends on its clocks.
 *
 *   workload REPORT
 *
 * Reads CLOCK_MONOTONIC and CLOCK_BOOTTIME all the time, and waits for four timeouts in different
 * ways. After the last of them it writes to REPORT:
 *
 *   start MONOTONIC BOOTTIME REALTIME           when it started
 *   dumped MONOTONIC BOOTTIME REALTIME          the last reading before the longest gap,
 *   restored MONOTONIC BOOTTIME REALTIME        and the first one after it
 *   backward COUNT                              how often a clock went backward
 *   repeated COUNT                              how often a timeout expired that had expired before
 *   expired NAME CLOCK DUE NOW                  for each timeout, on the clock that it was set on
 */
#include "timens.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/timerfd.h>

/* From the start to the first timeout, and from each to the next. */
#define FIRST		(35 * NSEC_PER_SEC)
#define NEXT		(1 * NSEC_PER_SEC)

enum method { TIMERFD, POSIX_TIMER, NANOSLEEP, FUTEX, NR_METHODS };

static struct timeout {
	const char *name;
	clockid_t clock;
	long long due;
	_Atomic long long expired;
} timeouts[NR_METHODS] = {
	[TIMERFD]	= { "timerfd",		CLOCK_MONOTONIC },
	[POSIX_TIMER]	= { "POSIX-timer",	CLOCK_BOOTTIME },
	[NANOSLEEP]	= { "clock_nanosleep",	CLOCK_BOOTTIME },
	[FUTEX]		= { "futex",		CLOCK_MONOTONIC },
};

static _Atomic unsigned int repeated;

struct reading {
	long long monotonic;
	long long boottime;
	long long realtime;
};

static long long now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return to_ns(&ts);
}

static struct reading read_clocks(void)
{
	return (struct reading){ now(CLOCK_MONOTONIC), now(CLOCK_BOOTTIME), now(CLOCK_REALTIME) };
}

static struct timespec due(enum method method)
{
	const long long due = timeouts[method].due;

	return (struct timespec){ due / NSEC_PER_SEC, due % NSEC_PER_SEC };
}

static void expire(enum method method)
{
	repeated += timeouts[method].expired != 0;
	timeouts[method].expired = now(timeouts[method].clock);
}

static void on_signal(int signal)
{
	(void)signal;
	expire(POSIX_TIMER);
}

static void *sleep_thread(void *unused)
{
	struct timespec until = due(NANOSLEEP);

	while (clock_nanosleep(timeouts[NANOSLEEP].clock, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	expire(NANOSLEEP);
	return unused;
}

static void *futex_thread(void *unused)
{
	struct timespec until = due(FUTEX);
	unsigned int word = 0;

	/* FUTEX_WAIT_BITSET takes an absolute time, of CLOCK_MONOTONIC. */
	while (syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL,
		       FUTEX_BITSET_MATCH_ANY) && errno == EINTR)
		;
	expire(FUTEX);
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

	fd = timerfd_create(timeouts[TIMERFD].clock, TFD_NONBLOCK | TFD_CLOEXEC);
	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL))
		error(1, errno, "timerfd");
	signal(SIGUSR1, on_signal);
	at.it_value = due(POSIX_TIMER);
	if (timer_create(timeouts[POSIX_TIMER].clock, &event, &timer) ||
	    timer_settime(timer, TIMER_ABSTIME, &at, NULL))
		error(1, errno, "timer_settime");
	/* Only the main thread gets the signal. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	start_thread(sleep_thread);
	start_thread(futex_thread);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return fd;
}

static void print_reading(FILE *file, const char *name, const struct reading *reading)
{
	fprintf(file, "%s %.9f %.9f %.9f\n", name, reading->monotonic / 1e9, reading->boottime / 1e9,
		reading->realtime / 1e9);
}

int main(int argc, char **argv)
{
	struct reading start, last, dumped, restored, current;
	unsigned long long count;
	struct pollfd poll_fd = { .events = POLLIN };
	struct timespec tick = { .tv_nsec = 10000000 };
	unsigned int backward = 0;
	bool waiting = true;
	FILE *file;
	int i;

	if (argc != 2)
		error(1, 0, "usage: workload REPORT");
	start = read_clocks();
	for (i = 0; i < NR_METHODS; i++)
		timeouts[i].due = now(timeouts[i].clock) + FIRST + i * NEXT;
	poll_fd.fd = arm();
	last = dumped = restored = start;
	while (waiting) {
		if (ppoll(&poll_fd, 1, &tick, NULL) > 0 &&
		    read(poll_fd.fd, &count, sizeof(count)) == sizeof(count))
			expire(TIMERFD);
		current = read_clocks();
		backward += current.monotonic < last.monotonic || current.boottime < last.boottime;
		if (current.monotonic - last.monotonic > restored.monotonic - dumped.monotonic) {
			dumped = last;
			restored = current;
		}
		last = current;
		waiting = false;
		for (i = 0; i < NR_METHODS; i++)
			waiting |= !timeouts[i].expired;
	}
	file = fopen(argv[1], "w");
	if (!file)
		error(1, errno, "%s", argv[1]);
	print_reading(file, "start", &start);
	print_reading(file, "dumped", &dumped);
	print_reading(file, "restored", &restored);
	fprintf(file, "backward %u\nrepeated %u\n", backward, repeated);
	for (i = 0; i < NR_METHODS; i++)
		fprintf(file, "expired %s %s %.9f %.9f\n", timeouts[i].name,
			timeouts[i].clock == CLOCK_MONOTONIC ? "MONOTONIC" : "BOOTTIME",
			timeouts[i].due / 1e9, timeouts[i].expired / 1e9);
	if (fclose(file))
		error(1, errno, "%s", argv[1]);
	return 0;
}

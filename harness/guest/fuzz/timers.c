// SPDX-License-Identifier: GPL-2.0
/* Operations that wait for a time. */
#include "fuzz.h"

#include <linux/futex.h>
#include <sys/timerfd.h>

enum due { DUE_PAST, DUE_SOON, DUE_LATER, DUE_FIRST, DUE_LAST, DUE_BEYOND, DUE_NEVER, DUE_WRONG,
	   DUE_NEGATIVE, NR_DUE };

static const char *const due_names[NR_DUE] = {
	"past", "soon", "later", "first", "last", "beyond", "never", "wrong", "negative",
};

/* An absolute time on a clock, in the caller's namespace. */
static enum due draw_expiry(uint64_t *random, clockid_t clock, struct timespec *time)
{
	enum due due = draw(random, 2) ? draw(random, DUE_LATER + 1) : draw(random, NR_DUE);
	int64_t now = read_clock(clock_gettime, clock), at = 1;

	*time = (struct timespec){};
	switch (due) {
	case DUE_PAST:
		at = now > NSEC_PER_SEC ? now - NSEC_PER_SEC : 1;
		break;
	case DUE_SOON:
		at = now + NSEC_PER_MSEC;
		break;
	case DUE_LATER:
		at = now + 3600 * NSEC_PER_SEC;
		break;
	case DUE_FIRST:
		break;
	case DUE_LAST:
		at = KTIME_SEC_MAX * NSEC_PER_SEC - 1;
		break;
	case DUE_BEYOND:
		time->tv_sec = INT64_MAX;
		return due;
	case DUE_NEVER:
		return due;
	case DUE_WRONG:
		time->tv_nsec = NSEC_PER_SEC;
		return due;
	case DUE_NEGATIVE:
		time->tv_sec = -1;
		return due;
	case NR_DUE:
		break;
	}
	time->tv_sec = at / NSEC_PER_SEC;
	time->tv_nsec = at % NSEC_PER_SEC;
	return due;
}

static void print_due(clockid_t clock, const struct timespec *time)
{
	int64_t now = read_clock(clock_gettime, clock);

	print(now >= time->tv_sec * NSEC_PER_SEC + time->tv_nsec ? " due" : " EARLY");
}

static void print_left(const struct timespec *left)
{
	print(!left->tv_sec && !left->tv_nsec ? " off" :
	      left->tv_sec < 3500 ? " near" : left->tv_sec <= 3600 ? " an hour" : " far");
}

void do_timer(uint64_t *random)
{
	clockid_t clock = PICK(random, CLOCK_MONOTONIC, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
			       CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_REALTIME);
	struct itimerspec spec = {};
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	bool descriptor = draw(random, 2);
	enum due due = draw_expiry(random, clock, &spec.it_value);
	uint64_t count = 0;
	int fd = -1, timer;

	print(" %s clock %d %s", descriptor ? "fd" : "posix", clock, due_names[due]);
	if (descriptor)
		fd = timerfd_create(clock, TFD_CLOEXEC);
	if (descriptor ? fd < 0 : syscall(SYS_timer_create, clock, &event, &timer)) {
		print_result(-1);
		return;
	}
	if (!print_result(descriptor ? timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL) :
			  syscall(SYS_timer_settime, timer, TIMER_ABSTIME, &spec, NULL))) {
		bool soon = due == DUE_PAST || due == DUE_SOON || due == DUE_FIRST;
		struct itimerspec left = {};
		int i;

		if (soon && descriptor) {
			if (wait_readable(fd) || read(fd, &count, sizeof(count)) < 0)
				print(" LATE");
			print(" count %" PRIu64, count);
			print_due(clock, &spec.it_value);
		}
		for (i = 0; i < 5000; i++) {
			if (descriptor)
				timerfd_gettime(fd, &left);
			else
				syscall(SYS_timer_gettime, timer, &left);
			if (!soon || (!left.it_value.tv_sec && !left.it_value.tv_nsec))
				break;
			short_sleep();
		}
		print_left(&left.it_value);
		if (soon)
			print_due(clock, &spec.it_value);
	}
	if (descriptor)
		close(fd);
	else
		syscall(SYS_timer_delete, timer);
}

static void ignore_signal(int number)
{
	(void)number;
}

/*
 * Sends a signal to the caller's thread soon, and repeatedly: it must also interrupt a sleep that
 * begins late.
 */
static int start_interrupts(timer_t *timer)
{
	const struct itimerspec soon = {
		.it_value.tv_nsec = 2 * NSEC_PER_MSEC,
		.it_interval.tv_nsec = 50 * NSEC_PER_MSEC,
	};
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };

	event._sigev_un._tid = syscall(SYS_gettid);
	/* Here, because an exec resets the handler. */
	if (sigaction(SIGALRM, &(struct sigaction){ .sa_handler = ignore_signal }, NULL) ||
	    timer_create(CLOCK_MONOTONIC, &event, timer))
		return -1;
	return timer_settime(*timer, 0, &soon, NULL);
}

void do_sleep(uint64_t *random)
{
	clockid_t clock = PICK(random, CLOCK_MONOTONIC, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
			       CLOCK_REALTIME);
	bool futex = !draw(random, 3);
	struct timespec time;
	enum due due;
	timer_t timer;
	int word = 0;
	bool forever;

	if (futex)
		clock = CLOCK_MONOTONIC;
	due = draw_expiry(random, clock, &time);
	print(" %s clock %d %s", futex ? "futex" : "nanosleep", clock, due_names[due]);
	forever = due == DUE_LATER || due == DUE_LAST || due == DUE_BEYOND;
	if (forever && start_interrupts(&timer)) {
		print(" timer");
		print_result(-1);
		return;
	}
	if (futex)
		print_result(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, &time,
				     NULL, FUTEX_BITSET_MATCH_ANY));
	else
		print_result(syscall(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &time, NULL));
	if (forever)
		timer_delete(timer);
	if (due == DUE_PAST || due == DUE_SOON || due == DUE_FIRST)
		print_due(clock, &time);
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests in which tasks on several CPUs race for a time namespace:
 * the number of rounds, the CPUs, meetings, offsets that identify the write they
 * come from, and clocks that are read before and after a join.
 */
#ifndef __TIMENS_RACE_H__
#define __TIMENS_RACE_H__

#include "timens_vdso.h"

#define MAX_ROUNDS	10000000
#define ROUND_SECONDS	30	/* a round that takes longer hangs */
#define MAX_REPORTS	20	/* later failures are only counted */
#define MAX_TASKS	4

/* Consecutive writes differ by more than a round takes. */
#define WRITE_STEP	(2 * ROUND_SECONDS)
#define FIRST_MONOTONIC	1000000
#define FIRST_BOOTTIME	2000000

/* Returns the number of CPUs, and sets the number of rounds from the environment. */
static inline int cpus_for_race(struct __test_metadata *_metadata, const char *variable,
				unsigned int *rounds)
{
	const char *text = getenv(variable);
	unsigned long number;
	cpu_set_t set;
	char *end;

	if (!timens_supported(_metadata))
		return 0;
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(set), &set));
	if (CPU_COUNT(&set) < 2)
		SKIP(return 0, "a race needs two CPUs");
	if (text) {
		number = strtoul(text, &end, 10);
		ASSERT_TRUE(*text && !*end && number && number <= MAX_ROUNDS)
			TH_LOG("%s='%s': set it to a number from 1 to %d", variable, text,
			       MAX_ROUNDS);
		*rounds = number;
	}
	return CPU_COUNT(&set);
}

/* The same, but at most one CPU for each of MAX_TASKS tasks */
static inline int tasks_for_race(struct __test_metadata *_metadata, const char *variable,
				 unsigned int *rounds)
{
	int cpus = cpus_for_race(_metadata, variable, rounds);

	return cpus < MAX_TASKS ? cpus : MAX_TASKS;
}

static inline int pin_to_cpu_of(const cpu_set_t *cpus, int nth)
{
	cpu_set_t set;
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, cpus) && !nth--)
			break;
	}
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static inline int pin_to_cpu(int nth)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -1;
	return pin_to_cpu_of(&set, nth);
}

/*
 * Waits until @arrived has reached @all. Spinning lets all tasks leave within a
 * few nanoseconds. After @spins iterations the task gives its CPU to others.
 */
static inline void meet(unsigned int *arrived, unsigned int all, unsigned int spins)
{
	__atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL);
	while ((int)(__atomic_load_n(arrived, __ATOMIC_ACQUIRE) - all) < 0) {
		if (spins)
			spins--;
		else
			usleep(100);
	}
}

/* A time namespace doesn't shift this clock. */
static inline __s64 wall_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return to_ns(0, ts.tv_sec, ts.tv_nsec);
}

static inline unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* Each part of the offsets determines the other parts. */
static inline struct time_offsets offsets_of_write(unsigned int write)
{
	const long long nsec = 500000000 + write;

	return (struct time_offsets) {
		{ FIRST_MONOTONIC + (long long)write * WRITE_STEP, nsec },
		{ FIRST_BOOTTIME + (long long)write * WRITE_STEP, nsec },
	};
}

/* Sets the number of the write that @text shows, unless it mixes several. */
static inline bool find_write_of_text(const char *text, unsigned int *write)
{
	struct time_offsets offsets;
	char expected[256];
	long long sec;

	if (sscanf(text, "monotonic %lld", &sec) != 1 || sec < FIRST_MONOTONIC)
		return false;
	*write = (sec - FIRST_MONOTONIC) / WRITE_STEP;
	offsets = offsets_of_write(*write);
	snprintf(expected, sizeof(expected), "%-10s %10lld %9lld\n%-10s %10lld %9lld\n",
		 "monotonic", offsets.monotonic.sec, offsets.monotonic.nsec,
		 "boottime", offsets.boottime.sec, offsets.boottime.nsec);
	return !strcmp(text, expected);
}

/* The clocks of a task that joins: on the host before, in the namespace after */
struct clocks { struct stamp host, vdso, syscall; };

static inline void read_host_clocks(struct clocks *clocks)
{
	clocks->host = stamp_by_syscall();
}

/* The C library reads these clocks through the vDSO. */
static inline void read_joined_clocks(struct clocks *clocks)
{
	struct timespec ts;
	unsigned int i;
	int ret;

	for (i = 0; i < NR_SHIFTED; i++) {
		ret = clock_gettime(shifted_clocks[i].id, &ts);
		clocks->vdso.ns[i] = to_ns(ret, ts.tv_sec, ts.tv_nsec);
	}
	clocks->syscall = stamp_by_syscall();
}

/* Whether a clock has advanced by no more than a round takes */
static inline bool in_round(__s64 elapsed)
{
	return elapsed >= 0 && elapsed < ROUND_SECONDS * NSEC_PER_SEC;
}

static inline bool clock_fits(__s64 value, __s64 host, __s64 offset)
{
	return value != BAD_READ && in_round(value - host - offset);
}

static inline bool clocks_fit(const struct clocks *clocks, const struct time_offsets *offsets)
{
	unsigned int i;

	for (i = 0; i < NR_SHIFTED; i++) {
		__s64 offset = offset_of_clock(offsets, shifted_clocks[i].id);

		if (!clock_fits(clocks->vdso.ns[i], clocks->host.ns[i], offset) ||
		    !clock_fits(clocks->syscall.ns[i], clocks->host.ns[i], offset))
			return false;
	}
	return true;
}

/* Clocks that were read, and those that were zero, lacked the offset, or else were wrong */
struct clock_counts { unsigned long reads, zero, no_offset, wrong; };

static inline unsigned long clock_failures(const struct clock_counts *counts)
{
	return counts->zero + counts->no_offset + counts->wrong;
}

/* Counts a clock that was read after the join, and returns whether it has its offset. */
static inline bool count_clock(struct clock_counts *counts, __s64 value, __s64 host,
			       __s64 offset)
{
	counts->reads++;
	if (clock_fits(value, host, offset))
		return true;
	if (!value)
		counts->zero++;
	else if (clock_fits(value, host, 0))
		counts->no_offset++;
	else
		counts->wrong++;
	return false;
}

#endif

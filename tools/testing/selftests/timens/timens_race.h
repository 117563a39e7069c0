/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests share that let tasks on several CPUs race.
 */
#ifndef __TIMENS_RACE_H__
#define __TIMENS_RACE_H__

#include "timens_vdso.h"

#define MAX_ROUNDS	10000000
#define ROUND_SECONDS	30	/* a round that takes longer hangs */
#define MAX_REPORTS	20	/* other failures are only counted */

/* Returns how many CPUs there are, and how many rounds the environment asks for. */
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

/* Time namespaces leave this clock alone. */
static inline __s64 wall_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return to_ns(0, ts.tv_sec, ts.tv_nsec);
}

#endif

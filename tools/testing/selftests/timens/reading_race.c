// SPDX-License-Identifier: GPL-2.0
/*
 * Threads read clocks in a time namespace while the vDSO's data pages are
 * dropped and faulted in again.
 *
 * One thread for each CPU, up to four, reads all clocks through the vDSO, those
 * without an offset too, in many rounds. In most rounds each thread first drops
 * both pages, or one of them, under the other threads. Every value must lie
 * between the values of two system calls before and after it.
 *
 * TIMENS_READING_RACE_ROUNDS in the environment sets the number of rounds.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "timens_race.h"

#define DEFAULT_ROUNDS	1000

/* Shared by the threads: the rounds of each, pages dropped, values out of bounds */
struct readers {
	void *gettime64, *gettimeofday, *time;
	struct mapping vvar;
	bool aux;
	unsigned int rounds, dropped, failures;
};

/* No namespace shifts these clocks. */
static const clockid_t other_clocks[] = { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI };

/* The shifted clocks come first, then the other clocks, then these reads. */
enum {
	READ_AUX = NR_SHIFTED + ARRAY_SIZE(other_clocks),
	READ_TIMEOFDAY,
	READ_TIME,
	NR_READ,
};

static bool between_syscalls(struct readers *readers, clockid_t id)
{
	__s64 before = read_syscall(id);
	__s64 value = read_time64(readers->gettime64, id);

	return value >= before && value <= read_syscall(id);
}

static bool timeofday_between_syscalls(struct readers *readers)
{
	int (*gettimeofday)(struct __kernel_old_timeval *tv, void *tz) = readers->gettimeofday;
	struct __kernel_old_timeval tv = { .tv_usec = -1 };
	__s64 before = read_syscall(CLOCK_REALTIME), value;
	int ret = VDSO_CALL(gettimeofday, 2, &tv, NULL);

	value = to_ns(ret, tv.tv_sec, tv.tv_usec * 1000);
	/* The kernel truncates to microseconds. */
	return value >= before / 1000 * 1000 && value <= read_syscall(CLOCK_REALTIME);
}

static bool time_between_syscalls(struct readers *readers)
{
	__kernel_old_time_t (*time)(__kernel_old_time_t *t) = readers->time;
	__s64 before = read_syscall(CLOCK_REALTIME_COARSE);
	__s64 value = VDSO_CALL(time, 1, NULL) * NSEC_PER_SEC;

	return value >= before / NSEC_PER_SEC * NSEC_PER_SEC &&
	       value <= read_syscall(CLOCK_REALTIME_COARSE);
}

static bool read_is_right(struct readers *readers, unsigned int n)
{
	switch (n) {
	case READ_AUX:
		return !readers->aux || between_syscalls(readers, CLOCK_AUX_LAST);
	case READ_TIMEOFDAY:
		return timeofday_between_syscalls(readers);
	case READ_TIME:
		return !readers->time || time_between_syscalls(readers);
	default:
		return between_syscalls(readers, n < NR_SHIFTED ? shifted_clocks[n].id :
						 other_clocks[n - NR_SHIFTED]);
	}
}

static void *reader(void *data)
{
	struct readers *readers = data;
	unsigned int round, i;

	for (round = 0; round < readers->rounds; round++) {
		/* None, the first page, the second page, or both */
		if (round % 4 && !madvise((void *)readers->vvar.start +
					  (round % 4 == 2) * getpagesize(),
					  round % 4 == 3 ? readers->vvar.size : getpagesize(),
					  MADV_DONTNEED))
			__atomic_add_fetch(&readers->dropped, 1, __ATOMIC_RELAXED);
		for (i = 0; i < NR_READ; i++) {
			if (!read_is_right(readers, (round + i) % NR_READ))
				__atomic_add_fetch(&readers->failures, 1, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

FIXTURE(reading_race) {
	struct readers readers;
	int nr_threads;
	bool disable_aux;
};

FIXTURE_SETUP(reading_race)
{
	const struct time_offsets offsets = offsets_of_write(1);
	int fd;

	self->readers.rounds = DEFAULT_ROUNDS;
	self->nr_threads = tasks_for_race(_metadata, "TIMENS_READING_RACE_ROUNDS",
					  &self->readers.rounds);
	if (!self->nr_threads || !vdso_found(_metadata))
		return;
	self->readers.gettime64 = vdso_function(CLOCK_GETTIME64);
	self->readers.gettimeofday = vdso_function(GETTIMEOFDAY);
	self->readers.time = vdso_function(TIME);
	if (!self->readers.gettime64 || !self->readers.gettimeofday ||
	    !find_mapping("[vvar]", &self->readers.vvar))
		SKIP(return, "the vDSO lacks a function, or has no mapping [vvar]");
	fd = create_timens(&offsets);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
	self->disable_aux = enable_aux_clock(true) == 0;
	self->readers.aux = read_syscall(CLOCK_AUX_LAST) != BAD_READ;
	TH_LOG("%s auxiliary clock, %s time()", self->readers.aux ? "an" : "no",
	       self->readers.time ? "with" : "without");
}

FIXTURE_TEARDOWN(reading_race)
{
	if (self->disable_aux)
		EXPECT_EQ(1, enable_aux_clock(false));
}

TEST_F_TIMEOUT(reading_race, clocks_are_right_while_pages_are_dropped, INT_MAX / 1000)
{
	pthread_t threads[MAX_TASKS];
	int i;

	for (i = 0; i < self->nr_threads; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, reader, &self->readers));
	for (i = 0; i < self->nr_threads; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	TH_LOG("all reads: %u wrong otherwise", self->readers.failures);
	TH_LOG("RACE rounds %u overlaps %u failures %u", self->readers.rounds,
	       self->readers.dropped, self->readers.failures);
	EXPECT_LT(0, self->readers.dropped);
	EXPECT_EQ(0, self->readers.failures);
}

TEST_HARNESS_MAIN

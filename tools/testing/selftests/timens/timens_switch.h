/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests that switch between time namespaces.
 *
 * The tests build a chain of clock values, in the order in which they were read:
 * through the vDSO or by system call, in one task or another one, in any
 * namespace. With the offsets subtracted, the values must never decrease. A vDSO
 * read lies between two system calls, so a missing, stale or doubled offset
 * breaks the chain in one direction or the other.
 */
#ifndef __TIMENS_SWITCH_H__
#define __TIMENS_SWITCH_H__

#include "timens_vdso.h"

enum { HOST, ZERO, ZERO_TOO, AHEAD, AHEAD_TOO, BEHIND, NR_NS };

static const struct {
	const char *name;
	struct time_offsets offsets;
} namespaces[NR_NS] = {
	[HOST]		= { "host" },
	[ZERO]		= { "zero" },
	[ZERO_TOO]	= { "zero, too" },
	[AHEAD]		= { "ahead", { { 10 * DAY, 500000000 }, { 20 * DAY, 1 } } },
	[AHEAD_TOO]	= { "ahead, too", { { 10 * DAY, 500000000 }, { 20 * DAY, 1 } } },
	/* Less than a second, so that it is valid right after boot */
	[BEHIND]	= { "behind", { { -1, 500000000 }, { -1, 600000000 } } },
};

/* The reads of a task after a switch, in this order */
struct reads { struct stamp vdso, syscall; };

struct switcher {
	int fds[NR_NS];
	void *gettime64;
	struct stamp last;	/* end of the chain */
};

/* Reads the given clock first: the first read after a switch faults pages in. */
static inline struct stamp stamp_by_vdso(void *gettime64, unsigned int first)
{
	struct stamp stamp;
	unsigned int i, n;

	for (i = 0; i < NR_SHIFTED; i++) {
		n = (first + i) % NR_SHIFTED;
		stamp.ns[n] = read_time64(gettime64, shifted_clocks[n].id);
	}
	return stamp;
}

static inline struct reads read_both(void *gettime64, unsigned int first)
{
	struct reads reads;

	reads.vdso = stamp_by_vdso(gettime64, first);
	reads.syscall = stamp_by_syscall();
	return reads;
}

/* Adds a stamp that was taken in @ns to the chain that ends in @last. */
static inline void chain(struct __test_metadata *_metadata, struct stamp *last,
			 const struct stamp *stamp, int ns, const char *when)
{
	unsigned int i;

	for (i = 0; i < NR_SHIFTED; i++) {
		__s64 value = stamp->ns[i];

		EXPECT_NE(BAD_READ, value)
			TH_LOG("%s in '%s' can't be read %s",
			       shifted_clocks[i].name, namespaces[ns].name, when);
		if (value == BAD_READ)
			continue;
		value -= offset_of_clock(&namespaces[ns].offsets,
					 shifted_clocks[i].id);
		EXPECT_LE(last->ns[i], value)
			TH_LOG("%s in '%s' decreases %s: this read or an earlier one is wrong",
			       shifted_clocks[i].name, namespaces[ns].name, when);
		last->ns[i] = value;
	}
}

static inline void chain_reads(struct __test_metadata *_metadata, struct switcher *switcher,
			       const struct reads *reads, int ns, const char *when)
{
	chain(_metadata, &switcher->last, &reads->vdso, ns, when);
	chain(_metadata, &switcher->last, &reads->syscall, ns, "by system call");
}

/* @ns is the namespace that the caller should be in. */
static inline void chain_own(struct __test_metadata *_metadata, struct switcher *switcher,
			     unsigned int first, int ns, const char *when)
{
	struct reads reads = read_both(switcher->gettime64, first);

	chain_reads(_metadata, switcher, &reads, ns, when);
}

static inline void join(struct __test_metadata *_metadata, const struct switcher *switcher,
			int ns)
{
	ASSERT_EQ(0, setns(switcher->fds[ns], CLONE_NEWTIME))
		TH_LOG("setns() to '%s': %s", namespaces[ns].name, strerror(errno));
}

/* Creates all namespaces, and leaves the caller and its future children on the host. */
static inline bool setup_switcher(struct __test_metadata *_metadata,
				  struct switcher *switcher)
{
	int i;

	if (!vdso_found(_metadata) || !timens_supported(_metadata))
		return false;
	switcher->gettime64 = vdso_function(CLOCK_GETTIME64);
	if (!switcher->gettime64)
		SKIP(return false, "the vDSO has no clock_gettime()");

	switcher->fds[HOST] = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, switcher->fds[HOST]);
	for (i = HOST + 1; i < NR_NS; i++) {
		switcher->fds[i] = create_timens(&namespaces[i].offsets);
		ASSERT_LE(0, switcher->fds[i]);
	}
	join(_metadata, switcher, HOST);
	switcher->last = stamp_by_syscall();
	return true;
}

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * The vDSO and the system call agree on every clock in every namespace.
 *
 * The vDSO finds the offsets of a time namespace in a page of its own, the
 * system call finds them in the kernel. If the vDSO falls back to the system
 * call, the offset must not be added twice. So the test reads every clock
 * alternately by both, on the host, in the namespace and on the host again. With
 * the offsets subtracted, the values must never decrease, to the nanosecond. A
 * coarse clock stands still for a whole tick, so it shows every error. The other
 * clocks show each error that is longer than a switch between two namespaces.
 * The test lasts more than a second. So the sum of the nanoseconds of clock and
 * offset carries over to the seconds in some reads, and doesn't in others.
 *
 * The test works with every clocksource. If the vDSO can't read it, the reads of
 * high-resolution clocks are system calls. The test fails if the wall clock is
 * set backwards meanwhile.
 */
#include "timens_vdso.h"

/* The kernel's limit, KTIME_SEC_MAX / 2, and the time that the test has before it */
#define MAX_CLOCK_SECONDS	(LLONG_MAX / NSEC_PER_SEC / 2)
#define MARGIN			120

#define DURATION		(NSEC_PER_SEC + NSEC_PER_SEC / 10)

static const struct { clockid_t id; const char *name; } clocks[] = {
	{ CLOCK_MONOTONIC,		"MONOTONIC" },
	{ CLOCK_MONOTONIC_RAW,		"MONOTONIC_RAW" },
	{ CLOCK_MONOTONIC_COARSE,	"MONOTONIC_COARSE" },
	{ CLOCK_BOOTTIME,		"BOOTTIME" },
	{ CLOCK_BOOTTIME_ALARM,		"BOOTTIME_ALARM" },
	{ CLOCK_REALTIME,		"REALTIME" },
	{ CLOCK_REALTIME_COARSE,	"REALTIME_COARSE" },
	{ CLOCK_REALTIME_ALARM,		"REALTIME_ALARM" },
	{ CLOCK_TAI,			"TAI" },
	{ CLOCK_AUX_LAST,		"AUX" },
};

#define NR_CLOCKS	ARRAY_SIZE(clocks)

/* Consecutive steps differ in one property. Their values must not decrease. */
static const struct step { bool in_ns, vdso; const char *name; } steps[] = {
	{ false, false,	"system call on the host" },
	{ false, true,	"vDSO on the host" },
	{ true,  true,	"first vDSO read in the namespace" },
	{ true,  false,	"system call in the namespace" },
	{ true,  true,	"vDSO in the namespace" },
	{ true,  false,	"second system call in the namespace" },
	{ false, true,	"first vDSO read back on the host" },
	{ false, false,	"system call back on the host" },
};

FIXTURE(vdso_offsets) {
	int host_fd, ns_fd;
	struct time_offsets offsets;
	bool has_clock[NR_CLOCKS], disable_aux;
};

FIXTURE_VARIANT(vdso_offsets) {
	enum { HOST, OFFSETS, CLOCKS } given;
	struct time_offsets value;	/* the offsets, or the clocks with them */
};

FIXTURE_VARIANT_ADD(vdso_offsets, host) { HOST };
FIXTURE_VARIANT_ADD(vdso_offsets, zero) { OFFSETS };
FIXTURE_VARIANT_ADD(vdso_offsets, ahead) {
	OFFSETS, { { 10 * DAY, 0 }, { 20 * DAY, 500000000 } }
};

/* Less than a second, so that it is valid right after boot. */
FIXTURE_VARIANT_ADD(vdso_offsets, behind) {
	OFFSETS, { { -1, 500000000 }, { -1, NSEC_PER_SEC - 1 } }
};

FIXTURE_VARIANT_ADD(vdso_offsets, nanoseconds) {
	OFFSETS, { { 0, NSEC_PER_SEC - 1 }, { 0, 1 } }
};

FIXTURE_VARIANT_ADD(vdso_offsets, only_monotonic) { OFFSETS, { { DAY, 1 } } };
FIXTURE_VARIANT_ADD(vdso_offsets, only_boottime) { OFFSETS, { { 0 }, { DAY, 1 } } };
FIXTURE_VARIANT_ADD(vdso_offsets, from_zero) { CLOCKS };
FIXTURE_VARIANT_ADD(vdso_offsets, up_to_limit) {
	CLOCKS, {
		{ MAX_CLOCK_SECONDS - MARGIN, NSEC_PER_SEC - 1 },
		{ MAX_CLOCK_SECONDS - MARGIN, NSEC_PER_SEC - 1 },
	}
};

static struct time_offset offset_to(const struct time_offset *value, clockid_t id)
{
	struct __kernel_timespec now = { };
	struct time_offset offset;

	syscall(NR_GETTIME64, id, &now);
	offset.sec = value->sec - now.tv_sec;
	offset.nsec = value->nsec - now.tv_nsec;
	if (offset.nsec < 0) {
		offset.sec--;
		offset.nsec += NSEC_PER_SEC;
	}
	return offset;
}

FIXTURE_SETUP(vdso_offsets)
{
	unsigned int i;

	if (!vdso_found(_metadata) || !timens_supported(_metadata))
		return;
	self->disable_aux = enable_aux_clock(true) == 0;
	for (i = 0; i < NR_CLOCKS; i++)
		self->has_clock[i] = read_syscall(clocks[i].id) != BAD_READ;

	self->host_fd = open("/proc/self/ns/time", O_RDONLY);
	ASSERT_LE(0, self->host_fd);
	self->ns_fd = self->host_fd;
	if (variant->given == HOST)
		return;

	self->offsets = variant->value;
	if (variant->given == CLOCKS) {
		self->offsets.monotonic = offset_to(&variant->value.monotonic,
						    CLOCK_MONOTONIC);
		self->offsets.boottime = offset_to(&variant->value.boottime,
						   CLOCK_BOOTTIME);
	}
	self->ns_fd = create_timens(&self->offsets);
	ASSERT_LE(0, self->ns_fd);
}

FIXTURE_TEARDOWN(vdso_offsets)
{
	if (self->disable_aux)
		EXPECT_EQ(1, enable_aux_clock(false));
}

/* Undoes the wrap of seconds that have only 32 bits. */
static __s64 widen(__s64 ns, __s64 reference)
{
	const __s64 wrap = (1LL << 32) * NSEC_PER_SEC;

	while (ns != BAD_READ && reference - ns > wrap / 2)
		ns += wrap;
	return ns;
}

static void compare(struct __test_metadata *_metadata,
		    const FIXTURE_DATA(vdso_offsets) *self, unsigned int clock,
		    __s64 (*read_vdso)(void *, clockid_t), void *function)
{
	const __s64 offset = offset_of_clock(&self->offsets, clocks[clock].id);
	__s64 ns[ARRAY_SIZE(steps)];
	bool in_ns = false;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		if (steps[i].in_ns != in_ns) {
			in_ns = steps[i].in_ns;
			ASSERT_EQ(0, setns(in_ns ? self->ns_fd : self->host_fd,
					   CLONE_NEWTIME));
		}
		ns[i] = steps[i].vdso ? read_vdso(function, clocks[clock].id) :
					read_syscall(clocks[clock].id);
	}

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		__s64 shift = steps[i].in_ns ? offset : 0;

		if (steps[i].vdso)
			ns[i] = widen(ns[i], ns[0] + shift);
		ASSERT_NE(BAD_READ, ns[i])
			TH_LOG("%s: %s failed", clocks[clock].name, steps[i].name);
		ns[i] -= shift;
		if (i) {
			ASSERT_LE(ns[i - 1], ns[i])
				TH_LOG("%s: %s, without the offset", clocks[clock].name,
				       steps[i].name);
		}
	}
}

static void compare_all(struct __test_metadata *_metadata,
			const FIXTURE_DATA(vdso_offsets) *self,
			__s64 (*read_vdso)(void *, clockid_t), void *function)
{
	__s64 end = read_syscall(CLOCK_MONOTONIC) + DURATION;
	unsigned int i;

	for (i = 0; i < NR_CLOCKS; i++) {
		if (!self->has_clock[i])
			TH_LOG("the kernel has no CLOCK_%s", clocks[i].name);
	}

	while (read_syscall(CLOCK_MONOTONIC) < end) {
		for (i = 0; i < NR_CLOCKS; i++) {
			if (self->has_clock[i])
				compare(_metadata, self, i, read_vdso, function);
		}
	}
}

TEST_F(vdso_offsets, clock_gettime_agrees_with_syscall)
{
	void *function = vdso_function(CLOCK_GETTIME64);

	if (!function)
		SKIP(return, "the vDSO has no clock_gettime()");
	compare_all(_metadata, self, read_time64, function);
}

#ifdef VDSO_32BIT
TEST_F(vdso_offsets, clock_gettime_time32_agrees_with_syscall)
{
	void *function = vdso_function(CLOCK_GETTIME);

	if (!function)
		SKIP(return, "the vDSO has no 32-bit clock_gettime()");
	compare_all(_metadata, self, read_time32, function);
}
#endif

/* The vDSO must leave all other clock ids, valid or not, to the system call. */
TEST_F(vdso_offsets, other_clock_ids_agree_with_syscall)
{
	static const clockid_t others[] = {
		CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
		10, 12, 15, CLOCK_AUX, CLOCK_AUX_LAST + 1, 31, 32, 63,
		-1, INT_MAX, INT_MIN,
	};
	int (*gettime64)(clockid_t id, struct __kernel_timespec *ts) =
		vdso_function(CLOCK_GETTIME64);
	struct __kernel_timespec ts;
	unsigned int i;
	int expected;

	if (!gettime64)
		SKIP(return, "the vDSO has no clock_gettime()");
	ASSERT_EQ(0, setns(self->ns_fd, CLONE_NEWTIME));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		expected = syscall(NR_GETTIME64, others[i], &ts) ? -errno : 0;
		EXPECT_EQ(expected, VDSO_CALL(gettime64, 2, others[i], &ts))
			TH_LOG("clock %d", others[i]);
	}
}

/* The vDSO still has the data of an auxiliary clock that is disabled. */
TEST_F(vdso_offsets, disabled_aux_clock_cannot_be_read)
{
	int (*gettime64)(clockid_t id, struct __kernel_timespec *ts) =
		vdso_function(CLOCK_GETTIME64);
	struct __kernel_timespec ts;

	if (!gettime64)
		SKIP(return, "the vDSO has no clock_gettime()");
	if (!self->disable_aux)
		SKIP(return, "the kernel has no auxiliary clock, or it is in use");
	ASSERT_EQ(0, setns(self->ns_fd, CLONE_NEWTIME));
	EXPECT_EQ(0, VDSO_CALL(gettime64, 2, CLOCK_AUX_LAST, &ts));
	ASSERT_EQ(1, enable_aux_clock(false));
	self->disable_aux = false;
	EXPECT_EQ(-1, syscall(NR_GETTIME64, CLOCK_AUX_LAST, &ts));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-ENODEV, VDSO_CALL(gettime64, 2, CLOCK_AUX_LAST, &ts));
}

TEST_F(vdso_offsets, clock_getres_agrees_with_syscall)
{
	int (*getres64)(clockid_t id, struct __kernel_timespec *ts) =
		vdso_function(CLOCK_GETRES64);
	struct __kernel_timespec expected, res;
	unsigned int i;

	if (!getres64)
		SKIP(return, "the vDSO has no clock_getres()");
	ASSERT_EQ(0, setns(self->ns_fd, CLONE_NEWTIME));
	for (i = 0; i < NR_CLOCKS; i++) {
		if (!self->has_clock[i])
			continue;
		ASSERT_EQ(0, syscall(NR_GETRES64, clocks[i].id, &expected));
		ASSERT_EQ(0, VDSO_CALL(getres64, 2, clocks[i].id, &res));
		EXPECT_EQ(expected.tv_sec, res.tv_sec)
			TH_LOG("%s", clocks[i].name);
		EXPECT_EQ(expected.tv_nsec, res.tv_nsec)
			TH_LOG("%s", clocks[i].name);
		EXPECT_EQ(0, VDSO_CALL(getres64, 2, clocks[i].id, NULL));
	}
}

#ifdef VDSO_32BIT
TEST_F(vdso_offsets, clock_getres_time32_agrees_with_syscall)
{
	int (*getres32)(clockid_t id, struct __kernel_old_timespec *ts) =
		vdso_function(CLOCK_GETRES);
	struct __kernel_timespec expected;
	struct __kernel_old_timespec res;
	unsigned int i;

	if (!getres32)
		SKIP(return, "the vDSO has no 32-bit clock_getres()");
	ASSERT_EQ(0, setns(self->ns_fd, CLONE_NEWTIME));
	for (i = 0; i < NR_CLOCKS; i++) {
		if (!self->has_clock[i])
			continue;
		ASSERT_EQ(0, syscall(NR_GETRES64, clocks[i].id, &expected));
		ASSERT_EQ(0, VDSO_CALL(getres32, 2, clocks[i].id, &res));
		EXPECT_EQ(expected.tv_sec, res.tv_sec)
			TH_LOG("%s", clocks[i].name);
		EXPECT_EQ(expected.tv_nsec, res.tv_nsec)
			TH_LOG("%s", clocks[i].name);
	}
}
#endif

TEST_F(vdso_offsets, gettimeofday_agrees_with_syscall)
{
	int (*gettimeofday)(struct __kernel_old_timeval *tv, void *tz) =
		vdso_function(GETTIMEOFDAY);
	struct { int minuteswest, dsttime; } expected, tz = { -1, -1 };
	struct __kernel_old_timeval tv;
	__s64 before, now;

	if (!gettimeofday)
		SKIP(return, "the vDSO has no gettimeofday()");
	before = read_syscall(CLOCK_REALTIME);
	ASSERT_EQ(0, syscall(__NR_gettimeofday, NULL, &expected));
	ASSERT_EQ(0, setns(self->ns_fd, CLONE_NEWTIME));
	ASSERT_EQ(0, VDSO_CALL(gettimeofday, 2, &tv, &tz));
	now = to_ns(0, tv.tv_sec, tv.tv_usec * 1000);
	/* The kernel truncates to microseconds. */
	EXPECT_LE(before / 1000 * 1000, now);
	EXPECT_LE(now, read_syscall(CLOCK_REALTIME));
	EXPECT_EQ(expected.minuteswest, tz.minuteswest);
	EXPECT_EQ(expected.dsttime, tz.dsttime);
}

TEST_F(vdso_offsets, time_agrees_with_syscall)
{
	__kernel_old_time_t (*time)(__kernel_old_time_t *t) = vdso_function(TIME);
	__kernel_old_time_t stored, now;
	__s64 before;

	if (!time)
		SKIP(return, "the vDSO has no time()");
	before = read_syscall(CLOCK_REALTIME_COARSE) / NSEC_PER_SEC;
	ASSERT_EQ(0, setns(self->ns_fd, CLONE_NEWTIME));
	now = VDSO_CALL(time, 1, &stored);
	EXPECT_EQ(stored, now);
	EXPECT_LE(before, now);
	EXPECT_LE(now, read_syscall(CLOCK_REALTIME_COARSE) / NSEC_PER_SEC);
}

TEST_HARNESS_MAIN

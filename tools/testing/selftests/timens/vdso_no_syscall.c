// SPDX-License-Identifier: GPL-2.0
/*
 * A clock read in a time namespace doesn't enter the kernel.
 *
 * If the vDSO can't serve a read, it falls back to the system call, which
 * returns the right value. So a comparison of values can't detect a broken fast
 * path. This test takes the fallback away: a seccomp filter kills the task on
 * every system call that reads a clock. The task then reads the clocks through
 * the vDSO, on the host and in namespaces with zero, positive and negative
 * offsets. If it survives, it stayed in user space. A control test shows that
 * the filter kills.
 *
 * The test also checks the values: no clock runs backwards, no clock is less
 * than the host's clock plus the offset, or much more, and the nanoseconds are
 * always normalised.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "timens_vdso.h"

#define CLOCKSOURCE \
	"/sys/devices/system/clocksource/clocksource0/current_clocksource"

/* The time limit of a test, so no clock can advance by more. */
#define MAX_SECONDS	120

#if defined(__x86_64__)
# define AUDIT_ARCH_NATIVE	AUDIT_ARCH_X86_64
#elif defined(__i386__)
# define AUDIT_ARCH_NATIVE	AUDIT_ARCH_I386
#elif defined(__aarch64__)
# define AUDIT_ARCH_NATIVE	AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
# define AUDIT_ARCH_NATIVE	AUDIT_ARCH_RISCV64
#else
# define AUDIT_ARCH_NATIVE	0
#endif

/* Clocksources that the vDSO can read without the kernel */
static const char * const vdso_clocksources[] = {
	"tsc-early", "tsc", "kvm-clock", "hyperv_clocksource_tsc_page",
	"arch_sys_counter", "riscv_clocksource",
};

/* All system calls that the vDSO can fall back to */
static const unsigned int clock_syscalls[] = {
	__NR_clock_gettime, __NR_clock_getres, __NR_gettimeofday,
#ifdef __NR_time
	__NR_time,
#endif
#ifdef __NR_clock_gettime64
	__NR_clock_gettime64, __NR_clock_getres_time64,
#endif
};

static const struct { clockid_t id; const char *name; int reads; } clocks[] = {
	{ CLOCK_MONOTONIC,		"MONOTONIC",		1000000 },
	{ CLOCK_MONOTONIC_RAW,		"MONOTONIC_RAW",	100000 },
	{ CLOCK_MONOTONIC_COARSE,	"MONOTONIC_COARSE",	100000 },
	{ CLOCK_BOOTTIME,		"BOOTTIME",		100000 },
	{ CLOCK_REALTIME,		"REALTIME",		100000 },
	{ CLOCK_REALTIME_COARSE,	"REALTIME_COARSE",	100000 },
	{ CLOCK_TAI,			"TAI",			100000 },
	{ CLOCK_AUX_LAST,		"AUX",			100000 },
};

static int forbid_clock_syscalls(void)
{
	enum { NR = ARRAY_SIZE(clock_syscalls), LIST = 3, KILL = LIST + NR + 1 };
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_NATIVE, 0, KILL - 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		[KILL - 1] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		[KILL] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { ARRAY_SIZE(filter), filter };
	int i;

	for (i = 0; i < NR; i++) {
		filter[LIST + i] = (struct sock_filter)
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, clock_syscalls[i], NR - i, 0);
	}

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* With another clocksource the vDSO may use the system call. */
static bool clocksource_in_vdso(char *name, size_t size)
{
	FILE *f = fopen(CLOCKSOURCE, "r");
	unsigned int i;

	snprintf(name, size, "unknown");
	if (!f)
		return false;
	if (fgets(name, size, f))
		name[strcspn(name, "\n")] = '\0';
	fclose(f);

	for (i = 0; i < ARRAY_SIZE(vdso_clocksources); i++) {
		if (!strcmp(name, vdso_clocksources[i]))
			return true;
	}
	return false;
}

FIXTURE(vdso) {
	__s64 host[ARRAY_SIZE(clocks)];	/* before joining, in ns */
	bool disable_aux;
	struct __kernel_timespec res;
};

FIXTURE_VARIANT(vdso) {
	enum { STAY, FORK, SETNS } join;
	struct time_offsets offsets;
};

FIXTURE_VARIANT_ADD(vdso, host) { STAY };
FIXTURE_VARIANT_ADD(vdso, zero_offsets) { FORK };
FIXTURE_VARIANT_ADD(vdso, ahead) {
	FORK, { { 10 * DAY, 500000000 }, { 20 * DAY, NSEC_PER_SEC - 1 } }
};

/* Less than a second, so that it is valid right after boot. */
FIXTURE_VARIANT_ADD(vdso, behind) {
	SETNS, { { -1, 500000000 }, { -1, NSEC_PER_SEC - 1 } }
};

static void join_new_namespace(struct __test_metadata *_metadata,
			       const FIXTURE_VARIANT(vdso) *variant)
{
	struct stat before, after;
	int fd, status;
	pid_t pid;

	ASSERT_EQ(0, stat("/proc/self/ns/time", &before));
	fd = create_timens(&variant->offsets);
	ASSERT_LE(0, fd);

	if (variant->join == SETNS) {
		ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
	} else {
		pid = fork();
		ASSERT_LE(0, pid);
		if (pid) {
			/* The child runs the test. End in the same way. */
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			if (WIFSIGNALED(status))
				kill(getpid(), WTERMSIG(status));
			_exit(WEXITSTATUS(status));
		}
	}

	close(fd);
	ASSERT_EQ(0, stat("/proc/self/ns/time", &after));
	ASSERT_NE(before.st_ino, after.st_ino);
}

FIXTURE_SETUP(vdso)
{
	char clocksource[64];
	unsigned int i;

	if (!AUDIT_ARCH_NATIVE)
		SKIP(return, "the test doesn't know this architecture");
	if (!clocksource_in_vdso(clocksource, sizeof(clocksource)))
		SKIP(return, "clocksource '%s' is not on the list of those that the vDSO can read",
		     clocksource);
	if (!vdso_found(_metadata))
		return;

	self->disable_aux = enable_aux_clock(true) == 0;
	for (i = 0; i < ARRAY_SIZE(clocks); i++) {
		self->host[i] = read_syscall(clocks[i].id);
		if (clocks[i].id != CLOCK_AUX_LAST)
			ASSERT_NE(BAD_READ, self->host[i]);
	}
	ASSERT_EQ(0, syscall(NR_GETRES64, CLOCK_MONOTONIC, &self->res));

	if (variant->join != STAY && timens_supported(_metadata))
		join_new_namespace(_metadata, variant);
}

FIXTURE_TEARDOWN(vdso)
{
	if (self->disable_aux)
		EXPECT_EQ(1, enable_aux_clock(false));
}

static void read_clocks(struct __test_metadata *_metadata,
			const FIXTURE_DATA(vdso) *self,
			const FIXTURE_VARIANT(vdso) *variant,
			__s64 (*read_clock)(void *, clockid_t), void *function)
{
	unsigned int i;
	int n;

	ASSERT_EQ(0, forbid_clock_syscalls());

	for (i = 0; i < ARRAY_SIZE(clocks); i++) {
		__s64 last = self->host[i] + offset_of_clock(&variant->offsets, clocks[i].id);
		__s64 limit = last + MAX_SECONDS * NSEC_PER_SEC;

		/* The kernel has no such clock. */
		if (self->host[i] == BAD_READ)
			continue;

		for (n = 0; n < clocks[i].reads; n++) {
			__s64 now = read_clock(function, clocks[i].id);

			ASSERT_LE(last, now)
				TH_LOG("%s, read %d", clocks[i].name, n);
			ASSERT_GT(limit, now)
				TH_LOG("%s, read %d", clocks[i].name, n);
			last = now;
		}
	}
}

TEST_F_TIMEOUT(vdso, clock_gettime_makes_no_syscall, MAX_SECONDS)
{
	void *function = vdso_function(CLOCK_GETTIME64);

	if (!function)
		SKIP(return, "the vDSO has no clock_gettime()");
	read_clocks(_metadata, self, variant, read_time64, function);
}

#ifdef VDSO_32BIT
TEST_F_TIMEOUT(vdso, clock_gettime_time32_makes_no_syscall, MAX_SECONDS)
{
	void *function = vdso_function(CLOCK_GETTIME);

	if (!function)
		SKIP(return, "the vDSO has no 32-bit clock_gettime()");
	read_clocks(_metadata, self, variant, read_time32, function);
}
#endif

/* These functions use no offset, but may read other data pages in a namespace. */
TEST_F(vdso, clock_getres_makes_no_syscall)
{
	int (*clock_getres)(clockid_t id, struct __kernel_timespec *res) =
		vdso_function(CLOCK_GETRES64);
	struct __kernel_timespec res;

	if (!clock_getres)
		SKIP(return, "the vDSO has no clock_getres()");
	ASSERT_EQ(0, forbid_clock_syscalls());

	ASSERT_EQ(0, VDSO_CALL(clock_getres, 2, CLOCK_MONOTONIC, &res));
	EXPECT_EQ(self->res.tv_sec, res.tv_sec);
	EXPECT_EQ(self->res.tv_nsec, res.tv_nsec);
}

TEST_F(vdso, gettimeofday_and_time_make_no_syscall)
{
	int (*gettimeofday)(struct __kernel_old_timeval *tv, void *tz) =
		vdso_function(GETTIMEOFDAY);
	__kernel_old_time_t (*time)(__kernel_old_time_t *t) = vdso_function(TIME);
	struct __kernel_old_timeval tv;
	__kernel_old_time_t before;

	if (!gettimeofday || !time)
		SKIP(return, "the vDSO lacks gettimeofday() or time()");
	ASSERT_EQ(0, forbid_clock_syscalls());

	before = VDSO_CALL(time, 1, NULL);
	ASSERT_EQ(0, VDSO_CALL(gettimeofday, 2, &tv, NULL));
	EXPECT_LE(before, tv.tv_sec);
	/* time() is coarse: it may lag behind by up to one tick. */
	EXPECT_LE(tv.tv_sec, VDSO_CALL(time, 1, NULL) + 1);
}

/* The control: a task that makes such a system call doesn't survive. */
TEST(filter_kills_on_clock_syscalls)
{
	unsigned int i;
	int status;
	pid_t pid;

	if (!AUDIT_ARCH_NATIVE)
		SKIP(return, "the test doesn't know this architecture");

	for (i = 0; i < ARRAY_SIZE(clock_syscalls); i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			if (forbid_clock_syscalls())
				_exit(1);
			syscall(clock_syscalls[i], 0, 0);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
			TH_LOG("system call %u", clock_syscalls[i]);
	}
}

TEST_HARNESS_MAIN

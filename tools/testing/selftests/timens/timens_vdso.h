/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of clocks in time namespaces: functions that create
 * namespaces and read clocks. They look up the functions of the vDSO by name, so
 * that the C library doesn't choose between the vDSO and the system call.
 */
#ifndef __TIMENS_VDSO_H__
#define __TIMENS_VDSO_H__

#include <fcntl.h>
#include <limits.h>
#include <linux/time_types.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>

#include "../vDSO/parse_vdso.h"
#include "../vDSO/vdso_call.h"
#include "../vDSO/vdso_config.h"
#include "kselftest_harness.h"

#ifndef CLOCK_AUX
# define CLOCK_AUX		16
# define MAX_AUX_CLOCKS		8
# define CLOCK_AUX_LAST		(CLOCK_AUX + MAX_AUX_CLOCKS - 1)
#endif

#define AUX_ENABLE		"/sys/kernel/time/aux_clocks/%d/aux_clock_enable"

#define NSEC_PER_SEC	1000000000LL
#define DAY		(24 * 60 * 60)

/* Indices into names[] of vdso_config.h */
enum { GETTIMEOFDAY = 0, CLOCK_GETTIME = 1, TIME = 2, CLOCK_GETRES = 3 };

/* The variants with 64-bit time, the only ones that every kernel has */
#ifdef VDSO_32BIT
enum { CLOCK_GETTIME64 = 5, CLOCK_GETRES64 = 7 };
# define NR_GETTIME64	__NR_clock_gettime64
# define NR_GETRES64	__NR_clock_getres_time64
#else
enum { CLOCK_GETTIME64 = CLOCK_GETTIME, CLOCK_GETRES64 = CLOCK_GETRES };
# define NR_GETTIME64	__NR_clock_gettime
# define NR_GETRES64	__NR_clock_getres
#endif

/* The result of a read that failed or isn't normalised. It is below every bound. */
#define BAD_READ	LLONG_MIN

struct time_offset { long long sec, nsec; };
struct time_offsets { struct time_offset monotonic, boottime; };

/* The coarse clock comes first: it only needs the page and has no fallback. */
static const struct { clockid_t id; const char *name; } shifted_clocks[] = {
	{ CLOCK_MONOTONIC_COARSE,	"MONOTONIC_COARSE" },
	{ CLOCK_MONOTONIC,		"MONOTONIC" },
	{ CLOCK_BOOTTIME,		"BOOTTIME" },
	{ CLOCK_MONOTONIC_RAW,		"MONOTONIC_RAW" },
};

#define NR_SHIFTED	ARRAY_SIZE(shifted_clocks)

/* One value of each of the shifted clocks */
struct stamp { __s64 ns[NR_SHIFTED]; };

struct mapping { unsigned long start, size; };

static inline bool timens_supported(struct __test_metadata *_metadata)
{
	if (geteuid())
		SKIP(return false, "a time namespace needs root");
	if (access("/proc/self/ns/time", F_OK))
		SKIP(return false, "the kernel has no time namespaces");
	return true;
}

static inline bool vdso_found(struct __test_metadata *_metadata)
{
	if (!getauxval(AT_SYSINFO_EHDR))
		SKIP(return false, "the kernel maps no vDSO");
	vdso_init_from_sysinfo_ehdr(getauxval(AT_SYSINFO_EHDR));
	return true;
}

/* Returns the previous state, or -1 if the kernel has no auxiliary clocks. */
static inline int enable_aux_clock(bool enable)
{
	char path[64], old = '\0';
	int fd, ret;

	snprintf(path, sizeof(path), AUX_ENABLE, CLOCK_AUX_LAST - CLOCK_AUX);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return -1;
	ret = pread(fd, &old, 1, 0);
	if (ret == 1)
		ret = pwrite(fd, enable ? "1" : "0", 1, 0);
	close(fd);
	return ret == 1 ? old == '1' : -1;
}

/* Opens a file of a task in /proc. */
static inline int open_of_task(pid_t pid, const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open(path, flags);
}

static inline int write_offsets(int fd, const struct time_offsets *offsets)
{
	char buf[128];
	int len = snprintf(buf, sizeof(buf),
			   "monotonic %lld %lld\nboottime %lld %lld\n",
			   offsets->monotonic.sec, offsets->monotonic.nsec,
			   offsets->boottime.sec, offsets->boottime.nsec);

	/* The file only accepts writes at position 0. A write doesn't move the position. */
	return write(fd, buf, len) == len ? 0 : -1;
}

/*
 * Creates a namespace. The caller's next child joins it, and so does the caller
 * by exec. Returns a descriptor for setns().
 */
static inline int create_timens(const struct time_offsets *offsets)
{
	int fd, ret;

	if (unshare(CLONE_NEWTIME))
		return -1;
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = write_offsets(fd, offsets);
	close(fd);
	if (ret)
		return -1;
	return open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
}

static inline __s64 to_ns(int ret, __s64 sec, __s64 nsec)
{
	if (ret || nsec < 0 || nsec >= NSEC_PER_SEC)
		return BAD_READ;
	return sec * NSEC_PER_SEC + nsec;
}

static inline __s64 offset_of_clock(const struct time_offsets *offsets, clockid_t id)
{
	switch (id) {
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
		return to_ns(0, offsets->monotonic.sec, offsets->monotonic.nsec);
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		return to_ns(0, offsets->boottime.sec, offsets->boottime.nsec);
	default:
		return 0;
	}
}

static inline void *vdso_function(int index)
{
	return vdso_sym(versions[VDSO_VERSION], names[VDSO_NAMES][index]);
}

static inline __s64 read_syscall(clockid_t id)
{
	struct __kernel_timespec ts = { .tv_nsec = -1 };
	int ret = syscall(NR_GETTIME64, id, &ts);

	return to_ns(ret, ts.tv_sec, ts.tv_nsec);
}

static inline struct stamp stamp_by_syscall(void)
{
	struct stamp stamp;
	unsigned int i;

	for (i = 0; i < NR_SHIFTED; i++)
		stamp.ns[i] = read_syscall(shifted_clocks[i].id);
	return stamp;
}

/* The vDSO returns an int. The upper half of the register is undefined. */
static inline __s64 read_time64(void *function, clockid_t id)
{
	int (*gettime64)(clockid_t id, struct __kernel_timespec *ts) = function;
	struct __kernel_timespec ts = { .tv_nsec = -1 };
	int ret = VDSO_CALL(gettime64, 2, id, &ts);

	return to_ns(ret, ts.tv_sec, ts.tv_nsec);
}

#ifdef VDSO_32BIT
static inline __s64 read_time32(void *function, clockid_t id)
{
	int (*gettime32)(clockid_t id, struct __kernel_old_timespec *ts) = function;
	struct __kernel_old_timespec ts = { .tv_nsec = -1 };
	int ret = VDSO_CALL(gettime32, 2, id, &ts);

	return to_ns(ret, ts.tv_sec, ts.tv_nsec);
}
#endif

/* Returns the number of mappings with this name. @mapping is the last of them. */
static inline unsigned int find_mapping(const char *name, struct mapping *mapping)
{
	unsigned long start, end;
	unsigned int found = 0;
	char line[256];
	FILE *f;

	f = fopen("/proc/self/maps", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, name) || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		*mapping = (struct mapping) { start, end - start };
		found++;
	}
	if (f)
		fclose(f);
	return found;
}

#endif

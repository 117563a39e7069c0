/* SPDX-License-Identifier: GPL-2.0 */
/* Helpers that several guest programs share. Must be the first header that a file includes. */
#ifndef TIMENS_H
#define TIMENS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OFFSETS_FILE	"/proc/self/timens_offsets"
#define OWN_NS		"/proc/self/ns/time"
#define CHILDREN_NS	"/proc/self/ns/time_for_children"
#define LIMIT_FILE	"/proc/sys/user/max_time_namespaces"
#define SLABS		"/sys/kernel/slab"

/* Interfaces that the C library's headers may be too old for. */
#define NS_GET_USERNS			_IO(0xb7, 0x1)
#define PIDFD_GET_TIME_NAMESPACE	_IO(0xff, 7)

#define NSEC_PER_SEC	INT64_C(1000000000)
#define NSEC_PER_MSEC	INT64_C(1000000)

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* The offset that the kernel adds to a clock in a time namespace. */
enum offset { OFFSET_NONE, OFFSET_MONOTONIC, OFFSET_BOOTTIME };

struct clock {
	const char *name;
	clockid_t id;
	enum offset offset;
};

/* The clocks that a time namespace shifts and every kernel has, as members of an array. */
#define SHIFTED_CLOCKS								\
	{ "MONOTONIC",		CLOCK_MONOTONIC,	OFFSET_MONOTONIC },	\
	{ "MONOTONIC_RAW",	CLOCK_MONOTONIC_RAW,	OFFSET_MONOTONIC },	\
	{ "MONOTONIC_COARSE",	CLOCK_MONOTONIC_COARSE,	OFFSET_MONOTONIC },	\
	{ "BOOTTIME",		CLOCK_BOOTTIME,		OFFSET_BOOTTIME }

/* Exits unless a call succeeded. For calls that are not under test. */
static inline int must(int value, const char *action)
{
	if (value < 0)
		error(2, errno, "cannot %s", action);
	return value;
}

/* Writes a text to an existing file. Returns 0, or -1 and errno. */
static inline int try_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;
	ssize_t length = strlen(text), written;

	if (fd < 0)
		return -1;
	written = write(fd, text, length);
	if (written != length)
		err = written < 0 ? errno : EIO;
	close(fd);
	errno = err;
	return err ? -1 : 0;
}

/* Writes a formatted text to an existing file; exits on failure. */
static inline __attribute__((format(printf, 2, 3))) void
write_file(const char *path, const char *format, ...)
{
	char text[256];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	if (try_write(path, text))
		error(2, errno, "cannot write '%s' to %s", text, path);
}

static inline long long read_number(const char *path)
{
	FILE *file = fopen(path, "r");
	long long value;

	if (!file)
		error(2, errno, "cannot read %s", path);
	if (fscanf(file, "%lld", &value) != 1)
		error(2, 0, "%s has no number", path);
	fclose(file);
	return value;
}

static inline int64_t to_ns(const struct timespec *time)
{
	return time->tv_sec * NSEC_PER_SEC + time->tv_nsec;
}

/* Waits for a child. Returns its wait status. */
static inline int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			error(2, errno, "cannot wait for a child");
	return status;
}

static inline void stay_on_first_cpu(void)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	must(sched_setaffinity(0, sizeof(first), &first), "stay on one CPU");
}

/*
 * Empties the caches of free objects that the slab allocator keeps per CPU and per node: it counts
 * these objects as in use, and keeps some sixty at a time.
 */
static inline void shrink_slabs(void)
{
	DIR *dir = opendir(SLABS);
	struct dirent *entry;
	char path[300];

	/* Some allocators do not list their caches. */
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		/* Links are other names of the same caches. */
		if (entry->d_name[0] == '.' || entry->d_type != DT_DIR)
			continue;
		snprintf(path, sizeof(path), SLABS "/%s/shrink", entry->d_name);
		write_file(path, "1");
	}
	closedir(dir);
}

/*
 * Makes the kernel free memory whose release it defers: to the end of a grace period, to a batch, or
 * to a worker. Dropping the caches flushes the batches of kfree_rcu(). One call may not reach all
 * of it, because one deferred release can start another.
 */
static inline void drain(void)
{
	write_file("/proc/sys/vm/drop_caches", "3");
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0))
		error(2, errno, "membarrier");
	shrink_slabs();
	usleep(100000);
}

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * Time namespaces end while other tasks look them up.
 *
 * One task makes namespaces, writes their offsets, joins most of them, and gives
 * them up. Up to three other tasks look up these namespaces: in the list of
 * namespaces, by file handle, and through the files and the pidfd of the first
 * task. They join those that are still there. The test checks that
 * - each namespace that is found has the offsets of a single write, or none;
 * - the clocks of a task that joins it show these offsets.
 *
 * TIMENS_LOOKUP_RACE_ROUNDS in the environment sets the number of namespaces.
 */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "../namespaces/wrappers.h"
#include "timens_race.h"

#ifndef PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE
# define PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE _IO(0xFF, 8)
#endif

#ifndef FILEID_NSFS
# define FILEID_NSFS 0xf1
#endif

#define DEFAULT_ROUNDS	20000
#define NR_WRITES	1000	/* different offsets */

/* The first of the tasks makes the namespaces. */
enum { MAKER };

/* Shared by the tasks */
struct lookups {
	pid_t maker;
	int host_fd, maker_pidfd;
	__u64 older_id;		/* of a namespace that is older than all others */
	unsigned int ready;
	bool done;
	unsigned int found, gone, joined, torn, wrong;
	const char *failed;	/* a system call that must not fail, and its errno */
	int error;
	struct clocks clocks[MAX_TASKS];
};

static void failed(struct lookups *lookups, const char *call)
{
	lookups->error = errno;
	lookups->failed = call;
}

static void count(unsigned int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* By the id alone: the list doesn't give the inode number. */
static int open_by_id(int mount_fd, __u64 id)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(struct nsfs_file_handle)];
	} buf = {};

	buf.handle.handle_bytes = sizeof(struct nsfs_file_handle);
	buf.handle.handle_type = FILEID_NSFS;
	memcpy(buf.handle.f_handle, &id, sizeof(id));
	return open_by_handle_at(mount_fd, &buf.handle, O_RDONLY | O_CLOEXEC);
}

/* Opens the first namespace of the list, unless there is none (ENOENT) or it is gone (ESTALE). */
static int open_listed(struct lookups *lookups)
{
	const struct ns_id_req req = {
		.size = sizeof(req),
		.ns_id = lookups->older_id,
		.ns_type = CLONE_NEWTIME,
	};
	__u64 id;
	int fd, nr;

	nr = sys_listns(&req, &id, 1, 0);
	if (nr < 0 && errno != ENOENT)
		failed(lookups, "listns()");
	if (!nr)
		errno = ENOENT;
	if (nr != 1)
		return -1;
	fd = open_by_id(lookups->host_fd, id);
	if (fd >= 0)
		count(&lookups->found);
	else if (errno == ESTALE)
		count(&lookups->gone);
	else
		failed(lookups, "open_by_handle_at()");
	return fd;
}

/* Whether a text shows one write, or a namespace without offsets */
static bool text_is_whole(int fd, struct time_offsets *offsets)
{
	char text[256], none[256];
	unsigned int write;
	ssize_t len;

	len = pread(fd, text, sizeof(text) - 1, 0);
	if (len <= 0)
		return false;
	text[len] = '\0';
	if (find_write_of_text(text, &write)) {
		*offsets = offsets_of_write(write);
		return true;
	}
	*offsets = (struct time_offsets) {};
	snprintf(none, sizeof(none), "%-10s %10d %9d\n%-10s %10d %9d\n", "monotonic", 0, 0,
		 "boottime", 0, 0);
	return !strcmp(text, none);
}

static void join_found(struct lookups *lookups, struct clocks *clocks, int ns_fd)
{
	struct time_offsets offsets;
	int fd;

	read_host_clocks(clocks);
	if (setns(ns_fd, CLONE_NEWTIME)) {
		failed(lookups, "setns()");
		return;
	}
	read_joined_clocks(clocks);
	fd = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
	if (!text_is_whole(fd, &offsets))
		count(&lookups->torn);
	else if (!clocks_fit(clocks, &offsets))
		count(&lookups->wrong);
	else if (offsets.monotonic.sec)
		count(&lookups->joined);
	close(fd);
	if (setns(lookups->host_fd, CLONE_NEWTIME))
		failed(lookups, "setns() back");
}

static void __noreturn look_up(struct lookups *lookups, int nth)
{
	struct time_offsets offsets;
	unsigned int seed = nth;
	int fd;

	if (pin_to_cpu(nth))
		failed(lookups, "sched_setaffinity()");
	count(&lookups->ready);
	while (!__atomic_load_n(&lookups->done, __ATOMIC_RELAXED)) {
		unsigned int way = next_random(&seed) % 8;

		switch (way) {
		case 0:
			fd = open_of_task(lookups->maker, "timens_offsets", O_RDONLY | O_CLOEXEC);
			break;
		case 1:
			fd = open_of_task(lookups->maker, "ns/time_for_children",
					  O_RDONLY | O_CLOEXEC);
			break;
		case 2:
			fd = ioctl(lookups->maker_pidfd, PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE, 0);
			break;
		default:
			fd = open_listed(lookups);
			if (fd < 0)
				continue;
		}
		if (fd < 0) {
			failed(lookups, "open() of the maker's files");
			break;
		}
		/* Don't join each time. A namespace then ends sooner, perhaps by close(). */
		if (!way) {
			if (!text_is_whole(fd, &offsets))
				count(&lookups->torn);
		} else if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWTIME) {
			count(&lookups->wrong);
		} else if (next_random(&seed) % 2) {
			join_found(lookups, &lookups->clocks[nth], fd);
		}
		close(fd);
	}
	_exit(0);
}

FIXTURE(lookup_race) {
	struct lookups *lookups;
	unsigned int rounds;
	int nr_tasks;
	pid_t tasks[MAX_TASKS];
};

FIXTURE_SETUP(lookup_race)
{
	const struct time_offsets offsets = offsets_of_write(0);
	struct lookups *lookups;
	pid_t maker = getpid();
	int i, fd, found;

	self->rounds = DEFAULT_ROUNDS;
	self->nr_tasks = tasks_for_race(_metadata, "TIMENS_LOOKUP_RACE_ROUNDS", &self->rounds);
	if (!self->nr_tasks)
		return;
	lookups = mmap(NULL, sizeof(*lookups), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	ASSERT_NE(MAP_FAILED, lookups);
	self->lookups = lookups;
	lookups->maker = maker;
	lookups->host_fd = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	lookups->maker_pidfd = syscall(SYS_pidfd_open, maker, 0);
	ASSERT_LE(0, lookups->host_fd);
	ASSERT_LE(0, lookups->maker_pidfd);

	fd = create_timens(&offsets);
	ASSERT_LE(0, fd);
	if (ioctl(fd, NS_GET_ID, &lookups->older_id))
		SKIP(return, "the kernel has no ids of namespaces");
	found = open_by_id(lookups->host_fd, lookups->older_id);
	if (found < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == ESTALE))
		SKIP(return, "the kernel has no file handles of namespaces");
	ASSERT_LE(0, found);
	close(found);
	found = open_listed(lookups);
	if (found < 0 && errno == ENOSYS)
		SKIP(return, "the kernel has no listns()");
	ASSERT_EQ(NULL, lookups->failed)
		TH_LOG("%s: %s", lookups->failed, strerror(lookups->error));
	if (found >= 0)
		SKIP(return, "other tasks make time namespaces");
	close(fd);
	ASSERT_EQ(0, setns(lookups->host_fd, CLONE_NEWTIME));

	for (i = 1; i < self->nr_tasks; i++) {
		self->tasks[i] = fork();
		ASSERT_LE(0, self->tasks[i]);
		if (!self->tasks[i]) {
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != maker)
				_exit(1);
			look_up(lookups, i);
		}
	}
	ASSERT_EQ(0, pin_to_cpu(MAKER));
}

FIXTURE_TEARDOWN(lookup_race)
{
}

/* The number of rounds has no useful limit, so alarm() limits each round instead. */
TEST_F_TIMEOUT(lookup_race, found_namespaces_are_whole, INT_MAX / 1000)
{
	struct lookups *lookups = self->lookups;
	unsigned int round, seen = 0, before, overlaps = 0;
	bool ended = true;
	int fd, i, status;
	pid_t pid;

	alarm(ROUND_SECONDS);
	while (__atomic_load_n(&lookups->ready, __ATOMIC_RELAXED) + 1 < self->nr_tasks)
		usleep(100);
	for (round = 0; round < self->rounds && !lookups->failed; round++) {
		const struct time_offsets offsets = offsets_of_write(round % NR_WRITES);

		alarm(ROUND_SECONDS);
		ASSERT_EQ(0, unshare(CLONE_NEWTIME));
		fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
		ASSERT_LE(0, fd);
		/* Another task may have found and joined it already. */
		if (write_offsets(fd, &offsets))
			ASSERT_EQ(EACCES, errno);
		close(fd);
		switch (round % 4) {
		case 0:
			break;
		case 1:
			pid = fork();
			if (!pid)
				_exit(0);
			ASSERT_LT(0, pid);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			break;
		default:
			fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
			ASSERT_LE(0, fd);
			ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
			close(fd);
		}
		ASSERT_EQ(0, setns(lookups->host_fd, CLONE_NEWTIME));
		before = seen;
		seen = __atomic_load_n(&lookups->found, __ATOMIC_RELAXED) +
		       __atomic_load_n(&lookups->gone, __ATOMIC_RELAXED);
		overlaps += seen != before;
	}
	__atomic_store_n(&lookups->done, true, __ATOMIC_RELAXED);
	for (i = 1; i < self->nr_tasks; i++) {
		ASSERT_EQ(self->tasks[i], waitpid(self->tasks[i], &status, 0));
		EXPECT_EQ(0, status);
		ended &= !status;
	}
	alarm(0);

	EXPECT_EQ(NULL, lookups->failed)
		TH_LOG("%s: %s", lookups->failed, strerror(lookups->error));
	TH_LOG("%u found by handle, %u gone, %u joined with offsets: %u torn, %u wrong otherwise",
	       lookups->found, lookups->gone, lookups->joined, lookups->torn, lookups->wrong);
	TH_LOG("RACE rounds %u overlaps %u failures %u", self->rounds, overlaps,
	       lookups->torn + lookups->wrong);
	EXPECT_EQ(0, lookups->torn + lookups->wrong);
	/* SKIP() would hide a failure. */
	if (ended && !lookups->failed && !lookups->torn && !lookups->wrong && !lookups->joined)
		SKIP(return, "no namespace was found in time to join it: there was no race");
}

TEST_HARNESS_MAIN

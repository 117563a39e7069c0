// SPDX-License-Identifier: GPL-2.0
/*
 * The permissions to create a time namespace, to join it and to write its offsets.
 *
 * A task needs CAP_SYS_ADMIN in the user namespace that will own the new time
 * namespace. To join a time namespace, it needs CAP_SYS_ADMIN in the user
 * namespace that owns it and in its own one. To write offsets, the opener of the
 * file needs CAP_SYS_TIME in the owner. It doesn't matter which task uses the
 * descriptor afterwards, or which namespace the file's task has by then.
 */
#include <linux/capability.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "timens_vdso.h"

#define USER		1000
#define OTHER_USER	1001

static const struct time_offsets ahead = { { 10 * DAY, 5 }, { 20 * DAY, 6 } };

/* Otherwise the task's files in /proc belong to root. */
static int make_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1);
}

static int become(uid_t user)
{
	if (setresgid(user, user, user) || setresuid(user, user, user))
		return -1;
	return make_dumpable();
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 || write(fd, text, strlen(text)) < 0 ? -1 : 0;

	close(fd);
	return ret;
}

/* Enters a user namespace and maps the user to root, so that another one can be nested. */
static int enter_user_ns(int flags)
{
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %d 1", geteuid());
	snprintf(groups, sizeof(groups), "0 %d 1", getegid());
	return unshare(CLONE_NEWUSER | flags) ?: make_dumpable() ?:
	       write_text("/proc/self/uid_map", users) ?:
	       write_text("/proc/self/setgroups", "deny") ?:
	       write_text("/proc/self/gid_map", groups);
}

/* Changes the effective set. All capabilities stay in the permitted set. */
static int set_capability(int capability, bool on)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	__u32 *effective = &data[CAP_TO_INDEX(capability)].effective;

	if (syscall(SYS_capget, &head, data))
		return -1;
	if (on)
		*effective |= CAP_TO_MASK(capability);
	else
		*effective &= ~CAP_TO_MASK(capability);
	return syscall(SYS_capset, &head, data) ?: make_dumpable();
}

static int open_offsets(pid_t pid)
{
	return open_of_task(pid, "timens_offsets", O_RDWR | O_CLOEXEC);
}

static int open_ns(pid_t pid, const char *name)
{
	return open_of_task(pid, name, O_RDONLY | O_CLOEXEC);
}

/* Returns 0, or the errno of a write. */
static int error_of_write(int fd)
{
	return write_offsets(fd, &ahead) ? errno : 0;
}

static int error_of(int ret)
{
	return ret < 0 ? errno : 0;
}

static int error_of_clone3(__u64 flags)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };
	int status, ret = syscall(SYS_clone3, &args, sizeof(args));

	if (!ret)
		_exit(0);
	if (ret < 0)
		return errno;
	waitpid(ret, &status, 0);
	return status;
}

/* Runs a function in a child, and returns the function's result: 0 or an errno. */
static int in_child(int (*function)(void *data), void *data)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(function(data));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* Another task, which performs steps on request until its pipe is closed */
struct other {
	pid_t pid;
	int go, ready;
};

static void step(struct __test_metadata *_metadata, struct other *other)
{
	char byte = 0;

	ASSERT_EQ(1, write(other->go, &byte, 1));
	ASSERT_EQ(1, read(other->ready, &byte, 1));
}

static void end(struct __test_metadata *_metadata, struct other *other)
{
	int status;

	close(other->go);
	ASSERT_EQ(other->pid, waitpid(other->pid, &status, 0));
	ASSERT_EQ(0, status);
}

/* Starts the task and performs the first step. @function is called for each step. */
static void start(struct __test_metadata *_metadata, struct other *other,
		  int (*function)(int step))
{
	int go[2], ready[2], nth;
	char byte;

	ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	other->pid = fork();
	ASSERT_LE(0, other->pid);
	if (!other->pid) {
		close(go[1]);
		close(ready[0]);
		for (nth = 0; read(go[0], &byte, 1) == 1; nth++) {
			if (function(nth))
				_exit(errno ?: 1);
			if (write(ready[1], &byte, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	close(go[0]);
	close(ready[1]);
	other->go = go[1];
	other->ready = ready[0];
	step(_metadata, other);
}

FIXTURE(permissions) {
	int host_fd;
};

FIXTURE_SETUP(permissions)
{
	if (!timens_supported(_metadata))
		return;
	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "the kernel has no user namespaces");
	self->host_fd = open_ns(getpid(), "ns/time");
	ASSERT_LE(0, self->host_fd);
}

FIXTURE_TEARDOWN(permissions)
{
}

TEST_F(permissions, unprivileged_user_is_refused)
{
	int root_fd = create_timens(&ahead);

	ASSERT_LE(0, root_fd);
	ASSERT_EQ(0, become(USER));
	EXPECT_EQ(EPERM, error_of(unshare(CLONE_NEWTIME)));
	EXPECT_EQ(EPERM, error_of_clone3(CLONE_NEWTIME));
	EXPECT_EQ(EPERM, error_of(setns(root_fd, CLONE_NEWTIME)));
	EXPECT_EQ(EPERM, error_of(setns(self->host_fd, CLONE_NEWTIME)));
	/* The user owns the file, but not the namespace. */
	EXPECT_EQ(EPERM, error_of_write(open_offsets(getpid())));
	EXPECT_EQ(0, error_of_clone3(CLONE_NEWUSER | CLONE_NEWTIME));
	EXPECT_EQ(0, error_of(unshare(CLONE_NEWUSER | CLONE_NEWTIME)));
}

TEST_F(permissions, new_user_namespace_gives_rights_to_own_namespaces)
{
	struct time_offsets more = { { 11 * DAY, 0 }, { 21 * DAY, 0 } };
	int root_fd = create_timens(&ahead);
	int fd, ns_fd;

	ASSERT_LE(0, root_fd);
	ASSERT_EQ(0, become(USER));
	ASSERT_EQ(0, unshare(CLONE_NEWUSER));
	ASSERT_EQ(0, make_dumpable());
	/* The task is still in root's time namespace. */
	EXPECT_EQ(EPERM, error_of_write(open_offsets(getpid())));
	EXPECT_EQ(EPERM, error_of(setns(root_fd, CLONE_NEWTIME)));
	EXPECT_EQ(EPERM, error_of(setns(self->host_fd, CLONE_NEWTIME)));

	ASSERT_EQ(0, unshare(CLONE_NEWTIME));
	fd = open_offsets(getpid());
	EXPECT_EQ(0, error_of_write(fd));
	EXPECT_EQ(0, error_of(write_offsets(fd, &more)));
	ns_fd = open_ns(getpid(), "ns/time_for_children");
	ASSERT_LE(0, ns_fd);

	ASSERT_EQ(0, set_capability(CAP_SYS_ADMIN, false));
	EXPECT_EQ(EPERM, error_of(unshare(CLONE_NEWTIME)));
	EXPECT_EQ(EPERM, error_of_clone3(CLONE_NEWTIME));
	EXPECT_EQ(EPERM, error_of(setns(ns_fd, CLONE_NEWTIME)));
	ASSERT_EQ(0, set_capability(CAP_SYS_ADMIN, true));
	EXPECT_EQ(0, error_of(setns(ns_fd, CLONE_NEWTIME)));
	EXPECT_EQ(EACCES, error_of_write(fd));
	/* The task can't join the old namespaces again. */
	EXPECT_EQ(EPERM, error_of(setns(root_fd, CLONE_NEWTIME)));
	EXPECT_EQ(EPERM, error_of(setns(self->host_fd, CLONE_NEWTIME)));
	EXPECT_LE(11 * DAY * NSEC_PER_SEC, read_syscall(CLOCK_MONOTONIC));
}

TEST_F(permissions, nested_user_namespace_has_no_rights_in_outer_one)
{
	int fd, ns_fd;

	ASSERT_EQ(0, become(USER));
	ASSERT_EQ(0, enter_user_ns(CLONE_NEWTIME));
	fd = open_offsets(getpid());
	ns_fd = open_ns(getpid(), "ns/time_for_children");
	ASSERT_EQ(0, enter_user_ns(0));
	/* The first file was opened outside the nested user namespace, the other one in it. */
	EXPECT_EQ(0, error_of_write(fd));
	EXPECT_EQ(EPERM, error_of_write(open_offsets(getpid())));
	EXPECT_EQ(EPERM, error_of(setns(ns_fd, CLONE_NEWTIME)));
	/* The nested user namespace owns the copy. */
	ASSERT_EQ(0, unshare(CLONE_NEWTIME));
	EXPECT_EQ(0, error_of_write(fd));
	EXPECT_EQ(0, error_of_write(open_offsets(getpid())));
	EXPECT_EQ(0, error_of(setns(open_ns(getpid(), "ns/time_for_children"), CLONE_NEWTIME)));
	EXPECT_EQ(EACCES, error_of_write(fd));
}

TEST_F(permissions, opener_needs_cap_sys_time)
{
	int with, without;

	ASSERT_EQ(0, unshare(CLONE_NEWTIME));
	with = open_offsets(getpid());
	ASSERT_EQ(0, set_capability(CAP_SYS_TIME, false));
	without = open_offsets(getpid());
	/* The capabilities of the opener count, not those of the writer. */
	EXPECT_EQ(0, error_of_write(with));
	EXPECT_EQ(EPERM, error_of_write(without));
	ASSERT_EQ(0, set_capability(CAP_SYS_TIME, true));
	EXPECT_EQ(0, error_of_write(with));
	EXPECT_EQ(EPERM, error_of_write(without));
	/* No other capability is needed. */
	ASSERT_EQ(0, set_capability(CAP_SYS_ADMIN, false));
	EXPECT_EQ(0, error_of_write(open_offsets(getpid())));
}

static int root_with_ns(int step)
{
	return unshare(CLONE_NEWTIME);
}

static int write_as_user(void *data)
{
	return become(USER) ? -1 : error_of_write(*(int *)data);
}

static int write_in_user_ns(void *data)
{
	return become(USER) || enter_user_ns(0) ? -1 : error_of_write(*(int *)data);
}

static int open_as_user(void *data)
{
	return become(USER) ? -1 : error_of(open_offsets(*(pid_t *)data));
}

TEST_F(permissions, user_can_write_to_file_opened_by_root)
{
	struct other root;
	int fd;

	start(_metadata, &root, root_with_ns);
	fd = open_offsets(root.pid);
	EXPECT_EQ(0, in_child(write_as_user, &fd));
	EXPECT_EQ(0, in_child(write_in_user_ns, &fd));
	EXPECT_EQ(EACCES, in_child(open_as_user, &root.pid));
	end(_metadata, &root);
}

TEST_F(permissions, root_cannot_write_to_file_opened_by_user)
{
	int fd;

	ASSERT_EQ(0, unshare(CLONE_NEWTIME));
	ASSERT_EQ(0, setresuid(USER, USER, 0));
	ASSERT_EQ(0, make_dumpable());
	fd = open_offsets(getpid());
	ASSERT_LE(0, fd);
	EXPECT_EQ(EPERM, error_of_write(fd));
	ASSERT_EQ(0, setresuid(0, 0, 0));
	ASSERT_EQ(0, make_dumpable());
	EXPECT_EQ(EPERM, error_of_write(fd));
	EXPECT_EQ(0, error_of_write(open_offsets(getpid())));
}

static int user_with_ns(int step)
{
	return become(USER) ?: enter_user_ns(CLONE_NEWTIME);
}

static int write_as_other_user(void *data)
{
	int fd;

	if (become(OTHER_USER))
		return errno;
	fd = open_offsets(*(pid_t *)data);
	return fd < 0 ? errno : error_of_write(fd);
}

static int write_as_same_user(void *data)
{
	int fd;

	if (become(USER))
		return errno;
	fd = open_offsets(*(pid_t *)data);
	return fd < 0 ? errno : error_of_write(fd);
}

static int join_as_same_user(void *data)
{
	return become(USER) ?: error_of(setns(*(int *)data, CLONE_NEWTIME));
}

/* The creator of a user namespace can write from outside of it, other users can't. */
TEST_F(permissions, creator_of_user_namespace_can_write_from_outside)
{
	struct other user;
	int ns_fd;

	start(_metadata, &user, user_with_ns);
	EXPECT_EQ(EACCES, in_child(write_as_other_user, &user.pid));
	EXPECT_EQ(0, in_child(write_as_same_user, &user.pid));
	EXPECT_EQ(0, error_of_write(open_offsets(user.pid)));
	/* setns() also needs CAP_SYS_ADMIN in the task's own user namespace. */
	ns_fd = open_ns(user.pid, "ns/time_for_children");
	EXPECT_EQ(EPERM, in_child(join_as_same_user, &ns_fd));
	EXPECT_EQ(0, error_of(setns(ns_fd, CLONE_NEWTIME)));
	EXPECT_EQ(EACCES, error_of_write(open_offsets(user.pid)));
	end(_metadata, &user);
}

static int host_fd;

/* Has a namespace of its own, then another one, then enters the host's one. */
static int root_that_moves(int step)
{
	switch (step) {
	case 0:
		host_fd = open_ns(getpid(), "ns/time");
		return unshare(CLONE_NEWTIME);
	case 1:
		return unshare(CLONE_NEWTIME);
	default:
		return setns(host_fd, CLONE_NEWTIME);
	}
}

TEST_F(permissions, file_follows_task_to_other_namespace)
{
	struct other root;
	char text[256];
	int fd, old_fd;

	start(_metadata, &root, root_that_moves);
	fd = open_offsets(root.pid);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, error_of_write(fd));
	old_fd = open_ns(root.pid, "ns/time_for_children");
	ASSERT_EQ(0, setns(old_fd, CLONE_NEWTIME));
	EXPECT_EQ(EACCES, error_of_write(fd));

	/* Now it has a copy, whose offsets are not frozen. */
	step(_metadata, &root);
	EXPECT_EQ(0, error_of_write(fd));
	step(_metadata, &root);
	EXPECT_EQ(EACCES, error_of_write(fd));

	end(_metadata, &root);
	EXPECT_EQ(ESRCH, error_of_write(fd));
	EXPECT_EQ(ESRCH, error_of(pread(fd, text, sizeof(text), 0)));
}

static int user_that_nests(int step)
{
	/* The second step nests another user namespace. */
	return step ? enter_user_ns(CLONE_NEWTIME) : user_with_ns(step);
}

struct outside { pid_t pid; int to_parent, from_parent; };

/* Opens the file as the creator of the outer user namespace, and writes on request. */
static int user_outside(void *data)
{
	struct outside *outside = data;
	char byte;
	int fd, error;

	if (become(USER))
		return errno;
	fd = open_offsets(outside->pid);
	if (fd < 0)
		return errno;
	do {
		error = error_of_write(fd);
		if (write(outside->to_parent, &error, sizeof(error)) != sizeof(error))
			return 1;
	} while (read(outside->from_parent, &byte, 1) == 1);
	return 0;
}

/* The rights of the file's opener in a user namespace extend to nested ones. */
TEST_F(permissions, file_follows_task_to_nested_user_namespace)
{
	int answers[2], go[2], error, status;
	struct outside outside;
	struct other user;
	pid_t pid;

	start(_metadata, &user, user_that_nests);
	ASSERT_EQ(0, pipe2(answers, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
	outside = (struct outside) { user.pid, answers[1], go[0] };
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(go[1]);
		close(user.go);
		_exit(user_outside(&outside));
	}
	close(go[0]);
	ASSERT_EQ(sizeof(error), read(answers[0], &error, sizeof(error)));
	EXPECT_EQ(0, error);

	step(_metadata, &user);
	ASSERT_EQ(1, write(go[1], "", 1));
	ASSERT_EQ(sizeof(error), read(answers[0], &error, sizeof(error)));
	EXPECT_EQ(0, error);

	end(_metadata, &user);
	ASSERT_EQ(1, write(go[1], "", 1));
	ASSERT_EQ(sizeof(error), read(answers[0], &error, sizeof(error)));
	EXPECT_EQ(ESRCH, error);
	close(go[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

static void *nothing(void *data)
{
	pause();
	return data;
}

/* The tasks that share memory share the page with the offsets, so none may join alone. */
TEST_F(permissions, setns_is_refused_with_threads)
{
	pthread_t thread;
	int fd = create_timens(&ahead);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, nothing, NULL));
	EXPECT_EQ(0, error_of(unshare(CLONE_NEWTIME)));
	EXPECT_EQ(EUSERS, error_of(setns(fd, CLONE_NEWTIME)));
	EXPECT_EQ(EUSERS, error_of(setns(self->host_fd, CLONE_NEWTIME)));
}

/* A zombie has no namespaces any more. */
TEST_F(permissions, file_of_zombie_is_empty)
{
	siginfo_t info;
	char text[256];
	int fd, go[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, unshare(CLONE_NEWTIME));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(go[1]);
		_exit(read(go[0], text, 1));
	}
	fd = open_offsets(pid);
	ASSERT_LE(0, fd);
	EXPECT_LT(0, pread(fd, text, sizeof(text), 0));
	EXPECT_EQ(EACCES, error_of_write(fd));
	close(go[1]);
	ASSERT_EQ(0, waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	EXPECT_EQ(ESRCH, error_of_write(fd));
	EXPECT_EQ(0, pread(fd, text, sizeof(text), 0));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(ESRCH, error_of_write(fd));
	EXPECT_EQ(-1, pread(fd, text, sizeof(text), 0));
	EXPECT_EQ(ESRCH, errno);
}

static int error_of_text(int fd, const char *text)
{
	return write(fd, text, strlen(text)) < 0 ? errno : 0;
}

/* KTIME_SEC_MAX is 9223372036. The kernel limits clocks to half of it. */
TEST_F(permissions, offsets_beyond_limits_are_refused)
{
	static const struct { const char *text; int error; } writes[] = {
		{ "monotonic 4611600000 999999999", 0 },
		{ "boottime 4611600000 999999999", 0 },
		{ "monotonic 4611686019 0", ERANGE },
		{ "monotonic 9223372036 0", ERANGE },
		{ "monotonic 9223372037 0", ERANGE },
		{ "boottime 9223372036854775807 999999999", ERANGE },
		{ "monotonic -9223372036 999999999", ERANGE },
		{ "monotonic -9223372037 0", ERANGE },
		{ "boottime -9223372036854775808 0", ERANGE },
		{ "boottime -9223372036854775808 1000000000", EINVAL },
		{ "monotonic 0 1000000000", EINVAL },
		{ "monotonic 0 -1", EINVAL },
		{ "monotonic 0 9223372036854775807", EINVAL },
		{ "monotonic 0 9223372036854775808", EINVAL },
		{ "monotonic 0 18446744073709551615", EINVAL },
		{ "2147483648 0 0", EINVAL },
		{ "-1 0 0", EINVAL },
		{ "0 0 0", EINVAL },
		{ "monotonic 1 0\nboottime 9223372036854775807 0\n", ERANGE },
	};
	const struct time_offsets greatest = {
		{ 4611600000, 999999999 }, { 4611600000, 999999999 },
	};
	char text[256];
	unsigned int i;
	int fd;

	ASSERT_EQ(0, unshare(CLONE_NEWTIME));
	fd = open_offsets(getpid());
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		EXPECT_EQ(writes[i].error, error_of_text(fd, writes[i].text))
			TH_LOG("%s", writes[i].text);
	}
	/* The refused writes have changed nothing. */
	ASSERT_LT(0, pread(fd, text, sizeof(text), 0));
	EXPECT_EQ(0, strncmp(text, "monotonic  4611600000 999999999\n"
				   "boottime   4611600000 999999999\n", 64));

	ASSERT_EQ(0, setns(open_ns(getpid(), "ns/time_for_children"), CLONE_NEWTIME));
	for (i = 0; i < NR_SHIFTED; i++) {
		struct timespec ts;

		ASSERT_EQ(0, clock_gettime(shifted_clocks[i].id, &ts));
		EXPECT_LE(greatest.monotonic.sec, ts.tv_sec);
		EXPECT_GT(greatest.monotonic.sec + 10 * DAY, ts.tv_sec);
	}
}

TEST_HARNESS_MAIN

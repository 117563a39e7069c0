// SPDX-License-Identifier: GPL-2.0
/*
 * Who may create, set and join a time namespace.
 *
 * Creating one takes CAP_SYS_ADMIN in the user namespace that will own it,
 * joining one CAP_SYS_ADMIN in the one that owns it and in the own one. For its
 * offsets whoever opened the file needs CAP_SYS_TIME in the owner, whoever uses
 * the descriptor afterwards, and whichever namespace the task has by then.
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

/* Without it the files in /proc are root's. */
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

/* A user namespace in which the user is root, so that there can be one in it */
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

/* Whether a capability is in the effective set; of the permitted ones, all stay. */
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

/* What came of a write: 0 or an errno */
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

/* Runs a function in a child, and gives what it returns: 0 or an errno. */
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

/* Another task: it says when it is ready, and lives until it is told to go on. */
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

/* @function is called for each step until the one that tells it to go on is gone. */
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

TEST_F(permissions, unprivileged_user)
{
	int root_fd = create_timens(&ahead);

	ASSERT_LE(0, root_fd);
	ASSERT_EQ(0, become(USER));
	EXPECT_EQ(EPERM, error_of(unshare(CLONE_NEWTIME)));
	EXPECT_EQ(EPERM, error_of_clone3(CLONE_NEWTIME));
	EXPECT_EQ(EPERM, error_of(setns(root_fd, CLONE_NEWTIME)));
	EXPECT_EQ(EPERM, error_of(setns(self->host_fd, CLONE_NEWTIME)));
	/* The file is the user's own, the namespace isn't. */
	EXPECT_EQ(EPERM, error_of_write(open_offsets(getpid())));
	EXPECT_EQ(0, error_of_clone3(CLONE_NEWUSER | CLONE_NEWTIME));
	EXPECT_EQ(0, error_of(unshare(CLONE_NEWUSER | CLONE_NEWTIME)));
}

TEST_F(permissions, fresh_user_namespace)
{
	struct time_offsets more = { { 11 * DAY, 0 }, { 21 * DAY, 0 } };
	int root_fd = create_timens(&ahead);
	int fd, ns_fd;

	ASSERT_LE(0, root_fd);
	ASSERT_EQ(0, become(USER));
	ASSERT_EQ(0, unshare(CLONE_NEWUSER));
	ASSERT_EQ(0, make_dumpable());
	/* Still in root's */
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
	/* There is no way back. */
	EXPECT_EQ(EPERM, error_of(setns(root_fd, CLONE_NEWTIME)));
	EXPECT_EQ(EPERM, error_of(setns(self->host_fd, CLONE_NEWTIME)));
	EXPECT_LE(11 * DAY * NSEC_PER_SEC, read_syscall(CLOCK_MONOTONIC));
}

TEST_F(permissions, nested_user_namespaces)
{
	int fd, ns_fd;

	ASSERT_EQ(0, become(USER));
	ASSERT_EQ(0, enter_user_ns(CLONE_NEWTIME));
	fd = open_offsets(getpid());
	ns_fd = open_ns(getpid(), "ns/time_for_children");
	ASSERT_EQ(0, enter_user_ns(0));
	/* Opened outside the second one, and in it */
	EXPECT_EQ(0, error_of_write(fd));
	EXPECT_EQ(EPERM, error_of_write(open_offsets(getpid())));
	EXPECT_EQ(EPERM, error_of(setns(ns_fd, CLONE_NEWTIME)));
	/* The copy is the second one's. */
	ASSERT_EQ(0, unshare(CLONE_NEWTIME));
	EXPECT_EQ(0, error_of_write(fd));
	EXPECT_EQ(0, error_of_write(open_offsets(getpid())));
	EXPECT_EQ(0, error_of(setns(open_ns(getpid(), "ns/time_for_children"), CLONE_NEWTIME)));
	EXPECT_EQ(EACCES, error_of_write(fd));
}

TEST_F(permissions, needs_cap_sys_time)
{
	int with, without;

	ASSERT_EQ(0, unshare(CLONE_NEWTIME));
	with = open_offsets(getpid());
	ASSERT_EQ(0, set_capability(CAP_SYS_TIME, false));
	without = open_offsets(getpid());
	/* Who opened counts, not who writes. */
	EXPECT_EQ(0, error_of_write(with));
	EXPECT_EQ(EPERM, error_of_write(without));
	ASSERT_EQ(0, set_capability(CAP_SYS_TIME, true));
	EXPECT_EQ(0, error_of_write(with));
	EXPECT_EQ(EPERM, error_of_write(without));
	/* No other capability helps or is missed. */
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

TEST_F(permissions, passed_from_root_to_user)
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

TEST_F(permissions, passed_from_user_to_root)
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

/* From outside: the one who made the user namespace may, others may not. */
TEST_F(permissions, from_outside)
{
	struct other user;
	int ns_fd;

	start(_metadata, &user, user_with_ns);
	EXPECT_EQ(EACCES, in_child(write_as_other_user, &user.pid));
	EXPECT_EQ(0, in_child(write_as_same_user, &user.pid));
	EXPECT_EQ(0, error_of_write(open_offsets(user.pid)));
	/* To join, it takes rights in the own user namespace too. */
	ns_fd = open_ns(user.pid, "ns/time_for_children");
	EXPECT_EQ(EPERM, in_child(join_as_same_user, &ns_fd));
	EXPECT_EQ(0, error_of(setns(ns_fd, CLONE_NEWTIME)));
	EXPECT_EQ(EACCES, error_of_write(open_offsets(user.pid)));
	end(_metadata, &user);
}

static int host_fd;

/* Has a namespace of its own, then another one, then enters the host's. */
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

TEST_F(permissions, file_of_a_task_that_moves)
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

	/* It has a copy now, which is open. */
	step(_metadata, &root);
	EXPECT_EQ(0, error_of_write(fd));
	step(_metadata, &root);
	EXPECT_EQ(EACCES, error_of_write(fd));

	end(_metadata, &root);
	EXPECT_EQ(ESRCH, error_of_write(fd));
	EXPECT_EQ(ESRCH, error_of(pread(fd, text, sizeof(text), 0)));
}

static int user_that_goes_down(int step)
{
	/* The second time, in one user namespace more */
	return step ? enter_user_ns(CLONE_NEWTIME) : user_with_ns(step);
}

struct opened { pid_t pid; int to_parent, from_parent; };

/* Opens as the user that made the first of the user namespaces, and writes again and again. */
static int user_outside(void *data)
{
	struct opened *opened = data;
	char byte;
	int fd, error;

	if (become(USER))
		return errno;
	fd = open_offsets(opened->pid);
	if (fd < 0)
		return errno;
	do {
		error = error_of_write(fd);
		if (write(opened->to_parent, &error, sizeof(error)) != sizeof(error))
			return 1;
	} while (read(opened->from_parent, &byte, 1) == 1);
	return 0;
}

/* The owner of the new namespace is below the old one's: who may there, may here. */
TEST_F(permissions, file_of_a_task_that_goes_down)
{
	int answers[2], go[2], error, status;
	struct opened opened;
	struct other user;
	pid_t pid;

	start(_metadata, &user, user_that_goes_down);
	ASSERT_EQ(0, pipe2(answers, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
	opened = (struct opened) { user.pid, answers[1], go[0] };
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(go[1]);
		close(user.go);
		_exit(user_outside(&opened));
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

/* The threads of a process, and who shares its memory, have one page with offsets. */
TEST_F(permissions, only_alone)
{
	pthread_t thread;
	int fd = create_timens(&ahead);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, nothing, NULL));
	EXPECT_EQ(0, error_of(unshare(CLONE_NEWTIME)));
	EXPECT_EQ(EUSERS, error_of(setns(fd, CLONE_NEWTIME)));
	EXPECT_EQ(EUSERS, error_of(setns(self->host_fd, CLONE_NEWTIME)));
}

/* A task that has ended, but not been waited for, has no namespaces. */
TEST_F(permissions, file_of_a_zombie)
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

/* KTIME_SEC_MAX is 9223372036, and a clock may show half of it. */
TEST_F(permissions, extremes)
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
	/* What was refused has changed nothing. */
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

// SPDX-License-Identifier: GPL-2.0
/* The operations. */
#include "faults.h"

#include <linux/sched.h>

int do_unshare(void)
{
	return unshare(CLONE_NEWTIME) ? errno : 0;
}

static int do_unshare_user(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWTIME) ? errno : 0;
}

int do_write_monotonic(void)
{
	return write_offsets(offsets_fd, "monotonic 1000000 0\n");
}

int do_write_boottime(void)
{
	return write_offsets(offsets_fd, "boottime 2000000 0\n");
}

int do_write_both(void)
{
	return write_offsets(offsets_fd, OFFSETS);
}

int do_write_others(void)
{
	return write_offsets(offsets_fd, OTHER_OFFSETS);
}

int do_write_zeroes(void)
{
	return write_offsets(offsets_fd, NO_OFFSETS);
}

static int do_read(void)
{
	char text[256];
	ssize_t length = pread(offsets_fd, text, sizeof(text) - 1, 0);

	if (length < 0)
		return errno;
	text[length] = '\0';
	if (strcmp(text, OFFSETS))
		record_failure("read: %s", text);
	return 0;
}

static int do_open(void)
{
	int fd = open(OFFSETS_FILE, O_RDWR);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int do_open_namespace(void)
{
	struct stat data;
	int fd = open(CHILDREN_NS, O_RDONLY);

	if (fd < 0)
		return errno;
	must(fstat(fd, &data), "stat a namespace");
	if (data.st_ino != children)
		record_failure("a wrong namespace was opened");
	close(fd);
	return 0;
}

static int do_get_owner(void)
{
	struct stat data;
	int fd = ioctl(namespace_fd, NS_GET_USERNS);

	if (fd < 0)
		return errno;
	must(fstat(fd, &data), "stat a namespace");
	if (data.st_ino != owner)
		record_failure("a wrong owner was opened");
	close(fd);
	return 0;
}

static int do_open_by_pidfd(void)
{
	int fd = ioctl(pidfd, PIDFD_GET_TIME_NAMESPACE, 0);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int do_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		return errno;
	if (!pid) {
		if (inode(OWN_NS) != children || inode(CHILDREN_NS) != children)
			record_failure("the child is not in its namespace");
		check_clocks(OFFSETS);
		_exit(0);
	}
	if (wait_for(pid))
		record_failure("the child failed");
	return 0;
}

static int do_setns(void)
{
	return setns(namespace_fd, CLONE_NEWTIME) ? errno : 0;
}

static int do_setns_several(void)
{
	const int flags = CLONE_NEWTIME | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS;

	return setns(pidfd, flags) ? errno : 0;
}

static int clone_with(uint64_t flags, const char *offsets)
{
	struct clone_args arguments = { .flags = flags, .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (pid < 0)
		return errno;
	if (!pid) {
		check_clocks(offsets);
		_exit(0);
	}
	if (wait_for(pid))
		record_failure("the child failed");
	return 0;
}

static const uint64_t many = CLONE_NEWTIME | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
			     CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;

static int do_clone(void)
{
	return clone_with(CLONE_NEWTIME, NO_OFFSETS);
}

static int do_clone_many(void)
{
	return clone_with(many, NO_OFFSETS);
}

static int do_clone_copy(void)
{
	return clone_with(many, OFFSETS);
}

static int do_clone_all(void)
{
	return clone_with(many | CLONE_NEWNET, NO_OFFSETS);
}

static int do_exec(void)
{
	char namespace[32];

	snprintf(namespace, sizeof(namespace), "%ju", (uintmax_t)children);
	execl(self, self, "after-exec", namespace, NULL);
	return errno;
}

/* The child that calls exec: it shares the memory, but not the descriptors and the fault. */
static int exec_child(void *data)
{
	(void)data;
	open_fail_nth();
	arm(fault);
	result->error = do_exec();
	result->injected = disarm();
	_exit(0);
}

/* Whether a child that wrote no result was killed by the fault, or met it after exec. */
bool met_fault(int status)
{
	return WIFSIGNALED(status) || WEXITSTATUS(status) == MET_FAULT;
}

/* Like posix_spawn(). */
static int do_spawn(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t pid = must(clone(exec_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL),
			 "clone");
	int status = wait_for(pid);

	if (met_fault(status))
		result->died = result->injected = true;
	else if (!result->error && !result->done)
		record_failure("the child failed");
	result->done = false;
	return result->error;
}

const struct operation operations[NR_OPERATIONS] = {
	{ "unshare", prepare_nothing, do_unshare, .verify = verify_unshare },
	{ "unshare by a new user", prepare_user, do_unshare, .verify = verify_unshare,
	  .others = { ENOSPC } },
	{ "unshare, with a user namespace", prepare_nothing, do_unshare_user,
	  .verify = verify_unshare_user, .others = { ENOSPC } },
	{ "unshare, which copies offsets", prepare_offsets, do_unshare, .verify = verify_copy },
	{ "write of monotonic", prepare_namespace, do_write_monotonic, .verify = verify_write_monotonic },
	{ "write of boottime", prepare_namespace, do_write_boottime, .verify = verify_write_boottime },
	{ "write of both", prepare_namespace, do_write_both, .verify = verify_write_both },
	{ "write over other offsets", prepare_offsets, do_write_others, .verify = verify_write_others },
	{ "write of zeroes", prepare_offsets, do_write_zeroes, .verify = verify_write_zeroes },
	{ "open of timens_offsets", prepare_offsets, do_open, .verify = verify_same },
	{ "read of timens_offsets", prepare_offsets, do_read, .verify = verify_same },
	{ "open of a namespace", prepare_offsets, do_open_namespace, .verify = verify_same },
	{ "ioctl for the owner of a namespace", prepare_descriptor, do_get_owner,
	  .verify = verify_nothing },
	{ "ioctl for the namespace of a pidfd", prepare_helper, do_open_by_pidfd,
	  .verify = verify_nothing },
	{ "fork", prepare_offsets, do_fork, .verify = verify_fork },
	{ "exec", prepare_offsets, do_exec, .verify = verify_same,
	  .others = { E2BIG, ENOEXEC }, .may_die = true },
	{ "exec by a child that shares the memory", prepare_offsets, do_spawn, .verify = verify_fork,
	  .others = { E2BIG, ENOEXEC }, .may_die = true, .by_child = true },
	{ "setns", prepare_descriptor, do_setns, .verify = verify_setns },
	{ "setns to several namespaces", prepare_helper, do_setns_several, .verify = verify_setns },
	{ "clone3", prepare_nothing, do_clone, .verify = verify_nothing },
	{ "clone3, seven namespaces", prepare_nothing, do_clone_many, .verify = verify_nothing,
	  .others = { EAGAIN } },
	{ "clone3, seven namespaces, which copies offsets", prepare_offsets, do_clone_copy,
	  .verify = verify_fork, .others = { EAGAIN } },
	{ "clone3, all namespaces", prepare_nothing, do_clone_all, .verify = verify_nothing,
	  .others = { EAGAIN }, .any_error = true, .once = true },
};

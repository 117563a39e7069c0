// SPDX-License-Identifier: GPL-2.0
/*
 * Lets every allocation of every operation on time namespaces fail once, and looks what is left.
 *
 * For each operation a child is made ready, /proc/thread-self/fail-nth set to 1, 2, 3 and so on, and
 * the operation carried out, until it succeeds before its turn to fail has come. Whatever it comes
 * to, nothing may be half-done: links, offsets and clocks are those from before or those of success,
 * and the task can still do all that one does with a time namespace. When it is all over the counts
 * of namespaces, of slab objects and of charged pages must be what they were.
 *
 * All is done once, and then TIMENS_FAULTS_ROUNDS times between the two counts of objects and pages,
 * or some times as often if something seems to be left. Where that is 0 they are not counted: a kernel
 * that watches itself, and needs a second for each fault, has objects of its own, and tells of lost ones
 * itself. No network namespace is made there.
 *
 * Speaks KTAP. For what it needs see harness/configs/faults.config.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/kernel-page-flags.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "settle.h"

#define DEBUG		"/sys/kernel/debug/"
#define CGROUPS		"/sys/fs/cgroup/"
#define LIMIT_FILE	"/proc/sys/user/max_time_namespaces"
#define OFFSETS_FILE	"/proc/self/timens_offsets"
#define OWN_NS		"/proc/self/ns/time"
#define CHILDREN_NS	"/proc/self/ns/time_for_children"
#define USER_NS		"/proc/self/ns/user"

/* What the C library's headers may be too old for. */
#define NS_GET_USERNS			_IO(0xb7, 0x1)
#define PIDFD_GET_TIME_NAMESPACE	_IO(0xff, 7)

#define NO_OFFSETS	"monotonic           0         0\nboottime            0         0\n"
#define OFFSETS		"monotonic     1000000         0\nboottime      2000000         0\n"
#define OTHER_OFFSETS	"monotonic     3000000         5\nboottime      4000000         7\n"

/* Longer than any guest lives, and less than all offsets, in seconds. */
#define LIFETIME	100000

/* Someone who has no time namespace, so that there is not even a count of them. */
#define NOBODY		12345

#define MAX_NTH		3000
/* How often all is done again, by so many rounds each, until what is left does not grow with them. */
#define MAX_TIMES	4
/* What a cgroup with little memory has, and by how much it grows. */
#define LITTLE		(1 << 20)
#define PAGE		4096
/* What a namespace takes of it at least. */
#define LEAST		128
#define MAX_CACHES	512
/* How often the kernel is had free what it frees later. */
#define SETTLE		8

/* How the program that is executed ends if it meets the fault before it can tell anything. */
#define MET_FAULT	3

/* Descriptors that stay over exec. */
#define RESULT_FD	100
#define FAIL_NTH_FD	101

/* What the child that does the operation tells its parent. */
static struct result {
	bool done;
	bool injected;
	/* The child that does it was killed. */
	bool died;
	int error;
	char complaint[256];
} *result;

static const char *self;
static int offsets_fd, namespace_fd, pidfd;
static pid_t helper;
/* Between the two counts. */
static unsigned int more_rounds;
/* The namespaces of the child before the operation. */
static ino_t own, children, owner;
/* Which allocation is to fail. */
static unsigned int fault;
static unsigned int number, failures;

static void report(bool good, const char *name, const char *format, ...)
{
	va_list arguments;

	if (!good && *format) {
		va_start(arguments, format);
		printf("# ");
		vprintf(format, arguments);
		printf("\n");
		va_end(arguments);
	}
	printf("%sok %u %s\n", good ? "" : "not ", ++number, name);
	failures += !good;
}

/* Keeps the first complaint. */
static void complain(const char *format, ...)
{
	va_list arguments;

	if (*result->complaint)
		return;
	va_start(arguments, format);
	vsnprintf(result->complaint, sizeof(result->complaint), format, arguments);
	va_end(arguments);
}

/* What is not a part of the test, and must work. */
static int must(int value, const char *what)
{
	if (value < 0)
		error(2, errno, "cannot %s", what);
	return value;
}

static long long read_number(const char *path)
{
	long long value;
	FILE *file = fopen(path, "r");

	if (!file)
		error(2, errno, "cannot read %s", path);
	if (fscanf(file, "%lld", &value) != 1)
		error(2, 0, "%s has no number", path);
	fclose(file);
	return value;
}

/* As init the parent of whatever loses its own would keep them. */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			error(2, errno, "cannot wait");
	return status;
}

static ino_t inode(const char *path)
{
	struct stat data;

	must(stat(path, &data), path);
	return data.st_ino;
}

static void read_offsets(int fd, char *text, size_t size)
{
	ssize_t length = pread(fd, text, size - 1, 0);

	text[must(length, "read " OFFSETS_FILE)] = '\0';
}

static int write_offsets(int fd, const char *text)
{
	/* pwrite() is not for such files. */
	must(lseek(fd, 0, SEEK_SET), "seek in " OFFSETS_FILE);
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : errno;
}

/* Complains of a clock that is not ahead by the offsets of its time namespace. */
static void check_clocks(const char *offsets)
{
	static const struct {
		const char *name;
		clockid_t id;
		bool boottime;
	} clocks[] = {
		{ "MONOTONIC", CLOCK_MONOTONIC, false },
		{ "MONOTONIC_RAW", CLOCK_MONOTONIC_RAW, false },
		{ "MONOTONIC_COARSE", CLOCK_MONOTONIC_COARSE, false },
		{ "BOOTTIME", CLOCK_BOOTTIME, true },
	};
	long long offset[2];
	size_t i;
	int way;

	if (sscanf(offsets, "monotonic %lld %*d boottime %lld", &offset[0], &offset[1]) != 2)
		error(2, 0, "not the text of offsets: %s", offsets);
	for (i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		for (way = 0; way < 2; way++) {
			struct timespec now;
			long long rest;

			if (way)
				syscall(SYS_clock_gettime, clocks[i].id, &now);
			else
				clock_gettime(clocks[i].id, &now);
			rest = now.tv_sec - offset[clocks[i].boottime];
			if (rest < 0 || rest > LIFETIME)
				complain("%s reads %lld with an offset of %lld", clocks[i].name,
					 (long long)now.tv_sec, offset[clocks[i].boottime]);
		}
	}
}

static void check_offsets(const char *expected)
{
	char text[256];

	read_offsets(offsets_fd, text, sizeof(text));
	if (strcmp(text, expected))
		complain("the offsets are %s", text);
}

/* Complains unless the links are those from before. */
static void check_links(const char *when)
{
	if (inode(OWN_NS) != own || inode(CHILDREN_NS) != children || inode(USER_NS) != owner)
		complain("a link has changed %s", when);
}

/* A child in the namespace for children has its offsets. */
static void check_child(const char *offsets)
{
	pid_t pid = must(fork(), "fork");

	if (!pid) {
		if (inode(OWN_NS) != inode(CHILDREN_NS))
			complain("the child is not in its namespace");
		check_clocks(offsets);
		_exit(0);
	}
	if (wait_for(pid))
		complain("the child did not end well");
}

/* All that one does with a time namespace still works. */
static void check_life(void)
{
	int fd, failed;

	if (unshare(CLONE_NEWTIME)) {
		complain("unshare fails afterwards: %s", strerror(errno));
		return;
	}
	fd = must(open(OFFSETS_FILE, O_RDWR), "open " OFFSETS_FILE);
	failed = write_offsets(fd, OTHER_OFFSETS);
	if (failed)
		complain("a write fails afterwards: %s", strerror(failed));
	close(fd);
	check_child(OTHER_OFFSETS);
}

static void take_stock(void)
{
	own = inode(OWN_NS);
	children = inode(CHILDREN_NS);
	owner = inode(USER_NS);
}

static void prepare_nothing(void)
{
}

static void prepare_namespace(void)
{
	must(unshare(CLONE_NEWTIME), "unshare");
	offsets_fd = must(open(OFFSETS_FILE, O_RDWR), "open " OFFSETS_FILE);
}

static void prepare_offsets(void)
{
	prepare_namespace();
	errno = write_offsets(offsets_fd, OFFSETS);
	must(-!!errno, "write " OFFSETS_FILE);
}

/* An open namespace that is nobody's, by a descriptor. */
static void prepare_descriptor(void)
{
	int fd = must(open(OWN_NS, O_RDONLY), "open " OWN_NS);

	prepare_offsets();
	namespace_fd = must(open(CHILDREN_NS, O_RDONLY), "open " CHILDREN_NS);
	must(setns(fd, CLONE_NEWTIME), "return to the initial namespace");
	close(offsets_fd);
	close(fd);
}

static void prepare_joined(void)
{
	prepare_offsets();
	namespace_fd = must(open(CHILDREN_NS, O_RDONLY), "open " CHILDREN_NS);
	must(setns(namespace_fd, CLONE_NEWTIME), "join");
}

/* A task that has several namespaces of its own. */
static void prepare_helper(void)
{
	int ready[2];
	char byte;

	must(pipe(ready), "make a pipe");
	helper = must(fork(), "fork");
	if (!helper) {
		must(prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
		must(unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS), "unshare");
		prepare_joined();
		must(write(ready[1], "", 1), "say that the helper is ready");
		pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		error(2, 0, "the helper did not get ready");
	close(ready[0]);
	pidfd = must(syscall(SYS_pidfd_open, helper, 0), "open a pidfd");
}

/* Who has no count of time namespaces, but all capabilities. */
static void prepare_user(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	must(syscall(SYS_capget, &header, data), "get the capabilities");
	must(seteuid(NOBODY), "change the user");
	must(syscall(SYS_capset, &header, data), "keep the capabilities");
}

static int do_unshare(void)
{
	return unshare(CLONE_NEWTIME) ? errno : 0;
}

static int do_unshare_user(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWTIME) ? errno : 0;
}

static int do_write_monotonic(void)
{
	return write_offsets(offsets_fd, "monotonic 1000000 0\n");
}

static int do_write_boottime(void)
{
	return write_offsets(offsets_fd, "boottime 2000000 0\n");
}

static int do_write_both(void)
{
	return write_offsets(offsets_fd, OFFSETS);
}

static int do_write_others(void)
{
	return write_offsets(offsets_fd, OTHER_OFFSETS);
}

static int do_write_zeroes(void)
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
		complain("read: %s", text);
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
		complain("another namespace was opened");
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
		complain("another owner was opened");
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
			complain("the child is not in its namespace");
		check_clocks(OFFSETS);
		_exit(0);
	}
	if (wait_for(pid))
		complain("the child did not end well");
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
		complain("the child did not end well");
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

static void arm(unsigned int nth);
static bool disarm(void);
static void get_ready(void);

/* The child that executes: it shares the memory, not the descriptors, and has faults of its own. */
static int execute(void *data)
{
	(void)data;
	get_ready();
	arm(fault);
	result->error = do_exec();
	result->injected = disarm();
	_exit(0);
}

/* Whether a child that has said nothing was killed by the fault, or met it after exec. */
static bool met_fault(int status)
{
	return WIFSIGNALED(status) || WEXITSTATUS(status) == MET_FAULT;
}

/* As posix_spawn() does it. */
static int do_spawn(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t pid = must(clone(execute, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL),
			 "clone");
	int status = wait_for(pid);

	if (met_fault(status))
		result->died = result->injected = true;
	else if (!result->error && !result->done)
		complain("the child did not end well");
	result->done = false;
	return result->error;
}

static void verify_unshare(int failed)
{
	if (failed) {
		check_links("though unshare failed");
		return;
	}
	if (inode(OWN_NS) != own)
		complain("the task itself has moved");
	if (inode(CHILDREN_NS) == children)
		complain("there is no new namespace");
	offsets_fd = must(open(OFFSETS_FILE, O_RDWR), "open " OFFSETS_FILE);
	check_offsets(NO_OFFSETS);
}

static void verify_unshare_user(int failed)
{
	verify_unshare(failed);
	if (!failed && inode(USER_NS) == owner)
		complain("there is no new user namespace");
}

static void verify_copy(int failed)
{
	check_offsets(OFFSETS);
	if (failed)
		check_links("though unshare failed");
	else if (inode(CHILDREN_NS) == children)
		complain("there is no copy");
	check_child(OFFSETS);
}

/* Those from before, or those of success; in the first case the write works another time. */
static void verify_write(int failed, const char *before, const char *after, int (*operate)(void))
{
	check_links("by a write");
	check_offsets(failed ? before : after);
	if (failed && operate())
		complain("the write fails another time");
	check_child(after);
	if (!failed && do_write_zeroes() != EACCES)
		complain("a write is possible after the first child");
}

static void verify_write_monotonic(int failed)
{
	verify_write(failed, NO_OFFSETS,
		     "monotonic     1000000         0\nboottime            0         0\n",
		     do_write_monotonic);
}

static void verify_write_boottime(int failed)
{
	verify_write(failed, NO_OFFSETS,
		     "monotonic           0         0\nboottime      2000000         0\n",
		     do_write_boottime);
}

static void verify_write_both(int failed)
{
	verify_write(failed, NO_OFFSETS, OFFSETS, do_write_both);
}

static void verify_write_others(int failed)
{
	verify_write(failed, OFFSETS, OTHER_OFFSETS, do_write_others);
}

static void verify_write_zeroes(int failed)
{
	verify_write(failed, OFFSETS, NO_OFFSETS, do_write_zeroes);
}

static void verify_same(int failed)
{
	check_links(failed ? "though it failed" : "by looking");
	check_offsets(OFFSETS);
}

static void verify_fork(int failed)
{
	check_links(failed ? "though the child failed" : "by the child");
	check_offsets(OFFSETS);
	/* When a child that failed came that far it froze the offsets, as in stock. */
	check_child(OFFSETS);
	check_clocks(NO_OFFSETS);
}

static void verify_setns(int failed)
{
	if (failed) {
		check_links("though setns failed");
		check_clocks(NO_OFFSETS);
	} else {
		if (inode(OWN_NS) == own || inode(CHILDREN_NS) != inode(OWN_NS))
			complain("the task has not moved");
		check_clocks(OFFSETS);
	}
}

static void verify_nothing(int failed)
{
	check_links(failed ? "though it failed" : "by it");
	check_clocks(NO_OFFSETS);
}

#define MAX_OTHERS	2

static const struct operation {
	const char *name;
	void (*prepare)(void);
	int (*operate)(void);
	void (*verify)(int failed);
	/* The errors besides ENOMEM. Each must be seen, if it is done in each round. */
	int others[MAX_OTHERS];
	/* Past the point of no return the task is killed, or its new program meets the fault. */
	bool may_die;
	/* Has so many allocations, most of them not ours or those of another one, that once is enough. */
	bool once;
	/* Others' allocations fail with errors of their own. */
	bool any_error;
	/* A child does it, and arms itself. */
	bool by_child;
} operations[] = {
	{ "unshare", prepare_nothing, do_unshare, .verify = verify_unshare },
	{ "unshare by a user who has no count yet", prepare_user, do_unshare, .verify = verify_unshare,
	  .others = { ENOSPC } },
	{ "unshare, with a user namespace", prepare_nothing, do_unshare_user, .verify = verify_unshare_user,
	  .others = { ENOSPC } },
	{ "unshare, which copies offsets", prepare_offsets, do_unshare, .verify = verify_copy },
	{ "write of monotonic", prepare_namespace, do_write_monotonic, .verify = verify_write_monotonic },
	{ "write of boottime", prepare_namespace, do_write_boottime, .verify = verify_write_boottime },
	{ "write of both", prepare_namespace, do_write_both, .verify = verify_write_both },
	{ "write over others", prepare_offsets, do_write_others, .verify = verify_write_others },
	{ "write of zeroes", prepare_offsets, do_write_zeroes, .verify = verify_write_zeroes },
	{ "open of timens_offsets", prepare_offsets, do_open, .verify = verify_same },
	{ "read of timens_offsets", prepare_offsets, do_read, .verify = verify_same },
	{ "open of a namespace", prepare_offsets, do_open_namespace, .verify = verify_same },
	{ "owner of a namespace", prepare_descriptor, do_get_owner, .verify = verify_nothing },
	{ "namespace of a pidfd", prepare_helper, do_open_by_pidfd, .verify = verify_nothing },
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

#define NR_OPERATIONS	(sizeof(operations) / sizeof(operations[0]))

/* What the operations of one kind came to. */
struct counts {
	unsigned int injected, succeeded, enomem, others[MAX_OTHERS], foreign, died;
	char complaint[512];
};

static void arm(unsigned int nth)
{
	char text[16];
	int length = sprintf(text, "%u", nth);

	if (pwrite(FAIL_NTH_FD, text, length, 0) != length)
		error(2, errno, "cannot write fail-nth");
}

/* Says whether a fault was injected. */
static bool disarm(void)
{
	char text[16] = "";

	if (pread(FAIL_NTH_FD, text, sizeof(text) - 1, 0) <= 0)
		error(2, errno, "cannot read fail-nth");
	arm(0);
	return !atoi(text);
}

/* A task's own file: it goes on to be that of the task which opened it. */
static void get_ready(void)
{
	int fd = must(open("/proc/thread-self/fail-nth", O_RDWR), "open fail-nth");

	must(dup2(fd, FAIL_NTH_FD), "dup2");
	close(fd);
	/* The page is faulted in here: else that would meet the fault, not the operation. */
	result->error = 0;
}

/* The child: does the operation with its nth allocation failing. */
static void operate(const struct operation *operation, unsigned int nth)
{
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
	operation->prepare();
	take_stock();
	fault = nth;
	if (operation->by_child) {
		result->error = operation->operate();
	} else {
		get_ready();
		arm(nth);
		result->error = operation->operate();
		result->injected = disarm();
	}

	operation->verify(result->error);
	if (helper) {
		kill(helper, SIGKILL);
		wait_for(helper);
	}
	if (!*result->complaint)
		check_life();
	result->done = true;
	_exit(0);
}

/* What do_exec() executes. */
static int after_exec(const char *namespace)
{
	result->injected = disarm();
	if (inode(OWN_NS) != strtoull(namespace, NULL, 10) || inode(CHILDREN_NS) != inode(OWN_NS))
		complain("the task is not in its namespace after exec");
	check_clocks(OFFSETS);
	check_life();
	result->done = true;
	return 0;
}

/* Which of the errors besides ENOMEM it is, MAX_OTHERS if none. */
static unsigned int other_error(const struct operation *operation, int failed)
{
	unsigned int other;

	for (other = 0; other < MAX_OTHERS && operation->others[other] != failed; other++)
		;
	return other;
}

/* Counts what the child came to. Says whether it was the last: no fault was injected. */
static bool judge(const struct operation *operation, unsigned int nth, int status,
		  struct counts *counts)
{
	const char *complaint = result->complaint;
	unsigned int other;
	char text[64];

	if (!result->done) {
		if (WIFSIGNALED(status))
			sprintf(text, "died of signal %d", WTERMSIG(status));
		else
			sprintf(text, "exited with %d", WEXITSTATUS(status));
		if (operation->may_die && met_fault(status) && !*complaint) {
			/* Nothing but a fault kills it. */
			result->injected = true;
			counts->died++;
		} else if (!*complaint) {
			complaint = text;
		}
	} else if (result->died) {
		counts->died++;
	} else if (!result->error) {
		counts->succeeded += result->injected;
	} else if (result->error == ENOMEM) {
		counts->enomem++;
	} else if ((other = other_error(operation, result->error)) < MAX_OTHERS) {
		counts->others[other]++;
	} else if (operation->any_error && result->injected) {
		counts->foreign++;
	} else if (!*complaint) {
		sprintf(text, "failed with %s", strerrorname_np(result->error));
		complaint = text;
	}
	if (result->done && result->error && !result->injected && !*complaint)
		complaint = "failed without a fault";
	counts->injected += result->injected;
	if (*complaint && !*counts->complaint)
		snprintf(counts->complaint, sizeof(counts->complaint), "allocation %u: %s", nth,
			 complaint);
	return !result->injected || *complaint;
}

/* Lets each allocation of one operation fail. */
static void sweep(const struct operation *operation, struct counts *counts)
{
	unsigned int nth;

	for (nth = 1; nth <= MAX_NTH; nth++) {
		pid_t pid;

		memset(result, 0, sizeof(*result));
		pid = must(fork(), "fork");
		if (!pid)
			operate(operation, nth);
		if (judge(operation, nth, wait_for(pid), counts))
			return;
	}
	snprintf(counts->complaint, sizeof(counts->complaint), "no end after %u faults", MAX_NTH);
}

/* Takes as long as all others together, for allocations of others', where nothing is counted. */
static bool is_left_out(const struct operation *operation)
{
	return operation->any_error && !more_rounds;
}

static void sweep_all(struct counts *counts)
{
	size_t i;

	for (i = 0; i < NR_OPERATIONS; i++)
		if (!is_left_out(&operations[i]) && (!operations[i].once || !counts[i].injected))
			sweep(&operations[i], &counts[i]);
}

static void report_operation(const struct operation *operation, const struct counts *counts)
{
	bool seen = counts->enomem;
	unsigned int i;

	if (is_left_out(operation)) {
		printf("ok %u %s # SKIP a network namespace takes more than a quarter of an hour here\n", ++number,
		       operation->name);
		return;
	}
	printf("# %s: %u faults: ENOMEM %u", operation->name, counts->injected, counts->enomem);
	for (i = 0; i < MAX_OTHERS && operation->others[i]; i++) {
		printf(", %s %u", strerrorname_np(operation->others[i]), counts->others[i]);
		seen &= operation->once || !more_rounds || counts->others[i];
	}
	if (operation->any_error)
		printf(", others %u", counts->foreign);
	if (operation->may_die)
		printf(", died %u", counts->died);
	printf(", succeeded all the same %u\n", counts->succeeded);
	report(seen && !*counts->complaint, operation->name, "%s",
	       *counts->complaint ? counts->complaint : "an error was never seen");
}

/* How many namespaces may be made and kept: one child for each, up to @most. */
static unsigned int how_many(void (*prepare)(void), unsigned int most)
{
	pid_t pids[64];
	unsigned int count, i;

	for (count = 0; count < most; count++) {
		int ready[2];
		char made;

		must(pipe(ready), "make a pipe");
		pids[count] = must(fork(), "fork");
		if (!pids[count]) {
			must(prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
			prepare();
			made = !unshare(CLONE_NEWTIME);
			if (!made && errno != ENOSPC)
				error(2, errno, "unshare does not fail with ENOSPC");
			must(write(ready[1], &made, 1), "write to a pipe");
			pause();
			_exit(0);
		}
		close(ready[1]);
		if (read(ready[0], &made, 1) != 1)
			error(2, 0, "a child said nothing");
		close(ready[0]);
		if (!made) {
			kill(pids[count], SIGKILL);
			wait_for(pids[count]);
			break;
		}
	}
	for (i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		wait_for(pids[i]);
	}
	return count;
}

/* As many as the limit allows, which is as many as there are free if no count was lost. */
static void check_limit(const char *when)
{
	static const struct {
		const char *who;
		void (*prepare)(void);
	} users[] = { { "root", prepare_nothing }, { "another user", prepare_user } };
	static const unsigned int limits[] = { 0, 1, 7 };
	long long limit = read_number(LIMIT_FILE);
	char text[64];
	size_t i, j;

	for (i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		for (j = 0; j < sizeof(limits) / sizeof(limits[0]); j++) {
			unsigned int count;
			char name[128];

			sprintf(text, "%u", limits[j]);
			write_to(LIMIT_FILE, text);
			count = how_many(users[i].prepare, limits[j] + 1);
			sprintf(name, "a limit of %u allows %s as many %s", limits[j],
				users[i].who, when);
			report(count == limits[j], name, "it allows %u", count);
		}
	}
	sprintf(text, "%lld", limit);
	write_to(LIMIT_FILE, text);
}

/* How many objects each cache has that is counted. */
static struct cache {
	char name[64];
	long long objects;
} caches[MAX_CACHES];

/* What can be reclaimed comes and goes, and areas are freed late by vmalloc(): stacks of tasks have some. */
static bool is_counted(const char *cache)
{
	char path[sizeof(SLABS) + sizeof(caches->name) + 32];

	if (!strcmp(cache, "vmap_area"))
		return false;
	snprintf(path, sizeof(path), SLABS "/%.63s/reclaim_account", cache);
	return !read_number(path);
}

static void settle_down(void)
{
	int times;

	for (times = 0; times < SETTLE; times++)
		settle();
}

static long long slab_objects(const char *name)
{
	char path[sizeof(SLABS) + sizeof(caches->name) + 16];

	snprintf(path, sizeof(path), SLABS "/%.63s/objects", name);
	return read_number(path);
}

static void count_slab_objects(void)
{
	struct cache *cache = caches;
	struct dirent *entry;
	DIR *slabs = opendir(SLABS);

	if (!slabs)
		error(2, errno, "cannot read " SLABS);
	while ((entry = readdir(slabs))) {
		/* Others are names of the same caches. */
		if (entry->d_name[0] == '.' || entry->d_type != DT_DIR)
			continue;
		if (cache == caches + MAX_CACHES || strlen(entry->d_name) >= sizeof(cache->name))
			error(2, 0, "too many caches in " SLABS);
		if (!is_counted(entry->d_name))
			continue;
		strcpy(cache->name, entry->d_name);
		cache++;
	}
	/* Before they are counted: an open directory is an object too. */
	closedir(slabs);
	if (cache == caches)
		error(2, 0, SLABS " has no cache that is counted");
	for (cache = caches; cache < caches + MAX_CACHES && *cache->name; cache++)
		cache->objects = slab_objects(cache->name);
}

/* The cache that has grown most since then, and by how many objects. */
static const struct cache *grown(long long *more)
{
	const struct cache *cache, *most = caches;

	*more = LLONG_MIN;
	for (cache = caches; cache < caches + MAX_CACHES && *cache->name; cache++) {
		long long growth = slab_objects(cache->name) - cache->objects;

		if (growth > *more) {
			*more = growth;
			most = cache;
		}
	}
	return most;
}

/*
 * How many pages of the kernel's own are charged to a cgroup, seen one by one: the figure of memory.stat
 * grows by a page with every two dozen tasks that come and go, in the stock kernel as well.
 */
static unsigned int charged_pages(const char *cgroup)
{
	const uint64_t users = 1 << KPF_LRU | 1 << KPF_ANON | 1 << KPF_MMAP | 1 << KPF_SWAPBACKED;
	int owners = must(open("/proc/kpagecgroup", O_RDONLY), "open /proc/kpagecgroup");
	int flags = must(open("/proc/kpageflags", O_RDONLY), "open /proc/kpageflags");
	static uint64_t owner[4096], flag[4096];
	const ino_t wanted = inode(cgroup);
	unsigned int count = 0;
	ssize_t length, i;

	while ((length = must(read(owners, owner, sizeof(owner)), "read /proc/kpagecgroup"))) {
		if (read(flags, flag, length) != length)
			error(2, errno, "cannot read /proc/kpageflags");
		for (i = 0; i < length / (ssize_t)sizeof(*owner); i++)
			count += owner[i] == wanted && !(flag[i] & users);
	}
	close(flags);
	close(owners);
	return count;
}

/* Lets all fail again, and looks whether more and more is left. */
static void count_what_is_left(struct counts *counts)
{
	unsigned int pages, rounds, i;
	const struct cache *cache;
	long long more;

	settle_down();
	count_slab_objects();
	pages = charged_pages(CGROUPS "faults");
	/* One in two rounds would be a leak; what others allocate meanwhile does not grow with them. */
	for (rounds = more_rounds; ; rounds += more_rounds) {
		for (i = 0; i < more_rounds; i++)
			sweep_all(counts);
		settle_down();
		cache = grown(&more);
		printf("# %u rounds: %s has %lld objects more than %lld, no cache has more\n", rounds,
		       cache->name, more, cache->objects);
		if (2 * more < rounds || rounds == MAX_TIMES * more_rounds)
			break;
	}
	report(2 * more < rounds, "no slab object is left", "%lld are in %s, after %u rounds", more,
	       cache->name, rounds);
	more = (long long)charged_pages(CGROUPS "faults") - pages;
	printf("# %u rounds: %lld charged pages more than %u\n", rounds, more, pages);
	report(2 * more < rounds, "no charged page is left", "%lld are, after %u rounds", more, rounds);
}

/* The page of a namespace with offsets must be seen: else that none is left would say nothing. */
static void check_pages(void)
{
	pid_t pid = must(fork(), "fork");

	if (!pid) {
		unsigned int before;

		/* The pages of those that have ended are freed later. */
		settle_down();
		before = charged_pages(CGROUPS "faults");
		prepare_offsets();
		_exit(charged_pages(CGROUPS "faults") <= before);
	}
	report(!wait_for(pid), "a namespace's page is seen", "there are no more pages with one");
}

static void set_fault(const char *name, const char *value)
{
	char path[128];

	sprintf(path, DEBUG "%s", name);
	write_to(path, value);
}

static void prepare_faults(void)
{
	set_fault("failslab/verbose", "0");
	set_fault("failslab/ignore-gfp-wait", "0");
	set_fault("fail_page_alloc/verbose", "0");
	set_fault("fail_page_alloc/ignore-gfp-wait", "0");
	/* Stacks of tasks, and pages of processes. */
	set_fault("fail_page_alloc/ignore-gfp-highmem", "0");
	set_fault("fail_page_alloc/min-order", "0");
	/* What a cgroup without memory says of itself is long enough. */
	write_to("/proc/sys/vm/oom_dump_tasks", "0");
}

static void enter(const char *cgroup)
{
	char path[128];

	sprintf(path, CGROUPS "%s/cgroup.procs", cgroup);
	write_to(path, "0");
}

/* The calls that are refused when there is no memory. */
enum call { SETNS, UNSHARE, WRITE, NR_CALLS };

static const char *const calls[NR_CALLS] = { "setns", "unshare", "the write" };

/* How namespaces use up the memory of a cgroup. */
struct charge {
	const char *name;
	void (*prepare)(void);
	/* Offsets are written to each; else it is a copy of the one before. */
	bool writes;
	/* What each must take. */
	unsigned int least;
};

/* What the task that makes them and its keeper tell each other. */
struct held {
	enum call call;		/* the last one, and what it came to */
	int error;
	bool enough;
	/* The memory, how many namespaces the keeper has, and how often each call was refused. */
	unsigned int bytes, count, refused[NR_CALLS];
};

/* What of a task must not change by a call that fails. */
struct state {
	ino_t own, children;
	char offsets[256];
};

static void path_of(char path[64], pid_t pid, const char *name)
{
	snprintf(path, 64, "/proc/%d/%s", pid, name);
}

static void look(pid_t pid, struct state *state)
{
	char path[64];
	int fd;

	memset(state, 0, sizeof(*state));
	path_of(path, pid, "ns/time");
	state->own = inode(path);
	path_of(path, pid, "ns/time_for_children");
	state->children = inode(path);
	path_of(path, pid, "timens_offsets");
	fd = must(open(path, O_RDONLY), path);
	read_offsets(fd, state->offsets, sizeof(state->offsets));
	close(fd);
}

/* What the two wait for. A signal would be charged as well, whether there is memory or not. */
static int told_fd, seen_fd;

static void wake(int fd)
{
	must(eventfd_write(fd, 1), "write an eventfd");
}

static void await(int fd)
{
	eventfd_t count;

	must(eventfd_read(fd, &count), "read an eventfd");
}

/* Says what a call came to, and waits until the keeper has looked. */
static int tell(struct held *held, enum call call, int failed)
{
	held->call = call;
	held->error = failed;
	wake(told_fd);
	await(seen_fd);
	return failed;
}

/* Whether the task has told something; else it has ended. */
static bool was_told(int pidfd)
{
	struct pollfd polls[] = { { told_fd, POLLIN, 0 }, { pidfd, POLLIN, 0 } };

	must(poll(polls, 2, -1), "poll");
	if (polls[0].revents)
		await(told_fd);
	return polls[0].revents;
}

/* In the cgroup: makes namespaces. What is opened here would be charged as well, so nothing is. */
static void __attribute__((noreturn)) use_up(const struct charge *charge, struct held *held)
{
	int home = must(open(OWN_NS, O_RDONLY), "open " OWN_NS);

	charge->prepare();
	while (!held->enough) {
		/* So that the next one has no offsets to copy. */
		if (charge->writes && tell(held, SETNS, setns(home, CLONE_NEWTIME) ? errno : 0))
			continue;
		if (!tell(held, UNSHARE, do_unshare()) && charge->writes)
			tell(held, WRITE, do_write_both());
	}
	take_stock();
	check_life();
	_exit(*result->complaint != '\0');
}

static void set_memory(unsigned int bytes)
{
	char text[16];

	sprintf(text, "%u", bytes);
	write_to(CGROUPS "little/memory.max", text);
}

/*
 * Outside of the cgroup: has the task go on until @wanted is the call that is refused, and looks
 * after each that it has changed nothing if it was refused. When another call is refused there is
 * to be a page more, which that call and those before @wanted find enough.
 */
static void keep(pid_t pid, enum call wanted, struct held *held)
{
	int fd = must(syscall(SYS_pidfd_open, pid, 0), "open a pidfd");
	struct state before, now;
	char path[64];

	for (look(pid, &before); was_told(fd); before = now, wake(seen_fd)) {
		look(pid, &now);
		if (!held->error) {
			if (now.children == before.children || now.children == now.own)
				continue;
			path_of(path, pid, "ns/time_for_children");
			must(open(path, O_RDONLY), "keep a namespace");
			if (++held->count > LITTLE / LEAST)
				complain("there is no end");
		} else {
			held->refused[held->call]++;
			if (held->error != ENOMEM)
				complain("%s is refused with %s", calls[held->call],
					 strerrorname_np(held->error));
			if (memcmp(&now, &before, sizeof(now)))
				complain("a link or the offsets have changed though %s was refused",
					 calls[held->call]);
		}
		if (*result->complaint || (held->error && held->call == wanted)) {
			held->enough = true;
			write_to(CGROUPS "little/memory.max", "max");
		} else if (held->error) {
			set_memory(held->bytes += PAGE);
		}
	}
	_exit(wait_for(pid) != 0);
}

/*
 * A cgroup that has little memory: namespaces are charged to it, and the one that does not fit is
 * refused, by @wanted. The task can't be killed for want of memory, so that it sees the error.
 * Returns what each namespace takes.
 */
static unsigned int check_charge(const struct charge *charge, enum call wanted)
{
	const struct rlimit files = { 2 * LITTLE / LEAST, 2 * LITTLE / LEAST };
	struct held *held = mmap(NULL, sizeof(*held), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				 -1, 0);
	long long limit = read_number(LIMIT_FILE);
	unsigned int bytes, tries;
	char text[16];
	pid_t keeper;
	int status;

	must(held == MAP_FAILED ? -1 : 0, "map memory");
	memset(result, 0, sizeof(*result));
	sprintf(text, "%d", 2 * LITTLE / LEAST);
	write_to(LIMIT_FILE, text);
	must(mkdir(CGROUPS "little", 0755), "make a cgroup");
	set_memory(held->bytes = LITTLE);
	keeper = must(fork(), "fork");
	if (!keeper) {
		pid_t pid;

		must(setrlimit(RLIMIT_NOFILE, &files), "raise the number of files");
		told_fd = must(eventfd(0, 0), "make an eventfd");
		seen_fd = must(eventfd(0, 0), "make an eventfd");
		pid = must(fork(), "fork");
		if (!pid) {
			must(prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
			write_to("/proc/self/oom_score_adj", "-1000");
			/* A page fault without memory is tried again and again. */
			must(mlockall(MCL_CURRENT), "lock memory");
			enter("little");
			use_up(charge, held);
		}
		keep(pid, wanted, held);
	}
	status = wait_for(keeper);
	bytes = held->count ? held->bytes / held->count : 0;
	printf("# %s: %u bytes each; %u; refused were: setns %u, unshare %u, write %u\n", charge->name,
	       bytes, held->count, held->refused[SETNS], held->refused[UNSHARE],
	       held->refused[WRITE]);
	report(held->refused[wanted] && bytes >= charge->least && !status, charge->name, "%s",
	       *result->complaint ? result->complaint : "not as it should be");
	munmap(held, sizeof(*held));
	/* It is empty a moment after the task can be waited for. */
	for (tries = 0; rmdir(CGROUPS "little"); tries++) {
		if (errno != EBUSY || tries == 1000)
			error(2, errno, "cannot remove a cgroup");
		usleep(1000);
	}
	sprintf(text, "%lld", limit);
	write_to(LIMIT_FILE, text);
	return bytes;
}

static int map_result(void)
{
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED, RESULT_FD, 0);
	return result == MAP_FAILED ? -1 : 0;
}

/*
 * The C library has the kernel write to each task's area of restartable sequences, and the kernel kills a
 * task when it has no page for that. It must not: when a process dies, that is to say something.
 */
#define TUNABLES "GLIBC_TUNABLES"

int main(int argc, char **argv)
{
	static const struct charge plain = {
		"namespaces without offsets are charged", prepare_nothing, .least = LEAST,
	};
	static const struct charge copies = {
		"copies of offsets are charged", prepare_offsets, .least = PAGE,
	};
	static const struct charge written = {
		"namespaces with offsets are charged", prepare_namespace, .writes = true, .least = PAGE,
	};
	static struct counts counts[NR_OPERATIONS];
	const char *rounds = getenv("TIMENS_FAULTS_ROUNDS");
	enum call wanted;
	unsigned int i;
	cpu_set_t first;
	int fd;

	if (argc == 3 && !strcmp(argv[1], "after-exec")) {
		return map_result() ? MET_FAULT : after_exec(argv[2]);
	}
	if (!getenv(TUNABLES)) {
		must(setenv(TUNABLES, "glibc.pthread.rseq=0", 1), "set " TUNABLES);
		must(execv("/proc/self/exe", argv), "execute myself");
	}
	self = argv[0];
	if (!rounds || sscanf(rounds, "%u", &more_rounds) != 1)
		error(2, 0, "TIMENS_FAULTS_ROUNDS must say how many rounds there are between the counts");
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* What a CPU keeps for the next allocations is to be the same in each count. */
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	must(sched_setaffinity(0, sizeof(first), &first), "stay on a CPU");
	fd = must(syscall(SYS_memfd_create, "result", 0), "make a file in memory");
	must(ftruncate(fd, sizeof(*result)), "make a file in memory");
	must(dup2(fd, RESULT_FD), "dup2");
	close(fd);
	must(map_result(), "map the result");
	prepare_faults();
	write_to(CGROUPS "cgroup.subtree_control", "+memory");
	must(mkdir(CGROUPS "faults", 0755), "make a cgroup");
	enter("faults");

	printf("TAP version 13\n1..%zu\n", NR_OPERATIONS + (more_rounds ? 18 : 16));
	check_limit("at first");
	check_pages();
	/* Once for what is allocated only once. */
	sweep_all(counts);
	if (more_rounds)
		count_what_is_left(counts);
	for (i = 0; i < NR_OPERATIONS; i++)
		report_operation(&operations[i], &counts[i]);
	check_limit("in the end");
	/* Where each has a page, with offsets or without, no write needs one. */
	wanted = check_charge(&plain, UNSHARE) >= PAGE ? UNSHARE : WRITE;
	check_charge(&copies, UNSHARE);
	check_charge(&written, wanted);
	return failures != 0;
}

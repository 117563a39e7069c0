// SPDX-License-Identifier: GPL-2.0
/* The states in which operations start. */
#include "faults.h"

#include <linux/capability.h>

/* A user who has no ucounts entry yet. */
#define UNUSED_UID	12345

void prepare_nothing(void)
{
}

void prepare_namespace(void)
{
	must(unshare(CLONE_NEWTIME), "unshare");
	offsets_fd = must(open(OFFSETS_FILE, O_RDWR), "open " OFFSETS_FILE);
}

void prepare_offsets(void)
{
	prepare_namespace();
	errno = write_offsets(offsets_fd, OFFSETS);
	must(-!!errno, "write " OFFSETS_FILE);
}

/* A namespace that only a descriptor refers to. */
void prepare_descriptor(void)
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
void prepare_helper(void)
{
	int ready[2];
	char byte;

	must(pipe(ready), "make a pipe");
	helper = must(fork(), "fork");
	if (!helper) {
		must(prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
		must(unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS), "unshare");
		prepare_joined();
		must(write(ready[1], "", 1), "write to a pipe");
		pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		error(2, 0, "the helper failed");
	close(ready[0]);
	pidfd = must(syscall(SYS_pidfd_open, helper, 0), "open a pidfd");
}

/* A new user with all capabilities. */
void prepare_user(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	must(syscall(SYS_capget, &header, data), "get the capabilities");
	must(seteuid(UNUSED_UID), "change the user");
	must(syscall(SYS_capset, &header, data), "keep the capabilities");
}

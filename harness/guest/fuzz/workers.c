// SPDX-License-Identifier: GPL-2.0
/* Workers: receive requests, perform them, return the results. */
#include "fuzz.h"

#include <linux/futex.h>
#include <sys/socket.h>

#define THREAD	(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_FS | CLONE_FILES)

const struct context contexts[NR_CONTEXTS] = {
	[IDLE_THREAD] = { "idle-thread", THREAD },
	{ "thread", THREAD },
	{ "vm", CLONE_VM },
	{ "vfork", CLONE_VM | CLONE_VFORK },
	{ "vfork-exec", CLONE_VM | CLONE_VFORK, .exec = true },
	{ "fork", 0 },
	{ "fork-exec", 0, .exec = true },
	{ "time", CLONE_NEWTIME },
	{ "time-exec", CLONE_NEWTIME, .exec = true },
	{ "time-vm", CLONE_NEWTIME | CLONE_VM },
	{ "time-vfork", CLONE_NEWTIME | CLONE_VM | CLONE_VFORK },
	{ "time-vfork-exec", CLONE_NEWTIME | CLONE_VM | CLONE_VFORK, .exec = true },
	{ "time-thread", CLONE_NEWTIME | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM },
	{ "time-user", CLONE_NEWTIME | CLONE_NEWUSER },
	{ "time-user-vm", CLONE_NEWTIME | CLONE_NEWUSER | CLONE_VM },
	{ "time-uts-pid", CLONE_NEWTIME | CLONE_NEWUTS | CLONE_NEWPID },
	{ "time-fs", CLONE_NEWTIME | CLONE_FS },
	{ "time-mnt-fs", CLONE_NEWTIME | CLONE_NEWNS | CLONE_FS },
	{ "time-ipc-sysvsem", CLONE_NEWTIME | CLONE_NEWIPC | CLONE_SYSVSEM },
};

void worker_entry(void *data)
{
	worker((uintptr_t)data);
}

void do_spawn(uint64_t *random)
{
	uint64_t flags = PICK(random, 0, 0, 0, CLONE_VM, CLONE_NEWTIME, CLONE_NEWTIME,
			      CLONE_NEWTIME | CLONE_VM, CLONE_NEWTIME | CLONE_NEWUSER,
			      CLONE_NEWTIME | CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWUSER);
	int pidfd;

	print(" worker %u %#" PRIx64, shared->other, flags);
	if (print_result(start(flags, SIGCHLD, &pidfd, worker_entry,
			       (void *)(uintptr_t)shared->other)))
		return;
	shared->result = pidfd;
}

/* Performs the operation in this task. */
void perform(void)
{
	uint64_t random = shared->random;

	shared->result = -1;
	if (kinds[shared->kind].perform)
		kinds[shared->kind].perform(&random);
}

/* In a child of the worker. A descriptor that it opens is closed with it. */
static void perform_and_exit(void *data)
{
	const struct context *context = data;

	if (context->exec) {
		execute_self("once", 0);
		print(" exec");
		print_result(-1);
	} else {
		perform();
		if (shared->result >= 0)
			close(shared->result);
	}
	exit_task();
}

static void perform_in(const struct context *context)
{
	int pidfd, go = 0;
	bool late;

	if (context == &contexts[IDLE_THREAD]) {
		if (start(context->flags, 0, &pidfd, idle, &go) < 0) {
			print_result(-1);
			return;
		}
		perform();
		__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
		syscall(SYS_futex, &go, FUTEX_WAKE_PRIVATE, 1);
	} else {
		if (start(context->flags, SIGCHLD, &pidfd, perform_and_exit, (void *)context) < 0) {
			print(" clone");
			print_result(-1);
			return;
		}
	}
	late = wait_gone(pidfd);
	if (late)
		print(" LATE");
	close(pidfd);
	if (context != &contexts[IDLE_THREAD])
		shared->result = -1;
}

/* Sends one byte, with a descriptor if it is not -1. */
int send_fd(int channel, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] __attribute__((aligned(8))) = {};
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *head = (void *)control;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	return sendmsg(channel, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

int receive_fd(int channel, int *fd)
{
	char byte, control[CMSG_SPACE(sizeof(*fd))] __attribute__((aligned(8)));
	struct iovec vector = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *head;

	*fd = -1;
	if (recvmsg(channel, &message, 0) != 1)
		return -1;
	head = CMSG_FIRSTHDR(&message);
	if (head)
		memcpy(fd, CMSG_DATA(head), sizeof(*fd));
	return 0;
}

void reply(unsigned int slot)
{
	int result = shared->result;

	if (send_fd(CHANNEL_FD(slot), result))
		exit_task();
	if (result >= 0)
		close(result);
}

static void do_exec(unsigned int slot)
{
	uint64_t random = shared->random;
	int pidfd, go = 0;

	if (draw(&random, 2)) {
		print(" with an idle thread");
		if (start(THREAD, 0, &pidfd, idle, &go) < 0) {
			print_result(-1);
			return;
		}
		fcntl(pidfd, F_SETFD, FD_CLOEXEC);
	}
	/* On success the new program replies. */
	execute_self("worker", slot);
	print_result(-1);
}

void worker(unsigned int slot)
{
	int fd;

	for (;;) {
		if (receive_fd(CHANNEL_FD(slot), &fd))
			exit_task();
		shared->fd = fd;
		shared->result = -1;
		if (shared->kind == OP_EXEC)
			do_exec(slot);
		else if (shared->context < 0)
			perform();
		else
			perform_in(&contexts[shared->context]);
		reply(slot);
		if (fd >= 0)
			close(fd);
	}
}

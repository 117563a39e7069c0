// SPDX-License-Identifier: GPL-2.0
/* Tasks made by clone3(). */
#include "fuzz.h"

#include <linux/futex.h>
#include <sys/mman.h>

int wait_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, TIMEOUT_MS) == 1 ? 0 : -1;
}

void short_sleep(void)
{
	syscall(SYS_nanosleep, &(struct timespec){ .tv_nsec = 20000 }, NULL);
}

/* Waits until a process or thread is gone and has released its namespaces. */
int wait_gone(int pidfd)
{
	int i;

	if (wait_readable(pidfd))
		return -1;
	for (i = 0; i < 100000; i++) {
		if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) && errno == ESRCH)
			return 0;
		/* It needs only some time on the CPU. */
		if (i < 100)
			sched_yield();
		else
			short_sleep();
	}
	return -1;
}

#define STACK_SIZE	(128 * 1024)

/* Starts a child or thread that calls @function on a new stack. Returns its pid, or -1. */
long start(uint64_t flags, int exit_signal, int *pidfd, void (*function)(void *), void *data)
{
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uintptr_t)pidfd,
		.exit_signal = flags & CLONE_THREAD ? 0 : exit_signal,
		.stack_size = STACK_SIZE,
	};
	void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	long ret;

	if (stack == MAP_FAILED)
		return -1;
	args.stack = (uintptr_t)stack;
	/* The child never returns, so it needs nothing of this frame. */
	asm volatile("syscall\n\t"
		     "test %%rax, %%rax\n\t"
		     "jnz 1f\n\t"
		     "xor %%ebp, %%ebp\n\t"
		     "mov %[data], %%rdi\n\t"
		     "call *%[function]\n\t"
		     "hlt\n"
		     "1:"
		     : "=a" (ret)
		     : "a" (SYS_clone3), "D" (&args), "S" (sizeof(args)),
		       [function] "b" (function), [data] "r" (data)
		     : "rcx", "r11", "memory");
	if (ret < 0) {
		munmap(stack, STACK_SIZE);
		errno = -ret;
		return -1;
	}
	/* A task that shares the memory still uses the stack. */
	if (!(flags & CLONE_VM))
		munmap(stack, STACK_SIZE);
	return ret;
}

__attribute__((noreturn)) void exit_task(void)
{
	for (;;)
		syscall(SYS_exit, 0);
}

void idle(void *data)
{
	int *go = data;

	while (!__atomic_load_n(go, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, go, FUTEX_WAIT_PRIVATE, 0, NULL);
	exit_task();
}

void execute_self(const char *how, unsigned int slot)
{
	char number[8];

	snprintf(number, sizeof(number), "%u", slot);
	execve("/proc/self/exe", (char *[]){ "fuzz", (char *)how, number, NULL },
	       (char *[]){ NULL });
}

// SPDX-License-Identifier: GPL-2.0
/* An operation on a task that has exited and has not been waited for. */
#include "fuzz.h"

static void exit_at_once(void *data)
{
	(void)data;
	exit_task();
}

void do_zombie(uint64_t *random)
{
	char path[64], text[200], *line;
	int pidfd, fd;
	long pid = start(0, 0, &pidfd, exit_at_once, NULL);
	ssize_t length;

	if (pid < 0) {
		print_result(pid);
		return;
	}
	if (wait_readable(pidfd))
		print(" LATE");
	/* The task may be in another PID namespace than /proc. */
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[length < 0 ? 0 : length] = '\0';
	close(fd);
	line = strstr(text, "\nPid:");
	snprintf(path, sizeof(path), "/proc/%d", line ? atoi(line + 5) : 0);
	print_links(path);
	strcat(path, "/timens_offsets");
	fd = open(path, O_RDWR | O_CLOEXEC);
	print(" open");
	if (!print_result(fd)) {
		read_offsets(fd, random);
		lseek(fd, 0, SEEK_SET);
		print(" write");
		print_number(write(fd, "monotonic 0 0", 13));
		lseek(fd, 0, SEEK_SET);
	}
	print(" setns");
	print_result(setns(pidfd, CLONE_NEWTIME));
	if (syscall(SYS_wait4, pid, NULL, __WALL, NULL) != pid)
		print(" LOST");
	if (fd >= 0) {
		print(" then");
		print_number(read(fd, text, sizeof(text)));
		lseek(fd, 0, SEEK_SET);
		print_number(write(fd, "monotonic 0 0", 13));
		close(fd);
	}
	close(pidfd);
}

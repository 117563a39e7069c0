// SPDX-License-Identifier: GPL-2.0
/* Checks of the state of a task. */
#include "faults.h"

/* More than the uptime of any guest, and less than all offsets, in seconds. */
#define MAX_UPTIME	100000

ino_t inode(const char *path)
{
	struct stat data;

	must(stat(path, &data), path);
	return data.st_ino;
}

void read_offsets(int fd, char *text, size_t size)
{
	ssize_t length = pread(fd, text, size - 1, 0);

	text[must(length, "read " OFFSETS_FILE)] = '\0';
}

int write_offsets(int fd, const char *text)
{
	/* pwrite() fails with ESPIPE on this file. */
	must(lseek(fd, 0, SEEK_SET), "seek in " OFFSETS_FILE);
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : errno;
}

/* Checks that each clock is ahead by its offset. */
void check_clocks(const char *offsets)
{
	static const struct clock clocks[] = { SHIFTED_CLOCKS };
	long long values[3];
	size_t i;
	int way;

	if (sscanf(offsets, "monotonic %lld %*d boottime %lld", &values[OFFSET_MONOTONIC],
		   &values[OFFSET_BOOTTIME]) != 2)
		error(2, 0, "cannot parse offsets: %s", offsets);
	for (i = 0; i < ARRAY_SIZE(clocks); i++) {
		for (way = 0; way < 2; way++) {
			long long offset = values[clocks[i].offset], uptime;
			struct timespec now;

			if (way)
				syscall(SYS_clock_gettime, clocks[i].id, &now);
			else
				clock_gettime(clocks[i].id, &now);
			uptime = now.tv_sec - offset;
			if (uptime < 0 || uptime > MAX_UPTIME)
				record_failure("%s reads %lld with an offset of %lld", clocks[i].name,
					       (long long)now.tv_sec, offset);
		}
	}
}

void check_offsets(const char *expected)
{
	char text[256];

	read_offsets(offsets_fd, text, sizeof(text));
	if (strcmp(text, expected))
		record_failure("the offsets are %s", text);
}

/* Checks that the namespaces are those from before the operation. */
void check_links(const char *when)
{
	if (inode(OWN_NS) != own || inode(CHILDREN_NS) != children || inode(USER_NS) != owner)
		record_failure("a namespace changed %s", when);
}

/* Checks that a child has these offsets. */
void check_child(const char *offsets)
{
	pid_t pid = must(fork(), "fork");

	if (!pid) {
		if (inode(OWN_NS) != inode(CHILDREN_NS))
			record_failure("the child is not in its namespace");
		check_clocks(offsets);
		_exit(0);
	}
	if (wait_for(pid))
		record_failure("the child failed");
}

/* Checks that the task can still use time namespaces. */
void check_still_usable(void)
{
	int fd, failed;

	if (unshare(CLONE_NEWTIME)) {
		record_failure("a later unshare fails: %s", strerror(errno));
		return;
	}
	fd = must(open(OFFSETS_FILE, O_RDWR), "open " OFFSETS_FILE);
	failed = write_offsets(fd, OTHER_OFFSETS);
	if (failed)
		record_failure("a later write fails: %s", strerror(failed));
	close(fd);
	check_child(OTHER_OFFSETS);
}

void remember_namespaces(void)
{
	own = inode(OWN_NS);
	children = inode(CHILDREN_NS);
	owner = inode(USER_NS);
}

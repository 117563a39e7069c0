/* SPDX-License-Identifier: GPL-2.0 */
/* Has the kernel free what it frees later, for a count of what is left. */
#ifndef SETTLE_H
#define SETTLE_H

#include <dirent.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLABS	"/sys/kernel/slab"

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		error(2, errno, "cannot write %s to %s", text, path);
	close(fd);
}

/*
 * Has the slab allocator take back what CPUs and nodes keep for the next allocations: it counts these
 * objects as in use, and keeps them by the sheaf of some sixty.
 */
static void shrink_slabs(void)
{
	DIR *dir = opendir(SLABS);
	struct dirent *entry;
	char path[300];

	/* Not every allocator has caches that can be told from each other. */
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		/* Others are names of the same caches. */
		if (entry->d_name[0] == '.' || entry->d_type != DT_DIR)
			continue;
		snprintf(path, sizeof(path), SLABS "/%s/shrink", entry->d_name);
		write_to(path, "1");
	}
	closedir(dir);
}

/*
 * Has what is freed after a grace period, in batches, or by a worker come a step closer to it: dropping
 * the caches has the batches of kfree_rcu() freed.
 */
static void settle(void)
{
	write_to("/proc/sys/vm/drop_caches", "3");
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0))
		error(2, errno, "membarrier");
	shrink_slabs();
	usleep(100000);
}

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * Lets a kernel grow old: uses up time namespaces, and says after each part what memory is in use.
 *
 * TIMENS_AGE in the environment says how:
 *
 *   cycles,PARTS,CYCLES   in each part that many namespaces are created, given offsets, joined by
 *                         setns() or by a child, read from and given up
 *   hours,PARTS,STARTS    in each part, an hour of a host whose containers come and go, that many
 *                         are started; see hour()
 *
 * A part's sample is a line "sample EVENTS BYTES", with what has been done so far, and the memory in
 * use when everything that is freed later has been, and lines "count NAME NUMBER SIZE": control groups
 * that are removed but not freed, and objects in each cache of the slab allocator that counts them,
 * with the bytes that one takes there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "settle.h"

#define OFFSETS_FILE	"/proc/self/timens_offsets"
#define LIMIT_FILE	"/proc/sys/user/max_time_namespaces"
#define CGROUPS		"/sys/fs/cgroup"

/* As many containers live at the end of each hour. */
#define NR_CONTAINERS	24

static int host_fd;

static uint64_t state = 1;

/* xorshift64*, so that all runs are the same */
static unsigned int draw(unsigned int below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545f4914f6cdd1dULL >> 33) % below;
}

static void __attribute__((format(printf, 2, 3)))
write_file(const char *path, const char *format, ...)
{
	char text[128];
	va_list args;
	int fd, len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, len) != len)
		error(1, errno, "writing %s", path);
	close(fd);
}

/* Every other one has offsets of zero, as most containers do. */
static void set_offsets(unsigned int nth)
{
	if (nth % 2)
		write_file(OFFSETS_FILE, "monotonic %u 500000000\nboottime %u 1\n", 864000 + nth,
			   7776000 + nth);
	else
		write_file(OFFSETS_FILE, "monotonic 0 0\nboottime 0 0\n");
}

/* Maps the page with the offsets. */
static void read_clocks(unsigned int nth)
{
	struct timespec monotonic, boottime;
	time_t least = nth % 2 ? nth : 0;

	if (clock_gettime(CLOCK_MONOTONIC, &monotonic) ||
	    clock_gettime(CLOCK_BOOTTIME, &boottime))
		error(1, errno, "clock_gettime");
	if (monotonic.tv_sec < (nth % 2 ? 864000 + least : 0) ||
	    boottime.tv_sec < (nth % 2 ? 7776000 + least : 0))
		error(1, 0, "a clock is without its offset");
}

static void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		error(1, errno, "waitpid");
	if (status)
		error(1, 0, "a process ended with status %#x", status);
}

static void join_host(void)
{
	if (setns(host_fd, CLONE_NEWTIME))
		error(1, errno, "setns back to the host");
}

static void read_clocks_in_child(unsigned int nth)
{
	pid_t pid = fork();

	if (pid < 0)
		error(1, errno, "fork");
	if (!pid) {
		read_clocks(nth);
		_exit(0);
	}
	wait_for(pid);
}

static void cycle(unsigned int nth)
{
	int fd;

	if (unshare(CLONE_NEWTIME))
		error(1, errno, "unshare");
	set_offsets(nth);
	switch (nth / 2 % 4) {
	case 0:
		/* By a child, which is the last one in it */
		read_clocks_in_child(nth);
		break;
	case 1:
		/* Nobody ever joins. */
		break;
	default:
		fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWTIME))
			error(1, errno, "setns");
		close(fd);
		read_clocks(nth);
	}
	join_host();
}

/* What tells the host about the container, and keeps the container's first process alive. */
static struct container {
	pid_t pid;
	int life;
	bool frozen;
	unsigned int nth;
} containers[NR_CONTAINERS];

static char *cgroup_file(const struct container *container, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), CGROUPS "/%u/%s", container->nth, name);
	return path;
}

static const int all_but_user = CLONE_NEWTIME | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS;

/* One in three is rootless. */
static int namespaces_of(const struct container *container)
{
	return all_but_user | (container->nth % 3 ? 0 : CLONE_NEWUSER);
}

/* As a container runtime does it: the program that is executed joins. */
static void start(struct container *container, unsigned int nth)
{
	char number[16], byte, *arguments[] = { "/jobs/age", number, NULL };
	int life[2], ready[2];

	*container = (struct container) { .nth = nth };
	if (mkdir(cgroup_file(container, ""), 0755))
		error(1, errno, "%s", cgroup_file(container, ""));
	if (pipe2(life, O_CLOEXEC) || pipe2(ready, O_CLOEXEC))
		error(1, errno, "pipe2");
	container->pid = fork();
	if (container->pid < 0)
		error(1, errno, "fork");
	if (!container->pid) {
		write_file(cgroup_file(container, "cgroup.procs"), "0");
		if (unshare(namespaces_of(container)))
			error(1, errno, "unshare of a container");
		set_offsets(nth);
		dup2(life[0], STDIN_FILENO);
		dup2(ready[1], STDOUT_FILENO);
		snprintf(number, sizeof(number), "%u", nth);
		execv(arguments[0], arguments);
		error(1, errno, "execv");
	}
	close(life[0]);
	close(ready[1]);
	container->life = life[1];
	if (read(ready[0], &byte, 1) != 1)
		error(1, 0, "container %u did not start", nth);
	close(ready[0]);
}

/*
 * A container's program: works with a child, says that it is there, lives as long as its input, and
 * looks at the clocks whenever there is some.
 */
static int contained(unsigned int nth)
{
	char byte;

	read_clocks(nth);
	read_clocks_in_child(nth);
	if (write(STDOUT_FILENO, "", 1) != 1)
		error(1, errno, "write");
	while (read(STDIN_FILENO, &byte, 1) > 0)
		read_clocks(nth);
	return 0;
}

/* One more process in the container, for a moment; it is outside of its cgroup if that is frozen. */
static void exec_into(struct container *container)
{
	char number[16], *arguments[] = { "/jobs/age", "entered", number, NULL };
	int pidfd;
	pid_t pid;

	pidfd = syscall(SYS_pidfd_open, container->pid, 0);
	if (pidfd < 0)
		error(1, errno, "pidfd_open");
	pid = fork();
	if (pid < 0)
		error(1, errno, "fork");
	if (!pid) {
		if (!container->frozen)
			write_file(cgroup_file(container, "cgroup.procs"), "0");
		if (setns(pidfd, namespaces_of(container)))
			error(1, errno, "setns into a container");
		read_clocks(container->nth);
		snprintf(number, sizeof(number), "%u", container->nth);
		execv(arguments[0], arguments);
		error(1, errno, "execv in a container");
	}
	close(pidfd);
	wait_for(pid);
}

static bool is_frozen(const struct container *container)
{
	const char *path = cgroup_file(container, "cgroup.events");
	FILE *file = fopen(path, "r");
	char line[64];
	bool frozen = false;

	if (!file)
		error(1, errno, "%s", path);
	while (fgets(line, sizeof(line), file))
		frozen |= !strcmp(line, "frozen 1\n");
	fclose(file);
	return frozen;
}

static void freeze(struct container *container, bool frozen)
{
	int tries;

	write_file(cgroup_file(container, "cgroup.freeze"), "%d", frozen);
	for (tries = 0; is_frozen(container) != frozen; tries++) {
		if (tries == 10000)
			error(1, 0, "container %u is not %s", container->nth,
			      frozen ? "frozen" : "thawed");
		usleep(1000);
	}
	container->frozen = frozen;
}

static void thaw(struct container *container)
{
	freeze(container, false);
	if (write(container->life, "", 1) != 1)
		error(1, errno, "write to a container");
}

static void stop(struct container *container)
{
	int status, tries;

	/* By force, or by the end of its work */
	if (container->frozen || container->nth % 5 == 0)
		kill(container->pid, SIGKILL);
	close(container->life);
	if (container->frozen)
		freeze(container, false);
	if (waitpid(container->pid, &status, 0) != container->pid)
		error(1, errno, "waitpid");
	if (status && status != SIGKILL)
		error(1, 0, "a container ended with status %#x", status);
	/* The cgroup is empty a moment after the process can be waited for. */
	for (tries = 0; rmdir(cgroup_file(container, "")); tries++) {
		if (errno != EBUSY || tries == 1000)
			error(1, errno, "%s", cgroup_file(container, ""));
		usleep(1000);
	}
	container->pid = 0;
}

static struct { unsigned int starts, execs, freezes, stops; } events;

/*
 * An hour's events, back to back. A container lives for as long as it is not drawn to be stopped,
 * and the place of one that is gone stays empty for a while. Every event meets a container at
 * random: five times of eight a process is executed in it, also if it is frozen, once it is frozen
 * or thawed, and twice it is stopped.
 */
static void hour(unsigned int starts)
{
	struct container *container;
	unsigned int i;

	for (starts += events.starts; events.starts < starts; ) {
		container = &containers[draw(NR_CONTAINERS)];
		if (!container->pid) {
			start(container, ++events.starts);
			continue;
		}
		switch (draw(8)) {
		case 0:
			if (container->frozen)
				thaw(container);
			else
				freeze(container, true);
			events.freezes++;
			break;
		case 1:
		case 2:
			stop(container);
			events.stops++;
			break;
		default:
			exec_into(container);
			events.execs++;
		}
	}
	/* The same population for each sample */
	for (i = 0; i < NR_CONTAINERS; i++) {
		if (containers[i].frozen)
			thaw(&containers[i]);
		if (!containers[i].pid)
			start(&containers[i], ++events.starts);
	}
}

/* Pages that are free, each kept by a CPU */
static long kept_pages(void)
{
	FILE *file = fopen("/proc/zoneinfo", "r");
	long pages = 0, value;
	char line[128];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, " count: %ld", &value) == 1)
			pages += value;
	}
	if (!file)
		error(1, errno, "/proc/zoneinfo");
	fclose(file);
	return pages;
}

/* Bytes that are neither free nor can be made so */
static long long in_use(void)
{
	long long total = 0, available = kept_pages() * 4, value;
	char name[64];
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && fscanf(file, "%63[^:]: %lld%*[^\n] ", name, &value) == 2) {
		if (!strcmp(name, "MemTotal"))
			total = value;
		else if (!strcmp(name, "MemFree") || !strcmp(name, "Buffers") ||
			 !strcmp(name, "Cached"))
			available += value;
	}
	if (!total || !available)
		error(1, 0, "/proc/meminfo has no MemTotal or MemFree");
	fclose(file);
	return (total - available) * 1024;
}

/* Waits until no more comes free. */
static long long settled(void)
{
	long long least = in_use(), now;
	int same, tries;

	for (same = tries = 0; same < 3 && tries < 40; tries++) {
		settle();
		now = in_use();
		same = now < least ? 0 : same + 1;
		if (now < least)
			least = now;
	}
	return least;
}

static void print_counts(void)
{
	FILE *file = fopen(CGROUPS "/cgroup.stat", "r");
	char name[64];
	long count, size;

	if (!file)
		error(1, errno, CGROUPS "/cgroup.stat");
	while (fscanf(file, "%63s %ld ", name, &count) == 2) {
		if (!strcmp(name, "nr_dying_descendants"))
			printf("count dying-cgroups %ld 0\n", count);
	}
	fclose(file);

	file = fopen("/proc/slabinfo", "r");
	/* Not every allocator counts. */
	if (!file)
		return;
	/* Two lines tell the columns. */
	if (fscanf(file, "%*[^\n] %*[^\n] "))
		error(1, 0, "/proc/slabinfo has no head");
	while (fscanf(file, "%63s %ld %*d %ld%*[^\n] ", name, &count, &size) == 3)
		printf("count %s %ld %ld\n", name, count, size);
	fclose(file);
}

/* On one CPU, so that what sampling itself uses is kept by the same one each time. */
static void sample(unsigned int part, unsigned int done)
{
	cpu_set_t all, first;
	long long bytes;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_getaffinity(0, sizeof(all), &all) || sched_setaffinity(0, sizeof(first), &first))
		error(1, errno, "sched_setaffinity");
	bytes = settled();
	printf("sample %u %lld\n", done, bytes);
	print_counts();
	printf("TIMENS-END %u\n", part);
	fflush(stdout);
	if (sched_setaffinity(0, sizeof(all), &all))
		error(1, errno, "sched_setaffinity");
}

/* Whether nobody is charged for a namespace any more: one fits where no two do. */
static void check_charges(void)
{
	int tries;

	write_file(LIMIT_FILE, "1");
	for (tries = 0; unshare(CLONE_NEWTIME); tries++) {
		if (errno != ENOSPC || tries == 100)
			error(1, errno, "a namespace is still charged for");
		usleep(10000);
	}
	if (!unshare(CLONE_NEWTIME))
		error(1, 0, "the limit of time namespaces is not kept");
	join_host();
	puts("charges 0");
}

static unsigned int number(const char *text)
{
	char *end;
	unsigned long value = text ? strtoul(text, &end, 10) : 0;

	if (!value || *end || value > 100000000)
		error(1, 0, "TIMENS_AGE: '%s' is no number of what is to be done", text);
	return value;
}

int main(int argc, char **argv)
{
	char *how = getenv("TIMENS_AGE"), *word;
	unsigned int part, parts, each, i, done = 0;
	bool hours;

	if (argc == 2)
		return contained(number(argv[1]));
	if (argc == 3 && !strcmp(argv[1], "entered")) {
		read_clocks(number(argv[2]));
		return 0;
	}
	word = strtok(how ? how : "", ",");
	hours = word && !strcmp(word, "hours");
	if (!hours && (!word || strcmp(word, "cycles")))
		error(1, 0, "TIMENS_AGE: say cycles,PARTS,CYCLES or hours,PARTS,STARTS");
	parts = number(strtok(NULL, ","));
	each = number(strtok(NULL, ","));

	/* Each container is charged for the memory that it makes the kernel use. */
	write_file(CGROUPS "/cgroup.subtree_control", "+memory");
	host_fd = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	if (host_fd < 0)
		error(1, errno, "/proc/self/ns/time");
	for (part = 1; part <= parts; part++) {
		printf("TIMENS-BEGIN %u\n", part);
		if (hours) {
			hour(each);
			sample(part, events.starts);
			continue;
		}
		for (i = 0; i < each; i++)
			cycle(done++);
		sample(part, done);
	}
	for (i = 0; i < NR_CONTAINERS; i++) {
		if (containers[i].pid)
			stop(&containers[i]);
	}
	if (hours)
		printf("events %u %u %u %u\n", events.starts, events.execs, events.freezes,
		       events.stops);
	check_charges();
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Creates and frees many time namespaces, and prints the memory in use after each part.
 *
 * TIMENS_AGE=PARTS,CYCLES in the environment: in each part, this many namespaces are created, given
 * offsets, joined by setns() or by a child, read from, and freed.
 *
 * Each part ends with a sample. A line "sample CYCLES BYTES" has the number of cycles so far and
 * the memory in use, once deferred memory has been freed. Lines "count NAME NUMBER SIZE" have, for
 * each slab cache, the number of objects and the size of one. After the last part, the program
 * checks that one namespace can be created under a limit of one, and prints "charges 0".
 */
#include "timens.h"

#include <stdbool.h>
#include <stdlib.h>

static int host_fd;

/* Every other namespace has offsets of zero, as most containers do. */
static void set_offsets(unsigned int nth)
{
	if (nth % 2)
		write_file(OFFSETS_FILE, "monotonic %u 500000000\nboottime %u 1\n", 864000 + nth,
			   7776000 + nth);
	else
		write_file(OFFSETS_FILE, "monotonic 0 0\nboottime 0 0\n");
}

/* Reads the clocks, which maps the page with the offsets. */
static void check_clocks(unsigned int nth)
{
	struct timespec monotonic, boottime;

	if (clock_gettime(CLOCK_MONOTONIC, &monotonic) ||
	    clock_gettime(CLOCK_BOOTTIME, &boottime))
		error(1, errno, "clock_gettime");
	if (nth % 2 && (monotonic.tv_sec < 864000 + nth || boottime.tv_sec < 7776000 + nth))
		error(1, 0, "a clock lacks its offset");
}

static void join_host(void)
{
	must(setns(host_fd, CLONE_NEWTIME), "return to the initial namespace");
}

static void check_clocks_in_child(unsigned int nth)
{
	pid_t pid = must(fork(), "fork");
	int status;

	if (!pid) {
		check_clocks(nth);
		_exit(0);
	}
	status = wait_for(pid);
	if (status)
		error(1, 0, "a child ended with status %#x", status);
}

static void cycle(unsigned int nth)
{
	int fd;

	must(unshare(CLONE_NEWTIME), "unshare");
	set_offsets(nth);
	switch (nth / 2 % 4) {
	case 0:
		/* A child joins; it is the last task in the namespace. */
		check_clocks_in_child(nth);
		break;
	case 1:
		/* No task joins. */
		break;
	default:
		fd = must(open(CHILDREN_NS, O_RDONLY | O_CLOEXEC), "open " CHILDREN_NS);
		must(setns(fd, CLONE_NEWTIME), "join");
		close(fd);
		check_clocks(nth);
	}
	join_host();
}

/* The pages in the per-CPU lists of the page allocator, which MemFree does not include. */
static long per_cpu_pages(void)
{
	FILE *file = fopen("/proc/zoneinfo", "r");
	long pages = 0, value;
	char line[128];

	if (!file)
		error(1, errno, "/proc/zoneinfo");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " count: %ld", &value) == 1)
			pages += value;
	}
	fclose(file);
	return pages;
}

/* Bytes that are neither free nor part of a cache of files. */
static long long bytes_in_use(void)
{
	long long total = 0, available = per_cpu_pages() * 4, value;
	FILE *file = fopen("/proc/meminfo", "r");
	char name[64];

	if (!file)
		error(1, errno, "/proc/meminfo");
	while (fscanf(file, "%63[^:]: %lld%*[^\n] ", name, &value) == 2) {
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

/* Drains until the memory in use no longer shrinks. */
static long long drained_bytes(void)
{
	long long least = bytes_in_use(), now;
	int same, tries;

	for (same = tries = 0; same < 3 && tries < 40; tries++) {
		drain();
		now = bytes_in_use();
		same = now < least ? 0 : same + 1;
		if (now < least)
			least = now;
	}
	return least;
}

static void print_slabs(void)
{
	FILE *file = fopen("/proc/slabinfo", "r");
	long count, size;
	char name[64];

	/* Some allocators do not count objects. */
	if (!file)
		return;
	/* Two lines of header. */
	if (fscanf(file, "%*[^\n] %*[^\n] "))
		error(1, 0, "/proc/slabinfo has no header");
	while (fscanf(file, "%63s %ld %*d %ld%*[^\n] ", name, &count, &size) == 3)
		printf("count %s %ld %ld\n", name, count, size);
	fclose(file);
}

/* Runs on one CPU, so that the same CPU caches the objects that sampling itself uses. */
static void sample(unsigned int part, unsigned int cycles)
{
	cpu_set_t all;

	must(sched_getaffinity(0, sizeof(all), &all), "get the CPUs");
	stay_on_first_cpu();
	printf("sample %u %lld\n", cycles, drained_bytes());
	print_slabs();
	printf("TIMENS-END %u\n", part);
	fflush(stdout);
	must(sched_setaffinity(0, sizeof(all), &all), "return to all CPUs");
}

/* Checks that no namespace is charged any more: under a limit of one, exactly one can be made. */
static void check_charges(void)
{
	int tries;

	write_file(LIMIT_FILE, "1");
	for (tries = 0; unshare(CLONE_NEWTIME); tries++) {
		if (errno != ENOSPC || tries == 100)
			error(1, errno, "a namespace is still charged");
		usleep(10000);
	}
	if (!unshare(CLONE_NEWTIME))
		error(1, 0, "the limit of time namespaces is not enforced");
	join_host();
	puts("charges 0");
}

int main(void)
{
	const char *argument = getenv("TIMENS_AGE");
	unsigned int part, parts, cycles, i, done = 0;
	char rest;

	if (!argument || sscanf(argument, "%u,%u%c", &parts, &cycles, &rest) != 2 || !parts || !cycles)
		error(1, 0, "TIMENS_AGE must be PARTS,CYCLES");
	host_fd = must(open(OWN_NS, O_RDONLY | O_CLOEXEC), "open " OWN_NS);
	for (part = 1; part <= parts; part++) {
		printf("TIMENS-BEGIN %u\n", part);
		for (i = 0; i < cycles; i++)
			cycle(done++);
		sample(part, done);
	}
	check_charges();
	return 0;
}

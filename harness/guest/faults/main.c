// SPDX-License-Identifier: GPL-2.0
/* Sets up fault injection, and runs all tests. */
#include "faults.h"

#include <sys/mman.h>

#define DEBUG		"/sys/kernel/debug/"

struct result *result;
const char *self;
int offsets_fd, namespace_fd, pidfd;
pid_t helper;
ino_t own, children, owner;
unsigned int fault, rounds;

static void set_fault(const char *name, const char *value)
{
	char path[128];

	sprintf(path, DEBUG "%s", name);
	write_file(path, value);
}

static void prepare_faults(void)
{
	set_fault("failslab/verbose", "0");
	set_fault("failslab/ignore-gfp-wait", "0");
	set_fault("fail_page_alloc/verbose", "0");
	set_fault("fail_page_alloc/ignore-gfp-wait", "0");
	/* Also the stacks of tasks and the pages of processes. */
	set_fault("fail_page_alloc/ignore-gfp-highmem", "0");
	set_fault("fail_page_alloc/min-order", "0");
	/* Shortens the report of each failed charge. */
	write_file("/proc/sys/vm/oom_dump_tasks", "0");
}

static int map_result(void)
{
	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED, RESULT_FD, 0);
	return result == MAP_FAILED ? -1 : 0;
}

/*
 * The kernel writes to each task's rseq area, and kills the task when there is no page for that. No
 * child may die for that reason, so the C library must not register the area.
 */
#define TUNABLES	"GLIBC_TUNABLES"

int main(int argc, char **argv)
{
	static struct counts counts[NR_OPERATIONS];
	const char *text = getenv("TIMENS_FAULTS_ROUNDS");
	unsigned int i;
	int fd;

	if (argc == 3 && !strcmp(argv[1], "after-exec"))
		return map_result() ? MET_FAULT : after_exec(argv[2]);
	if (!getenv(TUNABLES)) {
		must(setenv(TUNABLES, "glibc.pthread.rseq=0", 1), "set " TUNABLES);
		must(execv("/proc/self/exe", argv), "execute this program again");
	}
	self = argv[0];
	if (!text || sscanf(text, "%u", &rounds) != 1)
		error(2, 0, "TIMENS_FAULTS_ROUNDS must be the number of rounds between the counts");
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* The free objects that a CPU caches must be the same in each count. */
	stay_on_first_cpu();
	fd = must(syscall(SYS_memfd_create, "result", 0), "make a file in memory");
	must(ftruncate(fd, sizeof(*result)), "make a file in memory");
	must(dup2(fd, RESULT_FD), "dup2");
	close(fd);
	must(map_result(), "map the result");
	prepare_faults();
	write_file(CGROUPS "cgroup.subtree_control", "+memory");
	must(mkdir(CGROUPS "faults", 0755), "make a cgroup");
	enter("faults");

	printf("TAP version 13\n1..%u\n", NR_OPERATIONS + (rounds ? 18 : 16));
	check_limit("at the start");
	check_page_visible();
	/* Some objects are allocated only by the first use. */
	sweep_all(counts);
	if (rounds)
		check_leaks(counts);
	for (i = 0; i < NR_OPERATIONS; i++)
		print_operation(&operations[i], &counts[i]);
	check_limit("at the end");
	check_charges();
	return failures != 0;
}

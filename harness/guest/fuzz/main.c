// SPDX-License-Identifier: GPL-2.0
/*
 * Reads the requests, a line each, from /requests:
 *
 *   hash SEED SEQUENCE LENGTH          runs one sequence; prints a hash after each operation
 *   list SEED SEQUENCE OPERATION...    runs these operations of one sequence; prints the results
 *
 * and after the last request how often each operation succeeded and failed.
 */

#include "fuzz.h"

#include <sys/mman.h>
#include <sys/prctl.h>

#define REQUESTS	"/requests"
#define MAX_LENGTH	4096

struct shared *shared;

static void run_request(char *request)
{
	static unsigned int numbers[MAX_LENGTH];
	unsigned int sequence, count = 0, length = 0;
	bool list = !strncmp(request, "list ", 5);
	int rest = 0;
	uint64_t seed;
	char *token;

	if (sscanf(request, "%*s %" SCNu64 " %u %n", &seed, &sequence, &rest) != 2)
		fatal("invalid request: %s", request);
	if (list) {
		for (token = strtok(request + rest, " "); token; token = strtok(NULL, " ")) {
			if (count == MAX_LENGTH)
				fatal("more than %u operations in a sequence", MAX_LENGTH);
			numbers[count++] = strtoul(token, NULL, 10);
		}
	} else {
		if (sscanf(request, "hash %*u %*u %u", &length) != 1 || length > MAX_LENGTH)
			fatal("invalid request: %s", request);
		for (; count < length; count++)
			numbers[count] = count;
	}
	printf("TIMENS-BEGIN %u\n", sequence);
	fflush(stdout);
	run_sequence(seed, sequence, numbers, count, list);
	printf("TIMENS-END %u\n", sequence);
	fflush(stdout);
}

static void map_shared(int fd)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		error(1, errno, "cannot map the shared memory");
}

static void coordinate(void)
{
	FILE *requests = fopen(REQUESTS, "re");
	char *line = NULL;
	size_t size = 0;
	int fd;

	if (!requests)
		error(1, errno, REQUESTS);
	fd = memfd_create("shared", 0);
	if (fd < 0 || ftruncate(fd, sizeof(*shared)))
		error(1, errno, "cannot share memory");
	must(dup2(fd, SHARED_FD), "place a descriptor");
	close(fd);
	map_shared(SHARED_FD);
	prepare_coordinator();
	/* Only one process runs at a time, and waking another CPU takes long. */
	stay_on_first_cpu();
	/* Workers are not waited for: ignoring the signal reaps them. */
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);

	/* Then an offset of -1 s is allowed, and is not the least that is. */
	while (read_clock(clock_gettime, CLOCK_MONOTONIC) < 4 * NSEC_PER_SEC)
		short_sleep();
	shared->monotonic = 0;
	shared->monotonic = -coarse_offset(clock_gettime);
	/* The guest never suspends, so both started together. */
	shared->boottime = shared->monotonic;

	while (getline(&line, &size, requests) > 0) {
		line[strcspn(line, "\n")] = '\0';
		run_request(line);
	}
	print_counts();
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		coordinate();
		return 0;
	}
	/* A worker, or a task of one, after exec. */
	map_shared(SHARED_FD);
	if (!strcmp(argv[1], "once")) {
		perform();
		if (shared->result >= 0)
			close(shared->result);
		exit_task();
	}
	print_result(0);
	reply(atoi(argv[2]));
	worker(atoi(argv[2]));
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Prints the clocks that a time namespace shifts, and checks the shift.
 *
 *   clocks                                     prints each clock of the caller's namespace
 *   clocks compare BEFORE NS AFTER MONO BOOT   compares three such prints: that of a namespace,
 *                                              taken between two of the host, must lie between
 *                                              them once the offsets (in seconds) are added
 *   clocks stay                                reads a clock, and waits
 *   clocks pages PID                           prints the frame numbers of the two pages that a
 *                                              process reads its clocks from, if they are mapped
 *   clocks speed                               prints the nanoseconds of a clock read: the lowest
 *                                              of many rounds
 *   clocks open                                unshares a time namespace and waits, so that other
 *                                              processes can write its offsets
 */
#include "timens.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

static const struct clock clocks[] = {
	SHIFTED_CLOCKS,
	{ "BOOTTIME_ALARM",	CLOCK_BOOTTIME_ALARM,	OFFSET_BOOTTIME },
	{ "REALTIME",		CLOCK_REALTIME,		OFFSET_NONE },
	{ "/proc/uptime",	-1,			OFFSET_BOOTTIME },
};

#define NR_CLOCKS	ARRAY_SIZE(clocks)

static long long parse(const char *text)
{
	long long sec;
	char fraction[10] = "";
	size_t len;

	if (sscanf(text, "%lld.%9[0-9]", &sec, fraction) < 1)
		error(1, 0, "invalid time: %s", text);
	/* Pad to nanoseconds: /proc/uptime has hundredths. */
	for (len = strlen(fraction); len < 9; len++)
		fraction[len] = '0';
	return sec * NSEC_PER_SEC + atoll(fraction);
}

static long long read_clock(const struct clock *clock)
{
	struct timespec ts;
	char text[64];
	FILE *file;

	if (clock->id >= 0) {
		if (clock_gettime(clock->id, &ts))
			error(1, errno, "CLOCK_%s", clock->name);
		return to_ns(&ts);
	}
	file = fopen(clock->name, "r");
	if (!file || !fgets(text, sizeof(text), file))
		error(1, errno, "%s", clock->name);
	fclose(file);
	return parse(text);
}

static void print_clocks(void)
{
	long long now;
	size_t i;

	for (i = 0; i < NR_CLOCKS; i++) {
		now = read_clock(&clocks[i]);
		printf("%s %lld.%09lld\n", clocks[i].name, now / NSEC_PER_SEC,
		       now % NSEC_PER_SEC);
	}
}

static void load(const char *path, long long times[NR_CLOCKS])
{
	char name[32], text[64];
	FILE *file = fopen(path, "r");
	size_t i;

	if (!file)
		error(1, errno, "%s", path);
	for (i = 0; i < NR_CLOCKS; i++) {
		if (fscanf(file, "%31s %63s", name, text) != 2 || strcmp(name, clocks[i].name))
			error(1, 0, "%s has no %s", path, clocks[i].name);
		times[i] = parse(text);
	}
	fclose(file);
}

static int compare(char **paths, const char *monotonic, const char *boottime)
{
	long long before[NR_CLOCKS], inside[NR_CLOCKS], after[NR_CLOCKS];
	const long long offsets[] = {
		[OFFSET_MONOTONIC] = parse(monotonic),
		[OFFSET_BOOTTIME] = parse(boottime),
	};
	bool passed = true;
	size_t i;

	load(paths[0], before);
	load(paths[1], inside);
	load(paths[2], after);
	printf("%-18s %20s %20s %14s %10s\n", "clock", "host", "namespace", "difference",
	       "offset");
	for (i = 0; i < NR_CLOCKS; i++) {
		long long offset = offsets[clocks[i].offset];
		bool fits = before[i] + offset <= inside[i] && inside[i] <= after[i] + offset;

		printf("%-18s %20.6f %20.6f %14.6f %10lld  %s\n", clocks[i].name, before[i] / 1e9,
		       inside[i] / 1e9, (inside[i] - before[i]) / 1e9, offset / NSEC_PER_SEC,
		       fits ? "ok" : "WRONG");
		passed &= fits;
	}
	return passed ? 0 : 1;
}

/* The first page of [vvar] has the clock data, the second one the offsets. */
static int print_pages(const char *pid)
{
	uint64_t start = 0, entries[2];
	const long size = sysconf(_SC_PAGESIZE);
	char path[64], line[256];
	FILE *maps;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "r");
	if (!maps)
		error(1, errno, "%s", path);
	while (!start && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]"))
			sscanf(line, "%" SCNx64, &start);
	fclose(maps);
	if (!start)
		error(1, 0, "%s has no [vvar]", path);
	snprintf(path, sizeof(path), "/proc/%s/pagemap", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || pread(fd, entries, sizeof(entries), start / size * sizeof(entries[0])) !=
			      sizeof(entries))
		error(1, errno, "%s", path);
	close(fd);
	/* Bit 63 is set if the page is mapped; the lower 55 bits are its frame number. */
	if (!(entries[0] >> 63))
		return 1;
	printf("%llx %llx\n", entries[0] & ((1ULL << 55) - 1), entries[1] & ((1ULL << 55) - 1));
	return 0;
}

static void print_speed(void)
{
	enum { ROUNDS = 200, READS = 1000 };
	struct timespec start, end, ts;
	long long least = NSEC_PER_SEC, time;
	int i, j;

	for (i = 0; i < ROUNDS; i++) {
		clock_gettime(CLOCK_MONOTONIC, &start);
		for (j = 0; j < READS; j++)
			clock_gettime(CLOCK_MONOTONIC, &ts);
		clock_gettime(CLOCK_MONOTONIC, &end);
		time = to_ns(&end) - to_ns(&start);
		least = time < least ? time : least;
	}
	printf("%.3f\n", (double)least / READS);
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		print_clocks();
	} else if (argc == 2 && !strcmp(argv[1], "stay")) {
		read_clock(&clocks[0]);
		pause();
	} else if (argc == 3 && !strcmp(argv[1], "pages")) {
		return print_pages(argv[2]);
	} else if (argc == 2 && !strcmp(argv[1], "speed")) {
		print_speed();
	} else if (argc == 7 && !strcmp(argv[1], "compare")) {
		return compare(argv + 2, argv[5], argv[6]);
	} else if (argc == 2 && !strcmp(argv[1], "open")) {
		if (unshare(CLONE_NEWTIME))
			error(1, errno, "unshare");
		pause();
	} else {
		error(1, 0, "usage: clocks [compare BEFORE NS AFTER MONO BOOT | stay | pages PID | "
		      "speed | open]");
	}
	return 0;
}

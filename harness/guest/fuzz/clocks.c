// SPDX-License-Identifier: GPL-2.0
/* Operations that read clocks. */
#include "fuzz.h"

#include <sys/sysinfo.h>

static int by_system_call(clockid_t clock, struct timespec *now)
{
	return syscall(SYS_clock_gettime, clock, now);
}

int64_t read_clock(clock_reader read, clockid_t clock)
{
	struct timespec now;

	if (read(clock, &now))
		return INT64_MIN;
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* Prints an offset as timens_offsets does: the nanoseconds are never negative. */
static void print_offset(int64_t offset)
{
	int64_t ahead = offset - shared->ahead * NSEC_PER_SEC, nsec;
	int64_t behind = offset - shared->behind * NSEC_PER_SEC;

	/* Print an offset that depends on the time as the difference to that. */
	if (llabs(ahead) <= NSEC_PER_SEC) {
		print(" AHEAD and");
		offset = ahead;
	} else if (llabs(behind) <= NSEC_PER_SEC) {
		print(" BEHIND and");
		offset = behind;
	}
	nsec = offset % NSEC_PER_SEC;
	if (nsec < 0)
		nsec += NSEC_PER_SEC;
	print(" %" PRId64 " %" PRId64, (offset - nsec) / NSEC_PER_SEC, nsec);
}

/*
 * How far CLOCK_MONOTONIC_COARSE is ahead of the host's. CLOCK_REALTIME_COARSE, which no namespace
 * shifts, is updated at the same moment: if it has not changed meanwhile, the result is exact.
 */
int64_t coarse_offset(clock_reader read)
{
	int64_t before, now, after;
	int i;

	for (i = 0; i < 1000; i++) {
		before = read_clock(read, CLOCK_REALTIME_COARSE);
		now = read_clock(read, CLOCK_MONOTONIC_COARSE);
		after = read_clock(read, CLOCK_REALTIME_COARSE);
		if (before == after)
			return now - before + shared->monotonic;
	}
	return INT64_MIN;
}

/* Bounds of the offset of a clock, at most a millisecond apart. */
static bool fine_offset(clock_reader read, clockid_t clock, int64_t began, int64_t bounds[2])
{
	int64_t before, now, after;
	int i;

	for (i = 0; i < 1000; i++) {
		before = read_clock(read, CLOCK_REALTIME);
		now = read_clock(read, clock);
		after = read_clock(read, CLOCK_REALTIME);
		if (now == INT64_MIN)
			return false;
		bounds[0] = now - after + began;
		bounds[1] = now - before + began;
		if (after - before < NSEC_PER_MSEC)
			return true;
	}
	return false;
}

static void print_relation(const int64_t bounds[2], int64_t offset)
{
	print(bounds[1] < offset ? " below" : bounds[0] > offset ? " above" : " at");
}

/* Prints an offset with no known value to compare with: rounded to a tenth of a second. */
static void print_rounded(const int64_t bounds[2])
{
	int64_t tenth = NSEC_PER_SEC / 10, offset = bounds[0] + tenth / 2;

	offset -= (offset % tenth + tenth) % tenth;
	print_offset(offset);
	if (llabs(bounds[0] - offset) > 20 * NSEC_PER_MSEC)
		print(" about");
}

static bool current_offsets(int64_t *monotonic, int64_t *boottime)
{
	long long values[4];
	char text[200] = "";
	int fd = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
	struct stat stats[2];

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	/* The file has the offsets of time_for_children. */
	if (stat("/proc/self/ns/time", &stats[0]) ||
	    stat("/proc/self/ns/time_for_children", &stats[1]) ||
	    stats[0].st_ino != stats[1].st_ino)
		return false;
	if (sscanf(text, "monotonic %lld %lld boottime %lld %lld", &values[0], &values[1],
		   &values[2], &values[3]) != 4)
		return false;
	*monotonic = values[0] * NSEC_PER_SEC + values[1];
	*boottime = values[2] * NSEC_PER_SEC + values[3];
	return true;
}

void do_clocks(uint64_t *random)
{
	static const struct {
		const char *name;
		clock_reader read;
	} ways[] = { { "vdso", clock_gettime }, { "call", by_system_call } };
	int64_t coarse, monotonic, boottime, bounds[2], raw[2];
	bool known = current_offsets(&monotonic, &boottime);
	size_t i;

	(void)random;
	shared->error = 0;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		clock_reader read = ways[i].read;

		print("%s %s: coarse", i ? ";" : "", ways[i].name);
		coarse = coarse_offset(read);
		print_offset(coarse);
		if (known)
			print(coarse == monotonic ? " as shown" : " NOT AS SHOWN");
		print(", monotonic");
		if (fine_offset(read, CLOCK_MONOTONIC, shared->monotonic, bounds))
			print_relation(bounds, coarse);
		/* Compared with CLOCK_MONOTONIC: the raw clock drifts. */
		print(", raw");
		raw[0] = read_clock(read, CLOCK_MONOTONIC);
		raw[1] = read_clock(read, CLOCK_MONOTONIC_RAW) - raw[0];
		print(llabs(raw[1]) < NSEC_PER_SEC / 2 ? " near" : " FAR");
		print(", boottime");
		if (!fine_offset(read, CLOCK_BOOTTIME, shared->boottime, bounds))
			print(" none");
		else if (known)
			print_relation(bounds, boottime);
		else
			print_rounded(bounds);
		print(", alarm");
		if (!fine_offset(read, CLOCK_BOOTTIME_ALARM, shared->boottime, bounds))
			print(" none");
		else if (known)
			print_relation(bounds, boottime);
		else
			print_rounded(bounds);
	}
}

/* A time in seconds, rounded down. */
static int64_t whole_seconds(int64_t time)
{
	return time / NSEC_PER_SEC - (time % NSEC_PER_SEC < 0);
}

/* Compares btime in /proc/stat with the real time at which CLOCK_BOOTTIME was zero. */
static void print_btime(void)
{
	FILE *file = fopen("/proc/stat", "re");
	unsigned long long btime = 0;
	int64_t bounds[2], least, most;
	char line[4096];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "btime %llu", &btime) == 1;
	if (file)
		fclose(file);
	if (!found || !fine_offset(clock_gettime, CLOCK_BOOTTIME, 0, bounds)) {
		print(" none");
		return;
	}
	least = whole_seconds(-bounds[1]);
	most = whole_seconds(-bounds[0]);
	print((int64_t)btime < least ? " below" : (int64_t)btime > most ? " above" : " at");
}

void do_uptime(uint64_t *random)
{
	int64_t before = read_clock(clock_gettime, CLOCK_BOOTTIME), after, uptime, start;
	FILE *file = fopen("/proc/uptime", "re");
	long long sec, hundredths;
	unsigned long long ticks;
	struct sysinfo info;

	(void)random;
	if (!file || fscanf(file, "%lld.%lld", &sec, &hundredths) != 2)
		print(" none");
	if (file)
		fclose(file);
	if (sysinfo(&info))
		print(" none");
	after = read_clock(clock_gettime, CLOCK_BOOTTIME);
	uptime = sec * NSEC_PER_SEC + hundredths * (NSEC_PER_SEC / 100);
	print(uptime < before - NSEC_PER_SEC / 100 ? " below" : uptime > after ? " above" : " at");
	print(info.uptime < before / NSEC_PER_SEC ? " below" :
	      info.uptime > after / NSEC_PER_SEC + 1 ? " above" : " at");
	/* The start time of the caller is in its own namespace's CLOCK_BOOTTIME. */
	file = fopen("/proc/self/stat", "re");
	if (!file || fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
			    "%*d %*d %*d %*d %*d %llu", &ticks) != 1)
		print(" none");
	if (file)
		fclose(file);
	start = (int64_t)ticks * (NSEC_PER_SEC / 100);
	print(start > after ? " above" : start < after - 600 * NSEC_PER_SEC ? " below" : " at");
	print_btime();
	shared->error = 0;
}

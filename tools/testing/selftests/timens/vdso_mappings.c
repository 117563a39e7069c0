// SPDX-License-Identifier: GPL-2.0
/*
 * Switches of the time namespace when the vDSO's data pages were moved,
 * protected, unmapped or dropped.
 *
 * A task may move, protect and unmap the mapping [vvar], and drop its pages in
 * any order. Checkpoint/restore moves it together with the vDSO. A task may do so
 * before a switch of the time namespace or between two switches. Once the mapping
 * is back where the vDSO expects it, the next read has the new offsets. A task
 * can't move, protect or unmap only a part of it.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#ifdef __x86_64__
# include <asm/prctl.h>
#endif

#include "timens_switch.h"

/* The arch_prctl() code that maps the vDSO image of this program */
#if defined(__ILP32__) && defined(ARCH_MAP_VDSO_X32)
# define ARCH_MAP_VDSO	ARCH_MAP_VDSO_X32
#elif defined(ARCH_MAP_VDSO_64)
# define ARCH_MAP_VDSO	ARCH_MAP_VDSO_64
#endif

#define MANY_VMAS	12000

FIXTURE(vdso_mappings) {
	struct switcher switcher;
	struct mapping vvar;
	long page;
};

FIXTURE_SETUP(vdso_mappings)
{
	if (!setup_switcher(_metadata, &self->switcher))
		return;
	self->page = sysconf(_SC_PAGESIZE);
	if (!find_mapping("[vvar]", &self->vvar))
		SKIP(return, "the process has no mapping [vvar]");
}

FIXTURE_TEARDOWN(vdso_mappings)
{
}

static bool can_change(struct __test_metadata *_metadata, const struct mapping *vvar)
{
	if (mprotect((void *)vvar->start, vvar->size, PROT_READ) && errno == EPERM)
		SKIP(return false, "CONFIG_MSEAL_SYSTEM_MAPPINGS seals the mapping");
	return true;
}

/* Returns the address of a range that nothing else uses, or 0. */
static unsigned long reserve(unsigned long size)
{
	void *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return place == MAP_FAILED ? 0 : (unsigned long)place;
}

static void touch(const struct mapping *mapping, unsigned long offset)
{
	(void)*(volatile char *)(mapping->start + offset);
}

/* Faults in the vDSO's code, so that it causes no faults later. */
static void touch_code(long page)
{
	struct mapping vdso;
	unsigned long offset;

	if (!find_mapping("[vdso]", &vdso))
		return;
	for (offset = 0; offset < vdso.size; offset += page)
		touch(&vdso, offset);
}

TEST_F(vdso_mappings, vvar_stays_in_maps)
{
	struct mapping now;
	int ns;

	for (ns = 0; ns < NR_NS; ns++) {
		join(_metadata, &self->switcher, ns);
		chain_own(_metadata, &self->switcher, 0, ns, "with [vvar] in place");
		ASSERT_EQ(1, find_mapping("[vvar]", &now));
		EXPECT_EQ(self->vvar.start, now.start);
		EXPECT_EQ(self->vvar.size, now.size);
	}
}

/*
 * The C library for i386 makes system calls through the vDSO, and doesn't notice
 * that the vDSO has moved.
 */
static long raw_syscall(long nr, long a, long b, long c, long d, long e)
{
#ifdef __i386__
	long ret;

	asm volatile("int $0x80" : "=a" (ret)
		     : "a" (nr), "b" (a), "c" (b), "d" (c), "S" (d), "D" (e) : "memory");
	return ret;
#else
	long ret = syscall(nr, a, b, c, d, e);

	return ret == -1 ? -errno : ret;
#endif
}

/* The namespaces that the task with the moved vDSO joins, after its child has read the clocks */
static const int route[] = { BEHIND, AHEAD, AHEAD_TOO, ZERO, HOST, AHEAD, HOST };

#define NR_REPORTS	(2 + ARRAY_SIZE(route))

struct report {
	long error;
	unsigned int stamps;
	struct { int ns; struct stamp stamp; } by[NR_REPORTS];
};

static void report(struct report *report, int ns, void *gettime64)
{
	report->by[report->stamps].stamp = stamp_by_vdso(gettime64, report->stamps);
	report->by[report->stamps++].ns = ns;
}

/* Makes only raw system calls. The next child will be in namespace AHEAD. */
static long move_and_read(const struct switcher *switcher, const struct mapping *mappings,
			  unsigned int nr, long distance, struct report *out)
{
	void *gettime64 = switcher->gettime64 + distance;
	unsigned int i;
	long ret;

	for (i = 0; i < nr; i++) {
		ret = raw_syscall(__NR_mremap, mappings[i].start, mappings[i].size,
				  mappings[i].size, MREMAP_MAYMOVE | MREMAP_FIXED,
				  mappings[i].start + distance);
		if (ret != (long)mappings[i].start + distance)
			return ret;
	}
	report(out, HOST, gettime64);

	ret = raw_syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0);
	if (ret < 0)
		return ret;
	if (!ret) {
		report(out, AHEAD, gettime64);
		raw_syscall(__NR_exit_group, 0, 0, 0, 0, 0);
	}
	ret = raw_syscall(__NR_wait4, ret, 0, 0, 0, 0);
	if (ret < 0)
		return ret;

	for (i = 0; i < ARRAY_SIZE(route); i++) {
		ret = raw_syscall(__NR_setns, switcher->fds[route[i]], CLONE_NEWTIME, 0, 0, 0);
		if (ret)
			return ret;
		report(out, route[i], gettime64);
	}
	return 0;
}

TEST_F(vdso_mappings, reads_are_right_after_vdso_moves)
{
	static const char * const names[] = { "[vdso]", "[vvar]", "[vvar_vclock]" };
	struct mapping all[ARRAY_SIZE(names)];
	unsigned long lowest = ULONG_MAX, end = 0, place;
	struct report *out;
	unsigned int i, nr = 0;
	int status;
	pid_t pid;

	if (!can_change(_metadata, &self->vvar))
		return;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!find_mapping(names[i], &all[nr]))
			continue;
		if (all[nr].start < lowest)
			lowest = all[nr].start;
		if (all[nr].start + all[nr].size > end)
			end = all[nr].start + all[nr].size;
		nr++;
	}
	place = reserve(end - lowest);
	ASSERT_NE(0, place);
	out = mmap(NULL, sizeof(*out), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(out != MAP_FAILED);
	chain_own(_metadata, &self->switcher, 0, HOST, "before the move");

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (create_timens(&namespaces[AHEAD].offsets) < 0)
			_exit(1);
		out->error = move_and_read(&self->switcher, all, nr, place - lowest, out);
		raw_syscall(__NR_exit_group, 0, 0, 0, 0, 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EQ(0, out->error);
	EXPECT_EQ(NR_REPORTS, out->stamps);
	for (i = 0; i < out->stamps; i++) {
		chain(_metadata, &self->switcher.last, &out->by[i].stamp, out->by[i].ns,
		      "after the vDSO has moved");
	}
	chain_own(_metadata, &self->switcher, 0, HOST, "after the move");
}

/* The task switches its namespace while the mapping is away from the vDSO. */
TEST_F(vdso_mappings, reads_are_right_after_vvar_moves_back)
{
	struct mapping here = self->vvar, there = here;
	int from, to, used;

	if (!can_change(_metadata, &here))
		return;
	there.start = reserve(there.size);
	ASSERT_NE(0, there.start);
	for (from = 0; from < NR_NS; from++) {
		for (to = 0; to < NR_NS; to++) {
			for (used = 0; used <= 1; used++) {
				join(_metadata, &self->switcher, from);
				chain_own(_metadata, &self->switcher, to, from,
					  "before the move");
				ASSERT_TRUE(mremap((void *)here.start, here.size, here.size,
						   MREMAP_MAYMOVE | MREMAP_FIXED,
						   there.start) == (void *)there.start);
				join(_metadata, &self->switcher, to);
				if (used)
					touch(&there, 0);
				ASSERT_TRUE(mremap((void *)there.start, here.size, here.size,
						   MREMAP_MAYMOVE | MREMAP_FIXED,
						   here.start) == (void *)here.start);
				chain_own(_metadata, &self->switcher, from, to,
					  "after the move");
			}
		}
	}
}

TEST_F(vdso_mappings, vvar_cannot_be_split)
{
	unsigned long offset, place;
	void *page;

	if (!can_change(_metadata, &self->vvar))
		return;
	place = reserve(self->page);
	ASSERT_NE(0, place);
	join(_metadata, &self->switcher, AHEAD);
	for (offset = 0; offset < self->vvar.size; offset += self->page) {
		page = (void *)self->vvar.start + offset;
		EXPECT_EQ(-1, munmap(page, self->page));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(-1, mprotect(page, self->page, PROT_NONE));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_TRUE(mremap(page, self->page, self->page,
				   MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED);
		EXPECT_EQ(EINVAL, errno);
	}
	chain_own(_metadata, &self->switcher, 0, AHEAD, "after attempts to split [vvar]");
}

TEST_F(vdso_mappings, reads_are_right_after_mprotect)
{
	void *start = (void *)self->vvar.start;
	int ns;

	if (!can_change(_metadata, &self->vvar))
		return;
	EXPECT_EQ(-1, mprotect(start, self->vvar.size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	for (ns = 0; ns < NR_NS; ns++) {
		ASSERT_EQ(0, mprotect(start, self->vvar.size, PROT_NONE));
		join(_metadata, &self->switcher, ns);
		ASSERT_EQ(0, mprotect(start, self->vvar.size, PROT_READ));
		chain_own(_metadata, &self->switcher, ns, ns, "after mprotect()");
	}
}

#ifdef ARCH_MAP_VDSO
/* Maps a new vDSO after [vvar] was unmapped, as checkpoint/restore does. */
static void map_new_vdso(struct __test_metadata *_metadata, FIXTURE_DATA(vdso_mappings) *self)
{
	const unsigned long size = 16 * self->page;
	unsigned long place = reserve(size);
	struct mapping vdso;
	int ns;

	ASSERT_NE(0, place);
	join(_metadata, &self->switcher, AHEAD);
	if (find_mapping("[vvar_vclock]", &vdso))
		ASSERT_EQ(0, munmap((void *)vdso.start, vdso.size));
	ASSERT_EQ(1, find_mapping("[vdso]", &vdso));
	ASSERT_EQ(0, munmap((void *)vdso.start, vdso.size));

	ASSERT_EQ(0, munmap((void *)place, size));
	if (syscall(__NR_arch_prctl, ARCH_MAP_VDSO, place) < 0)
		SKIP(return, "the kernel doesn't map a new vDSO: %s", strerror(errno));
	ASSERT_EQ(1, find_mapping("[vdso]", &vdso));
	vdso_init_from_sysinfo_ehdr(vdso.start);
	self->switcher.gettime64 = vdso_function(CLOCK_GETTIME64);

	chain_own(_metadata, &self->switcher, 0, AHEAD, "in a new vDSO");
	for (ns = 0; ns < NR_NS; ns++) {
		join(_metadata, &self->switcher, ns);
		chain_own(_metadata, &self->switcher, ns, ns, "with a new vDSO");
	}
}
#endif

TEST_F(vdso_mappings, reads_are_right_after_munmap)
{
	struct stamp stamp;
	int ns;

	if (!can_change(_metadata, &self->vvar))
		return;
	ASSERT_EQ(0, munmap((void *)self->vvar.start, self->vvar.size));
	for (ns = 0; ns < NR_NS; ns++) {
		join(_metadata, &self->switcher, ns);
		stamp = stamp_by_syscall();
		chain(_metadata, &self->switcher.last, &stamp, ns, "without [vvar]");
	}
#ifdef ARCH_MAP_VDSO
	map_new_vdso(_metadata, self);
#endif
}

/* Whether /proc/config.gz has an option */
static bool kernel_has(const char *option)
{
	char command[128];

	snprintf(command, sizeof(command), "zcat /proc/config.gz | grep -qx %s=y", option);
	return !system(command);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static long faults_of_clock(const struct switcher *switcher)
{
	long before = faults();

	read_time64(switcher->gettime64, CLOCK_MONOTONIC_COARSE);
	return faults() - before;
}

TEST_F(vdso_mappings, one_fault_maps_both_pages)
{
	int ns;

	if (!can_change(_metadata, &self->vvar))
		return;
	touch_code(self->page);
	for (ns = 0; ns < NR_NS; ns++) {
		join(_metadata, &self->switcher, ns);
		faults_of_clock(&self->switcher);
		ASSERT_EQ(0, madvise((void *)self->vvar.start, self->vvar.size,
				     MADV_DONTNEED));
		EXPECT_EQ(1, faults_of_clock(&self->switcher));
		EXPECT_EQ(0, faults_of_clock(&self->switcher));
	}
}

TEST_F(vdso_mappings, only_changed_pages_are_unmapped)
{
	static const struct { int from, to, faults; } switches[] = {
		{ HOST, ZERO, 0 }, { ZERO, ZERO_TOO, 0 }, { ZERO, HOST, 0 },
		{ HOST, AHEAD, 1 }, { AHEAD, AHEAD, 0 }, { AHEAD, AHEAD_TOO, 1 },
		{ AHEAD, BEHIND, 1 }, { BEHIND, ZERO, 1 }, { AHEAD, HOST, 1 },
	};
	int (*time_of_day)(struct timeval *tv, struct timezone *tz);
	struct timeval tv;
	unsigned int i;
	long before;
	int ns;

	if (access("/proc/config.gz", R_OK))
		SKIP(return, "the kernel has no /proc/config.gz");
	if (!kernel_has("CONFIG_TIME_NS_RUST"))
		SKIP(return, "the C implementation unmaps all pages at every switch");
	touch_code(self->page);
	for (ns = 0; ns < NR_NS; ns++) {
		join(_metadata, &self->switcher, ns);
		faults_of_clock(&self->switcher);
	}
	for (i = 0; i < ARRAY_SIZE(switches); i++) {
		join(_metadata, &self->switcher, switches[i].from);
		faults_of_clock(&self->switcher);
		join(_metadata, &self->switcher, switches[i].to);
		EXPECT_EQ(switches[i].faults, faults_of_clock(&self->switcher))
			TH_LOG("from '%s' to '%s'", namespaces[switches[i].from].name,
			       namespaces[switches[i].to].name);
	}

	time_of_day = vdso_function(GETTIMEOFDAY);
	if (!kernel_has("CONFIG_TIME_NS_OFFSET_PAGE") || !time_of_day)
		return;
	/* gettimeofday() uses no offset, so it only needs the page that stays mapped. */
	VDSO_CALL(time_of_day, 2, &tv, NULL);
	for (i = 0; i < ARRAY_SIZE(switches); i++) {
		join(_metadata, &self->switcher, switches[i].from);
		faults_of_clock(&self->switcher);
		join(_metadata, &self->switcher, switches[i].to);
		before = faults();
		VDSO_CALL(time_of_day, 2, &tv, NULL);
		EXPECT_EQ(before, faults());
	}
}

/* The first two pages are faulted in and dropped one by one, in any order. */
TEST_F(vdso_mappings, reads_are_right_after_dropping_one_page)
{
	static const int orders[][2] = { { 0, 0 }, { 1, 1 }, { 0, 1 }, { 1, 0 } };
	unsigned int i, dropped;
	int ns;

	for (ns = 0; ns < NR_NS; ns++) {
		for (i = 0; i < ARRAY_SIZE(orders); i++) {
			/* The pages may still be mapped if the task was in this namespace. */
			join(_metadata, &self->switcher, ns);
			ASSERT_EQ(0, madvise((void *)self->vvar.start, self->vvar.size,
					     MADV_DONTNEED));
			touch(&self->vvar, orders[i][0] * self->page);
			touch(&self->vvar, orders[i][1] * self->page);
			chain_own(_metadata, &self->switcher, i, ns, "after touching pages");

			for (dropped = 0; dropped <= 1; dropped++) {
				ASSERT_EQ(0, madvise((void *)self->vvar.start +
						     dropped * self->page,
						     self->page, MADV_DONTNEED));
				chain_own(_metadata, &self->switcher, i, ns,
					  "after dropping a page");
			}
		}
	}
}

TEST_F_TIMEOUT(vdso_mappings, reads_are_right_among_many_mappings, 1200)
{
	unsigned long place = reserve(2UL * MANY_VMAS * self->page), i;
	struct mapping none;
	int ns;

	ASSERT_NE(0, place);
	for (i = 0; i < MANY_VMAS; i++)
		ASSERT_EQ(0, mprotect((void *)place + 2 * i * self->page, self->page, PROT_READ));
	ASSERT_LT(MANY_VMAS, find_mapping("", &none));

	for (ns = 0; ns < NR_NS; ns++) {
		join(_metadata, &self->switcher, ns);
		chain_own(_metadata, &self->switcher, ns, ns, "among many mappings");
	}
}

TEST_HARNESS_MAIN

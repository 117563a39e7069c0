// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the instructions of operations on time namespaces. TIMENS_BENCH selects the part:
 *
 *   costs     every operation, and its growth with the VMAs of the task
 *   live      the growth of the operations with the number of live namespaces, and their memory
 *
 * It needs a guest whose TSC counts instructions (-icount shift=0), with one CPU. Then a sample is
 * exactly the instructions from before an operation to after it, in the kernel and the few of user
 * space that make the system calls. Every repetition of a string instruction counts.
 *
 * A sample depends on the state of the kernel: the tick, pending timers, RCU callbacks, the lists
 * of the allocators, and the nanoseconds of its clocks. So the task sleeps before the samples until
 * just after a tick, early in a second. The kernel does its deferred work in the meantime, no tick
 * lands in a sample that takes less than a millisecond, each sample finds the same timers, and no
 * sum of times carries into the seconds. Work that an operation leaves to RCU is not in its samples,
 * except in those of close_deferred.
 *
 * The output has lines "SAMPLES name value...", "COUNT thousand" with the instructions of 1000 NOPs
 * and, for the memory at a moment, "PAGES moment free" and "SLAB moment" with a line of
 * /proc/slabinfo.
 *
 * A cycle of a namespace has these samples, with the suffix /zero or /offsets for its offsets, and
 * then /vmasN or /liveN where the number of VMAs or of other live namespaces is set:
 *
 *   unshare      unshare(CLONE_NEWTIME); the previous namespace of the children lives on
 *   write        openat() timens_offsets of the task, write both offsets, close; only /offsets
 *   setns_first  setns() into the namespace, nobody has joined it before
 *   setns_in     setns() into it again
 *   first_read   the first read of CLOCK_MONOTONIC, vDSO, after that: with the page fault
 *   setns_out    setns() back into the initial namespace
 *   close        close() of the file that has the last reference to the namespace
 *
 * The task reads a clock before each setns(), so that the pages of the vDSO are mapped.
 *
 * Fork and exec, with the suffix /zero or /offsets; exec only with offsets:
 *
 *   fork_plain   fork, exit of the child, wait; the child stays in the initial namespace. The
 *                parent sleeps until the child has exited, so that no page is copied
 *   fork_first   the same after an unshare(): the child is the first to join
 *   fork_later   the same again: another child joins
 *   exec_...     the same with vfork() and an exec of a program that exits at once
 *
 * The file of a namespace with offsets that nobody has joined:
 *
 *   read_whole   openat(), read(), close()
 *   read_again   pread() of the open file
 *   write_again  write() of both offsets to the open file
 *
 * Clock reads and system calls, with the suffix /host or, in a namespace with offsets, /ns:
 *
 *   first_clock       the first clock read of an address space, by the vDSO
 *   clock_gettime, clock_gettime_boottime
 *   clock_nanosleep   to an absolute time that has passed
 *   timerfd_settime, timer_settime   arm a timer for an absolute time far ahead
 *   futex             wait until an absolute time; the value is another already, so that it ends
 *                     after the timeout has been set up
 *
 * The task is root, in the root cgroup, and has no namespaces of other kinds.
 */
#include "timens.h"

#include <elf.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

#define OFFSETS		"monotonic 86400 0\nboottime 604800 0\n"
#define OFFSETS_NAME	"timens_offsets"
#define PAGE		4096UL
#define MAX_SERIES	8
#define MAX_SAMPLES	2000

/* The initial namespace. */
static int host;
/* This task's directory of /proc. */
static int self;
/* The instructions of two reads of the TSC by themselves. */
static uint64_t overhead;

static inline uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}

#define TIME(statement)					\
({							\
	uint64_t __before = tsc();			\
							\
	statement;					\
	tsc() - __before - overhead;			\
})

/* A system call without the instructions of the C library. */
static inline long call6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;
	register long r9 asm("r9") = f;
	long ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return ret;
}

#define CALL(nr, a, b, c, d)	call6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static long good(long ret, const char *what)
{
	if (ret < 0)
		error(1, -ret, "%s", what);
	return ret;
}

static void expect(long ret, long wanted, const char *what)
{
	if (ret != wanted)
		error(1, 0, "%s gave %ld instead of %ld", what, ret, wanted);
}

#define TICK		NSEC_PER_MSEC
/* The time from a tick to a sample: enough for the work that the tick starts. */
#define AFTER_TICK	(TICK / 20)
/* The least time between two samples: several grace periods of RCU. */
#define QUIET		(20 * TICK)
/* The part of a second for samples: no sum of times carries into the seconds. */
#define FIRST		(NSEC_PER_SEC / 10)
#define LAST		(NSEC_PER_SEC / 2)

/* The most ticks that a sleep is longer. */
#define MORE_TICKS	16

/*
 * Sleeps until the kernel has done its deferred work, to just after a tick. Sleeps differ, so that
 * samples do not follow a pattern: the shape of the tree of timers depends on the number of ticks.
 */
static void settle(void)
{
	static uint32_t random = 1;
	struct timespec ts;

	random = random * 1664525 + 1013904223;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_nsec += QUIET + (random >> 16) % MORE_TICKS * TICK;
	if (ts.tv_nsec > LAST) {
		ts.tv_sec++;
		ts.tv_nsec = FIRST;
	} else if (ts.tv_nsec < FIRST) {
		ts.tv_nsec = FIRST;
	}
	ts.tv_nsec += AFTER_TICK - ts.tv_nsec % TICK;
	good(CALL(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL),
	     "clock_nanosleep");
}

static struct series {
	const char *name;
	unsigned int count;
	uint64_t samples[MAX_SAMPLES];
} all_series[MAX_SERIES];

/* Adds a sample to the series of that name. */
static void add(const char *name, uint64_t sample)
{
	struct series *series = all_series;

	while (series->name && strcmp(series->name, name))
		if (++series == all_series + MAX_SERIES)
			error(1, 0, "more than %d series", MAX_SERIES);
	if (series->count == MAX_SAMPLES)
		error(1, 0, "more than %d samples", MAX_SAMPLES);
	series->name = name;
	series->samples[series->count++] = sample;
}

/* Prints all series, each with a prefix and a suffix of its name, and forgets them. */
static void print_all(const char *prefix, const char *suffix)
{
	struct series *series;
	unsigned int i;

	for (series = all_series; series < all_series + MAX_SERIES && series->name; series++) {
		printf("SAMPLES %s%s%s", prefix, series->name, suffix);
		for (i = 0; i < series->count; i++)
			printf(" %lu", series->samples[i]);
		putchar('\n');
	}
	memset(all_series, 0, sizeof(all_series));
}

static void unshare_time(void)
{
	good(CALL(SYS_unshare, CLONE_NEWTIME, 0, 0, 0), "unshare");
}

static void enter(int fd)
{
	good(CALL(SYS_setns, fd, CLONE_NEWTIME, 0, 0), "setns");
}

static int open_children_ns(void)
{
	return good(CALL(SYS_open, CHILDREN_NS, O_RDONLY | O_CLOEXEC, 0, 0), CHILDREN_NS);
}

static long open_offsets(int flags)
{
	return CALL(SYS_openat, self, OFFSETS_NAME, flags, 0);
}

static void write_offsets(void)
{
	long fd = open_offsets(O_WRONLY);

	expect(CALL(SYS_write, fd, OFFSETS, strlen(OFFSETS), 0), strlen(OFFSETS), OFFSETS_NAME);
	CALL(SYS_close, fd, 0, 0, 0);
}

static void read_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
}

/* Measures count cycles. */
static void cycles(const char *suffix, bool offsets, unsigned int count)
{
	int fd;

	while (count--) {
		settle();
		add("unshare", TIME(unshare_time()));
		if (offsets)
			add("write", TIME(write_offsets()));
		fd = open_children_ns();
		enter(host);
		read_clock();
		add("setns_first", TIME(enter(fd)));
		read_clock();
		enter(host);
		read_clock();
		add("setns_in", TIME(enter(fd)));
		add("first_read", TIME(read_clock()));
		add("setns_out", TIME(enter(host)));
		add("close", TIME(CALL(SYS_close, fd, 0, 0, 0)));
	}
	print_all("", suffix);
}

/* Measures copies of the namespace with offsets that the task is in. */
static void copies(void)
{
	unsigned int i;
	int own;

	unshare_time();
	write_offsets();
	own = open_children_ns();
	enter(own);
	for (i = 0; i < 201; i++) {
		settle();
		add("unshare", TIME(unshare_time()));
		enter(own);
	}
	print_all("", "/copy");
}

static void reap(long pid)
{
	int status;

	expect(CALL(SYS_wait4, pid, &status, 0, 0), pid, "wait4");
	expect(status, 0, "a child's exit");
}

static void fork_and_wait(void)
{
	long pid = good(CALL(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0), "clone");

	if (!pid)
		CALL(SYS_exit_group, 0, 0, 0, 0);
	reap(pid);
}

#define LEAST		"/tmp/least"

/* Makes LEAST, a program that exits with its first instructions. */
static void make_least(void)
{
	static const unsigned char code[] = {
		0xb8, SYS_exit_group, 0, 0, 0,	/* mov $SYS_exit_group, %eax */
		0x31, 0xff,			/* xor %edi, %edi */
		0x0f, 0x05,			/* syscall */
	};
	static const unsigned long base = 0x400000;
	struct {
		Elf64_Ehdr file;
		Elf64_Phdr segment;
		unsigned char code[sizeof(code)];
	} least = {
		.file = {
			.e_ident = {
				ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
				ELFCLASS64, ELFDATA2LSB, EV_CURRENT,
			},
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = base + offsetof(typeof(least), code),
			.e_phoff = offsetof(typeof(least), segment),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
		},
		.segment = {
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X,
			.p_vaddr = base,
			.p_filesz = sizeof(least),
			.p_memsz = sizeof(least),
			.p_align = PAGE,
		},
	};
	int fd = must(open(LEAST, O_WRONLY | O_CREAT | O_TRUNC, 0755), "create " LEAST);

	memcpy(least.code, code, sizeof(code));
	if (write(fd, &least, sizeof(least)) != sizeof(least) || close(fd))
		error(1, errno, LEAST);
}

static void exec_and_wait(void)
{
	static char *const argv[] = { LEAST, NULL };
	pid_t pid = vfork();

	if (!pid) {
		execve(LEAST, argv, NULL);
		_exit(1);
	}
	reap(pid);
}

/* Measures the joins of the children that run() makes. */
static void joins(const char *prefix, void (*run)(void), const char *suffix, bool offsets)
{
	unsigned int i;
	int fd;

	for (i = 0; i < 1001; i++) {
		settle();
		add("plain", TIME(run()));
		unshare_time();
		if (offsets)
			write_offsets();
		fd = open_children_ns();
		settle();
		add("first", TIME(run()));
		settle();
		add("later", TIME(run()));
		enter(host);
		CALL(SYS_close, fd, 0, 0, 0);
	}
	print_all(prefix, suffix);
}

/* Reads and writes of a file of offsets that stays open for writing, as nobody joins. */
static void offsets_file(void)
{
	char text[128];
	unsigned int i;
	long fd, own, size;

	unshare_time();
	write_offsets();
	fd = good(open_offsets(O_RDWR), OFFSETS_NAME);
	for (i = 0; i < 201; i++) {
		settle();
		add("read_whole", TIME({
			own = open_offsets(O_RDONLY);
			size = CALL(SYS_read, own, text, sizeof(text), 0);
			CALL(SYS_close, own, 0, 0, 0);
		}));
		good(size, OFFSETS_NAME);
		add("read_again", TIME(CALL(SYS_pread64, fd, text, sizeof(text), 0)));
		add("write_again", TIME(size = CALL(SYS_write, fd, OFFSETS, strlen(OFFSETS), 0)));
		expect(size, strlen(OFFSETS), OFFSETS_NAME);
	}
	print_all("", "");
}

/* Measures a system call, which must return wanted. */
#define ADD_CALL(name, wanted, call)			\
do {							\
	long __ret;					\
							\
	add(name, TIME(__ret = (call)));		\
	expect(__ret, wanted, name);			\
} while (0)

/* System calls that depend on the namespace. */
static void system_calls(const char *suffix)
{
	const struct itimerspec far = { .it_value.tv_sec = 1000000000 }, off = {};
	const struct timespec past = { .tv_nsec = 1 };
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	int fd = must(timerfd_create(CLOCK_MONOTONIC, 0), "create a timer"), id;
	struct timespec ts;
	uint32_t word = 1;
	unsigned int i;

	good(CALL(SYS_timer_create, CLOCK_MONOTONIC, &event, &id, 0), "timer_create");
	for (i = 0; i < 1001; i++) {
		settle();
		ADD_CALL("clock_gettime", 0, CALL(SYS_clock_gettime, CLOCK_MONOTONIC, &ts, 0, 0));
		ADD_CALL("clock_gettime_boottime", 0,
			 CALL(SYS_clock_gettime, CLOCK_BOOTTIME, &ts, 0, 0));
		ADD_CALL("clock_nanosleep", 0,
			 CALL(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL));
		ADD_CALL("timerfd_settime", 0,
			 CALL(SYS_timerfd_settime, fd, TFD_TIMER_ABSTIME, &far, NULL));
		good(CALL(SYS_timerfd_settime, fd, 0, &off, NULL), "timerfd_settime");
		ADD_CALL("timer_settime", 0,
			 CALL(SYS_timer_settime, id, TIMER_ABSTIME, &far, NULL));
		good(CALL(SYS_timer_settime, id, 0, &off, NULL), "timer_settime");
		ADD_CALL("futex", -EAGAIN,
			 call6(SYS_futex, (long)&word, FUTEX_WAIT_BITSET_PRIVATE, 0,
			       (long)&far.it_value, 0, FUTEX_BITSET_MATCH_ANY));
	}
	print_all("", suffix);
}

/* Counts the instructions of everything that runs beside this loop of 2 * loops instructions. */
static uint64_t others(uint64_t loops)
{
	uint64_t taken = TIME(({
		uint64_t left = loops;

		asm volatile("1: dec %0; jnz 1b" : "+r"(left));
	}));

	return taken - 2 * loops;
}

/*
 * Closes the last references to namespaces, with all that is freed after a grace period: counts the
 * instructions of CLOSED calls of close() and of everything that runs in the meantime, beside a loop
 * that lasts longer than that. close_plain is the same with files that all refer to the initial
 * namespace: only the files are freed.
 */
#define CLOSED		1000
#define SETTLE		(200 * 1000 * 1000 / 2)

static void deferred(const char *name, bool namespaces, bool offsets)
{
	static int fds[CLOSED];
	unsigned int i;
	uint64_t close;

	for (i = 0; i < CLOSED; i++) {
		if (namespaces) {
			unshare_time();
			if (offsets)
				write_offsets();
		}
		fds[i] = open_children_ns();
	}
	if (namespaces)
		enter(host);
	/* Not asleep: the tick and RCU run as they do while the instructions are counted. */
	others(SETTLE);
	close = TIME({
		for (i = 0; i < CLOSED; i++)
			CALL(SYS_close, fds[i], 0, 0, 0);
	});
	add(name, (close + others(SETTLE)) / CLOSED);
}

static void close_deferred(void)
{
	unsigned int i;

	for (i = 0; i < 11; i++) {
		deferred("close_plain", false, false);
		deferred("close_deferred/zero", true, false);
		deferred("close_deferred/offsets", true, true);
	}
	print_all("", "");
}

static unsigned int vmas(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned int count = 0;
	int c;

	if (!maps)
		error(1, errno, "/proc/self/maps");
	while ((c = getc(maps)) != EOF)
		count += c == '\n';
	fclose(maps);
	return count;
}

/* Makes the task have wanted VMAs: pages of which every other one may be read. */
static void make_vmas(unsigned int wanted)
{
	unsigned int have = vmas(), i;
	char *area;

	if (wanted < have)
		error(1, 0, "the task has %u VMAs already, more than %u", have, wanted);
	if (wanted == have)
		return;
	area = mmap(NULL, (wanted - have) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		error(1, errno, "mmap");
	for (i = 1; i < wanted - have; i += 2)
		if (mprotect(area + i * PAGE, PAGE, PROT_READ))
			error(1, errno, "mprotect");
}

static void with_vmas(unsigned int wanted)
{
	char suffix[32];

	make_vmas(wanted);
	snprintf(suffix, sizeof(suffix), "/offsets/vmas%u", wanted);
	cycles(suffix, true, 51);
}

/* Runs the statement in a child, so that it leaves nothing behind. */
#define IN_CHILD(statement)						\
do {									\
	pid_t __pid;							\
									\
	fflush(stdout);							\
	__pid = must(fork(), "fork");					\
	if (!__pid) {							\
		self = open("/proc/self", O_PATH | O_CLOEXEC);		\
		statement;						\
		fflush(stdout);						\
		_exit(0);						\
	}								\
	if (wait_for(__pid))						\
		error(1, 0, "a child failed");				\
} while (0)

/*
 * A read of CLOCK_MONOTONIC takes longer while the nanoseconds of the real time and of the distance
 * to it carry into the seconds. The nanoseconds of the distance depend on the boot: make them few.
 */
static void make_carries_rare(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += 1700000000;
	ts.tv_nsec -= NSEC_PER_MSEC;
	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += NSEC_PER_SEC;
	}
	must(clock_settime(CLOCK_REALTIME, &ts), "set the clock");
}

/* Measures the first clock read of an address space: its pages of the vDSO's data are dropped. */
static void faults(const char *suffix)
{
	unsigned long from = 0, to = 0;
	char line[256];
	unsigned int i;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]"))
			sscanf(line, "%lx-%lx", &from, &to);
	fclose(maps);
	for (i = 0; i < 201; i++) {
		settle();
		must(madvise((void *)from, to - from, MADV_DONTNEED), "drop the pages of the vDSO");
		add("first_clock", TIME(read_clock()));
	}
	print_all("", suffix);
}

static void costs(void)
{
	make_carries_rare();
	IN_CHILD(cycles("/zero", false, 201));
	IN_CHILD(cycles("/offsets", true, 201));
	IN_CHILD(copies());
	IN_CHILD(joins("fork_", fork_and_wait, "/zero", false));
	IN_CHILD(joins("fork_", fork_and_wait, "/offsets", true));
	make_least();
	IN_CHILD(joins("exec_", exec_and_wait, "/offsets", true));
	IN_CHILD(offsets_file());
	IN_CHILD(faults("/host"));
	IN_CHILD(system_calls("/host"));
	IN_CHILD({
		unshare_time();
		write_offsets();
		enter(open_children_ns());
		faults("/ns");
		system_calls("/ns");
	});
	IN_CHILD(close_deferred());
	IN_CHILD(with_vmas(10));
	IN_CHILD(with_vmas(30000));
}

/* Prints the free pages, including those in the lists of the CPUs, and every cache of objects. */
static void phase(const char *name, const char *moment)
{
	FILE *zones = fopen("/proc/zoneinfo", "r"), *slabs = fopen("/proc/slabinfo", "r");
	unsigned long pages, free = 0;
	char line[256];

	if (!zones || !slabs)
		error(1, errno, "/proc/zoneinfo or /proc/slabinfo");
	while (fgets(line, sizeof(line), zones))
		if (sscanf(line, " pages free %lu", &pages) == 1 ||
		    sscanf(line, " count: %lu", &pages) == 1)
			free += pages;
	printf("PAGES %s-%s %lu\n", name, moment, free);
	while (fgets(line, sizeof(line), slabs))
		printf("SLAB %s-%s %s", name, moment, line);
	fclose(zones);
	fclose(slabs);
}

#define MOST	100000
static int alive[MOST];

static void grow(unsigned int from, unsigned int to, int flag, bool offsets)
{
	const char *path = flag == CLONE_NEWUTS ? "/proc/self/ns/uts" : CHILDREN_NS;
	unsigned int i;

	for (i = from; i < to; i++) {
		good(CALL(SYS_unshare, flag, 0, 0, 0), "unshare");
		if (offsets)
			write_offsets();
		alive[i] = good(CALL(SYS_open, path, O_RDONLY | O_CLOEXEC, 0, 0), path);
	}
}

/*
 * Memory: open files keep MOST namespaces alive. The control is as many namespaces of another kind,
 * kept alive in the same way, which consist of one object of a cache of their own.
 */
static void memory(const char *name, int flag, bool offsets)
{
	phase(name, "before");
	grow(0, MOST, flag, offsets);
	phase(name, "after");
}

static void live(void)
{
	grow(0, 1, CLONE_NEWTIME, false);
	enter(host);
	cycles("/offsets/live1", true, 201);
	grow(1, MOST, CLONE_NEWTIME, false);
	enter(host);
	cycles("/offsets/live100000", true, 201);
}

static void all_live(void)
{
	const struct rlimit files = { MOST + 100, MOST + 100 };

	must(setrlimit(RLIMIT_NOFILE, &files), "set the limit of files");
	write_file(LIMIT_FILE, "%u", 2 * MOST);
	write_file("/proc/sys/user/max_uts_namespaces", "%u", 2 * MOST);
	IN_CHILD(memory("uts", CLONE_NEWUTS, false));
	others(SETTLE);
	IN_CHILD(memory("zero", CLONE_NEWTIME, false));
	others(SETTLE);
	IN_CHILD(memory("offsets", CLONE_NEWTIME, true));
	others(SETTLE);
	IN_CHILD(live());
}

int main(void)
{
	const char *part = getenv("TIMENS_BENCH");
	uint64_t least = UINT64_MAX;
	unsigned int i;

	if (!part)
		error(1, 0, "TIMENS_BENCH is not set");
	printf("TIMENS-BEGIN %s\n", part);
	/* Timers end exactly when they are due. */
	must(prctl(PR_SET_TIMERSLACK, 1), "set the timer slack");
	for (i = 0; i < 100; i++) {
		uint64_t nothing = TIME();

		if (nothing < least)
			least = nothing;
	}
	overhead = least;
	printf("COUNT thousand %lu\n", TIME(asm volatile(".rept 1000; nop; .endr")));
	host = good(CALL(SYS_open, "/proc/self/ns/time", O_RDONLY | O_CLOEXEC, 0, 0), "ns/time");
	if (!strcmp(part, "costs"))
		costs();
	else if (!strcmp(part, "live"))
		all_live();
	else
		error(1, 0, "TIMENS_BENCH=%s is unknown", part);
	return 0;
}

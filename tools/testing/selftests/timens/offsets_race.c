// SPDX-License-Identifier: GPL-2.0
/*
 * The offsets of a time namespace are one thing, and change until the first
 * task joins.
 *
 * One task for each CPU, up to four, meet at a new namespace in many rounds, and
 * do at once what each has drawn: join it by setns(), with a descriptor from
 * /proc or from a pidfd, by fork() or by exec; write its offsets; read them;
 * make copies of it; or exit, so that the others lose the file they use. All of
 * them can join by fork() or exec when they are children that share the memory,
 * and so the namespace for children, of the task that made it.
 *
 * All writes set both offsets, and from any part of what was written follows the
 * rest. So every text, every copy and every clock tells which write it shows:
 * - a text or a copy shows one write, which had begun, and no older one than
 *   the last that had ended;
 * - a write fails with EACCES after a task has joined, and only then;
 * - what the namespace has in the end is what the last write left;
 * - all who join read all clocks with these offsets, at once;
 * - when the task has exited, its file can be neither read nor written.
 *
 * Then the threads of one task read all clocks, those without an offset too,
 * while the pages with the data are dropped again and again. Finally, namespaces
 * end while tasks find them in the list, in handles and by the task that made
 * them, and join those that are still there.
 *
 * TIMENS_OFFSETS_RACE_ROUNDS in the environment sets the number of rounds, and
 * TIMENS_OFFSETS_RACE_ENDS that of the namespaces that end.
 */
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "../namespaces/wrappers.h"
#include "timens_race.h"
#include "timens_switch.h"

#ifndef PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE
# define PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE _IO(0xFF, 8)
#endif

#ifndef FILEID_NSFS
# define FILEID_NSFS 0xf1
#endif

#define DEFAULT_ROUNDS	1000
#define DEFAULT_ENDS	(20 * DEFAULT_ROUNDS)	/* which take less time each */
#define MAX_TASKS	4
#define MAX_EVENTS	48
#define EVENT_SECONDS	5	/* none is begun later: a copy may take one */
#define STACK_SIZE	65536
#define ARENA_FD	100	/* also in the program that is executed */

/* Writes differ by more than a round takes. */
#define STEP		(2 * ROUND_SECONDS)
#define FIRST_MONOTONIC	1000000
#define FIRST_BOOTTIME	2000000

/* The first of the tasks makes the namespace. */
enum { CREATOR };

enum act { SETNS, PIDFD, FORK, EXEC, WRITE, READ, COPY, EXIT, NR_ACTS };

static const char * const acts[NR_ACTS] = {
	"setns", "setns by pidfd", "fork", "exec", "write", "read", "copy", "exit",
};

/* From a count that all tasks share: order, whatever the clocks say */
struct span { unsigned long begin, end; };

struct event {
	struct span span;
	int error;		/* an errno, or 0 */
	unsigned int write;	/* which one it was, or which one it showed */
};

/* What isn't an errno: a text that isn't of one write, and none, as the task has exited */
#define TORN	(-1)
#define GONE	(-2)

struct task {
	enum act act;
	struct span span;
	__s64 start_ns, end_ns;
	__s64 host[NR_SHIFTED];		/* before the join */
	bool joined;
	__s64 vdso[NR_SHIFTED], syscall[NR_SHIFTED];
	unsigned int nr_events;
	struct event events[MAX_EVENTS];
};

struct arena {
	unsigned int arrived;	/* at a meeting, counted up for ever */
	unsigned long now;
	unsigned int writes;	/* of this round, that have begun */
	pid_t target;		/* whose file is written and read */
	__s64 taken_ns[NR_ACTS];	/* by the creator's part, at best */
	int nr_tasks;
	const char *failed;	/* a system call that must not fail, and its errno */
	int error;
	struct task tasks[MAX_TASKS];
};

static void failed(struct arena *arena, const char *what)
{
	arena->error = errno;
	arena->failed = what;
}

static unsigned long now(struct arena *arena)
{
	return __atomic_add_fetch(&arena->now, 1, __ATOMIC_SEQ_CST);
}

static void finish(struct arena *arena, struct task *task)
{
	task->span.end = now(arena);
	task->end_ns = wall_clock();
}

static unsigned int next(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16;
}

/* Not all meetings are the start of a race: leave the CPU to others after a while. */
static void meet(struct arena *arena, unsigned int *meetings)
{
	unsigned int want, spins = 0;

	*meetings += 1;
	want = *meetings * arena->nr_tasks;
	__atomic_add_fetch(&arena->arrived, 1, __ATOMIC_ACQ_REL);
	while ((int)(__atomic_load_n(&arena->arrived, __ATOMIC_ACQUIRE) - want) < 0) {
		if (++spins > 20000)
			usleep(100);
	}
}

static struct time_offsets offsets_of_write(unsigned int write)
{
	const long long nsec = 500000000 + write;

	return (struct time_offsets) {
		{ FIRST_MONOTONIC + (long long)write * STEP, nsec },
		{ FIRST_BOOTTIME + (long long)write * STEP, nsec },
	};
}

static void read_host(struct task *task)
{
	unsigned int i;

	for (i = 0; i < NR_SHIFTED; i++)
		task->host[i] = read_syscall(shifted_clocks[i].id);
}

static void read_clocks(struct task *task)
{
	struct timespec ts;
	unsigned int i;

	for (i = 0; i < NR_SHIFTED; i++) {
		if (clock_gettime(shifted_clocks[i].id, &ts))
			task->vdso[i] = BAD_READ;
		else
			task->vdso[i] = to_ns(0, ts.tv_sec, ts.tv_nsec);
	}
	for (i = 0; i < NR_SHIFTED; i++)
		task->syscall[i] = read_syscall(shifted_clocks[i].id);
	task->joined = true;
}

static bool fits(const struct task *task, unsigned int clock, __s64 value,
		 const struct time_offsets *offsets)
{
	__s64 late = value - task->host[clock] -
		     offset_of_clock(offsets, shifted_clocks[clock].id);

	return late >= 0 && late < ROUND_SECONDS * NSEC_PER_SEC;
}

static bool clocks_fit(const struct task *task, const struct time_offsets *offsets)
{
	unsigned int i;

	for (i = 0; i < NR_SHIFTED; i++) {
		if (!fits(task, i, task->vdso[i], offsets) ||
		    !fits(task, i, task->syscall[i], offsets))
			return false;
	}
	return true;
}

/* Which write a text shows */
static void find_shown(const char *text, struct event *event)
{
	struct time_offsets offsets;
	char expected[256];
	long long sec;

	event->error = TORN;
	if (sscanf(text, "monotonic %lld", &sec) != 1 || sec < FIRST_MONOTONIC)
		return;
	event->write = (sec - FIRST_MONOTONIC) / STEP;
	offsets = offsets_of_write(event->write);
	snprintf(expected, sizeof(expected), "%-10s %10lld %9lld\n%-10s %10lld %9lld\n",
		 "monotonic", offsets.monotonic.sec, offsets.monotonic.nsec,
		 "boottime", offsets.boottime.sec, offsets.boottime.nsec);
	if (!strcmp(text, expected))
		event->error = 0;
}

static void read_text(int fd, struct event *event)
{
	char text[256];
	ssize_t len;

	len = pread(fd, text, sizeof(text) - 1, 0);
	if (len <= 0) {
		event->error = len ? errno : GONE;
		return;
	}
	text[len] = '\0';
	find_shown(text, event);
}

static void do_write(struct arena *arena, int fd, struct event *event)
{
	struct time_offsets offsets;

	event->write = __atomic_add_fetch(&arena->writes, 1, __ATOMIC_SEQ_CST);
	offsets = offsets_of_write(event->write);
	event->span.begin = now(arena);
	event->error = write_offsets(fd, &offsets) ? errno : 0;
	event->span.end = now(arena);
}

static void do_read(struct arena *arena, int fd, struct event *event)
{
	event->span.begin = now(arena);
	read_text(fd, event);
	event->span.end = now(arena);
}

/* fork() itself is not for tasks that share the C library's data. */
static pid_t make_child(__u64 flags)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };

	return syscall(SYS_clone3, &args, sizeof(args));
}

/* The child is in the copy: what it reads and what its clocks show must fit. */
static void do_copy(struct arena *arena, struct task *task, struct event *event)
{
	struct time_offsets offsets;
	int status, fd;
	pid_t pid;

	event->span.begin = now(arena);
	pid = make_child(CLONE_NEWTIME);
	if (!pid) {
		read_clocks(task);
		fd = open("/proc/self/timens_offsets", O_RDONLY);
		read_text(fd, event);
		offsets = offsets_of_write(event->write);
		if (!event->error && !clocks_fit(task, &offsets))
			event->error = TORN;
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		failed(arena, "clone3() of a copy");
	event->span.end = now(arena);
}

/* Start at another moment of the creator's part every time. */
static void wait_a_while(const struct arena *arena, unsigned int *seed)
{
	__s64 taken = arena->taken_ns[arena->tasks[CREATOR].act];
	__s64 start = wall_clock() + taken * (next(seed) % 64) / 64;

	while (wall_clock() < start)
		;
}

static void __noreturn execute(struct arena *arena, int self)
{
	char number[2] = { '0' + self, '\0' };

	execl("/proc/self/exe", "offsets_race", "joined", number, NULL);
	failed(arena, "execl()");
	_exit(1);
}

/* What was executed has joined. */
static int joined(const char *number)
{
	struct arena *arena;
	struct task *task;

	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED, ARENA_FD, 0);
	if (arena == MAP_FAILED)
		return 1;
	task = &arena->tasks[atoi(number)];
	read_clocks(task);
	finish(arena, task);
	return 0;
}

/* Does the task's part. The descriptors are of the target's files. */
static void act(struct arena *arena, int self, int offsets_fd, int ns_fd)
{
	struct task *task = &arena->tasks[self];
	struct event *event;
	unsigned int failures = 0;
	pid_t pid;
	int status;

	task->start_ns = wall_clock();
	task->span.begin = now(arena);
	switch (task->act) {
	case SETNS:
	case PIDFD:
		if (setns(ns_fd, CLONE_NEWTIME))
			failed(arena, "setns() into the new namespace");
		read_clocks(task);
		break;
	case FORK:
		pid = make_child(0);
		if (!pid) {
			read_clocks(task);
			finish(arena, task);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			failed(arena, "fork() into the new namespace");
		return;
	case EXEC:
		execute(arena, self);
	case EXIT:
		_exit(0);
	default:
		/* Some more after it has become impossible */
		while (task->nr_events < MAX_EVENTS && failures < 4 &&
		       wall_clock() - task->start_ns < EVENT_SECONDS * NSEC_PER_SEC) {
			event = &task->events[task->nr_events];
			if (task->act == WRITE)
				do_write(arena, offsets_fd, event);
			else if (task->act == READ)
				do_read(arena, offsets_fd, event);
			else
				do_copy(arena, task, event);
			if (event->error)
				failures++;
			task->nr_events++;
		}
	}
	finish(arena, task);
}

FIXTURE(offsets_race) {
	struct arena *arena;
	unsigned int meetings, rounds;
	int host_fd;
	cpu_set_t cpus;
	pid_t helpers[MAX_TASKS];	/* or siblings, in a round */
	unsigned int seeds[MAX_TASKS];
	char *stacks;
	/* counts for the report */
	unsigned int overlaps, nr_acts[NR_ACTS];
	unsigned long succeeded, refused, texts, copies, reads, vanished;
	unsigned long zero, host, wrong, torn, stale, early, late, lost;
};

FIXTURE_VARIANT(offsets_race) {
	unsigned int creator, others;	/* what they may draw */
	bool siblings;			/* the others are the creator's children */
};

#define ACT(act)	(1U << (act))

FIXTURE_VARIANT_ADD(offsets_race, all_join) {
	.creator = ACT(SETNS) | ACT(FORK) | ACT(EXEC),
	.others = ACT(SETNS) | ACT(PIDFD),
};

FIXTURE_VARIANT_ADD(offsets_race, some_join) {
	.creator = ACT(SETNS) | ACT(FORK) | ACT(EXEC) | ACT(COPY) | ACT(WRITE) | ACT(EXIT),
	.others = ACT(SETNS) | ACT(PIDFD) | ACT(WRITE) | ACT(READ),
};

FIXTURE_VARIANT_ADD(offsets_race, one_joins) {
	.creator = ACT(SETNS) | ACT(FORK) | ACT(EXEC),
	.others = ACT(WRITE) | ACT(READ),
};

FIXTURE_VARIANT_ADD(offsets_race, none_joins) {
	.creator = ACT(COPY) | ACT(EXIT) | ACT(READ) | ACT(WRITE),
	.others = ACT(WRITE) | ACT(READ),
};

FIXTURE_VARIANT_ADD(offsets_race, siblings_join) {
	.creator = ACT(FORK) | ACT(EXEC),
	.others = ACT(FORK) | ACT(EXEC) | ACT(EXIT),
	.siblings = true,
};

static enum act draw(unsigned int *seed, unsigned int allowed)
{
	enum act act;

	do
		act = next(seed) % NR_ACTS;
	while (!(allowed & ACT(act)));
	return act;
}

static int open_ns(pid_t pid, enum act act)
{
	int pidfd, fd;

	if (act != PIDFD)
		return open_of_task(pid, "ns/time_for_children", O_RDONLY);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -1;
	fd = ioctl(pidfd, PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE, 0);
	close(pidfd);
	return fd;
}

/* The meetings: the target is there; all are ready; all have done their part; all is judged. */
static void __noreturn helper(FIXTURE_DATA(offsets_race) *self, int nth)
{
	struct arena *arena = self->arena;
	struct task *task = &arena->tasks[nth];
	int offsets_fd, ns_fd;

	if (pin_to_cpu(nth))
		failed(arena, "sched_setaffinity()");
	for (;;) {
		meet(arena, &self->meetings);
		offsets_fd = open_of_task(arena->target, "timens_offsets", O_RDWR);
		ns_fd = open_ns(arena->target, task->act);
		if (offsets_fd < 0 || ns_fd < 0)
			failed(arena, "open() of the target's files");
		read_host(task);
		meet(arena, &self->meetings);
		wait_a_while(arena, &self->seeds[nth]);
		act(arena, nth, offsets_fd, ns_fd);
		meet(arena, &self->meetings);
		close(offsets_fd);
		close(ns_fd);
		if (setns(self->host_fd, CLONE_NEWTIME))
			failed(arena, "setns() back");
		meet(arena, &self->meetings);
	}
}

struct sibling {
	FIXTURE_DATA(offsets_race) *self;
	int nth;
	unsigned int meetings;	/* all use the memory, but count for themselves */
	pid_t creator;
};

/* The part of a child that shares the creator's memory. It is there for one round. */
static int sibling(void *data)
{
	struct sibling *sibling = data;
	FIXTURE_DATA(offsets_race) *self = sibling->self;
	struct arena *arena = self->arena;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != sibling->creator)
		_exit(1);
	if (pin_to_cpu_of(&self->cpus, sibling->nth))
		failed(arena, "sched_setaffinity()");
	meet(arena, &sibling->meetings);
	read_host(&arena->tasks[sibling->nth]);
	meet(arena, &sibling->meetings);
	wait_a_while(arena, &self->seeds[sibling->nth]);
	act(arena, sibling->nth, -1, -1);
	return 0;
}

/* Nobody joins by becoming such a child. */
static pid_t start_sibling(FIXTURE_DATA(offsets_race) *self, int nth, int (*part)(void *),
			   void *data)
{
	return clone(part, self->stacks + (nth + 1) * STACK_SIZE, CLONE_VM | SIGCHLD, data);
}

FIXTURE_SETUP(offsets_race)
{
	pid_t creator = getpid();
	int cpus, i, fd;

	self->rounds = DEFAULT_ROUNDS;
	cpus = cpus_for_race(_metadata, "TIMENS_OFFSETS_RACE_ROUNDS", &self->rounds);
	if (!cpus)
		return;
	self->host_fd = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->host_fd);
	fd = memfd_create("arena", 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(ARENA_FD, dup2(fd, ARENA_FD));
	close(fd);
	ASSERT_EQ(0, ftruncate(ARENA_FD, sizeof(*self->arena)));
	self->arena = mmap(NULL, sizeof(*self->arena), PROT_READ | PROT_WRITE, MAP_SHARED,
			   ARENA_FD, 0);
	ASSERT_NE(MAP_FAILED, self->arena);
	self->stacks = mmap(NULL, MAX_TASKS * STACK_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->stacks);
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->cpus), &self->cpus));

	self->arena->nr_tasks = cpus < MAX_TASKS ? cpus : MAX_TASKS;
	for (i = 0; i < self->arena->nr_tasks; i++)
		self->seeds[i] = i;
	for (i = 1; i < self->arena->nr_tasks && !variant->siblings; i++) {
		self->helpers[i] = fork();
		ASSERT_LE(0, self->helpers[i]);
		if (!self->helpers[i]) {
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != creator)
				_exit(1);
			helper(self, i);
		}
	}
	ASSERT_EQ(0, pin_to_cpu(CREATOR));
}

FIXTURE_TEARDOWN(offsets_race)
{
	int i;

	for (i = 1; i < self->arena->nr_tasks; i++) {
		if (!self->helpers[i])
			continue;
		kill(self->helpers[i], SIGKILL);
		waitpid(self->helpers[i], NULL, 0);
	}
}

/* The creator's part, or that of a task which shares its memory and thus has not joined yet */
static int creator(void *data)
{
	FIXTURE_DATA(offsets_race) *self = data;
	struct arena *arena = self->arena;
	int offsets_fd, ns_fd;

	arena->target = getpid();
	meet(arena, &self->meetings);
	offsets_fd = open_of_task(arena->target, "timens_offsets", O_RDWR | O_CLOEXEC);
	ns_fd = open_of_task(arena->target, "ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (offsets_fd < 0 || ns_fd < 0)
		failed(arena, "open() of the own files");
	read_host(&arena->tasks[CREATOR]);
	meet(arena, &self->meetings);
	act(arena, CREATOR, offsets_fd, ns_fd);
	close(offsets_fd);
	close(ns_fd);
	return 0;
}

static bool joins(const struct task *task)
{
	return task->act <= EXEC;
}

#define REPORT(what, ...) do {							\
	if (self->zero + self->host + self->wrong + self->torn + self->stale +	\
	    self->early + self->late + self->lost <= MAX_REPORTS)		\
		TH_LOG("round %u: " what, round, __VA_ARGS__);			\
} while (0)

static void judge_clocks(struct __test_metadata *_metadata, FIXTURE_DATA(offsets_race) *self,
			 unsigned int round, const struct task *task, unsigned int last)
{
	const struct time_offsets offsets = offsets_of_write(last);
	unsigned int way, i;

	for (way = 0; way <= 1; way++) {
		for (i = 0; i < NR_SHIFTED; i++) {
			__s64 value = way ? task->syscall[i] : task->vdso[i];
			__s64 since = value - task->host[i];

			self->reads++;
			if (fits(task, i, value, &offsets))
				continue;
			if (!value)
				self->zero++;
			else if (since >= 0 && since < ROUND_SECONDS * NSEC_PER_SEC)
				self->host++;
			else
				self->wrong++;
			REPORT("%s after %s by %s is %lld ns, since the round began %lld ns",
			       shifted_clocks[i].name, acts[task->act],
			       way ? "system call" : "vDSO", (long long)value, (long long)since);
		}
	}
}

/* What was the last write to end before the given moment, or the one before the race */
static const struct event *last_before(const struct arena *arena, unsigned long moment)
{
	static const struct event first;
	const struct event *last = &first, *event;
	int i;
	unsigned int n;

	for (i = 0; i < arena->nr_tasks; i++) {
		for (n = 0; n < arena->tasks[i].nr_events; n++) {
			event = &arena->tasks[i].events[n];
			if (arena->tasks[i].act == WRITE && !event->error &&
			    event->span.end < moment && event->span.begin > last->span.begin)
				last = event;
		}
	}
	return last;
}

static const struct event *find_write(const struct arena *arena, unsigned int write)
{
	static const struct event first;
	unsigned int n;
	int i;

	for (i = 0; i < arena->nr_tasks; i++) {
		for (n = 0; n < arena->tasks[i].nr_events; n++) {
			if (arena->tasks[i].act == WRITE &&
			    arena->tasks[i].events[n].write == write)
				return &arena->tasks[i].events[n];
		}
	}
	return write ? NULL : &first;
}

/* Whether a write may be what was there at some moment of a span: begun, and not overwritten */
static bool may_show(const struct arena *arena, const struct span *span, unsigned int write)
{
	const struct event *shown = find_write(arena, write);

	return shown && !shown->error && shown->span.begin < span->end &&
	       shown->span.end >= last_before(arena, span->begin)->span.begin;
}

/* When the first task began to join, when one had joined, when the target began to exit and had */
struct moments { unsigned long joining, joined, exiting, exited; };

static struct moments moments_of(const struct arena *arena)
{
	struct moments moments = { ULONG_MAX, ULONG_MAX, ULONG_MAX, ULONG_MAX };
	const struct task *task;

	for (task = arena->tasks; task < arena->tasks + arena->nr_tasks; task++) {
		if (!joins(task))
			continue;
		if (task->span.begin < moments.joining)
			moments.joining = task->span.begin;
		if (task->span.end < moments.joined)
			moments.joined = task->span.end;
	}
	task = &arena->tasks[CREATOR];
	if (task->act == EXIT || task->act == EXEC)
		moments.exiting = task->span.begin;
	if (task->act == EXIT)
		moments.exited = task->span.end;
	return moments;
}

static void judge_write(struct __test_metadata *_metadata, FIXTURE_DATA(offsets_race) *self,
			unsigned int round, const struct event *event,
			const struct moments *moments)
{
	switch (event->error) {
	case 0:
		self->succeeded++;
		if (event->span.begin < moments->joined)
			return;
		self->late++;
		REPORT("write %u after a task joined", event->write);
		return;
	case EACCES:
		self->refused++;
		if (event->span.end > moments->joining)
			return;
		self->early++;
		REPORT("write %u refused before a task joined", event->write);
		return;
	default:
		self->wrong++;
		REPORT("write %u: %s", event->write, strerror(event->error));
	}
}

static void judge_event(struct __test_metadata *_metadata, FIXTURE_DATA(offsets_race) *self,
			unsigned int round, enum act act, const struct event *event,
			const struct moments *moments)
{
	if (event->error == ESRCH || event->error == GONE) {
		self->vanished++;
		if (event->span.end > moments->exiting)
			return;
		self->early++;
		REPORT("%s: the task is gone before it exits", acts[act]);
		return;
	}
	if (event->span.begin > moments->exited) {
		self->late++;
		REPORT("%s: the task has exited, error %d", acts[act], event->error);
		return;
	}
	if (act == WRITE) {
		judge_write(_metadata, self, round, event, moments);
		return;
	}
	if (act == READ)
		self->texts++;
	else
		self->copies++;
	if (event->error) {
		self->torn++;
		REPORT("%s: not that of one write, error %d", acts[act], event->error);
	} else if (!may_show(self->arena, &event->span, event->write)) {
		self->stale++;
		REPORT("%s: shows write %u", acts[act], event->write);
	}
}

static void judge(struct __test_metadata *_metadata, FIXTURE_DATA(offsets_race) *self,
		  unsigned int round, const struct event *final)
{
	const struct arena *arena = self->arena;
	const struct moments moments = moments_of(arena);
	const struct task *own = &arena->tasks[CREATOR], *task;
	bool overlap = false;
	unsigned int n;

	if (final->error || !may_show(arena, &final->span, final->write)) {
		self->lost++;
		REPORT("write %u is left, error %d", final->write, final->error);
	}
	for (task = arena->tasks; task < arena->tasks + arena->nr_tasks; task++) {
		self->nr_acts[task->act]++;
		if (task != own)
			overlap |= task->span.begin < own->span.end &&
				   own->span.begin < task->span.end;
		if (joins(task)) {
			ASSERT_TRUE(task->joined);
			judge_clocks(_metadata, self, round, task, final->write);
		}
		for (n = 0; n < task->nr_events; n++)
			judge_event(_metadata, self, round, task->act, &task->events[n], &moments);
	}
	self->overlaps += overlap;
}

/* The number of rounds is open, so alarm() limits each round instead. */
TEST_F_TIMEOUT(offsets_race, offsets_are_one, INT_MAX / 1000)
{
	const struct time_offsets first = offsets_of_write(0);
	struct arena *arena = self->arena;
	unsigned int round, seed = 1;
	unsigned long failures;
	int fd, status, i;
	pid_t pid;

	for (round = 1; round <= self->rounds; round++) {
		struct task *own = &arena->tasks[CREATOR];
		struct sibling siblings[MAX_TASKS];
		struct event final = {};
		__s64 taken;

		alarm(ROUND_SECONDS);
		for (i = 0; i < arena->nr_tasks; i++) {
			arena->tasks[i] = (struct task) {
				.act = draw(&seed, i ? variant->others : variant->creator),
			};
		}
		arena->writes = 0;
		fd = create_timens(&first);
		ASSERT_LE(0, fd);
		for (i = 1; i < arena->nr_tasks && variant->siblings; i++) {
			siblings[i] = (struct sibling) { self, i, self->meetings, getpid() };
			self->helpers[i] = start_sibling(self, i, sibling, &siblings[i]);
			ASSERT_LE(0, self->helpers[i]);
		}

		switch (own->act) {
		case EXEC:
		case EXIT:
			pid = start_sibling(self, CREATOR, creator, self);
			ASSERT_LE(0, pid);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			ASSERT_EQ(0, status);
			if (own->act == EXIT)
				finish(arena, own);
			break;
		default:
			creator(self);
		}
		for (i = 1; i < arena->nr_tasks && variant->siblings; i++) {
			ASSERT_EQ(self->helpers[i], waitpid(self->helpers[i], &status, 0));
			ASSERT_EQ(0, status);
			self->helpers[i] = 0;
			if (arena->tasks[i].act == EXIT)
				finish(arena, &arena->tasks[i]);
		}
		if (!variant->siblings)
			meet(arena, &self->meetings);

		final.span.begin = now(arena);
		ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
		close(fd);
		fd = open("/proc/self/timens_offsets", O_RDONLY);
		ASSERT_LE(0, fd);
		read_text(fd, &final);
		close(fd);
		final.span.end = now(arena);
		ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));

		ASSERT_EQ(NULL, arena->failed)
			TH_LOG("%s: %s", arena->failed, strerror(arena->error));
		judge(_metadata, self, round, &final);
		taken = own->end_ns - own->start_ns;
		if (!arena->taken_ns[own->act] || taken < arena->taken_ns[own->act])
			arena->taken_ns[own->act] = taken;
		if (!variant->siblings)
			meet(arena, &self->meetings);
	}
	alarm(0);

	failures = self->zero + self->host + self->wrong + self->torn + self->stale +
		   self->early + self->late + self->lost;
	for (i = 0; i < NR_ACTS; i++) {
		if (self->nr_acts[i])
			TH_LOG("%s: %u", acts[i], self->nr_acts[i]);
	}
	TH_LOG("%lu writes done, %lu refused, %lu texts, %lu copies, %lu found the task gone",
	       self->succeeded, self->refused, self->texts, self->copies, self->vanished);
	TH_LOG("%lu clock reads: %lu zero, %lu without the offset, %lu wrong otherwise",
	       self->reads, self->zero, self->host, self->wrong);
	TH_LOG("%lu torn, %lu stale, %lu refused too early, %lu done too late, %lu lost",
	       self->torn, self->stale, self->early, self->late, self->lost);
	TH_LOG("RACE rounds %u overlaps %u failures %lu", self->rounds, self->overlaps, failures);
	EXPECT_EQ(0, failures);
	/* SKIP() would hide a failure. */
	if (!failures && !self->overlaps)
		SKIP(return, "the tasks never overlapped: there was no race");
}

/* Reads of all threads: the rounds that are left, and values that do not lie between others */
struct readers {
	void *gettime64, *gettimeofday, *time;
	struct mapping vvar;
	bool aux;
	unsigned int rounds, dropped, failures;
};

/* No namespace shifts these. */
static const clockid_t other_clocks[] = { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI };

/* What is read: the clocks above, and */
enum {
	READ_AUX = NR_SHIFTED + ARRAY_SIZE(other_clocks),
	READ_TIMEOFDAY,
	READ_TIME,
	NR_READ,
};

/* A value by the vDSO, and what the clock showed before and after it */
static bool between(struct readers *readers, clockid_t id)
{
	__s64 before = read_syscall(id);
	__s64 value = read_time64(readers->gettime64, id);

	return value >= before && value <= read_syscall(id);
}

static bool timeofday_between(struct readers *readers)
{
	int (*gettimeofday)(struct __kernel_old_timeval *tv, void *tz) = readers->gettimeofday;
	struct __kernel_old_timeval tv = { .tv_usec = -1 };
	__s64 before = read_syscall(CLOCK_REALTIME), value;
	int ret = VDSO_CALL(gettimeofday, 2, &tv, NULL);

	value = to_ns(ret, tv.tv_sec, tv.tv_usec * 1000);
	/* The microseconds are cut off, not rounded. */
	return value >= before / 1000 * 1000 && value <= read_syscall(CLOCK_REALTIME);
}

static bool time_between(struct readers *readers)
{
	__kernel_old_time_t (*time)(__kernel_old_time_t *t) = readers->time;
	__s64 before = read_syscall(CLOCK_REALTIME_COARSE);
	__s64 value = VDSO_CALL(time, 1, NULL) * NSEC_PER_SEC;

	return value >= before / NSEC_PER_SEC * NSEC_PER_SEC &&
	       value <= read_syscall(CLOCK_REALTIME_COARSE);
}

static bool read_between(struct readers *readers, unsigned int n)
{
	switch (n) {
	case READ_AUX:
		return !readers->aux || between(readers, CLOCK_AUX_LAST);
	case READ_TIMEOFDAY:
		return timeofday_between(readers);
	case READ_TIME:
		return !readers->time || time_between(readers);
	default:
		return between(readers, n < NR_SHIFTED ? shifted_clocks[n].id :
							 other_clocks[n - NR_SHIFTED]);
	}
}

static void *reader(void *data)
{
	struct readers *readers = data;
	unsigned int round, i;

	for (round = 0; round < readers->rounds; round++) {
		/* Both pages, or one of them */
		if (round % 4 && !madvise((void *)readers->vvar.start +
					  (round % 4 == 2) * getpagesize(),
					  round % 4 == 3 ? readers->vvar.size : getpagesize(),
					  MADV_DONTNEED))
			__atomic_add_fetch(&readers->dropped, 1, __ATOMIC_RELAXED);
		for (i = 0; i < NR_READ; i++) {
			if (!read_between(readers, (round + i) % NR_READ))
				__atomic_add_fetch(&readers->failures, 1, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

FIXTURE(reading) {
	struct readers readers;
	int nr_threads;
	bool disable_aux;
};

FIXTURE_SETUP(reading)
{
	const struct time_offsets offsets = offsets_of_write(1);
	int fd;

	self->readers.rounds = DEFAULT_ROUNDS;
	self->nr_threads = cpus_for_race(_metadata, "TIMENS_OFFSETS_RACE_ROUNDS",
					 &self->readers.rounds);
	if (!self->nr_threads || !vdso_found(_metadata))
		return;
	if (self->nr_threads > MAX_TASKS)
		self->nr_threads = MAX_TASKS;
	self->readers.gettime64 = vdso_function(CLOCK_GETTIME64);
	self->readers.gettimeofday = vdso_function(GETTIMEOFDAY);
	self->readers.time = vdso_function(TIME);
	if (!self->readers.gettime64 || !self->readers.gettimeofday ||
	    !find_mapping("[vvar]", &self->readers.vvar))
		SKIP(return, "the vDSO lacks a function, or has no mapping [vvar]");
	fd = create_timens(&offsets);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
	self->disable_aux = enable_aux_clock(true) == 0;
	self->readers.aux = read_syscall(CLOCK_AUX_LAST) != BAD_READ;
	TH_LOG("%s auxiliary clock, %s time()", self->readers.aux ? "an" : "no",
	       self->readers.time ? "with" : "without");
}

FIXTURE_TEARDOWN(reading)
{
	if (self->disable_aux)
		EXPECT_EQ(1, enable_aux_clock(false));
}

TEST_F_TIMEOUT(reading, by_threads, INT_MAX / 1000)
{
	pthread_t threads[MAX_TASKS];
	int i;

	for (i = 0; i < self->nr_threads; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, reader, &self->readers));
	for (i = 0; i < self->nr_threads; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	TH_LOG("all reads: %u wrong otherwise", self->readers.failures);
	TH_LOG("RACE rounds %u overlaps %u failures %u", self->readers.rounds,
	       self->readers.dropped, self->readers.failures);
	EXPECT_LT(0, self->readers.dropped);
	EXPECT_EQ(0, self->readers.failures);
}

/* What tasks share that look for the namespaces of another one */
struct lookups {
	pid_t maker;
	int host_fd, maker_fd;	/* the latter is a pidfd */
	__u64 older;		/* the id of a namespace that the others are younger than */
	unsigned int ready;
	bool done;
	unsigned int found, gone, joined, torn, wrong;
	const char *failed;	/* a system call that must not fail, and its errno */
	int error;
	struct task tasks[MAX_TASKS];
};

static void lookup_failed(struct lookups *lookups, const char *what)
{
	lookups->error = errno;
	lookups->failed = what;
}

static void count(unsigned int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* By the id alone: the list does not tell the inode number. */
static int open_by_id(int mount_fd, __u64 id)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(struct nsfs_file_handle)];
	} buf = {};

	buf.handle.handle_bytes = sizeof(struct nsfs_file_handle);
	buf.handle.handle_type = FILEID_NSFS;
	memcpy(buf.handle.f_handle, &id, sizeof(id));
	return open_by_handle_at(mount_fd, &buf.handle, O_RDONLY | O_CLOEXEC);
}

/* The first namespace of the list: there may be none (ENOENT), or it may be gone by then (ESTALE). */
static int open_listed(struct lookups *lookups)
{
	const struct ns_id_req req = {
		.size = sizeof(req),
		.ns_id = lookups->older,
		.ns_type = CLONE_NEWTIME,
	};
	__u64 id;
	int fd, nr;

	nr = sys_listns(&req, &id, 1, 0);
	if (nr < 0 && errno != ENOENT)
		lookup_failed(lookups, "listns()");
	if (!nr)
		errno = ENOENT;
	if (nr != 1)
		return -1;
	fd = open_by_id(lookups->host_fd, id);
	if (fd >= 0)
		count(&lookups->found);
	else if (errno == ESTALE)
		count(&lookups->gone);
	else
		lookup_failed(lookups, "open_by_handle_at()");
	return fd;
}

/* The text is that of one write, or it is that of a namespace without offsets. */
static bool text_fits(int fd, struct time_offsets *offsets)
{
	char text[256], none[256];
	struct event event = {};
	ssize_t len;

	len = pread(fd, text, sizeof(text) - 1, 0);
	if (len <= 0)
		return false;
	text[len] = '\0';
	find_shown(text, &event);
	if (!event.error) {
		*offsets = offsets_of_write(event.write);
		return true;
	}
	*offsets = (struct time_offsets) {};
	snprintf(none, sizeof(none), "%-10s %10d %9d\n%-10s %10d %9d\n", "monotonic", 0, 0,
		 "boottime", 0, 0);
	return !strcmp(text, none);
}

/* The offsets and the clocks of what was found are those of one write, or of none. */
static void join_found(struct lookups *lookups, struct task *task, int ns_fd)
{
	struct time_offsets offsets;
	int fd;

	read_host(task);
	if (setns(ns_fd, CLONE_NEWTIME)) {
		lookup_failed(lookups, "setns()");
		return;
	}
	read_clocks(task);
	fd = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
	if (!text_fits(fd, &offsets))
		count(&lookups->torn);
	else if (!clocks_fit(task, &offsets))
		count(&lookups->wrong);
	else if (offsets.monotonic.sec)
		count(&lookups->joined);
	close(fd);
	if (setns(lookups->host_fd, CLONE_NEWTIME))
		lookup_failed(lookups, "setns() back");
}

static void __noreturn look_up(struct lookups *lookups, int nth)
{
	struct time_offsets offsets;
	unsigned int seed = nth;
	int fd;

	if (pin_to_cpu(nth))
		lookup_failed(lookups, "sched_setaffinity()");
	count(&lookups->ready);
	while (!__atomic_load_n(&lookups->done, __ATOMIC_RELAXED)) {
		unsigned int way = next(&seed) % 8;

		switch (way) {
		case 0:
			fd = open_of_task(lookups->maker, "timens_offsets", O_RDONLY | O_CLOEXEC);
			break;
		case 1:
			fd = open_of_task(lookups->maker, "ns/time_for_children",
					  O_RDONLY | O_CLOEXEC);
			break;
		case 2:
			fd = ioctl(lookups->maker_fd, PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE, 0);
			break;
		default:
			fd = open_listed(lookups);
			if (fd < 0)
				continue;
		}
		if (fd < 0) {
			lookup_failed(lookups, "open() of the maker's files");
			break;
		}
		/* The sooner it is given up the sooner the namespace ends, perhaps by that. */
		if (!way) {
			if (!text_fits(fd, &offsets))
				count(&lookups->torn);
		} else if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWTIME) {
			count(&lookups->wrong);
		} else if (next(&seed) % 2) {
			join_found(lookups, &lookups->tasks[nth], fd);
		}
		close(fd);
	}
	_exit(0);
}

FIXTURE(ending) {
	struct lookups *lookups;
	unsigned int ends;
	int nr_tasks;
	pid_t tasks[MAX_TASKS];
};

FIXTURE_SETUP(ending)
{
	const struct time_offsets offsets = offsets_of_write(0);
	struct lookups *lookups;
	pid_t maker = getpid();
	int i, fd, found;

	self->ends = DEFAULT_ENDS;
	self->nr_tasks = cpus_for_race(_metadata, "TIMENS_OFFSETS_RACE_ENDS", &self->ends);
	if (!self->nr_tasks)
		return;
	if (self->nr_tasks > MAX_TASKS)
		self->nr_tasks = MAX_TASKS;
	lookups = mmap(NULL, sizeof(*lookups), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	ASSERT_NE(MAP_FAILED, lookups);
	self->lookups = lookups;
	lookups->maker = maker;
	lookups->host_fd = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	lookups->maker_fd = syscall(SYS_pidfd_open, maker, 0);
	ASSERT_LE(0, lookups->host_fd);
	ASSERT_LE(0, lookups->maker_fd);

	fd = create_timens(&offsets);
	ASSERT_LE(0, fd);
	if (ioctl(fd, NS_GET_ID, &lookups->older))
		SKIP(return, "no ids of namespaces");
	found = open_by_id(lookups->host_fd, lookups->older);
	if (found < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == ESTALE))
		SKIP(return, "no file handles of namespaces");
	ASSERT_LE(0, found);
	close(found);
	found = open_listed(lookups);
	if (found < 0 && errno == ENOSYS)
		SKIP(return, "no listns()");
	ASSERT_EQ(NULL, lookups->failed)
		TH_LOG("%s: %s", lookups->failed, strerror(lookups->error));
	if (found >= 0)
		SKIP(return, "others make time namespaces");
	close(fd);
	ASSERT_EQ(0, setns(lookups->host_fd, CLONE_NEWTIME));

	for (i = 1; i < self->nr_tasks; i++) {
		self->tasks[i] = fork();
		ASSERT_LE(0, self->tasks[i]);
		if (!self->tasks[i]) {
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != maker)
				_exit(1);
			look_up(lookups, i);
		}
	}
	ASSERT_EQ(0, pin_to_cpu(CREATOR));
}

FIXTURE_TEARDOWN(ending)
{
}

/* The number of ends is open, so alarm() limits each of them instead. */
TEST_F_TIMEOUT(ending, by_lookup, INT_MAX / 1000)
{
	struct lookups *lookups = self->lookups;
	unsigned int end, seen = 0, before, overlaps = 0;
	bool ended = true;
	int fd, i, status;
	pid_t pid;

	alarm(ROUND_SECONDS);
	while (__atomic_load_n(&lookups->ready, __ATOMIC_RELAXED) + 1 < self->nr_tasks)
		usleep(100);
	for (end = 0; end < self->ends && !lookups->failed; end++) {
		const struct time_offsets offsets = offsets_of_write(end % DEFAULT_ROUNDS);

		alarm(ROUND_SECONDS);
		ASSERT_EQ(0, unshare(CLONE_NEWTIME));
		fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
		ASSERT_LE(0, fd);
		/* Who has found it may have joined already. */
		if (write_offsets(fd, &offsets))
			ASSERT_EQ(EACCES, errno);
		close(fd);
		switch (end % 4) {
		case 0:
			break;
		case 1:
			pid = fork();
			if (!pid)
				_exit(0);
			ASSERT_LT(0, pid);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			break;
		default:
			fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
			ASSERT_LE(0, fd);
			ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
			close(fd);
		}
		ASSERT_EQ(0, setns(lookups->host_fd, CLONE_NEWTIME));
		before = seen;
		seen = __atomic_load_n(&lookups->found, __ATOMIC_RELAXED) +
		       __atomic_load_n(&lookups->gone, __ATOMIC_RELAXED);
		overlaps += seen != before;
	}
	__atomic_store_n(&lookups->done, true, __ATOMIC_RELAXED);
	for (i = 1; i < self->nr_tasks; i++) {
		ASSERT_EQ(self->tasks[i], waitpid(self->tasks[i], &status, 0));
		EXPECT_EQ(0, status);
		ended &= !status;
	}
	alarm(0);

	EXPECT_EQ(NULL, lookups->failed)
		TH_LOG("%s: %s", lookups->failed, strerror(lookups->error));
	TH_LOG("%u found by handle, %u gone, %u joined with offsets: %u torn, %u wrong otherwise",
	       lookups->found, lookups->gone, lookups->joined, lookups->torn, lookups->wrong);
	TH_LOG("RACE rounds %u overlaps %u failures %u", self->ends, overlaps,
	       lookups->torn + lookups->wrong);
	EXPECT_EQ(0, lookups->torn + lookups->wrong);
	/* SKIP() would hide a failure. */
	if (ended && !lookups->failed && !lookups->torn && !lookups->wrong && !lookups->joined)
		SKIP(return, "nothing was found in time to join it: there was no race");
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "joined"))
		return joined(argv[2]);
	return test_harness_run(argc, argv);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Every read of a time namespace's offsets shows the offsets of one write, and
 * the offsets change until the first task joins.
 *
 * One task for each CPU, up to four, meets the others at a new namespace in many
 * rounds. In each round, each task draws an act at random, and all tasks act at
 * once:
 * - join the namespace by setns(), with a descriptor from /proc or from a pidfd,
 *   by fork() or by exec;
 * - write its offsets;
 * - read its offsets;
 * - make copies of it;
 * - exit, so that the others lose the task whose file they use.
 * All tasks can join by fork() or exec if they are children that share the memory,
 * and so the namespace for children, of the task that made the namespace.
 *
 * All writes set both offsets, and each part of what a write sets determines the
 * other parts. So every text, every copy and every clock identifies the write it
 * shows. The test checks that
 * - a text or a copy shows a single write. That write has begun, and is not older
 *   than the last one that had ended;
 * - a write fails with EACCES after a task has joined, and only then;
 * - in the end the namespace has the offsets of the last write;
 * - all tasks that join read all clocks with these offsets at once;
 * - after the task has exited, its file can be neither read nor written.
 *
 * TIMENS_OFFSETS_RACE_ROUNDS in the environment sets the number of rounds.
 */
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "../namespaces/wrappers.h"
#include "timens_race.h"

#ifndef PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE
# define PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE _IO(0xFF, 8)
#endif

#define DEFAULT_ROUNDS	1000
#define MAX_SPINS	20000	/* at a meeting, before the task gives up its CPU */
#define MAX_EVENTS	48
#define EVENT_SECONDS	5	/* no event begins later: a copy may take a second */
#define STACK_SIZE	65536
#define ARENA_FD	100	/* stays open in the program that is executed */

/* The first of the tasks makes the namespace. */
enum { CREATOR };

enum act { SETNS, PIDFD, FORK, EXEC, WRITE, READ, COPY, EXIT, NR_ACTS };

static const char * const acts[NR_ACTS] = {
	"setns", "setns by pidfd", "fork", "exec", "write", "read", "copy", "exit",
};

/* Taken from a count that all tasks share. The clocks can't order events here. */
struct span { unsigned long begin, end; };

struct event {
	struct span span;
	int error;		/* an errno, 0, or one of the two below */
	unsigned int write;	/* number of the write that it is, or that it shows */
};

#define TORN	(-1)	/* the text mixes several writes */
#define GONE	(-2)	/* there is no text, because the task has exited */

struct task {
	enum act act;
	struct span span;
	__s64 start_ns, end_ns;
	bool joined;
	struct clocks clocks;
	unsigned int nr_events;
	struct event events[MAX_EVENTS];
};

struct arena {
	unsigned int arrived;	/* at meetings, never reset */
	unsigned long now;
	unsigned int writes;	/* begun in this round */
	pid_t target;		/* the task whose file is written and read */
	__s64 taken_ns[NR_ACTS];	/* shortest duration of the creator's part */
	int nr_tasks;
	const char *failed;	/* a system call that must not fail, and its errno */
	int error;
	struct task tasks[MAX_TASKS];
};

static void failed(struct arena *arena, const char *call)
{
	arena->error = errno;
	arena->failed = call;
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

/* Not every meeting is the start of a race, so waiting tasks give up their CPUs. */
static void meet_others(struct arena *arena, unsigned int *meetings)
{
	*meetings += 1;
	meet(&arena->arrived, *meetings * arena->nr_tasks, MAX_SPINS);
}

static void read_clocks(struct task *task)
{
	read_joined_clocks(&task->clocks);
	task->joined = true;
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
	event->error = find_write_of_text(text, &event->write) ? 0 : TORN;
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

/* The child is in the copy. Its text and its clocks must show the same write. */
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
		if (!event->error && !clocks_fit(&task->clocks, &offsets))
			event->error = TORN;
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		failed(arena, "clone3() of a copy");
	event->span.end = now(arena);
}

/* Starts at another moment of the creator's part each time. */
static void wait_a_while(const struct arena *arena, unsigned int *seed)
{
	__s64 taken = arena->taken_ns[arena->tasks[CREATOR].act];
	__s64 start = wall_clock() + taken * (next_random(seed) % 64) / 64;

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

/* The part of a program that has joined by exec */
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

/* Performs the task's act. The descriptors belong to the target's files. */
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
		/* Try a few times more after the first failure. */
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
	pid_t helpers[MAX_TASKS];	/* in a round, perhaps siblings */
	unsigned int seeds[MAX_TASKS];
	char *stacks;
	/* counts for the report */
	unsigned int overlaps, nr_acts[NR_ACTS];
	unsigned long succeeded, refused, texts, copies, vanished;
	unsigned long wrong, torn, stale, early, late, lost;
	struct clock_counts clocks;
};

FIXTURE_VARIANT(offsets_race) {
	unsigned int creator, others;	/* the acts that they may draw */
	bool siblings;			/* the others are children of the test's task */
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
		act = next_random(seed) % NR_ACTS;
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

/* Meets the others when the target exists, all are ready, all have acted, and all is judged. */
static void __noreturn helper(FIXTURE_DATA(offsets_race) *self, int nth)
{
	struct arena *arena = self->arena;
	struct task *task = &arena->tasks[nth];
	int offsets_fd, ns_fd;

	if (pin_to_cpu(nth))
		failed(arena, "sched_setaffinity()");
	for (;;) {
		meet_others(arena, &self->meetings);
		offsets_fd = open_of_task(arena->target, "timens_offsets", O_RDWR);
		ns_fd = open_ns(arena->target, task->act);
		if (offsets_fd < 0 || ns_fd < 0)
			failed(arena, "open() of the target's files");
		read_host_clocks(&task->clocks);
		meet_others(arena, &self->meetings);
		wait_a_while(arena, &self->seeds[nth]);
		act(arena, nth, offsets_fd, ns_fd);
		meet_others(arena, &self->meetings);
		close(offsets_fd);
		close(ns_fd);
		if (setns(self->host_fd, CLONE_NEWTIME))
			failed(arena, "setns() back");
		meet_others(arena, &self->meetings);
	}
}

struct sibling {
	FIXTURE_DATA(offsets_race) *self;
	int nth;
	unsigned int meetings;	/* siblings share the memory, but count on their own */
	pid_t creator;
};

/* A child that shares the creator's memory, for one round */
static int sibling(void *data)
{
	struct sibling *sibling = data;
	FIXTURE_DATA(offsets_race) *self = sibling->self;
	struct arena *arena = self->arena;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != sibling->creator)
		_exit(1);
	if (pin_to_cpu_of(&self->cpus, sibling->nth))
		failed(arena, "sched_setaffinity()");
	meet_others(arena, &sibling->meetings);
	read_host_clocks(&arena->tasks[sibling->nth].clocks);
	meet_others(arena, &sibling->meetings);
	wait_a_while(arena, &self->seeds[sibling->nth]);
	act(arena, sibling->nth, -1, -1);
	return 0;
}

/* A child that shares the memory doesn't join. */
static pid_t start_sibling(FIXTURE_DATA(offsets_race) *self, int nth, int (*part)(void *),
			   void *data)
{
	return clone(part, self->stacks + (nth + 1) * STACK_SIZE, CLONE_VM | SIGCHLD, data);
}

FIXTURE_SETUP(offsets_race)
{
	pid_t creator = getpid();
	int nr_tasks, i, fd;

	self->rounds = DEFAULT_ROUNDS;
	nr_tasks = tasks_for_race(_metadata, "TIMENS_OFFSETS_RACE_ROUNDS", &self->rounds);
	if (!nr_tasks)
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

	self->arena->nr_tasks = nr_tasks;
	for (i = 0; i < nr_tasks; i++)
		self->seeds[i] = i;
	for (i = 1; i < nr_tasks && !variant->siblings; i++) {
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

/* The part of the creator, or of a task that shares its memory and has not joined yet */
static int creator(void *data)
{
	FIXTURE_DATA(offsets_race) *self = data;
	struct arena *arena = self->arena;
	int offsets_fd, ns_fd;

	arena->target = getpid();
	meet_others(arena, &self->meetings);
	offsets_fd = open_of_task(arena->target, "timens_offsets", O_RDWR | O_CLOEXEC);
	ns_fd = open_of_task(arena->target, "ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (offsets_fd < 0 || ns_fd < 0)
		failed(arena, "open() of the own files");
	read_host_clocks(&arena->tasks[CREATOR].clocks);
	meet_others(arena, &self->meetings);
	act(arena, CREATOR, offsets_fd, ns_fd);
	close(offsets_fd);
	close(ns_fd);
	return 0;
}

static bool joins(const struct task *task)
{
	return task->act <= EXEC;
}

static unsigned long failures_of(const FIXTURE_DATA(offsets_race) *self)
{
	return clock_failures(&self->clocks) + self->wrong + self->torn + self->stale +
	       self->early + self->late + self->lost;
}

#define REPORT(format, ...) do {						\
	if (failures_of(self) <= MAX_REPORTS)					\
		TH_LOG("round %u: " format, round, __VA_ARGS__);		\
} while (0)

static void judge_clocks(struct __test_metadata *_metadata, FIXTURE_DATA(offsets_race) *self,
			 unsigned int round, const struct task *task, unsigned int last)
{
	const struct time_offsets offsets = offsets_of_write(last);
	const struct clocks *clocks = &task->clocks;
	unsigned int way, i;

	for (way = 0; way <= 1; way++) {
		for (i = 0; i < NR_SHIFTED; i++) {
			__s64 value = way ? clocks->syscall.ns[i] : clocks->vdso.ns[i];
			__s64 offset = offset_of_clock(&offsets, shifted_clocks[i].id);

			if (count_clock(&self->clocks, value, clocks->host.ns[i], offset))
				continue;
			REPORT("%s after %s by %s is %lld ns, since the round began %lld ns",
			       shifted_clocks[i].name, acts[task->act],
			       way ? "system call" : "vDSO", (long long)value,
			       (long long)(value - clocks->host.ns[i]));
		}
	}
}

/* The last write that ended before the given moment, or else the one before the race */
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

/* Whether the offsets of a write may have been there during a span: begun, not overwritten */
static bool may_show(const struct arena *arena, const struct span *span, unsigned int write)
{
	const struct event *shown = find_write(arena, write);

	return shown && !shown->error && shown->span.begin < span->end &&
	       shown->span.end >= last_before(arena, span->begin)->span.begin;
}

/* When the first task began to join and had joined, the target began to exit and had exited */
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
		REPORT("%s: the task is gone before its exit", acts[act]);
		return;
	}
	if (event->span.begin > moments->exited) {
		self->late++;
		REPORT("%s after the task's exit, error %d", acts[act], event->error);
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
		REPORT("%s: mixes several writes, error %d", acts[act], event->error);
	} else if (!may_show(self->arena, &event->span, event->write)) {
		self->stale++;
		REPORT("%s: shows write %u, which is too old or too new", acts[act], event->write);
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
		REPORT("write %u is there in the end, error %d", final->write, final->error);
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

/* The number of rounds has no useful limit, so alarm() limits each round instead. */
TEST_F_TIMEOUT(offsets_race, every_read_shows_one_write, INT_MAX / 1000)
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
			meet_others(arena, &self->meetings);

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
			meet_others(arena, &self->meetings);
	}
	alarm(0);

	failures = failures_of(self);
	for (i = 0; i < NR_ACTS; i++) {
		if (self->nr_acts[i])
			TH_LOG("%s: %u", acts[i], self->nr_acts[i]);
	}
	TH_LOG("%lu writes succeeded, %lu refused, %lu texts, %lu copies, %lu found the task gone",
	       self->succeeded, self->refused, self->texts, self->copies, self->vanished);
	TH_LOG("%lu clock reads: %lu zero, %lu without the offset, %lu wrong otherwise",
	       self->clocks.reads, self->clocks.zero, self->clocks.no_offset,
	       self->clocks.wrong + self->wrong);
	TH_LOG("%lu torn, %lu stale, %lu lost", self->torn, self->stale, self->lost);
	TH_LOG("%lu refused before the freeze, %lu succeeded after the freeze",
	       self->early, self->late);
	TH_LOG("RACE rounds %u overlaps %u failures %lu", self->rounds, self->overlaps, failures);
	EXPECT_EQ(0, failures);
	/* SKIP() would hide a failure. */
	if (!failures && !self->overlaps)
		SKIP(return, "the tasks never overlapped: there was no race");
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "joined"))
		return joined(argv[2]);
	return test_harness_run(argc, argv);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * The first tasks to enter a time namespace must see its offsets at once.
 *
 * Offsets can be written until the first task joins, by setns() or by fork();
 * then they are frozen and the vDSO data page that carries them is in use. A
 * kernel that declares a namespace frozen before its page is complete hands an
 * incomplete page to a second task which joins at that moment: the task reads
 * a clock as zero, or without the offset.
 *
 * Two tasks on two CPUs race for a new namespace, in many rounds: one joins by
 * setns(), the other one joins by setns() or fork(), or writes the offsets once
 * more. Every clock is read through the vDSO and by system call, right after
 * the join and once more when both have finished. No value may be less than
 * what the clock showed before the join plus the offset. A racing write either
 * fails with EACCES and changes nothing, or succeeds and everyone sees it.
 *
 * TIMENS_JOIN_RACE_ROUNDS in the environment sets the number of rounds. The
 * chance to hit such a bug grows when other work keeps the CPUs busy.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "timens_race.h"

#define DEFAULT_ROUNDS	2000
#define SWEEP		64	/* different delays, so that every overlap occurs */

enum { CREATOR, JOINER, NR_TASKS };
enum { AT_JOIN, AT_END, NR_READS };
enum { VDSO, SYSCALL, NR_WAYS };

/* What the two tasks share */
struct arena {
	unsigned int arrived;	/* at a meeting, counted up for ever */
	__s64 act_ns;		/* what the creator's part takes at best */
	const char *failed;	/* a system call of the joiner, and its errno */
	int error;
	struct task {
		unsigned int finished;	/* the last round */
		bool alone;		/* began when the other had finished */
		__s64 host[NR_SHIFTED];	/* before the join */
		__s64 ns[NR_READS][NR_WAYS][NR_SHIFTED];
	} task[NR_TASKS];
};

static __s64 read_clock(clockid_t id, int way)
{
	struct timespec ts;
	int ret;

	ret = way == VDSO ? clock_gettime(id, &ts) :
			    syscall(SYS_clock_gettime, id, &ts);
	return ret ? -1 : ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void read_host(struct task *task)
{
	unsigned int i;

	for (i = 0; i < NR_SHIFTED; i++)
		task->host[i] = read_clock(shifted_clocks[i].id, SYSCALL);
}

static void read_all(struct task *task, int when)
{
	unsigned int way, i;

	for (way = 0; way < NR_WAYS; way++) {
		for (i = 0; i < NR_SHIFTED; i++)
			task->ns[when][way][i] = read_clock(shifted_clocks[i].id, way);
	}
}

/* Spin, so that both tasks leave within a few nanoseconds. */
static void meet(struct arena *arena, unsigned int *meetings)
{
	*meetings += 1;
	__atomic_add_fetch(&arena->arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&arena->arrived, __ATOMIC_ACQUIRE) <
	       *meetings * NR_TASKS)
		;
}

static void begin(struct arena *arena, int self, unsigned int round)
{
	arena->task[self].alone =
		__atomic_load_n(&arena->task[!self].finished,
				__ATOMIC_RELAXED) == round;
}

static void finish(struct arena *arena, int self, unsigned int round)
{
	__atomic_store_n(&arena->task[self].finished, round, __ATOMIC_RELAXED);
}

/* Rounds that follow each other differ by more than ROUND_SECONDS. */
static struct time_offsets offsets_of_round(int days, unsigned int round)
{
	time_t seconds = days * DAY + round % 1000 * 100;

	return (struct time_offsets) {
		{ seconds, 500000000 }, { seconds + DAY, 500000000 }
	};
}

FIXTURE(join_race) {
	struct arena *arena;
	unsigned int meetings, rounds;
	int host_fd, offsets_fd;
	pid_t joiner;
	/* counts for the report */
	unsigned int overlaps, writes;
	unsigned long reads, zero, host, wrong;
};

FIXTURE_VARIANT(join_race) {
	enum { SETNS, FORK, WRITE } act;	/* what the creator does */
};

FIXTURE_VARIANT_ADD(join_race, setns_and_setns) { SETNS };
FIXTURE_VARIANT_ADD(join_race, fork_and_setns) { FORK };
FIXTURE_VARIANT_ADD(join_race, write_and_setns) { WRITE };

static void joiner_failed(struct arena *arena, const char *what)
{
	arena->error = errno;
	arena->failed = what;
}

static void __noreturn joiner(FIXTURE_DATA(join_race) *self, pid_t creator)
{
	struct arena *arena = self->arena;
	struct task *task = &arena->task[JOINER];
	unsigned int round;
	__s64 start;
	int fd;

	if (pin_to_cpu(JOINER))
		joiner_failed(arena, "sched_setaffinity()");

	for (round = 1; ; round++) {
		meet(arena, &self->meetings);
		fd = open_of_task(creator, "ns/time_for_children", O_RDONLY);
		read_host(task);

		meet(arena, &self->meetings);
		/* Start at another moment of the creator's part every time. */
		start = wall_clock() + arena->act_ns * (round % SWEEP) / SWEEP;
		while (wall_clock() < start)
			;
		begin(arena, JOINER, round);
		if (setns(fd, CLONE_NEWTIME))
			joiner_failed(arena, "setns() into the new namespace");
		read_all(task, AT_JOIN);
		finish(arena, JOINER, round);

		meet(arena, &self->meetings);
		read_all(task, AT_END);
		close(fd);
		if (setns(self->host_fd, CLONE_NEWTIME))
			joiner_failed(arena, "setns() back");
		meet(arena, &self->meetings);
	}
}

FIXTURE_SETUP(join_race)
{
	pid_t creator = getpid();

	self->rounds = DEFAULT_ROUNDS;
	if (!cpus_for_race(_metadata, "TIMENS_JOIN_RACE_ROUNDS", &self->rounds))
		return;

	self->host_fd = open("/proc/self/ns/time", O_RDONLY);
	ASSERT_LE(0, self->host_fd);
	self->offsets_fd = open("/proc/self/timens_offsets", O_WRONLY);
	ASSERT_LE(0, self->offsets_fd);
	self->arena = mmap(NULL, sizeof(*self->arena), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->arena);

	self->joiner = fork();
	ASSERT_LE(0, self->joiner);
	if (!self->joiner) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != creator)
			_exit(1);
		joiner(self, creator);
	}
	ASSERT_EQ(0, pin_to_cpu(CREATOR));
}

FIXTURE_TEARDOWN(join_race)
{
	kill(self->joiner, SIGKILL);
	waitpid(self->joiner, NULL, 0);
}

static void judge(struct __test_metadata *_metadata, FIXTURE_DATA(join_race) *self,
		  int who, int when, const struct time_offsets *offsets)
{
	const struct task *task = &self->arena->task[who];
	const __s64 limit = ROUND_SECONDS * NSEC_PER_SEC;
	unsigned int way, i;

	for (way = 0; way < NR_WAYS; way++) {
		for (i = 0; i < NR_SHIFTED; i++) {
			__s64 offset = offset_of_clock(offsets, shifted_clocks[i].id);
			__s64 since = task->ns[when][way][i] - task->host[i];
			__s64 late = since - offset;

			self->reads++;
			if (late >= 0 && late < limit)
				continue;
			if (!task->ns[when][way][i])
				self->zero++;
			else if (since >= 0 && since < limit)
				self->host++;
			else
				self->wrong++;
			if (self->zero + self->host + self->wrong > MAX_REPORTS)
				continue;
			TH_LOG("%s's %s by %s %s is %lld ns, off by %lld ns",
			       who == CREATOR ? "creator" : "joiner",
			       shifted_clocks[i].name,
			       way == VDSO ? "vDSO" : "system call",
			       when == AT_JOIN ? "at the join" : "at the end",
			       (long long)task->ns[when][way][i], (long long)late);
		}
	}
}

/* The number of rounds is open, so alarm() limits each round instead. */
TEST_F_TIMEOUT(join_race, offsets_are_there, INT_MAX / 1000)
{
	struct arena *arena = self->arena;
	struct task *creator = &arena->task[CREATOR];
	unsigned int round;

	for (round = 1; round <= self->rounds; round++) {
		struct time_offsets offsets = offsets_of_round(10, round);
		struct time_offsets again = offsets_of_round(100, round);
		__s64 start, taken;
		int fd, status;
		pid_t pid = -1;

		alarm(ROUND_SECONDS);
		ASSERT_EQ(0, unshare(CLONE_NEWTIME));
		ASSERT_EQ(0, write_offsets(self->offsets_fd, &offsets));
		fd = open("/proc/self/ns/time_for_children", O_RDONLY);
		ASSERT_LE(0, fd);

		meet(arena, &self->meetings);
		read_host(creator);
		meet(arena, &self->meetings);
		start = wall_clock();
		begin(arena, CREATOR, round);
		switch (variant->act) {
		case SETNS:
			ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
			break;
		case FORK:
			pid = fork();
			ASSERT_LE(0, pid);
			if (!pid) {
				read_all(creator, AT_JOIN);
				_exit(0);
			}
			break;
		case WRITE:
			if (!write_offsets(self->offsets_fd, &again)) {
				offsets = again;
				self->writes++;
			} else {
				ASSERT_EQ(EACCES, errno);
			}
			break;
		}
		finish(arena, CREATOR, round);
		/* Not in every round, because it delays the first read. */
		if (round % SWEEP == 1) {
			taken = wall_clock() - start;
			if (round == 1 || taken < arena->act_ns)
				arena->act_ns = taken;
		}
		if (variant->act == SETNS)
			read_all(creator, AT_JOIN);
		if (variant->act == FORK) {
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			ASSERT_EQ(0, status);
		}

		meet(arena, &self->meetings);
		ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
		read_all(creator, AT_END);
		ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));
		close(fd);
		meet(arena, &self->meetings);

		ASSERT_EQ(NULL, arena->failed)
			TH_LOG("joiner: %s: %s", arena->failed, strerror(arena->error));
		self->overlaps += !creator->alone && !arena->task[JOINER].alone;
		if (variant->act != WRITE)
			judge(_metadata, self, CREATOR, AT_JOIN, &offsets);
		judge(_metadata, self, CREATOR, AT_END, &offsets);
		judge(_metadata, self, JOINER, AT_JOIN, &offsets);
		judge(_metadata, self, JOINER, AT_END, &offsets);
	}

	TH_LOG("%u offsets rewritten in time", self->writes);
	TH_LOG("%lu reads: %lu zero, %lu without the offset, %lu wrong otherwise",
	       self->reads, self->zero, self->host, self->wrong);
	TH_LOG("RACE rounds %u overlaps %u failures %lu", self->rounds, self->overlaps,
	       self->zero + self->host + self->wrong);
	EXPECT_EQ(0, self->zero);
	EXPECT_EQ(0, self->host);
	EXPECT_EQ(0, self->wrong);
	/* SKIP() would hide a failure. */
	if (!self->zero && !self->host && !self->wrong && !self->overlaps)
		SKIP(return, "the tasks never overlapped: there was no race");
}

TEST(frozen_by_first_join)
{
	const struct time_offsets offsets = { { DAY, 0 }, { DAY, 0 } };
	int offsets_fd, fd, by_fork, status;
	pid_t pid;

	if (!timens_supported(_metadata))
		return;
	offsets_fd = open("/proc/self/timens_offsets", O_WRONLY);
	ASSERT_LE(0, offsets_fd);

	for (by_fork = 0; by_fork <= 1; by_fork++) {
		ASSERT_EQ(0, unshare(CLONE_NEWTIME));
		EXPECT_EQ(0, write_offsets(offsets_fd, &offsets));
		EXPECT_EQ(0, write_offsets(offsets_fd, &offsets));
		if (by_fork) {
			pid = fork();
			ASSERT_LE(0, pid);
			if (!pid)
				_exit(0);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
		} else {
			fd = open("/proc/self/ns/time_for_children", O_RDONLY);
			ASSERT_LE(0, fd);
			ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
			close(fd);
		}
		EXPECT_EQ(-1, write_offsets(offsets_fd, &offsets));
		EXPECT_EQ(EACCES, errno);
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * The first tasks that enter a time namespace read clocks with its offsets.
 *
 * Offsets can be written until the first task joins, by setns() or by fork().
 * The join freezes the offsets, and the vDSO data page that carries them comes
 * into use. If a kernel freezes a namespace before the page is complete, a second
 * task that joins at that moment gets an incomplete page: it reads a clock as
 * zero, or without the offset.
 *
 * Two tasks on two CPUs race for a new namespace, in many rounds. One joins by
 * setns(). The other one joins by setns() or fork(), or writes the offsets once
 * more. Both read every clock through the vDSO and by system call, right after
 * the join and again when both have finished. No value may be less than the
 * clock before the join plus the offset. A racing write either fails with EACCES
 * and changes nothing, or succeeds and both tasks see it.
 *
 * TIMENS_JOIN_RACE_ROUNDS in the environment sets the number of rounds. Other
 * work on the CPUs makes it more likely to hit such a bug.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "timens_race.h"

#define DEFAULT_ROUNDS	2000
#define SWEEP		64	/* different delays, so that every overlap occurs */
#define SPIN_ONLY	UINT_MAX

enum { CREATOR, JOINER, NR_TASKS };
enum { AT_JOIN, AT_END, NR_READS };

/* Shared by the two tasks */
struct arena {
	unsigned int arrived;	/* at meetings, never reset */
	__s64 act_ns;		/* shortest duration of the creator's part */
	const char *failed;	/* system call of the joiner that failed, and its errno */
	int error;
	struct task {
		unsigned int finished;	/* the last round */
		bool alone;		/* the other task had finished before it began */
		struct clocks clocks[NR_READS];
	} task[NR_TASKS];
};

static void meet_other(struct arena *arena, unsigned int *meetings)
{
	*meetings += 1;
	meet(&arena->arrived, *meetings * NR_TASKS, SPIN_ONLY);
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

/* Consecutive rounds differ by more than ROUND_SECONDS. */
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
	struct clock_counts clocks;
};

FIXTURE_VARIANT(join_race) {
	enum { SETNS, FORK, WRITE } act;	/* of the creator */
};

FIXTURE_VARIANT_ADD(join_race, setns_and_setns) { SETNS };
FIXTURE_VARIANT_ADD(join_race, fork_and_setns) { FORK };
FIXTURE_VARIANT_ADD(join_race, write_and_setns) { WRITE };

static void joiner_failed(struct arena *arena, const char *call)
{
	arena->error = errno;
	arena->failed = call;
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
		meet_other(arena, &self->meetings);
		fd = open_of_task(creator, "ns/time_for_children", O_RDONLY);
		read_host_clocks(&task->clocks[AT_JOIN]);

		meet_other(arena, &self->meetings);
		/* Start at another moment of the creator's part in each round. */
		start = wall_clock() + arena->act_ns * (round % SWEEP) / SWEEP;
		while (wall_clock() < start)
			;
		begin(arena, JOINER, round);
		if (setns(fd, CLONE_NEWTIME))
			joiner_failed(arena, "setns() into the new namespace");
		read_joined_clocks(&task->clocks[AT_JOIN]);
		finish(arena, JOINER, round);

		meet_other(arena, &self->meetings);
		read_joined_clocks(&task->clocks[AT_END]);
		close(fd);
		if (setns(self->host_fd, CLONE_NEWTIME))
			joiner_failed(arena, "setns() back");
		meet_other(arena, &self->meetings);
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
	const struct stamp *host = &task->clocks[AT_JOIN].host;
	const struct clocks *clocks = &task->clocks[when];
	unsigned int way, i;

	for (way = 0; way <= 1; way++) {
		for (i = 0; i < NR_SHIFTED; i++) {
			__s64 offset = offset_of_clock(offsets, shifted_clocks[i].id);
			__s64 value = way ? clocks->syscall.ns[i] : clocks->vdso.ns[i];

			if (count_clock(&self->clocks, value, host->ns[i], offset) ||
			    clock_failures(&self->clocks) > MAX_REPORTS)
				continue;
			TH_LOG("%s's %s by %s %s is %lld ns, off by %lld ns",
			       who == CREATOR ? "creator" : "joiner",
			       shifted_clocks[i].name, way ? "system call" : "vDSO",
			       when == AT_JOIN ? "at the join" : "at the end",
			       (long long)value, (long long)(value - host->ns[i] - offset));
		}
	}
}

/* The number of rounds has no useful limit, so alarm() limits each round instead. */
TEST_F_TIMEOUT(join_race, clocks_have_their_offsets, INT_MAX / 1000)
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

		meet_other(arena, &self->meetings);
		read_host_clocks(&creator->clocks[AT_JOIN]);
		meet_other(arena, &self->meetings);
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
				read_joined_clocks(&creator->clocks[AT_JOIN]);
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
			read_joined_clocks(&creator->clocks[AT_JOIN]);
		if (variant->act == FORK) {
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			ASSERT_EQ(0, status);
		}

		meet_other(arena, &self->meetings);
		ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
		read_joined_clocks(&creator->clocks[AT_END]);
		ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));
		close(fd);
		meet_other(arena, &self->meetings);

		ASSERT_EQ(NULL, arena->failed)
			TH_LOG("joiner: %s: %s", arena->failed, strerror(arena->error));
		self->overlaps += !creator->alone && !arena->task[JOINER].alone;
		if (variant->act != WRITE)
			judge(_metadata, self, CREATOR, AT_JOIN, &offsets);
		judge(_metadata, self, CREATOR, AT_END, &offsets);
		judge(_metadata, self, JOINER, AT_JOIN, &offsets);
		judge(_metadata, self, JOINER, AT_END, &offsets);
	}

	TH_LOG("%u racing writes succeeded", self->writes);
	TH_LOG("%lu reads: %lu zero, %lu without the offset, %lu wrong otherwise",
	       self->clocks.reads, self->clocks.zero, self->clocks.no_offset,
	       self->clocks.wrong);
	TH_LOG("RACE rounds %u overlaps %u failures %lu", self->rounds, self->overlaps,
	       clock_failures(&self->clocks));
	EXPECT_EQ(0, self->clocks.zero);
	EXPECT_EQ(0, self->clocks.no_offset);
	EXPECT_EQ(0, self->clocks.wrong);
	/* SKIP() would hide a failure. */
	if (!clock_failures(&self->clocks) && !self->overlaps)
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

// SPDX-License-Identifier: GPL-2.0
/*
 * The clocks and sleeps of a task in a time namespace are right after the cgroup
 * freezer has frozen and thawed the task.
 *
 * Container runtimes and checkpoint/restore freeze the tasks of a container by its
 * cgroup. Its clocks go on meanwhile. The test checks that
 * - a task that is thawed reads clocks with the offsets of its time namespace;
 * - other tasks can join the time namespace of a frozen task;
 * - a sleep that the freezer interrupts ends at its deadline. The kernel restarts
 *   the system call, and must apply the offset to an absolute deadline only once;
 * - a frozen task can be killed, and its time namespace stays as it is.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cgroup_util.h"
/* timens_switch.h has this constant with the same type on all architectures. */
#undef NSEC_PER_SEC
#include "timens_switch.h"

#define ROUNDS		5
#define FROZEN_US	50000	/* duration of a freeze */
#define SLEEP_NS	150000000LL
#define WAIT_MS		30000	/* for a thawed task, on a busy host */

/* Requests to the task: read the clocks, or sleep and report the time before and after */
enum request { READ, SLEEP_RELATIVE, SLEEP_ABSOLUTE };

struct sleep { __s64 start, end; int error; };

FIXTURE(cgroup_freezer) {
	struct switcher switcher;
	char *cgroup;
	bool created;
	int to_task[2], from_task[2];
	pid_t task;
};

FIXTURE_VARIANT(cgroup_freezer) {
	int ns;		/* of the task */
};

FIXTURE_VARIANT_ADD(cgroup_freezer, host) { HOST };
FIXTURE_VARIANT_ADD(cgroup_freezer, zero) { ZERO };
FIXTURE_VARIANT_ADD(cgroup_freezer, ahead) { AHEAD };
FIXTURE_VARIANT_ADD(cgroup_freezer, behind) { BEHIND };

static struct timespec to_timespec(__s64 ns)
{
	return (struct timespec) { ns / NSEC_PER_SEC, ns % NSEC_PER_SEC };
}

static const clockid_t sleep_clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME };

/* Sends the start of the sleep at once, so that the tester knows when to freeze the task. */
static bool sleep_and_report(int fd, clockid_t clock, bool absolute)
{
	struct sleep sleep = { .start = read_syscall(clock) };
	struct timespec ts = to_timespec(absolute ? sleep.start + SLEEP_NS : SLEEP_NS);

	if (write(fd, &sleep, sizeof(sleep)) != sizeof(sleep))
		return false;
	sleep.error = clock_nanosleep(clock, absolute ? TIMER_ABSTIME : 0, &ts, NULL);
	sleep.end = read_syscall(clock);
	return write(fd, &sleep, sizeof(sleep)) == sizeof(sleep);
}

/* Performs a request for each byte that it receives. */
static void __noreturn frozen_task(struct __test_metadata *_metadata,
				   FIXTURE_DATA(cgroup_freezer) *self, int ns)
{
	struct reads reads;
	unsigned int n;
	char request;

	close(self->to_task[1]);
	join(_metadata, &self->switcher, ns);
	ASSERT_EQ(1, write(self->from_task[1], "", 1));
	for (n = 0; read(self->to_task[0], &request, 1) == 1; n++) {
		if (request == READ) {
			reads = read_both(self->switcher.gettime64, n % NR_SHIFTED);
			ASSERT_EQ(sizeof(reads), write(self->from_task[1], &reads, sizeof(reads)));
			continue;
		}
		ASSERT_TRUE(sleep_and_report(self->from_task[1],
					     sleep_clocks[n % ARRAY_SIZE(sleep_clocks)],
					     request == SLEEP_ABSOLUTE));
	}
	_exit(0);
}

FIXTURE_SETUP(cgroup_freezer)
{
	pid_t parent = getpid();
	char root[PATH_MAX], c;

	if (!setup_switcher(_metadata, &self->switcher))
		return;
	if (cg_find_unified_root(root, sizeof(root), NULL))
		SKIP(return, "cgroup2 is not mounted");
	self->cgroup = cg_name_indexed(root, "timens_freezer", parent);
	ASSERT_NE(NULL, self->cgroup);
	self->created = !cg_create(self->cgroup);
	if (!self->created)
		SKIP(return, "no cgroup can be created: %s", strerror(errno));
	if (cg_read_key_long(self->cgroup, "cgroup.events", "frozen ") < 0)
		SKIP(return, "the kernel has no cgroup2 freezer");

	ASSERT_EQ(0, pipe(self->to_task));
	ASSERT_EQ(0, pipe(self->from_task));
	self->task = fork();
	ASSERT_LE(0, self->task);
	if (!self->task) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(1);
		frozen_task(_metadata, self, variant->ns);
	}
	close(self->to_task[0]);
	close(self->from_task[1]);
	ASSERT_EQ(0, cg_enter(self->cgroup, self->task));
	ASSERT_EQ(1, read(self->from_task[0], &c, 1));
}

FIXTURE_TEARDOWN(cgroup_freezer)
{
	if (self->task > 0) {
		kill(self->task, SIGKILL);
		waitpid(self->task, NULL, 0);
	}
	if (self->created)
		EXPECT_EQ(0, cg_destroy(self->cgroup));
	free(self->cgroup);
}

static void set_frozen(struct __test_metadata *_metadata,
		       const FIXTURE_DATA(cgroup_freezer) *self, bool frozen)
{
	ASSERT_EQ(0, cg_write(self->cgroup, "cgroup.freeze", frozen ? "1" : "0"));
	ASSERT_EQ(frozen, cg_read_key_long_poll(self->cgroup, "cgroup.events", "frozen ",
						frozen, WAIT_MS, 1000));
}

static void send_request(struct __test_metadata *_metadata,
			 const FIXTURE_DATA(cgroup_freezer) *self, enum request request)
{
	const char byte = request;

	ASSERT_EQ(1, write(self->to_task[1], &byte, 1));
}

static bool has_answer(const FIXTURE_DATA(cgroup_freezer) *self, int timeout_ms)
{
	struct pollfd pollfd = { self->from_task[0], POLLIN };

	return poll(&pollfd, 1, timeout_ms) == 1;
}

static void receive(struct __test_metadata *_metadata,
		    const FIXTURE_DATA(cgroup_freezer) *self, void *answer, size_t size)
{
	ASSERT_TRUE(has_answer(self, WAIT_MS));
	ASSERT_EQ(size, read(self->from_task[0], answer, size));
}

TEST_F_TIMEOUT(cgroup_freezer, clocks_are_right_after_thaw, 120)
{
	struct switcher *switcher = &self->switcher;
	struct reads reads;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		send_request(_metadata, self, READ);
		receive(_metadata, self, &reads, sizeof(reads));
		chain_reads(_metadata, switcher, &reads, variant->ns, "before the freeze");

		set_frozen(_metadata, self, true);
		send_request(_metadata, self, READ);
		usleep(FROZEN_US);
		EXPECT_FALSE(has_answer(self, 0));
		chain_own(_metadata, switcher, round % NR_SHIFTED, HOST, "during the freeze");

		set_frozen(_metadata, self, false);
		receive(_metadata, self, &reads, sizeof(reads));
		chain_reads(_metadata, switcher, &reads, variant->ns, "after the thaw");
		chain_own(_metadata, switcher, round % NR_SHIFTED, HOST, "after the thaw");
	}
}

TEST_F_TIMEOUT(cgroup_freezer, namespace_of_frozen_task_can_be_joined, 120)
{
	struct switcher *switcher = &self->switcher;
	unsigned int round;
	struct reads reads;
	int pidfd;

	pidfd = syscall(SYS_pidfd_open, self->task, 0);
	ASSERT_LE(0, pidfd);
	for (round = 0; round < ROUNDS; round++) {
		set_frozen(_metadata, self, true);
		ASSERT_EQ(0, setns(pidfd, CLONE_NEWTIME));
		chain_own(_metadata, switcher, round % NR_SHIFTED, variant->ns,
			  "in a frozen task's namespace");
		join(_metadata, switcher, HOST);

		set_frozen(_metadata, self, false);
		send_request(_metadata, self, READ);
		receive(_metadata, self, &reads, sizeof(reads));
		chain_reads(_metadata, switcher, &reads, variant->ns, "after the thaw");
	}
	close(pidfd);
}

/* Freezes the task during the sleep, and thaws it before or after the deadline. */
TEST_F_TIMEOUT(cgroup_freezer, sleep_ends_at_its_deadline, 240)
{
	unsigned int n;

	for (n = 0; n < 4 * ARRAY_SIZE(sleep_clocks); n++) {
		const bool absolute = n / ARRAY_SIZE(sleep_clocks) % 2;
		const bool thaw_late = n / ARRAY_SIZE(sleep_clocks) / 2;
		struct sleep sleep;

		send_request(_metadata, self, absolute ? SLEEP_ABSOLUTE : SLEEP_RELATIVE);
		receive(_metadata, self, &sleep, sizeof(sleep));
		set_frozen(_metadata, self, true);
		usleep(thaw_late ? 2 * SLEEP_NS / 1000 : FROZEN_US);
		set_frozen(_metadata, self, false);
		receive(_metadata, self, &sleep, sizeof(sleep));
		EXPECT_EQ(0, sleep.error);
		EXPECT_LE(sleep.start + SLEEP_NS, sleep.end)
			TH_LOG("the sleep %u ends too early", n);
		EXPECT_GE(sleep.start + SLEEP_NS + WAIT_MS * 1000000LL, sleep.end)
			TH_LOG("the sleep %u ends too late", n);
	}
}

TEST_F_TIMEOUT(cgroup_freezer, frozen_task_can_be_killed, 120)
{
	int status;

	set_frozen(_metadata, self, true);
	ASSERT_EQ(0, kill(self->task, SIGKILL));
	ASSERT_EQ(self->task, waitpid(self->task, &status, 0));
	self->task = 0;
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	join(_metadata, &self->switcher, variant->ns);
	chain_own(_metadata, &self->switcher, 0, variant->ns, "after the end of a frozen task");
	join(_metadata, &self->switcher, HOST);
}

TEST_HARNESS_MAIN

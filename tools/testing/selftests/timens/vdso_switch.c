// SPDX-License-Identifier: GPL-2.0
/*
 * The first vDSO read after a switch of the time namespace has the new offsets.
 *
 * A task that changes its time namespace gets other data pages for the vDSO. It
 * has used the pages of the old namespace until then, so the test reads every
 * clock just before the switch. Then each clock in turn is the first one to be
 * read after the switch. The test covers
 * - a task that joins by setns(), from and to every kind of namespace;
 * - children by fork() and clone3();
 * - programs by exec, after vfork() and in the same task;
 * - namespaces in namespaces;
 * - tasks with threads;
 * - thousands of switches of a task while other tasks read the clocks in the same
 *   namespaces.
 */
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include "timens_switch.h"

#define READER		"read-clocks"	/* argv[1] of the program that is executed */
#define SWITCHES	20000
#define NR_READERS	3

FIXTURE(vdso_switch) {
	struct switcher switcher;
};

FIXTURE_SETUP(vdso_switch)
{
	setup_switcher(_metadata, &self->switcher);
}

FIXTURE_TEARDOWN(vdso_switch)
{
}

TEST_F(vdso_switch, first_read_after_setns)
{
	struct switcher *switcher = &self->switcher;
	unsigned int first;
	int from, to;

	for (from = 0; from < NR_NS; from++) {
		for (to = 0; to < NR_NS; to++) {
			for (first = 0; first < NR_SHIFTED; first++) {
				join(_metadata, switcher, from);
				chain_own(_metadata, switcher, first, from, "before setns()");
				join(_metadata, switcher, to);
				chain_own(_metadata, switcher, first, to, "after setns()");
			}
		}
	}
}

/* Offsets are relative to the host's clocks, wherever a namespace is created. */
TEST_F(vdso_switch, first_read_in_nested_namespace)
{
	struct switcher *switcher = &self->switcher;
	const int levels = 3;
	int fd, outer, inner, level;

	for (outer = 0; outer < NR_NS; outer++) {
		for (inner = HOST + 1; inner < NR_NS; inner++) {
			join(_metadata, switcher, outer);
			fd = create_timens(&namespaces[inner].offsets);
			ASSERT_LE(0, fd);
			chain_own(_metadata, switcher, 0, outer, "after unshare()");
			ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
			close(fd);
			chain_own(_metadata, switcher, 0, inner, "in a nested namespace");
		}

		join(_metadata, switcher, outer);
		for (level = 0; level < levels; level++) {
			ASSERT_EQ(0, unshare(CLONE_NEWTIME));
			fd = open("/proc/self/ns/time_for_children", O_RDONLY);
			ASSERT_LE(0, fd);
			ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
			close(fd);
			chain_own(_metadata, switcher, level, outer, "in a copy");
		}
	}
}

FIXTURE(vdso_child) {
	struct switcher switcher;
	int pipe[2];
};

FIXTURE_VARIANT(vdso_child) {
	enum { FORK, CLONE_COPY, VFORK_EXEC, EXEC } by;
};

FIXTURE_VARIANT_ADD(vdso_child, fork) { FORK };
FIXTURE_VARIANT_ADD(vdso_child, clone_newtime) { CLONE_COPY };
FIXTURE_VARIANT_ADD(vdso_child, vfork_exec) { VFORK_EXEC };
FIXTURE_VARIANT_ADD(vdso_child, exec) { EXEC };

FIXTURE_SETUP(vdso_child)
{
	if (!setup_switcher(_metadata, &self->switcher))
		return;
	ASSERT_EQ(0, pipe(self->pipe));
}

FIXTURE_TEARDOWN(vdso_child)
{
}

static void __noreturn exec_reader(int fd, unsigned int first)
{
	char fd_arg[16], first_arg[16];

	snprintf(fd_arg, sizeof(fd_arg), "%d", fd);
	snprintf(first_arg, sizeof(first_arg), "%u", first);
	execl("/proc/self/exe", "vdso_switch", READER, fd_arg, first_arg, NULL);
	_exit(1);
}

/* These are functions because vfork() may clobber the variables of its caller. */
static pid_t vfork_reader(int fd, unsigned int first)
{
	pid_t pid = vfork();

	if (!pid)
		exec_reader(fd, first);
	return pid;
}

static pid_t vfork_setns(int fd)
{
	pid_t pid = vfork();

	if (!pid)
		_exit(setns(fd, CLONE_NEWTIME) ? errno : 0);
	return pid;
}

static int reader(const char *fd, const char *first)
{
	struct reads reads;
	void *gettime64;

	vdso_init_from_sysinfo_ehdr(getauxval(AT_SYSINFO_EHDR));
	gettime64 = vdso_function(CLOCK_GETTIME64);
	reads = read_both(gettime64, atoi(first));
	return write(atoi(fd), &reads, sizeof(reads)) != sizeof(reads);
}

static void __noreturn child(const FIXTURE_DATA(vdso_child) *self, unsigned int first)
{
	struct reads reads = read_both(self->switcher.gettime64, first);

	_exit(write(self->pipe[1], &reads, sizeof(reads)) != sizeof(reads));
}

TEST_F_TIMEOUT(vdso_child, first_read_in_child, 300)
{
	struct switcher *switcher = &self->switcher;
	struct clone_args copy = { .flags = CLONE_NEWTIME, .exit_signal = SIGCHLD };
	const struct time_offsets *offsets;
	struct reads reads;
	unsigned int first;
	int ns, fd, status;
	pid_t pid = -1;

	for (ns = HOST + 1; ns < NR_NS; ns++) {
		offsets = &namespaces[ns].offsets;
		for (first = 0; first < NR_SHIFTED; first++) {
			fd = variant->by == EXEC ? -1 : create_timens(offsets);
			chain_own(_metadata, switcher, first, HOST, "before the child");

			switch (variant->by) {
			case FORK:
				pid = fork();
				if (!pid)
					child(self, first);
				break;
			case CLONE_COPY:
				pid = syscall(__NR_clone3, &copy, sizeof(copy));
				if (!pid)
					child(self, first);
				break;
			case VFORK_EXEC:
				pid = vfork_reader(self->pipe[1], first);
				break;
			case EXEC:
				pid = fork();
				if (!pid) {
					stamp_by_vdso(switcher->gettime64, first);
					if (create_timens(offsets) < 0)
						_exit(1);
					exec_reader(self->pipe[1], first);
				}
				break;
			}

			ASSERT_LT(0, pid);
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			ASSERT_EQ(0, status);
			ASSERT_EQ(sizeof(reads),
				  read(self->pipe[0], &reads, sizeof(reads)));
			chain_reads(_metadata, switcher, &reads, ns, "in the child");
			chain_own(_metadata, switcher, first, HOST, "after the child");
			close(fd);
		}
	}
}

struct thread {
	void *gettime64;
	int reads[2], end[2];	/* pipes: for its reads, and to end it */
};

static void *thread(void *arg)
{
	const struct thread *thread = arg;
	struct reads reads = read_both(thread->gettime64, 0);
	char c;

	if (write(thread->reads[1], &reads, sizeof(reads)) != sizeof(reads) ||
	    read(thread->end[0], &c, 1))
		abort();
	return NULL;
}

/* A new thread is in its process's namespace, and a process with threads stays there. */
TEST_F(vdso_switch, threads_stay_in_their_namespace)
{
	struct switcher *switcher = &self->switcher;
	struct thread new = { switcher->gettime64 };
	struct reads reads;
	int ns, fd, ret, status;
	pthread_t id;
	pid_t pid;

	for (ns = HOST + 1; ns < NR_NS; ns++) {
		join(_metadata, switcher, ns);
		chain_own(_metadata, switcher, 0, ns, "before the thread");
		/* Only new processes enter this namespace. */
		fd = create_timens(&namespaces[ns == AHEAD ? BEHIND : AHEAD].offsets);
		ASSERT_LE(0, fd);

		ASSERT_EQ(0, pipe(new.reads));
		ASSERT_EQ(0, pipe(new.end));
		ASSERT_EQ(0, pthread_create(&id, NULL, thread, &new));
		ASSERT_EQ(sizeof(reads), read(new.reads[0], &reads, sizeof(reads)));
		chain_reads(_metadata, switcher, &reads, ns, "in the thread");
		EXPECT_EQ(-1, setns(fd, CLONE_NEWTIME));
		EXPECT_EQ(EUSERS, errno);
		chain_own(_metadata, switcher, 0, ns, "after setns() was refused");

		/* No pthread_join(): it needs a system call with 32-bit time. */
		close(new.end[1]);
		do {
			ret = setns(fd, CLONE_NEWTIME);
		} while (ret && errno == EUSERS);
		ASSERT_EQ(0, ret);
		chain_own(_metadata, switcher, 0, ns == AHEAD ? BEHIND : AHEAD,
			  "after the thread");

		/* setns() is also refused to a process that shares the memory. */
		pid = vfork_setns(switcher->fds[ns]);
		ASSERT_LT(0, pid);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(EUSERS, WEXITSTATUS(status));

		close(fd);
		close(new.end[0]);
		close(new.reads[0]);
		close(new.reads[1]);
	}
}

/* Reads the clocks until @stop is set, or until a test fails. */
static void __noreturn read_until(struct __test_metadata *_metadata,
				  struct switcher *switcher, int ns, const bool *stop)
{
	struct stamp stamp;
	unsigned int n;

	join(_metadata, switcher, ns);
	for (n = 0; !__atomic_load_n(stop, __ATOMIC_RELAXED) && __test_passed(_metadata); n++) {
		bool vdso = n % 100;

		stamp = vdso ? stamp_by_vdso(switcher->gettime64, n) : stamp_by_syscall();
		chain(_metadata, &switcher->last, &stamp, ns,
		      vdso ? "under load" : "by system call");
	}
	/* The test's result is in shared memory. */
	_exit(0);
}

TEST_F_TIMEOUT(vdso_switch, reads_are_right_while_others_switch, 1200)
{
	static const int places[] = { HOST, AHEAD, BEHIND, ZERO, AHEAD_TOO, AHEAD };
	struct switcher *switcher = &self->switcher;
	pid_t parent = getpid(), pids[NR_READERS];
	unsigned int n, ns;
	bool *stop;
	int status;

	stop = mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(stop != MAP_FAILED);
	for (n = 0; n < NR_READERS; n++) {
		pids[n] = fork();
		ASSERT_LE(0, pids[n]);
		if (!pids[n]) {
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
				_exit(1);
			read_until(_metadata, switcher, places[n], stop);
		}
	}

	for (n = 0; n < SWITCHES && __test_passed(_metadata); n++) {
		ns = places[n % ARRAY_SIZE(places)];
		join(_metadata, switcher, ns);
		chain_own(_metadata, switcher, n, ns, "under load");
	}

	__atomic_store_n(stop, true, __ATOMIC_RELAXED);
	for (n = 0; n < NR_READERS; n++) {
		ASSERT_EQ(pids[n], waitpid(pids[n], &status, 0));
		EXPECT_EQ(0, status);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], READER))
		return reader(argv[2], argv[3]);
	return test_harness_run(argc, argv);
}

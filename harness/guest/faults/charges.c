// SPDX-License-Identifier: GPL-2.0
/* A memory cgroup that has no memory for the next namespace. */
#include "faults.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* The memory of the cgroup at first. It grows by pages. */
#define CGROUP_MEMORY	(1 << 20)
/* The least memory that a namespace can take. */
#define MIN_CHARGE	128
#define MAX_NAMESPACES	(2 * CGROUP_MEMORY / MIN_CHARGE)

void enter(const char *cgroup)
{
	char path[128];

	sprintf(path, CGROUPS "%s/cgroup.procs", cgroup);
	write_file(path, "0");
}

/* The calls that fail when there is no memory. */
enum call { SETNS, UNSHARE, WRITE, NR_CALLS };

static const char *const calls[NR_CALLS] = { "setns", "unshare", "the write" };

/* A kind of namespaces. */
struct charge {
	const char *name;
	void (*prepare)(void);
	/* Offsets are written to each. Else each is a copy of the one before. */
	bool writes;
	/* The least that each must be charged. */
	unsigned int least;
};

/* What the task that makes the namespaces shares with its watcher. */
struct progress {
	enum call call;		/* the last call, and its result */
	int error;
	bool stop;
	/* The memory, the namespaces that the watcher holds, and how often each call failed. */
	unsigned int bytes, count, refused[NR_CALLS];
};

/* The state of the task, which a failed call must not change. */
struct state {
	ino_t own, children;
	char offsets[256];
};

static void proc_path(char path[64], pid_t pid, const char *name)
{
	snprintf(path, 64, "/proc/%d/%s", pid, name);
}

static void read_state(pid_t pid, struct state *state)
{
	char path[64];
	int fd;

	memset(state, 0, sizeof(*state));
	proc_path(path, pid, "ns/time");
	state->own = inode(path);
	proc_path(path, pid, "ns/time_for_children");
	state->children = inode(path);
	proc_path(path, pid, "timens_offsets");
	fd = must(open(path, O_RDONLY), path);
	read_offsets(fd, state->offsets, sizeof(state->offsets));
	close(fd);
}

/* Eventfds: a signal would be charged too, even without memory. */
static int reported_fd, checked_fd;

static void wake(int fd)
{
	must(eventfd_write(fd, 1), "write an eventfd");
}

static void await(int fd)
{
	eventfd_t count;

	must(eventfd_read(fd, &count), "read an eventfd");
}

/* Reports the result of a call, and waits until the watcher has checked it. */
static int report_call(struct progress *progress, enum call call, int failed)
{
	progress->call = call;
	progress->error = failed;
	wake(reported_fd);
	await(checked_fd);
	return failed;
}

/* Waits for a report. Returns false when the task has exited. */
static bool call_reported(int pidfd)
{
	struct pollfd polls[] = { { reported_fd, POLLIN, 0 }, { pidfd, POLLIN, 0 } };

	must(poll(polls, 2, -1), "poll");
	if (polls[0].revents)
		await(reported_fd);
	return polls[0].revents;
}

/* In the cgroup: makes namespaces. Opens no file, because that would be charged too. */
static void __attribute__((noreturn)) make_namespaces(const struct charge *charge,
						      struct progress *progress)
{
	int home = must(open(OWN_NS, O_RDONLY), "open " OWN_NS);

	charge->prepare();
	while (!progress->stop) {
		/* Then the next one has no offsets to copy. */
		if (charge->writes &&
		    report_call(progress, SETNS, setns(home, CLONE_NEWTIME) ? errno : 0))
			continue;
		if (!report_call(progress, UNSHARE, do_unshare()) && charge->writes)
			report_call(progress, WRITE, do_write_both());
	}
	remember_namespaces();
	check_still_usable();
	_exit(*result->failure != '\0');
}

static void set_memory(unsigned int bytes)
{
	write_file(CGROUPS "small/memory.max", "%u", bytes);
}

/*
 * Outside the cgroup: lets the task continue until @target is the call that fails, and checks after
 * each failure that the state of the task is unchanged. When another call fails the cgroup gets one
 * more page.
 */
static void watch(pid_t pid, enum call target, struct progress *progress)
{
	int fd = must(syscall(SYS_pidfd_open, pid, 0), "open a pidfd");
	struct state before, now;
	char path[64];

	for (read_state(pid, &before); call_reported(fd); before = now, wake(checked_fd)) {
		read_state(pid, &now);
		if (!progress->error) {
			if (now.children == before.children || now.children == now.own)
				continue;
			proc_path(path, pid, "ns/time_for_children");
			must(open(path, O_RDONLY), "keep a namespace");
			if (++progress->count > CGROUP_MEMORY / MIN_CHARGE)
				record_failure("no call fails");
		} else {
			progress->refused[progress->call]++;
			if (progress->error != ENOMEM)
				record_failure("%s fails with %s", calls[progress->call],
					       strerrorname_np(progress->error));
			if (memcmp(&now, &before, sizeof(now)))
				record_failure("a namespace or the offsets changed although %s failed",
					       calls[progress->call]);
		}
		if (*result->failure || (progress->error && progress->call == target)) {
			progress->stop = true;
			write_file(CGROUPS "small/memory.max", "max");
		} else if (progress->error) {
			set_memory(progress->bytes += PAGE);
		}
	}
	_exit(wait_for(pid) != 0);
}

/*
 * Makes namespaces in a cgroup with little memory until @target fails. The task is exempt from the
 * OOM killer, so it gets the error. Returns the bytes that each namespace is charged.
 */
static unsigned int check_charge(const struct charge *charge, enum call target)
{
	const struct rlimit files = { MAX_NAMESPACES, MAX_NAMESPACES };
	struct progress *progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long long limit = read_number(LIMIT_FILE);
	unsigned int bytes, tries;
	pid_t watcher;
	int status;

	must(progress == MAP_FAILED ? -1 : 0, "map memory");
	memset(result, 0, sizeof(*result));
	write_file(LIMIT_FILE, "%d", MAX_NAMESPACES);
	must(mkdir(CGROUPS "small", 0755), "make a cgroup");
	set_memory(progress->bytes = CGROUP_MEMORY);
	watcher = must(fork(), "fork");
	if (!watcher) {
		pid_t pid;

		must(setrlimit(RLIMIT_NOFILE, &files), "raise the number of files");
		reported_fd = must(eventfd(0, 0), "make an eventfd");
		checked_fd = must(eventfd(0, 0), "make an eventfd");
		pid = must(fork(), "fork");
		if (!pid) {
			must(prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
			write_file("/proc/self/oom_score_adj", "-1000");
			/* Without memory a page fault would be repeated forever. */
			must(mlockall(MCL_CURRENT), "lock memory");
			enter("small");
			make_namespaces(charge, progress);
		}
		watch(pid, target, progress);
	}
	status = wait_for(watcher);
	bytes = progress->count ? progress->bytes / progress->count : 0;
	printf("# %s: %u bytes each; %u; failed: setns %u, unshare %u, write %u\n",
	       charge->name, bytes, progress->count, progress->refused[SETNS], progress->refused[UNSHARE],
	       progress->refused[WRITE]);
	print_test(progress->refused[target] && bytes >= charge->least && !status, charge->name, "%s",
		   *result->failure ? result->failure : "no call failed, or the charge is too small");
	munmap(progress, sizeof(*progress));
	/* The cgroup is busy until a moment after the task has been waited for. */
	for (tries = 0; rmdir(CGROUPS "small"); tries++) {
		if (errno != EBUSY || tries == 1000)
			error(2, errno, "cannot remove a cgroup");
		usleep(1000);
	}
	write_file(LIMIT_FILE, "%lld", limit);
	return bytes;
}

/* Prints three tests. */
void check_charges(void)
{
	static const struct charge plain = {
		"namespaces without offsets are charged", prepare_nothing, .least = MIN_CHARGE,
	};
	static const struct charge copies = {
		"copies of offsets are charged", prepare_offsets, .least = PAGE,
	};
	static const struct charge written = {
		"namespaces with offsets are charged", prepare_namespace, .writes = true, .least = PAGE,
	};
	enum call target;

	/* On the C kernel each namespace has a page from the start, so that no write needs one. */
	target = check_charge(&plain, UNSHARE) >= PAGE ? UNSHARE : WRITE;
	check_charge(&copies, UNSHARE);
	check_charge(&written, target);
}

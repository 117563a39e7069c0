// SPDX-License-Identifier: GPL-2.0
/* The coordinator: draws operations and sends them to workers. */
#include "fuzz.h"

#include <sys/socket.h>

#define NR_STORED	6
#define NR_HANDLES	4

struct slot {
	int channel;	/* the coordinator's end */
	int pidfd;	/* -1: none */
	pid_t pid;
};

static struct coordinator {
	struct slot slots[NR_SLOTS];
	int ns[NR_STORED], files[NR_STORED];
	struct handle handles[NR_HANDLES];
	uint64_t counts[NR_KINDS][256];
} coordinator;

__attribute__((noreturn, format(printf, 1, 2))) void fatal(const char *format, ...)
{
	va_list list;

	printf("TIMENS-GUEST-FAULT ");
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

/* Moves a descriptor to the number that all processes know. */
static void move_fd(int fd, int where)
{
	if (fd < 0 || dup2(fd, where) != where)
		error(1, errno, "cannot prepare descriptors");
	close(fd);
}

void prepare_coordinator(void)
{
	size_t i;

	for (i = 0; i < NR_SLOTS; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
			error(1, errno, "cannot make a socket pair");
		coordinator.slots[i] = (struct slot){ .channel = ends[0], .pidfd = -1 };
		move_fd(ends[1], CHANNEL_FD(i));
	}
	for (i = 0; i < NR_STORED; i++)
		coordinator.ns[i] = coordinator.files[i] = -1;
}

static bool alive(const struct slot *slot)
{
	struct pollfd poll_fd = { .fd = slot->pidfd, .events = POLLIN };

	return slot->pidfd >= 0 && poll(&poll_fd, 1, 0) == 0;
}

static void end_worker(struct slot *slot)
{
	if (slot->pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, slot->pidfd, SIGKILL, NULL, 0);
	if (wait_gone(slot->pidfd))
		fatal("a worker does not exit");
	close(slot->pidfd);
	slot->pidfd = -1;
}

struct pidfd_info {
	uint64_t mask, cgroup;
	uint32_t pid, rest[11];
};

#define PIDFD_GET_INFO	_IOWR(0xff, 11, struct pidfd_info)

static void set_slot(struct slot *slot, int pidfd)
{
	struct pidfd_info info = {};

	if (ioctl(pidfd, PIDFD_GET_INFO, &info))
		fatal("cannot get the pid of a worker: %s", strerror(errno));
	slot->pidfd = pidfd;
	slot->pid = info.pid;
}

/* A worker with the credentials and namespaces of the coordinator. */
static void start_worker(unsigned int number)
{
	struct slot *slot = &coordinator.slots[number];
	int pidfd;

	end_worker(slot);
	if (start(0, SIGCHLD, &pidfd, worker_entry, (void *)(uintptr_t)number) < 0)
		fatal("cannot start a worker: %s", strerror(errno));
	set_slot(slot, pidfd);
}

static void store_fd(int *place, int fd)
{
	if (*place >= 0)
		close(*place);
	*place = fd;
}

static void run_operation(const struct operation *operation)
{
	struct slot *slot = &coordinator.slots[operation->slot];
	struct slot *other = &coordinator.slots[operation->other];
	uint64_t random = mix(operation->random ^ 1);
	unsigned int source = draw(&random, NR_STORED), target = draw(&random, NR_STORED);
	unsigned int handle = draw(&random, NR_HANDLES);
	struct pollfd polls[2];
	int fd = -1, result;

	shared->kind = operation->kind;
	shared->context = operation->context ? operation->context - contexts : -1;
	shared->random = operation->random;
	shared->other = operation->other;
	shared->error = 0;
	shared->length = 0;

	if (operation->kind == OP_KILL) {
		print(" worker %u", operation->other);
		end_worker(other);
		return;
	}
	/* The request needs a pid, but not a live worker. */
	if (!other->pid)
		start_worker(operation->other);
	shared->pid = other->pid;
	if (operation->kind == OP_SPAWN)
		end_worker(other);
	/* After end_worker(), which kills this worker too if the other was init of its PID namespace. */
	if (!alive(slot))
		start_worker(operation->slot);
	switch (kinds[operation->kind].takes) {
	case FD_NONE:
		break;
	case FD_NS:
		/* Sometimes a file that is not a namespace. */
		fd = draw(&random, 16) ? coordinator.ns[source] : coordinator.files[source];
		break;
	case FD_OFFSETS:
		fd = coordinator.files[source];
		break;
	case FD_PIDFD:
		fd = other->pidfd;
		break;
	}
	if (operation->kind == OP_OPEN_HANDLE)
		shared->handle = coordinator.handles[handle];

	if (send_fd(slot->channel, fd))
		fatal("cannot send to a worker: %s", strerror(errno));
	polls[0] = (struct pollfd){ .fd = slot->channel, .events = POLLIN };
	polls[1] = (struct pollfd){ .fd = slot->pidfd, .events = POLLIN };
	if (poll(polls, 2, TIMEOUT_MS) <= 0)
		fatal("a worker hangs in %s", kinds[operation->kind].name);
	if (!polls[0].revents)
		fatal("a worker died in %s", kinds[operation->kind].name);
	if (receive_fd(slot->channel, &result))
		fatal("cannot receive from a worker");
	if (operation->kind == OP_HANDLE && !shared->error)
		coordinator.handles[handle] = shared->handle;
	if (result < 0)
		return;
	if (operation->kind == OP_SPAWN)
		set_slot(other, result);
	else if (kinds[operation->kind].gives == FD_NS)
		store_fd(&coordinator.ns[target], result);
	else if (kinds[operation->kind].gives == FD_OFFSETS)
		store_fd(&coordinator.files[target], result);
	else
		close(result);
}

static void set_limit(int limit)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", limit);
	if (try_write(LIMIT_FILE, text))
		fatal(LIMIT_FILE ": %s", strerror(errno));
}

/* Checks that a user is charged for no namespace: under a limit of 1, one can be made. */
static void check_charge(void *data)
{
	if (syscall(SYS_setresuid, -1, (uid_t)(uintptr_t)data, -1) || drop_capabilities(0))
		print(" %s", error_name(errno));
	else if (unshare(CLONE_NEWTIME))
		print(" uid %u still charged: %s", (unsigned int)(uintptr_t)data, error_name(errno));
	exit_task();
}

static void check_charges(void)
{
	static const uid_t uids[] = { 0, 1000, 1001 };
	size_t i;
	int pidfd;

	set_limit(1);
	for (i = 0; i < ARRAY_SIZE(uids); i++) {
		if (start(0, SIGCHLD, &pidfd, check_charge, (void *)(uintptr_t)uids[i]) < 0 ||
		    wait_gone(pidfd))
			fatal("cannot check the charges: %s", strerror(errno));
		close(pidfd);
	}
	set_limit(LIMIT);
}

static uint64_t hash(uint64_t state, const char *text)
{
	for (; *text; text++)
		state = (state ^ (unsigned char)*text) * 0x100000001b3;
	return state;
}

/* Runs the operations of one sequence. Prints the result of each, or a part of the hash so far. */
void run_sequence(uint64_t seed, unsigned int sequence, const unsigned int *numbers,
			 unsigned int count, bool verbose)
{
	static char line[sizeof(shared->text)];
	uint64_t state = 0xcbf29ce484222325;
	unsigned int i;

	forget_namespaces();
	memset(coordinator.handles, 0, sizeof(coordinator.handles));
	shared->behind = -(read_clock(clock_gettime, CLOCK_MONOTONIC) / NSEC_PER_SEC);
	shared->ahead = KTIME_SEC_MAX / 2 + shared->behind - 100;
	set_limit(LIMIT);
	for (i = 0; i < NR_SLOTS; i++)
		coordinator.slots[i].pid = 0;
	for (i = 0; i < NR_STORED; i++) {
		coordinator.ns[i] = open(i % 3 ? "/proc/self/ns/time" : "/proc/self/ns/user",
					 O_RDONLY | O_CLOEXEC);
		coordinator.files[i] = open("/proc/self/timens_offsets", O_RDWR | O_CLOEXEC);
	}
	for (i = 0; i <= count; i++) {
		shared->length = 0;
		if (i < count) {
			struct operation operation = draw_operation(seed, sequence, numbers[i]);
			int length = sprintf(line, "%u worker %u%s%s: %s", numbers[i], operation.slot,
					     operation.context ? " " : "",
					     operation.context ? operation.context->name : "",
					     kinds[operation.kind].name);

			run_operation(&operation);
			coordinator.counts[operation.kind][shared->error & 255]++;
			normalize_text(line + length, sizeof(line) - length);
		} else {
			unsigned int k;

			for (k = 0; k < NR_SLOTS; k++)
				end_worker(&coordinator.slots[k]);
			for (k = 0; k < NR_STORED; k++) {
				store_fd(&coordinator.ns[k], -1);
				store_fd(&coordinator.files[k], -1);
			}
			check_charges();
			normalize_text(line, sizeof(line));
			if (!*line)
				strcpy(line, "end: nothing is charged any more");
		}
		state = hash(state, line);
		if (verbose)
			printf("| %s\n", line);
		else
			/* Bits that the last character has already changed. */
			printf("| %04x\n", (unsigned int)(state >> 32) & 0xffff);
	}
}

/* How often each operation succeeded, and failed with which error. */
void print_counts(void)
{
	unsigned int kind, error;

	for (kind = 0; kind < NR_KINDS; kind++) {
		printf("TIMENS-COUNT %s", kinds[kind].name);
		for (error = 0; error < 256; error++)
			if (coordinator.counts[kind][error])
				printf(" %s %" PRIu64, error_name(error),
				       coordinator.counts[kind][error]);
		printf("\n");
	}
}

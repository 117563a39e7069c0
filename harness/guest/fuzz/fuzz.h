/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Performs random operations on time namespaces, and prints the result of each.
 *
 * A sequence is a number of operations that follow from a seed alone. Each is drawn from the seed,
 * the sequence's number and its own number, so leaving one out changes no other. The text names
 * processes and namespaces by small numbers, and times by their relation to the host's clocks. So
 * two kernels that behave the same print the same text.
 *
 * One process, the coordinator, draws the operations and sends each to a worker, in one of four
 * slots. It keeps the descriptors that the workers open, and passes them to other workers. Only one
 * process runs at a time; request and result are in shared memory.
 *
 *   main.c         the requests, and the set-up
 *   coordinator.c  workers, stored descriptors, one sequence
 *   normalize.c    replaces the numbers in a result that differ from run to run
 *   operations.c   the table of operations
 *   draw.c         random numbers, and arguments that several operations draw
 *   workers.c      receives requests; performs them in the worker or in another task of it
 *   processes.c    tasks made by clone3()
 *   print.c        prints into the result
 *   namespaces.c, offsets.c, clocks.c, timers.c, credentials.c, exited.c
 *                  the operations: do_...()
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "timens.h"

#include <inttypes.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#define LIMIT		1000

#define KTIME_SEC_MAX	(INT64_MAX / NSEC_PER_SEC)

#define NR_SLOTS	4
#define PAGE		4096

/* The descriptors that every worker has, also after exec. */
#define SHARED_FD	100
#define CHANNEL_FD(slot)	(101 + (slot))

/* Longer than any operation takes, even on a slow kernel. */
#define TIMEOUT_MS	30000

/* Interfaces that the C library's headers may be too old for. */
#define NSIO		0xb7
#define NS_GET_ID	_IOR(NSIO, 13, uint64_t)
#define NS_INIT_IDS	8

/* An offset that depends on the time, as it is written and as it is read: in a fixed length. */
#define WRITTEN_OFFSET	"%011" PRId64
#define READ_OFFSET	"%10" PRId64

/* A file handle of nsfs. */
struct handle {
	struct file_handle head;
	uint64_t ns_id;
	uint32_t ns_type;
	uint32_t ns_inum;
};

enum kind {
	OP_UNSHARE, OP_SETNS, OP_SETNS_PIDFD, OP_SPAWN, OP_KILL, OP_EXEC, OP_OPEN, OP_WRITE_OPEN,
	OP_WRITE, OP_READ_OPEN, OP_READ, OP_OPEN_NS, OP_LINKS, OP_NSFS, OP_HANDLE, OP_OPEN_HANDLE,
	OP_LISTNS, OP_PIDFD_NS, OP_CLOCKS, OP_TIMER, OP_SLEEP, OP_UPTIME, OP_LIMIT, OP_CAPS, OP_UID,
	OP_USERNS, OP_ZOMBIE, OP_STAT, NR_KINDS
};

/* The descriptors that the coordinator keeps, and a worker's pidfd. */
enum fd_kind { FD_NONE, FD_NS, FD_OFFSETS, FD_PIDFD };

struct kind_info {
	const char *name;
	/* Null: the worker does not perform it, or not in perform(). */
	void (*perform)(uint64_t *random);
	unsigned int weight;
	/* The descriptor that the worker gets, and the one that it returns. */
	enum fd_kind takes, gives;
	/* Whether a thread or child of the worker may perform it. */
	bool anywhere;
};

/* A task of the worker's that performs an operation. */
struct context {
	const char *name;
	uint64_t flags;
	bool exec;
};

/* The worker itself, while it has another, idle thread. */
#define IDLE_THREAD	0
#define NR_CONTEXTS	19

struct operation {
	enum kind kind;
	const struct context *context;	/* null: the worker itself */
	unsigned int slot, other;
	/* The state that the arguments are drawn from. */
	uint64_t random;
};

/* The memory that all processes share: a request, and its result. */
struct shared {
	enum kind kind;
	int context;			/* -1: the worker itself */
	uint64_t random;
	int fd;				/* as the worker received it, or -1 */
	pid_t pid;			/* of the other worker */
	unsigned int other;
	int64_t behind, ahead;		/* the least and the greatest offset that is allowed */
	int64_t monotonic, boottime;	/* the real time at which these clocks were zero */
	struct handle handle;

	int error;			/* of the operation's own system call */
	int result;			/* a descriptor, or -1 */
	size_t length;
	char text[8 * PAGE];
};

extern struct shared *shared;
extern const struct kind_info kinds[NR_KINDS];
extern const struct context contexts[NR_CONTEXTS];

/* draw.c */
uint64_t mix(uint64_t x);
unsigned int draw(uint64_t *random, unsigned int below);
void draw_proc_path(char *path, size_t size, uint64_t *random, const char *file);
void often_unshare(uint64_t *random);
struct operation draw_operation(uint64_t seed, unsigned int sequence, unsigned int number);

#define PICK_AS(type, random, ...) ({					\
	static const type all[] = { __VA_ARGS__ };			\
	all[draw(random, ARRAY_SIZE(all))];				\
})
#define PICK(random, ...)	PICK_AS(int64_t, random, __VA_ARGS__)
#define PICK_TEXT(random, ...)	PICK_AS(char *const, random, __VA_ARGS__)

/* print.c */
__attribute__((format(printf, 1, 2))) void print(const char *format, ...);
const char *error_name(int error);
int print_result(long result);
void print_number(long result);
void print_quoted(const char *text, size_t length);
void print_ns_id(uint64_t id);
void print_ns(int fd);

/* normalize.c */
void forget_namespaces(void);
void normalize_text(char *line, size_t size);

/* processes.c */
int wait_readable(int fd);
void short_sleep(void);
int wait_gone(int pidfd);
long start(uint64_t flags, int exit_signal, int *pidfd, void (*function)(void *), void *data);
__attribute__((noreturn)) void exit_task(void);
void idle(void *data);
void execute_self(const char *how, unsigned int slot);

/* workers.c */
void perform(void);
int send_fd(int channel, int fd);
int receive_fd(int channel, int *fd);
void reply(unsigned int slot);
void worker(unsigned int slot);
void worker_entry(void *data);

/* coordinator.c */
__attribute__((noreturn, format(printf, 1, 2))) void fatal(const char *format, ...);
void prepare_coordinator(void);
void run_sequence(uint64_t seed, unsigned int sequence, const unsigned int *numbers,
		  unsigned int count, bool verbose);
void print_counts(void);

/* clocks.c */
typedef int (*clock_reader)(clockid_t clock, struct timespec *now);
int64_t read_clock(clock_reader read, clockid_t clock);
int64_t coarse_offset(clock_reader read);

/* namespaces.c, offsets.c, credentials.c: parts that other operations share */
void print_links(const char *dir);
void read_offsets(int fd, uint64_t *random);
int drop_capabilities(uint64_t dropped);

/* The operations, for the table in operations.c. */
void do_unshare(uint64_t *random);
void do_setns(uint64_t *random);
void do_setns_pidfd(uint64_t *random);
void do_spawn(uint64_t *random);
void do_open(uint64_t *random);
void do_write_open(uint64_t *random);
void do_write(uint64_t *random);
void do_read_open(uint64_t *random);
void do_read(uint64_t *random);
void do_open_ns(uint64_t *random);
void do_links(uint64_t *random);
void do_nsfs(uint64_t *random);
void do_handle(uint64_t *random);
void do_open_handle(uint64_t *random);
void do_listns(uint64_t *random);
void do_pidfd_ns(uint64_t *random);
void do_clocks(uint64_t *random);
void do_timer(uint64_t *random);
void do_sleep(uint64_t *random);
void do_uptime(uint64_t *random);
void do_limit(uint64_t *random);
void do_caps(uint64_t *random);
void do_uid(uint64_t *random);
void do_userns(uint64_t *random);
void do_zombie(uint64_t *random);
void do_stat(uint64_t *random);

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes every allocation of every operation on time namespaces fail once, and checks the result.
 *
 * For each operation, the program forks a child that prepares it, writes a number to
 * /proc/thread-self/fail-nth, and performs the operation: with 1, 2, 3 and so on until it succeeds
 * without a fault. After a failure nothing may be left half done. Links, offsets and clocks are
 * those from before the operation or those after its success, and the task can still use time
 * namespaces. At the end the numbers of namespaces, slab objects and charged pages must be those
 * from the start.
 *
 * All operations run once, and then TIMENS_FAULTS_ROUNDS times between the two counts of objects
 * and pages, repeatedly if the counts differ. With 0 rounds objects and pages are not counted, and
 * no network namespace is made. That is for a kernel with KASAN, which allocates for itself,
 * reports leaks itself, and needs a second for each fault.
 *
 * Prints KTAP. Needs the kernel of harness/configs/faults.config.
 *
 *   main.c         set-up, and the order of the tests
 *   operations.c   the operations and their table
 *   prepare.c      the state before an operation
 *   verify.c       the state after it
 *   checks.c       parts of that state
 *   sweep.c        faults, and the results of each operation
 *   limits.c       counts of namespaces
 *   leaks.c        slab objects and charged pages
 *   charges.c      a memory cgroup that has no memory for the next namespace
 *   print.c        the results
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "timens.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define CGROUPS		"/sys/fs/cgroup/"
#define USER_NS		"/proc/self/ns/user"

#define NO_OFFSETS	"monotonic           0         0\nboottime            0         0\n"
#define OFFSETS		"monotonic     1000000         0\nboottime      2000000         0\n"
#define OTHER_OFFSETS	"monotonic     3000000         5\nboottime      4000000         7\n"

#define PAGE		4096

/* Exit status of a new program that meets the fault before it can write its result. */
#define MET_FAULT	3

/* Descriptors that stay open over exec. */
#define RESULT_FD	100
#define FAIL_NTH_FD	101

/* The result of one operation, in memory that the child and its parent share. */
struct result {
	bool done;
	bool injected;
	/* The child of the operation was killed by the fault. */
	bool died;
	int error;
	/* The first check that failed. */
	char failure[256];
};

#define MAX_OTHERS	2
#define NR_OPERATIONS	23

struct operation {
	const char *name;
	void (*prepare)(void);
	int (*operate)(void);
	void (*verify)(int failed);
	/* Errors besides ENOMEM. Each must occur, unless the operation runs only once. */
	int others[MAX_OTHERS];
	/* Past exec's point of no return the fault kills the task, or hits its new program. */
	bool may_die;
	/* Runs once: it has many allocations, most of them outside time namespaces. */
	bool once;
	/* Allocations outside time namespaces may fail with other errors. */
	bool any_error;
	/* A child performs it, and arms the fault for itself. */
	bool by_child;
};

/* The results of all runs of one operation. */
struct counts {
	unsigned int injected, succeeded, enomem, others[MAX_OTHERS], unlisted, died;
	char failure[512];
};

extern const struct operation operations[NR_OPERATIONS];

/* The state of the child that performs an operation. */
extern struct result *result;
extern const char *self;
extern int offsets_fd, namespace_fd, pidfd;
extern pid_t helper;
extern ino_t own, children, owner;
/* The allocation that fails. */
extern unsigned int fault;

/* How often all operations run between the two counts; 0: they are not counted. */
extern unsigned int rounds;

/* print.c */
extern unsigned int number, failures;
void print_test(bool passed, const char *name, const char *format, ...);
void record_failure(const char *format, ...);

/* checks.c */
ino_t inode(const char *path);
void read_offsets(int fd, char *text, size_t size);
int write_offsets(int fd, const char *text);
void check_clocks(const char *offsets);
void check_offsets(const char *expected);
void check_links(const char *when);
void check_child(const char *offsets);
void check_still_usable(void);
void remember_namespaces(void);

/* prepare.c */
void prepare_nothing(void);
void prepare_namespace(void);
void prepare_offsets(void);
void prepare_descriptor(void);
void prepare_helper(void);
void prepare_user(void);

/* operations.c */
int do_unshare(void);
int do_write_monotonic(void);
int do_write_boottime(void);
int do_write_both(void);
int do_write_others(void);
int do_write_zeroes(void);
bool met_fault(int status);

/* verify.c */
void verify_unshare(int failed);
void verify_unshare_user(int failed);
void verify_copy(int failed);
void verify_write_monotonic(int failed);
void verify_write_boottime(int failed);
void verify_write_both(int failed);
void verify_write_others(int failed);
void verify_write_zeroes(int failed);
void verify_same(int failed);
void verify_fork(int failed);
void verify_setns(int failed);
void verify_nothing(int failed);

/* sweep.c */
void arm(unsigned int nth);
bool disarm(void);
void open_fail_nth(void);
int after_exec(const char *namespace);
void sweep_all(struct counts *counts);
void print_operation(const struct operation *operation, const struct counts *counts);

/* limits.c, leaks.c, charges.c */
void check_limit(const char *when);
void check_page_visible(void);
void check_leaks(struct counts *counts);
void enter(const char *cgroup);
void check_charges(void);

#endif

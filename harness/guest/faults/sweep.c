// SPDX-License-Identifier: GPL-2.0
/* Injects the faults, and counts the results. */
#include "faults.h"

#define MAX_NTH		3000

void arm(unsigned int nth)
{
	char text[16];
	int length = sprintf(text, "%u", nth);

	if (pwrite(FAIL_NTH_FD, text, length, 0) != length)
		error(2, errno, "cannot write fail-nth");
}

/* Returns whether a fault was injected. */
bool disarm(void)
{
	char text[16] = "";

	if (pread(FAIL_NTH_FD, text, sizeof(text) - 1, 0) <= 0)
		error(2, errno, "cannot read fail-nth");
	arm(0);
	return !atoi(text);
}

/* Opens the file of this task. After fork it would still be the file of the parent. */
void open_fail_nth(void)
{
	int fd = must(open("/proc/thread-self/fail-nth", O_RDWR), "open fail-nth");

	must(dup2(fd, FAIL_NTH_FD), "dup2");
	close(fd);
	/* Faults in the page of the result, so that its allocation does not get the fault. */
	result->error = 0;
}

/* In the child: performs the operation with its nth allocation failing. */
static void operate(const struct operation *operation, unsigned int nth)
{
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
	operation->prepare();
	remember_namespaces();
	fault = nth;
	if (operation->by_child) {
		result->error = operation->operate();
	} else {
		open_fail_nth();
		arm(nth);
		result->error = operation->operate();
		result->injected = disarm();
	}

	operation->verify(result->error);
	if (helper) {
		kill(helper, SIGKILL);
		wait_for(helper);
	}
	if (!*result->failure)
		check_still_usable();
	result->done = true;
	_exit(0);
}

/* The program that do_exec() executes. */
int after_exec(const char *namespace)
{
	result->injected = disarm();
	if (inode(OWN_NS) != strtoull(namespace, NULL, 10) || inode(CHILDREN_NS) != inode(OWN_NS))
		record_failure("the task is not in its namespace after exec");
	check_clocks(OFFSETS);
	check_still_usable();
	result->done = true;
	return 0;
}

/* The index of an error besides ENOMEM, or MAX_OTHERS. */
static unsigned int other_error(const struct operation *operation, int failed)
{
	unsigned int other;

	for (other = 0; other < MAX_OTHERS && operation->others[other] != failed; other++)
		;
	return other;
}

/* Counts the result. Returns whether it was the last one: no fault was injected. */
static bool count_result(const struct operation *operation, unsigned int nth, int status,
			 struct counts *counts)
{
	const char *failure = result->failure;
	unsigned int other;
	char text[64];

	if (!result->done) {
		if (WIFSIGNALED(status))
			sprintf(text, "died of signal %d", WTERMSIG(status));
		else
			sprintf(text, "exited with %d", WEXITSTATUS(status));
		if (operation->may_die && met_fault(status) && !*failure) {
			/* Only the fault kills it. */
			result->injected = true;
			counts->died++;
		} else if (!*failure) {
			failure = text;
		}
	} else if (result->died) {
		counts->died++;
	} else if (!result->error) {
		counts->succeeded += result->injected;
	} else if (result->error == ENOMEM) {
		counts->enomem++;
	} else if ((other = other_error(operation, result->error)) < MAX_OTHERS) {
		counts->others[other]++;
	} else if (operation->any_error && result->injected) {
		counts->unlisted++;
	} else if (!*failure) {
		sprintf(text, "failed with %s", strerrorname_np(result->error));
		failure = text;
	}
	if (result->done && result->error && !result->injected && !*failure)
		failure = "failed without a fault";
	counts->injected += result->injected;
	if (*failure && !*counts->failure)
		snprintf(counts->failure, sizeof(counts->failure), "allocation %u: %s", nth,
			 failure);
	return !result->injected || *failure;
}

/* Makes each allocation of one operation fail. */
static void sweep(const struct operation *operation, struct counts *counts)
{
	unsigned int nth;

	for (nth = 1; nth <= MAX_NTH; nth++) {
		pid_t pid;

		memset(result, 0, sizeof(*result));
		pid = must(fork(), "fork");
		if (!pid)
			operate(operation, nth);
		if (count_result(operation, nth, wait_for(pid), counts))
			return;
	}
	snprintf(counts->failure, sizeof(counts->failure), "no end after %u faults", MAX_NTH);
}

/* Takes as long as all others together, and allocates mostly outside time namespaces. */
static bool is_skipped(const struct operation *operation)
{
	return operation->any_error && !rounds;
}

void sweep_all(struct counts *counts)
{
	size_t i;

	for (i = 0; i < NR_OPERATIONS; i++)
		if (!is_skipped(&operations[i]) && (!operations[i].once || !counts[i].injected))
			sweep(&operations[i], &counts[i]);
}

void print_operation(const struct operation *operation, const struct counts *counts)
{
	bool complete = counts->enomem;
	unsigned int i;

	if (is_skipped(operation)) {
		printf("ok %u %s # SKIP a network namespace takes more than 15 minutes on this kernel\n",
		       ++number, operation->name);
		return;
	}
	printf("# %s: %u faults: ENOMEM %u", operation->name, counts->injected, counts->enomem);
	for (i = 0; i < MAX_OTHERS && operation->others[i]; i++) {
		printf(", %s %u", strerrorname_np(operation->others[i]), counts->others[i]);
		complete &= operation->once || !rounds || counts->others[i];
	}
	if (operation->any_error)
		printf(", others %u", counts->unlisted);
	if (operation->may_die)
		printf(", died %u", counts->died);
	printf(", succeeded nevertheless %u\n", counts->succeeded);
	print_test(complete && !*counts->failure, operation->name, "%s",
		   *counts->failure ? counts->failure : "an expected error never occurred");
}

// SPDX-License-Identifier: GPL-2.0
/* Checks of the state after each operation. */
#include "faults.h"

void verify_unshare(int failed)
{
	if (failed) {
		check_links("although unshare failed");
		return;
	}
	if (inode(OWN_NS) != own)
		record_failure("the task itself changed its namespace");
	if (inode(CHILDREN_NS) == children)
		record_failure("there is no new namespace");
	offsets_fd = must(open(OFFSETS_FILE, O_RDWR), "open " OFFSETS_FILE);
	check_offsets(NO_OFFSETS);
}

void verify_unshare_user(int failed)
{
	verify_unshare(failed);
	if (!failed && inode(USER_NS) == owner)
		record_failure("there is no new user namespace");
}

void verify_copy(int failed)
{
	check_offsets(OFFSETS);
	if (failed)
		check_links("although unshare failed");
	else if (inode(CHILDREN_NS) == children)
		record_failure("there is no copy");
	check_child(OFFSETS);
}

/* Checks the offsets. After a failure, the write succeeds when it is repeated. */
static void verify_write(int failed, const char *before, const char *after, int (*operate)(void))
{
	check_links("by a write");
	check_offsets(failed ? before : after);
	if (failed && operate())
		record_failure("the repeated write fails");
	check_child(after);
	if (!failed && do_write_zeroes() != EACCES)
		record_failure("a write succeeds after the first child");
}

void verify_write_monotonic(int failed)
{
	verify_write(failed, NO_OFFSETS,
		     "monotonic     1000000         0\nboottime            0         0\n",
		     do_write_monotonic);
}

void verify_write_boottime(int failed)
{
	verify_write(failed, NO_OFFSETS,
		     "monotonic           0         0\nboottime      2000000         0\n",
		     do_write_boottime);
}

void verify_write_both(int failed)
{
	verify_write(failed, NO_OFFSETS, OFFSETS, do_write_both);
}

void verify_write_others(int failed)
{
	verify_write(failed, OFFSETS, OTHER_OFFSETS, do_write_others);
}

void verify_write_zeroes(int failed)
{
	verify_write(failed, OFFSETS, NO_OFFSETS, do_write_zeroes);
}

void verify_same(int failed)
{
	check_links(failed ? "although it failed" : "without a reason");
	check_offsets(OFFSETS);
}

void verify_fork(int failed)
{
	check_links(failed ? "although the child failed" : "by the child");
	check_offsets(OFFSETS);
	/* A child that failed late has frozen the offsets, as on the C kernel. */
	check_child(OFFSETS);
	check_clocks(NO_OFFSETS);
}

void verify_setns(int failed)
{
	if (failed) {
		check_links("although setns failed");
		check_clocks(NO_OFFSETS);
	} else {
		if (inode(OWN_NS) == own || inode(CHILDREN_NS) != inode(OWN_NS))
			record_failure("the task is not in the namespace");
		check_clocks(OFFSETS);
	}
}

void verify_nothing(int failed)
{
	check_links(failed ? "although it failed" : "by it");
	check_clocks(NO_OFFSETS);
}

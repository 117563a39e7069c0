// SPDX-License-Identifier: GPL-2.0
/*
 * Access by other tasks to the vDSO data pages of a task in a time namespace.
 *
 * The time namespace of the task that faults the pages in determines the pages of
 * the mapping [vvar]. So no other task may fault them in, by /proc/PID/mem,
 * process_vm_readv() or ptrace(): the target would get the offsets of the other
 * task's namespace. Other tasks may read a page that is present, and can write
 * none. After every attempt, the target reads the right time.
 */
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "timens_switch.h"

FIXTURE(vdso_remote) {
	struct switcher switcher;
	struct mapping vvar;
	int mem, to_target[2], from_target[2];
	pid_t target;
};

FIXTURE_VARIANT(vdso_remote) {
	int ns;		/* of the target */
};

FIXTURE_VARIANT_ADD(vdso_remote, host) { HOST };
FIXTURE_VARIANT_ADD(vdso_remote, zero) { ZERO };
FIXTURE_VARIANT_ADD(vdso_remote, ahead) { AHEAD };
FIXTURE_VARIANT_ADD(vdso_remote, behind) { BEHIND };

/* Reads the clocks once for every byte that it receives. */
static void __noreturn target(struct __test_metadata *_metadata,
			      FIXTURE_DATA(vdso_remote) *self, int ns)
{
	struct reads reads;
	char c;

	close(self->to_target[1]);
	join(_metadata, &self->switcher, ns);
	/* fork() has copied the mapping's page table entries. */
	ASSERT_EQ(0, madvise((void *)self->vvar.start, self->vvar.size, MADV_DONTNEED));
	ASSERT_EQ(1, write(self->from_target[1], "", 1));
	while (read(self->to_target[0], &c, 1) == 1) {
		reads = read_both(self->switcher.gettime64, 0);
		ASSERT_EQ(sizeof(reads), write(self->from_target[1], &reads, sizeof(reads)));
	}
	_exit(0);
}

FIXTURE_SETUP(vdso_remote)
{
	char path[64], c;

	if (!setup_switcher(_metadata, &self->switcher))
		return;
	if (!find_mapping("[vvar]", &self->vvar))
		SKIP(return, "the process has no mapping [vvar]");

	ASSERT_EQ(0, pipe(self->to_target));
	ASSERT_EQ(0, pipe(self->from_target));
	self->target = fork();
	ASSERT_LE(0, self->target);
	if (!self->target)
		target(_metadata, self, variant->ns);
	close(self->to_target[0]);
	close(self->from_target[1]);
	ASSERT_EQ(1, read(self->from_target[0], &c, 1));

	snprintf(path, sizeof(path), "/proc/%d/mem", self->target);
	self->mem = open(path, O_RDWR);
	ASSERT_LE(0, self->mem);
}

FIXTURE_TEARDOWN(vdso_remote)
{
	int status;

	/* The target exits at the end of its input. */
	close(self->to_target[1]);
	EXPECT_EQ(self->target, waitpid(self->target, &status, 0));
	EXPECT_EQ(0, status);
}

static void target_reads(struct __test_metadata *_metadata, FIXTURE_DATA(vdso_remote) *self,
			 int ns, const char *when)
{
	struct reads reads;

	ASSERT_EQ(1, write(self->to_target[1], "", 1));
	ASSERT_EQ(sizeof(reads), read(self->from_target[0], &reads, sizeof(reads)));
	chain_reads(_metadata, &self->switcher, &reads, ns, when);
}

static void stop(struct __test_metadata *_metadata, pid_t pid)
{
	int status;

	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
}

TEST_F(vdso_remote, absent_pages_cannot_be_read)
{
	const long page = sysconf(_SC_PAGESIZE);
	unsigned long address, end = self->vvar.start + self->vvar.size;
	long value;
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { NULL, sizeof(value) };

	stop(_metadata, self->target);
	for (address = self->vvar.start; address < end; address += page) {
		remote.iov_base = (void *)address;
		EXPECT_EQ(-1, pread64(self->mem, &value, sizeof(value), address));
		EXPECT_EQ(EIO, errno);
		EXPECT_EQ(-1, process_vm_readv(self->target, &local, 1, &remote, 1, 0));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, ptrace(PTRACE_PEEKDATA, self->target, address, NULL));
		EXPECT_EQ(EIO, errno);
	}
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->target, NULL, NULL));
	target_reads(_metadata, self, variant->ns, "after remote reads");
}

/* Only the first page: the kernel may leave the second one absent. */
TEST_F(vdso_remote, present_page_can_be_read)
{
	unsigned long address = self->vvar.start;
	long value;
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { (void *)address, sizeof(value) };

	target_reads(_metadata, self, variant->ns, "before remote reads");
	stop(_metadata, self->target);
	EXPECT_EQ(sizeof(value), pread64(self->mem, &value, sizeof(value), address));
	EXPECT_EQ(sizeof(value),
		  process_vm_readv(self->target, &local, 1, &remote, 1, 0));
	errno = 0;
	ptrace(PTRACE_PEEKDATA, self->target, address, NULL);
	EXPECT_EQ(0, errno);
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->target, NULL, NULL));
	target_reads(_metadata, self, variant->ns, "after remote reads");
}

TEST_F(vdso_remote, pages_cannot_be_written)
{
	const long page = sysconf(_SC_PAGESIZE);
	unsigned long address, end = self->vvar.start + self->vvar.size;
	long value = 0;
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { NULL, sizeof(value) };
	int again;

	/* The pages are absent first, and present the second time. */
	for (again = 0; again <= 1; again++) {
		stop(_metadata, self->target);
		for (address = self->vvar.start; address < end; address += page) {
			remote.iov_base = (void *)address;
			EXPECT_EQ(-1, pwrite64(self->mem, &value, sizeof(value), address));
			EXPECT_EQ(EIO, errno);
			EXPECT_EQ(-1, process_vm_writev(self->target, &local, 1,
							&remote, 1, 0));
			EXPECT_EQ(EFAULT, errno);
			EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, self->target, address, 0));
			EXPECT_EQ(EIO, errno);
		}
		ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->target, NULL, NULL));
		target_reads(_metadata, self, variant->ns, "after remote writes");
	}
}

TEST_HARNESS_MAIN

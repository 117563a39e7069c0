// SPDX-License-Identifier: GPL-2.0
/*
 * The vDSO data pages of a task in a time namespace, seen by other tasks.
 *
 * Which pages belong into the mapping [vvar] depends on the time namespace of
 * the task that brings them in. So no other task may do that, by /proc/PID/mem,
 * process_vm_readv() or ptrace(): it would leave its own namespace's offsets to
 * the victim. A page that is there already may be looked at, and none can be
 * written. Whatever was tried, the victim reads the right time.
 */
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "timens_switch.h"

FIXTURE(vdso_remote) {
	struct switcher switcher;
	struct mapping vvar;
	int mem, to_victim[2], from_victim[2];
	pid_t victim;
};

FIXTURE_VARIANT(vdso_remote) {
	int ns;		/* of the victim */
};

FIXTURE_VARIANT_ADD(vdso_remote, host) { HOST };
FIXTURE_VARIANT_ADD(vdso_remote, zero) { ZERO };
FIXTURE_VARIANT_ADD(vdso_remote, ahead) { AHEAD };
FIXTURE_VARIANT_ADD(vdso_remote, behind) { BEHIND };

/* Reads the clocks once for every byte that comes in. */
static void __noreturn victim(struct __test_metadata *_metadata,
			      FIXTURE_DATA(vdso_remote) *self, int ns)
{
	struct reads reads;
	char c;

	close(self->to_victim[1]);
	join(_metadata, &self->switcher, ns);
	/* The mapping's pages came along with fork(). */
	ASSERT_EQ(0, madvise((void *)self->vvar.start, self->vvar.size, MADV_DONTNEED));
	ASSERT_EQ(1, write(self->from_victim[1], "", 1));
	while (read(self->to_victim[0], &c, 1) == 1) {
		reads = read_both(self->switcher.gettime64, 0);
		ASSERT_EQ(sizeof(reads), write(self->from_victim[1], &reads, sizeof(reads)));
	}
	_exit(0);
}

FIXTURE_SETUP(vdso_remote)
{
	char path[64], c;

	if (!setup_switcher(_metadata, &self->switcher))
		return;
	if (!find_mapping("[vvar]", &self->vvar))
		SKIP(return, "there is no mapping [vvar]");

	ASSERT_EQ(0, pipe(self->to_victim));
	ASSERT_EQ(0, pipe(self->from_victim));
	self->victim = fork();
	ASSERT_LE(0, self->victim);
	if (!self->victim)
		victim(_metadata, self, variant->ns);
	close(self->to_victim[0]);
	close(self->from_victim[1]);
	ASSERT_EQ(1, read(self->from_victim[0], &c, 1));

	snprintf(path, sizeof(path), "/proc/%d/mem", self->victim);
	self->mem = open(path, O_RDWR);
	ASSERT_LE(0, self->mem);
}

FIXTURE_TEARDOWN(vdso_remote)
{
	int status;

	/* The end of its input ends the victim. */
	close(self->to_victim[1]);
	EXPECT_EQ(self->victim, waitpid(self->victim, &status, 0));
	EXPECT_EQ(0, status);
}

static void victim_reads(struct __test_metadata *_metadata, FIXTURE_DATA(vdso_remote) *self,
			 int ns, const char *what)
{
	struct reads reads;

	ASSERT_EQ(1, write(self->to_victim[1], "", 1));
	ASSERT_EQ(sizeof(reads), read(self->from_victim[0], &reads, sizeof(reads)));
	chain_reads(_metadata, &self->switcher, &reads, ns, what);
}

static void stop(struct __test_metadata *_metadata, pid_t pid)
{
	int status;

	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
}

TEST_F(vdso_remote, absent)
{
	const long page = sysconf(_SC_PAGESIZE);
	unsigned long address, end = self->vvar.start + self->vvar.size;
	long value;
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { NULL, sizeof(value) };

	stop(_metadata, self->victim);
	for (address = self->vvar.start; address < end; address += page) {
		remote.iov_base = (void *)address;
		EXPECT_EQ(-1, pread64(self->mem, &value, sizeof(value), address));
		EXPECT_EQ(EIO, errno);
		EXPECT_EQ(-1, process_vm_readv(self->victim, &local, 1, &remote, 1, 0));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, ptrace(PTRACE_PEEKDATA, self->victim, address, NULL));
		EXPECT_EQ(EIO, errno);
	}
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->victim, NULL, NULL));
	victim_reads(_metadata, self, variant->ns, "after remote reads");
}

/* The second page is there or not, as the kernel likes. */
TEST_F(vdso_remote, present)
{
	unsigned long address = self->vvar.start;
	long value;
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { (void *)address, sizeof(value) };

	victim_reads(_metadata, self, variant->ns, "before remote reads");
	stop(_metadata, self->victim);
	EXPECT_EQ(sizeof(value), pread64(self->mem, &value, sizeof(value), address));
	EXPECT_EQ(sizeof(value),
		  process_vm_readv(self->victim, &local, 1, &remote, 1, 0));
	errno = 0;
	ptrace(PTRACE_PEEKDATA, self->victim, address, NULL);
	EXPECT_EQ(0, errno);
	ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->victim, NULL, NULL));
	victim_reads(_metadata, self, variant->ns, "after remote reads");
}

TEST_F(vdso_remote, write)
{
	const long page = sysconf(_SC_PAGESIZE);
	unsigned long address, end = self->vvar.start + self->vvar.size;
	long value = 0;
	struct iovec local = { &value, sizeof(value) };
	struct iovec remote = { NULL, sizeof(value) };
	int again;

	/* First with absent pages, then with present ones */
	for (again = 0; again <= 1; again++) {
		stop(_metadata, self->victim);
		for (address = self->vvar.start; address < end; address += page) {
			remote.iov_base = (void *)address;
			EXPECT_EQ(-1, pwrite64(self->mem, &value, sizeof(value), address));
			EXPECT_EQ(EIO, errno);
			EXPECT_EQ(-1, process_vm_writev(self->victim, &local, 1,
							&remote, 1, 0));
			EXPECT_EQ(EFAULT, errno);
			EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, self->victim, address, 0));
			EXPECT_EQ(EIO, errno);
		}
		ASSERT_EQ(0, ptrace(PTRACE_DETACH, self->victim, NULL, NULL));
		victim_reads(_metadata, self, variant->ns, "after remote writes");
	}
}

TEST_HARNESS_MAIN

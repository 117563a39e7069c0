// SPDX-License-Identifier: GPL-2.0
/*
 * The contents and the visibility of the page that has a time namespace's offsets
 * for the vDSO.
 *
 * It is one of the first two pages of the mapping [vvar]. It contains the offsets,
 * perhaps a mark of such a page, and nothing else: no data of the memory's former
 * user. Tasks outside the namespace never see it. A task that holds the page sees
 * no change, even when the namespace is gone and others were created. No task can
 * write to the page.
 */
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "timens_vdso.h"

/* The mark: an odd seq, and VDSO_CLOCKMODE_TIMENS as clock_mode */
#define TIMENS_MARK	((__u64)INT_MAX << 32 | 1)

#define NR_PAGES	2
#define DIRTY_SIZE	(64 << 20)
#define DIRTY_BYTE	0xa5
#define PIPE_SIZE	65536	/* default capacity of a pipe */

struct pages { __u64 words[NR_PAGES][512]; };

FIXTURE(vdso_page) {
	struct mapping vvar;
	long page;
	int host_fd;
};

FIXTURE_SETUP(vdso_page)
{
	if (!vdso_found(_metadata) || !timens_supported(_metadata))
		return;
	self->page = sysconf(_SC_PAGESIZE);
	if (self->page != sizeof(((struct pages *)0)->words[0]))
		SKIP(return, "the page size is not 4096 bytes");
	if (!find_mapping("[vvar]", &self->vvar))
		SKIP(return, "the process has no mapping [vvar]");
	self->host_fd = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->host_fd);
}

FIXTURE_TEARDOWN(vdso_page)
{
}

/* The clock data changes all the time, so only the page with the offsets can be compared. */
static void get_pages(const FIXTURE_DATA(vdso_page) *self, struct pages *pages)
{
	memcpy(pages, (void *)self->vvar.start, sizeof(*pages));
}

static bool is_offset(const struct time_offsets *offsets, __u64 word)
{
	return word == (__u64)offsets->monotonic.sec || word == (__u64)offsets->monotonic.nsec ||
	       word == (__u64)offsets->boottime.sec || word == (__u64)offsets->boottime.nsec;
}

static bool has_offsets(const struct time_offsets *offsets, const __u64 *words)
{
	unsigned int i;

	for (i = 0; i < 512; i++) {
		if (words[i] == (__u64)offsets->monotonic.sec)
			return true;
	}
	return false;
}

/* Counts the words that neither are offsets nor mark the page. */
static unsigned int count_other_words(const struct time_offsets *offsets, const __u64 *words)
{
	unsigned int i, others = 0;

	for (i = 0; i < 512; i++)
		others += words[i] && words[i] != TIMENS_MARK && !is_offset(offsets, words[i]);
	return others;
}

/* Fills memory with data and frees it. */
static void dirty_free_memory(struct __test_metadata *_metadata)
{
	void *memory = mmap(NULL, DIRTY_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, memory);
	memset(memory, DIRTY_BYTE, DIRTY_SIZE);
	ASSERT_EQ(0, munmap(memory, DIRTY_SIZE));
}

/* Does the same with the kernel's memory, from which it then allocates pages for offsets. */
static void dirty_free_pages(struct __test_metadata *_metadata)
{
	static char bytes[PIPE_SIZE];
	int fds[2];

	memset(bytes, DIRTY_BYTE, sizeof(bytes));
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(sizeof(bytes), write(fds[1], bytes, sizeof(bytes)));
	close(fds[0]);
	close(fds[1]);
}

static struct time_offsets offsets_of_round(unsigned int round)
{
	return (struct time_offsets) {
		{ 1000000 + round, 123456000 + round }, { 2000000 + round, 987654000 + round },
	};
}

static void enter_new(struct __test_metadata *_metadata, const struct time_offsets *offsets)
{
	int fd = create_timens(offsets);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, setns(fd, CLONE_NEWTIME));
	close(fd);
}

/* The default of 30 seconds is too short for kernels with debugging options. */
TEST_F_TIMEOUT(vdso_page, page_has_offsets_and_nothing_else, 300)
{
	const struct time_offsets none = {};
	struct pages pages;
	unsigned int round, i, found;

	for (round = 0; round < 500; round++) {
		const struct time_offsets offsets = offsets_of_round(round);

		dirty_free_pages(_metadata);
		enter_new(_metadata, &offsets);
		get_pages(self, &pages);
		for (found = i = 0; i < NR_PAGES; i++) {
			if (!has_offsets(&offsets, pages.words[i]))
				continue;
			found++;
			ASSERT_EQ(0, count_other_words(&offsets, pages.words[i]));
		}
		ASSERT_EQ(1, found);
		ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));
	}
	/* Zero offsets, in a namespace that never had others and in one that had */
	for (round = 0; round < 2; round++) {
		ASSERT_EQ(0, unshare(CLONE_NEWTIME));
		if (round) {
			const struct time_offsets offsets = offsets_of_round(round);
			int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);

			ASSERT_EQ(0, write_offsets(fd, &offsets));
			ASSERT_EQ(0, write_offsets(fd, &none));
			close(fd);
		}
		ASSERT_EQ(0, setns(open("/proc/self/ns/time_for_children", O_RDONLY),
				   CLONE_NEWTIME));
		get_pages(self, &pages);
		found = 0;
		for (i = 0; i < NR_PAGES; i++)
			found += count_other_words(&none, pages.words[i]) == 0;
		EXPECT_EQ(1, found);
		ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));
	}
}

/* Also a task that has left the namespace doesn't see it. */
TEST_F(vdso_page, page_is_not_seen_outside)
{
	struct pages pages;
	unsigned int round, i;
	int go[2], status;
	char byte;
	pid_t pid;

	for (round = 0; round < 20; round++) {
		const struct time_offsets offsets = offsets_of_round(round);
		const struct time_offsets others = offsets_of_round(round + 1000);

		ASSERT_EQ(0, pipe(go));
		enter_new(_metadata, &offsets);
		/* This child stays in the namespace. */
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			close(go[1]);
			get_pages(self, &pages);
			_exit(read(go[0], &byte, 1));
		}
		ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));
		get_pages(self, &pages);
		for (i = 0; i < NR_PAGES; i++)
			EXPECT_FALSE(has_offsets(&offsets, pages.words[i]));
		EXPECT_EQ(0, count_other_words(&(struct time_offsets) {}, pages.words[1]));

		enter_new(_metadata, &others);
		get_pages(self, &pages);
		for (i = 0; i < NR_PAGES; i++)
			EXPECT_FALSE(has_offsets(&offsets, pages.words[i]));
		ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));
		close(go[0]);
		close(go[1]);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status);
	}
}

/* The pipe holds the page after the namespace is gone. The kernel must not reuse it. */
TEST_F(vdso_page, page_in_a_pipe_does_not_change)
{
	const struct time_offsets offsets = offsets_of_round(0);
	struct pages before, after;
	struct iovec iov;
	unsigned int round, i;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	enter_new(_metadata, &offsets);
	get_pages(self, &before);
	for (i = 0; i < NR_PAGES; i++) {
		iov = (struct iovec) { (void *)self->vvar.start + i * self->page, self->page };
		if (vmsplice(fds[1], &iov, 1, 0) != self->page)
			SKIP(return, "vmsplice() of [vvar] fails: %s",
			     strerror(errno));
	}
	/* The pipe must not append this byte to one of the pages. */
	ASSERT_EQ(1, write(fds[1], "x", 1));
	ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));

	for (round = 1; round < 200; round++) {
		const struct time_offsets others = offsets_of_round(round);

		enter_new(_metadata, &others);
		get_pages(self, &after);
		ASSERT_EQ(0, setns(self->host_fd, CLONE_NEWTIME));
	}
	dirty_free_memory(_metadata);
	ASSERT_EQ(sizeof(after), read(fds[0], &after, sizeof(after)));
	for (i = 0; i < NR_PAGES; i++) {
		if (!has_offsets(&offsets, before.words[i]))
			continue;
		EXPECT_EQ(0, memcmp(before.words[i], after.words[i], self->page));
	}
}

/* A task has several ways to write to its own memory. All of them must fail. */
TEST_F(vdso_page, page_cannot_be_written)
{
	const struct time_offsets offsets = offsets_of_round(0);
	struct pages before, after;
	int mem, zero, status, present;
	__u64 value = 0;
	unsigned int i;
	pid_t pid;

	enter_new(_metadata, &offsets);
	mem = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, mem);
	zero = open("/dev/zero", O_RDONLY);
	ASSERT_LE(0, zero);
	get_pages(self, &before);
	for (present = 0; present <= 1; present++) {
		for (i = 0; i < NR_PAGES; i++) {
			void *address = (void *)self->vvar.start + i * self->page;
			struct iovec local = { &value, sizeof(value) };
			struct iovec remote = { address, sizeof(value) };

			if (!present)
				madvise((void *)self->vvar.start, NR_PAGES * self->page,
					MADV_DONTNEED);
			EXPECT_EQ(-1, pwrite(mem, &value, sizeof(value), (unsigned long)address));
			EXPECT_EQ(EIO, errno);
			EXPECT_EQ(-1, process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
			EXPECT_EQ(EFAULT, errno);
			EXPECT_EQ(-1, read(zero, address, sizeof(value)));
			EXPECT_EQ(EFAULT, errno);
			EXPECT_EQ(-1, syscall(SYS_futex, &status, FUTEX_WAKE_OP, 0, 0, address,
					      FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)));
			EXPECT_EQ(EFAULT, errno);
			pid = fork();
			ASSERT_LE(0, pid);
			if (!pid) {
				/* A store kills the task. */
				*(volatile __u64 *)address = 0;
				_exit(0);
			}
			ASSERT_EQ(pid, waitpid(pid, &status, 0));
			EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
			(void)*(volatile char *)address;
		}
	}
	EXPECT_EQ(-1, mprotect((void *)self->vvar.start, self->vvar.size,
			       PROT_READ | PROT_WRITE));
	EXPECT_TRUE(errno == EACCES || errno == EPERM);
	EXPECT_EQ(-1, mprotect((void *)self->vvar.start, self->vvar.size,
			       PROT_READ | PROT_WRITE | PROT_EXEC));
	EXPECT_TRUE(errno == EACCES || errno == EPERM);

	get_pages(self, &after);
	for (i = 0; i < NR_PAGES; i++) {
		if (has_offsets(&offsets, before.words[i]))
			EXPECT_EQ(0, memcmp(before.words[i], after.words[i], self->page));
	}
	EXPECT_LE(offsets.monotonic.sec * NSEC_PER_SEC, read_syscall(CLOCK_MONOTONIC));
}

TEST_HARNESS_MAIN

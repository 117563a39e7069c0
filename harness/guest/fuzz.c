// SPDX-License-Identifier: GPL-2.0
/*
 * Uses time namespaces at random, and says what came of it.
 *
 * A sequence is a number of operations that follow from a seed alone: each is drawn from the seed,
 * the sequence's number and its own, so that leaving one out changes no other. Processes and
 * namespaces are named by small numbers and times by their relation to the host's clocks: on two
 * kernels that behave the same the text is the same.
 *
 * One process, the director, draws the operations and has workers carry them out, in up to four
 * slots. What one of them opens goes on a shelf of the director, from which others get it. Only one
 * process works at a time; request and reply lie in memory that all of them share.
 *
 * REQUESTS has what to do:
 *
 *   hash SEED SEQUENCE LENGTH          runs one sequence; prints a hash after each operation
 *   list SEED SEQUENCE OPERATION...    runs these operations of one sequence; prints the text
 */
#define _GNU_SOURCE
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUESTS	"/requests"
#define LIMIT_FILE	"/proc/sys/user/max_time_namespaces"
#define LIMIT		1000

#define NSEC_PER_SEC	INT64_C(1000000000)
#define NSEC_PER_MSEC	INT64_C(1000000)
#define KTIME_SEC_MAX	(INT64_MAX / NSEC_PER_SEC)

#define NR_SLOTS	4
#define NR_SHELVES	6
#define NR_HANDLES	4
#define MAX_LENGTH	4096
#define MAX_IDS		512
#define PAGE		4096

/* The descriptors that every worker has, also after exec. */
#define SHARED_FD	100
#define CHANNEL_FD(slot)	(101 + (slot))

/* Nothing takes as long, on whatever machine. */
#define PATIENCE_MS	30000

/* What the C library's headers may be too old for. */
#define NR_listns	470
#define NSIO		0xb7
#define NS_GET_USERNS	_IO(NSIO, 0x1)
#define NS_GET_PARENT	_IO(NSIO, 0x2)
#define NS_GET_NSTYPE	_IO(NSIO, 0x3)
#define NS_GET_OWNER_UID	_IO(NSIO, 0x4)
#define NS_GET_MNTNS_ID	_IOR(NSIO, 5, uint64_t)
#define NS_GET_TGID_IN_PIDNS	_IOR(NSIO, 9, int)
#define NS_GET_ID	_IOR(NSIO, 13, uint64_t)
#define NS_INIT_IDS	8
#define PIDFD_GET_TIME_NAMESPACE	_IO(0xff, 7)
#define PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE	_IO(0xff, 8)
#define PIDFD_GET_USER_NAMESPACE	_IO(0xff, 9)
#define FILEID_NSFS	0xf1
#define LISTNS_CURRENT_USER	UINT64_MAX

struct ns_id_req {
	uint32_t size;
	uint32_t spare;
	uint64_t ns_id;
	uint32_t ns_type;
	uint32_t spare2;
	uint64_t user_ns_id;
};

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

/* What a request's descriptor is, and where the one goes that comes back. */
enum shelf { SHELF_NONE, SHELF_NS, SHELF_FILE, SHELF_PIDFD };

static const struct {
	const char *name;
	unsigned int weight;
	enum shelf takes, gives;
	/* Whether it may be done in a thread or child of the worker's. */
	bool anywhere;
} kinds[NR_KINDS] = {
	[OP_UNSHARE]	 = { "unshare",		10, .anywhere = true },
	[OP_SETNS]	 = { "setns",		8, SHELF_NS, .anywhere = true },
	[OP_SETNS_PIDFD] = { "setns-pidfd",	5, SHELF_PIDFD, .anywhere = true },
	[OP_SPAWN]	 = { "spawn",		4 },
	[OP_KILL]	 = { "kill",		3 },
	[OP_EXEC]	 = { "exec",		2 },
	[OP_OPEN]	 = { "open",		5, .gives = SHELF_FILE, .anywhere = true },
	[OP_WRITE_OPEN]	 = { "write-open",	8, SHELF_FILE, .anywhere = true },
	[OP_WRITE]	 = { "write",		14, .anywhere = true },
	[OP_READ_OPEN]	 = { "read-open",	4, SHELF_FILE, .anywhere = true },
	[OP_READ]	 = { "read",		6, .anywhere = true },
	[OP_OPEN_NS]	 = { "open-ns",		7, .gives = SHELF_NS, .anywhere = true },
	[OP_LINKS]	 = { "links",		4, .anywhere = true },
	[OP_NSFS]	 = { "nsfs",		5, SHELF_NS, SHELF_NS, .anywhere = true },
	[OP_HANDLE]	 = { "handle",		3, SHELF_NS, .anywhere = true },
	[OP_OPEN_HANDLE] = { "open-handle",	3, .gives = SHELF_NS, .anywhere = true },
	[OP_LISTNS]	 = { "listns",		3, SHELF_NS, .anywhere = true },
	[OP_PIDFD_NS]	 = { "pidfd-ns",	3, SHELF_PIDFD, SHELF_NS, .anywhere = true },
	[OP_CLOCKS]	 = { "clocks",		10, .anywhere = true },
	[OP_TIMER]	 = { "timer",		4, .anywhere = true },
	[OP_SLEEP]	 = { "sleep",		3, .anywhere = true },
	[OP_UPTIME]	 = { "uptime",		2, .anywhere = true },
	[OP_LIMIT]	 = { "limit",		3, .anywhere = true },
	[OP_CAPS]	 = { "caps",		3 },
	[OP_UID]	 = { "uid",		1 },
	[OP_USERNS]	 = { "userns",		2, .anywhere = true },
	[OP_ZOMBIE]	 = { "zombie",		1 },
	[OP_STAT]	 = { "stat",		1, SHELF_NS, .anywhere = true },
};

#define THREAD	(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_FS | CLONE_FILES)

/* Which process of the worker's carries an operation out. */
static const struct context {
	const char *name;
	uint64_t flags;
	bool exec;
} contexts[] = {
	/* The worker itself, which has another thread meanwhile. */
#define IDLE_THREAD	0
	[IDLE_THREAD] = { "idle-thread", THREAD },
	{ "thread", THREAD },
	{ "vm", CLONE_VM },
	{ "vfork", CLONE_VM | CLONE_VFORK },
	{ "vfork-exec", CLONE_VM | CLONE_VFORK, .exec = true },
	{ "fork", 0 },
	{ "fork-exec", 0, .exec = true },
	{ "time", CLONE_NEWTIME },
	{ "time-exec", CLONE_NEWTIME, .exec = true },
	{ "time-vm", CLONE_NEWTIME | CLONE_VM },
	{ "time-vfork", CLONE_NEWTIME | CLONE_VM | CLONE_VFORK },
	{ "time-vfork-exec", CLONE_NEWTIME | CLONE_VM | CLONE_VFORK, .exec = true },
	{ "time-thread", CLONE_NEWTIME | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM },
	{ "time-user", CLONE_NEWTIME | CLONE_NEWUSER },
	{ "time-user-vm", CLONE_NEWTIME | CLONE_NEWUSER | CLONE_VM },
	{ "time-uts-pid", CLONE_NEWTIME | CLONE_NEWUTS | CLONE_NEWPID },
	{ "time-fs", CLONE_NEWTIME | CLONE_FS },
	{ "time-mnt-fs", CLONE_NEWTIME | CLONE_NEWNS | CLONE_FS },
	{ "time-ipc-sysvsem", CLONE_NEWTIME | CLONE_NEWIPC | CLONE_SYSVSEM },
};

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

struct operation {
	enum kind kind;
	const struct context *context;	/* null: the worker itself */
	unsigned int slot, other;
	/* What the rest is drawn from. */
	uint64_t random;
};

/* What all processes share. */
static struct shared {
	enum kind kind;
	int context;			/* -1: the worker itself */
	uint64_t random;
	int fd;				/* as the worker received it, or -1 */
	pid_t pid;			/* of the other worker */
	unsigned int other;
	int64_t behind, ahead;		/* offsets at the edges of what is allowed */
	int64_t monotonic, boottime;	/* the real time at which these clocks began */
	struct handle handle;

	int error;			/* of the operation's own system call */
	int result;			/* a descriptor, or -1 */
	size_t length;
	char text[8 * PAGE];
} *shared;

/* ------------------------------------------------------------------ small things */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static unsigned int draw(uint64_t *random, unsigned int below)
{
	*random = mix(*random);
	return (*random >> 32) % below;
}

#define PICK_AS(type, random, ...) ({					\
	static const type all[] = { __VA_ARGS__ };			\
	all[draw(random, ARRAY_SIZE(all))];				\
})
#define PICK(random, ...)	PICK_AS(int64_t, random, __VA_ARGS__)
#define PICK_TEXT(random, ...)	PICK_AS(char *const, random, __VA_ARGS__)

static __attribute__((format(printf, 1, 2))) void say(const char *format, ...)
{
	size_t room = sizeof(shared->text) - shared->length;
	va_list list;
	int length;

	va_start(list, format);
	length = vsnprintf(shared->text + shared->length, room, format, list);
	va_end(list);
	shared->length += (size_t)length < room ? (size_t)length : room - 1;
}

static const char *error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "ok";

	return name ? name : "unknown";
}

/* Says what a system call gave, if that is no more than whether it succeeded. */
static int say_result(long result)
{
	int error = result < 0 ? errno : 0;

	shared->error = error;
	say(" = %s", error_name(error));
	return error;
}

/* The same for one that gives a number. */
static void say_number(long result)
{
	if (result < 0) {
		say_result(result);
	} else {
		shared->error = 0;
		say(" = %ld", result);
	}
}

static bool is_digit(char c)
{
	return '0' <= c && c <= '9';
}

static void say_text(const char *text, size_t length)
{
	size_t i;

	say(" \"");
	/* Not within a number of 64 bits, which may be one that the director has a name for. */
	for (i = 0; i < length; i++) {
		if (i >= 120 || (i >= 100 && !(is_digit(text[i - 1]) && is_digit(text[i]))))
			break;
		if (text[i] == '\n')
			say("\\n");
		else if (text[i] == '\t')
			say("\\t");
		else if (text[i] < ' ')
			say("\\x%02x", text[i]);
		else
			say("%c", text[i]);
	}
	say(i < length ? "\"+%zu" : "\"", length - i);
}

/* The director puts the namespace's number in place of its id. */
static void say_id(uint64_t id)
{
	say(" {%016" PRIx64 "}", id);
}

static void say_ns(int fd)
{
	uint64_t id;

	if (ioctl(fd, NS_GET_ID, &id))
		say(" %s", error_name(errno));
	else
		say_id(id);
}

/* ------------------------------------------------------------------ processes */

static int wait_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, PATIENCE_MS) == 1 ? 0 : -1;
}

static void nap(void)
{
	syscall(SYS_nanosleep, &(struct timespec){ .tv_nsec = 20000 }, NULL);
}

/* Until the process or thread is gone, and with it all that it held. */
static int wait_gone(int pidfd)
{
	int i;

	if (wait_readable(pidfd))
		return -1;
	for (i = 0; i < 100000; i++) {
		if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) && errno == ESRCH)
			return 0;
		/* It is about to: all that is needed is a turn on the CPU. */
		if (i < 100)
			sched_yield();
		else
			nap();
	}
	return -1;
}

#define STACK_SIZE	(128 * 1024)

/* A child or thread that calls @function on a stack of its own. Gives its pid, or -1 and errno. */
static long start(uint64_t flags, int exit_signal, int *pidfd, void (*function)(void *), void *data)
{
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uintptr_t)pidfd,
		.exit_signal = flags & CLONE_THREAD ? 0 : exit_signal,
		.stack_size = STACK_SIZE,
	};
	void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	long ret;

	if (stack == MAP_FAILED)
		return -1;
	args.stack = (uintptr_t)stack;
	/* The child never returns, so that it needs nothing of this frame. */
	asm volatile("syscall\n\t"
		     "test %%rax, %%rax\n\t"
		     "jnz 1f\n\t"
		     "xor %%ebp, %%ebp\n\t"
		     "mov %[data], %%rdi\n\t"
		     "call *%[function]\n\t"
		     "hlt\n"
		     "1:"
		     : "=a" (ret)
		     : "a" (SYS_clone3), "D" (&args), "S" (sizeof(args)),
		       [function] "b" (function), [data] "r" (data)
		     : "rcx", "r11", "memory");
	if (ret < 0) {
		munmap(stack, STACK_SIZE);
		errno = -ret;
		return -1;
	}
	/* Whoever shares the memory still stands on it, for as long as it lives. */
	if (!(flags & CLONE_VM))
		munmap(stack, STACK_SIZE);
	return ret;
}

static __attribute__((noreturn)) void leave(void)
{
	for (;;)
		syscall(SYS_exit, 0);
}

static void idle(void *data)
{
	int *go = data;

	while (!__atomic_load_n(go, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, go, FUTEX_WAIT_PRIVATE, 0, NULL);
	leave();
}

static void execute(const char *how, unsigned int slot)
{
	char number[8];

	snprintf(number, sizeof(number), "%u", slot);
	execve("/proc/self/exe", (char *[]){ "fuzz", (char *)how, number, NULL },
	       (char *[]){ NULL });
}

/* ------------------------------------------------------------------ the operations */

static const int ns_flags[] = {
	CLONE_NEWTIME, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWCGROUP,
	CLONE_NEWUSER,
};

/* Mostly a time namespace, alone or with others. */
static int draw_flags(uint64_t *random)
{
	int flags = draw(random, 8) ? CLONE_NEWTIME : 0;

	if (!draw(random, 3))
		flags |= ns_flags[draw(random, ARRAY_SIZE(ns_flags))];
	if (!draw(random, 6))
		flags |= ns_flags[draw(random, ARRAY_SIZE(ns_flags))];
	if (!draw(random, 12))
		flags |= PICK(random, CLONE_VM, CLONE_THREAD, CLONE_SIGHAND, CLONE_FS, CLONE_FILES,
			      CLONE_SYSVSEM, CLONE_VFORK, 1, 0x40);
	if (!draw(random, 64))
		flags |= CLONE_NEWNET;
	return flags;
}

static void do_unshare(uint64_t *random)
{
	int flags = draw(random, 2) ? CLONE_NEWTIME : draw_flags(random);

	say(" %#x", flags);
	say_result(unshare(flags));
}

static void do_setns(uint64_t *random)
{
	int flags = PICK(random, 0, 0, 0, 0, 0, CLONE_NEWTIME, CLONE_NEWTIME, CLONE_NEWTIME,
			 CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWTIME | CLONE_NEWUTS, -1);

	say_ns(shared->fd);
	say(" %#x", flags);
	say_result(setns(shared->fd, flags));
}

static void do_setns_pidfd(uint64_t *random)
{
	int flags = draw(random, 2) ? CLONE_NEWTIME : draw_flags(random);

	say(" worker %u %#x", shared->other, flags);
	say_result(setns(shared->fd, flags));
}

static void own_path(char *path, size_t size, uint64_t *random, const char *file)
{
	/* Mostly one's own. */
	if (draw(random, 3)) {
		say(" self");
		snprintf(path, size, "/proc/self/%s", file);
	} else {
		say(" worker %u", shared->other);
		snprintf(path, size, "/proc/%d/%s", shared->pid, file);
	}
}

/* Otherwise what is written to is frozen most of the time. */
static void mostly_unshare(uint64_t *random)
{
	if (draw(random, 3)) {
		say(" unshare");
		say_result(unshare(CLONE_NEWTIME));
	}
}

static int do_open(uint64_t *random)
{
	int flags = PICK(random, O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_TRUNC,
			 O_RDWR | O_APPEND);
	char path[64];
	int fd;

	mostly_unshare(random);
	own_path(path, sizeof(path), random, "timens_offsets");
	say(" %#o", flags);
	fd = open(path, flags | O_CLOEXEC);
	say_result(fd);
	return fd;
}

/* An offset that depends on the time, in forms that are as long at any time. */
#define EDGE	"%011" PRId64
#define SHOWN	"%10" PRId64

static void draw_offsets(char text[6 * PAGE], size_t *length, uint64_t *random)
{
	unsigned int lines = draw(random, 8) ? 1 + draw(random, 2) : draw(random, 5);
	bool strange = !draw(random, 4), edge = false;
	size_t at = 0;

	text[0] = '\0';
	while (lines--) {
		const char *clock = PICK_TEXT(random, "monotonic", "boottime", "1", "7");
		const char *nsec = PICK_TEXT(random, "0", "0", "1", "500000000", "999999999", "100000000");
		const char *space = " ", *end = lines || draw(random, 2) ? "\n" : "";
		char sec[32];

		snprintf(sec, sizeof(sec), "%" PRId64,
			 PICK(random, 0, 1, -1, 5, 1000, 86400, 100000000, 4611680000));
		switch (draw(random, 8)) {
		case 0:
			snprintf(sec, sizeof(sec), EDGE, shared->behind);
			edge = true;
			break;
		case 1:
			snprintf(sec, sizeof(sec), EDGE, shared->ahead);
			edge = true;
			break;
		}
		if (strange && !draw(random, 2))
			clock = PICK_TEXT(random, "0", "2", "01", "8", "-1", "", "mono", "Monotonic",
				     "monotonicx", "monotoni", "boottimes", "boottime1", "realtime",
				     "tai", "1.0", "x", "monotonic monotonic");
		if (strange && !draw(random, 3)) {
			int64_t edge = PICK(random, KTIME_SEC_MAX, -KTIME_SEC_MAX,
					    KTIME_SEC_MAX + 1, -KTIME_SEC_MAX - 1,
					    KTIME_SEC_MAX / 2, KTIME_SEC_MAX / 2 + 1,
					    -100000000, INT64_MAX, INT64_MIN, INT32_MIN);

			snprintf(sec, sizeof(sec), "%" PRId64, edge);
		} else if (strange && !draw(random, 4)) {
			strcpy(sec, PICK_TEXT(random, "", "x", "+5", "0x10", "010", "1e3",
					 "--1", "5.5", "9223372036854775808",
					 "99999999999999999999999", "-0", "5x"));
		}
		if (strange && !draw(random, 3))
			nsec = PICK_TEXT(random, "1000000000", "-1", "", "x", "4294967296",
				    "18446744073709551615", "18446744073709551616", "+1", "0x1",
				    "007", "1 1", "1x", "-999999999");
		if (strange && !edge && !draw(random, 4))
			space = PICK_TEXT(random, "\t", "  ", "", "\v", "   \t ", ",", "\r");
		if (strange && !draw(random, 8))
			end = PICK_TEXT(random, "\n\n", " \n", "\r\n", ";", "\n \n", "\n\t");
		at += snprintf(text + at, PAGE - at, "%s%s%s%s%s%s",
			       strange && !draw(random, 8) ? " " : "", clock, space, sec, space,
			       nsec);
		at += snprintf(text + at, PAGE - at, "%s", end);
	}
	*length = at;
	/* A part of a number that depends on the time has no name. */
	if (strange && !edge) {
		switch (draw(random, 6)) {
		case 0: /* partial */
			*length = draw(random, at + 1);
			break;
		case 1: /* with its end */
			*length = at + 1;
			break;
		case 2: /* a zero amid it */
			text[draw(random, at + 1)] = '\0';
			break;
		case 3: /* around a page */
			*length = PICK(random, PAGE - 2, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE,
				       5 * PAGE);
			memset(text + at, PICK(random, '\0', ' ', '\n', '0'), 6 * PAGE - at);
			break;
		}
	}
}

static void write_offsets(int fd, uint64_t *random)
{
	char *text = shared->text + 2 * PAGE;
	size_t length, half;
	loff_t position;
	ssize_t result;

	/* In the part of the text that no reply reaches. */
	draw_offsets(text, &length, random);
	switch (draw(random, 12)) {
	default:
		say(" write");
		say_text(text, length);
		result = write(fd, text, length);
		break;
	case 0:
		position = PICK(random, 0, 0, 1, 26, -1);
		say(" pwrite %lld", (long long)position);
		say_text(text, length);
		result = pwrite(fd, text, length, position);
		break;
	case 1:
		position = PICK(random, 0, 1, 26, 52, 100);
		say(" lseek %lld", (long long)position);
		say_number(lseek(fd, position, SEEK_SET));
		say(", write");
		say_text(text, length);
		result = write(fd, text, length);
		/* The next one begins at the beginning. */
		lseek(fd, 0, SEEK_SET);
		break;
	case 2:
		say(" twice");
		say_text(text, length);
		say_number(write(fd, text, length));
		say(" and");
		result = write(fd, text, length);
		break;
	case 3:
		half = draw(random, length + 1);
		say(" writev %zu + %zu", half, length - half);
		say_text(text, length);
		result = writev(fd, (struct iovec[]){ { text, half },
						      { text + half, length - half } }, 2);
		break;
	case 4:
		length = PICK(random, 0, 1, PAGE - 1, PAGE);
		say(" from nowhere, %zu", length);
		result = syscall(SYS_write, fd, (void *)8, length);
		break;
	}
	say_number(result);
}

static void do_write_open(uint64_t *random)
{
	write_offsets(shared->fd, random);
}

static void do_write(uint64_t *random)
{
	char path[64];
	int fd;

	mostly_unshare(random);
	own_path(path, sizeof(path), random, "timens_offsets");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		say_result(fd);
		return;
	}
	write_offsets(fd, random);
	close(fd);
}

/*
 * Says what was read from @position on: the text, or if that is only a part whether it is one of the
 * whole, because a part of a number that depends on the time has no name.
 */
static void say_part(int fd, const char *text, ssize_t length, loff_t position)
{
	char whole[1000];
	ssize_t size;

	say_number(length);
	if (length <= 0)
		return;
	size = pread(fd, whole, sizeof(whole), 0);
	if (size >= position + length && !memcmp(whole + position, text, length)) {
		if (length < size) {
			say(" a part");
			return;
		}
	} else {
		say(" NOT A PART");
	}
	say_text(text, length);
}

static void read_offsets(int fd, uint64_t *random)
{
	size_t count = PICK(random, 1000, 1000, 1000, 0, 1, 10, 31, 32, 33, 62, 63);
	loff_t position = PICK(random, 0, 0, 0, 0, 1, 31, 32, 61, 62, 63, 1000, -1);
	char text[1000];
	int i;

	if (!draw(random, 4)) {
		say(" pread %zu at %lld", count, (long long)position);
		say_part(fd, text, pread(fd, text, count, position), position);
		return;
	}
	say(" lseek %lld", (long long)position);
	say_number(lseek(fd, position, SEEK_SET));
	for (i = 0; i < 3; i++) {
		position = lseek(fd, 0, SEEK_CUR);
		say(" read %zu", count);
		say_part(fd, text, read(fd, text, count), position);
	}
}

static void do_read_open(uint64_t *random)
{
	read_offsets(shared->fd, random);
	lseek(shared->fd, 0, SEEK_SET);
}

static void do_read(uint64_t *random)
{
	char path[64];
	int fd;

	own_path(path, sizeof(path), random, "timens_offsets");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		say_result(fd);
		return;
	}
	read_offsets(fd, random);
	close(fd);
}

static int do_open_ns(uint64_t *random)
{
	const char *name = PICK_TEXT(random, "ns/time", "ns/time", "ns/time", "ns/time",
				     "ns/time_for_children", "ns/time_for_children",
				     "ns/time_for_children", "ns/time_for_children", "ns/user",
				     "ns/user", "ns/pid", "ns/uts");
	char path[64];
	int fd;

	own_path(path, sizeof(path), random, name);
	say(" %s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!say_result(fd))
		say_ns(fd);
	return fd;
}

/* The links of both kinds of a task, by name and as files. */
static void say_links(const char *dir)
{
	char path[2][64], link[2][64];
	struct stat stats[2];
	unsigned long number;
	ssize_t length;
	int i;

	snprintf(path[0], sizeof(path[0]), "%s/ns/time", dir);
	snprintf(path[1], sizeof(path[1]), "%s/ns/time_for_children", dir);
	for (i = 0; i < 2; i++) {
		length = readlink(path[i], link[i], sizeof(link[i]) - 1);
		if (say_result(length))
			return;
		link[i][length] = '\0';
		if (stat(path[i], &stats[i])) {
			say_result(-1);
			return;
		}
		if (sscanf(link[i], "time:[%lu]", &number) != 1 || number != stats[i].st_ino)
			say(" odd %s", link[i]);
		say(" mode %o", stats[i].st_mode);
	}
	say(strcmp(link[0], link[1]) ? " differ" : " same");
}

static void do_links(uint64_t *random)
{
	char dir[64];

	own_path(dir, sizeof(dir), random, "");
	say_links(dir);
}

static int do_nsfs(uint64_t *random)
{
	uint64_t id = 0;
	uid_t uid = 0;
	int fd = -1;

	say_ns(shared->fd);
	switch (draw(random, 8)) {
	case 0:
		say(" type");
		say_number(ioctl(shared->fd, NS_GET_NSTYPE));
		break;
	case 1:
		say(" user");
		fd = ioctl(shared->fd, NS_GET_USERNS);
		if (!say_result(fd))
			say_ns(fd);
		break;
	case 2:
		say(" parent");
		fd = ioctl(shared->fd, NS_GET_PARENT);
		if (!say_result(fd))
			say_ns(fd);
		break;
	case 3:
		say(" owner");
		if (!say_result(ioctl(shared->fd, NS_GET_OWNER_UID, &uid)))
			say(" %u", uid);
		break;
	case 4:
		say(" id");
		if (!say_result(ioctl(shared->fd, NS_GET_ID, &id)))
			say_id(id);
		break;
	case 5:
		say(" mount id");
		say_result(ioctl(shared->fd, NS_GET_MNTNS_ID, &id));
		break;
	case 6:
		say(" pid");
		say_result(ioctl(shared->fd, NS_GET_TGID_IN_PIDNS, getpid()));
		break;
	case 7:
		say(" unknown");
		say_result(ioctl(shared->fd, _IO(NSIO, 100 + draw(random, 4))));
		break;
	}
	return fd;
}

static void do_handle(uint64_t *random)
{
	struct handle *handle = &shared->handle;
	int mount;

	(void)random;
	memset(handle, 0, sizeof(*handle));
	handle->head.handle_bytes = sizeof(*handle) - sizeof(handle->head);
	say_ns(shared->fd);
	if (say_result(name_to_handle_at(shared->fd, "", &handle->head, &mount, AT_EMPTY_PATH)))
		return;
	say(" type %#x, %u bytes,", handle->head.handle_type, handle->head.handle_bytes);
	say_id(handle->ns_id);
}

static int do_open_handle(uint64_t *random)
{
	struct handle handle = shared->handle;
	int fd, nsfs;

	say_id(handle.ns_id);
	switch (draw(random, 16)) {
	case 0:
		say(" no type");
		handle.ns_type = 0;
		break;
	case 1:
		say(" no type and number");
		handle.ns_type = 0;
		handle.ns_inum = 0;
		break;
	case 2:
		say(" other type");
		handle.ns_type = CLONE_NEWUTS;
		break;
	case 3:
		say(" other number");
		handle.ns_inum++;
		break;
	case 4:
		say(" no id");
		handle.ns_id = 0;
		break;
	case 5:
		say(" short");
		handle.head.handle_bytes -= 4;
		break;
	}
	nsfs = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	fd = open_by_handle_at(nsfs, &handle.head, O_RDONLY | O_CLOEXEC);
	if (!say_result(fd))
		say_ns(fd);
	close(nsfs);
	return fd;
}

static void do_listns(uint64_t *random)
{
	struct ns_id_req req = {
		.size = sizeof(req),
		.ns_type = CLONE_NEWTIME,
		.user_ns_id = draw(random, 2) ? LISTNS_CURRENT_USER : 0,
	};
	size_t count = PICK(random, 0, 1, 100, 100, 100);
	unsigned int flags = 0;
	uint64_t ids[100], seen;
	bool after = false;
	long i, nr;

	/* What is not a namespace has no id, and what is need not be a user namespace. */
	if (ioctl(shared->fd, NS_GET_ID, &seen))
		seen = 0;
	switch (draw(random, 16)) {
	case 0:
		flags = 1;
		break;
	case 1:
		req.size = 8;
		break;
	case 2:
		req.spare = 1;
		break;
	case 3:
		count = 2000000;
		break;
	case 4:
		req.ns_id = 6;
		break;
	case 5:
		req.ns_id = UINT64_MAX - 1;
		break;
	case 6:
		after = seen;
		break;
	case 7:
		after = seen;
		req.user_ns_id = seen;
		break;
	case 8:
	case 9:
		req.user_ns_id = seen;
		break;
	}
	say(" flags %u size %u spare %u after", flags, req.size, req.spare);
	if (after) {
		req.ns_id = seen;
		say_id(seen);
	} else {
		say(" %" PRIx64, req.ns_id);
	}
	say(" of");
	if (!req.user_ns_id)
		say(" all");
	else if (req.user_ns_id == LISTNS_CURRENT_USER)
		say(" own");
	else
		say_id(req.user_ns_id);
	say(" count %zu", count);
	nr = syscall(NR_listns, &req, ids, count, flags);
	/* Behind the last one there may be others for a while that are about to go, not to be listed. */
	if (after && (!nr || (nr < 0 && errno == ENOENT)))
		say(" none");
	else
		say_number(nr);
	for (i = 0; i < nr; i++)
		say_id(ids[i]);
}

static int do_pidfd_ns(uint64_t *random)
{
	unsigned int request = PICK(random, PIDFD_GET_TIME_NAMESPACE,
				    PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE,
				    PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE, PIDFD_GET_USER_NAMESPACE);
	int fd = ioctl(shared->fd, request, 0);

	say(" worker %u %u", shared->other, request & 0xff);
	if (!say_result(fd))
		say_ns(fd);
	return fd;
}

/* ------------------------------------------------------------------ clocks and timers */

typedef int (*reader)(clockid_t clock, struct timespec *now);

static int by_system_call(clockid_t clock, struct timespec *now)
{
	return syscall(SYS_clock_gettime, clock, now);
}

static int64_t read_clock(reader read, clockid_t clock)
{
	struct timespec now;

	if (read(clock, &now))
		return INT64_MIN;
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* As the kernel writes them: the nanoseconds count forward. */
static void say_offset(int64_t offset)
{
	int64_t ahead = offset - shared->ahead * NSEC_PER_SEC, nsec;
	int64_t behind = offset - shared->behind * NSEC_PER_SEC;

	/* What depends on the time is told as what it is more than that. */
	if (llabs(ahead) <= NSEC_PER_SEC) {
		say(" AHEAD and");
		offset = ahead;
	} else if (llabs(behind) <= NSEC_PER_SEC) {
		say(" BEHIND and");
		offset = behind;
	}
	nsec = offset % NSEC_PER_SEC;
	if (nsec < 0)
		nsec += NSEC_PER_SEC;
	say(" %" PRId64 " %" PRId64, (offset - nsec) / NSEC_PER_SEC, nsec);
}

/*
 * How far a coarse clock is ahead of the host's. The coarse real time, which no namespace shifts,
 * changes in the same moment: if it has not changed meanwhile, the result is exact.
 */
static int64_t coarse_offset(reader read)
{
	int64_t before, now, after;
	int i;

	for (i = 0; i < 1000; i++) {
		before = read_clock(read, CLOCK_REALTIME_COARSE);
		now = read_clock(read, CLOCK_MONOTONIC_COARSE);
		after = read_clock(read, CLOCK_REALTIME_COARSE);
		if (before == after)
			return now - before + shared->monotonic;
	}
	return INT64_MIN;
}

/* The least and the greatest that the offset of a clock may be, a millisecond apart at most. */
static bool fine_offset(reader read, clockid_t clock, int64_t began, int64_t bounds[2])
{
	int64_t before, now, after;
	int i;

	for (i = 0; i < 1000; i++) {
		before = read_clock(read, CLOCK_REALTIME);
		now = read_clock(read, clock);
		after = read_clock(read, CLOCK_REALTIME);
		if (now == INT64_MIN)
			return false;
		bounds[0] = now - after + began;
		bounds[1] = now - before + began;
		if (after - before < NSEC_PER_MSEC)
			return true;
	}
	return false;
}

static void say_relation(const int64_t bounds[2], int64_t offset)
{
	say(bounds[1] < offset ? " below" : bounds[0] > offset ? " above" : " at");
}

/* To the next tenth of a second, where there is nothing to compare with. */
static void say_about(const int64_t bounds[2])
{
	int64_t tenth = NSEC_PER_SEC / 10, offset = bounds[0] + tenth / 2;

	offset -= (offset % tenth + tenth) % tenth;
	say_offset(offset);
	if (llabs(bounds[0] - offset) > 20 * NSEC_PER_MSEC)
		say(" about");
}

static bool own_offsets(int64_t *monotonic, int64_t *boottime)
{
	long long values[4];
	char text[200] = "";
	int fd = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
	struct stat stats[2];

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	/* They are those of the children. */
	if (stat("/proc/self/ns/time", &stats[0]) ||
	    stat("/proc/self/ns/time_for_children", &stats[1]) ||
	    stats[0].st_ino != stats[1].st_ino)
		return false;
	if (sscanf(text, "monotonic %lld %lld boottime %lld %lld", &values[0], &values[1],
		   &values[2], &values[3]) != 4)
		return false;
	*monotonic = values[0] * NSEC_PER_SEC + values[1];
	*boottime = values[2] * NSEC_PER_SEC + values[3];
	return true;
}

static void do_clocks(uint64_t *random)
{
	static const struct {
		const char *name;
		reader read;
	} ways[] = { { "vdso", clock_gettime }, { "call", by_system_call } };
	int64_t coarse, monotonic, boottime, bounds[2], raw[2];
	bool known = own_offsets(&monotonic, &boottime);
	size_t i;

	(void)random;
	shared->error = 0;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		reader read = ways[i].read;

		say("%s %s: coarse", i ? ";" : "", ways[i].name);
		coarse = coarse_offset(read);
		say_offset(coarse);
		if (known)
			say(coarse == monotonic ? " as shown" : " NOT AS SHOWN");
		say(", monotonic");
		if (fine_offset(read, CLOCK_MONOTONIC, shared->monotonic, bounds))
			say_relation(bounds, coarse);
		/* The raw clock runs at a speed of its own: against the other one, not real time. */
		say(", raw");
		raw[0] = read_clock(read, CLOCK_MONOTONIC);
		raw[1] = read_clock(read, CLOCK_MONOTONIC_RAW) - raw[0];
		say(llabs(raw[1]) < NSEC_PER_SEC / 2 ? " near" : " FAR");
		say(", boottime");
		if (!fine_offset(read, CLOCK_BOOTTIME, shared->boottime, bounds))
			say(" none");
		else if (known)
			say_relation(bounds, boottime);
		else
			say_about(bounds);
		say(", alarm");
		if (!fine_offset(read, CLOCK_BOOTTIME_ALARM, shared->boottime, bounds))
			say(" none");
		else if (known)
			say_relation(bounds, boottime);
		else
			say_about(bounds);
	}
}

enum due { DUE_PAST, DUE_SOON, DUE_LATER, DUE_FIRST, DUE_LAST, DUE_BEYOND, DUE_NEVER, DUE_WRONG,
	   DUE_NEGATIVE, NR_DUE };

static const char *const due_names[NR_DUE] = {
	"past", "soon", "later", "first", "last", "beyond", "never", "wrong", "negative",
};

/* An absolute time on a clock as the caller sees it. */
static enum due draw_due(uint64_t *random, clockid_t clock, struct timespec *time)
{
	enum due due = draw(random, 2) ? draw(random, DUE_LATER + 1) : draw(random, NR_DUE);
	int64_t now = read_clock(clock_gettime, clock), at = 1;

	*time = (struct timespec){};
	switch (due) {
	case DUE_PAST:
		at = now > NSEC_PER_SEC ? now - NSEC_PER_SEC : 1;
		break;
	case DUE_SOON:
		at = now + NSEC_PER_MSEC;
		break;
	case DUE_LATER:
		at = now + 3600 * NSEC_PER_SEC;
		break;
	case DUE_FIRST:
		break;
	case DUE_LAST:
		at = KTIME_SEC_MAX * NSEC_PER_SEC - 1;
		break;
	case DUE_BEYOND:
		time->tv_sec = INT64_MAX;
		return due;
	case DUE_NEVER:
		return due;
	case DUE_WRONG:
		time->tv_nsec = NSEC_PER_SEC;
		return due;
	case DUE_NEGATIVE:
		time->tv_sec = -1;
		return due;
	case NR_DUE:
		break;
	}
	time->tv_sec = at / NSEC_PER_SEC;
	time->tv_nsec = at % NSEC_PER_SEC;
	return due;
}

static void say_due(clockid_t clock, const struct timespec *time)
{
	int64_t now = read_clock(clock_gettime, clock);

	say(now >= time->tv_sec * NSEC_PER_SEC + time->tv_nsec ? " due" : " EARLY");
}

static void say_left(const struct timespec *left)
{
	say(!left->tv_sec && !left->tv_nsec ? " off" :
	    left->tv_sec < 3500 ? " near" : left->tv_sec <= 3600 ? " an hour" : " far");
}

static void do_timer(uint64_t *random)
{
	clockid_t clock = PICK(random, CLOCK_MONOTONIC, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
			       CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_REALTIME);
	struct itimerspec spec = {};
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	bool descriptor = draw(random, 2);
	enum due due = draw_due(random, clock, &spec.it_value);
	uint64_t count = 0;
	int fd = -1, timer;

	say(" %s clock %d %s", descriptor ? "fd" : "posix", clock, due_names[due]);
	if (descriptor)
		fd = timerfd_create(clock, TFD_CLOEXEC);
	if (descriptor ? fd < 0 : syscall(SYS_timer_create, clock, &event, &timer)) {
		say_result(-1);
		return;
	}
	if (!say_result(descriptor ? timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL) :
			syscall(SYS_timer_settime, timer, TIMER_ABSTIME, &spec, NULL))) {
		bool soon = due == DUE_PAST || due == DUE_SOON || due == DUE_FIRST;
		struct itimerspec left = {};
		int i;

		if (soon && descriptor) {
			if (wait_readable(fd) || read(fd, &count, sizeof(count)) < 0)
				say(" LATE");
			say(" count %" PRIu64, count);
			say_due(clock, &spec.it_value);
		}
		for (i = 0; i < 5000; i++) {
			if (descriptor)
				timerfd_gettime(fd, &left);
			else
				syscall(SYS_timer_gettime, timer, &left);
			if (!soon || (!left.it_value.tv_sec && !left.it_value.tv_nsec))
				break;
			nap();
		}
		say_left(&left.it_value);
		if (soon)
			say_due(clock, &spec.it_value);
	}
	if (descriptor)
		close(fd);
	else
		syscall(SYS_timer_delete, timer);
}

static void interrupt(int number)
{
	(void)number;
}

/*
 * Has the caller's thread get a signal soon, and again and again, so that it also ends a sleep which
 * begins late.
 */
static int start_interrupting(timer_t *timer)
{
	const struct itimerspec soon = {
		.it_value.tv_nsec = 2 * NSEC_PER_MSEC,
		.it_interval.tv_nsec = 50 * NSEC_PER_MSEC,
	};
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };

	event._sigev_un._tid = syscall(SYS_gettid);
	/* Here, as an exec leaves no handler. */
	if (sigaction(SIGALRM, &(struct sigaction){ .sa_handler = interrupt }, NULL) ||
	    timer_create(CLOCK_MONOTONIC, &event, timer))
		return -1;
	return timer_settime(*timer, 0, &soon, NULL);
}

static void do_sleep(uint64_t *random)
{
	clockid_t clock = PICK(random, CLOCK_MONOTONIC, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
			       CLOCK_REALTIME);
	bool futex = !draw(random, 3);
	struct timespec time;
	enum due due;
	timer_t timer;
	int word = 0;
	bool forever;

	if (futex)
		clock = CLOCK_MONOTONIC;
	due = draw_due(random, clock, &time);
	say(" %s clock %d %s", futex ? "futex" : "nanosleep", clock, due_names[due]);
	forever = due == DUE_LATER || due == DUE_LAST || due == DUE_BEYOND;
	if (forever && start_interrupting(&timer)) {
		say(" timer");
		say_result(-1);
		return;
	}
	if (futex)
		say_result(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, &time,
				   NULL, FUTEX_BITSET_MATCH_ANY));
	else
		say_result(syscall(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &time, NULL));
	if (forever)
		timer_delete(timer);
	if (due == DUE_PAST || due == DUE_SOON || due == DUE_FIRST)
		say_due(clock, &time);
}

/* The whole seconds of a time, as the kernel counts them: before 1970 too. */
static int64_t whole_seconds(int64_t time)
{
	return time / NSEC_PER_SEC - (time % NSEC_PER_SEC < 0);
}

/* The moment at which the clock of the caller's namespace began, in real time. */
static void say_btime(void)
{
	FILE *file = fopen("/proc/stat", "re");
	unsigned long long btime = 0;
	int64_t bounds[2], least, most;
	char line[4096];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "btime %llu", &btime) == 1;
	if (file)
		fclose(file);
	if (!found || !fine_offset(clock_gettime, CLOCK_BOOTTIME, 0, bounds)) {
		say(" none");
		return;
	}
	least = whole_seconds(-bounds[1]);
	most = whole_seconds(-bounds[0]);
	say((int64_t)btime < least ? " below" : (int64_t)btime > most ? " above" : " at");
}

static void do_uptime(uint64_t *random)
{
	int64_t before = read_clock(clock_gettime, CLOCK_BOOTTIME), after, uptime, start;
	FILE *file = fopen("/proc/uptime", "re");
	long long sec, hundredths;
	unsigned long long ticks;
	struct sysinfo info;

	(void)random;
	if (!file || fscanf(file, "%lld.%lld", &sec, &hundredths) != 2)
		say(" none");
	if (file)
		fclose(file);
	if (sysinfo(&info))
		say(" none");
	after = read_clock(clock_gettime, CLOCK_BOOTTIME);
	uptime = sec * NSEC_PER_SEC + hundredths * (NSEC_PER_SEC / 100);
	say(uptime < before - NSEC_PER_SEC / 100 ? " below" : uptime > after ? " above" : " at");
	say(info.uptime < before / NSEC_PER_SEC ? " below" :
	    info.uptime > after / NSEC_PER_SEC + 1 ? " above" : " at");
	/* The moment at which the caller started, on the clock of the namespace that it is in. */
	file = fopen("/proc/self/stat", "re");
	if (!file || fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
			    "%*d %*d %*d %*d %*d %llu", &ticks) != 1)
		say(" none");
	if (file)
		fclose(file);
	start = (int64_t)ticks * (NSEC_PER_SEC / 100);
	say(start > after ? " above" : start < after - 600 * NSEC_PER_SEC ? " below" : " at");
	say_btime();
	shared->error = 0;
}

/* ------------------------------------------------------------------ credentials and limits */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	errno = error;
	return error ? -1 : 0;
}

static void do_limit(uint64_t *random)
{
	const char *limit = PICK_TEXT(random, "0", "1", "2", "3", "1000", "1000", "1000",
				      "1000", "1000", "1000", "1000", "-1");

	say(" %s", limit);
	say_result(write_file(LIMIT_FILE, limit));
}

static int set_effective(uint64_t lacking)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -1;
	data[0].effective = data[0].permitted & ~(uint32_t)lacking;
	data[1].effective = data[1].permitted & ~(uint32_t)(lacking >> 32);
	return syscall(SYS_capset, &head, data);
}

#define CAP(name)	(1ULL << CAP_##name)

static void do_caps(uint64_t *random)
{
	uint64_t lacking = PICK(random, 0ULL, 0ULL, 0ULL, CAP(SYS_ADMIN), CAP(SYS_TIME),
				CAP(SYS_ADMIN) | CAP(SYS_TIME), CAP(SYS_RESOURCE),
				CAP(SYS_PTRACE), CAP(DAC_READ_SEARCH) | CAP(DAC_OVERRIDE), ~0ULL);

	say(" without %#" PRIx64, lacking);
	say_result(set_effective(lacking));
}

static void do_uid(uint64_t *random)
{
	uid_t uid = PICK(random, 0, 1000, 1000, 1001);
	bool effective = draw(random, 2);

	say(" %s %u", effective ? "effective" : "all", uid);
	say_result(effective ? syscall(SYS_setresuid, -1, uid, -1) :
		   syscall(SYS_setresuid, uid, uid, uid));
}

static void do_userns(uint64_t *random)
{
	int flags = CLONE_NEWUSER | PICK(random, 0, 0, CLONE_NEWTIME);
	unsigned int uid = geteuid(), gid = getegid();
	char map[32];

	say(" %#x uid %u", flags, uid);
	if (say_result(unshare(flags)))
		return;
	say(" setgroups");
	say_result(write_file("/proc/self/setgroups", "deny"));
	snprintf(map, sizeof(map), "0 %u 1", uid);
	say(" map");
	say_result(write_file("/proc/self/uid_map", map));
	snprintf(map, sizeof(map), "0 %u 1", gid);
	say_result(write_file("/proc/self/gid_map", map));
}

static void do_stat(uint64_t *random)
{
	struct stat stats;

	(void)random;
	say_ns(shared->fd);
	if (!say_result(fstat(shared->fd, &stats)))
		say(" mode %o links %lu uid %u size %lld", stats.st_mode, (long)stats.st_nlink,
		    stats.st_uid, (long long)stats.st_size);
}

static void end_at_once(void *data)
{
	(void)data;
	leave();
}

/* All that can be asked of a task that has exited. */
static void do_zombie(uint64_t *random)
{
	char path[64], text[200], *line;
	int pidfd, fd;
	long pid = start(0, 0, &pidfd, end_at_once, NULL);
	ssize_t length;

	if (pid < 0) {
		say_result(pid);
		return;
	}
	if (wait_readable(pidfd))
		say(" LATE");
	/* By the number that /proc knows it by. */
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[length < 0 ? 0 : length] = '\0';
	close(fd);
	line = strstr(text, "\nPid:");
	snprintf(path, sizeof(path), "/proc/%d", line ? atoi(line + 5) : 0);
	say_links(path);
	strcat(path, "/timens_offsets");
	fd = open(path, O_RDWR | O_CLOEXEC);
	say(" open");
	if (!say_result(fd)) {
		read_offsets(fd, random);
		lseek(fd, 0, SEEK_SET);
		say(" write");
		say_number(write(fd, "monotonic 0 0", 13));
		lseek(fd, 0, SEEK_SET);
	}
	say(" setns");
	say_result(setns(pidfd, CLONE_NEWTIME));
	if (syscall(SYS_wait4, pid, NULL, __WALL, NULL) != pid)
		say(" LOST");
	if (fd >= 0) {
		say(" then");
		say_number(read(fd, text, sizeof(text)));
		lseek(fd, 0, SEEK_SET);
		say_number(write(fd, "monotonic 0 0", 13));
		close(fd);
	}
	close(pidfd);
}

static void worker(unsigned int slot);

static void worker_entry(void *data)
{
	worker((uintptr_t)data);
}

static int do_spawn(uint64_t *random)
{
	uint64_t flags = PICK(random, 0, 0, 0, CLONE_VM, CLONE_NEWTIME, CLONE_NEWTIME,
			      CLONE_NEWTIME | CLONE_VM, CLONE_NEWTIME | CLONE_NEWUSER,
			      CLONE_NEWTIME | CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWUSER);
	int pidfd;

	say(" worker %u %#" PRIx64, shared->other, flags);
	if (say_result(start(flags, SIGCHLD, &pidfd, worker_entry,
			     (void *)(uintptr_t)shared->other)))
		return -1;
	return pidfd;
}

/* Does the operation in this very task. */
static void perform(void)
{
	uint64_t random = shared->random;

	shared->result = -1;
	switch (shared->kind) {
	case OP_UNSHARE:	do_unshare(&random); break;
	case OP_SETNS:		do_setns(&random); break;
	case OP_SETNS_PIDFD:	do_setns_pidfd(&random); break;
	case OP_SPAWN:		shared->result = do_spawn(&random); break;
	case OP_OPEN:		shared->result = do_open(&random); break;
	case OP_WRITE_OPEN:	do_write_open(&random); break;
	case OP_WRITE:		do_write(&random); break;
	case OP_READ_OPEN:	do_read_open(&random); break;
	case OP_READ:		do_read(&random); break;
	case OP_OPEN_NS:	shared->result = do_open_ns(&random); break;
	case OP_LINKS:		do_links(&random); break;
	case OP_NSFS:		shared->result = do_nsfs(&random); break;
	case OP_HANDLE:		do_handle(&random); break;
	case OP_OPEN_HANDLE:	shared->result = do_open_handle(&random); break;
	case OP_LISTNS:		do_listns(&random); break;
	case OP_PIDFD_NS:	shared->result = do_pidfd_ns(&random); break;
	case OP_CLOCKS:		do_clocks(&random); break;
	case OP_TIMER:		do_timer(&random); break;
	case OP_SLEEP:		do_sleep(&random); break;
	case OP_UPTIME:		do_uptime(&random); break;
	case OP_LIMIT:		do_limit(&random); break;
	case OP_CAPS:		do_caps(&random); break;
	case OP_UID:		do_uid(&random); break;
	case OP_USERNS:		do_userns(&random); break;
	case OP_ZOMBIE:		do_zombie(&random); break;
	case OP_STAT:		do_stat(&random); break;
	/* These are not the worker's to do, or not here. */
	case OP_KILL: case OP_EXEC: case NR_KINDS: break;
	}
}

/* ------------------------------------------------------------------ the workers */

/* In a child of the worker's, which takes along what it opened. */
static void perform_and_leave(void *data)
{
	const struct context *context = data;

	if (context->exec) {
		execute("once", 0);
		say(" exec");
		say_result(-1);
	} else {
		perform();
		if (shared->result >= 0)
			close(shared->result);
	}
	leave();
}

static void perform_in(const struct context *context)
{
	int pidfd, go = 0;
	bool late;

	if (context == &contexts[IDLE_THREAD]) {
		if (start(context->flags, 0, &pidfd, idle, &go) < 0) {
			say_result(-1);
			return;
		}
		perform();
		__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
		syscall(SYS_futex, &go, FUTEX_WAKE_PRIVATE, 1);
	} else {
		if (start(context->flags, SIGCHLD, &pidfd, perform_and_leave, (void *)context) < 0) {
			say(" clone");
			say_result(-1);
			return;
		}
	}
	late = wait_gone(pidfd);
	if (late)
		say(" LATE");
	close(pidfd);
	if (context != &contexts[IDLE_THREAD])
		shared->result = -1;
}

/* One byte, and a descriptor with it if it is not -1. */
static int send_fd(int channel, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] __attribute__((aligned(8))) = {};
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *head = (void *)control;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	return sendmsg(channel, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int receive_fd(int channel, int *fd)
{
	char byte, control[CMSG_SPACE(sizeof(*fd))] __attribute__((aligned(8)));
	struct iovec vector = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *head;

	*fd = -1;
	if (recvmsg(channel, &message, 0) != 1)
		return -1;
	head = CMSG_FIRSTHDR(&message);
	if (head)
		memcpy(fd, CMSG_DATA(head), sizeof(*fd));
	return 0;
}

static void reply(unsigned int slot)
{
	int result = shared->result;

	if (send_fd(CHANNEL_FD(slot), result))
		leave();
	if (result >= 0)
		close(result);
}

static void do_exec(unsigned int slot)
{
	uint64_t random = shared->random;
	int pidfd, go = 0;

	if (draw(&random, 2)) {
		say(" with an idle thread");
		if (start(THREAD, 0, &pidfd, idle, &go) < 0) {
			say_result(-1);
			return;
		}
		/* So that the new program does not have it. */
		fcntl(pidfd, F_SETFD, FD_CLOEXEC);
	}
	/* The new program replies. */
	execute("worker", slot);
	say_result(-1);
}

static void worker(unsigned int slot)
{
	int fd;

	for (;;) {
		if (receive_fd(CHANNEL_FD(slot), &fd))
			leave();
		shared->fd = fd;
		shared->result = -1;
		if (shared->kind == OP_EXEC)
			do_exec(slot);
		else if (shared->context < 0)
			perform();
		else
			perform_in(&contexts[shared->context]);
		reply(slot);
		if (fd >= 0)
			close(fd);
	}
}

/* ------------------------------------------------------------------ the director */

struct slot {
	int channel;	/* the director's end */
	int pidfd;	/* -1: none */
	pid_t pid;
};

static struct director {
	struct slot slots[NR_SLOTS];
	int ns[NR_SHELVES], files[NR_SHELVES];
	struct handle handles[NR_HANDLES];
	uint64_t ids[MAX_IDS];
	unsigned int nr_ids;
	uint64_t counts[NR_KINDS][256];
} director;

static __attribute__((noreturn, format(printf, 1, 2))) void fault(const char *format, ...)
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

static bool alive(const struct slot *slot)
{
	struct pollfd poll_fd = { .fd = slot->pidfd, .events = POLLIN };

	return slot->pidfd >= 0 && poll(&poll_fd, 1, 0) == 0;
}

static void end_slot(struct slot *slot)
{
	if (slot->pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, slot->pidfd, SIGKILL, NULL, 0);
	if (wait_gone(slot->pidfd))
		fault("a worker does not die");
	close(slot->pidfd);
	slot->pidfd = -1;
}

struct pidfd_info {
	uint64_t mask, cgroup;
	uint32_t pid, rest[11];
};

#define PIDFD_GET_INFO	_IOWR(0xff, 11, struct pidfd_info)

static void take_slot(struct slot *slot, int pidfd)
{
	struct pidfd_info info = {};

	if (ioctl(pidfd, PIDFD_GET_INFO, &info))
		fault("a worker has no pid: %s", strerror(errno));
	slot->pidfd = pidfd;
	slot->pid = info.pid;
}

/* A worker as the director itself is: root, outside of all namespaces. */
static void fill_slot(unsigned int number)
{
	struct slot *slot = &director.slots[number];
	int pidfd;

	end_slot(slot);
	if (start(0, SIGCHLD, &pidfd, worker_entry, (void *)(uintptr_t)number) < 0)
		fault("cannot start a worker: %s", strerror(errno));
	take_slot(slot, pidfd);
}

static void put_on(int *place, int fd)
{
	if (*place >= 0)
		close(*place);
	*place = fd;
}

static struct operation draw_operation(uint64_t seed, unsigned int sequence, unsigned int number)
{
	uint64_t random = mix(mix(seed + mix(sequence)) + number);
	struct operation operation = {};
	unsigned int total = 0, i;

	for (i = 0; i < NR_KINDS; i++)
		total += kinds[i].weight;
	i = draw(&random, total);
	while (i >= kinds[operation.kind].weight)
		i -= kinds[operation.kind++].weight;
	operation.slot = draw(&random, NR_SLOTS);
	operation.other = (operation.slot + 1 + draw(&random, NR_SLOTS - 1)) % NR_SLOTS;
	if (kinds[operation.kind].anywhere && !draw(&random, 5))
		operation.context = &contexts[draw(&random, ARRAY_SIZE(contexts))];
	operation.random = random;
	return operation;
}

/* The number of a namespace in this sequence: in the order in which they are first seen. */
static unsigned int number_of(uint64_t id)
{
	unsigned int i;

	for (i = 0; i < director.nr_ids; i++)
		if (director.ids[i] == id)
			return i;
	if (i == MAX_IDS)
		fault("a sequence with too many namespaces");
	director.ids[director.nr_ids++] = id;
	return i;
}

/* Puts @name in the place of every number that is written as @digits. */
static void rename_digits(char *text, const char *digits, const char *name)
{
	size_t length = strlen(digits);
	char *at = text;

	while ((at = strstr(at, digits))) {
		if ((at == text || !strchr("-0123456789", at[-1])) &&
		    (!at[length] || !strchr("0123456789", at[length]))) {
			memmove(at + strlen(name), at + length, strlen(at + length) + 1);
			memcpy(at, name, strlen(name));
		}
		at++;
	}
}

/* The forms in which an offset that depends on the time is written and shown. */
static void rename_number(char *text, int64_t value, const char *name)
{
	char digits[24];

	snprintf(digits, sizeof(digits), EDGE, value);
	rename_digits(text, digits, name);
	snprintf(digits, sizeof(digits), SHOWN, value);
	rename_digits(text, digits, name);
}

/* The text of the reply, without what is different at another time. */
static void finish_text(char *line, size_t size)
{
	char *end, *out = line, *in = shared->text;

	shared->text[shared->length] = '\0';
	while (*in && out < line + size - 32) {
		if (*in == '{') {
			uint64_t id = strtoull(in + 1, &end, 16);

			if (id <= NS_INIT_IDS)
				out += sprintf(out, "init-ns%" PRIu64, id);
			else
				out += sprintf(out, "ns%u", number_of(id));
			in = end + 1;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
	rename_number(line, shared->behind, "BEHIND");
	rename_number(line, shared->ahead, "AHEAD");
}

static void run_operation(const struct operation *operation)
{
	struct slot *slot = &director.slots[operation->slot];
	struct slot *other = &director.slots[operation->other];
	uint64_t random = mix(operation->random ^ 1);
	unsigned int shelf = draw(&random, NR_SHELVES), target = draw(&random, NR_SHELVES);
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
		say(" worker %u", operation->other);
		end_slot(other);
		return;
	}
	/* There is somebody, or has been. */
	if (!other->pid)
		fill_slot(operation->other);
	shared->pid = other->pid;
	if (operation->kind == OP_SPAWN)
		end_slot(other);
	/* Not earlier: with a PID namespace's first process die all others in it. */
	if (!alive(slot))
		fill_slot(operation->slot);
	switch (kinds[operation->kind].takes) {
	case SHELF_NONE:
		break;
	case SHELF_NS:
		/* Now and then something else than a namespace. */
		fd = draw(&random, 16) ? director.ns[shelf] : director.files[shelf];
		break;
	case SHELF_FILE:
		fd = director.files[shelf];
		break;
	case SHELF_PIDFD:
		fd = other->pidfd;
		break;
	}
	if (operation->kind == OP_OPEN_HANDLE)
		shared->handle = director.handles[handle];

	if (send_fd(slot->channel, fd))
		fault("a worker does not listen: %s", strerror(errno));
	polls[0] = (struct pollfd){ .fd = slot->channel, .events = POLLIN };
	polls[1] = (struct pollfd){ .fd = slot->pidfd, .events = POLLIN };
	if (poll(polls, 2, PATIENCE_MS) <= 0)
		fault("a worker hangs in %s", kinds[operation->kind].name);
	if (!polls[0].revents)
		fault("a worker died of %s", kinds[operation->kind].name);
	if (receive_fd(slot->channel, &result))
		fault("a worker does not reply");
	if (operation->kind == OP_HANDLE && !shared->error)
		director.handles[handle] = shared->handle;
	if (result < 0)
		return;
	if (operation->kind == OP_SPAWN)
		take_slot(other, result);
	else if (kinds[operation->kind].gives == SHELF_NS)
		put_on(&director.ns[target], result);
	else if (kinds[operation->kind].gives == SHELF_FILE)
		put_on(&director.files[target], result);
	else
		close(result);
}

static void set_limit(int limit)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", limit);
	if (write_file(LIMIT_FILE, text))
		fault(LIMIT_FILE ": %s", strerror(errno));
}

/* Whether a user is charged for nothing any more: another namespace still is within a limit of 1. */
static void check_charge(void *data)
{
	if (syscall(SYS_setresuid, -1, (uid_t)(uintptr_t)data, -1) || set_effective(0))
		say(" %s", error_name(errno));
	else if (unshare(CLONE_NEWTIME))
		say(" uid %u still charged: %s", (unsigned int)(uintptr_t)data, error_name(errno));
	leave();
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
			fault("cannot check what is charged: %s", strerror(errno));
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

/* Runs the operations of one sequence, and prints the text of each or a part of the hash so far. */
static void run_sequence(uint64_t seed, unsigned int sequence, const unsigned int *numbers,
			 unsigned int count, bool verbose)
{
	static char line[sizeof(shared->text)];
	uint64_t state = 0xcbf29ce484222325;
	unsigned int i;

	director.nr_ids = 0;
	memset(director.handles, 0, sizeof(director.handles));
	shared->behind = -(read_clock(clock_gettime, CLOCK_MONOTONIC) / NSEC_PER_SEC);
	shared->ahead = KTIME_SEC_MAX / 2 + shared->behind - 100;
	set_limit(LIMIT);
	for (i = 0; i < NR_SLOTS; i++)
		director.slots[i].pid = 0;
	for (i = 0; i < NR_SHELVES; i++) {
		director.ns[i] = open(i % 3 ? "/proc/self/ns/time" : "/proc/self/ns/user",
				      O_RDONLY | O_CLOEXEC);
		director.files[i] = open("/proc/self/timens_offsets", O_RDWR | O_CLOEXEC);
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
			director.counts[operation.kind][shared->error & 255]++;
			finish_text(line + length, sizeof(line) - length);
		} else {
			unsigned int k;

			for (k = 0; k < NR_SLOTS; k++)
				end_slot(&director.slots[k]);
			for (k = 0; k < NR_SHELVES; k++) {
				put_on(&director.ns[k], -1);
				put_on(&director.files[k], -1);
			}
			check_charges();
			finish_text(line, sizeof(line));
			if (!*line)
				strcpy(line, "end: nothing is charged any more");
		}
		state = hash(state, line);
		if (verbose)
			printf("| %s\n", line);
		else
			/* Where the last character has changed it already */
			printf("| %04x\n", (unsigned int)(state >> 32) & 0xffff);
	}
}

static void run_request(char *request)
{
	static unsigned int numbers[MAX_LENGTH];
	unsigned int sequence, count = 0, length = 0;
	bool list = !strncmp(request, "list ", 5);
	int rest = 0;
	uint64_t seed;
	char *token;

	if (sscanf(request, "%*s %" SCNu64 " %u %n", &seed, &sequence, &rest) != 2)
		fault("not a request: %s", request);
	if (list) {
		for (token = strtok(request + rest, " "); token; token = strtok(NULL, " ")) {
			if (count == MAX_LENGTH)
				fault("a sequence of more than %u operations", MAX_LENGTH);
			numbers[count++] = strtoul(token, NULL, 10);
		}
	} else {
		if (sscanf(request, "hash %*u %*u %u", &length) != 1 || length > MAX_LENGTH)
			fault("not a request: %s", request);
		for (; count < length; count++)
			numbers[count] = count;
	}
	printf("TIMENS-BEGIN %u\n", sequence);
	fflush(stdout);
	run_sequence(seed, sequence, numbers, count, list);
	printf("TIMENS-END %u\n", sequence);
	fflush(stdout);
}

/* How often each operation came to what. */
static void print_counts(void)
{
	unsigned int kind, error;

	for (kind = 0; kind < NR_KINDS; kind++) {
		printf("TIMENS-COUNT %s", kinds[kind].name);
		for (error = 0; error < 256; error++)
			if (director.counts[kind][error])
				printf(" %s %" PRIu64, error_name(error),
				       director.counts[kind][error]);
		printf("\n");
	}
}

static void share(int fd)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		error(1, errno, "cannot map what is shared");
}

/* Moves a descriptor to where all have it. */
static void place(int fd, int where)
{
	if (fd < 0 || dup2(fd, where) != where)
		error(1, errno, "cannot prepare descriptors");
	close(fd);
}

static void direct(void)
{
	FILE *requests = fopen(REQUESTS, "re");
	char *line = NULL;
	size_t size = 0, i;
	cpu_set_t cpus;
	int fd;

	if (!requests)
		error(1, errno, REQUESTS);
	fd = memfd_create("shared", 0);
	if (fd < 0 || ftruncate(fd, sizeof(*shared)))
		error(1, errno, "cannot share memory");
	place(fd, SHARED_FD);
	share(SHARED_FD);
	for (i = 0; i < NR_SLOTS; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
			error(1, errno, "cannot make a channel");
		director.slots[i] = (struct slot){ .channel = ends[0], .pidfd = -1 };
		place(ends[1], CHANNEL_FD(i));
	}
	for (i = 0; i < NR_SHELVES; i++)
		director.ns[i] = director.files[i] = -1;
	/* Only one process runs at a time, and to wake another CPU takes long. */
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		error(1, errno, "cannot stay on one CPU");
	/* Nobody waits for the workers: they are gone when they have exited. */
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);

	/* An offset of -1 s is always allowed, and differs from the least that is. */
	while (read_clock(clock_gettime, CLOCK_MONOTONIC) < 4 * NSEC_PER_SEC)
		nap();
	shared->monotonic = 0;
	shared->monotonic = -coarse_offset(clock_gettime);
	/* Nothing here suspends, so that both began at once. */
	shared->boottime = shared->monotonic;

	while (getline(&line, &size, requests) > 0) {
		line[strcspn(line, "\n")] = '\0';
		run_request(line);
	}
	print_counts();
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		direct();
		return 0;
	}
	/* In a new program. */
	share(SHARED_FD);
	if (!strcmp(argv[1], "once")) {
		perform();
		if (shared->result >= 0)
			close(shared->result);
		leave();
	}
	say_result(0);
	reply(atoi(argv[2]));
	worker(atoi(argv[2]));
}

// SPDX-License-Identifier: GPL-2.0
/* Operations on namespaces and on their files. */
#include "fuzz.h"

/* Interfaces that the C library's headers may be too old for. */
#define NR_listns	470
#define NS_GET_PARENT	_IO(NSIO, 0x2)
#define NS_GET_NSTYPE	_IO(NSIO, 0x3)
#define NS_GET_OWNER_UID	_IO(NSIO, 0x4)
#define NS_GET_MNTNS_ID	_IOR(NSIO, 5, uint64_t)
#define NS_GET_TGID_IN_PIDNS	_IOR(NSIO, 9, int)
#define PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE	_IO(0xff, 8)
#define PIDFD_GET_USER_NAMESPACE	_IO(0xff, 9)
#define LISTNS_CURRENT_USER	UINT64_MAX

struct ns_id_req {
	uint32_t size;
	uint32_t spare;
	uint64_t ns_id;
	uint32_t ns_type;
	uint32_t spare2;
	uint64_t user_ns_id;
};

static const int ns_flags[] = {
	CLONE_NEWTIME, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWCGROUP,
	CLONE_NEWUSER,
};

/* Mostly a time namespace, alone or with others. */
static int draw_namespace_flags(uint64_t *random)
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

void do_unshare(uint64_t *random)
{
	int flags = draw(random, 2) ? CLONE_NEWTIME : draw_namespace_flags(random);

	print(" %#x", flags);
	print_result(unshare(flags));
}

void do_setns(uint64_t *random)
{
	int flags = PICK(random, 0, 0, 0, 0, 0, CLONE_NEWTIME, CLONE_NEWTIME, CLONE_NEWTIME,
			 CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWTIME | CLONE_NEWUTS, -1);

	print_ns(shared->fd);
	print(" %#x", flags);
	print_result(setns(shared->fd, flags));
}

void do_setns_pidfd(uint64_t *random)
{
	int flags = draw(random, 2) ? CLONE_NEWTIME : draw_namespace_flags(random);

	print(" worker %u %#x", shared->other, flags);
	print_result(setns(shared->fd, flags));
}

void do_open_ns(uint64_t *random)
{
	const char *name = PICK_TEXT(random, "ns/time", "ns/time", "ns/time", "ns/time",
				     "ns/time_for_children", "ns/time_for_children",
				     "ns/time_for_children", "ns/time_for_children", "ns/user",
				     "ns/user", "ns/pid", "ns/uts");
	char path[64];
	int fd;

	draw_proc_path(path, sizeof(path), random, name);
	print(" %s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!print_result(fd))
		print_ns(fd);
	shared->result = fd;
}

/* Compares both links of a task, by text and by inode. */
void print_links(const char *dir)
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
		if (print_result(length))
			return;
		link[i][length] = '\0';
		if (stat(path[i], &stats[i])) {
			print_result(-1);
			return;
		}
		if (sscanf(link[i], "time:[%lu]", &number) != 1 || number != stats[i].st_ino)
			print(" odd %s", link[i]);
		print(" mode %o", stats[i].st_mode);
	}
	print(strcmp(link[0], link[1]) ? " differ" : " same");
}

void do_links(uint64_t *random)
{
	char dir[64];

	draw_proc_path(dir, sizeof(dir), random, "");
	print_links(dir);
}

void do_nsfs(uint64_t *random)
{
	uint64_t id = 0;
	uid_t uid = 0;
	int fd = -1;

	print_ns(shared->fd);
	switch (draw(random, 8)) {
	case 0:
		print(" type");
		print_number(ioctl(shared->fd, NS_GET_NSTYPE));
		break;
	case 1:
		print(" user");
		fd = ioctl(shared->fd, NS_GET_USERNS);
		if (!print_result(fd))
			print_ns(fd);
		break;
	case 2:
		print(" parent");
		fd = ioctl(shared->fd, NS_GET_PARENT);
		if (!print_result(fd))
			print_ns(fd);
		break;
	case 3:
		print(" owner");
		if (!print_result(ioctl(shared->fd, NS_GET_OWNER_UID, &uid)))
			print(" %u", uid);
		break;
	case 4:
		print(" id");
		if (!print_result(ioctl(shared->fd, NS_GET_ID, &id)))
			print_ns_id(id);
		break;
	case 5:
		print(" mount id");
		print_result(ioctl(shared->fd, NS_GET_MNTNS_ID, &id));
		break;
	case 6:
		print(" pid");
		print_result(ioctl(shared->fd, NS_GET_TGID_IN_PIDNS, getpid()));
		break;
	case 7:
		print(" unknown");
		print_result(ioctl(shared->fd, _IO(NSIO, 100 + draw(random, 4))));
		break;
	}
	shared->result = fd;
}

void do_handle(uint64_t *random)
{
	struct handle *handle = &shared->handle;
	int mount;

	(void)random;
	memset(handle, 0, sizeof(*handle));
	handle->head.handle_bytes = sizeof(*handle) - sizeof(handle->head);
	print_ns(shared->fd);
	if (print_result(name_to_handle_at(shared->fd, "", &handle->head, &mount, AT_EMPTY_PATH)))
		return;
	print(" type %#x, %u bytes,", handle->head.handle_type, handle->head.handle_bytes);
	print_ns_id(handle->ns_id);
}

void do_open_handle(uint64_t *random)
{
	struct handle handle = shared->handle;
	int fd, nsfs;

	print_ns_id(handle.ns_id);
	switch (draw(random, 16)) {
	case 0:
		print(" no type");
		handle.ns_type = 0;
		break;
	case 1:
		print(" no type and number");
		handle.ns_type = 0;
		handle.ns_inum = 0;
		break;
	case 2:
		print(" other type");
		handle.ns_type = CLONE_NEWUTS;
		break;
	case 3:
		print(" other number");
		handle.ns_inum++;
		break;
	case 4:
		print(" no id");
		handle.ns_id = 0;
		break;
	case 5:
		print(" short");
		handle.head.handle_bytes -= 4;
		break;
	}
	nsfs = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	fd = open_by_handle_at(nsfs, &handle.head, O_RDONLY | O_CLOEXEC);
	if (!print_result(fd))
		print_ns(fd);
	close(nsfs);
	shared->result = fd;
}

void do_listns(uint64_t *random)
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

	/* The descriptor may not be a namespace, and the namespace may not be a user namespace. */
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
	print(" flags %u size %u spare %u after", flags, req.size, req.spare);
	if (after) {
		req.ns_id = seen;
		print_ns_id(seen);
	} else {
		print(" %" PRIx64, req.ns_id);
	}
	print(" of");
	if (!req.user_ns_id)
		print(" all");
	else if (req.user_ns_id == LISTNS_CURRENT_USER)
		print(" own");
	else
		print_ns_id(req.user_ns_id);
	print(" count %zu", count);
	nr = syscall(NR_listns, &req, ids, count, flags);
	/* After the last one there may be dying namespaces for a while, which are not listed. */
	if (after && (!nr || (nr < 0 && errno == ENOENT)))
		print(" none");
	else
		print_number(nr);
	for (i = 0; i < nr; i++)
		print_ns_id(ids[i]);
}

void do_pidfd_ns(uint64_t *random)
{
	unsigned int request = PICK(random, PIDFD_GET_TIME_NAMESPACE,
				    PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE,
				    PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE, PIDFD_GET_USER_NAMESPACE);
	int fd = ioctl(shared->fd, request, 0);

	print(" worker %u %u", shared->other, request & 0xff);
	if (!print_result(fd))
		print_ns(fd);
	shared->result = fd;
}

void do_stat(uint64_t *random)
{
	struct stat stats;

	(void)random;
	print_ns(shared->fd);
	if (!print_result(fstat(shared->fd, &stats)))
		print(" mode %o links %lu uid %u size %lld", stats.st_mode, (long)stats.st_nlink,
		      stats.st_uid, (long long)stats.st_size);
}

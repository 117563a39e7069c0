// SPDX-License-Identifier: GPL-2.0
/* Operations on the limit of namespaces, and on credentials. */
#include "fuzz.h"

#include <linux/capability.h>

void do_limit(uint64_t *random)
{
	const char *limit = PICK_TEXT(random, "0", "1", "2", "3", "1000", "1000", "1000",
				      "1000", "1000", "1000", "1000", "-1");

	print(" %s", limit);
	print_result(try_write(LIMIT_FILE, limit));
}

/* Makes all permitted capabilities effective but those. */
int drop_capabilities(uint64_t dropped)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -1;
	data[0].effective = data[0].permitted & ~(uint32_t)dropped;
	data[1].effective = data[1].permitted & ~(uint32_t)(dropped >> 32);
	return syscall(SYS_capset, &head, data);
}

#define CAP(name)	(1ULL << CAP_##name)

void do_caps(uint64_t *random)
{
	uint64_t dropped = PICK(random, 0ULL, 0ULL, 0ULL, CAP(SYS_ADMIN), CAP(SYS_TIME),
				CAP(SYS_ADMIN) | CAP(SYS_TIME), CAP(SYS_RESOURCE),
				CAP(SYS_PTRACE), CAP(DAC_READ_SEARCH) | CAP(DAC_OVERRIDE), ~0ULL);

	print(" without %#" PRIx64, dropped);
	print_result(drop_capabilities(dropped));
}

void do_uid(uint64_t *random)
{
	uid_t uid = PICK(random, 0, 1000, 1000, 1001);
	bool effective = draw(random, 2);

	print(" %s %u", effective ? "effective" : "all", uid);
	print_result(effective ? syscall(SYS_setresuid, -1, uid, -1) :
		     syscall(SYS_setresuid, uid, uid, uid));
}

void do_userns(uint64_t *random)
{
	int flags = CLONE_NEWUSER | PICK(random, 0, 0, CLONE_NEWTIME);
	unsigned int uid = geteuid(), gid = getegid();
	char map[32];

	print(" %#x uid %u", flags, uid);
	if (print_result(unshare(flags)))
		return;
	print(" setgroups");
	print_result(try_write("/proc/self/setgroups", "deny"));
	snprintf(map, sizeof(map), "0 %u 1", uid);
	print(" map");
	print_result(try_write("/proc/self/uid_map", map));
	snprintf(map, sizeof(map), "0 %u 1", gid);
	print_result(try_write("/proc/self/gid_map", map));
}

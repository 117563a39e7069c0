// SPDX-License-Identifier: GPL-2.0
/* The operations, and how often each is drawn. */
#include "fuzz.h"

const struct kind_info kinds[NR_KINDS] = {
	[OP_UNSHARE]     = { "unshare",     do_unshare,      10, .anywhere = true },
	[OP_SETNS]       = { "setns",       do_setns,        8, FD_NS, .anywhere = true },
	[OP_SETNS_PIDFD] = { "setns-pidfd", do_setns_pidfd,  5, FD_PIDFD, .anywhere = true },
	[OP_SPAWN]       = { "spawn",       do_spawn,        4 },
	[OP_KILL]        = { "kill",        NULL,            3 },
	[OP_EXEC]        = { "exec",        NULL,            2 },
	[OP_OPEN]        = { "open",        do_open,         5, .gives = FD_OFFSETS, .anywhere = true },
	[OP_WRITE_OPEN]  = { "write-open",  do_write_open,   8, FD_OFFSETS, .anywhere = true },
	[OP_WRITE]       = { "write",       do_write,        14, .anywhere = true },
	[OP_READ_OPEN]   = { "read-open",   do_read_open,    4, FD_OFFSETS, .anywhere = true },
	[OP_READ]        = { "read",        do_read,         6, .anywhere = true },
	[OP_OPEN_NS]     = { "open-ns",     do_open_ns,      7, .gives = FD_NS, .anywhere = true },
	[OP_LINKS]       = { "links",       do_links,        4, .anywhere = true },
	[OP_NSFS]        = { "nsfs",        do_nsfs,         5, FD_NS, FD_NS, .anywhere = true },
	[OP_HANDLE]      = { "handle",      do_handle,       3, FD_NS, .anywhere = true },
	[OP_OPEN_HANDLE] = { "open-handle", do_open_handle,  3, .gives = FD_NS, .anywhere = true },
	[OP_LISTNS]      = { "listns",      do_listns,       3, FD_NS, .anywhere = true },
	[OP_PIDFD_NS]    = { "pidfd-ns",    do_pidfd_ns,     3, FD_PIDFD, FD_NS, .anywhere = true },
	[OP_CLOCKS]      = { "clocks",      do_clocks,       10, .anywhere = true },
	[OP_TIMER]       = { "timer",       do_timer,        4, .anywhere = true },
	[OP_SLEEP]       = { "sleep",       do_sleep,        3, .anywhere = true },
	[OP_UPTIME]      = { "uptime",      do_uptime,       2, .anywhere = true },
	[OP_LIMIT]       = { "limit",       do_limit,        3, .anywhere = true },
	[OP_CAPS]        = { "caps",        do_caps,         3 },
	[OP_UID]         = { "uid",         do_uid,          1 },
	[OP_USERNS]      = { "userns",      do_userns,       2, .anywhere = true },
	[OP_ZOMBIE]      = { "zombie",      do_zombie,       1 },
	[OP_STAT]        = { "stat",        do_stat,         1, FD_NS, .anywhere = true },
};

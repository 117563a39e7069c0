// SPDX-License-Identifier: GPL-2.0
/*
 * The C part of the time namespaces in Rust, namespace_rs.rs: the initial
 * namespace, because NS_COMMON_INIT() is a C macro, and the exported symbols,
 * because Rust code outside of rust/ has no EXPORT_SYMBOL_GPL().
 */

#include <linux/export.h>
#include <linux/mutex.h>
#include <linux/nstree.h>
#include <linux/proc_ns.h>
#include <linux/time_namespace.h>
#include <linux/user_namespace.h>

struct time_namespace init_time_ns = {
	.ns		= NS_COMMON_INIT(init_time_ns),
	.user_ns	= &init_user_ns,
	.offsets_lock	= __MUTEX_INITIALIZER(init_time_ns.offsets_lock),
	.frozen_offsets	= true,
};
EXPORT_SYMBOL_GPL(init_time_ns);

EXPORT_SYMBOL_GPL(do_timens_ktime_to_host);

void __init time_ns_init(void)
{
	ns_tree_add(&init_time_ns);
}

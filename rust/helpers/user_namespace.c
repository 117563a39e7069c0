// SPDX-License-Identifier: GPL-2.0

#include <linux/capability.h>
#include <linux/user_namespace.h>

__rust_helper struct user_namespace *
rust_helper_get_user_ns(struct user_namespace *ns)
{
	return get_user_ns(ns);
}

__rust_helper void rust_helper_put_user_ns(struct user_namespace *ns)
{
	put_user_ns(ns);
}

__rust_helper long rust_helper_ucount_read(struct ucounts *ucounts,
					   enum ucount_type type)
{
	return atomic_long_read(&ucounts->ucount[type]);
}

#ifndef CONFIG_MULTIUSER
__rust_helper bool rust_helper_ns_capable(struct user_namespace *ns, int cap)
{
	return ns_capable(ns, cap);
}
#endif /* CONFIG_MULTIUSER */

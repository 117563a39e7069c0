// SPDX-License-Identifier: GPL-2.0
/* Counts slab objects and charged pages. */
#include "faults.h"

#include <limits.h>
#include <linux/kernel-page-flags.h>

/* How often the rounds are repeated until the leftovers do not grow with them. */
#define MAX_REPEATS	4
#define MAX_CACHES	512
/* How often deferred memory is drained before a count. */
#define NR_DRAINS	8

/* The number of objects in each cache that is counted. */
static struct cache {
	char name[64];
	long long objects;
} caches[MAX_CACHES];

/*
 * Reclaimable objects come and go. vmalloc() frees vmap_area objects late, and the stack of each
 * task has one.
 */
static bool is_counted(const char *cache)
{
	char path[sizeof(SLABS) + sizeof(caches->name) + 32];

	if (!strcmp(cache, "vmap_area"))
		return false;
	snprintf(path, sizeof(path), SLABS "/%.63s/reclaim_account", cache);
	return !read_number(path);
}

static void drain_all(void)
{
	int times;

	for (times = 0; times < NR_DRAINS; times++)
		drain();
}

static long long slab_objects(const char *name)
{
	char path[sizeof(SLABS) + sizeof(caches->name) + 16];

	snprintf(path, sizeof(path), SLABS "/%.63s/objects", name);
	return read_number(path);
}

static void count_slab_objects(void)
{
	struct cache *cache = caches;
	struct dirent *entry;
	DIR *slabs = opendir(SLABS);

	if (!slabs)
		error(2, errno, "cannot read " SLABS);
	while ((entry = readdir(slabs))) {
		/* Links are other names of the same caches. */
		if (entry->d_name[0] == '.' || entry->d_type != DT_DIR)
			continue;
		if (cache == caches + MAX_CACHES || strlen(entry->d_name) >= sizeof(cache->name))
			error(2, 0, "too many caches in " SLABS);
		if (!is_counted(entry->d_name))
			continue;
		strcpy(cache->name, entry->d_name);
		cache++;
	}
	/* Before they are counted: an open directory is an object too. */
	closedir(slabs);
	if (cache == caches)
		error(2, 0, SLABS " has no cache that is counted");
	for (cache = caches; cache < caches + MAX_CACHES && *cache->name; cache++)
		cache->objects = slab_objects(cache->name);
}

/* The cache that has grown most since the count, and by how many objects. */
static const struct cache *most_grown(long long *more)
{
	const struct cache *cache, *most = caches;

	*more = LLONG_MIN;
	for (cache = caches; cache < caches + MAX_CACHES && *cache->name; cache++) {
		long long growth = slab_objects(cache->name) - cache->objects;

		if (growth > *more) {
			*more = growth;
			most = cache;
		}
	}
	return most;
}

/*
 * The number of kernel pages that are charged to a cgroup. Looks at each page of the guest, because
 * memory.stat grows by a page for every two dozen tasks that come and go, on the C kernel too.
 */
static unsigned int charged_pages(const char *cgroup)
{
	const uint64_t users = 1 << KPF_LRU | 1 << KPF_ANON | 1 << KPF_MMAP | 1 << KPF_SWAPBACKED;
	int owners = must(open("/proc/kpagecgroup", O_RDONLY), "open /proc/kpagecgroup");
	int flags = must(open("/proc/kpageflags", O_RDONLY), "open /proc/kpageflags");
	static uint64_t owner[4096], flag[4096];
	const ino_t wanted = inode(cgroup);
	unsigned int count = 0;
	ssize_t length, i;

	while ((length = must(read(owners, owner, sizeof(owner)), "read /proc/kpagecgroup"))) {
		if (read(flags, flag, length) != length)
			error(2, errno, "cannot read /proc/kpageflags");
		for (i = 0; i < length / (ssize_t)sizeof(*owner); i++)
			count += owner[i] == wanted && !(flag[i] & users);
	}
	close(flags);
	close(owners);
	return count;
}

/* Repeats all operations, and checks that the leftovers do not grow. */
void check_leaks(struct counts *counts)
{
	unsigned int pages, done, i;
	const struct cache *cache;
	long long more;

	drain_all();
	count_slab_objects();
	pages = charged_pages(CGROUPS "faults");
	/* A leak is at least one object in two rounds. Other growth ignores the rounds. */
	for (done = rounds; ; done += rounds) {
		for (i = 0; i < rounds; i++)
			sweep_all(counts);
		drain_all();
		cache = most_grown(&more);
		printf("# %u rounds: %s has %lld objects more than %lld, no cache has more\n", done,
		       cache->name, more, cache->objects);
		if (2 * more < done || done == MAX_REPEATS * rounds)
			break;
	}
	print_test(2 * more < done, "no slab object is left", "%lld are in %s, after %u rounds", more,
		   cache->name, done);
	more = (long long)charged_pages(CGROUPS "faults") - pages;
	printf("# %u rounds: %lld charged pages more than %u\n", done, more, pages);
	print_test(2 * more < done, "no charged page is left", "%lld are, after %u rounds", more,
		   done);
}

/* A control for the test above: charged_pages() counts the page of a namespace. */
void check_page_visible(void)
{
	pid_t pid = must(fork(), "fork");

	if (!pid) {
		unsigned int before;

		/* The pages of earlier namespaces are freed late. */
		drain_all();
		before = charged_pages(CGROUPS "faults");
		prepare_offsets();
		_exit(charged_pages(CGROUPS "faults") <= before);
	}
	print_test(!wait_for(pid), "the page of a namespace with offsets is counted", "it is not");
}

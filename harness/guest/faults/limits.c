// SPDX-License-Identifier: GPL-2.0
/* Checks the counts of namespaces by their limit. */
#include "faults.h"

/* How many namespaces can exist at once, up to @most. A child makes each. */
static unsigned int count_allowed(void (*prepare)(void), unsigned int most)
{
	pid_t pids[64];
	unsigned int count, i;

	for (count = 0; count < most; count++) {
		int ready[2];
		char made;

		must(pipe(ready), "make a pipe");
		pids[count] = must(fork(), "fork");
		if (!pids[count]) {
			must(prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
			prepare();
			made = !unshare(CLONE_NEWTIME);
			if (!made && errno != ENOSPC)
				error(2, errno, "unshare fails, but not with ENOSPC");
			must(write(ready[1], &made, 1), "write to a pipe");
			pause();
			_exit(0);
		}
		close(ready[1]);
		if (read(ready[0], &made, 1) != 1)
			error(2, 0, "a child failed");
		close(ready[0]);
		if (!made) {
			kill(pids[count], SIGKILL);
			wait_for(pids[count]);
			break;
		}
	}
	for (i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		wait_for(pids[i]);
	}
	return count;
}

/* A namespace whose count was leaked would take the place of another. */
void check_limit(const char *when)
{
	static const struct {
		const char *name;
		void (*prepare)(void);
	} users[] = { { "root", prepare_nothing }, { "a new user", prepare_user } };
	static const unsigned int limits[] = { 0, 1, 7 };
	long long limit = read_number(LIMIT_FILE);
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(users); i++) {
		for (j = 0; j < ARRAY_SIZE(limits); j++) {
			unsigned int count;
			char name[128];

			write_file(LIMIT_FILE, "%u", limits[j]);
			count = count_allowed(users[i].prepare, limits[j] + 1);
			sprintf(name, "a limit of %u allows %s as many namespaces %s", limits[j],
				users[i].name, when);
			print_test(count == limits[j], name, "it allows %u", count);
		}
	}
	write_file(LIMIT_FILE, "%lld", limit);
}

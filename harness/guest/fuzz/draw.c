// SPDX-License-Identifier: GPL-2.0
/* Draws random numbers, operations and arguments. */
#include "fuzz.h"

uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

unsigned int draw(uint64_t *random, unsigned int below)
{
	*random = mix(*random);
	return (*random >> 32) % below;
}

/* The path of a file in /proc/PID: mostly of the task itself, else of the other worker. */
void draw_proc_path(char *path, size_t size, uint64_t *random, const char *file)
{
	if (draw(random, 3)) {
		print(" self");
		snprintf(path, size, "/proc/self/%s", file);
	} else {
		print(" worker %u", shared->other);
		snprintf(path, size, "/proc/%d/%s", shared->pid, file);
	}
}

/* Without this the offsets would be frozen most of the time. */
void often_unshare(uint64_t *random)
{
	if (draw(random, 3)) {
		print(" unshare");
		print_result(unshare(CLONE_NEWTIME));
	}
}

struct operation draw_operation(uint64_t seed, unsigned int sequence, unsigned int number)
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

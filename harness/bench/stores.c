// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU's TCG: which cache lines do both of two CPUs store to, in the kernel, time and
 * again? Those are what tasks that have nothing to do with each other wait for.
 *
 * Options: least=NUMBER of stores by each CPU, out=FILE for the lines. FILE has "STORED cpu" for a
 * CPU that stored that often to any line, and "SHARED address" with the kernel's address of a line.
 *
 * What is declared here is QEMU's qemu-plugin.h, which distributions seldom package.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT		__attribute__((visibility("default")))
#define CPUS		2
#define LINE_SHIFT	6
#define LINES		((uint64_t)1 << (32 - LINE_SHIFT))
#define KERNEL		((uint64_t)1 << 63)

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;

enum { QEMU_PLUGIN_CB_NO_REGS };
enum { QEMU_PLUGIN_MEM_W = 2 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
	void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
	void (*cb)(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data),
	int flags, int rw, void *data);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *haddr);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *haddr);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
	void (*cb)(qemu_plugin_id_t id, void *data), void *data);

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

/* Each CPU has a thread, which counts for itself; by physical line. */
static uint32_t *stores[CPUS];
/* Where the kernel last stored to a line. */
static uint64_t *addresses;
static uint32_t least;
static const char *out;

static void on_store(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	const struct qemu_plugin_hwaddr *place;
	uint64_t line;

	(void)data;
	/* QEMU doesn't always keep to what it was asked for. */
	if (cpu >= CPUS || !qemu_plugin_mem_is_store(info))
		return;
	place = qemu_plugin_get_hwaddr(info, vaddr);
	if (!place || qemu_plugin_hwaddr_is_io(place))
		return;
	line = qemu_plugin_hwaddr_phys_addr(place) >> LINE_SHIFT;
	if (line >= LINES)
		return;
	stores[cpu][line]++;
	addresses[line] = vaddr;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb), i;

	(void)id;
	for (i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_vaddr(insn) >= KERNEL)
			qemu_plugin_register_vcpu_mem_cb(insn, on_store, QEMU_PLUGIN_CB_NO_REGS,
							 QEMU_PLUGIN_MEM_W, NULL);
	}
}

static void at_exit(qemu_plugin_id_t id, void *data)
{
	bool stored[CPUS] = {};
	FILE *file = fopen(out, "w");
	unsigned int cpu;
	uint64_t line;

	(void)id;
	(void)data;
	if (!file) {
		perror(out);
		return;
	}
	for (line = 0; line < LINES; line++) {
		bool shared = true;

		for (cpu = 0; cpu < CPUS; cpu++) {
			bool often = stores[cpu][line] >= least;

			stored[cpu] |= often;
			shared &= often;
		}
		if (shared)
			fprintf(file, "SHARED %#llx\n", (unsigned long long)addresses[line]);
	}
	for (cpu = 0; cpu < CPUS; cpu++)
		if (stored[cpu])
			fprintf(file, "STORED %u\n", cpu);
	if (fclose(file))
		perror(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	unsigned int cpu;
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "least=", 6))
			least = strtoul(argv[i] + 6, NULL, 10);
		else if (!strncmp(argv[i], "out=", 4))
			out = strdup(argv[i] + 4);
	}
	/* Far more than is used, which the host allocates only as it is written. */
	addresses = calloc(LINES, sizeof(*addresses));
	for (cpu = 0; cpu < CPUS; cpu++)
		stores[cpu] = calloc(LINES, sizeof(*stores[cpu]));
	if (!least || !out || !addresses || !stores[0] || !stores[1]) {
		fprintf(stderr, "stores: least=NUMBER and out=FILE are needed, and memory\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}

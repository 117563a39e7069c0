// SPDX-License-Identifier: GPL-2.0
/* Replaces the numbers in a result that differ from run to run. */
#include "fuzz.h"

#define MAX_IDS		512

static uint64_t ids[MAX_IDS];
static unsigned int nr_ids;

/* Starts to number namespaces again. */
void forget_namespaces(void)
{
	nr_ids = 0;
}

/* The number of a namespace in this sequence: the order in which they appear. */
static unsigned int ns_number(uint64_t id)
{
	unsigned int i;

	for (i = 0; i < nr_ids; i++)
		if (ids[i] == id)
			return i;
	if (i == MAX_IDS)
		fatal("more than %u namespaces in a sequence", MAX_IDS);
	ids[nr_ids++] = id;
	return i;
}

/* Replaces each number with these digits by a name. */
static void replace_number(char *text, const char *digits, const char *name)
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

/* Replaces an offset that depends on the time, both as it is written and as it is read. */
static void replace_offset(char *text, int64_t value, const char *name)
{
	char digits[24];

	snprintf(digits, sizeof(digits), WRITTEN_OFFSET, value);
	replace_number(text, digits, name);
	snprintf(digits, sizeof(digits), READ_OFFSET, value);
	replace_number(text, digits, name);
}

/* Copies the result to @line, with names for the ids of namespaces and for current times. */
void normalize_text(char *line, size_t size)
{
	char *end, *out = line, *in = shared->text;

	shared->text[shared->length] = '\0';
	while (*in && out < line + size - 32) {
		if (*in == '{') {
			uint64_t id = strtoull(in + 1, &end, 16);

			if (id <= NS_INIT_IDS)
				out += sprintf(out, "init-ns%" PRIu64, id);
			else
				out += sprintf(out, "ns%u", ns_number(id));
			in = end + 1;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
	replace_offset(line, shared->behind, "BEHIND");
	replace_offset(line, shared->ahead, "AHEAD");
}

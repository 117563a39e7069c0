// SPDX-License-Identifier: GPL-2.0
/* Prints tests, and keeps the failures of one. */
#include "faults.h"

unsigned int number, failures;

void print_test(bool passed, const char *name, const char *format, ...)
{
	va_list arguments;

	if (!passed && *format) {
		va_start(arguments, format);
		printf("# ");
		vprintf(format, arguments);
		printf("\n");
		va_end(arguments);
	}
	printf("%sok %u %s\n", passed ? "" : "not ", ++number, name);
	failures += !passed;
}

/* Keeps the first failure. */
void record_failure(const char *format, ...)
{
	va_list arguments;

	if (*result->failure)
		return;
	va_start(arguments, format);
	vsnprintf(result->failure, sizeof(result->failure), format, arguments);
	va_end(arguments);
}

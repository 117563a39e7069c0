// SPDX-License-Identifier: GPL-2.0
/* Prints into the result of the operation. */
#include "fuzz.h"

__attribute__((format(printf, 1, 2))) void print(const char *format, ...)
{
	size_t room = sizeof(shared->text) - shared->length;
	va_list list;
	int length;

	va_start(list, format);
	length = vsnprintf(shared->text + shared->length, room, format, list);
	va_end(list);
	shared->length += (size_t)length < room ? (size_t)length : room - 1;
}

const char *error_name(int error)
{
	const char *name = error ? strerrorname_np(error) : "ok";

	return name ? name : "unknown";
}

/* Prints whether a system call succeeded, and its error. Returns the error. */
int print_result(long result)
{
	int error = result < 0 ? errno : 0;

	shared->error = error;
	print(" = %s", error_name(error));
	return error;
}

/* Prints the number that a system call returned, or its error. */
void print_number(long result)
{
	if (result < 0) {
		print_result(result);
	} else {
		shared->error = 0;
		print(" = %ld", result);
	}
}

static bool is_digit(char c)
{
	return '0' <= c && c <= '9';
}

void print_quoted(const char *text, size_t length)
{
	size_t i;

	print(" \"");
	/* Does not cut within a number of 64 bits: normalize_text() may replace it. */
	for (i = 0; i < length; i++) {
		if (i >= 120 || (i >= 100 && !(is_digit(text[i - 1]) && is_digit(text[i]))))
			break;
		if (text[i] == '\n')
			print("\\n");
		else if (text[i] == '\t')
			print("\\t");
		else if (text[i] < ' ')
			print("\\x%02x", text[i]);
		else
			print("%c", text[i]);
	}
	print(i < length ? "\"+%zu" : "\"", length - i);
}

/* normalize_text() replaces the id by the namespace's number. */
void print_ns_id(uint64_t id)
{
	print(" {%016" PRIx64 "}", id);
}

void print_ns(int fd)
{
	uint64_t id;

	if (ioctl(fd, NS_GET_ID, &id))
		print(" %s", error_name(errno));
	else
		print_ns_id(id);
}

// SPDX-License-Identifier: GPL-2.0
/* Operations on timens_offsets. */
#include "fuzz.h"

#include <sys/uio.h>

void do_open(uint64_t *random)
{
	int flags = PICK(random, O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_TRUNC,
			 O_RDWR | O_APPEND);
	char path[64];
	int fd;

	often_unshare(random);
	draw_proc_path(path, sizeof(path), random, "timens_offsets");
	print(" %#o", flags);
	fd = open(path, flags | O_CLOEXEC);
	print_result(fd);
	shared->result = fd;
}

static void draw_offsets(char text[6 * PAGE], size_t *length, uint64_t *random)
{
	unsigned int lines = draw(random, 8) ? 1 + draw(random, 2) : draw(random, 5);
	bool strange = !draw(random, 4), edge = false;
	size_t at = 0;

	text[0] = '\0';
	while (lines--) {
		const char *clock = PICK_TEXT(random, "monotonic", "boottime", "1", "7");
		const char *nsec = PICK_TEXT(random, "0", "0", "1", "500000000", "999999999", "100000000");
		const char *space = " ", *end = lines || draw(random, 2) ? "\n" : "";
		char sec[32];

		snprintf(sec, sizeof(sec), "%" PRId64,
			 PICK(random, 0, 1, -1, 5, 1000, 86400, 100000000, 4611680000));
		switch (draw(random, 8)) {
		case 0:
			snprintf(sec, sizeof(sec), WRITTEN_OFFSET, shared->behind);
			edge = true;
			break;
		case 1:
			snprintf(sec, sizeof(sec), WRITTEN_OFFSET, shared->ahead);
			edge = true;
			break;
		}
		if (strange && !draw(random, 2))
			clock = PICK_TEXT(random, "0", "2", "01", "8", "-1", "", "mono", "Monotonic",
				     "monotonicx", "monotoni", "boottimes", "boottime1", "realtime",
				     "tai", "1.0", "x", "monotonic monotonic");
		if (strange && !draw(random, 3)) {
			int64_t edge = PICK(random, KTIME_SEC_MAX, -KTIME_SEC_MAX,
					    KTIME_SEC_MAX + 1, -KTIME_SEC_MAX - 1,
					    KTIME_SEC_MAX / 2, KTIME_SEC_MAX / 2 + 1,
					    -100000000, INT64_MAX, INT64_MIN, INT32_MIN);

			snprintf(sec, sizeof(sec), "%" PRId64, edge);
		} else if (strange && !draw(random, 4)) {
			strcpy(sec, PICK_TEXT(random, "", "x", "+5", "0x10", "010", "1e3",
					 "--1", "5.5", "9223372036854775808",
					 "99999999999999999999999", "-0", "5x"));
		}
		if (strange && !draw(random, 3))
			nsec = PICK_TEXT(random, "1000000000", "-1", "", "x", "4294967296",
				    "18446744073709551615", "18446744073709551616", "+1", "0x1",
				    "007", "1 1", "1x", "-999999999");
		if (strange && !edge && !draw(random, 4))
			space = PICK_TEXT(random, "\t", "  ", "", "\v", "   \t ", ",", "\r");
		if (strange && !draw(random, 8))
			end = PICK_TEXT(random, "\n\n", " \n", "\r\n", ";", "\n \n", "\n\t");
		at += snprintf(text + at, PAGE - at, "%s%s%s%s%s%s",
			       strange && !draw(random, 8) ? " " : "", clock, space, sec, space,
			       nsec);
		at += snprintf(text + at, PAGE - at, "%s", end);
	}
	*length = at;
	/* normalize_text() does not find a part of an offset that depends on the time. */
	if (strange && !edge) {
		switch (draw(random, 6)) {
		case 0: /* cut off */
			*length = draw(random, at + 1);
			break;
		case 1: /* with the terminating null */
			*length = at + 1;
			break;
		case 2: /* a null within it */
			text[draw(random, at + 1)] = '\0';
			break;
		case 3: /* about as long as a page, or longer */
			*length = PICK(random, PAGE - 2, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE,
				       5 * PAGE);
			memset(text + at, PICK(random, '\0', ' ', '\n', '0'), 6 * PAGE - at);
			break;
		}
	}
}

static void write_offsets(int fd, uint64_t *random)
{
	char *text = shared->text + 2 * PAGE;
	size_t length, half;
	loff_t position;
	ssize_t result;

	/* Uses the end of the result, which no operation fills. */
	draw_offsets(text, &length, random);
	switch (draw(random, 12)) {
	default:
		print(" write");
		print_quoted(text, length);
		result = write(fd, text, length);
		break;
	case 0:
		position = PICK(random, 0, 0, 1, 26, -1);
		print(" pwrite %lld", (long long)position);
		print_quoted(text, length);
		result = pwrite(fd, text, length, position);
		break;
	case 1:
		position = PICK(random, 0, 1, 26, 52, 100);
		print(" lseek %lld", (long long)position);
		print_number(lseek(fd, position, SEEK_SET));
		print(", write");
		print_quoted(text, length);
		result = write(fd, text, length);
		lseek(fd, 0, SEEK_SET);
		break;
	case 2:
		print(" twice");
		print_quoted(text, length);
		print_number(write(fd, text, length));
		print(" and");
		result = write(fd, text, length);
		break;
	case 3:
		half = draw(random, length + 1);
		print(" writev %zu + %zu", half, length - half);
		print_quoted(text, length);
		result = writev(fd, (struct iovec[]){ { text, half },
						      { text + half, length - half } }, 2);
		break;
	case 4:
		length = PICK(random, 0, 1, PAGE - 1, PAGE);
		print(" from nowhere, %zu", length);
		result = syscall(SYS_write, fd, (void *)8, length);
		break;
	}
	print_number(result);
}

void do_write_open(uint64_t *random)
{
	write_offsets(shared->fd, random);
}

void do_write(uint64_t *random)
{
	char path[64];
	int fd;

	often_unshare(random);
	draw_proc_path(path, sizeof(path), random, "timens_offsets");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		print_result(fd);
		return;
	}
	write_offsets(fd, random);
	close(fd);
}

/*
 * Prints the text that was read from @position on. A part of the text is only compared with the
 * whole: normalize_text() does not find a part of an offset that depends on the time.
 */
static void print_part(int fd, const char *text, ssize_t length, loff_t position)
{
	char whole[1000];
	ssize_t size;

	print_number(length);
	if (length <= 0)
		return;
	size = pread(fd, whole, sizeof(whole), 0);
	if (size >= position + length && !memcmp(whole + position, text, length)) {
		if (length < size) {
			print(" a part");
			return;
		}
	} else {
		print(" NOT A PART");
	}
	print_quoted(text, length);
}

void read_offsets(int fd, uint64_t *random)
{
	size_t count = PICK(random, 1000, 1000, 1000, 0, 1, 10, 31, 32, 33, 62, 63);
	loff_t position = PICK(random, 0, 0, 0, 0, 1, 31, 32, 61, 62, 63, 1000, -1);
	char text[1000];
	int i;

	if (!draw(random, 4)) {
		print(" pread %zu at %lld", count, (long long)position);
		print_part(fd, text, pread(fd, text, count, position), position);
		return;
	}
	print(" lseek %lld", (long long)position);
	print_number(lseek(fd, position, SEEK_SET));
	for (i = 0; i < 3; i++) {
		position = lseek(fd, 0, SEEK_CUR);
		print(" read %zu", count);
		print_part(fd, text, read(fd, text, count), position);
	}
}

void do_read_open(uint64_t *random)
{
	read_offsets(shared->fd, random);
	lseek(shared->fd, 0, SEEK_SET);
}

void do_read(uint64_t *random)
{
	char path[64];
	int fd;

	draw_proc_path(path, sizeof(path), random, "timens_offsets");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		print_result(fd);
		return;
	}
	read_offsets(fd, random);
	close(fd);
}

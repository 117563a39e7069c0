// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of a guest for another architecture, which has no other program but the
 * tests: runs those of /list, each of which is a line with path, seconds and tries,
 * as the job "programs" of the other guests does, and powers off.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

static double uptime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void mount_at(const char *type, const char *dir)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, 0, NULL))
		printf("TIMENS-GUEST-FAULT mount %s: %s\n", dir, strerror(errno));
}

/* Whether the clock source is the one that the vDSO can read, if it has to: else it proves nothing. */
static int check_clocksource(void)
{
	const char *wanted = getenv("TIMENS_CLOCKSOURCE");
	char name[64] = "";
	FILE *file;

	if (!wanted)
		return 0;
	file = fopen(CLOCKSOURCE, "r");
	if (file) {
		if (!fgets(name, sizeof(name), file))
			name[0] = '\0';
		fclose(file);
	}
	name[strcspn(name, "\n")] = '\0';
	if (!strcmp(name, wanted))
		return 0;
	printf("TIMENS-GUEST-FAULT the clock source is '%s'\n", name);
	return 1;
}

/* The status as a shell has it: that of a signal is 128 more. */
static int shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void run_test(char *path)
{
	char *name = strrchr(path, '/') + 1;

	setsid();
	name[-1] = '\0';
	if (chdir("/selftests") || chdir(path))
		_exit(127);
	execl(name, name, NULL);
	_exit(127);
}

/* Waits for one test among all that PID 1 inherits. */
static int wait_for(pid_t child, int limit)
{
	const double end = uptime() + limit;
	int status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid == child)
			break;
		if (pid > 0)
			continue;
		if (uptime() > end)
			kill(-child, SIGKILL);
		usleep(10000);
	}
	return shell_status(status);
}

static int run(char *path, int limit)
{
	pid_t child;
	int status;

	printf("TIMENS-BEGIN %s %.2f\n", path, uptime());
	child = fork();
	if (!child)
		run_test(path);
	status = child < 0 ? 127 : wait_for(child, limit);
	printf("\nTIMENS-END %s %d %.2f\n", path, status, uptime());
	/* 4 is kselftest's way to say that it was skipped. */
	return status && status != 4;
}

static int run_all(void)
{
	FILE *list = fopen("/list", "re");
	int limit, tries;
	char path[256];

	if (!list || check_clocksource())
		return 1;
	while (fscanf(list, "%255s %d %d", path, &limit, &tries) == 3) {
		while (run(path, limit) && --tries > 0)
			;
	}
	return 0;
}

int main(void)
{
	int tty;

	mount_at("devtmpfs", "/dev");
	tty = open("/dev/hvc0", O_RDWR);
	if (tty < 0)
		tty = open("/dev/ttyS0", O_RDWR);
	if (tty >= 0) {
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(tty, 1);
		dup2(tty, 2);
	}
	setlinebuf(stdout);
	printf("TIMENS-GUEST-BOOT\n");
	mount_at("proc", "/proc");
	mount_at("sysfs", "/sys");
	mount_at("tmpfs", "/tmp");
	printf("\nTIMENS-GUEST-END %d\n", run_all());
	tcdrain(1);
	reboot(RB_POWER_OFF);
	return 1;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of a guest without busybox, as for another architecture. Runs the tests in /list, each a
 * line "PATH LIMIT TRIES [ENVIRONMENT]", as the job "programs" of the other guests does, and powers
 * off. A test runs again unless its exit status is that of success or of a skipped test.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
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

/* Whether the clock source is the wanted one. With another, the vDSO may use system calls. */
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

/* The exit status as in a shell: 128 and the signal's number for a killed process. */
static int shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The namespace is entered by exec. The offsets are those of the job "programs". */
static void enter_namespace(void)
{
	static const char offsets[] = "monotonic 864000 0\nboottime 7776000 0\n";
	int fd;

	if (unshare(CLONE_NEWTIME))
		_exit(127);
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, offsets, strlen(offsets)) != (ssize_t)strlen(offsets))
		_exit(127);
	close(fd);
}

static void run_test(const char *path, bool in_namespace)
{
	const char *name = strrchr(path, '/') + 1;
	char dir[256];

	setsid();
	snprintf(dir, sizeof(dir), "/selftests/%.*s", (int)(name - path), path);
	if (chdir(dir))
		_exit(127);
	if (in_namespace)
		enter_namespace();
	execl(name, name, NULL);
	_exit(127);
}

/* Waits for one test, and reaps the orphans that PID 1 inherits. */
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

static int run(const char *path, int limit, bool in_namespace)
{
	const char *suffix = in_namespace ? "@namespace" : "";
	pid_t child;
	int status;

	printf("TIMENS-BEGIN %s%s %.2f\n", path, suffix, uptime());
	child = fork();
	if (!child)
		run_test(path, in_namespace);
	status = child < 0 ? 127 : wait_for(child, limit);
	printf("\nTIMENS-END %s%s %d %.2f\n", path, suffix, status, uptime());
	/* kselftest exits with 4 when all is skipped. */
	return status && status != 4;
}

static int run_all(void)
{
	FILE *list = fopen("/list", "re");
	char line[512], path[200], environment[32];
	int limit, tries;

	if (!list || check_clocksource())
		return 1;
	while (fgets(line, sizeof(line), list)) {
		strcpy(environment, "host");
		if (sscanf(line, "%199s %d %d %31s", path, &limit, &tries, environment) < 3) {
			printf("TIMENS-GUEST-FAULT invalid line in /list: %s", line);
			return 1;
		}
		while (run(path, limit, !strcmp(environment, "namespace")) && --tries > 0)
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

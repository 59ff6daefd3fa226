/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/sandbox.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "bake/roles.h"
#include "base/file.h"
#include "base/mem.h"

#define GUARD_GRACE_MS 2000

static void block_signals(sigset_t *set)
{
	(void) sigemptyset(set);
	(void) sigaddset(set, SIGTERM);
	(void) sigaddset(set, SIGINT);
	(void) sigaddset(set, SIGHUP);
	(void) sigaddset(set, SIGCHLD);
	(void) sigprocmask(SIG_BLOCK, set, NULL);
}

static int reap(pid_t pid, bool block, int *ret_status)
{
	pid_t got;

	do
		got = waitpid(pid, ret_status, block ? 0 : WNOHANG);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got == pid;
}

int sandbox_wait(int pid, int life_fd, int grace_ms)
{
	sigset_t set;
	auto_fd int sfd = -1;
	bool stopping = false;
	int status = 0;

	block_signals(&set);
	sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sfd < 0)
		return -errno;
	for (;;) {
		struct pollfd p[2] = {{.fd = sfd, .events = POLLIN},
				      {.fd = stopping ? -1 : life_fd, .events = POLLIN}};
		struct signalfd_siginfo si;
		bool stop = false;
		int r = reap(pid, false, &status);

		if (r != 0)
			return r < 0 ? r : status;
		r = poll(p, 2, stopping ? grace_ms : -1);
		if (r == 0) {
			(void) kill(pid, SIGKILL);
			r = reap(pid, true, &status);
			return r < 0 ? r : status;
		}
		if (p[1].revents)
			stop = true;
		while (read(sfd, &si, sizeof(si)) == (ssize_t) sizeof(si))
			if (si.ssi_signo != SIGCHLD)
				stop = true;
		if (stop && !stopping) {
			stopping = true;
			(void) kill(pid, grace_ms > 0 ? SIGTERM : SIGKILL);
		}
	}
}

/* In the child: signals as a fresh program expects them, and death with the parent. */
static void child_reset(pid_t parent)
{
	sigset_t none;

	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(SANDBOX_EXIT_SETUP);
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int guard(int life_fd, int keep_fd, int grace_ms, char **argv)
{
	sigset_t set;
	pid_t pid, self = getpid();
	int status;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		fprintf(stderr, "sandbox guard: private mount namespace: %s\n", strerror(errno));
		return SANDBOX_EXIT_SETUP;
	}
	block_signals(&set);
	pid = fork();
	if (pid < 0) {
		fprintf(stderr, "sandbox guard: fork: %s\n", strerror(errno));
		return SANDBOX_EXIT_SETUP;
	}
	if (pid == 0) {
		child_reset(self);
		(void) close(life_fd);
		(void) execv(argv[0], argv);
		fprintf(stderr, "sandbox guard: %s: %s\n", argv[0], strerror(errno));
		_exit(SANDBOX_EXIT_EXEC);
	}
	if (keep_fd >= 0)
		(void) close(keep_fd); /* so that its peer sees the end of the program */
	status = sandbox_wait(pid, life_fd, grace_ms);
	return status < 0 ? SANDBOX_EXIT_SETUP : exit_status(status);
}

static int step(int spec_fd, int status_fd, int life_fd)
{
	auto_buf struct buf text = BUF_INIT(SANDBOX_SPEC_MAX);
	auto_json json_t *spec = NULL;
	struct err err = ERR_INIT;
	sigset_t set;
	int r;

	block_signals(&set);
	r = file_read_fd(spec_fd, &text);
	if (r < 0)
		(void) err_set(&err, r, "sandbox specification: %s", strerror(-r));
	else
		r = json_parse(text.data, text.len, &spec, &err);
	if (r == 0) {
		(void) close(spec_fd);
		r = sandbox_step(spec, life_fd, &err);
	}
	if (r < 0) {
		/* Best effort: without the text the caller still sees the exit status. */
		dprintf(status_fd, "%s", err_str(&err));
		r = SANDBOX_EXIT_SETUP;
	}
	err_done(&err);
	return r;
}

/* Holds a frozen file system; thaws it when the other end of the pipe closes without a word. */
static int thaw(int life_fd, int root_fd)
{
	char byte;
	ssize_t n;

	do
		n = read(life_fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return 0;
	return ioctl(root_fd, FITHAW, 0) < 0 && errno != EINVAL ? 1 : 0;
}

static int number(const char *s)
{
	char *end;
	long v = strtol(s, &end, 10);

	return *s && !*end && v >= 0 && v < 1 << 20 ? (int) v : -1;
}

int sandbox_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"spec-fd", required_argument, NULL, 's'},
		{"status-fd", required_argument, NULL, 'e'},
		{"life-fd", required_argument, NULL, 'l'},
		{"keep-fd", required_argument, NULL, 'k'},
		{"grace-ms", required_argument, NULL, 'g'},
		{NULL, 0, NULL, 0},
	};
	int spec_fd = -1, status_fd = -1, life_fd = -1, keep_fd = -1, c;
	int grace_ms = GUARD_GRACE_MS;
	const char *mode = argc > 1 ? argv[1] : "";

	optind = 2;
	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		int v = c == '?' ? -1 : number(optarg);

		if (v < 0)
			return 2;
		*(c == 's'   ? &spec_fd
		  : c == 'e' ? &status_fd
		  : c == 'l' ? &life_fd
		  : c == 'k' ? &keep_fd
			     : &grace_ms) = v;
	}
	if (str_eq(mode, "step") && spec_fd > 2 && status_fd > 2 && life_fd > 2)
		return step(spec_fd, status_fd, life_fd);
	if (str_eq(mode, "guard") && life_fd > 2 && optind < argc && argv[optind][0] == '/')
		return guard(life_fd, keep_fd, grace_ms, argv + optind);
	if (str_eq(mode, "thaw") && life_fd > 2 && keep_fd > 2)
		return thaw(life_fd, keep_fd);
	fprintf(stderr, "sandbox: a helper role of kiln itself, not for the command line\n");
	return 2;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The confined step. Order matters: cgroup files are opened before the mount namespace changes,
 * the user namespace that maps the mount's ids is made before, and the runtime is pid 1 of a pid
 * namespace of ours, so that its end is everybody's end whatever it started.
 */
#include "bake/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/mem.h"

#define MAX_CGROUPS 8
#define LOG_MAX     (64u << 10)

struct step {
	const json_t *spec;
	int cgroups[MAX_CGROUPS];
	size_t n_cgroups;
	bool terminal;
};

static int open_cgroups(struct step *s, struct err *err)
{
	const json_t *list = json_object_get(s->spec, "cgroups"), *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *path = json_string_value(item);
		int fd;

		if (!path || i >= MAX_CGROUPS)
			return err_set(err, -EINVAL, "cgroups: at most %d paths", MAX_CGROUPS);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
		s->cgroups[s->n_cgroups++] = fd;
	}
	return 0;
}

/* Everything of the calling process that the command must not inherit. */
static int enter_cgroups(const struct step *s)
{
	for (size_t i = 0; i < s->n_cgroups; i++)
		if (write(s->cgroups[i], "0", 1) != 1)
			return -errno;
	return 0;
}

/* The shell behind us waits; its terminal belongs to the command until it ends. */
static void take_terminal(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, dfl = {.sa_handler = SIG_DFL};

	/* The group that we are in begins outside this pid namespace and has no number here. */
	(void) setpgid(0, 0);
	(void) sigaction(SIGTTOU, &ignore, NULL);
	(void) tcsetpgrp(0, getpgrp());
	(void) sigaction(SIGTTOU, &dfl, NULL);
}

/* An empty pipe as standard input: the runtime changes the owner of what it finds there, which
 * for /dev/null would be the host's. */
static int empty_input(void)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0 || dup2(p[0], 0) < 0)
		return -errno;
	(void) close(p[0]);
	(void) close(p[1]);
	return 0;
}

static void exec_runtime(const struct step *s)
{
	const char *crun = json_str_at(s->spec, "crun");
	const char *argv[] = {crun,
			      "--log-format=json",
			      "--log=file:" SANDBOX_WORK "/crun.log",
			      "--cgroup-manager=disabled",
			      "--root=" SANDBOX_WORK "/crun",
			      "run",
			      "--bundle",
			      SANDBOX_WORK "/bundle",
			      "step",
			      NULL};
	static const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
					   NULL};

	if (!crun)
		return;
	(void) execve(crun, (char *const *) (uintptr_t) argv, (char *const *) (uintptr_t) envp);
}

static void child(const struct step *s, int go_fd)
{
	sigset_t none;
	char alive;

	/* The parent is in another pid namespace, so getppid() tells nothing; it wrote a byte
	 * after we asked to die with it. */
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(go_fd, &alive, 1) != 1)
		_exit(SANDBOX_EXIT_SETUP);
	if (enter_cgroups(s) < 0) {
		fprintf(stderr, "sandbox: enter the cgroup: %s\n", strerror(errno));
		_exit(SANDBOX_EXIT_SETUP);
	}
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
		fprintf(stderr, "sandbox: mount /proc: %s\n", strerror(errno));
		_exit(SANDBOX_EXIT_SETUP);
	}
	if (s->terminal) {
		take_terminal();
	} else if (empty_input() < 0) {
		fprintf(stderr, "sandbox: standard input: %s\n", strerror(errno));
		_exit(SANDBOX_EXIT_SETUP);
	}
	(void) sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	/* Whatever was handed to us ends here. */
	if (close_range(3, ~0u, 0) < 0)
		_exit(SANDBOX_EXIT_SETUP);
	exec_runtime(s);
	fprintf(stderr, "sandbox: crun: %s\n", strerror(errno));
	_exit(SANDBOX_EXIT_SETUP);
}

/* The first error-level message that crun logged, or NULL. New string. */
static char *runtime_error(void)
{
	auto_buf struct buf text = BUF_INIT(LOG_MAX);

	if (file_read_all(SANDBOX_WORK "/crun.log", &text, NULL) < 0)
		return NULL;
	for (char *line = text.data, *next; line && *line; line = next) {
		auto_json json_t *j = NULL;
		const char *msg, *level;

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (json_parse(line, strlen(line), &j, NULL) < 0)
			continue;
		msg = json_str_at(j, "msg");
		level = json_str_at(j, "level");
		if (msg && (!level || str_eq(level, "error")))
			return strdup(msg);
	}
	return NULL;
}

static int judge(int status, struct err *err)
{
	auto_free char *msg = NULL;
	int code;

	if (status < 0)
		return err_set(err, status, "waiting for the step: %s", strerror(-status));
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	code = WEXITSTATUS(status);
	if (code == 0)
		return 0;
	msg = runtime_error();
	if (!msg)
		return code;
	if (strstr(msg, "executable")) {
		fprintf(stderr, "%s\n", msg);
		return SANDBOX_EXIT_EXEC;
	}
	return err_set(err, -EIO, "crun: %s", msg);
}

static int namespaces(const struct step *s, struct err *err)
{
	int net_fd = (int) json_int_at(s->spec, "netFd", -1);

	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) < 0)
		return err_set(err, -errno, "make namespaces: %s", strerror(errno));
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set(err, -errno, "private mounts: %s", strerror(errno));
	/* crun refuses hosts that mount both cgroup versions; here it sees only the first. */
	if (umount2("/sys/fs/cgroup/unified", MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
		return err_set(err, -errno, "hide /sys/fs/cgroup/unified: %s", strerror(errno));
	return sandbox_netns(net_fd, err);
}

int sandbox_step(const json_t *spec, int life_fd, struct err *err)
{
	struct step s = {.spec = spec, .terminal = json_bool_at(spec, "terminal", false)};
	int go[2], r, status;
	struct stat tty = {0};
	pid_t pid;

	if (!json_str_at(spec, "device") || !json_str_at(spec, "crun"))
		return err_set(err, -EINVAL, "sandbox specification: device and crun needed");
	/* Anything else would change its owner: a log file, or the host's /dev/null. */
	if (s.terminal && (!isatty(0) || !isatty(1) || !isatty(2) || fstat(0, &tty) < 0))
		return err_set(err, -ENOTTY, "standard input and output must be a terminal");
	r = open_cgroups(&s, err);
	if (r == 0)
		r = namespaces(&s, err);
	if (r == 0)
		r = sandbox_mounts(spec, err);
	if (r < 0)
		return r;
	/* Last: the next child is pid 1 of the new namespace, and nobody is after its end. */
	if (unshare(CLONE_NEWPID) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return err_set(err, -errno, "make a pid namespace: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return err_set(err, -errno, "fork: %s", strerror(errno));
	if (pid == 0) {
		(void) close(go[1]);
		child(&s, go[0]);
		_exit(SANDBOX_EXIT_SETUP);
	}
	(void) close(go[0]);
	if (write(go[1], "g", 1) != 1)
		(void) kill(pid, SIGKILL);
	(void) close(go[1]);
	status = sandbox_wait(pid, life_fd, 0);
	/* The runtime gives its standard streams to the container's user; a person's terminal is
	 * given back. */
	if (s.terminal && fchown(0, tty.st_uid, tty.st_gid) < 0)
		return err_set(err, -errno, "owner of the terminal: %s", strerror(errno));
	return judge(status, err);
}

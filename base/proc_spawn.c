/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/proc_internal.h"
#include "base/timeutil.h"

#define KILL_WAIT_MS                                                                               \
	30000 /* a process in uninterruptible sleep outlives SIGKILL this long at most */

/* A duplicate above the standard descriptors, so that setting those up cannot overwrite it. */
static int dup_high(int fd, int *ret)
{
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *ret < 0 ? -errno : 0;
}

static int open_input(const struct proc_spec *spec, int *ret)
{
	auto_fd int fd = -1;

	if (!spec->input) {
		if (spec->stdin_fd > 0)
			return dup_high(spec->stdin_fd, ret);
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : dup_high(fd, ret);
	}
	/* A file in memory instead of a pipe: nobody has to feed it while the output is read. */
	fd = memfd_create("kiln-input", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < spec->input_bytes;) {
		ssize_t k = write(fd, (const char *) spec->input + at, spec->input_bytes - at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		at += (size_t) k;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return dup_high(fd, ret);
}

static bool kept(const struct proc_spec *spec, int fd)
{
	for (size_t i = 0; i < spec->n_keep_fds; i++)
		if (spec->keep_fds[i] == fd)
			return true;
	return false;
}

/* Everything above 2 is closed except what the caller declared. Positive errno. */
static int plan_descriptors(posix_spawn_file_actions_t *fa, const struct proc_spec *spec,
			    const int io[3])
{
	int r = 0, top = 2;

	for (int i = 0; i < 3 && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(fa, io[i], i);
	for (size_t i = 0; i < spec->n_keep_fds && r == 0; i++) {
		int fd = spec->keep_fds[i];

		if (fd < 3 || fcntl(fd, F_GETFD) < 0)
			return fd < 3 ? EINVAL : errno;
		if (fd > top)
			top = fd;
		/* Onto itself: clears close-on-exec in the child only. */
		r = posix_spawn_file_actions_adddup2(fa, fd, fd);
	}
	for (int fd = 3; fd < top && r == 0; fd++)
		if (!kept(spec, fd))
			r = posix_spawn_file_actions_addclose(fa, fd);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(fa, top + 1);
	if (r == 0)
		r = posix_spawn_file_actions_addchdir_np(fa, spec->cwd ? spec->cwd : "/");
	return r;
}

static int plan_attributes(posix_spawnattr_t *at)
{
	sigset_t none, all;
	int r;

	(void) sigemptyset(&none);
	(void) sigfillset(&all);
	r = posix_spawnattr_setflags(at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						 POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawnattr_setpgroup(at, 0);
	if (r == 0)
		r = posix_spawnattr_setsigmask(at, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(at, &all);
	return r;
}

/* io[] are three descriptors >= 3. Return 0 or -errno. */
static int spawn_with(const struct proc_spec *spec, const int io[3], pid_t *ret_pid, int *ret_pidfd)
{
	static const char *const plain_env[] = {"PATH=" PROC_PATH, "LANG=C.UTF-8", NULL};
	const char *const *envp = spec->envp ? spec->envp : plain_env;
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	pid_t pid;
	int fd, r;

	r = posix_spawn_file_actions_init(&fa);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&at);
	if (r != 0) {
		(void) posix_spawn_file_actions_destroy(&fa);
		return -r;
	}
	r = plan_descriptors(&fa, spec, io);
	if (r == 0)
		r = plan_attributes(&at);
	if (r == 0) /* the vectors are not written to, the prototype only predates const */
		r = posix_spawn(&pid, spec->argv[0], &fa, &at,
				(char *const *) (uintptr_t) spec->argv,
				(char *const *) (uintptr_t) envp);
	(void) posix_spawnattr_destroy(&at);
	(void) posix_spawn_file_actions_destroy(&fa);
	if (r != 0)
		return -r;
	fd = pidfd_open(pid, 0); /* safe: only we can reap pid */
	if (fd < 0) {
		r = errno;
		(void) kill(-pid, SIGKILL);
		(void) waitpid(pid, NULL, 0);
		return -r;
	}
	*ret_pid = pid; /* also its process group */
	*ret_pidfd = fd;
	return 0;
}

static int explain(const struct proc_spec *spec, int r, struct err *err)
{
	const char *prog = spec->argv[0];
	struct stat st;

	if (spec->cwd && stat(spec->cwd, &st) < 0)
		return err_set(err, r, "start %s in the directory %s: %s", prog, spec->cwd,
			       strerrordesc_np(errno));
	(void) err_set(err, r, "start %s: %s", prog, strerrordesc_np(-r));
	err_target(err, "%s", prog);
	if (r == -ENOENT) {
		const char *name = strrchr(prog, '/');

		err_hint(err, "install the Debian package that holds %s (apt-file search %s)", prog,
			 name ? name + 1 : prog);
	}
	return r;
}

int proc_start(const struct proc_spec *spec, int out_fd, int err_fd, pid_t *ret_pid, int *ret_pidfd,
	       struct err *err)
{
	auto_fd int in = -1, out = -1, errout = -1;
	int r;

	if (!spec->argv || !spec->argv[0] || spec->argv[0][0] != '/')
		return err_set(err, -EINVAL, "start \"%s\": an absolute program path is expected",
			       spec->argv && spec->argv[0] ? spec->argv[0] : "");
	r = open_input(spec, &in);
	if (r == 0)
		r = dup_high(out_fd, &out);
	if (r == 0)
		r = dup_high(err_fd, &errout);
	if (r < 0)
		return err_set(err, r, "start %s: prepare its descriptors: %s", spec->argv[0],
			       strerrordesc_np(-r));
	r = spawn_with(spec, (const int[]){in, out, errout}, ret_pid, ret_pidfd);
	return r < 0 ? explain(spec, r, err) : 0;
}

int proc_spawn(const struct proc_spec *spec, int log_fd, pid_t *ret_pid, int *ret_pidfd,
	       struct err *err)
{
	auto_fd int null = -1;

	if (log_fd < 0) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (null < 0)
			return err_set(err, -errno, "open /dev/null: %s", strerrordesc_np(errno));
		log_fd = null;
	}
	return proc_start(spec, log_fd, log_fd, ret_pid, ret_pidfd, err);
}

/* Waits for the end of the process. Return: 0, or -ETIME. */
static int wait_end(int pidfd, uint64_t ms)
{
	int64_t end = time_mono_ns() + (int64_t) ms * 1000000;
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	for (;;) {
		int64_t left = (end - time_mono_ns()) / 1000000;
		int r = poll(&p, 1, left > 0 ? (int) left + 1 : 0);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (left <= 0)
			return -ETIME;
	}
}

/* Is it a child that we have not reaped yet? Then its pid and group cannot have been reused. */
static bool is_ours(int pidfd)
{
	siginfo_t si;

	return waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

int proc_stop(pid_t pid, int pidfd, uint64_t grace_ms)
{
	bool ours = is_ours(pidfd);
	siginfo_t si;
	int r;

	if (wait_end(pidfd, 0) < 0) { /* it runs */
		(void) kill(-pid, SIGTERM);
		(void) pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
		r = wait_end(pidfd, grace_ms < INT32_MAX ? grace_ms : INT32_MAX);
		if (r < 0 && r != -ETIME)
			return r;
		if (r == -ETIME) {
			(void) kill(-pid, SIGKILL);
			(void) pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
			r = wait_end(pidfd, KILL_WAIT_MS);
			if (r < 0)
				return r;
		}
	}
	if (!ours)
		return 0;
	(void) kill(-pid, SIGKILL); /* what it left in its group, while the zombie holds the id */
	do
		r = waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED);
	while (r < 0 && errno == EINTR);
	return r < 0 && errno != ECHILD ? -errno : 0;
}

/* Who was started waits until the one that goes on has left its process group, which the starter
 * ends. */
int proc_detach(void)
{
	int ends[2], r;
	char c;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid != 0)
		(void) close(ends[1]);
	if (pid > 0) {
		while (read(ends[0], &c, 1) < 0 && errno == EINTR)
			;
		_exit(0);
	}
	r = pid < 0 || setsid() < 0 ? -errno : 0;
	(void) close(ends[0]);
	if (pid == 0)
		(void) close(ends[1]);
	return r;
}

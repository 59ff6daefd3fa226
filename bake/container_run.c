/* SPDX-License-Identifier: Apache-2.0 */
/* One command in an open chain: cgroup, proxy, specification, helper process, clean-up. */
#include "bake/container.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#include "bake/cgroup.h"
#include "bake/oci.h"
#include "bake/sandbox.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define STEP_PIDS   4096
#define STEP_NOFILE 65536
#define STEP_NPROC  8192 /* where no pids controller is lent */
#define MIN_MEMORY  (512ull << 20)
#define KILL_MS     5000
#define STATUS_MAX  4096

static const char *const fixed_env[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"USER=root",
	"LOGNAME=root",
	"SHELL=/bin/sh",
	"LANG=C.UTF-8",
	"TERM=dumb",
	"DEBIAN_FRONTEND=noninteractive",
	NULL};
static const char *const proxy_env[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"};
static const char no_proxy[] = "no_proxy=localhost,127.0.0.1,::1";

static bool has_name(const char *const *v, const char *entry)
{
	size_t n = strcspn(entry, "=") + 1;

	for (; v && *v; v++)
		if (strncmp(*v, entry, n) == 0)
			return true;
	return false;
}

char **container_env(const char *const *given, const char *proxy)
{
	auto_strv char **v = NULL;

	for (const char *const *e = fixed_env; *e; e++)
		if (!has_name(given, *e) && strv_push(&v, *e) < 0)
			return NULL;
	for (size_t i = 0; proxy && i < ARRAY_SIZE(proxy_env); i++) {
		auto_free char *e = strf("%s=http://%s", proxy_env[i], proxy);

		if (!e || (!has_name(given, e) && strv_push(&v, e) < 0))
			return NULL;
	}
	if (proxy && !has_name(given, no_proxy) && strv_push(&v, no_proxy) < 0)
		return NULL;
	for (; given && *given; given++)
		if (strv_push(&v, *given) < 0)
			return NULL;
	return take_ptr(v);
}

/* Everything of one run. */
struct step_run {
	struct container *c;
	const struct executor_cmd *cmd;
	struct cgroup cgroup;
	struct policy policy;
	struct step_proxy *proxy;
	int net_fd;                /* -1 = no network */
	int spec_fd, status_fd;    /* memory files */
	int life_read, life_write; /* closing life_write ends the step */
};

/* Limits can only be lowered. */
static uint64_t at_most_hard(int resource, uint64_t want)
{
	struct rlimit rl;

	return getrlimit((__rlimit_resource_t) resource, &rl) == 0 && rl.rlim_max < want
		       ? rl.rlim_max
		       : want;
}

static json_t *config(const struct step_run *s)
{
	auto_strv char **env = container_env(s->cmd->envp, s->net_fd >= 0 ? SANDBOX_PROXY : NULL);
	struct oci_step o = {.argv = s->cmd->argv,
			     .envp = (const char *const *) env,
			     .root = SANDBOX_WORK "/root",
			     .files = s->cmd->n_files > 0 ? SANDBOX_WORK "/files" : NULL,
			     .policy = s->policy.shown ? SANDBOX_WORK "/bundle/policy-rc.d" : NULL,
			     .cwd = "/tmp",
			     .terminal = s->cmd->terminal,
			     .nofile = at_most_hard(RLIMIT_NOFILE, STEP_NOFILE),
			     .nproc = s->cgroup.pids ? 0 : at_most_hard(RLIMIT_NPROC, STEP_NPROC)};

	return env ? oci_config(&o) : NULL;
}

static json_t *file_list(const struct executor_cmd *cmd)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < cmd->n_files; i++)
		if (json_array_append_new(a, json_pack("{s:s, s:i, s:i}", "name",
						       cmd->files[i].name, "fd", cmd->files[i].fd,
						       "mode", (int) cmd->files[i].mode)) < 0) {
			json_decref(a);
			a = NULL;
		}
	return a;
}

static json_t *string_list(char **v)
{
	json_t *a = json_array();

	for (; a && v && *v; v++)
		if (json_array_append_new(a, json_string(*v)) < 0) {
			json_decref(a);
			a = NULL;
		}
	return a;
}

static int write_spec(struct step_run *s, struct err *err)
{
	auto_free char *crun = NULL, *text = NULL;
	auto_json json_t *j = NULL;
	int r = proc_find("crun", "crun", &crun, err);

	if (r < 0)
		return r;
	j = json_pack("{s:s, s:s, s:s, s:o, s:o, s:b, s:i, s:o, s:b}", "device",
		      chain_device(s->c->chain), "fstype", chain_fstype(s->c->chain), "crun", crun,
		      "config", config(s), "files", file_list(s->cmd), "policy", s->policy.shown,
		      "netFd", s->net_fd, "cgroups", string_list(s->cgroup.procs), "terminal",
		      s->cmd->terminal);
	text = j ? json_compact(j) : NULL;
	if (!text)
		return err_set(err, -ENOMEM, "step specification");
	if (strlen(text) >= SANDBOX_SPEC_MAX)
		return err_set(err, -E2BIG, "arguments and environment of the step: over %u bytes",
			       SANDBOX_SPEC_MAX);
	s->spec_fd = memfd_create("kiln-step", MFD_CLOEXEC);
	s->status_fd = memfd_create("kiln-status", MFD_CLOEXEC);
	if (s->spec_fd < 0 || s->status_fd < 0)
		return err_set(err, -errno, "step specification: %s", strerror(errno));
	r = file_pwrite_full(s->spec_fd, text, strlen(text), 0);
	return r < 0 ? err_set(err, r, "step specification: %s", strerror(-r)) : 0;
}

static uint64_t memory_limit(const struct container *c)
{
	struct sysinfo si;
	uint64_t bytes;

	if (c->memory_bytes)
		return c->memory_bytes;
	if (sysinfo(&si) < 0)
		return 0;
	bytes = (uint64_t) si.totalram * si.mem_unit / 4 * 3;
	return bytes > MIN_MEMORY ? bytes : MIN_MEMORY;
}

static int prepare(struct step_run *s, struct err *err)
{
	struct cgroup_limits limits = {.memory_bytes = memory_limit(s->c), .pids = STEP_PIDS};
	int life[2], r = cgroup_new(s->c->journal, &limits, &s->cgroup, err);

	if (r < 0)
		return r;
	if (pipe2(life, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	s->life_read = life[0];
	s->life_write = life[1];
	r = policy_place(chain_rootfd(s->c->chain), &s->policy, err);
	if (r == 0 && s->cmd->net && s->cmd->net->enabled)
		r = step_proxy_start(s->c, s->cmd->net, &s->proxy, &s->net_fd, err);
	return r == 0 ? write_spec(s, err) : r;
}

/* Interactive: the terminal itself is handed over, so nothing is captured. */
static int run_terminal(struct step_run *s, struct proc_spec *spec, struct proc_result *ret,
			struct err *err)
{
	auto_fd int in = fcntl(0, F_DUPFD_CLOEXEC, 3), out = fcntl(1, F_DUPFD_CLOEXEC, 3);
	auto_fd int pidfd = -1;
	int64_t start = time_mono_ns();
	int64_t end =
		s->cmd->timeout_ms ? start + (int64_t) s->cmd->timeout_ms * 1000000 : INT64_MAX;
	struct pollfd p[2];
	siginfo_t si = {0};
	pid_t pid;
	int r;

	if (in < 0 || out < 0)
		return err_set(err, -errno, "standard input or output is closed");
	spec->stdin_fd = in;
	r = proc_spawn(spec, out, &pid, &pidfd, err);
	if (r < 0)
		return r;
	p[0] = (struct pollfd){.fd = pidfd, .events = POLLIN};
	p[1] = (struct pollfd){.fd = s->c->cancel ? s->c->cancel->event_fd : -1, .events = POLLIN};
	while (poll(p, 2, 500) >= 0 || errno == EINTR) {
		ret->cancelled = cancel_check(s->c->cancel) < 0;
		ret->timed_out = time_mono_ns() >= end;
		if (p[0].revents || ret->cancelled || ret->timed_out)
			break;
	}
	if (ret->cancelled || ret->timed_out)
		closep(&s->life_write), s->life_write = -1;
	while (waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	ret->signal = si.si_code == CLD_EXITED ? 0 : si.si_status;
	ret->exit_code = si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
	ret->wall_ns = time_mono_ns() - start;
	return ret->cancelled ? cancel_check(s->c->cancel) : ret->timed_out ? -ETIME : 0;
}

/* Our process group is the terminal's again. */
static void take_terminal_back(void)
{
	sigset_t ttou, old;

	(void) sigemptyset(&ttou);
	(void) sigaddset(&ttou, SIGTTOU);
	(void) pthread_sigmask(SIG_BLOCK, &ttou, &old);
	(void) tcsetpgrp(0, getpgrp());
	(void) pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static int launch(struct step_run *s, struct proc_result *ret, struct err *err)
{
	size_t n = 0, max = 4 + s->cmd->n_files;
	auto_free int *fds = calloc(max, sizeof(*fds));
	auto_free char *spec_arg = strf("%d", s->spec_fd), *status = strf("%d", s->status_fd);
	auto_free char *life = strf("%d", s->life_read);
	const char *argv[] = {proc_self_exe(), "sandbox", "step",      "--spec-fd", spec_arg,
			      "--status-fd",   status,    "--life-fd", life,        NULL};
	struct proc_spec spec = {.argv = argv,
				 .keep_fds = fds,
				 .timeout_ms = s->cmd->timeout_ms,
				 .grace_ms = KILL_MS,
				 .cancel = s->c->cancel,
				 .line = s->cmd->line,
				 .line_arg = s->cmd->line_arg,
				 .cgroup_kill = s->cgroup.kill};
	int r;

	if (!fds || !spec_arg || !status || !life)
		return err_set(err, -ENOMEM, "step");
	fds[n++] = s->spec_fd;
	fds[n++] = s->status_fd;
	fds[n++] = s->life_read;
	if (s->net_fd >= 0)
		fds[n++] = s->net_fd;
	for (size_t i = 0; i < s->cmd->n_files; i++)
		fds[n++] = s->cmd->files[i].fd;
	spec.n_keep_fds = n;
	if (!s->cmd->terminal)
		return proc_run(&spec, ret, err);
	r = run_terminal(s, &spec, ret, err);
	take_terminal_back();
	return r;
}

/* The helper's own failure, told apart from a command that exits with the same number. */
static int setup_failure(const struct step_run *s, const struct proc_result *res, struct err *err)
{
	char text[STATUS_MAX];
	ssize_t n = pread(s->status_fd, text, sizeof(text) - 1, 0);

	if (res->exit_code != SANDBOX_EXIT_SETUP || n <= 0)
		return 0;
	text[n] = '\0';
	return err_set(err, -EIO, "set up the step's sandbox: %s", text);
}

static int finish(struct step_run *s, int r, struct err *err)
{
	auto_err struct err late = ERR_INIT;
	int e;

	closep(&s->life_write);
	closep(&s->life_read);
	closep(&s->net_fd);
	step_proxy_stop(s->proxy);
	closep(&s->spec_fd);
	closep(&s->status_fd);
	e = cgroup_free(&s->cgroup, &late);
	if (e == 0)
		e = policy_remove(chain_rootfd(s->c->chain), &s->policy, &late);
	if (e < 0 && r == 0) {
		err_move(err, &late);
		return e;
	}
	if (e < 0)
		log_warn("container.cleanup", "error=\"%s\"", err_str(&late));
	return r;
}

int container_run(struct container *c, const struct executor_cmd *cmd, struct proc_result *ret,
		  struct err *err)
{
	struct step_run s = {.c = c,
			     .cmd = cmd,
			     .net_fd = -1,
			     .spec_fd = -1,
			     .status_fd = -1,
			     .life_read = -1,
			     .life_write = -1};
	struct proc_result res = {0};
	int r = cancel_check(c->cancel);

	if (r < 0)
		return err_set(err, r, "cancelled");
	if (chain_broken(c->chain))
		return err_set(err, -EIO, "the image's disk failed earlier in this run");
	if (!cmd->argv || !cmd->argv[0] || cmd->argv[0][0] != '/')
		return err_set(err, -EINVAL, "a step's program must be an absolute path");
	r = prepare(&s, err);
	if (r == 0)
		r = launch(&s, &res, err);
	if (r == 0)
		r = setup_failure(&s, &res, err);
	r = finish(&s, r, err);
	*ret = res;
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where steps run: an executor, or a booted guest. */
#include <fcntl.h>

#include <poll.h>
#include <sys/mman.h>

#include "bake/powershell.h"
#include "bake/run.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define CHECK_EVERY_MS 2000

/* "#!/usr/bin/env python3" split as the kernel does: interpreter, at most one argument. */
struct shebang {
	char interp[256], arg[256];
};

/* The interpreter that a script names; /bin/sh when it names none. */
static void shebang_read(int fd, struct shebang *ret)
{
	char line[512] = "";
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);
	char *p = line + 2, *end;
	size_t len;

	*ret = (struct shebang){.interp = "/bin/sh"};
	if (n < 4 || strncmp(line, "#!", 2) != 0)
		return;
	end = line + strcspn(line, "\r\n");
	*end = '\0';
	p += strspn(p, " \t");
	len = strcspn(p, " \t");
	if (*p != '/' || len >= sizeof(ret->interp))
		return;
	memcpy(ret->interp, p, len);
	ret->interp[len] = '\0';
	p += len;
	p += strspn(p, " \t");
	len = strlen(p);
	while (len > 0 && strchr(" \t", p[len - 1]))
		len--;
	if (len < sizeof(ret->arg))
		memcpy(ret->arg, p, len);
}

/* interpreter [argument] script: works also where the script's place is mounted noexec. */
static void script_argv(const struct shebang *s, const char *path, const char **argv)
{
	size_t n = 0;

	argv[n++] = s->interp;
	if (*s->arg)
		argv[n++] = s->arg;
	argv[n++] = path;
	argv[n] = NULL;
}

/* A Shell step says sh, and Windows has none. */
static int refuse_shell(const struct run *run, struct err *err)
{
	if (!run_windows(run))
		return 0;
	err_set(err, -EINVAL, "a Shell step needs Linux, and the source is Windows");
	err_hint(err, "use PowerShell");
	return -EINVAL;
}

static int executor_put(struct step_target *base, const char *local, const char *dest,
			unsigned mode, struct err *err)
{
	struct executor_target *t = (struct executor_target *) base;
	auto_fd int fd = -1;
	int r = file_open_regular(AT_FDCWD, local, &fd);

	if (r < 0)
		return err_set(err, r, "%s: %s", local, strerror(-r));
	return t->executor->ops->put(t->executor, fd, dest, mode, 0, 0, err);
}

static int executor_script(struct step_target *base, const char *local, struct proc_result *ret,
			   struct err *err)
{
	struct executor_target *t = (struct executor_target *) base;
	struct executor_file file = {.name = "script", .fd = -1, .mode = 0555};
	struct shebang bang;
	const char *argv[4];
	auto_fd int fd = -1;
	int r = file_open_regular(AT_FDCWD, local, &fd);

	if (r < 0)
		return err_set(err, r, "%s: %s", local, strerror(-r));
	r = refuse_shell(t->run, err);
	if (r < 0)
		return r;
	file.fd = fd;
	shebang_read(fd, &bang);
	script_argv(&bang, "/run/kiln/script", argv);
	return t->executor->ops->run(t->executor,
				     &(struct executor_cmd){
					     .argv = argv,
					     .envp = (const char *const *) t->run->envp,
					     .net = t->net,
					     .files = &file,
					     .n_files = 1,
					     .line = record_line,
					     .line_arg = t->run,
				     },
				     ret, err);
}

/* What a script finds in its environment on Windows, as a file: a guest's processes get theirs
 * whole from the agent, and one that was made here would lack what Windows put into it. */
static int environment_fd(const struct run *run, const char *proxy, int *ret, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(1 << 20);
	auto_fd int fd = memfd_create("environment", MFD_CLOEXEC);
	int r = powershell_env(run->t.environment, proxy, &text);

	if (r == 0)
		r = fd < 0 ? -errno : file_pwrite_full(fd, text.data, text.len, 0);
	if (r < 0)
		return err_set(err, r, "environment of the script: %s", strerror(-r));
	*ret = take_fd(fd);
	return 0;
}

static int executor_powershell(struct step_target *base, const char *local, struct proc_result *ret,
			       struct err *err)
{
	struct executor_target *t = (struct executor_target *) base;
	bool windows = run_windows(t->run);
	auto_strv char **argv = powershell_argv(windows ? NULL : "/run/kiln/" POWERSHELL_SCRIPT);
	struct executor_file files[] = {{.name = POWERSHELL_SCRIPT, .fd = -1, .mode = 0444},
					{.name = POWERSHELL_ENV, .fd = -1, .mode = 0444}};
	auto_fd int script = -1, environment = -1;
	int r = file_open_regular(AT_FDCWD, local, &script);

	if (r < 0)
		return err_set(err, r, "%s: %s", local, strerror(-r));
	if (!argv)
		return err_set(err, -ENOMEM, "out of memory");
	if (windows)
		r = environment_fd(t->run, t->net && t->net->enabled ? VM_PROXY : NULL,
				   &environment, err);
	if (r < 0)
		return r;
	files[0].fd = script;
	files[1].fd = environment;
	return t->executor->ops->run(t->executor,
				     &(struct executor_cmd){
					     .argv = (const char *const *) argv,
					     .envp = (const char *const *) t->run->envp,
					     .net = t->net,
					     .files = files,
					     .n_files = windows ? 2 : 1,
					     .line = record_line,
					     .line_arg = t->run,
				     },
				     ret, err);
}

/* A command as its author wrote it, for the system's own interpreter. */
static void command_argv(bool windows, const char *command, const char *argv[4])
{
	argv[0] = windows ? "C:\\Windows\\System32\\cmd.exe" : "/bin/sh";
	argv[1] = windows ? "/c" : "-c";
	argv[2] = command;
	argv[3] = NULL;
}

/* Until  succeeds; only a guest that can be asked no more ends it early. */
static int await_check(struct executor_target *t, const char *const *argv, int64_t end,
		       struct err *err)
{
	struct cancel *cancel = t->run->env->cancel;

	for (;;) {
		struct pollfd p = {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN};
		struct proc_result res = {0};
		int64_t left = (end - time_mono_ns()) / 1000000;
		int r = cancel_check(cancel);

		if (r < 0)
			return err_set(err, r, "stopped while the system restarts");
		if (left <= 0)
			return err_set(err, -ETIME, "restartCheckCommand did not succeed in time");
		r = t->executor->ops->run(t->executor,
					  &(struct executor_cmd){.argv = argv,
								 .timeout_ms = (uint64_t) left,
								 .line = record_line,
								 .line_arg = t->run},
					  &res, err);
		if (r < 0)
			return err_ctx(err, r, "restartCheckCommand");
		if (res.exit_code == 0)
			return 0;
		(void) poll(&p, 1, left < CHECK_EVERY_MS ? (int) left : CHECK_EVERY_MS);
	}
}

static int executor_restart(struct step_target *base, const char *command, const char *check,
			    uint64_t timeout_ms, struct err *err)
{
	struct executor_target *t = (struct executor_target *) base;
	int64_t end = time_mono_ns() + (int64_t) timeout_ms * 1000000;
	const char *argv[4];
	int r;

	command_argv(run_windows(t->run), command, argv);
	r = t->executor->ops->restart(t->executor, command ? argv : NULL, timeout_ms, err);
	if (r < 0 || !check)
		return r;
	command_argv(run_windows(t->run), check, argv);
	return await_check(t, argv, end, err);
}

void executor_target_init(struct executor_target *t, struct run *run, struct executor *x,
			  const struct executor_net *net)
{
	*t = (struct executor_target){
		.base = {.put = executor_put,
			 .script = executor_script,
			 .powershell = executor_powershell,
			 .restart = executor_restart},
		.run = run,
		.executor = x,
		.net = net,
	};
}

static int guest_put(struct step_target *base, const char *local, const char *dest, unsigned mode,
		     struct err *err)
{
	struct guest_target *t = (struct guest_target *) base;

	return vm_put_file(t->vm, local, dest, mode, err);
}

static int guest_script(struct step_target *base, const char *local, struct proc_result *ret,
			struct err *err)
{
	struct guest_target *t = (struct guest_target *) base;
	auto_free char *path = strf("/run/kiln-script-%u", t->serial++);
	struct shebang bang;
	const char *argv[4];
	auto_fd int fd = -1;
	int r = file_open_regular(AT_FDCWD, local, &fd);

	if (r < 0)
		return err_set(err, r, "%s: %s", local, strerror(-r));
	r = refuse_shell(t->run, err);
	if (r < 0)
		return r;
	if (!path)
		return -ENOMEM;
	shebang_read(fd, &bang);
	r = vm_put_file(t->vm, local, path, 0700, err);
	if (r < 0)
		return r;
	script_argv(&bang, path, argv);
	return vm_exec(t->vm,
		       &(struct vm_exec){
			       .argv = argv,
			       .envp = (const char *const *) t->run->envp,
			       .timeout_ms = t->run->t.timeout_s * 1000,
			       .cancel = t->run->env->cancel,
			       .line = record_line,
			       .line_arg = t->run,
		       },
		       ret, err);
}

static int guest_powershell(struct step_target *base, const char *local, struct proc_result *ret,
			    struct err *err)
{
	struct guest_target *t = (struct guest_target *) base;
	bool windows = run_windows(t->run);
	auto_free char *path = windows ? strdup(POWERSHELL_DIR POWERSHELL_SCRIPT)
				       : strf("/run/kiln-script-%u.ps1", t->serial++);
	auto_strv char **argv = path ? powershell_argv(windows ? NULL : path) : NULL;
	auto_fd int environment = -1;
	int r = argv ? 0 : err_set(err, -ENOMEM, "out of memory");

	if (r == 0 && windows)
		r = environment_fd(t->run, NULL, &environment, err);
	if (r == 0 && windows)
		r = vm_put_fd(t->vm, environment, POWERSHELL_DIR POWERSHELL_ENV, 0600, err);
	if (r == 0)
		r = vm_put_file(t->vm, local, path, 0600, err);
	if (r < 0)
		return r;
	return vm_exec(t->vm,
		       &(struct vm_exec){
			       .argv = (const char *const *) argv,
			       .envp = windows ? NULL : (const char *const *) t->run->envp,
			       .timeout_ms = t->run->t.timeout_s * 1000,
			       .cancel = t->run->env->cancel,
			       .line = record_line,
			       .line_arg = t->run,
		       },
		       ret, err);
}

/* Kinds that need it are no validators. */
static int guest_restart(struct step_target *t, const char *command, const char *check,
			 uint64_t timeout_ms, struct err *err)
{
	return err_set(err, -EOPNOTSUPP, "a validator does not restart the system");
}

void guest_target_init(struct guest_target *t, struct run *run, struct vm *vm)
{
	*t = (struct guest_target){
		.base = {.put = guest_put,
			 .script = guest_script,
			 .powershell = guest_powershell,
			 .restart = guest_restart},
		.run = run,
		.vm = vm,
	};
}

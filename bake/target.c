/* SPDX-License-Identifier: Apache-2.0 */
/* Where steps run: an executor, or a booted guest. */
#include <fcntl.h>

#include "bake/run.h"
#include "base/file.h"
#include "base/mem.h"

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

void executor_target_init(struct executor_target *t, struct run *run, struct executor *x,
			  const struct executor_net *net)
{
	*t = (struct executor_target){
		.base = {.put = executor_put, .script = executor_script},
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

void guest_target_init(struct guest_target *t, struct run *run, struct vm *vm)
{
	*t = (struct guest_target){
		.base = {.put = guest_put, .script = guest_script},
		.run = run,
		.vm = vm,
	};
}

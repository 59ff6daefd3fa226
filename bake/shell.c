/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "bake/bake.h"
#include "base/file.h"
#include "base/mem.h"

/* A directory of this shell's own, journalled. */
static int make_scratch(const struct bake_env *env, char **ret, struct journal_entry **ret_entry,
			struct err *err)
{
	auto_free char *parent = path_join(env->data_dir, "scratch");
	auto_free char *path = NULL;
	char name[40];
	int r = parent ? file_mkdir_p(parent, 0711, err) : -ENOMEM;

	if (r == 0)
		r = tmp_name(name);
	if (r < 0)
		return r;
	name[12] = '\0';
	path = strf("%s/shell-%s", parent, name);
	if (!path)
		return -ENOMEM;
	r = journal_add(env->journal, "tree", json_pack("{s:s}", "path", path), ret_entry, err);
	if (r == 0 && mkdir(path, 0711) < 0)
		r = err_set(err, -errno, "%s: %s", path, strerror(errno));
	*ret = take_ptr(path);
	return r;
}

/* A command as it would be typed: found by the image's PATH. */
static int command_argv(char *const argv[], char ***ret)
{
	static const char *const head[] = {"/bin/sh", "-c", "exec \"$@\"", "sh"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(head) && argv[0][0] != '/'; i++)
		r = strv_push(ret, head[i]);
	for (; r == 0 && *argv; argv++)
		r = strv_push(ret, *argv);
	return r;
}

/* Without a terminal on both sides the output is passed on line by line; there is no input. */
static void pass_line(void *arg, enum proc_stream stream, const char *line, size_t n)
{
	FILE *f = stream == PROC_STDERR ? stderr : stdout;

	(void) fwrite(line, 1, n, f);
	(void) fputc('\n', f);
	(void) fflush(f);
}

static int run_in(const struct bake_env *env, struct executor_env *x_env,
		  const struct disk_ref *disk, char *const argv[], struct err *err)
{
	static const char *const login[] = {
		"/bin/sh", "-c", "[ -x /bin/bash ] && exec /bin/bash -l; exec /bin/sh -l", NULL};
	static const char *const envp[] = {
		"HOME=/root",   "USER=root",
		"LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"TERM=xterm",   NULL};
	struct executor *x = NULL;
	auto_strv char **command = NULL;
	const struct executor_ops *ops =
		x_env->untrusted || x_env->windows ? &executor_vm : &executor_container;
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	struct proc_result res = {0};
	int r = argv ? command_argv(argv, &command) : 0;

	if (r < 0)
		return r;
	if (!argv && !terminal) {
		err_set(err, -EINVAL, "a shell needs a terminal");
		err_hint(err, "give a command, for example: kiln shell TEMPLATE@STEP -- ls /");
		return -EINVAL;
	}
	if (ops == &executor_vm && !argv) {
		err_set(err, -EOPNOTSUPP,
			"the disk is opened in a guest, which has no terminal here");
		err_hint(err, "give a command, or boot it: kiln run TEMPLATE@STEP");
		return -EOPNOTSUPP;
	}
	r = ops->start(x_env, disk, 0, &x, err);
	if (r < 0)
		return r;
	r = ops->run(x,
		     &(struct executor_cmd){
			     .argv = command ? (const char *const *) command : login,
			     .envp = envp,
			     .terminal = terminal && ops != &executor_vm,
			     .line = pass_line,
		     },
		     &res, err);
	ops->stop(x);
	return r < 0 ? r : res.exit_code;
}

int bake_shell(const struct bake_env *env, const struct disk_ref *disk, const json_t *facts,
	       char *const argv[], struct err *err)
{
	struct journal_entry *entry = NULL;
	struct err ignored = ERR_INIT;
	auto_free char *scratch = NULL;
	struct executor_env x_env = {
		.store = env->store,
		.region = env->region,
		.journal = env->journal,
		.run_dir = env->run_dir,
		.cancel = env->cancel,
		.events = env->events,
		.interactive = true,
		.vmhost = env->vmhost,
		.arg = env->arg,
		.untrusted = !json_bool_at(facts, "trusted", false),
		.uefi = str_eq(json_str_at(facts, "hyperVGeneration"), "V2"),
		.windows = str_eq_nocase(json_str_at(facts, "osType") ?: "", "Windows"),
	};
	int r = store_session_begin(env->store, "shell", &x_env.session, err);

	if (r == 0)
		r = env->nbd(env->arg, &x_env.nbd, err);
	if (r == 0)
		r = make_scratch(env, &scratch, &entry, err);
	if (r == 0) {
		x_env.scratch = scratch;
		r = run_in(env, &x_env, disk, argv, err);
	}
	if (entry)
		(void) journal_undo(entry, &ignored);
	err_done(&ignored);
	store_session_end(x_env.session);
	return r;
}

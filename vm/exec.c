/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands in a guest. The agent can start one and tell when it ended, but hands output over only
 * at the end and in bounded size; so the command writes a file, which is read while it grows.
 */
#include "vm/agent.h"

#include <poll.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#define DEFAULT_MS  600000
#define READ_BYTES  65536u
#define INPUT_MAX   (2u << 20)
#define MIN_POLL_MS 50
#define MAX_POLL_MS 1000

/* $1 is the output file, which the agent has open already: it needs no name any more. A session of
 * its own lets everything the command started be ended together. */
static const char wrapper[] =
	"f=$1; shift; exec >>\"$f\" 2>&1; rm -f -- \"$f\"; "
	"if command -v setsid >/dev/null; then exec setsid -- \"$@\"; fi; exec \"$@\"";

struct running {
	struct vm *vm;
	const struct vm_exec *x;
	json_int_t pid;    /* in the guest; 0 = not started */
	json_int_t handle; /* of the output; -1 = none */
	bool exited, eof;
	struct proc_result *res;
	char line[PROC_LINE_MAX];
	size_t n;
};

static int start(struct vm *vm, const char *const *argv, const char *const *envp, const char *input,
		 bool capture, struct cancel *cancel, json_int_t *ret_pid, struct err *err)
{
	auto_json json_t *args = json_array(), *env = json_array(), *reply = NULL;
	auto_free char *b64 = NULL;
	json_t *a;
	int r = 0;

	for (size_t i = 1; argv[i]; i++)
		r |= json_array_append_new(args, json_string(argv[i]));
	for (size_t i = 0; envp && envp[i]; i++)
		r |= json_array_append_new(env, json_string(envp[i]));
	a = json_pack("{s:s, s:O, s:b}", "path", argv[0], "arg", args, "capture-output", capture);
	if (a && envp)
		r |= json_object_set(a, "env", env);
	if (a && input) {
		b64 = base64_encode(input, strlen(input));
		r |= json_object_set_new(a, "input-data", b64 ? json_string(b64) : NULL);
	}
	if (!a || r != 0) {
		json_decref(a);
		return err_set(err, -EINVAL, "an argument is not UTF-8, or memory ran out");
	}
	r = vm_agent(vm, "guest-exec", a, AGENT_MS, cancel, &reply, err);
	if (r < 0)
		return r;
	*ret_pid = json_int_at(reply, "pid", 0);
	return *ret_pid > 0 ? 0 : err_set(err, -EPROTO, "guest-exec: no process id");
}

int agent_start(struct vm *vm, const char *const *argv, struct cancel *cancel, json_int_t *ret_pid,
		struct err *err)
{
	return start(vm, argv, NULL, NULL, false, cancel, ret_pid, err);
}

static int status(struct vm *vm, json_int_t pid, struct cancel *cancel, bool *ret_exited,
		  struct proc_result *res, json_t **ret_reply, struct err *err)
{
	auto_json json_t *reply = NULL;
	int r = vm_agent(vm, "guest-exec-status", json_pack("{s:I}", "pid", pid), AGENT_MS, cancel,
			 &reply, err);

	if (r < 0)
		return r;
	*ret_exited = json_bool_at(reply, "exited", false);
	if (!*ret_exited)
		return 0;
	res->signal = (int) json_int_at(reply, "signal", 0);
	res->exit_code =
		res->signal ? 128 + res->signal : (int) json_int_at(reply, "exitcode", 255);
	if (ret_reply)
		*ret_reply = json_incref(reply);
	return 0;
}

/* Wait @ms, or less when the guest's state changed. */
static int pause_for(struct vm *vm, unsigned ms, int64_t end, struct cancel *cancel,
		     struct err *err)
{
	auto_err struct err e = ERR_INIT;
	int64_t until = vm_deadline(ms);
	int r = vm_pump(vm, until < end ? until : end, cancel, &e);

	if (r == 0 || r == -ETIME)
		return 0;
	if (err)
		err_move(err, &e);
	return r;
}

/* A command whose output does not matter, to its end. */
static int run_quiet(struct vm *vm, const char *const *argv, struct cancel *cancel, int *ret_code,
		     struct err *err)
{
	int64_t end = vm_deadline(AGENT_MS);
	struct proc_result res = {0};
	bool exited = false;
	json_int_t pid;
	int r = start(vm, argv, NULL, NULL, false, cancel, &pid, err);

	while (r == 0) {
		r = status(vm, pid, cancel, &exited, &res, NULL, err);
		if (r < 0 || exited)
			break;
		if (time_mono_ns() >= end)
			return err_set(err, -ETIME, "%s does not end in the guest", argv[0]);
		r = pause_for(vm, MIN_POLL_MS, end, cancel, err);
	}
	*ret_code = res.exit_code;
	return r;
}

static int make_dir(struct vm *vm, struct cancel *cancel, struct err *err)
{
	char name[33];
	auto_free char *dir = NULL;
	int code = 0, r;

	if (vm->exec_dir)
		return 0;
	r = tmp_name(name);
	if (r < 0)
		return r;
	dir = strf("/run/kiln-%s", name);
	if (!dir)
		return err_set(err, -ENOMEM, "out of memory");
	const char *const argv[] = {"/bin/mkdir", "-m", "0700", "--", dir, NULL};
	r = run_quiet(vm, argv, cancel, &code, err);
	if (r == 0 && code != 0)
		r = err_set(err, -EIO, "mkdir %s in the guest ended with status %d", dir, code);
	if (r == 0)
		vm->exec_dir = take_ptr(dir);
	return r;
}

static void flush_line(struct running *u)
{
	if (u->vm->windows && u->n > 0 && u->line[u->n - 1] == '\r')
		u->n--;
	if (u->x->line)
		u->x->line(u->x->line_arg, PROC_STDOUT, u->line, u->n);
	u->n = 0;
}

static void take_output(struct running *u, const char *p, size_t n)
{
	if (u->x->out && buf_add(u->x->out, p, n) < 0)
		u->res->dropped += n;
	for (size_t i = 0; u->x->line && i < n; i++) {
		if (p[i] == '\n') {
			flush_line(u);
			continue;
		}
		u->line[u->n++] = p[i];
		if (u->n == sizeof(u->line))
			flush_line(u);
	}
}

/* Read what the file holds now. *@ret_any: something came. */
static int read_output(struct running *u, bool *ret_any, struct err *err)
{
	bool eof = false;

	*ret_any = false;
	while (!eof) {
		auto_free void *data = NULL;
		size_t n;
		int r = agent_read(u->vm, u->handle, READ_BYTES, u->x->cancel, &data, &n, &eof,
				   err);

		if (r < 0)
			return r;
		take_output(u, data, n);
		*ret_any |= n > 0;
		if (n == 0)
			break;
	}
	return 0;
}

/* What the agent kept: all of one stream, then all of the other. */
static int take_captured(struct running *u, const json_t *reply, struct err *err)
{
	static const char *const streams[] = {"out-data", "err-data"};

	for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
		const char *b64 = json_str_at(reply, streams[i]);
		size_t n = 0;
		auto_free char *data = b64 ? base64_decode(b64, &n) : NULL;

		if (b64 && !data)
			return err_set(err, -EPROTO, "guest-exec-status: %s is no base64",
				       streams[i]);
		if (!data)
			continue;
		take_output(u, data, n);
		if (u->n > 0)
			flush_line(u);
	}
	return 0;
}

static int follow(struct running *u, int64_t end, struct err *err)
{
	unsigned wait_ms = MIN_POLL_MS;

	for (;;) {
		bool any = false;
		auto_json json_t *reply = NULL;
		int r = status(u->vm, u->pid, u->x->cancel, &u->exited, u->res, &reply, err);

		/* What it wrote before it ended is all there once its end was seen. */
		if (r == 0 && u->handle >= 0)
			r = read_output(u, &any, err);
		else if (r == 0 && u->exited)
			r = take_captured(u, reply, err);
		if (r < 0 || u->exited)
			return r;
		if (time_mono_ns() >= end) {
			u->res->timed_out = true;
			return err_set(err, -ETIME, "still running at its time limit");
		}
		wait_ms = any ? MIN_POLL_MS : wait_ms * 2 > MAX_POLL_MS ? MAX_POLL_MS : wait_ms * 2;
		r = pause_for(u->vm, wait_ms, end, u->x->cancel, err);
		if (r < 0)
			return r;
	}
}

/* The session first, then the process itself in case it has none of its own. */
static void kill_guest(struct vm *vm, json_int_t pid)
{
	auto_free char *number = strf("%lld", (long long) pid);
	const char *const argv[] = {"/bin/sh", "-c",   "kill -s KILL -- \"-$1\" \"$1\"",
				    "sh",      number, NULL};
	const char *const windows[] = {
		"C:\\Windows\\System32\\taskkill.exe", "/F", "/T", "/PID", number, NULL};
	json_int_t ignored;

	if (number)
		(void) start(vm, vm->windows ? windows : argv, NULL, NULL, false, NULL, &ignored,
			     NULL);
}

static int launch(struct running *u, struct err *err)
{
	const struct vm_exec *x = u->x;
	size_t n = strv_len((char *const *) x->argv), i = 0;
	auto_free char *file = NULL;
	auto_free const char **argv = calloc(n + 6, sizeof(*argv));
	int r;

	if (n > 0 && u->vm->windows)
		return start(u->vm, x->argv, x->envp, x->input, true, x->cancel, &u->pid, err);
	if (n == 0 || x->argv[0][0] != '/')
		return err_set(err, -EINVAL, "expected an absolute program");
	if (x->input && strlen(x->input) > INPUT_MAX)
		return err_set(err, -EFBIG, "input over %u bytes; copy it as a file", INPUT_MAX);
	r = make_dir(u->vm, x->cancel, err);
	if (r < 0)
		return r;
	file = strf("%s/%u", u->vm->exec_dir, u->vm->exec_n++);
	if (!argv || !file)
		return err_set(err, -ENOMEM, "out of memory");
	r = agent_open(u->vm, file, "w+", x->cancel, &u->handle, err);
	if (r < 0)
		return r;
	argv[i++] = "/bin/sh";
	argv[i++] = "-c";
	argv[i++] = wrapper;
	argv[i++] = "sh";
	argv[i++] = file;
	memcpy(argv + i, x->argv, n * sizeof(*argv));
	return start(u->vm, argv, x->envp, x->input, false, x->cancel, &u->pid, err);
}

int vm_exec(struct vm *vm, const struct vm_exec *x, struct proc_result *ret, struct err *err)
{
	uint64_t timeout_ms = x->timeout_ms ? x->timeout_ms : DEFAULT_MS;
	int64_t begin = time_mono_ns(), end = vm_deadline(timeout_ms);
	struct running *u = calloc(1, sizeof(*u));
	int r;

	*ret = (struct proc_result){0};
	if (!u)
		return err_set(err, -ENOMEM, "out of memory");
	*u = (struct running){.vm = vm, .x = x, .handle = -1, .res = ret};
	r = launch(u, err);
	if (r == 0)
		r = follow(u, end, err);
	if (u->n > 0)
		flush_line(u);
	if (!vm->ended) {
		if (r < 0 && u->pid > 0 && !u->exited)
			kill_guest(vm, u->pid);
		if (u->handle >= 0)
			agent_close(vm, u->handle);
	}
	ret->cancelled = r < 0 && cancel_check(x->cancel) < 0;
	ret->wall_ns = time_mono_ns() - begin;
	free(u);
	return r < 0 ? err_ctx(err, r, "guest %s: %s", vm->name, x->argv[0] ? x->argv[0] : "exec")
		     : 0;
}

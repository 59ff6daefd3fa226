/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side: finding or starting the vmhost process, and a guest's connection to it. */
#include "vm/internal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/pidfd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"

#define START_MS 60000 /* for the vmhost process to be ready: it probes KVM and QEMU */
#define HELLO_MS 20000
#define LEAVE_MS 5000
#define CALL_MS  120000 /* start and destroy */

static int ready_wait(int fd, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(65536);
	auto_json json_t *j = NULL;
	int64_t end = vm_deadline(START_MS);
	json_t *error;
	int r;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = (end - time_mono_ns()) / 1000000;
		ssize_t n;

		if (left <= 0)
			return err_set(err, -ETIME, "not ready after %d s", START_MS / 1000);
		if (poll(&p, 1, (int) left) < 0 && errno != EINTR)
			return err_set(err, -errno, "poll: %s", strerrordesc_np(errno));
		if (!p.revents)
			continue;
		r = buf_reserve(&b, 4096);
		if (r < 0)
			return err_set(err, r, "its first line is too long");
		n = read(fd, b.data + b.len, 4096);
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "read: %s", strerrordesc_np(errno));
		if (n > 0)
			b.len += (size_t) n;
		if (n == 0)
			break;
	}
	if (b.len == 0)
		return err_set(err, -EIO, "it ended before it was ready");
	r = json_parse(b.data, b.len, &j, err);
	if (r < 0)
		return r;
	error = json_object_get(j, "error");
	return error ? wire_to_err(error, err) : 0;
}

static int spawn(const char *run_dir, int lock, int ready, struct err *err)
{
	auto_free char *lock_env = strf(VM_ENV_LOCK "=%d", lock);
	auto_free char *ready_env = strf(VM_ENV_READY "=%d", ready);
	auto_free char *log_path = path_join(run_dir, "vmhost.log");
	const char *level = getenv("KILN_LOG");
	auto_free char *log_env = strf("KILN_LOG=%s", level ? level : "warn");
	const char *const argv[] = {proc_self_exe(), "vmhost", "--run", run_dir, NULL};
	const char *const envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				    "LANG=C.UTF-8",
				    "HOME=/",
				    lock_env,
				    ready_env,
				    log_env,
				    NULL};
	const int keep[] = {lock, ready};
	struct proc_spec spec = {.argv = argv,
				 .envp = envp,
				 .stdin_fd = -1,
				 .keep_fds = keep,
				 .n_keep_fds = ARRAY_SIZE(keep)};
	auto_fd int log_fd = -1, pidfd = -1;
	pid_t pid = -1;
	int r;

	if (!lock_env || !ready_env || !log_path || !log_env)
		return err_set(err, -ENOMEM, "out of memory");
	log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (log_fd < 0)
		return err_set(err, -errno, "%s: %s", log_path, strerrordesc_np(errno));
	r = proc_spawn(&spec, log_fd, &pid, &pidfd, err);
	if (r < 0)
		return r;
	/* It detaches at once; what was started here only has to be reaped. */
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	(void) poll(&p, 1, START_MS);
	return proc_stop(pid, pidfd, 1000);
}

/* @lock is held by us; the new process inherits it. */
static int start_host(const char *run_dir, int lock, struct err *err)
{
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerrordesc_np(errno));
	r = spawn(run_dir, lock, ends[1], err);
	(void) close(ends[1]);
	if (r == 0)
		r = ready_wait(ends[0], err);
	(void) close(ends[0]);
	if (r < 0) {
		err_hint(err, "see %s/vmhost.log", run_dir);
		return err_ctx(err, r, "vmhost process");
	}
	return 0;
}

/* Return: 0, -ENOTCONN when nobody serves (any more), or another -errno. */
static int hello(const char *socket, struct wire *ret, pid_t *ret_pid, struct err *err)
{
	auto_json json_t *req = json_pack("{s:i, s:s}", "id", 0, "op", "hello");
	auto_json json_t *reply = NULL;
	struct wire w;
	int fd, r;

	r = wire_connect(socket, &fd);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return -ENOTCONN;
	if (r < 0)
		return err_set(err, r, "connect to %s: %s", socket, strerrordesc_np(-r));
	wire_init(&w, fd);
	r = req ? wire_send(w.fd, req, false) : -ENOMEM;
	if (r == 0)
		r = wire_recv(&w, vm_deadline(HELLO_MS), NULL, &reply, NULL);
	if (r < 0) {
		wire_done(&w);
		/* Connected in the moment it ended: as good as nobody there. */
		if (r == -ECONNRESET || r == -EPIPE)
			return -ENOTCONN;
		return err_set(err, r, "%s does not answer: %s", socket, strerrordesc_np(-r));
	}
	*ret = w;
	if (ret_pid)
		*ret_pid = (pid_t) json_int_at(reply, "ok.pid", 0);
	return 0;
}

pid_t vm_host_pid(const struct vm_host *h)
{
	return h->pid;
}

/* Two locks: `start` is held only while somebody looks or starts, so those who come meanwhile
 * wait for a running process; `lock` is held by the process for its life, so who finds nobody
 * serving waits for the old one to be gone. Neither wait polls. */
static int join_host(struct vm_host *h, struct err *err)
{
	const char *run_dir = h->run_dir;
	auto_free char *start_path = path_join(run_dir, "vmhost.start");
	auto_free char *lock_path = path_join(run_dir, "vmhost.lock");
	auto_fd int start = -1, lock = -1;
	int r;

	if (!start_path || !lock_path)
		return err_set(err, -ENOMEM, "out of memory");
	r = lock_file(start_path, LOCK_EXCLUSIVE, &start, err);
	if (r < 0)
		return r;
	r = hello(h->socket, &h->hold, &h->pid, err);
	if (r != -ENOTCONN)
		return r;
	r = lock_file(lock_path, LOCK_EXCLUSIVE, &lock, err);
	if (r == 0)
		r = start_host(run_dir, lock, err);
	if (r < 0)
		return r;
	r = hello(h->socket, &h->hold, &h->pid, err);
	return r == -ENOTCONN ? err_set(err, -EIO, "the vmhost process ended at once") : r;
}

int vm_host_open(const char *run_dir, struct journal *j, struct vm_host **ret, struct err *err)
{
	struct vm_host *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	wire_init(&h->hold, -1);
	(void) pthread_mutex_init(&h->lock, NULL);
	h->journal = j;
	h->run_dir = strdup(run_dir);
	h->socket = path_join(run_dir, "vmhost.sock");
	r = h->run_dir && h->socket ? file_mkdir_p(run_dir, 0711, err) : -ENOMEM;
	if (r == 0) {
		r = hello(h->socket, &h->hold, &h->pid, err);
		if (r == -ENOTCONN)
			r = join_host(h, err);
	}
	if (r < 0) {
		vm_host_close(h);
		return r;
	}
	*ret = h;
	return 0;
}

/* The process, which belongs to all clients, ends after the last one: the last one waits for that,
 * so that who looks next finds nothing. */
static void leave(struct vm_host *h)
{
	auto_json json_t *req = json_pack("{s:i, s:s}", "id", 1, "op", "leave");
	auto_json json_t *reply = NULL;
	auto_fd int pidfd = h->pid > 0 ? pidfd_open(h->pid, 0) : -1;
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	if (h->hold.fd < 0 || pidfd < 0 || !req || wire_send(h->hold.fd, req, false) < 0 ||
	    wire_recv(&h->hold, vm_deadline(LEAVE_MS), NULL, &reply, NULL) < 0)
		return;
	wire_done(&h->hold);
	if (json_bool_at(reply, "ok.last", false))
		(void) poll(&p, 1, LEAVE_MS);
}

void vm_host_close(struct vm_host *h)
{
	if (!h)
		return;
	leave(h);
	wire_done(&h->hold);
	(void) pthread_mutex_destroy(&h->lock);
	free(h->run_dir);
	free(h->socket);
	free(h);
}

int vm_gone(struct vm *vm, struct err *err)
{
	auto_buf struct buf tail = BUF_INIT(32768);

	vm_console_tail(vm->console_log, VM_TAIL_LINES, &tail);
	err_set(err, -ECHILD, "guest %s: %s%s%s", vm->name,
		vm->end_reason ? vm->end_reason : "it is gone",
		tail.len ? "; its console ends with:\n" : "", buf_str(&tail));
	return -ECHILD;
}

static void note_event(struct vm *vm, const json_t *msg)
{
	const char *event = json_str_at(msg, "event"), *stage = json_str_at(msg, "stage");

	if (str_eq(event, "agent")) {
		vm->agent_up = json_bool_at(msg, "up", false);
		vm->agent_downs = json_int_at(msg, "downs", vm->agent_downs);
	} else if (str_eq(event, "end")) {
		vm->ended = true;
		vm->agent_up = false;
		free(vm->end_reason);
		vm->end_reason = strdup(json_str_at(msg, "reason") ?: "it ended");
	} else if (str_eq(event, "stage")) {
		for (enum vm_stage s = VM_STAGE_START; s < VM_STAGE_MAX; s++)
			if (str_eq(stage, vm_stage_name(s)) && vm->stages[s] < 0)
				vm->stages[s] = json_number_value(json_at(msg, "seconds"));
	}
}

/* The vmhost process is gone: QEMU, which it would have ended, is ended here. */
static int lost(struct vm *vm, int r, struct err *err)
{
	if (r != -ECONNRESET && r != -EPIPE)
		return r;
	vm->ended = vm->lost = true;
	vm->agent_up = false;
	free(vm->end_reason);
	vm->end_reason = strdup("the vmhost process ended");
	if (vm->process && journal_undo(vm->process, NULL) == 0)
		vm->process = NULL;
	return vm_gone(vm, err);
}

int vm_pump(struct vm *vm, int64_t deadline_ns, struct cancel *cancel, struct err *err)
{
	auto_json json_t *msg = NULL;
	int r = wire_recv(&vm->wire, deadline_ns, cancel, &msg, err);

	if (r < 0)
		return lost(vm, r, err);
	note_event(vm, msg);
	return vm->ended ? vm_gone(vm, err) : 0;
}

static int await(struct vm *vm, json_int_t id, int64_t deadline_ns, struct cancel *cancel,
		 json_t **ret, struct err *err)
{
	for (;;) {
		auto_json json_t *msg = NULL;
		json_t *error;
		int r = wire_recv(&vm->wire, deadline_ns, cancel, &msg, err);

		if (r < 0)
			return lost(vm, r, err);
		if (json_object_get(msg, "event")) {
			note_event(vm, msg);
			continue;
		}
		if (json_int_at(msg, "id", -1) != id)
			continue; /* the answer to a request that was given up */
		error = json_object_get(msg, "error");
		if (error)
			return vm->ended ? vm_gone(vm, err) : wire_to_err(error, err);
		if (ret)
			*ret = json_incref(json_object_get(msg, "ok"));
		return 0;
	}
}

int vm_call(struct vm *vm, const char *op, json_t *params, uint64_t timeout_ms,
	    struct cancel *cancel, json_t **ret, struct err *err)
{
	auto_json json_t *req = params ? params : json_object();
	json_int_t id = ++vm->next_id;
	int r = cancel_check(cancel);

	if (r < 0)
		return err_set(err, r, "cancelled");
	if (vm->wire.fd < 0)
		return vm_gone(vm, err);
	if (!req || json_object_set_new(req, "id", json_integer(id)) < 0 ||
	    json_object_set_new(req, "op", json_string(op)) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	r = wire_send(vm->wire.fd, req, false);
	if (r < 0)
		return lost(vm, r, err);
	return await(vm, id, vm_deadline(timeout_ms), cancel, ret, err);
}

int vm_agent(struct vm *vm, const char *command, json_t *args, uint64_t timeout_ms,
	     struct cancel *cancel, json_t **ret, struct err *err)
{
	auto_json json_t *cmd = json_pack("{s:s}", "execute", command);
	auto_json json_t *reply = NULL;
	auto_json json_t *stolen = args;
	uint64_t seconds = (timeout_ms + 999) / 1000;
	json_t *params, *value;
	int r;

	if (vm->ended)
		return vm_gone(vm, err);
	if (!cmd || (stolen && json_object_set(cmd, "arguments", stolen) < 0))
		return err_set(err, -ENOMEM, "out of memory");
	params = json_pack("{s:O, s:I}", "command", cmd, "timeout", (json_int_t) seconds);
	if (!params)
		return err_set(err, -ENOMEM, "out of memory");
	/* The host's own limit comes first; this one is for a host that hangs. */
	r = vm_call(vm, "agent", params, (seconds + 30) * 1000, cancel, &reply, err);
	if (r < 0)
		return err_ctx(err, r, "%s", command);
	value = json_object_get(reply, "return");
	if (!value)
		return err_set(err, -EPROTO, "%s: the guest agent's answer has no result", command);
	if (ret)
		*ret = json_incref(value);
	return 0;
}

static void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	wire_done(&vm->wire);
	free(vm->name);
	free(vm->console_log);
	free(vm->end_reason);
	free(vm->exec_dir);
	free(vm);
}

static struct vm *vm_new(const struct vm_spec *spec)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	wire_init(&vm->wire, -1);
	vm->agent_seconds = -1;
	vm->windows = spec->windows;
	for (enum vm_stage s = VM_STAGE_START; s < VM_STAGE_MAX; s++)
		vm->stages[s] = -1;
	vm->name = strdup(spec->name);
	vm->console_log = spec->console_log ? strdup(spec->console_log) : NULL;
	if (!vm->name || (spec->console_log && !vm->console_log)) {
		vm_free(vm);
		return NULL;
	}
	return vm;
}

/* QEMU is started by the vmhost process, which ends it when this connection closes, and whose
 * successor ends what a killed one left. The entry is for the case that all are killed. */
static int journal_process(struct vm_host *h, struct vm *vm, struct err *err)
{
	json_t *j;

	if (!h->journal)
		return 0;
	j = json_pack("{s:i, s:s}", "pid", 0, "name", "qemu-system-x86_64");
	if (!j)
		return err_set(err, -ENOMEM, "out of memory");
	return journal_add(h->journal, "process", j, &vm->process, err);
}

/* The process may have been killed since; then another one is started. */
static int connect_guest(struct vm_host *h, struct vm *vm, struct err *err)
{
	int r = hello(h->socket, &vm->wire, NULL, err);

	if (r != -ENOTCONN)
		return r;
	(void) pthread_mutex_lock(&h->lock);
	wire_done(&h->hold);
	r = join_host(h, err);
	(void) pthread_mutex_unlock(&h->lock);
	if (r == 0)
		r = hello(h->socket, &vm->wire, NULL, err);
	return r == -ENOTCONN ? err_set(err, r, "vmhost ended; see %s/vmhost.log", h->run_dir) : r;
}

static int connect_and_start(struct vm_host *h, struct vm *vm, const json_t *spec, struct err *err)
{
	auto_json json_t *facts = NULL;
	json_t *more;
	int r = connect_guest(h, vm, err);

	if (r == 0)
		r = journal_process(h, vm, err);
	if (r == 0)
		r = vm_call(vm, "start", json_pack("{s:O}", "spec", spec), CALL_MS, NULL, &facts,
			    err);
	if (r < 0)
		return r;
	vm->start_ns = json_int_at(facts, "startNs", time_mono_ns());
	vm->qemu = (pid_t) json_int_at(facts, "pid", 0);
	if (!vm->process)
		return 0;
	more = json_pack("{s:O, s:O, s:O}", "pid", json_object_get(facts, "pid"), "start",
			 json_object_get(facts, "start"), "pgid", json_object_get(facts, "pgid"));
	return more ? journal_update(vm->process, more, err) : -ENOMEM;
}

int vm_start(struct vm_host *h, const struct vm_spec *spec, struct vm **ret, struct err *err)
{
	auto_json json_t *j = NULL;
	struct vm *vm;
	int r = vm_spec_check(spec, err);

	if (r < 0)
		return r;
	vm = vm_new(spec);
	j = vm_spec_to_json(spec);
	r = vm && j ? connect_and_start(h, vm, j, err) : err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		err_ctx(err, r, "start VM %s", spec->name);
		(void) vm_stop(vm, 0, NULL);
		return r;
	}
	*ret = vm;
	return 0;
}

/* Ask nicely; the answer of guest-shutdown never comes, the end of the guest does. */
static void shut_down(struct vm *vm, uint64_t grace_ms)
{
	int64_t end = vm_deadline(grace_ms);
	json_t *cmd;

	if (grace_ms == 0 || vm->ended || !vm->agent_up)
		return;
	cmd = json_pack("{s:{s:s, s:{s:s}}, s:i}", "command", "execute", "guest-shutdown",
			"arguments", "mode", "powerdown", "timeout", 5);
	if (!cmd)
		return;
	(void) json_object_set_new(cmd, "id", json_integer(++vm->next_id));
	(void) json_object_set_new(cmd, "op", json_string("agent"));
	if (wire_send(vm->wire.fd, cmd, false) == 0)
		while (!vm->ended && vm_pump(vm, end, NULL, NULL) == 0)
			;
	json_decref(cmd);
}

int vm_stop(struct vm *vm, uint64_t grace_ms, struct err *err)
{
	int r = 0;

	if (!vm)
		return 0;
	shut_down(vm, grace_ms);
	if (!vm->lost && vm->wire.fd >= 0)
		r = vm_call(vm, "destroy", NULL, CALL_MS, NULL, NULL, err);
	if (r == -ECHILD)
		r = 0; /* lost() ended QEMU */
	if (vm->process) {
		/* Gone by the host's word; if that failed, by our own hand. */
		if (r == 0)
			journal_drop(vm->process);
		else
			(void) journal_undo(vm->process, NULL);
	}
	if (r < 0)
		(void) err_ctx(err, r, "stop VM %s", vm->name);
	vm_free(vm);
	return r;
}

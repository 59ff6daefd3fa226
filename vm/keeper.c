/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/lock.h"
#include "base/mem.h"
#include "vm/internal.h"

#define STOP_GRACE_MS 60000
#define AGENT_WAIT_MS 10000 /* an emulated guest that is busy */
#define REQUEST_MS    10000 /* for a client to send its request */
#define OUTPUT_MAX    (4u << 20)
#define SCRIPT_MAX    (1u << 20)

/* ---- The state file ------------------------------------------------------------------------- */

int vm_state_open(const char *path, struct vm_state *ret, struct err *err)
{
	auto_free char *lock = strf("%s.lock", path);
	auto_fd int fd = -1;
	int r = lock ? lock_file(lock, LOCK_EXCLUSIVE | LOCK_NONBLOCK, &fd, err) : -ENOMEM;

	if (r == -EAGAIN)
		return err_set(err, r, "a keeper of this VM lives");
	if (r == 0 && fchmod(fd, 0644) < 0)
		r = err_set(err, -errno, "%s: %s", lock, strerrordesc_np(errno));
	if (r < 0)
		return r;
	*ret = (struct vm_state){.path = strdup(path), .fd = take_fd(fd), .doc = json_object()};
	if (ret->path && ret->doc)
		return 0;
	vm_state_done(ret);
	return err_set(err, -ENOMEM, "out of memory");
}

int vm_state_set(struct vm_state *s, json_t *more, struct err *err)
{
	auto_json json_t *changes = more; /* stolen */
	auto_free char *text = NULL;
	char now[ISO_MAX];

	if (!changes || json_object_update(s->doc, changes) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (json_object_get(changes, "state") &&
	    json_object_set_new(s->doc, "since", json_string(time_iso(time_now_us(), now))) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	text = json_compact(s->doc);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	return file_write_atomic(s->path, text, strlen(text), 0644, err);
}

void vm_state_done(struct vm_state *s)
{
	free(s->path);
	json_decref(s->doc);
	closep(&s->fd);
	*s = (struct vm_state){.fd = -1};
}

/* Somebody has the lock: asked without taking it, so that who looks stands in nobody's way. */
static bool keeper_lives(const char *path)
{
	auto_free char *lock = strf("%s.lock", path);
	struct flock f = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	auto_fd int fd = lock ? open(lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &f) == 0 && f.l_type != F_UNLCK;
}

json_t *vm_state_read(const char *path)
{
	bool lives = keeper_lives(path); /* before the file: a keeper that ends writes it first */
	auto_json json_t *j = NULL;
	json_t *s;

	if (json_read_file(path, &j, NULL) < 0)
		return json_pack("{s:s}", "state", "stopped");
	s = json_object_get(j, "state");
	if (!lives && !str_eq(json_string_value(s), "stopped") &&
	    (json_object_set_new(j, "state", json_string("stopped")) < 0 ||
	     json_object_set_new(j, "agent", json_false()) < 0 ||
	     json_object_set_new(j, "reason",
				 json_string("its keeper process ended unexpectedly")) < 0))
		return NULL;
	return json_incref(j);
}

/* ---- The keeper ----------------------------------------------------------------------------- */

static int listen_at(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t old = umask(0177);
	int r = 0;

	if (strlen(path) > VM_SOCKET_MAX)
		r = err_set(err, -ENAMETOOLONG, "%s is longer than %d bytes", path, VM_SOCKET_MAX);
	if (r == 0) {
		memcpy(a.sun_path, path, strlen(path));
		(void) unlink(path);
		if (fd < 0 || bind(fd, (const struct sockaddr *) &a, sizeof(a)) < 0 ||
		    listen(fd, 16) < 0)
			r = err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	}
	(void) umask(old);
	if (r == 0)
		*ret_fd = take_fd(fd);
	return r;
}

static int note_running(struct vm_keep *k, struct err *err)
{
	return vm_state_set(
		k->state,
		json_pack("{s:b, s:o}", "agent", k->vm->agent_up, "stages", vm_stages(k->vm)), err);
}

/* What the host said meanwhile. Return: 0, -ECHILD when the guest has ended. */
static int note_events(struct vm_keep *k, struct err *err)
{
	bool up = k->vm->agent_up;
	int r;

	while ((r = vm_pump(k->vm, time_mono_ns(), NULL, NULL)) == 0)
		if (k->vm->agent_up && k->vm->agent_seconds < 0)
			k->vm->agent_seconds = vm_seconds_since(k->vm->start_ns);
	if (k->vm->ended)
		return -ECHILD;
	if (r != -ETIME)
		return err_set(err, r, "the vmhost process does not answer");
	return up != k->vm->agent_up ? note_running(k, err) : 0;
}

/* While a command runs in the guest, which may take long: whoever asked may go, and what is
 * watched may need care. This thread alone touches the watch and the state then. */
struct exec_watch {
	struct vm_keep *k;
	int client_fd, done_fd;
	struct cancel cancel; /* of the command */
	int r;                /* < 0: the watch failed */
	struct err err;
};

static void *exec_watch_main(void *arg)
{
	struct exec_watch *x = arg;

	for (;;) {
		struct pollfd p[] = {
			{.fd = x->done_fd, .events = POLLIN},
			{.fd = x->client_fd, .events = POLLRDHUP},
			{.fd = x->k->cancel->event_fd, .events = POLLIN},
			{.fd = x->r < 0 ? -1 : x->k->watch->fd, .events = x->k->watch->events}};

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return NULL;
		if (p[0].revents)
			return NULL;
		if (p[3].revents && x->r == 0)
			x->r = x->k->watch->ready(x->k->watch, &x->err);
		if (p[1].revents || p[2].revents || x->r < 0) {
			cancel_set(&x->cancel, -ECANCELED);
			x->client_fd = -1;
		}
		if (p[2].revents)
			return NULL;
	}
}

/* vm_exec() beside such a thread. */
static int exec_watched(struct vm_keep *k, int client_fd, const struct vm_exec *e,
			struct proc_result *res, struct err *err)
{
	struct exec_watch x = {.k = k,
			       .client_fd = client_fd,
			       .done_fd = eventfd(0, EFD_CLOEXEC),
			       .cancel = {.event_fd = -1}};
	pthread_t thread;
	int r = x.done_fd < 0 ? -errno : cancel_init(&x.cancel);

	if (r == 0)
		r = -pthread_create(&thread, NULL, exec_watch_main, &x);
	if (r == 0) {
		struct vm_exec run = *e;

		run.cancel = &x.cancel;
		r = vm_exec(k->vm, &run, res, err);
		(void) eventfd_write(x.done_fd, 1);
		(void) pthread_join(thread, NULL);
	} else {
		err_set(err, r, "thread: %s", strerrordesc_np(-r));
	}
	closep(&x.done_fd);
	cancel_done(&x.cancel);
	if (x.r < 0) {
		r = x.r;
		err_move(err, &x.err);
		k->watch_failed = r;
	}
	err_done(&x.err);
	return r;
}

static int op_exec(struct vm_keep *k, int client_fd, const json_t *params, json_t **ret,
		   struct err *err)
{
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	auto_free const char **argv = NULL;
	const json_t *args = json_object_get(params, "args");
	size_t n = json_array_size(args);
	const char *script = json_str_at(params, "script");
	struct vm_exec x = {.timeout_ms = (uint64_t) json_int_at(params, "timeoutMs", 0),
			    .out = &out};
	struct proc_result res = {0};
	int r;

	if (!script || strlen(script) > SCRIPT_MAX)
		return err_set(err, -EINVAL, "exec: a script of at most %u bytes expected",
			       SCRIPT_MAX);
	argv = calloc(n + 5, sizeof(*argv));
	if (!argv)
		return err_set(err, -ENOMEM, "out of memory");
	argv[0] = "/bin/sh";
	argv[1] = "-c";
	argv[2] = script;
	argv[3] = "script";
	for (size_t i = 0; i < n; i++) {
		argv[4 + i] = json_string_value(json_array_get(args, i));
		if (!argv[4 + i])
			return err_set(err, -EINVAL, "exec: arguments are texts");
	}
	x.argv = argv;
	r = vm_wait_agent(k->vm, AGENT_WAIT_MS, k->cancel, NULL, err);
	if (r == -ETIME)
		return err_set(err, -EAGAIN, "the guest agent is not up");
	if (r == 0)
		r = exec_watched(k, client_fd, &x, &res, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:i, s:o}", "exitCode", res.exit_code, "output", json_string(""));
	/* What is not UTF-8 is told as base64. */
	if (json_object_set_new(*ret, "output", json_stringn(buf_str(&out), out.len)) < 0) {
		auto_free char *b64 = base64_encode(buf_str(&out), out.len);

		(void) json_object_del(*ret, "output");
		if (!b64 || json_object_set_new(*ret, "outputBase64", json_string(b64)) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

/* End the guest; @reason NULL = what the guest itself ended with. */
static int end_guest(struct vm_keep *k, uint64_t grace_ms, const char *reason, struct err *err)
{
	auto_free char *why = NULL;
	auto_err struct err e = ERR_INIT;
	json_t *state;
	int r, r2;

	why = strdup(k->vm->ended && k->vm->end_reason ? k->vm->end_reason
		     : reason                          ? reason
						       : "it ended");
	r = vm_stop(take_ptr(k->vm), grace_ms, err);
	state = json_pack("{s:s, s:b, s:s}", "state", "stopped", "agent", 0, "reason",
			  why ? why : "it ended");
	r2 = vm_state_set(k->state, state, &e);
	return r < 0 ? r : r2;
}

static void answer(int fd, const struct err *err, json_t *ret)
{
	auto_json json_t *j = err ? json_pack("{s:i, s:o}", "id", 1, "error", wire_error(err))
				  : json_pack("{s:i, s:o}", "id", 1, "ok", ret);

	if (!j || wire_send(fd, j, false) < 0)
		log_debug("keeper.answer", "errno=%d", errno);
}

/* One request a connection. Return: 1 when it ended the guest. */
static int serve_one(struct vm_keep *k, int listen_fd)
{
	auto_err struct err err = ERR_INIT;
	auto_json json_t *req = NULL;
	struct wire w;
	json_t *ret = NULL;
	const char *op;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC), r;

	if (fd < 0)
		return 0;
	wire_init(&w, fd);
	r = wire_recv(&w, vm_deadline(REQUEST_MS), k->cancel, &req, &err);
	op = json_str_at(req, "op");
	if (r == 0 && str_eq(op, "stop")) {
		r = end_guest(k, (uint64_t) json_int_at(req, "graceMs", 0), "it was stopped", &err);
		answer(fd, r < 0 ? &err : NULL, r < 0 ? NULL : json_object());
		k->last_fd = take_fd(w.fd);
		wire_done(&w);
		return 1;
	}
	if (r == 0 && str_eq(op, "exec"))
		r = op_exec(k, fd, req, &ret, &err);
	else if (r == 0)
		r = err_set(&err, -EINVAL, "unknown request \"%s\"", op ? op : "");
	if (r < 0 && err.code == 0)
		err_set(&err, r, "%s", strerrordesc_np(-r));
	answer(fd, r < 0 ? &err : NULL, ret);
	wire_done(&w);
	return 0;
}

static int keep_once(struct vm_keep *k, int listen_fd, struct err *err)
{
	struct pollfd p[] = {{.fd = k->vm->wire.fd, .events = POLLIN},
			     {.fd = listen_fd, .events = POLLIN},
			     {.fd = k->cancel->event_fd, .events = POLLIN},
			     {.fd = k->watch->fd, .events = k->watch->events}};
	int r = poll(p, ARRAY_SIZE(p), -1);

	if (r < 0 && errno != EINTR)
		return err_set(err, -errno, "poll: %s", strerrordesc_np(errno));
	if (cancel_check(k->cancel) < 0)
		return end_guest(k, STOP_GRACE_MS, "its keeper was told to end", err) < 0 ? -EIO
											  : 1;
	/* A request may have read events too, so they are looked at in any case. */
	r = r > 0 && p[1].revents ? serve_one(k, listen_fd) : 0;
	if (r != 0)
		return r;
	if (k->watch_failed < 0)
		return err_set(err, k->watch_failed,
			       "the server of its disk ended and could not be "
			       "started anew");
	r = note_events(k, err);
	if (r == -ECHILD)
		return end_guest(k, 0, NULL, err) < 0 ? -EIO : 1;
	if (r == 0 && p[3].revents)
		r = k->watch->ready(k->watch, err);
	return r;
}

int vm_keep(struct vm_keep *k, struct err *err)
{
	auto_fd int fd = -1;
	int r = listen_at(k->socket, &fd, err);

	k->last_fd = -1;
	if (r == 0)
		r = vm_state_set(
			k->state,
			json_pack("{s:s, s:b, s:s}", "state", "running", "agent", 0, "reason", ""),
			err);
	while (r == 0)
		r = keep_once(k, fd, err);
	(void) unlink(k->socket);
	if (r < 0 && k->vm) {
		auto_free char *why = strdup(err_str(err));

		(void) end_guest(k, 0, why, NULL);
	}
	return r < 0 ? r : 0;
}

/* ---- The other side ------------------------------------------------------------------------- */

int vm_keeper_call(const char *socket, const char *op, json_t *params, uint64_t timeout_ms,
		   struct cancel *cancel, json_t **ret, struct err *err)
{
	auto_json json_t *req = params ? params : json_object(), *reply = NULL, *more = NULL;
	int64_t end = vm_deadline(timeout_ms);
	const json_t *error;
	struct wire w;
	int fd, r;

	if (!req || json_object_set_new(req, "op", json_string(op)) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	r = wire_connect(socket, &fd);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return err_set(err, -ENOTCONN, "the VM does not run");
	if (r < 0)
		return err_set(err, r, "%s: %s", socket, strerrordesc_np(-r));
	wire_init(&w, fd);
	r = wire_send(fd, req, false);
	if (r == 0)
		r = wire_recv(&w, end, cancel, &reply, err);
	if (r == -ECONNRESET || r == -EPIPE)
		r = err_set(err, -ENOTCONN, "the VM ended meanwhile");
	error = json_object_get(reply, "error");
	if (r == 0 && error)
		r = wire_to_err(error, err);
	/* Its end is the end of the connection. */
	if (r == 0 && str_eq(op, "stop")) {
		r = wire_recv(&w, end, cancel, &more, err);
		if (r == -ECONNRESET)
			r = 0;
	}
	if (r == 0 && ret)
		*ret = json_incref(json_object_get(reply, "ok"));
	wire_done(&w);
	return r;
}

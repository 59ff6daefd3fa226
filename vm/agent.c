/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the guest agent, and files through it. */
#include "vm/agent.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#define PING_MS       20000
#define PING_RETRY_MS 1000
#define PIECE_BYTES   (1u << 20)

static void report(struct vm *vm, const struct event_sink *ev)
{
	for (enum vm_stage s = VM_STAGE_FIRMWARE; s < VM_STAGE_MAX; s++) {
		if (vm->stages[s] < 0 || vm->reported[s])
			continue;
		vm->reported[s] = true;
		event_emit(ev, json_pack("{s:s, s:s, s:s, s:f}", "type", "vm.stage", "vm", vm->name,
					 "stage", vm_stage_name(s), "seconds", vm->stages[s]));
	}
}

static int timed_out(struct vm *vm, uint64_t timeout_ms, struct err *err)
{
	auto_buf struct buf tail = BUF_INIT(32768);

	vm_console_tail(vm->console_log, VM_TAIL_LINES, &tail);
	err_set(err, -ETIME, "guest %s: no guest agent after %.0f s%s%s", vm->name,
		(double) timeout_ms / 1000,
		tail.len ? "; its console ends with:\n" : "; its console is empty", buf_str(&tail));
	err_hint(err, "qemu-guest-agent must be installed and enabled in the image");
	return -ETIME;
}

/* The port is open; does somebody answer behind it? Return: 1 yes, 0 not now, or a final error. */
static int ping(struct vm *vm, struct cancel *cancel, struct err *err)
{
	auto_err struct err e = ERR_INIT;
	int r = vm_agent(vm, "guest-ping", NULL, PING_MS, cancel, NULL, &e);

	if (r == 0)
		return 1;
	if (r == -EAGAIN || r == -ETIME || r == -EIO)
		return 0;
	if (err)
		err_move(err, &e);
	return r;
}

static int await_agent(struct vm *vm, int64_t end, struct cancel *cancel,
		       const struct event_sink *ev, struct err *err)
{
	int64_t retry = 0;

	for (;;) {
		int r;

		report(vm, ev);
		if (vm->ended)
			return vm_gone(vm, err);
		if (vm->agent_up && time_mono_ns() >= retry) {
			r = ping(vm, cancel, err);
			report(vm, ev);
			if (r != 0)
				return r < 0 ? r : 0;
			retry = vm_deadline(PING_RETRY_MS);
		}
		/* An open port with nobody behind it: ask again later. Else the event tells. */
		r = vm_pump(vm, vm->agent_up && retry < end ? retry : end, cancel, err);
		if (r == -ETIME && time_mono_ns() < end)
			continue;
		if (r < 0)
			return r;
	}
}

int vm_wait_agent(struct vm *vm, uint64_t timeout_ms, struct cancel *cancel,
		  const struct event_sink *ev, struct err *err)
{
	auto_err struct err e = ERR_INIT;
	int r = await_agent(vm, vm_deadline(timeout_ms), cancel, ev, &e);

	if (r == -ETIME)
		return timed_out(vm, timeout_ms, err);
	if (r < 0) {
		if (err)
			err_move(err, &e);
		return r;
	}
	if (vm->agent_seconds < 0) {
		vm->agent_seconds = vm_seconds_since(vm->start_ns);
		event_emit(ev, json_pack("{s:s, s:s, s:s, s:f}", "type", "vm.stage", "vm", vm->name,
					 "stage", "agent", "seconds", vm->agent_seconds));
	}
	return 0;
}

json_t *vm_stages(const struct vm *vm)
{
	json_t *j = json_object();

	for (enum vm_stage s = VM_STAGE_FIRMWARE; j && s < VM_STAGE_MAX; s++)
		if (vm->stages[s] >= 0)
			(void) json_object_set_new(j, vm_stage_name(s), json_real(vm->stages[s]));
	if (j && vm->agent_seconds >= 0)
		(void) json_object_set_new(j, "agent", json_real(vm->agent_seconds));
	return j;
}

int agent_open(struct vm *vm, const char *path, const char *mode, struct cancel *cancel,
	       json_int_t *ret, struct err *err)
{
	auto_json json_t *reply = NULL;
	int r = vm_agent(vm, "guest-file-open", json_pack("{s:s, s:s}", "path", path, "mode", mode),
			 AGENT_MS, cancel, &reply, err);

	if (r < 0)
		return r;
	if (!json_is_integer(reply))
		return err_set(err, -EPROTO, "guest-file-open: expected a number");
	*ret = json_integer_value(reply);
	return 0;
}

void agent_close(struct vm *vm, json_int_t handle)
{
	(void) vm_agent(vm, "guest-file-close", json_pack("{s:I}", "handle", handle), AGENT_MS,
			NULL, NULL, NULL);
}

int agent_read(struct vm *vm, json_int_t handle, unsigned max, struct cancel *cancel,
	       void **ret_data, size_t *ret_n, bool *ret_eof, struct err *err)
{
	auto_json json_t *reply = NULL;
	const char *b64;
	int r = vm_agent(vm, "guest-file-read",
			 json_pack("{s:I, s:I}", "handle", handle, "count", (json_int_t) max),
			 AGENT_MS, cancel, &reply, err);

	if (r < 0)
		return r;
	b64 = json_str_at(reply, "buf-b64");
	*ret_data = base64_decode(b64 ? b64 : "", ret_n);
	*ret_eof = json_bool_at(reply, "eof", false);
	if (!b64 || !*ret_data)
		return err_set(err, -EPROTO, "guest-file-read: no content in the answer");
	return 0;
}

static int write_piece(struct vm *vm, json_int_t handle, const void *p, size_t n, struct err *err)
{
	auto_json json_t *reply = NULL;
	auto_free char *b64 = base64_encode(p, n);
	int r;

	if (!b64)
		return err_set(err, -ENOMEM, "out of memory");
	r = vm_agent(vm, "guest-file-write",
		     json_pack("{s:I, s:s}", "handle", handle, "buf-b64", b64), AGENT_MS, NULL,
		     &reply, err);
	if (r == 0 && json_int_at(reply, "count", -1) != (json_int_t) n)
		r = err_set(err, -EIO, "guest-file-write: short write; is the guest's disk full?");
	return r;
}

static int write_all(struct vm *vm, json_int_t handle, int fd, struct err *err)
{
	auto_free char *piece = malloc(PIECE_BYTES);

	if (!piece)
		return err_set(err, -ENOMEM, "out of memory");
	for (;;) {
		ssize_t n = read(fd, piece, PIECE_BYTES);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read: %s", strerrordesc_np(errno));
		if (n == 0)
			return 0;
		r = write_piece(vm, handle, piece, (size_t) n, err);
		if (r < 0)
			return r;
	}
}

static int guest_chmod(struct vm *vm, const char *path, unsigned mode, struct err *err)
{
	auto_free char *octal = strf("%04o", mode & 07777);
	const char *const argv[] = {"/bin/chmod", octal, path, NULL};
	struct vm_exec x = {.argv = argv, .timeout_ms = AGENT_MS};
	struct proc_result res = {0};
	int r = octal ? vm_exec(vm, &x, &res, err) : -ENOMEM;

	if (r == 0 && res.exit_code != 0)
		r = err_set(err, -EIO, "chmod ended with status %d", res.exit_code);
	return r;
}

int vm_put_fd(struct vm *vm, int fd, const char *guest, unsigned mode, struct err *err)
{
	json_int_t handle;
	int r = agent_open(vm, guest, "wb", NULL, &handle, err);

	if (r < 0)
		return err_ctx(err, r, "copy to guest %s:%s", vm->name, guest);
	/* The mode before the content: the agent makes files that everybody can read. */
	if (!vm->windows)
		r = guest_chmod(vm, guest, mode, err);
	if (r == 0)
		r = write_all(vm, handle, fd, err);
	agent_close(vm, handle);
	return r < 0 ? err_ctx(err, r, "copy to guest %s:%s", vm->name, guest) : 0;
}

int vm_put_file(struct vm *vm, const char *local, const char *guest, unsigned mode, struct err *err)
{
	auto_fd int fd = -1;
	int r = file_open_regular(AT_FDCWD, local, &fd);

	if (r < 0)
		return err_set(err, r, "open %s: %s", local, strerrordesc_np(-r));
	return vm_put_fd(vm, fd, guest, mode, err);
}

static int read_all(struct vm *vm, json_int_t handle, int fd, struct err *err)
{
	uint64_t at = 0;
	bool eof = false;

	while (!eof) {
		auto_free void *data = NULL;
		size_t n;
		int r = agent_read(vm, handle, PIECE_BYTES, NULL, &data, &n, &eof, err);

		if (r == 0 && n > 0) {
			r = file_pwrite_full(fd, data, n, at);
			if (r < 0)
				err_set(err, r, "write: %s", strerrordesc_np(-r));
		}
		if (r < 0)
			return r;
		at += n;
	}
	return 0;
}

int vm_get_fd(struct vm *vm, const char *guest, int fd, struct err *err)
{
	json_int_t handle;
	int r = agent_open(vm, guest, "rb", NULL, &handle, err);

	if (r == 0) {
		r = read_all(vm, handle, fd, err);
		agent_close(vm, handle);
	}
	return r < 0 ? err_ctx(err, r, "copy from guest %s:%s", vm->name, guest) : 0;
}

int vm_get_file(struct vm *vm, const char *guest, const char *local, struct err *err)
{
	auto_fd int fd = open(local, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", local, strerrordesc_np(errno));
	r = vm_get_fd(vm, guest, fd, err);
	if (r < 0)
		(void) unlink(local);
	return r;
}

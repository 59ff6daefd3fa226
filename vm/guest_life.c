/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest goes through while it is kept: restarts, snapshots, its own end. */
#include "vm/agent.h"

#include "base/mem.h"

#define FREEZE_MS   300000
#define TRIM_MS     600000
#define SNAPSHOT_MS 120000

bool vm_ended(const struct vm *vm)
{
	return vm->ended;
}

int vm_wait_end(struct vm *vm, uint64_t timeout_ms, struct cancel *cancel, struct err *err)
{
	int64_t end = timeout_ms ? vm_deadline(timeout_ms) : 0;

	while (!vm->ended) {
		auto_err struct err e = ERR_INIT;
		int r = vm_pump(vm, end, cancel, &e);

		if (r == -ETIME)
			return err_set(err, r, "guest %s still runs after %.0f s", vm->name,
				       (double) timeout_ms / 1000);
		if (r < 0 && r != -ECHILD) {
			if (err)
				err_move(err, &e);
			return r;
		}
	}
	return 0;
}

/* Until the agent went away once more than @downs times. */
static int await_down(struct vm *vm, json_int_t downs, int64_t end, struct cancel *cancel,
		      struct err *err)
{
	while (vm->agent_downs == downs) {
		auto_err struct err e = ERR_INIT;
		int r = vm_pump(vm, end, cancel, &e);

		if (r == -ETIME) {
			err_set(err, r, "guest %s did not restart: its agent never went away",
				vm->name);
			return r;
		}
		if (r < 0) {
			if (err)
				err_move(err, &e);
			return r;
		}
	}
	return 0;
}

static const char *const *own_way(const struct vm *vm)
{
	static const char *const windows[] = {
		"C:\\Windows\\System32\\shutdown.exe", "/r", "/f", "/t", "0", NULL};
	static const char *const linux_[] = {
		"/bin/sh", "-c", "systemctl reboot 2>/dev/null || exec /sbin/reboot", NULL};

	return vm->windows ? windows : linux_;
}

int vm_restart(struct vm *vm, const char *const *argv, uint64_t timeout_ms, struct cancel *cancel,
	       struct err *err)
{
	int64_t end = vm_deadline(timeout_ms), left;
	json_int_t downs = vm->agent_downs, pid;
	int r = agent_start(vm, argv ? argv : own_way(vm), cancel, &pid, err);

	if (r == 0)
		r = await_down(vm, downs, end, cancel, err);
	if (r < 0)
		return err_ctx(err, r, "restart of guest %s", vm->name);
	/* Its /run is another one now. */
	free(vm->exec_dir);
	vm->exec_dir = NULL;
	left = (end - time_mono_ns()) / 1000000;
	r = vm_wait_agent(vm, left > 1000 ? (uint64_t) left : 1000, cancel, NULL, err);
	return r < 0 ? err_ctx(err, r, "restart of guest %s", vm->name) : 0;
}

/* Writes that the guest holds back must be in the file; a guest whose agent cannot freeze has its
 * write cache emptied, which leaves what a power cut would. */
static int freeze(struct vm *vm, bool *ret_frozen, struct cancel *cancel, struct err *err)
{
	static const char *const flush[] = {
		"C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe",
		"-NoProfile",
		"-NonInteractive",
		"-Command",
		"Get-Volume | Where-Object DriveLetter | Write-VolumeCache",
		NULL};
	auto_err struct err e = ERR_INIT;
	struct vm_exec x = {.argv = flush, .timeout_ms = FREEZE_MS, .cancel = cancel};
	struct proc_result res = {0};
	int r = vm_agent(vm, "guest-fsfreeze-freeze", NULL, FREEZE_MS, cancel, NULL, &e);

	*ret_frozen = r == 0;
	if (r < 0 && vm->windows && r != -ECHILD && cancel_check(cancel) == 0) {
		r = vm_exec(vm, &x, &res, err);
		if (r == 0 && res.exit_code != 0)
			r = err_set(err, -EIO, "Write-VolumeCache ended with %d", res.exit_code);
		return r;
	}
	if (r < 0 && err)
		err_move(err, &e);
	return r;
}

/* It may be out of breath, but a guest left frozen would hang for ever. */
static int thaw(struct vm *vm, struct err *err)
{
	int r = vm_agent(vm, "guest-fsfreeze-thaw", NULL, FREEZE_MS, NULL, NULL, err);

	return r < 0 ? err_ctx(err, r, "thaw guest %s", vm->name) : 0;
}

int vm_snapshot(struct vm *vm, const char *overlay, struct cancel *cancel, struct err *err)
{
	auto_err struct err trim = ERR_INIT, after = ERR_INIT;
	json_t *params = json_pack("{s:s}", "path", overlay);
	bool frozen = false;
	int r, r2 = 0;

	if (!params)
		return err_set(err, -ENOMEM, "out of memory");
	/* Only saves room; file systems without discard refuse it. */
	r = vm_agent(vm, "guest-fstrim", NULL, TRIM_MS, cancel, NULL, &trim);
	r = r == -ECHILD ? r : cancel_check(cancel);
	if (r < 0)
		err_set(err, r, "guest %s: stopped before a snapshot", vm->name);
	if (r == 0)
		r = freeze(vm, &frozen, cancel, err);
	if (r < 0) {
		json_decref(params);
		if (!vm->ended)
			(void) thaw(vm, NULL); /* it may be frozen all the same */
		return err_ctx(err, r, "freeze guest %s", vm->name);
	}
	r = vm_call(vm, "snapshot", params, SNAPSHOT_MS, NULL, NULL, err);
	if (frozen)
		r2 = thaw(vm, &after);
	if (r == 0 && r2 < 0 && err)
		err_move(err, &after);
	return r < 0 ? r : r2;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validators: on a throw-away overlay of the finished disk, in a guest that was really booted, or
 * in a container when the template says that this is enough. The artefact is a disk of the store,
 * shown read-only, so nothing here can change it. A passed validation of one disk by the same
 * validators is kept as a root (kind "validated") and not repeated.
 */
#include "bake/run.h"
#include "base/mem.h"

#define BOOT_TIMEOUT_MS 900000u

static const struct stage stage_validate = {.name = "validate", .sub_state = "Validating"};

/* The guest and everything that it stands on, released in this order. */
struct guest {
	struct vm *vm;
	struct nbd_export *export;
};

static int validation_key(struct run *run, struct key *ret)
{
	auto_json json_t *checks = json_array(), *env = json_array(), *doc = NULL;
	char hex[DIGEST_HEX];

	for (size_t i = 0; i < run->t.n_checks; i++) {
		if (json_array_append(checks, run->checks[i].inputs) < 0)
			return -ENOMEM;
	}
	for (char **e = run->envp; *e; e++) {
		if (json_array_append_new(env, json_string(*e)) < 0)
			return -ENOMEM;
	}
	doc = json_pack("{s:i, s:s, s:s, s:s, s:O, s:O}", "format", KEY_FORMAT, "kind",
			"Validation", "disk", digest_hex(&run->disk.digest, hex), "place",
			run->t.check_in_container ? executor_container.version
			: run_uefi(run)           ? "guest, UEFI, Secure Boot"
						  : "guest, BIOS",
			"checks", checks, "environment", env);
	return key_of(doc, ret);
}

static int check_failed(struct run *run, const struct proc_result *res, struct err *err)
{
	int r = step_failed(run, "validator", res, -EPROTO, err);

	err_arm(err, "ValidationFailed");
	return r;
}

static int run_checks(struct run *run, struct step_target *target, struct err *err)
{
	for (size_t i = 0; i < run->t.n_checks; i++) {
		const struct template_step *step = &run->t.checks[i];
		struct proc_result res = {0};
		int r = record_step(run, &stage_validate, step->name, step->kind->name,
				    run->checks[i].brief, err);

		if (r < 0)
			return r;
		r = step->kind->run(&run->checks[i], target, &res, err);
		if (cancel_check(run->env->cancel) < 0)
			return err_set(err, cancel_check(run->env->cancel),
				       "stopped in validator \"%s\"", step->name);
		if (r < 0)
			return err_ctx(err, r, "validator \"%s\"", step->name);
		if (res.exit_code != 0 || res.signal != 0)
			return check_failed(run, &res, err);
		run->ran++;
		r = record_step_end(run, "done", NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int in_container(struct run *run, struct err *err)
{
	struct executor_target target;
	int r = run_need_offline(run, err);

	if (r == 0) {
		executor_target_init(&target, run, run->executor, NULL);
		r = run_checks(run, &target.base, err);
	}
	run_stop_executor(run); /* its overlay is thrown away */
	return r;
}

static int guest_start(struct run *run, struct guest *g, struct err *err)
{
	auto_free char *overlay = strf("%s/validate.qcow2", run->scratch);
	auto_free char *seed = strf("%s/seed.img", run->scratch);
	auto_free char *console = strf("%s/console.log", run->dir);
	auto_free char *name = strf("v%.8s", run->o->run_id);
	struct nbd_host *nbd = NULL;
	struct vm_host *host = NULL;
	int r;

	if (!overlay || !seed || !console || !name)
		return -ENOMEM;
	r = run->env->nbd(run->env->arg, &nbd, err);
	if (r == 0)
		r = run->env->vmhost(run->env->arg, &host, err);
	if (r == 0)
		r = nbd_export_new_with(nbd, run->env->region, &run->disk, NBD_EXPORT_RECORD,
					&g->export, err);
	if (r == 0)
		r = vm_overlay_create(overlay, nbd_host_socket(nbd), nbd_export_name(g->export),
				      run->disk.size_bytes, err);
	if (r == 0)
		r = vm_seed_create(seed, run->o->run_id, "kiln-validate", NULL, NULL, err);
	if (r < 0)
		return r;
	return vm_start(host,
			&(struct vm_spec){
				.name = name,
				.firmware = run_uefi(run) ? VM_UEFI : VM_BIOS,
				.secure_boot = run_uefi(run),
				.overlay = overlay,
				.nbd_socket = nbd_host_socket(nbd),
				.nbd_export = nbd_export_name(g->export),
				.seed = seed,
				.console_log = console,
				.windows = run_windows(run),
			},
			&g->vm, err);
}

/* Services are up when systemd has worked off its boot queue. "degraded" is the validators' to
 * judge; a guest without systemd has nothing to wait for. */
static int wait_for_services(struct run *run, struct vm *vm, struct err *err)
{
	static const char *const argv[] = {"/usr/bin/systemctl", "is-system-running", "--wait",
					   NULL};
	struct proc_result res = {0};
	int r;

	if (run_windows(run))
		return 0; /* its agent is one of the last services */
	r = vm_exec(vm,
		    &(struct vm_exec){
			    .argv = argv,
			    .timeout_ms = BOOT_TIMEOUT_MS,
			    .cancel = run->env->cancel,
			    .line = record_line,
			    .line_arg = run,
		    },
		    &res, err);

	if (r == -ENOENT || res.exit_code == 127) {
		err_done(err);
		return 0;
	}
	return r;
}

/* What it reads from the disk is recorded as the disk's boot profile. */
static int boot(struct run *run, const struct stage *stage, struct guest *g, struct err *err)
{
	int r = record_step(run, stage, "boot", "Boot", "a throw-away overlay of the finished disk",
			    err);

	if (r == 0)
		r = run_need_scratch(run, err);
	if (r == 0)
		r = guest_start(run, g, err);
	if (r == 0)
		r = vm_wait_agent(g->vm, BOOT_TIMEOUT_MS, run->env->cancel, run->env->events, err);
	if (r == 0)
		r = wait_for_services(run, g->vm, err);
	if (r < 0)
		return err_ctx(err, r, "boot of the finished image");
	return record_step_end(run, "done", NULL, err);
}

/* Thrown away: no need to shut it down in good order. */
static void guest_stop(struct guest *g)
{
	struct err ignored = ERR_INIT;

	if (g->vm)
		(void) vm_stop(g->vm, 0, &ignored);
	nbd_export_free(g->export);
	err_done(&ignored);
}

static int in_guest(struct run *run, struct err *err)
{
	struct guest g = {0};
	struct guest_target target;
	int r = boot(run, &stage_validate, &g, err);

	if (r == 0) {
		guest_target_init(&target, run, g.vm);
		r = run_checks(run, &target.base, err);
	}
	guest_stop(&g);
	return r;
}

int boot_and_stop(struct run *run, const struct stage *stage, struct err *err)
{
	struct guest g = {0};
	int r = boot(run, stage, &g, err);

	guest_stop(&g);
	return r;
}

static int passed_before(struct run *run, const struct key *key, struct err *err)
{
	int r = 0;

	if (!run->t.check_in_container)
		r = record_step(run, &stage_validate, "boot", "Boot", NULL, err);
	if (r == 0)
		r = record_step_end(run, "cached", NULL, err);
	for (size_t i = 0; i < run->t.n_checks && r == 0; i++) {
		const struct template_step *step = &run->t.checks[i];

		r = record_step(run, &stage_validate, step->name, step->kind->name,
				run->checks[i].brief, err);
		if (r == 0)
			r = record_step_end(run, "cached", json_pack("{s:s}", "key", key->hex),
					    err);
	}
	return r;
}

int validate_run(struct run *run, struct err *err)
{
	struct disk_ref disk;
	struct key key;
	int r = validation_key(run, &key);

	if (r < 0)
		return err_set(err, r, "validation key: out of memory");
	if (!run->o->no_cache && store_root_get(run->env->store, run->env->region, "validated",
						key.hex, &disk, NULL) == 0)
		return passed_before(run, &key, err);
	r = run->t.check_in_container ? in_container(run, err) : in_guest(run, err);
	if (r == 0)
		return store_root_add(run->session, run->env->region, "validated", key.hex,
				      &run->disk, err);
	if (r == -EPROTO && run->t.keep_failed_check)
		(void) store_root_add(run->session, run->env->region, "failed", run->o->run_id,
				      &run->disk, NULL);
	if (r != -EPROTO || !run->t.continue_distribute)
		return r;
	err_move(&run->check_err, err);
	return 0;
}

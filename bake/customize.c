/* SPDX-License-Identifier: Apache-2.0 */
/* Customizers and generalize: each a step whose disk is kept under its key. */
#include <inttypes.h>

#include "bake/run.h"
#include "bake/seal.h"
#include "base/mem.h"
#include "base/timeutil.h"

static const struct stage stage_customize = {.name = "customize", .sub_state = "Customizing"};
static const struct stage stage_generalize = {.name = "generalize", .sub_state = "Customizing"};

int step_key(struct run *run, size_t i, struct key *ret, json_t **ret_inputs, struct err *err)
{
	bool seal = i == run->t.n_steps;
	struct key_context c = {
		.parent = &run->disk,
		.executor = run->executor_ops,
		.envp = (const char *const *) run->envp,
		.grow_to_bytes = run->t.disk_bytes,
		.allow = run->t.allow,
		.archive = run->archive,
		.refresh = run->t.refresh,
	};
	auto_json json_t *own = NULL, *inputs = NULL;
	int r;

	if (seal && run_windows(run)) {
		own = json_pack("{s:s, s:i}", "kind", "Generalize", "sysprep", SYSPREP_VERSION);
		c.envp = NULL;
	} else if (seal) {
		c.executor = &executor_container; /* it works on the disk, offline */
		own = json_pack("{s:s, s:i}", "kind", "Generalize", "operations", SEAL_VERSION);
		c.envp = NULL; /* it runs no command */
	} else {
		own = json_incref(run->inputs[i].inputs);
		if (run->t.steps[i].kind->flags & STEP_NO_ENV)
			c.envp = NULL;
	}
	inputs = key_inputs(&c, own, !seal && run->t.steps[i].network);
	r = key_of(inputs, ret);
	if (r < 0)
		return err_set(err, r, "step key: out of memory");
	if (ret_inputs)
		*ret_inputs = take_ptr(inputs);
	return 0;
}

int step_cached(struct run *run, const struct key *key, struct disk_ref *ret, struct err *err)
{
	return store_root_get(run->env->store, run->env->region, "step", key->hex, ret, err);
}

/* The executor's present state becomes the run's disk. */
static int take_snapshot(struct run *run, json_t *facts, struct err *err)
{
	struct store_stats stats = {0};
	int64_t start = time_mono_ns();
	struct disk_ref disk;
	json_t *ref;
	int r = run->executor->ops->snapshot(run->executor, &disk, &stats, err);

	if (r < 0)
		return err_ctx(err, r, "snapshot");
	run->disk = disk;
	ref = disk_ref_to_json(&disk);
	if (json_object_set_new(facts, "disk", ref) < 0 ||
	    json_object_set_new(facts, "changedBytes",
				json_integer((json_int_t) stats.bytes_read)) < 0 ||
	    json_object_set_new(facts, "newBytes", json_integer((json_int_t) stats.new_bytes)) <
		    0 ||
	    json_object_set_new(facts, "storedBytes",
				json_integer((json_int_t) stats.stored_bytes)) < 0 ||
	    json_object_set_new(facts, "snapshotSeconds",
				json_real((double) (time_mono_ns() - start) / 1e9)) < 0)
		return -ENOMEM;
	return 0;
}

static int end_cached(struct run *run, const struct key *key, const struct disk_ref *disk,
		      struct err *err)
{
	json_t *facts = json_pack("{s:s, s:o}", "key", key->hex, "disk", disk_ref_to_json(disk));

	if (!facts)
		return -ENOMEM;
	/* A live executor holds another disk's overlay; the next miss starts a new one. */
	run_stop_executor(run);
	run->disk = *disk;
	if (store_root_use(run->env->store, run->env->region, "step", key->hex, -1, err) < 0) {
		json_decref(facts);
		return err_ctx(err, err->code, "step cache");
	}
	return record_step_end(run, "cached", facts, err);
}

/* A step that ran: its disk, kept under its key before the record says so. */
static int end_done(struct run *run, const struct key *key, json_t *facts, struct err *err)
{
	int r = json_object_set_new(facts, "key", json_string(key->hex)) < 0 ? -ENOMEM : 0;

	if (r == 0)
		r = take_snapshot(run, facts, err);
	if (r == 0)
		r = store_root_add(run->session, run->env->region, "step", key->hex, &run->disk,
				   err);
	if (r == 0)
		r = store_root_use(run->env->store, run->env->region, "step", key->hex,
				   json_int_at(facts, "storedBytes", 0), err);
	if (r < 0) {
		json_decref(facts);
		return r;
	}
	run->ran++;
	return record_step_end(run, "done", facts, err);
}

static json_t *tail_json(const struct tail *t)
{
	json_t *a = json_array();

	for (size_t i = 0; a && i < RUN_TAIL_LINES; i++) {
		const char *line = t->line[(t->next + i) % RUN_TAIL_LINES];

		if (line)
			(void) json_array_append_new(a, json_string(line));
	}
	return a;
}

/* errorHandling.onCustomizerError is abort: the disk as the failed step left it. */
static void keep_failed(struct run *run, json_t *facts)
{
	struct err why = ERR_INIT;
	auto_json json_t *snap = json_object();
	struct disk_ref before = run->disk;

	if (!run->t.keep_failed_step || !run->executor || !snap)
		return;
	if (take_snapshot(run, snap, &why) == 0 &&
	    store_root_add(run->session, run->env->region, "failed", run->o->run_id, &run->disk,
			   &why) == 0)
		(void) json_object_set(facts, "failedDisk", json_object_get(snap, "disk"));
	else
		(void) json_object_set_new(facts, "failedDiskError", json_string(err_str(&why)));
	run->disk = before;
	err_done(&why);
}

int step_failed(struct run *run, const char *what, const struct proc_result *res, int code,
		struct err *err)
{
	const char *name = json_string_value(json_object_get(run->step, "name"));
	auto_buf struct buf text = BUF_INIT(1 << 20);
	json_t *lines = tail_json(&run->tail), *facts, *v;
	size_t i;

	json_array_foreach(lines, i, v) buf_addf(&text, "\n  | %s", json_string_value(v));
	if (res->signal)
		err_set(err, code, "%s \"%s\" (%s) was ended by signal %d%s", what, name,
			json_string_value(json_object_get(run->step, "brief")), res->signal,
			buf_str(&text));
	else
		err_set(err, code, "%s \"%s\" (%s) failed with exit status %d%s", what, name,
			json_string_value(json_object_get(run->step, "brief")), res->exit_code,
			buf_str(&text));
	facts = json_pack("{s:i, s:o?}", "exitCode", res->exit_code, "lastLines", lines);
	if (facts) {
		keep_failed(run, facts);
		(void) record_step_end(run, "failed", facts, NULL);
	}
	return code;
}

static int run_customizer(struct run *run, size_t i, const struct key *key, struct err *err)
{
	const struct template_step *step = &run->t.steps[i];
	struct executor_target target;
	struct proc_result res = {0};
	json_t *facts;
	int r = estimate_begins(run, err);

	if (r == 0)
		r = run_need_executor(run, err);
	if (r < 0)
		return r;
	executor_target_init(&target, run, run->executor, step->network ? &run->net : NULL);
	r = step->kind->run(&run->inputs[i], &target.base, &res, err);
	if (cancel_check(run->env->cancel) < 0)
		return err_set(err, cancel_check(run->env->cancel), "stopped in customizer \"%s\"",
			       step->name);
	if (r < 0)
		return err_ctx(err, r, "customizer \"%s\"", step->name);
	if (res.exit_code != 0 || res.signal != 0) {
		r = step_failed(run, "customizer", &res, -EIO, err);
		err_arm(err, "CustomizerFailed");
		return r;
	}
	facts = json_object();
	return facts ? end_done(run, key, facts, err) : -ENOMEM;
}

static bool stops_here(const struct run *run, size_t i)
{
	size_t at;

	return run->o->until && template_find_step(&run->t, run->o->until, &at, NULL) == 0 &&
	       at == i;
}

bool step_reused(const struct run *run, size_t i)
{
	size_t at;

	if (run->o->no_cache)
		return false;
	if (run->o->from && template_find_step(&run->t, run->o->from, &at, NULL) == 0 && i >= at)
		return false;
	for (size_t k = 0; k < json_array_size(run->o->refresh); k++)
		if (template_find_step(&run->t,
				       json_string_value(json_array_get(run->o->refresh, k)), &at,
				       NULL) == 0 &&
		    at == i)
			return false;
	return true;
}

/* A step that failed is as if it was not there: the next one begins with the disk before it. */
static int go_on(struct run *run, const char *name, int code, struct err *err)
{
	if (!run->o->keep_going || !str_eq(err->arm, "CustomizerFailed") ||
	    cancel_check(run->env->cancel) < 0)
		return code;
	buf_addf(&run->failures, "%s%s", run->failures.len ? "\n" : "", err_str(err));
	event_emit(
		run->env->events,
		json_pack("{s:s, s:o}", "type", "notice", "message",
			  json_strf("going on without \"%s\"; nothing will be published", name)));
	run_stop_executor(run);
	err_done(err);
	return 0;
}

static int customize_step(struct run *run, size_t i, struct err *err)
{
	const struct template_step *step = &run->t.steps[i];
	auto_json json_t *inputs = NULL;
	struct disk_ref disk;
	struct key key;
	int r = cancel_check(run->env->cancel);

	if (r < 0)
		return err_set(err, r, "stopped before customizer \"%s\"", step->name);
	r = step_key(run, i, &key, &inputs, err);
	if (r == 0)
		r = record_step(run, &stage_customize, step->name, step->kind->name,
				run->inputs[i].brief, err);
	if (r < 0)
		return r;
	r = step_reused(run, i) ? step_cached(run, &key, &disk, err) : -ENOENT;
	if (r < 0 && r != -ENOENT)
		return r;
	err_done(err);
	r = r == 0 ? end_cached(run, &key, &disk, err) : run_customizer(run, i, &key, err);
	if (r == 0)
		return record_inputs(run, step->name, inputs, err);
	return go_on(run, step->name, r, err);
}

int customize_run(struct run *run, struct err *err)
{
	for (size_t i = 0; i < run->t.n_steps && !run->stopped; i++) {
		int r = customize_step(run, i, err);

		if (r < 0)
			return r;
		run->stopped = stops_here(run, i);
	}
	if (run->failures.len) {
		err_set(err, -EIO, "%s", buf_str(&run->failures));
		err_arm(err, "CustomizerFailed");
		return -EIO;
	}
	return 0;
}

static int seal_offline(struct run *run, json_t **ret_report, struct err *err)
{
	unsigned boot = 0;
	int fd, r = run_need_offline(run, err);

	if (r == 0)
		r = run->executor->ops->rootfd(run->executor, &fd, err);
	if (r == 0)
		r = run->executor->ops->refresh_boot(run->executor, &boot, err);
	if (r == 0)
		r = seal_root(fd, ret_report, err);
	if (r == 0 &&
	    json_array_append_new(*ret_report, json_pack("{s:s, s:i}", "operation", "boot-files",
							 "changed", (int) boot)) < 0)
		r = -ENOMEM;
	return r < 0 ? err_ctx(err, r, "generalize") : 0;
}

static int seal(struct run *run, const struct key *key, struct err *err)
{
	json_t *report = NULL, *facts;
	int r = estimate_begins(run, err);

	if (r == 0)
		r = run_windows(run) ? generalize_windows(run, &report, err)
				     : seal_offline(run, &report, err);
	if (r < 0)
		return r;
	facts = json_pack("{s:o}", "report", report);
	return facts ? end_done(run, key, facts, err) : -ENOMEM;
}

int generalize_run(struct run *run, struct err *err)
{
	auto_json json_t *inputs = NULL;
	struct disk_ref disk;
	struct key key;
	int r = cancel_check(run->env->cancel);

	if (r < 0)
		return err_set(err, r, "stopped before generalize");
	r = step_key(run, run->t.n_steps, &key, &inputs, err);
	if (r == 0)
		r = record_step(run, &stage_generalize, "generalize", "Generalize",
				"remove identity and traces", err);
	if (r < 0)
		return r;
	r = step_reused(run, run->t.n_steps) ? step_cached(run, &key, &disk, err) : -ENOENT;
	if (r < 0 && r != -ENOENT)
		return r;
	err_done(err);
	r = r == 0 ? end_cached(run, &key, &disk, err) : seal(run, &key, err);
	if (r == 0)
		r = record_inputs(run, "generalize", inputs, err);
	if (r == 0)
		run_stop_executor(run); /* its mounts and daemons are not needed any more */
	return r;
}

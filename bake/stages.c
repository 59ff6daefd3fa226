/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stages of a bake, in order. A further one (an SBOM, a scan, a signature) is one row here and
 * one function; it sees the run's disk in run->disk.
 */
#include "bake/run.h"
#include "bake/seal.h"
#include "base/mem.h"

static size_t one(const struct run *run)
{
	return 1;
}

static size_t customize_count(const struct run *run)
{
	return run->t.source_only ? 0 : run->t.n_steps;
}

static size_t generalize_count(const struct run *run)
{
	return !run->t.source_only;
}

static size_t validate_count(const struct run *run)
{
	return run->t.n_checks ? run->t.n_checks + !run->t.check_in_container : 0;
}

/* A boot, unless the validators' is enough, and the profile. */
static size_t optimize_count(const struct run *run)
{
	if (!run->t.optimize_boot)
		return 0;
	return run->t.n_checks && !run->t.check_in_container ? 1 : 2;
}

static size_t distribute_count(const struct run *run)
{
	return json_array_size(run->t.distribute);
}

static const struct stage stage_source = {.name = "source", .sub_state = "Building"};
static const struct stage stage_verify = {.name = "verify", .sub_state = "Customizing"};
static const struct stage stage_distribute = {.name = "distribute", .sub_state = "Distributing"};

static char *source_brief(const json_t *s)
{
	const char *id = json_str_at(s, "imageVersionId") ?: json_str_at(s, "imageId");

	return id ? strdup(id)
		  : strf("%s:%s:%s:%s", json_str_at(s, "publisher"), json_str_at(s, "offer"),
			 json_str_at(s, "sku"), json_str_at(s, "version"));
}

static int source_run(struct run *run, struct err *err)
{
	const char *type = json_str_at(run->t.source, "type");
	auto_free char *brief = source_brief(run->t.source);
	json_t *facts, *known;
	int r = record_step(run, &stage_source, "source", type, brief, err);

	if (r == 0)
		r = run_prepare(run, err);
	if (r == 0)
		r = run_resolve(run, err);
	if (r < 0)
		return r;
	facts = json_pack("{s:o, s:s*, s:s*}", "disk", disk_ref_to_json(&run->disk), "image",
			  json_str_at(run->source.facts, "id"), "exactVersion",
			  json_str_at(run->source.facts, "exactVersion"));
	known = json_copy(run->source.facts);
	(void) json_object_del(known, "platform"); /* its packages are the image's own record */
	if (!facts || json_object_set_new(run->record, "source", known) < 0 ||
	    json_object_set_new(run->record, "executor",
				json_pack("{s:s, s:s, s:s}", "name", run->executor_ops->name,
					  "version", run->executor_ops->version, "why",
					  run->executor_why)) < 0) {
		json_decref(facts);
		return -ENOMEM;
	}
	return record_step_end(run, "done", facts, err);
}

/* Other code than the one that sealed, on the finished disk, without mounting it. */
static int verify_run(struct run *run, struct err *err)
{
	auto_json json_t *findings = NULL, *facts = NULL;
	auto_buf struct buf text = BUF_INIT(1 << 16);
	json_t *f, *end;
	size_t i;
	int r = record_step(run, &stage_verify, "verify", "Verify",
			    "no identity and no traces on the finished disk", err);

	if (r == 0 && run_windows(run)) {
		/* Nothing here reads NTFS; Windows itself said that it is generalized. */
		r = record_step_end(run, "skipped",
				    json_pack("{s:s}", "why", "the disk holds Windows"), err);
		return r < 0 ? r
			     : store_root_add(run->session, run->env->region, "run", run->o->run_id,
					      &run->disk, err);
	}
	if (r == 0)
		r = seal_verify_disk(run->env->store, run->env->region, &run->disk, &findings,
				     &facts, err);
	if (r < 0)
		return err_ctx(err, r, "verify");
	json_array_foreach(findings, i, f)
		buf_addf(&text, "\n  %s: %s (%s)", json_str_at(f, "path"), json_str_at(f, "detail"),
			 json_str_at(f, "check"));
	end = json_pack("{s:O, s:O?}", "findings", findings, "facts", facts);
	if (json_array_size(findings) > 0) {
		(void) record_step_end(run, "failed", end, err);
		err_set(err, -EPROTO, "the finished disk is not clean:%s", buf_str(&text));
		err_arm(err, "VerificationFailed");
		return -EPROTO;
	}
	r = record_step_end(run, "done", end, err);
	if (r == 0)
		r = store_root_add(run->session, run->env->region, "run", run->o->run_id,
				   &run->disk, err);
	return r;
}

static json_t *artifact_json(struct run *run)
{
	auto_json json_t *facts = json_copy(run->source.facts);
	json_t *source = json_pack("{s:s*, s:s*, s:s*}", "type", json_str_at(run->t.source, "type"),
				   "id", json_str_at(run->source.facts, "id"), "exactVersion",
				   json_str_at(run->source.facts, "exactVersion"));

	if (!facts || json_object_set_new(facts, "source", source) < 0 ||
	    json_object_set_new(facts, "osState", json_string("Generalized")) < 0 ||
	    json_object_set_new(facts, "executor", json_string(run->executor_ops->version)) < 0)
		return NULL;
	(void) json_object_del(facts, "platform");
	return json_pack("{s:o, s:O, s:s, s:s, s:b}", "disk", disk_ref_to_json(&run->disk), "facts",
			 facts, "runId", run->o->run_id, "templateId", run->o->template_id, "force",
			 run->o->force);
}

static int one_target(struct run *run, const json_t *target, const json_t *artifact,
		      struct err *err)
{
	const char *name = json_str_at(target, "runOutputName");
	const char *where = json_str_at(target, "galleryImageId") ?: json_str_at(target, "imageId");
	auto_json json_t *out = NULL;
	int r = record_step(run, &stage_distribute, name, json_str_at(target, "type"), where, err);

	if (r == 0)
		r = run->host->distribute(run->host->arg, target, artifact, &out, err);
	if (r < 0) {
		err_ctx(err, r, "distribute \"%s\"", name);
		(void) record_step_end(run, "failed", json_pack("{s:s}", "error", err_str(err)),
				       NULL);
		return r;
	}
	if (json_object_set_new(out, "name", json_string(name)) < 0 ||
	    json_array_append(json_object_get(run->record, "outputs"), out) < 0)
		return -ENOMEM;
	return record_step_end(run, json_bool_at(out, "unchanged", false) ? "cached" : "done",
			       json_pack("{s:O}", "output", out), err);
}

/* Every target is tried; one that failed does not undo the others (PartiallySucceeded). */
static int distribute_run(struct run *run, struct err *err)
{
	auto_json json_t *artifact = artifact_json(run);
	struct err first = ERR_INIT;
	size_t i, failed = 0;
	json_t *target;
	int r;

	if (!artifact || json_object_set(run->record, "artifact", artifact) < 0)
		return -ENOMEM;
	json_array_foreach(run->t.distribute, i, target)
	{
		struct err why = ERR_INIT;

		r = cancel_check(run->env->cancel);
		if (r < 0)
			err_set(&why, r, "stopped before distribute target %zu", i + 1);
		else
			r = one_target(run, target, artifact, &why);
		if (r < 0 && ++failed == 1)
			err_move(&first, &why);
		err_done(&why);
		if (cancel_check(run->env->cancel) < 0)
			break;
	}
	if (failed == 0)
		return 0;
	r = first.code;
	err_move(err, &first);
	if (cancel_check(run->env->cancel) < 0)
		return cancel_check(run->env->cancel);
	if (failed < json_array_size(run->t.distribute))
		return err_ctx(err, -EREMOTEIO, "%zu of %zu targets failed", failed,
			       json_array_size(run->t.distribute));
	return r;
}

const struct stage bake_stages[] = {
	{"source", "Building", one, source_run},
	{"customize", "Customizing", customize_count, customize_run},
	{"generalize", "Customizing", generalize_count, generalize_run},
	{"verify", "Customizing", one, verify_run},
	{"validate", "Validating", validate_count, validate_run},
	{"optimize", "Optimizing", optimize_count, optimize_run},
	{"distribute", "Distributing", distribute_count, distribute_run},
	{NULL, NULL, NULL, NULL},
};

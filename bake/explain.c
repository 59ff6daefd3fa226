/* SPDX-License-Identifier: Apache-2.0 */
/* What a run would do, and which input of a step that would run has changed. */
#include "bake/run.h"
#include "base/mem.h"

#define SHOWN_MAX 120 /* bytes of a value in an explanation */

/* ---- Differences ---------------------------------------------------------------------------- */

static json_t *shown(const json_t *v)
{
	auto_free char *text = NULL;

	if (!v)
		return NULL;
	text = json_is_string(v) ? strdup(json_string_value(v)) : json_compact(v);
	if (text && strlen(text) > SHOWN_MAX)
		memcpy(text + SHOWN_MAX - 3, "...", 4);
	return text ? json_text(text, strlen(text)) : NULL;
}

static int add_change(json_t *list, const char *path, const json_t *was, const json_t *now)
{
	json_t *a = shown(was), *b = shown(now);

	return json_array_append_new(
		list, json_pack("{s:s, s:o*, s:o*}", "input", path, "was", a, "now", b));
}

static char *below(const char *path, const char *key)
{
	return *path ? strf("%s.%s", path, key) : strdup(key);
}

/* Lists are compared item by item, objects member by member, the rest as wholes. */
static int compare(json_t *list, const char *path, const json_t *was, const json_t *now)
{
	const char *key;
	json_t *v;
	int r = 0;

	if (json_equal(was, now))
		return 0;
	if (!json_is_object(was) || !json_is_object(now))
		return add_change(list, path, was, now);
	json_object_foreach((json_t *) now, key, v)
	{
		auto_free char *p = below(path, key);

		if (r == 0)
			r = p ? compare(list, p, json_object_get(was, key), v) : -ENOMEM;
	}
	json_object_foreach((json_t *) was, key, v)
	{
		auto_free char *p = below(path, key);

		if (r == 0 && !json_object_get(now, key))
			r = p ? add_change(list, p, v, NULL) : -ENOMEM;
	}
	return r;
}

/* ---- Steps ---------------------------------------------------------------------------------- */

struct explainer {
	struct run run;
	json_t *steps;  /* borrowed from the answer */
	json_t *before; /* owned: inputs of the newest time each step was done */
	bool unknown;   /* a step before this one runs: the disk that it will begin with is not
			   known yet */
};

static int explain_miss(struct explainer *x, size_t i, const char *name, json_t *inputs,
			json_t *out)
{
	const json_t *was = json_object_get(x->before, name);
	json_t *changed = json_array();
	const char *why = "something that goes into it changed";
	int r = changed ? 0 : -ENOMEM;

	if (x->unknown) /* not compared: it is about to change, or not */
		(void) json_object_set(inputs, "parent", json_object_get(was, "parent"));
	if (r == 0 && was)
		r = compare(changed, "", was, inputs);
	if (!step_reused(&x->run, i))
		why = "asked for";
	else if (!was)
		why = "it was not done before";
	else if (json_array_size(changed) == 0)
		why = x->unknown ? "a step before it runs" : "its snapshot is gone";
	if (r == 0)
		r = json_object_set_new(out, "why", json_string(why));
	if (r == 0)
		r = json_object_set(out, "changed", changed);
	json_decref(changed);
	return r < 0 ? -ENOMEM : 0;
}

static int explain_step(struct explainer *x, size_t i, struct err *err)
{
	bool seal = i == x->run.t.n_steps;
	const char *name = seal ? "generalize" : x->run.t.steps[i].name;
	const char *kind = seal ? "Generalize" : x->run.t.steps[i].kind->name;
	auto_json json_t *inputs = NULL;
	struct disk_ref disk;
	struct key key;
	json_t *out;
	int r = step_key(&x->run, i, &key, &inputs, err);

	if (r < 0)
		return r;
	r = !x->unknown && step_reused(&x->run, i) ? step_cached(&x->run, &key, &disk, err)
						   : -ENOENT;
	if (r < 0 && r != -ENOENT)
		return r;
	err_done(err);
	out = json_pack("{s:s, s:s, s:s}", "name", name, "kind", kind, "state",
			r == 0 ? "cached" : "runs");
	if (!out || json_array_append_new(x->steps, out) < 0)
		return err_set(err, -ENOMEM, "explanation");
	if (r == 0) {
		x->run.disk = disk;
		return json_object_set_new(out, "key", json_string(key.hex)) < 0 ? -ENOMEM : 0;
	}
	r = explain_miss(x, i, name, inputs, out);
	x->unknown = true;
	return r < 0 ? err_set(err, r, "explanation") : 0;
}

static int explain_all(struct explainer *x, const struct bake_env *env,
		       const struct bake_options *o, json_t *answer, struct err *err)
{
	size_t n = x->run.t.source_only ? 0 : x->run.t.n_steps + 1;
	int r = run_prepare(&x->run, err);

	if (r == 0)
		r = run_resolve(&x->run, err);
	if (r == 0)
		r = record_inputs_read(env->data_dir, o->template_id, &x->before, err);
	if (r < 0)
		return r;
	if (json_object_set_new(answer, "source",
				json_pack("{s:s*, s:o}", "image",
					  json_str_at(x->run.source.facts, "id"), "disk",
					  disk_ref_to_json(&x->run.disk))) < 0)
		return err_set(err, -ENOMEM, "explanation");
	for (size_t i = 0; i < n && r == 0; i++)
		r = explain_step(x, i, err);
	return r;
}

int bake_explain(const struct bake_env *env, const struct bake_host *host,
		 const struct bake_options *o, const json_t *tmpl, json_t **ret, struct err *err)
{
	struct explainer x = {.steps = json_array()};
	auto_json json_t *answer = x.steps ? json_pack("{s:o}", "steps", x.steps) : NULL;
	int r = answer ? run_open(&x.run, env, host, o, tmpl, err)
		       : err_set(err, -ENOMEM, "explanation");

	if (r == 0)
		r = explain_all(&x, env, o, answer, err);
	json_decref(x.before);
	if (answer)
		run_close(&x.run);
	if (r == 0)
		*ret = take_ptr(answer);
	return r;
}

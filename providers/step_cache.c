/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/step_cache.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/chores.h"
#include "providers/common.h"

#define DAY_US        INT64_C(86400000000)
#define YOUNG_US      INT64_C(3600000000)
#define KEEP_DAYS     30
#define KEEP_RUN_DAYS 90

/* ---- What is there -------------------------------------------------------------------------- */

/* {key: {"step", "template", "run"}} of the newest run that refers to it */
static int hold(json_t *held, const char *run_id, const json_t *run)
{
	const char *template = json_str_at(run, "properties.template");
	const json_t *step;
	size_t i;

	json_array_foreach(json_at(run, "properties.steps"), i, step)
	{
		const char *key = json_str_at(step, "key");

		if (key && json_object_set_new(
				   held, key,
				   json_pack("{s:s*, s:s*, s:s}", "step", json_str_at(step, "name"),
					     "template", template, "run",
					     strrchr(run_id, '/') ? strrchr(run_id, '/') + 1
								  : run_id)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int hold_run(void *arg, const char *id, const json_t *doc)
{
	return hold(arg, id, doc);
}

struct listing {
	struct app *a;
	json_t *held, *list;
};

static int list_one(void *arg, unsigned region, const char *key, const struct store_use *use)
{
	struct listing *l = arg;
	const json_t *by = json_object_get(l->held, key);
	char iso[ISO_MAX];
	json_t *entry = json_pack(
		"{s:s, s:s, s:s*, s:s*, s:s*, s:s, s:I, s:I, s:b}", "key", key, "region",
		store_region_name(l->a->store, region), "step", json_str_at(by, "step"), "template",
		json_str_at(by, "template"), "run", json_str_at(by, "run"), "lastUsed",
		time_iso(use->last_us, iso), "lastUsedUs", (json_int_t) use->last_us, "storedBytes",
		(json_int_t) use->cost_bytes, "held", by != NULL);

	return entry && json_array_append_new(l->list, entry) == 0 ? 0 : -ENOMEM;
}

static int by_use(const void *x, const void *y)
{
	json_int_t a = json_int_at(*(json_t *const *) x, "lastUsedUs", 0);
	json_int_t b = json_int_at(*(json_t *const *) y, "lastUsedUs", 0);

	return a < b ? -1 : a > b;
}

static json_t *sorted(const json_t *list)
{
	size_t n = json_array_size(list);
	auto_free json_t **v = calloc(n + 1, sizeof(json_t *));
	json_t *out = v ? json_array() : NULL;

	for (size_t i = 0; out && i < n; i++)
		v[i] = json_array_get(list, i);
	if (out && n)
		qsort(v, n, sizeof(json_t *), by_use);
	for (size_t i = 0; out && i < n; i++)
		if (json_array_append(out, v[i]) < 0) {
			json_decref(out);
			return NULL;
		}
	return out;
}

int step_cache_list(struct app *a, json_t **ret, struct err *err)
{
	auto_json json_t *held = json_object(), *list = json_array();
	struct listing l = {a, held, list};
	int r = held && list ? arm_each(a->arm, TYPE_RUN, "", hold_run, held, err) : -ENOMEM;

	if (r == 0)
		r = store_root_list_use(a->store, "step", list_one, &l, err);
	if (r == 0) {
		*ret = sorted(list);
		r = *ret ? 0 : -ENOMEM;
	}
	return r < 0 ? err_ctx(err, r, "step cache") : 0;
}

/* ---- What goes ------------------------------------------------------------------------------ */

static int drop(struct app *a, struct step_cache_sweep *s, const json_t *entry, int64_t before_us,
		struct err *err)
{
	int region = app_region_index(a, json_str_at(entry, "region"));
	bool removed = true;
	int r = 0;

	if (region < 0)
		return 0;
	if (!s->dry)
		r = store_root_remove_unused(a->store, (unsigned) region, "step",
					     json_str_at(entry, "key"), before_us, &removed, err);
	if (r == 0 && removed) {
		s->removed++;
		s->removed_bytes += (uint64_t) json_int_at(entry, "storedBytes", 0);
	}
	return r;
}

static void count(struct step_cache_sweep *s, const json_t *list)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
	{
		uint64_t bytes = (uint64_t) json_int_at(entry, "storedBytes", 0);
		bool held = json_bool_at(entry, "held", false);

		s->entries++;
		s->bytes += bytes;
		s->held += held;
		s->held_bytes += held ? bytes : 0;
	}
}

int step_cache_sweep(struct app *a, struct step_cache_sweep *s, struct err *err)
{
	int64_t now = time_now_us(), days = json_int_at(a->config, "cache.days", KEEP_DAYS);
	int64_t gigabytes = json_int_at(a->config, "cache.gigabytes", 0);
	uint64_t most = gigabytes ? (uint64_t) gigabytes << 30 : UINT64_MAX;
	auto_json json_t *list = NULL;
	const json_t *entry;
	size_t i;
	int r = step_cache_list(a, &list, err);

	if (r < 0)
		return r;
	*s = (struct step_cache_sweep){.dry = s->dry};
	count(s, list);
	json_array_foreach(list, i, entry)
	{
		int64_t last = json_int_at(entry, "lastUsedUs", 0);
		bool old = now - last > days * DAY_US;
		bool much = s->bytes - s->removed_bytes > most;

		if (!json_bool_at(entry, "held", false) && now - last > YOUNG_US && (old || much))
			r = drop(a, s, entry, now - YOUNG_US, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int step_cache_remove(struct app *a, const char *key, struct err *err)
{
	struct disk_ref d;
	bool found = false;

	for (unsigned i = 0; i < a->n_regions && !found; i++)
		found = store_root_get(a->store, i, "step", key, &d, NULL) == 0;
	if (!found)
		return err_set(err, -ENOENT, "the step cache has no entry %.64s", key);
	return store_root_remove(a->store, -1, "step", key, err);
}

/* ---- Runs ----------------------------------------------------------------------------------- */

struct old_runs {
	int64_t before_us;
	json_t *newest; /* {template id: [start time, run id]} */
	char **ids;     /* owned: ended before that */
};

static int look_at_run(void *arg, const char *id, const json_t *doc)
{
	struct old_runs *o = arg;
	const char *template = json_str_at(doc, "properties.templateId");
	const char *start = json_str_at(doc, "properties.startTime");
	const char *end = json_str_at(doc, "properties.endTime");
	const json_t *other = template ? json_object_get(o->newest, template) : NULL;
	int64_t us;

	if (!template || !start || !end)
		return 0; /* it goes on */
	if (!other || strcmp(json_string_value(json_array_get(other, 0)), start) < 0) {
		if (json_object_set_new(o->newest, template, json_pack("[s, s]", start, id)) < 0)
			return -ENOMEM;
	}
	return time_parse_iso(end, &us) == 0 && us < o->before_us ? strv_push(&o->ids, id) : 0;
}

static bool is_newest(const struct old_runs *o, const char *id)
{
	const char *template;
	json_t *v;

	json_object_foreach(o->newest, template, v)
	{
		if (str_eq(json_string_value(json_array_get(v, 1)), id))
			return true;
	}
	return false;
}

static int expire_runs(struct app *a, struct err *err)
{
	int64_t days = json_int_at(a->config, "cache.runDays", KEEP_RUN_DAYS);
	struct old_runs o = {.before_us = time_now_us() - days * DAY_US, .newest = json_object()};
	int r = o.newest ? arm_each(a->arm, TYPE_RUN, "", look_at_run, &o, err) : no_memory(err);

	for (size_t i = 0; r == 0 && o.ids && o.ids[i]; i++)
		if (!is_newest(&o, o.ids[i]))
			chore_delete(a, o.ids[i], API_RUN, "runs.expire");
	strv_free(o.ids);
	json_decref(o.newest);
	return r;
}

int step_cache_chore(struct app *a, struct err *err)
{
	struct step_cache_sweep s = {.dry = false};
	int64_t now = time_now_us();
	int r;

	if (!a->store || now - a->cache_swept_us < (int64_t) STEP_CACHE_SWEEP_S * 1000000)
		return 0;
	a->cache_swept_us = now;
	r = expire_runs(a, err);
	if (r == 0)
		r = step_cache_sweep(a, &s, err);
	if (r == 0 && s.removed > 0)
		log_event(LOG_LVL_INFO, "cache.swept", "removed=%llu bytes=%llu",
			  (unsigned long long) s.removed, (unsigned long long) s.removed_bytes);
	return r;
}

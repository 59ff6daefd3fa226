/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/run.h"
#include "base/mem.h"

static const json_t *find_record(const json_t *steps, const char *name)
{
	const json_t *s;
	size_t i;

	json_array_foreach(steps, i, s)
	{
		char number[24];

		snprintf(number, sizeof(number), "%zu", i);
		if (str_eq_nocase(json_str_at(s, "name"), name) || strcmp(number, name) == 0)
			return s;
	}
	return NULL;
}

/* The disk before @step: the last one that a step before it left (NULL step: the newest). */
static const json_t *disk_before(const json_t *steps, const json_t *step)
{
	const json_t *s, *before = NULL;
	size_t i;

	json_array_foreach(steps, i, s)
	{
		if (s == step)
			break;
		if (json_object_get(s, "disk"))
			before = json_object_get(s, "disk");
	}
	return before;
}

/* The disk after @step; for one that failed what was kept of it, else the disk before. */
static const json_t *disk_after(const json_t *steps, const json_t *step)
{
	return json_object_get(step, "disk") ?: json_object_get(step, "failedDisk")
			       ?: disk_before(steps, step);
}

static int read_run(const struct bake_env *env, const char *id, json_t **ret, struct err *err)
{
	static const char runs[] = "/kiln.images/runs/";
	auto_free char *lower = str_lower(id);
	const char *at = lower ? strstr(lower, runs) : NULL;
	char run_id[UUID_STR];
	int r = lower ? 0 : err_set(err, -ENOMEM, "run");

	if (r == 0 && at)
		return record_read(env->data_dir, at + strlen(runs), ret, err);
	if (r == 0)
		r = record_latest(env->data_dir, id, run_id, err);
	return r < 0 ? r : record_read(env->data_dir, run_id, ret, err);
}

int bake_find_step(const struct bake_env *env, const char *id, const char *step,
		   struct disk_ref *ret, json_t **ret_run, struct err *err)
{
	bool before = step && *step == '^';
	auto_json json_t *record = NULL;
	const json_t *steps, *found = NULL, *disk;
	const char *run_id;
	int r = read_run(env, id, &record, err);

	if (r < 0)
		return r;
	run_id = json_str_at(record, "runId");
	steps = json_object_get(record, "steps");
	step = before ? step + 1 : step;
	if (step && *step) {
		found = find_record(steps, step);
		if (!found)
			return err_set(err, -ENOENT, "run %s has no step \"%s\"", run_id, step);
	}
	disk = before || !found ? disk_before(steps, found) : disk_after(steps, found);
	if (!disk)
		return err_set(err, -ENOENT, "run %s kept no disk %s this step", run_id,
			       before ? "before" : "at");
	r = disk_ref_from_json(disk, ret, err);
	if (r == 0 && ret_run)
		*ret_run = take_ptr(record);
	return r;
}

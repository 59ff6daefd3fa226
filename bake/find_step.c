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

/* The disk after @step; for one that failed what was kept of it, else the disk before. */
static const json_t *disk_of(const json_t *steps, const json_t *step)
{
	const json_t *s, *before = NULL;
	size_t i;

	json_array_foreach(steps, i, s)
	{
		if (s != step && json_object_get(s, "disk"))
			before = json_object_get(s, "disk");
		if (s == step)
			break;
	}
	if (!step)
		return before;
	return json_object_get(step, "disk") ?: json_object_get(step, "failedDisk") ?: before;
}

int bake_find_step(const struct bake_env *env, const char *template_id, const char *step,
		   struct disk_ref *ret, json_t **ret_run, struct err *err)
{
	auto_json json_t *record = NULL;
	const json_t *steps, *found = NULL, *disk;
	char run_id[UUID_STR];
	int r = record_latest(env->data_dir, template_id, run_id, err);

	if (r == 0)
		r = record_read(env->data_dir, run_id, &record, err);
	if (r < 0)
		return r;
	steps = json_object_get(record, "steps");
	if (step && *step) {
		found = find_record(steps, step);
		if (!found)
			return err_set(err, -ENOENT, "the last run (%s) has no step \"%s\"", run_id,
				       step);
	}
	disk = disk_of(steps, found);
	if (!disk)
		return err_set(err, -ENOENT, "the last run (%s) kept no disk at this step", run_id);
	r = disk_ref_from_json(disk, ret, err);
	if (r == 0 && ret_run)
		*ret_run = take_ptr(record);
	return r;
}

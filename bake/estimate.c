/* SPDX-License-Identifier: Apache-2.0 */
/* How long the rest of a run will take: what its steps took when they last ran, kept beside the
 * name of the template's newest run as {"STAGE/NAME": SECONDS}. */
#include "bake/run.h"
#include "base/file.h"
#include "base/mem.h"

static char *step_id(const struct run *run)
{
	const char *stage = json_str_at(run->step, "stage"), *name = json_str_at(run->step, "name");

	return strf("%s/%s", stage ? stage : "", name ? name : "");
}

static int load(struct run *run)
{
	auto_free char *path = record_times_path(run);

	if (run->times)
		return 0;
	if (path && json_read_file(path, &run->times, NULL) == 0 && json_is_object(run->times)) {
		run->left = json_deep_copy(run->times);
	} else { /* the first run, or not readable: nothing is known */
		json_decref(run->times);
		run->times = json_object();
		run->left = json_object();
	}
	return run->times && run->left ? 0 : -ENOMEM;
}

int estimate_begins(struct run *run, struct err *err)
{
	double seconds = 0;
	const char *id;
	json_t *v;

	if (load(run) < 0)
		return err_set(err, -ENOMEM, "estimate");
	json_object_foreach(run->left, id, v) seconds += json_number_value(v);
	if (seconds <= 0)
		return 0;
	if (json_object_set_new(run->record, "secondsLeft", json_real(seconds)) < 0)
		return err_set(err, -ENOMEM, "estimate");
	event_emit(run->env->events,
		   json_pack("{s:s, s:f}", "type", "estimate", "secondsLeft", seconds));
	return 0;
}

int estimate_ended(struct run *run, bool ran, double seconds, struct err *err)
{
	auto_free char *id = step_id(run), *path = record_times_path(run), *text = NULL;
	const json_t *was;

	if (!id || !path || load(run) < 0)
		return err_set(err, -ENOMEM, "estimate");
	(void) json_object_del(run->left, id);
	if (!ran)
		return 0;
	was = json_object_get(run->times, id);
	if (was) /* half of it is the past */
		seconds = (seconds + json_number_value(was)) / 2;
	if (json_object_set_new(run->times, id, json_real(seconds)) < 0)
		return err_set(err, -ENOMEM, "estimate");
	text = json_compact(run->times);
	return text ? file_write_atomic(path, text, strlen(text), 0640, err)
		    : err_set(err, -ENOMEM, "estimate");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Kiln.Images/runs: the record of each run of an image template. Templates write it; clients read
 * it, name it as a source, and delete it, which lets go of its artefact. */
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"

static int run_write(struct arm_call *c, struct err *err)
{
	if (c->old)
		return 0; /* tags */
	return refuse(err, -EPERM, "MethodNotAllowed", NULL,
		      "runs are made by running an image template (POST .../run)");
}

static int run_delete(struct arm_call *c, struct err *err)
{
	const char *state = json_str_at(c->old, "properties.state");
	const char *template = json_str_at(c->old, "properties.templateId");
	char active[UUID_STR_LEN] = "";

	if (template && state && strcmp(state, "Running") == 0 &&
	    arm_running(c->arm, template, active, NULL) == 0 && active[0])
		return refuse(err, -EBUSY, "OperationNotAllowed", NULL,
			      "run '%s' of %s is running: cancel it first", c->id->name, template);
	return arm_call_job(c, "delete", NULL, err);
}

static int run_delete_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;
	auto_free char *dir = strf("%s/runs/%s", a->data_dir, job->id->name);
	int r = dir ? store_root_remove(a->store, -1, "run", job->id->name, err) : no_memory(err);

	if (r == 0)
		r = store_root_remove(a->store, -1, "failed", job->id->name, err);
	return r < 0 ? r : file_rm_rf(dir, err);
}

/* ---- Its log -------------------------------------------------------------------------------- */

#define LOG_PART_BYTES (256u << 10) /* of one answer */

/* Whole lines of DIR/runs/ID/events.jsonl from @offset on; *@ret_next is where the next part
 * begins. A line that is still being written is left for the next time. */
static int read_events(const char *path, int64_t offset, json_t *events, int64_t *ret_next,
		       struct err *err)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_free char *part = malloc(LOG_PART_BYTES);
	const char *line, *end;
	ssize_t n;

	*ret_next = offset;
	if (fd < 0 && errno == ENOENT)
		return 0; /* it has not begun */
	if (fd < 0 || !part)
		return err_set(err, fd < 0 ? -errno : -ENOMEM, "log of the run");
	n = pread(fd, part, LOG_PART_BYTES, offset);
	if (n < 0)
		return err_set(err, -errno, "log of the run");
	for (line = part; (end = memchr(line, '\n', (size_t) (part + n - line))); line = end + 1) {
		json_t *event = NULL;

		*ret_next = offset + (end + 1 - part);
		if (json_parse(line, (size_t) (end - line), &event, NULL) < 0)
			continue; /* torn by a crash */
		if (json_array_append_new(events, event) < 0)
			return no_memory(err);
	}
	if (line == part && n == (ssize_t) LOG_PART_BYTES)
		*ret_next = offset + n; /* no event is so long: what is there is none */
	return 0;
}

static bool run_ended(const json_t *run)
{
	const char *state = json_str_at(run, "properties.state");

	return state && !str_eq(state, "Running") && !str_eq(state, "Queued");
}

static int run_log(struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;
	auto_free char *path = strf("%s/runs/%s/events.jsonl", a->data_dir, c->id->name);
	int64_t offset = json_int_at(c->body, "offset", 0), next = offset;
	bool ended = run_ended(c->old); /* before reading: what it wrote last is then read */
	json_t *events = json_array();
	int r = path && events ? read_events(path, offset, events, &next, err) : no_memory(err);

	if (r < 0) {
		json_decref(events);
		return r;
	}
	c->result = json_pack("{s:o, s:I, s:b}", "events", events, "next", (json_int_t) next, "end",
			      (int) (ended && json_array_size(events) == 0));
	return c->result ? 0 : no_memory(err);
}

static const struct arm_field log_shape[] = {
	{"offset", ARM_INT, ARM_NULLABLE, .min = 0, .max = INT64_MAX},
	{NULL},
};
static const struct arm_action run_actions[] = {
	{"readLog", "POST", "read", run_log, log_shape},
	{NULL},
};

static const struct arm_field run_properties[] = {
	{"templateId", ARM_STRING, ARM_READONLY}, {"state", ARM_STRING, ARM_READONLY},
	{"subState", ARM_STRING, ARM_READONLY},   {"startTime", ARM_DATE, ARM_READONLY},
	{"endTime", ARM_DATE, ARM_READONLY},      {"secondsLeft", ARM_NUMBER, ARM_READONLY},
	{"source", ARM_ANY, ARM_READONLY},        {"steps", ARM_ANY, ARM_READONLY},
	{"artifact", ARM_ANY, ARM_READONLY},      {"outputs", ARM_ANY, ARM_READONLY},
	{"error", ARM_ANY, ARM_READONLY},         {NULL},
};
static const struct arm_job_kind run_jobs[] = {
	{"delete", run_delete_job, "Deleting"},
	{NULL},
};

const struct arm_type type_runs = {
	.name = TYPE_RUN,
	.scope = ARM_SCOPE_GROUP,
	.first_version = API_RUN,
	/* A UUID, and nothing that could leave DIR/runs. */
	.name_pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
	.name_max = 36,
	.operation_path = "providers/Kiln.Images/locations/%s/operations",
	.tracked = true,
	.stateless = true,
	.properties = run_properties,
	.write = run_write,
	.del = run_delete,
	.actions = run_actions,
	.jobs = run_jobs,
};

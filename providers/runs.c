/* SPDX-License-Identifier: Apache-2.0 */
/* Kiln.Images/runs: the record of each run of an image template. Templates write it; clients read
 * it, name it as a source, and delete it, which lets go of its artefact. */
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

static const struct arm_field run_properties[] = {
	{"templateId", ARM_STRING, ARM_READONLY},
	{"state", ARM_STRING, ARM_READONLY},
	{"subState", ARM_STRING, ARM_READONLY},
	{"startTime", ARM_DATE, ARM_READONLY},
	{"endTime", ARM_DATE, ARM_READONLY},
	{"source", ARM_ANY, ARM_READONLY},
	{"steps", ARM_ANY, ARM_READONLY},
	{"artifact", ARM_ANY, ARM_READONLY},
	{"outputs", ARM_ANY, ARM_READONLY},
	{"error", ARM_ANY, ARM_READONLY},
	{NULL},
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
	.jobs = run_jobs,
};

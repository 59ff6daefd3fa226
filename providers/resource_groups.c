/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Resources/resourceGroups. Deleting one deletes what is in it, children first. */
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/soft_delete.h"
#include "providers/resource_lists.h"

#define BATCH 100 /* ids at a time of what a group's deletion deletes */

static int group_write(struct arm_call *c, struct err *err)
{
	(void) c; /* name, location and tags are all there is to check, and arm/ does */
	(void) err;
	return 0;
}

static int group_delete(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "delete", NULL, err);
}

static int collect(void *arg, const char *id, const json_t *doc)
{
	char ***ids = arg;
	int r = strv_push(ids, id);

	(void) doc;
	return r < 0 ? r : strv_len(*ids) == BATCH;
}

static int delete_one(struct arm_job *job, const char *id, const char *version, struct err *err)
{
	auto_free char *target = strf("%s?api-version=%s", id, version);
	int r;

	if (!target)
		return no_memory(err);
	r = arm_job_request(job, "DELETE", target, NULL, NULL, err);
	return r < 0 && r != -ENOENT ? err_ctx(err, r, "%s", id) : 0;
}

/* All of one type, some at a time: a group may hold a million versions. */
static int delete_type(struct arm_job *job, const char *type, const char *version, struct err *err)
{
	auto_free char *before = NULL;

	for (;;) {
		auto_err struct err busy = ERR_INIT;
		auto_strv char **ids = NULL;
		size_t gone = 0;
		int r = arm_each(job->arm, type, job->id->text, collect, &ids, err);

		if (r < 0 || !ids)
			return r;
		if (before && str_eq_nocase(before, ids[0]))
			return err_set(err, -EBUSY, "%s was deleted, but is still there", ids[0]);
		free(before);
		before = strdup(ids[0]);
		if (!before)
			return no_memory(err);
		for (size_t k = 0; ids[k]; k++) {
			r = cancel_check(job->cancel);
			if (r < 0)
				return err_set(err, r, "cancelled");
			/* What another one of them uses can go once that is gone. */
			err_done(err);
			r = delete_one(job, ids[k], version, err);
			if (r == -EBUSY)
				err_move(&busy, err);
			else if (r < 0)
				return r;
			gone += r == 0;
		}
		if (gone == 0) {
			err_move(err, &busy);
			return err ? err->code : -EBUSY;
		}
		if (busy.code < 0)
			free(take_ptr(before));
	}
}

static int group_delete_job(struct arm_job *job, struct err *err)
{
	/* Templates first: what still runs refuses, and then nothing was deleted yet. */
	static const char *const order[][2] = {
		{TYPE_TEMPLATE, "2025-10-01"},
		{TYPE_VERSION, API_GALLERY},
		{TYPE_SOFT_DELETED, API_GALLERY},
		{TYPE_DEFINITION, API_GALLERY},
		{TYPE_APP_VERSION, API_GALLERY},
		{TYPE_APP, API_GALLERY},
		{TYPE_GALLERY, API_GALLERY},
		{TYPE_IMAGE, API_IMAGE},
		{TYPE_SNAPSHOT, API_DISK},
		{TYPE_DISK, API_DISK},
		{TYPE_RUN, API_RUN},
	};
	const size_t n = ARRAY_SIZE(order);

	for (size_t i = 0; i < n; i++) {
		int r = delete_type(job, order[i][0], order[i][1], err);

		if (r < 0)
			return r;
		arm_job_percent(job, (double) (i + 1) * 100 / (double) n);
	}
	return 0;
}

static const struct arm_field group_properties[] = {
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const struct arm_field group_envelope[] = {
	{"managedBy", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_job_kind group_jobs[] = {
	{"delete", group_delete_job, "Deleting"},
	{NULL},
};

static int group_list(struct arm_call *c, struct err *err)
{
	const struct arm_list l = {.type = TYPE_GROUP,
				   .under = c->id->parent,
				   .fields = resource_fields,
				   .test = resource_test};

	return arm_call_list(c, &l, err);
}

const struct arm_type type_resource_groups = {
	.name = TYPE_GROUP,
	.policy = "Microsoft.Resources/subscriptions/resourceGroups",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.first_version = "2015-11-01",
	.name_pattern = "^[A-Za-z0-9_().-]*[A-Za-z0-9_()-]$",
	.name_max = 90,
	.operation_path = "operationresults",
	.must_exist = true,
	.tracked = true,
	.children = ARM_CHILDREN_HOOK,
	.properties = group_properties,
	.envelope = group_envelope,
	.write = group_write,
	.del = group_delete,
	.list = group_list,
	.filters_rows = true,
	.jobs = group_jobs,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/soft_delete.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/chores.h"
#include "providers/disk_set.h"
#include "providers/registry.h"
#include "providers/shallow.h"

#define DAY_US (INT64_C(86400) * 1000000)

/* GALLERY/softDeletedArtifactTypes/Images/artifacts/IMAGE[/versions/VERSION] */
static char *artifact_id(const char *definition_id, const char *version)
{
	auto_arm_id struct arm_id d = {0};

	if (arm_id_parse(definition_id, &d, NULL) < 0)
		return NULL;
	return strf("%s/softDeletedArtifactTypes/Images/artifacts/%s%s%s", d.parent, d.name,
		    version ? "/versions/" : "", version ? version : "");
}

char *soft_delete_id(const char *version_id)
{
	auto_arm_id struct arm_id v = {0};

	return arm_id_parse(version_id, &v, NULL) < 0 || !v.name ? NULL
								 : artifact_id(v.parent, v.name);
}

static int load_gallery(struct arm *arm, const char *definition_id, json_t **ret, struct err *err)
{
	auto_arm_id struct arm_id d = {0};
	int r = arm_id_parse(definition_id, &d, err);

	return r < 0 ? r : arm_load(arm, d.parent, ret, err);
}

/* ---- Deleting ------------------------------------------------------------------------------- */

int soft_delete_wanted(const struct arm_call *c, struct err *err)
{
	auto_json json_t *gallery = NULL;
	int r = group_deleting(c, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = load_gallery(c->arm, c->id->parent, &gallery, err);
	if (r < 0)
		return r;
	return json_bool_at(gallery, "properties.softDeletePolicy.isSoftDeleteEnabled", false);
}

/* The catalog's record of a soft-deleted version, or that it is none any more. */
static int record(struct arm_job *job, const char *id, bool deleted, struct err *err)
{
	auto_free char *home = NULL;
	auto_json json_t *doc = NULL;
	int r = catalog_home(job->app, id, &home, err);

	if (r == 0 && !deleted)
		r = arm_load(job->arm, id, &doc, err);
	return r < 0 ? r : catalog_put(job->app, home, id, doc, deleted, err);
}

int soft_delete_keep(struct arm_job *job, struct err *err)
{
	auto_free char *id = artifact_id(job->id->parent, job->id->name);
	auto_json json_t *gallery = NULL;
	const json_t *tags = json_object_get(job->doc, "tags");
	int64_t days, now = time_now_us();
	json_int_t until;
	char iso[ISO_MAX];
	json_t *doc;
	int r = id ? load_gallery(job->arm, job->id->parent, &gallery, err) : no_memory(err);

	if (r < 0)
		return r;
	days = json_int_at(gallery, "properties.softDeletePolicy.retentionPeriodInDays",
			   SOFT_RETENTION_DAYS) +
	       json_int_at(gallery, "properties.softDeletePolicy.gracePeriodInDays", 0);
	until = now + days * DAY_US;
	doc = json_pack("{s:s, s:O*, s:O, s:I, s:{s:s, s:s, s:s}}", "location",
			json_str_at(job->doc, "location"), "tags", tags, "version", job->doc,
			"purge", until, "properties", "resourceArmId", job->id->text,
			"softDeletedArtifactType", "Images", "softDeletedTime", time_iso(now, iso));
	r = doc ? arm_job_put(job, id, doc, err) : no_memory(err);
	return r < 0 ? r : record(job, id, false, err);
}

/* ---- Restoring ------------------------------------------------------------------------------ */

static int take_old(struct arm_call *c, const json_t *soft, struct err *err)
{
	static const char *const own[] = {"id", "name", "type", "systemData"};
	json_t *doc = json_deep_copy(json_object_get(soft, "version"));
	const char *location = json_str_at(c->doc, "location");
	int r = doc ? 0 : -ENOMEM;

	if (r == 0 && location && !str_eq(location, json_str_at(doc, "location"))) {
		json_decref(doc);
		return refuse(err, -EBUSY, "InvalidResourceLocation", "location",
			      "the version must be restored in its own region, '%s'",
			      json_str_at(soft, "location"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(own) && r == 0; i++) {
		json_t *v = json_object_get(c->doc, own[i]);

		r = v ? json_object_set(doc, own[i], v) : 0;
	}
	if (r == 0)
		(void) json_object_clear(c->doc);
	if (r == 0)
		r = json_object_update(c->doc, doc);
	json_decref(doc);
	return r < 0 ? no_memory(err) : 0;
}

int soft_delete_check(struct arm_call *c, struct err *err)
{
	bool restore = json_bool_at(c->body, "properties.restore", false);
	auto_free char *id = artifact_id(c->id->parent, c->id->name);
	auto_json json_t *soft = NULL;
	char running[UUID_STR_LEN] = "";
	int r = id ? arm_load(c->arm, id, &soft, NULL) : no_memory(err);

	if (r == -ENOENT)
		return restore ? refuse(err, -EINVAL, "InvalidParameter", "properties.restore",
					"properties.restore: no soft-deleted version of this name "
					"exists")
			       : 0;
	if (r == 0 && !restore)
		return refuse(err, -EEXIST, "Conflict", NULL,
			      "a soft-deleted version has this name: restore it by a PUT with "
			      "properties.restore, or delete %s",
			      id);
	if (r == 0)
		r = arm_running(c->arm, id, running, err);
	if (r == 0 && running[0])
		return refuse(err, -EBUSY, "Conflict", NULL,
			      "the soft-deleted version is being deleted");
	if (r == 0)
		r = take_old(c, soft, err);
	return r < 0 ? r : 1;
}

int soft_delete_forget(struct arm_job *job, struct err *err)
{
	auto_free char *id = artifact_id(job->id->parent, job->id->name);

	int r = id ? record(job, id, true, err) : no_memory(err);

	return r < 0 ? r : arm_job_drop(job, id, err);
}

/* ---- The rest ------------------------------------------------------------------------------- */

static int found(void *arg, const char *id, const json_t *doc)
{
	(void) id;
	(void) doc;
	*(bool *) arg = true;
	return 1;
}

int soft_delete_any(const struct arm_call *c, struct err *err)
{
	auto_free char *under = artifact_id(c->id->text, NULL);
	bool any = false;
	int r = under ? arm_each(c->arm, TYPE_SOFT_DELETED, under, found, &any, err)
		      : no_memory(err);

	if (r < 0 || !any)
		return r < 0 ? r : 0;
	return refuse(err, -ENOTEMPTY, "CannotDeleteResource", NULL,
		      "'%s' has soft-deleted versions: restore or delete those under %s first",
		      c->id->name, under);
}

struct due {
	char **ids; /* owned */
	int64_t now;
};

static int note_due(void *arg, const char *id, const json_t *doc)
{
	struct due *d = arg;

	return json_int_at(doc, "purge", INT64_MAX) <= d->now ? strv_push(&d->ids, id) : 0;
}

int soft_delete_purge(struct app *a, struct err *err)
{
	struct due d = {.now = time_now_us()};
	int r = arm_each(a->arm, TYPE_SOFT_DELETED, "", note_due, &d, err);

	for (char **id = d.ids; r == 0 && id && *id; id++)
		chore_delete(a, *id, API_GALLERY, "soft-delete.purge");
	strv_free(d.ids);
	return r;
}

/* ---- The type ------------------------------------------------------------------------------- */

static int soft_write(struct arm_call *c, struct err *err)
{
	(void) c;
	return refuse(err, -EPERM, "MethodNotAllowed", NULL,
		      "soft-deleted versions are read, deleted, and restored by a PUT of the "
		      "version with properties.restore");
}

static int soft_delete(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "delete", NULL, err);
}

/* A version that was restored meanwhile keeps its disks. */
static int soft_delete_job(struct arm_job *job, struct err *err)
{
	const char *id = json_str_at(job->doc, "properties.resourceArmId");
	auto_arm_id struct arm_id version = {0};
	auto_json json_t *doc = NULL;
	const json_t *was;
	int r = arm_id_parse(id ? id : "", &version, err);

	if (r == 0)
		r = record(job, job->id->text, true, err);
	if (r < 0)
		return r;
	r = arm_load(job->arm, version.text, &doc, NULL);
	if (r != -ENOENT)
		return r;
	was = json_object_get(job->doc, "version");
	r = shallow_drop(job->app, was, version.key, -1, err);
	return r < 0 ? r : disk_set_drop_doc(job->app, was, "version", version.key, err);
}

static int soft_view(struct arm_call *c, struct err *err)
{
	(void) err;
	(void) json_object_del(c->doc, "version");
	(void) json_object_del(c->doc, "purge");
	return 0;
}

static const struct arm_field soft_properties[] = {
	{"resourceArmId", ARM_STRING, ARM_READONLY},
	{"softDeletedArtifactType", ARM_STRING, ARM_READONLY},
	{"softDeletedTime", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const struct arm_job_kind soft_jobs[] = {
	{"delete", soft_delete_job, NULL},
	{NULL},
};

const struct arm_type type_soft_deleted = {
	.name = TYPE_SOFT_DELETED,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2021-07-01",
	.versions = gallery_api_versions,
	.name_pattern = "^[0-9]+\\.[0-9]+\\.[0-9]+$",
	.name_max = 32,
	.operation_path = GALLERY_OPERATIONS,
	.tracked = true,
	.stateless = true,
	.properties = soft_properties,
	.sort_key = arm_sort_key_version,
	.write = soft_write,
	.del = soft_delete,
	.view = soft_view,
	.view_pure = true,
	.jobs = soft_jobs,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/images: one image in one region. It comes from a run's artefact, named in
 * properties.kiln.sourceRun; Azure's other sources need things that do not exist here yet. */
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/versions.h"

#define I_RUN     "properties.kiln.sourceRun"
#define I_OS_DISK "properties.storageProfile.osDisk"

static int check_sources(const struct arm_call *c, struct err *err)
{
	static const char *const others[] = {
		"properties.sourceVirtualMachine", I_OS_DISK ".snapshot",
		I_OS_DISK ".managedDisk",          I_OS_DISK ".blobUri",
		I_OS_DISK ".diskEncryptionSet",
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (json_at(c->doc, others[i]))
			return refuse(
				err, -EINVAL, "InvalidParameter", others[i],
				"%s: not available here. The source of a managed image is a "
				"run (Kiln.Images/runs), named in " I_RUN
				"; virtual machines, disks, snapshots and VHD blobs cannot be "
				"sources yet",
				others[i]);
	if (json_array_size(json_at(c->doc, "properties.storageProfile.dataDisks")) > 0)
		return refuse(err, -EINVAL, "InvalidParameter",
			      "properties.storageProfile.dataDisks",
			      "properties.storageProfile.dataDisks: a run has no data disks");
	if (json_str_at(c->doc, I_RUN))
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", I_RUN,
		      I_RUN
		      " is missing: a managed image is made from a run (Kiln.Images/runs), as "
		      "image templates do with a ManagedImage target");
}

/* A property that the source decides: refused when the request says otherwise. */
static int set_fact(struct arm_call *c, const json_t *facts, const char *fact, const char *path,
		    struct err *err)
{
	const char *is = json_str_at(facts, fact), *given = json_str_at(c->doc, path);

	if (!is)
		return 0;
	if (given && !str_eq_nocase(is, given))
		return refuse(err, -EINVAL, "InvalidParameter", path,
			      "%s is '%s', but the run's image has '%s'", path, given, is);
	return set_str(c->doc, path, is, err);
}

static int take_run(struct arm_call *c, struct err *err)
{
	const char *location = json_str_at(c->doc, "location");
	auto_image_source struct image_source s = {.region = -1};
	const struct app *a = c->app;
	uint64_t gb;
	int r;

	if (!is_type(json_str_at(c->doc, I_RUN), TYPE_RUN))
		return refuse(err, -EINVAL, "InvalidParameter", I_RUN,
			      I_RUN ": the id of a run (Kiln.Images/runs) expected");
	r = image_source_load(c->app, c->who, json_str_at(c->doc, I_RUN), location ? location : "",
			      I_RUN, &s, err);
	if (r == 0)
		r = set_fact(c, s.facts, "osType", I_OS_DISK ".osType", err);
	if (r == 0)
		r = set_fact(c, s.facts, "osState", I_OS_DISK ".osState", err);
	if (r == 0)
		r = set_fact(c, s.facts, "hyperVGeneration", "properties.hyperVGeneration", err);
	if (r < 0)
		return r;
	gb = (s.disk.size_bytes + (1u << 30) - 1) >> 30;
	if (json_set_at(c->doc, "properties.kiln.disk", disk_ref_to_json(&s.disk)) < 0 ||
	    json_set_at(c->doc, I_OS_DISK ".diskSizeGB", json_integer((json_int_t) gb)) < 0 ||
	    json_set_at(c->doc, "facts", json_incref(s.facts)) < 0 ||
	    json_set_at(c->doc, "origin",
			json_pack("{s:s, s:s}", "id", s.id, "region", a->regions[s.region].name)) <
		    0)
		return no_memory(err);
	r = set_default(c->doc, I_OS_DISK ".caching", "ReadWrite", err);
	return r < 0 ? r
		     : set_default(c->doc, I_OS_DISK ".storageAccountType", "Standard_LRS", err);
}

static int image_write(struct arm_call *c, struct err *err)
{
	static const char *const kept[] = {"facts", "origin", "properties.kiln",
					   "properties.storageProfile",
					   "properties.hyperVGeneration"};
	int r = 0;

	if (!c->old) {
		r = check_sources(c, err);
		if (r == 0)
			r = take_run(c, err);
		return r < 0 ? r : arm_call_job(c, "create", NULL, err);
	}
	/* A retry of what failed goes through the same job; nothing but tags changes. */
	for (size_t i = 0; i < ARRAY_SIZE(kept) && r == 0; i++)
		r = keep_old(c, kept[i], err);
	return r < 0 ? r : arm_call_job(c, "update", NULL, err);
}

static int image_delete(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "delete", NULL, err);
}

static int image_view(struct arm_call *c, struct err *err)
{
	(void) err;
	(void) json_object_del(c->doc, "facts");
	(void) json_object_del(c->doc, "origin");
	return 0;
}

static int place(struct arm_job *job, unsigned from, unsigned to, const struct disk_ref *disk,
		 struct err *err)
{
	struct app *a = job->app;
	uint64_t rate =
		(uint64_t) json_int_at(a->config, "limits.replicationMegabytesPerSecond", 0) *
		1000000;
	struct progress *p = progress_to_events(job->events);
	struct store_session *session = NULL;
	struct store_stats stats;
	int r = store_session_begin(a->store, "managed image", &session, err);

	if (r == 0 && from != to)
		r = store_replicate(session, from, to, disk, rate, job->cancel, p, &stats, err);
	if (r == 0)
		r = store_root_add(session, to, "managedImage", job->id->key, disk, err);
	store_session_end(session);
	progress_free(p);
	return r;
}

static int image_place_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;
	const char *location = json_str_at(job->doc, "location");
	const char *origin = json_str_at(job->doc, "origin.region");
	int to = app_region_index(a, location ? location : "");
	int from = app_region_index(a, origin ? origin : "");
	struct disk_ref disk, has;
	int r = disk_ref_from_json(json_at(job->doc, "properties.kiln.disk"), &disk, err);

	if (r < 0)
		return r;
	if (to < 0 || from < 0)
		return err_set(err, -EIO, "region '%s' is not configured",
			       to < 0 ? location : origin);
	r = store_root_get(a->store, (unsigned) to, "managedImage", job->id->key, &has, NULL);
	if (r == 0 && digest_eq(&has.digest, &disk.digest))
		return 0;
	return place(job, (unsigned) from, (unsigned) to, &disk, err);
}

static int image_delete_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;

	return store_root_remove(a->store, -1, "managedImage", job->id->key, err);
}

static const char *const os_types[] = {"Windows", "Linux", NULL};
static const char *const os_states[] = {"Generalized", "Specialized", NULL};
static const char *const generations[] = {"V1", "V2", NULL};
static const char *const caching[] = {"None", "ReadOnly", "ReadWrite", NULL};
static const char *const storage_types[] = {"Standard_LRS", "Premium_LRS",   "StandardSSD_LRS",
					    "Standard_ZRS", "Premium_ZRS",   "StandardSSD_ZRS",
					    "UltraSSD_LRS", "PremiumV2_LRS", NULL};

static const struct arm_field sub_resource[] = {
	{"id", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field os_disk_fields[] = {
	{"osType", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = os_types},
	{"osState", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = os_states},
	{"snapshot", ARM_OBJECT, ARM_NULLABLE, .fields = sub_resource},
	{"managedDisk", ARM_OBJECT, ARM_NULLABLE, .fields = sub_resource},
	{"blobUri", ARM_STRING, ARM_NULLABLE},
	{"caching", ARM_STRING, ARM_NULLABLE, .values = caching},
	{"diskSizeGB", ARM_INT, ARM_NULLABLE, .min = 0, .max = 32768},
	{"storageAccountType", ARM_STRING, ARM_NULLABLE, .values = storage_types},
	{"diskEncryptionSet", ARM_OBJECT, ARM_NULLABLE, .fields = sub_resource},
	{NULL},
};
static const struct arm_field data_disk_fields[] = {
	{"lun", ARM_INT, ARM_REQUIRED, .min = 0, .max = 63},
	{"snapshot", ARM_OBJECT, ARM_NULLABLE, .fields = sub_resource},
	{"managedDisk", ARM_OBJECT, ARM_NULLABLE, .fields = sub_resource},
	{"blobUri", ARM_STRING, ARM_NULLABLE},
	{"caching", ARM_STRING, ARM_NULLABLE, .values = caching},
	{"diskSizeGB", ARM_INT, ARM_NULLABLE, .min = 0, .max = 32768},
	{"storageAccountType", ARM_STRING, ARM_NULLABLE, .values = storage_types},
	{"diskEncryptionSet", ARM_OBJECT, ARM_NULLABLE, .fields = sub_resource},
	{NULL},
};
static const struct arm_field storage_fields[] = {
	{"osDisk", ARM_OBJECT, ARM_NULLABLE, .fields = os_disk_fields},
	{"dataDisks", ARM_ARRAY, ARM_NULLABLE, .fields = data_disk_fields, .max = 64},
	{"zoneResilient", ARM_BOOL, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field kiln_fields[] = {
	{"sourceRun", ARM_STRING, ARM_IMMUTABLE | ARM_ID | ARM_NULLABLE},
	{"disk", ARM_ANY, ARM_READONLY},
	{NULL},
};
static const struct arm_field image_properties[] = {
	{"sourceVirtualMachine", ARM_OBJECT, ARM_NULLABLE, .fields = sub_resource},
	{"storageProfile", ARM_OBJECT, ARM_NULLABLE, .fields = storage_fields},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{"hyperVGeneration", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = generations},
	{"kiln", ARM_OBJECT, ARM_NULLABLE, .fields = kiln_fields},
	{NULL},
};
static const struct arm_job_kind image_jobs[] = {
	{"create", image_place_job, "Creating"},
	{"update", image_place_job, "Updating"},
	{"delete", image_delete_job, "Deleting"},
	{NULL},
};

const struct arm_type type_managed_images = {
	.name = TYPE_IMAGE,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2015-06-15",
	.versions = compute_api_versions,
	.name_pattern = "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$",
	.name_max = 80,
	.operation_path = "providers/Microsoft.Compute/locations/%s/operations",
	.tracked = true,
	.properties = image_properties,
	.write = image_write,
	.del = image_delete,
	.view = image_view,
	.jobs = image_jobs,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/images: one image in one region. It comes from a run's artefact, named in
 * properties.kiln.sourceRun, or from disks, snapshots and VHDs, disk by disk. */
#include "base/mem.h"
#include "providers/disk.h"
#include "providers/disk_set.h"
#include "providers/registry.h"
#include "providers/shallow.h"
#include "providers/versions.h"

#define IMAGE_ROOT "managedImage" /* kind of the store's root */
#define I_RUN      "properties.kiln.sourceRun"
#define I_OS_DISK  "properties.storageProfile.osDisk"

#define I_DATA_DISKS "properties.storageProfile.dataDisks"
#define DISKS_MAX    65

static int check_sources(const struct arm_call *c, struct err *err)
{
	static const char *const others[] = {
		"properties.sourceVirtualMachine",
		I_OS_DISK ".diskEncryptionSet",
	};
	bool run = json_str_at(c->doc, I_RUN), disk = json_at(c->doc, I_OS_DISK ".snapshot") ||
						      json_at(c->doc, I_OS_DISK ".managedDisk") ||
						      json_str_at(c->doc, I_OS_DISK ".blobUri");

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (json_at(c->doc, others[i]))
			return refuse(err, -EINVAL, "InvalidParameter", others[i],
				      "%s: not available here. A managed image is made of disks, "
				      "snapshots and VHDs (storageProfile.osDisk) or of a run "
				      "(" I_RUN ")",
				      others[i]);
	if (run && (disk || json_array_size(json_at(c->doc, I_DATA_DISKS)) > 0))
		return refuse(err, -EINVAL, "InvalidParameter", I_RUN,
			      I_RUN ": an image is made of a run or of disks, not of both");
	if (run || disk)
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", I_OS_DISK,
		      I_OS_DISK
		      ": a source is needed: snapshot.id, managedDisk.id or blobUri (or a "
		      "run, named in " I_RUN ")");
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
	r = image_source_load(c->app, c->who, c->id->subscription, json_str_at(c->doc, I_RUN),
			      location ? location : "", I_RUN, &s, err);
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

/* ---- Disk by disk --------------------------------------------------------------------------- */

static int want(struct disk_want *w, int64_t lun, const json_t *disk, const char *path,
		struct err *err)
{
	static const char *const members[] = {"snapshot.id", "managedDisk.id", "blobUri"};
	unsigned n = 0;

	*w = (struct disk_want){.lun = lun, .caching = json_str_at(disk, "caching")};
	(void) snprintf(w->field, sizeof(w->field), "%s", path);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const char *v = json_str_at(disk, members[i]);

		if (!v)
			continue;
		n++;
		(void) snprintf(w->field, sizeof(w->field), "%s.%s", path, members[i]);
		if (i == 2)
			w->uri = v;
		else
			w->id = v;
	}
	if (n == 1)
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", path,
		      "%s: exactly one of snapshot, managedDisk and blobUri expected", path);
}

/* What the request says of its own disks counts; what it leaves out the source may know. */
static int set_facts(struct arm_call *c, struct err *err)
{
	static const struct {
		const char *fact, *path;
	} all[] = {
		{"osType", I_OS_DISK ".osType"},
		{"osState", I_OS_DISK ".osState"},
		{"hyperVGeneration", "properties.hyperVGeneration"},
	};
	json_t *facts = json_object_get(c->doc, "facts");

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const char *given = json_str_at(c->doc, all[i].path);
		const char *is = json_str_at(facts, all[i].fact);
		int r;

		if (given && is && !str_eq_nocase(given, is))
			return refuse(err, -EINVAL, "InvalidParameter", all[i].path,
				      "%s is '%s', but the source has '%s'", all[i].path, given,
				      is);
		if (!given && !is && i < 2)
			return refuse(err, -EINVAL, "InvalidParameter", all[i].path,
				      "%s is missing", all[i].path);
		if (!given && !is)
			given = "V1"; /* as in Azure */
		r = given ? set_str(facts, all[i].fact, given, err)
			  : set_str(c->doc, all[i].path, is, err);
		if (r == 0 && given)
			r = set_str(c->doc, all[i].path, given, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int show_disk(json_t *disk, int64_t bytes, struct err *err)
{
	int r = disk_sources_hide(disk, "blobUri", err);

	if (r == 0 && bytes > 0 &&
	    json_object_set_new(disk, "diskSizeGB", json_integer(GB_OF(bytes))) < 0)
		r = no_memory(err);
	if (r == 0)
		r = set_default(disk, "caching", "None", err);
	return r < 0 ? r : set_default(disk, "storageAccountType", "Standard_LRS", err);
}

/* Sizes of what is known; those of VHDs come with their import. */
static int show_disks(json_t *doc, struct err *err)
{
	json_t *shown = json_at(doc, I_DATA_DISKS), *d, *s;
	size_t i, k;
	int r = show_disk(json_at(doc, I_OS_DISK), json_int_at(doc, S_DISK ".sizeBytes", 0), err);

	json_array_foreach(shown, k, s)
	{
		int64_t bytes = 0;

		json_array_foreach(json_at(doc, S_DATA), i, d)
		{
			if (json_int_at(d, "lun", -1) == json_int_at(s, "lun", -2))
				bytes = json_int_at(d, "disk.sizeBytes", 0);
		}
		if (r == 0)
			r = show_disk(s, bytes, err);
	}
	return r;
}

static int take_disks(struct arm_call *c, struct err *err)
{
	json_t *data = json_at(c->doc, I_DATA_DISKS), *d;
	struct disk_want wants[DISKS_MAX];
	size_t n = 1, i;
	int r = want(&wants[0], -1, json_at(c->doc, I_OS_DISK), I_OS_DISK, err);

	json_array_foreach(data, i, d)
	{
		char path[64];

		if (r < 0 || n == DISKS_MAX)
			break; /* the shape allows no more */
		(void) snprintf(path, sizeof(path), I_DATA_DISKS "[%zu]", i);
		r = want(&wants[n++], json_int_at(d, "lun", 0), d, path, err);
	}
	if (r == 0)
		r = disk_sources_take(c, wants, n, err);
	if (r == 0)
		r = set_facts(c, err);
	return r < 0 ? r : show_disks(c->doc, err);
}

/* ---- Hooks ---------------------------------------------------------------------------------- */

static int image_write(struct arm_call *c, struct err *err)
{
	static const char *const kept[] = {"facts",
					   "origin",
					   S_IMPORTS,
					   "properties.kiln",
					   "properties.storageProfile",
					   "properties.hyperVGeneration"};
	int r = 0;

	if (!c->old) {
		r = check_sources(c, err);
		if (r == 0)
			r = json_str_at(c->doc, I_RUN) ? take_run(c, err) : take_disks(c, err);
		return r < 0 ? r : arm_call_job(c, "create", NULL, err);
	}
	/* A retry of what failed goes through the same job; nothing but tags changes. */
	for (size_t i = 0; i < ARRAY_SIZE(kept) && r == 0; i++)
		r = keep_old(c, kept[i], err);
	return r < 0 ? r : arm_call_job(c, "update", NULL, err);
}

static int image_delete(struct arm_call *c, struct err *err)
{
	int r = shallow_source_free(c, err);

	return r < 0 ? r : arm_call_job(c, "delete", NULL, err);
}

static int image_view(struct arm_call *c, struct err *err)
{
	(void) err;
	(void) json_object_del(c->doc, "facts");
	(void) json_object_del(c->doc, "origin");
	(void) json_object_del(c->doc, S_IMPORTS);
	return 0;
}

/* ---- Jobs ----------------------------------------------------------------------------------- */

static int import_sources(struct arm_job *job, struct store_session *session, json_t *doc,
			  struct err *err)
{
	bool any = json_array_size(json_object_get(doc, S_IMPORTS)) > 0;
	json_t *patch;
	int r = disk_set_import(job, session, IMAGE_ROOT, doc, err);

	if (r < 0 || !any)
		return r;
	r = show_disks(doc, err);
	if (r < 0)
		return r;
	patch = json_pack("{s:{s:O}}", "properties", "storageProfile",
			  json_at(doc, "properties.storageProfile"));
	return patch ? arm_job_patch(job, patch, false, err) : no_memory(err);
}

static int image_place(struct arm_job *job, struct store_session *session, json_t *doc,
		       struct err *err)
{
	struct app *a = job->app;
	struct progress *p = progress_to_events(job->events);
	struct disk_set set = {0};
	int to = app_region_index(a, json_str_at(doc, "location"));
	int r = to < 0 ? err_set(err, -EIO, "the image's region is not configured")
		       : import_sources(job, session, doc, err);

	if (r == 0)
		r = disk_set_load(a, doc, IMAGE_ROOT, job->id->key, &set, err);
	if (r == 0 && !disk_set_whole(a, &set, (unsigned) to))
		r = disk_set_place(a, session, &set, -1, (unsigned) to, job->cancel, p, err);
	progress_free(p);
	disk_set_done(&set);
	return r;
}

static int image_place_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;
	auto_json json_t *doc = json_deep_copy(job->doc);
	struct store_session *session = NULL;
	int r = doc ? store_session_begin(a->store, "managed image", &session, err)
		    : no_memory(err);

	if (r == 0)
		r = image_place(job, session, doc, err);
	store_session_end(session);
	return r;
}

static int image_delete_job(struct arm_job *job, struct err *err)
{
	struct app *a = job->app;

	return disk_set_drop_doc(a, job->doc, IMAGE_ROOT, job->id->key, err);
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
	.view_pure = true,
	.jobs = image_jobs,
};

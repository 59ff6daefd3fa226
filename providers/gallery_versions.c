/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/galleries/images/versions: shape, hooks, and how a version is read. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/disk_set.h"
#include "providers/registry.h"
#include "providers/shallow.h"
#include "providers/soft_delete.h"
#include "providers/version_job.h"
#include "providers/version_rules.h"
#include "providers/versions.h"

static int version_write(struct arm_call *c, struct err *err)
{
	int r = c->old ? 0 : soft_delete_check(c, err);

	if (r > 0) /* restored: nothing but where it was */
		return arm_call_job(c, "create", json_pack("{s:b}", "restore", 1), err);
	if (r == 0)
		r = c->old ? version_rules_update(c, err) : version_rules_create(c, err);
	return r < 0 ? r : arm_call_job(c, c->old ? "update" : "create", NULL, err);
}

static int version_delete(struct arm_call *c, struct err *err)
{
	int64_t end;
	int r = shallow_source_free(c, err);

	if (r < 0)
		return r;
	if (json_bool_at(c->old, "properties.safetyProfile.blockDeletionBeforeEndOfLife", false) &&
	    date_us(c->old, V_PROFILE ".endOfLifeDate", &end) && end > time_now_us())
		return refuse(err, -EBUSY, "DeleteGalleryImageVersionBlockedBeforeEndOfLife", NULL,
			      "version '%s' cannot be deleted before its end of life, %s, while "
			      "safetyProfile.blockDeletionBeforeEndOfLife is set",
			      c->id->name, json_str_at(c->old, V_PROFILE ".endOfLifeDate"));
	r = soft_delete_wanted(c, err);
	return r < 0 ? r : arm_call_job(c, "delete", json_pack("{s:b}", "soft", r), err);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static const char *aggregate(const json_t *targets, const json_t *state)
{
	const char *all = "Completed";
	const json_t *t;
	size_t i;

	if (json_array_size(targets) == 0)
		return "Unknown";
	json_array_foreach((json_t *) targets, i, t)
	{
		const char *name = json_str_at(t, "name");
		const char *s = name ? json_str_at(json_object_get(state, name), "state") : NULL;

		if (s && strcmp(s, "Failed") == 0)
			return "Failed";
		if (!s || strcmp(s, "Completed") != 0)
			all = "InProgress";
	}
	return all;
}

static const char *display_of(const struct app *a, const char *name)
{
	int at = app_region_index(a, name);

	return at >= 0 ? a->regions[at].display : region_display(name);
}

static json_t *replication_status(const struct app *a, const json_t *doc)
{
	const json_t *targets = json_at(doc, V_TARGETS), *t;
	const json_t *state = json_object_get(doc, V_REPLICATION);
	json_t *summary = json_array();
	size_t i;

	if (!summary)
		return NULL;
	json_array_foreach((json_t *) targets, i, t)
	{
		const char *name = json_str_at(t, "name");
		const json_t *one = name ? json_object_get(state, name) : NULL;
		const char *word = json_str_at(one, "state"), *why = json_str_at(one, "details");
		json_t *row =
			json_pack("{s:s, s:s, s:s, s:I}", "region", name ? display_of(a, name) : "",
				  "state", word ? word : "Unknown", "details", why ? why : "",
				  "progress", json_int_at(one, "progress", 0));

		if (json_array_append_new(summary, row) < 0) {
			json_decref(summary);
			return NULL;
		}
	}
	return json_pack("{s:s, s:o}", "aggregatedState", aggregate(targets, state), "summary",
			 summary);
}

static int show_regions(const struct arm_call *c, struct err *err)
{
	json_t *targets = json_at(c->doc, V_TARGETS), *t;
	size_t i;

	json_array_foreach(targets, i, t)
	{
		const char *name = json_str_at(t, "name");

		if (name && set_str(t, "name", display_of(c->app, name), err) < 0)
			return -ENOMEM;
	}
	return 0;
}

int version_view(struct arm_call *c, struct err *err)
{
	static const char *const hidden[] = {V_REPLICATION, V_FACTS, V_ORIGIN, S_IMPORTS};
	json_t *status;

	if (expands(c, "ReplicationStatus")) {
		status = replication_status(c->app, c->doc);
		if (!status || json_set_at(c->doc, "properties.replicationStatus", status) < 0)
			return no_memory(err);
	}
	if (!expands(c, "UefiSettings")) {
		del_at(c->doc, "properties.securityProfile.uefiSettings");
		if (json_object_size(json_at(c->doc, "properties.securityProfile")) == 0)
			del_at(c->doc, "properties.securityProfile");
	}
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		(void) json_object_del(c->doc, hidden[i]);
	return show_regions(c, err);
}

/* ---- Shape ---------------------------------------------------------------------------------- */

const char *const version_storage_types[] = {"Standard_LRS", "Standard_ZRS", "Premium_LRS",
					     "PremiumV2_LRS", NULL};
static const char *const edge_storage[] = {"Standard_LRS", "Standard_ZRS", "Premium_LRS",
					   "StandardSSD_LRS", NULL};
static const char *const replication_modes[] = {"Full", "Shallow", NULL};
static const char *const strategies[] = {"PreferStandard_ZRS", "DefaultStandard_LRS", NULL};
static const char *const caching[] = {"None", "ReadOnly", "ReadWrite", NULL};
static const char *const signature_templates[] = {"NoSignatureTemplate",
						  "MicrosoftUefiCertificateAuthorityTemplate",
						  "MicrosoftWindowsTemplate", NULL};

static const struct arm_field replica_set_fields[] = {
	{"storageAccountType", ARM_STRING, ARM_NULLABLE, .values = version_storage_types},
	{"regionalReplicaCount", ARM_INT, ARM_NULLABLE, .min = 1, .max = 100},
	{NULL},
};
const struct arm_field version_target_fields[] = {
	{"name", ARM_STRING, ARM_REQUIRED | ARM_LOCATION},
	{"regionalReplicaCount", ARM_INT, ARM_NULLABLE, .min = 1, .max = 100},
	{"storageAccountType", ARM_STRING, ARM_NULLABLE, .values = version_storage_types},
	{"encryption", ARM_OBJECT, ARM_NULLABLE},
	{"excludeFromLatest", ARM_BOOL, ARM_NULLABLE, .since = "2022-03-03"},
	{"additionalReplicaSets", ARM_ARRAY, ARM_NULLABLE, .fields = replica_set_fields, .max = 8,
	 .since = "2025-12-03"},
	{NULL},
};
static const struct arm_field extended_location_fields[] = {
	{"name", ARM_STRING, ARM_NULLABLE},
	{"type", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
const struct arm_field version_edge_fields[] = {
	{"name", ARM_STRING, ARM_NULLABLE},
	{"extendedLocation", ARM_OBJECT, ARM_NULLABLE, .fields = extended_location_fields},
	{"extendedLocationReplicaCount", ARM_INT, ARM_NULLABLE, .min = 1, .max = 100},
	{"storageAccountType", ARM_STRING, ARM_NULLABLE, .values = edge_storage},
	{"encryption", ARM_OBJECT, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field profile_fields[] = {
	{"targetRegions", ARM_ARRAY, ARM_NULLABLE, .fields = version_target_fields, .max = 100},
	{"replicaCount", ARM_INT, ARM_NULLABLE, .min = 1, .max = 100},
	{"excludeFromLatest", ARM_BOOL, ARM_NULLABLE},
	{"endOfLifeDate", ARM_DATE, ARM_NULLABLE},
	{"publishedDate", ARM_DATE, ARM_READONLY},
	{"storageAccountType", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE,
	 .values = version_storage_types},
	{"replicationMode", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = replication_modes,
	 .since = "2021-07-01"},
	{"targetExtendedLocations", ARM_ARRAY, ARM_NULLABLE, .fields = version_edge_fields,
	 .since = "2022-01-03"},
	{"storageAccountStrategy", ARM_STRING, ARM_NULLABLE, .values = strategies,
	 .since = "2025-12-03"},
	{NULL},
};
static const struct arm_field disk_source_fields[] = {
	{"id", ARM_STRING, ARM_NULLABLE | ARM_ID},
	{"uri", ARM_STRING, ARM_NULLABLE},
	{"storageAccountId", ARM_STRING, ARM_NULLABLE | ARM_ID, .since = "2022-03-03"},
	{NULL},
};
static const struct arm_field os_disk_fields[] = {
	{"sizeInGB", ARM_INT, ARM_READONLY},
	{"hostCaching", ARM_STRING, ARM_NULLABLE, .values = caching},
	{"source", ARM_OBJECT, ARM_NULLABLE, .fields = disk_source_fields},
	{NULL},
};
static const struct arm_field data_disk_fields[] = {
	{"lun", ARM_INT, ARM_REQUIRED, .min = 0, .max = 63},
	{"sizeInGB", ARM_INT, ARM_READONLY},
	{"hostCaching", ARM_STRING, ARM_NULLABLE, .values = caching},
	{"source", ARM_OBJECT, ARM_NULLABLE, .fields = disk_source_fields},
	{NULL},
};
static const struct arm_field source_fields[] = {
	/* Not ARM_ID: which ids can be had, and why others cannot, the rules say better. */
	{"id", ARM_STRING, ARM_NULLABLE, .min = 1, .max = 2048},
	{"communityGalleryImageId", ARM_STRING, ARM_NULLABLE},
	{"virtualMachineId", ARM_STRING, ARM_NULLABLE, .since = "2023-07-03"},
	{NULL},
};
static const struct arm_field storage_fields[] = {
	{"source", ARM_OBJECT, ARM_NULLABLE, .fields = source_fields},
	{"osDiskImage", ARM_OBJECT, ARM_NULLABLE, .fields = os_disk_fields},
	{"dataDiskImages", ARM_ARRAY, ARM_NULLABLE, .fields = data_disk_fields, .max = 64},
	{NULL},
};
static const struct arm_field safety_fields[] = {
	{"allowDeletionOfReplicatedLocations", ARM_BOOL, ARM_NULLABLE},
	{"reportedForPolicyViolation", ARM_BOOL, ARM_READONLY},
	{"policyViolations", ARM_ANY, ARM_READONLY},
	{"blockDeletionBeforeEndOfLife", ARM_BOOL, ARM_NULLABLE, .since = "2024-03-03"},
	{NULL},
};
static const struct arm_field uefi_fields[] = {
	{"signatureTemplateNames", ARM_ARRAY, ARM_IMMUTABLE | ARM_NULLABLE, .item = ARM_STRING,
	 .values = signature_templates},
	{"additionalSignatures", ARM_OBJECT, ARM_IMMUTABLE | ARM_NULLABLE},
	{NULL},
};
static const struct arm_field security_fields[] = {
	{"uefiSettings", ARM_OBJECT, ARM_NULLABLE, .fields = uefi_fields},
	{NULL},
};
static const struct arm_field version_properties[] = {
	{"publishingProfile", ARM_OBJECT, ARM_NULLABLE, .fields = profile_fields},
	{"storageProfile", ARM_OBJECT, ARM_NULLABLE, .fields = storage_fields},
	{"safetyProfile", ARM_OBJECT, ARM_NULLABLE, .fields = safety_fields, .since = "2022-03-03"},
	{"securityProfile", ARM_OBJECT, ARM_NULLABLE, .fields = security_fields,
	 .since = "2023-07-03"},
	{"replicationStatus", ARM_ANY, ARM_READONLY},
	{"validationsProfile", ARM_ANY, ARM_READONLY},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{"restore", ARM_BOOL, ARM_NULLABLE | ARM_WRITEONLY, .since = "2025-03-03"},
	{"kiln", ARM_ANY, ARM_READONLY},
	{NULL},
};
static const struct arm_job_kind version_jobs[] = {
	{"create", version_sync_job, "Creating"},
	{"update", version_sync_job, "Updating"},
	{"delete", version_delete_job, "Deleting"},
	{NULL},
};

const struct arm_type type_gallery_versions = {
	.name = TYPE_VERSION,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2018-06-01",
	.versions = gallery_api_versions,
	.name_pattern = "^[0-9]+\\.[0-9]+\\.[0-9]+$",
	.name_max = 32,
	.operation_path = GALLERY_OPERATIONS,
	.tracked = true,
	.properties = version_properties,
	.sort_key = arm_sort_key_version,
	.write = version_write,
	.del = version_delete,
	.view = version_view,
	.view_pure = true,
	.jobs = version_jobs,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/galleries/applications and their versions: shapes and hooks. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/app_package.h"
#include "providers/disk_set.h"
#include "providers/registry.h"
#include "providers/version_regions.h"
#include "providers/version_rules.h"

#define P_SOURCE V_PROFILE ".source"
#define P_LINK   P_SOURCE ".mediaLink"
#define P_CONFIG P_SOURCE ".defaultConfigurationLink"
#define P_MANAGE V_PROFILE ".manageActions"

/* ---- Applications --------------------------------------------------------------------------- */

static int app_write(struct arm_call *c, struct err *err)
{
	int r = check_future(c, "properties.endOfLifeDate", err);

	return r < 0 ? r : arm_call_job(c, c->old ? "update" : "create", NULL, err);
}

static int app_delete(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "delete", NULL, err);
}

static int app_write_job(struct arm_job *job, struct err *err)
{
	return catalog_record(job, false, err);
}

static int app_delete_job(struct arm_job *job, struct err *err)
{
	return catalog_record(job, true, err);
}

static const struct arm_job_kind app_jobs[] = {
	{"create", app_write_job, "Creating"},
	{"update", app_write_job, "Updating"},
	{"delete", app_delete_job, "Deleting"},
	{NULL},
};

static const char *const os_types[] = {"Windows", "Linux", NULL};
static const char *const parameter_types[] = {"String", "ConfigurationDataBlob", "LogOutputBlob",
					      NULL};
static const char *const reboots[] = {"None", "Rerun", NULL};
static const char *const modes[] = {"Full", "Shallow", NULL};

static const struct arm_field parameter_fields[] = {
	{"name", ARM_STRING, ARM_REQUIRED, .max = 256},
	{"required", ARM_BOOL, ARM_NULLABLE},
	{"type", ARM_STRING, ARM_NULLABLE, .values = parameter_types},
	{"defaultValue", ARM_STRING, ARM_NULLABLE, .max = 4096},
	{"description", ARM_STRING, ARM_NULLABLE, .max = 4096},
	{NULL},
};
static const struct arm_field custom_fields[] = {
	{"name", ARM_STRING, ARM_REQUIRED, .max = 256},
	{"script", ARM_STRING, ARM_REQUIRED, .max = 65536},
	{"description", ARM_STRING, ARM_NULLABLE, .max = 4096},
	{"parameters", ARM_ARRAY, ARM_NULLABLE, .fields = parameter_fields, .max = 100},
	{NULL},
};
static const struct arm_field app_properties[] = {
	{"description", ARM_STRING, ARM_NULLABLE, .max = 4096},
	{"eula", ARM_STRING, ARM_NULLABLE, .max = 16384},
	{"privacyStatementUri", ARM_STRING, ARM_NULLABLE, .max = 2048},
	{"releaseNoteUri", ARM_STRING, ARM_NULLABLE, .max = 2048},
	{"endOfLifeDate", ARM_DATE, ARM_NULLABLE},
	{"supportedOSType", ARM_STRING, ARM_REQUIRED | ARM_IMMUTABLE, .values = os_types},
	{"customActions", ARM_ARRAY, ARM_NULLABLE, .fields = custom_fields, .max = 100,
	 .since = "2022-03-03"},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{NULL},
};

const struct arm_type type_gallery_apps = {
	.name = TYPE_APP,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2019-03-01",
	.versions = gallery_api_versions,
	.name_pattern = "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$",
	.name_max = 80,
	.operation_path = GALLERY_OPERATIONS,
	.tracked = true,
	.properties = app_properties,
	.write = app_write,
	.del = app_delete,
	.jobs = app_jobs,
};

/* ---- Versions ------------------------------------------------------------------------------- */

static int changed(const char *property, struct err *err)
{
	return refuse(err, -EBUSY, "PropertyChangeNotAllowed", property,
		      "Changing property 'galleryApplicationVersion.%s' is not allowed.", property);
}

static int note_link(struct arm_call *c, const char *path, int lun, struct err *err)
{
	const char *link = json_str_at(c->doc, path);
	json_t *list = json_object_get(c->doc, S_IMPORTS);
	int r;

	if (!link)
		return 0;
	r = app_package_check(c->who, link, path, err);
	if (r < 0)
		return r;
	if (!list) {
		list = json_array();
		if (json_object_set_new(c->doc, S_IMPORTS, list) < 0)
			return no_memory(err);
	}
	if (json_array_append_new(list, json_pack("{s:i, s:s}", "lun", lun, "uri", link)) < 0)
		return no_memory(err);
	return disk_sources_hide(c->doc, path, err);
}

static int check_common(struct arm_call *c, struct err *err)
{
	if (json_array_size(json_at(c->doc, V_PROFILE ".targetExtendedLocations")) > 0)
		return refuse(err, -EINVAL, "InvalidParameter",
			      V_PROFILE ".targetExtendedLocations",
			      V_PROFILE ".targetExtendedLocations: there are no edge zones here");
	if (str_eq(json_str_at(c->doc, V_PROFILE ".replicationMode"), "Shallow"))
		return refuse(err, -EINVAL, "InvalidParameter", V_PROFILE ".replicationMode",
			      V_PROFILE ".replicationMode: packages are always copied (Full)");
	return check_future(c, V_PROFILE ".endOfLifeDate", err);
}

static int create(struct arm_call *c, struct err *err)
{
	char now[ISO_MAX];
	int r = version_name_check(c, err);

	if (r == 0)
		r = check_common(c, err);
	if (r == 0)
		r = domain_note(c, err);
	if (r == 0)
		r = set_default(c->doc, V_PROFILE ".replicationMode", "Full", err);
	if (r == 0)
		r = version_regions_check(c, err);
	if (r == 0)
		r = note_link(c, P_LINK, -1, err);
	if (r == 0)
		r = note_link(c, P_CONFIG, 0, err);
	return r < 0 ? r
		     : set_str(c->doc, V_PROFILE ".publishedDate", time_iso(time_now_us(), now),
			       err);
}

/* What is installed and how never changes. */
static int update(struct arm_call *c, struct err *err)
{
	static const char *const links[] = {P_LINK, P_CONFIG};
	static const char *const fixed[] = {P_SOURCE,
					    P_MANAGE,
					    V_PROFILE ".replicationMode",
					    V_PROFILE ".storageAccountType",
					    V_PROFILE ".settings",
					    "properties.safetyProfile"};
	static const char *const hidden[] = {V_REPLICATION, S_IMPORTS, "properties.kiln",
					     V_PROFILE ".publishedDate"};
	const json_t *now = json_at(c->doc, P_MANAGE), *was = json_at(c->old, P_MANAGE);
	int r = check_common(c, err);

	for (size_t i = 0; i < ARRAY_SIZE(links) && r == 0; i++) {
		const char *a = json_str_at(c->doc, links[i]), *b = json_str_at(c->old, links[i]);

		if (a && !(b && disk_sources_same(a, b)))
			r = changed(links[i], err);
	}
	if (r == 0 && now && !(was && json_equal(now, was)))
		r = changed(P_MANAGE, err);
	for (size_t i = 0; i < ARRAY_SIZE(fixed) && r == 0; i++)
		if (!json_at(c->doc, fixed[i]) || i == 0)
			r = keep_old(c, fixed[i], err);
	for (size_t i = 0; i < ARRAY_SIZE(hidden) && r == 0; i++)
		r = keep_old(c, hidden[i], err);
	return r < 0 ? r : version_regions_update(c, err);
}

static int app_version_write(struct arm_call *c, struct err *err)
{
	int r = c->old ? update(c, err) : create(c, err);

	return r < 0 ? r : arm_call_job(c, c->old ? "update" : "create", NULL, err);
}

static int app_version_delete(struct arm_call *c, struct err *err)
{
	return arm_call_job(c, "delete", NULL, err);
}

static const struct arm_field source_fields[] = {
	{"mediaLink", ARM_STRING, ARM_REQUIRED, .min = 1, .max = 8192},
	{"defaultConfigurationLink", ARM_STRING, ARM_NULLABLE, .max = 8192},
	{NULL},
};
static const struct arm_field manage_fields[] = {
	{"install", ARM_STRING, ARM_REQUIRED, .min = 1, .max = 4096},
	{"remove", ARM_STRING, ARM_REQUIRED, .min = 1, .max = 4096},
	{"update", ARM_STRING, ARM_NULLABLE, .max = 4096},
	{NULL},
};
static const struct arm_field settings_fields[] = {
	{"packageFileName", ARM_STRING, ARM_NULLABLE, .max = 255},
	{"configFileName", ARM_STRING, ARM_NULLABLE, .max = 255},
	{"scriptBehaviorAfterReboot", ARM_STRING, ARM_NULLABLE, .values = reboots,
	 .since = "2024-03-03"},
	{NULL},
};
static const struct arm_field profile_fields[] = {
	{"source", ARM_OBJECT, ARM_REQUIRED, .fields = source_fields},
	{"manageActions", ARM_OBJECT, ARM_NULLABLE, .fields = manage_fields},
	{"settings", ARM_OBJECT, ARM_NULLABLE, .fields = settings_fields, .since = "2022-01-03"},
	{"advancedSettings", ARM_MAP, ARM_NULLABLE, .since = "2022-03-03"},
	{"enableHealthCheck", ARM_BOOL, ARM_NULLABLE},
	{"customActions", ARM_ARRAY, ARM_NULLABLE, .fields = custom_fields, .max = 100,
	 .since = "2022-03-03"},
	{"targetRegions", ARM_ARRAY, ARM_NULLABLE, .fields = version_target_fields, .max = 100},
	{"replicaCount", ARM_INT, ARM_NULLABLE, .min = 1, .max = 100},
	{"excludeFromLatest", ARM_BOOL, ARM_NULLABLE},
	{"publishedDate", ARM_DATE, ARM_READONLY},
	{"endOfLifeDate", ARM_DATE, ARM_NULLABLE},
	{"storageAccountType", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE,
	 .values = version_storage_types},
	{"replicationMode", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = modes,
	 .since = "2021-07-01"},
	{"targetExtendedLocations", ARM_ARRAY, ARM_NULLABLE, .fields = version_edge_fields,
	 .since = "2022-01-03"},
	{NULL},
};
static const struct arm_field safety_fields[] = {
	{"allowDeletionOfReplicatedLocations", ARM_BOOL, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field version_properties[] = {
	{"publishingProfile", ARM_OBJECT, ARM_REQUIRED, .fields = profile_fields},
	{"safetyProfile", ARM_OBJECT, ARM_NULLABLE, .fields = safety_fields, .since = "2022-03-03"},
	{"replicationStatus", ARM_ANY, ARM_READONLY},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{"kiln", ARM_ANY, ARM_READONLY},
	{NULL},
};
static const struct arm_job_kind version_jobs[] = {
	{"create", app_package_sync_job, "Creating"},
	{"update", app_package_sync_job, "Updating"},
	{"delete", app_package_delete_job, "Deleting"},
	{NULL},
};

const struct arm_type type_gallery_app_versions = {
	.name = TYPE_APP_VERSION,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2019-03-01",
	.versions = gallery_api_versions,
	.name_pattern = "^[0-9]+\\.[0-9]+\\.[0-9]+$",
	.name_max = 32,
	.operation_path = GALLERY_OPERATIONS,
	.tracked = true,
	.properties = version_properties,
	.sort_key = arm_sort_key_version,
	.write = app_version_write,
	.del = app_version_delete,
	.view = version_view,
	.view_pure = true,
	.jobs = version_jobs,
};

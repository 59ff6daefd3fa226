/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/galleries/images: image definitions. */
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/soft_delete.h"

#define DEFAULTS_CHANGED "2025-03-03" /* from here on: generation 2, Trusted Launch supported */

#define P_GENERATION "properties.hyperVGeneration"
#define P_FEATURES   "properties.features"

/* ---- Identifier ----------------------------------------------------------------------------- */

struct triplet {
	const struct arm_call *c;
	char *id; /* owned: who has it already */
};

static bool same_at(const json_t *a, const json_t *b, const char *path)
{
	const char *x = json_str_at(a, path), *y = json_str_at(b, path);

	return x && y && str_eq_nocase(x, y);
}

static int find_triplet(void *arg, const char *id, const json_t *doc)
{
	struct triplet *t = arg;

	if (arm_id_eq(id, t->c->id->text) ||
	    !same_at(doc, t->c->doc, "properties.identifier.publisher") ||
	    !same_at(doc, t->c->doc, "properties.identifier.offer") ||
	    !same_at(doc, t->c->doc, "properties.identifier.sku"))
		return 0;
	t->id = strdup(id);
	return t->id ? 1 : -ENOMEM;
}

/* Of one gallery: a gallery's id has no blanks at its end, names have none at all. */
static int triplet_names(const char *id, const json_t *doc, char ***ret)
{
	const json_t *i = json_at(doc, "properties.identifier");
	const char *publisher = json_str_at(i, "publisher"), *offer = json_str_at(i, "offer");
	const char *sku = json_str_at(i, "sku");
	auto_free char *name = NULL, *low = NULL;
	auto_arm_id struct arm_id a = {0};
	int r;

	if (!publisher || !offer || !sku)
		return 0;
	r = arm_id_parse(id, &a, NULL);
	if (r < 0)
		return r;
	name = strf("%s %s %s %s", publisher, offer, sku, a.parent);
	low = name ? str_lower(name) : NULL;
	return low ? strv_push(ret, low) : -ENOMEM;
}

static int check_triplet(const struct arm_call *c, struct err *err)
{
	struct triplet t = {.c = c};
	auto_strv char **names = NULL;
	int r = triplet_names(c->id->text, c->doc, &names);

	if (r < 0)
		return no_memory(err);
	if (names)
		r = arm_named(c->arm, TYPE_DEFINITION, names[0], find_triplet, &t, err);

	if (t.id)
		r = refuse(err, -EEXIST, "Conflict", "properties.identifier",
			   "publisher, offer and sku are those of %s; they are unique in a gallery",
			   t.id);
	free(t.id);
	return r < 0 ? r : 0;
}

/* ---- Features ------------------------------------------------------------------------------- */

static const char *const security_types[] = {
	"TrustedLaunchSupported",
	"TrustedLaunch",
	"ConfidentialVMSupported",
	"ConfidentialVM",
	"TrustedLaunchAndConfidentialVmSupported",
	"Standard",
	NULL,
};
static const char *const true_false[] = {"True", "False", NULL};
static const char *const controllers[] = {"SCSI", "SCSI, NVMe", "NVMe, SCSI", "SCSI,NVMe", NULL};

static const struct {
	const char *name;
	const char *const *values;
} feature_table[] = {
	{"SecurityType", security_types},     {"IsAcceleratedNetworkSupported", true_false},
	{"IsHibernateSupported", true_false}, {"DiskControllerTypes", controllers},
	{"DiskControllerType", controllers},  {"IsSecureBootSupported", true_false},
};

static const char *feature_get(const json_t *doc, const char *name)
{
	const json_t *list = json_at(doc, P_FEATURES), *f;
	size_t i;

	json_array_foreach((json_t *) list, i, f)
	{
		const char *n = json_str_at(f, "name");

		if (n && str_eq_nocase(n, name))
			return json_str_at(f, "value");
	}
	return NULL;
}

/* Known name, allowed value in the table's spelling. */
static int check_feature(json_t *f, size_t at, struct err *err)
{
	const char *name = json_str_at(f, "name"), *value = json_str_at(f, "value");
	char target[64];

	(void) snprintf(target, sizeof(target), P_FEATURES "[%zu]", at);
	if (!name || !value)
		return refuse(err, -EINVAL, "InvalidParameter", target,
			      "%s: name and value are required", target);
	for (size_t i = 0; i < ARRAY_SIZE(feature_table); i++) {
		if (!str_eq_nocase(feature_table[i].name, name))
			continue;
		for (const char *const *v = feature_table[i].values; *v; v++) {
			if (!str_eq_nocase(*v, value))
				continue;
			return set_str(f, "name", feature_table[i].name, err) < 0
				       ? -ENOMEM
				       : set_str(f, "value", *v, err);
		}
		return refuse(err, -EINVAL, "InvalidParameter", target,
			      "%s: value '%s' is not allowed for feature '%s'", target, value,
			      name);
	}
	return refuse(err, -EINVAL, "InvalidParameter", target, "%s: unknown feature '%s'", target,
		      name);
}

static int check_duplicate(const json_t *list, size_t at, struct err *err)
{
	const char *name = json_str_at(json_array_get(list, at), "name");

	for (size_t i = 0; i < at; i++)
		if (str_eq(json_str_at(json_array_get(list, i), "name"), name))
			return refuse(err, -EINVAL, "InvalidParameter", P_FEATURES,
				      P_FEATURES ": '%s' is given twice", name);
	return 0;
}

static int private_only(const struct arm_call *c, const char *security, struct err *err)
{
	auto_json json_t *gallery = NULL;
	const char *permissions;
	int r;

	if (strcmp(security, "TrustedLaunch") != 0 && strcmp(security, "ConfidentialVM") != 0)
		return 0;
	r = arm_load(c->arm, c->id->parent, &gallery, err);
	if (r < 0)
		return r;
	permissions = json_str_at(gallery, "properties.sharingProfile.permissions");
	if (!permissions || strcmp(permissions, "Private") == 0)
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", P_FEATURES,
		      "SecurityType '%s' is possible in private galleries only; this one is '%s'",
		      security, permissions);
}

static int check_features(const struct arm_call *c, struct err *err)
{
	json_t *list = json_at(c->doc, P_FEATURES);
	const char *generation = json_str_at(c->doc, P_GENERATION);
	const char *security;
	int r = 0;

	for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
		r = check_feature(json_array_get(list, i), i, err);
		if (r == 0)
			r = check_duplicate(list, i, err);
	}
	security = feature_get(c->doc, "SecurityType");
	if (r < 0 || !security || strcmp(security, "Standard") == 0)
		return r;
	if (!generation || strcmp(generation, "V2") != 0)
		return refuse(err, -EINVAL, "InvalidParameter", P_FEATURES,
			      "SecurityType '%s' needs hyperVGeneration V2", security);
	return private_only(c, security, err);
}

static int same_features(const struct arm_call *c, struct err *err)
{
	const json_t *a = json_at(c->old, P_FEATURES), *b = json_at(c->doc, P_FEATURES);
	bool free_to_change = json_bool_at(c->old, "properties.allowUpdateImage", false) ||
			      json_bool_at(c->doc, "properties.allowUpdateImage", false);

	if (free_to_change || (a && b && json_equal(a, b)) ||
	    (json_array_size(a) == 0 && json_array_size(b) == 0))
		return 0;
	return refuse(err, -EBUSY, "PropertyChangeNotAllowed", "galleryImage.properties.features",
		      "Changing property 'galleryImage.properties.features' is not allowed.");
}

/* ---- Defaults and writes -------------------------------------------------------------------- */

static int add_trusted_launch(json_t *doc, struct err *err)
{
	json_t *list = json_at(doc, P_FEATURES);
	json_t *feature =
		json_pack("{s:s, s:s}", "name", "SecurityType", "value", "TrustedLaunchSupported");

	if (!json_is_array(list)) {
		list = json_array();
		if (!list || json_set_at(doc, P_FEATURES, list) < 0) {
			json_decref(feature);
			return no_memory(err);
		}
	}
	return json_array_append_new(list, feature) < 0 ? no_memory(err) : 0;
}

static int set_defaults(struct arm_call *c, struct err *err)
{
	bool newer = strcmp(c->api_version, DEFAULTS_CHANGED) >= 0;
	const char *generation;
	int r;

	r = set_default(c->doc, P_GENERATION, newer ? "V2" : "V1", err);
	if (r == 0)
		r = set_default(c->doc, "properties.architecture", "x64", err);
	if (r < 0 || !newer)
		return r;
	generation = json_str_at(c->doc, P_GENERATION);
	if (generation && strcmp(generation, "V2") == 0 && !feature_get(c->doc, "SecurityType"))
		return add_trusted_launch(c->doc, err);
	return 0;
}

/* A field that may not change stays when the request leaves it out. */
static int keep_fixed(struct arm_call *c, struct err *err)
{
	static const char *const fixed[] = {P_GENERATION, "properties.architecture",
					    "properties.purchasePlan", P_FEATURES,
					    "properties.allowUpdateImage"};

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		const json_t *v = json_at(c->doc, fixed[i]);
		int r = v && !json_is_null(v) ? 0 : keep_old(c, fixed[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_range(const json_t *doc, const char *what, struct err *err)
{
	auto_free char *min = strf("properties.recommended.%s.min", what);
	auto_free char *max = strf("properties.recommended.%s.max", what);
	int64_t a, b;

	if (!min || !max)
		return no_memory(err);
	a = json_int_at(doc, min, -1);
	b = json_int_at(doc, max, -1);
	if (a < 0 || b < 0 || a <= b)
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", min, "%s (%lld) is greater than max (%lld)",
		      min, (long long) a, (long long) b);
}

static int definition_write(struct arm_call *c, struct err *err)
{
	int r;

	r = c->old ? keep_fixed(c, err) : set_defaults(c, err);
	if (r == 0)
		r = check_features(c, err);
	if (r == 0 && c->old)
		r = same_features(c, err);
	if (r == 0 && !c->old)
		r = check_triplet(c, err);
	if (r == 0)
		r = check_range(c->doc, "vCPUs", err);
	if (r == 0)
		r = check_range(c->doc, "memory", err);
	if (r == 0)
		r = check_future(c, "properties.endOfLifeDate", err);
	return r < 0 ? r : arm_call_job(c, c->old ? "update" : "create", NULL, err);
}

static int definition_delete(struct arm_call *c, struct err *err)
{
	int r = soft_delete_any(c, err); /* arm/ refuses while versions exist */

	return r < 0 ? r : arm_call_job(c, "delete", NULL, err);
}

static int definition_write_job(struct arm_job *job, struct err *err)
{
	return catalog_record(job, false, err);
}

static int definition_delete_job(struct arm_job *job, struct err *err)
{
	return catalog_record(job, true, err);
}

/* ---- Shape ---------------------------------------------------------------------------------- */

static const char *const os_types[] = {"Windows", "Linux", NULL};
static const char *const os_states[] = {"Generalized", "Specialized", NULL};
static const char *const generations[] = {"V1", "V2", NULL};
static const char *const architectures[] = {"x64", "Arm64", NULL};

#define NAME_PART "^[A-Za-z0-9_.-]*[A-Za-z0-9_-]$"

static const struct arm_field identifier_fields[] = {
	{"publisher", ARM_STRING, ARM_REQUIRED | ARM_IMMUTABLE, .pattern = NAME_PART, .min = 1,
	 .max = 128},
	{"offer", ARM_STRING, ARM_REQUIRED | ARM_IMMUTABLE, .pattern = NAME_PART, .min = 1,
	 .max = 64},
	{"sku", ARM_STRING, ARM_REQUIRED | ARM_IMMUTABLE, .pattern = NAME_PART, .min = 1,
	 .max = 64},
	{NULL},
};
static const struct arm_field range_fields[] = {
	{"min", ARM_INT, ARM_NULLABLE, .min = 1, .max = 1 << 20},
	{"max", ARM_INT, ARM_NULLABLE, .min = 1, .max = 1 << 20},
	{NULL},
};
static const struct arm_field recommended_fields[] = {
	{"vCPUs", ARM_OBJECT, ARM_NULLABLE, .fields = range_fields},
	{"memory", ARM_OBJECT, ARM_NULLABLE, .fields = range_fields},
	{NULL},
};
static const struct arm_field disallowed_fields[] = {
	{"diskTypes", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING, .max = 64},
	{NULL},
};
static const struct arm_field plan_fields[] = {
	{"name", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"publisher", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{"product", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE},
	{NULL},
};
static const struct arm_field feature_fields[] = {
	{"name", ARM_STRING, ARM_REQUIRED},
	{"value", ARM_STRING, ARM_REQUIRED},
	{"startsAtVersion", ARM_STRING, ARM_NULLABLE, .pattern = "^[0-9]+\\.[0-9]+\\.[0-9]+$",
	 .since = DEFAULTS_CHANGED},
	{NULL},
};
static const struct arm_field definition_properties[] = {
	{"description", ARM_STRING, ARM_NULLABLE, .max = 4096},
	{"eula", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .max = 16384},
	{"privacyStatementUri", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .max = 2048},
	{"releaseNoteUri", ARM_STRING, ARM_NULLABLE, .max = 2048},
	{"osType", ARM_STRING, ARM_REQUIRED | ARM_IMMUTABLE, .values = os_types},
	{"osState", ARM_STRING, ARM_REQUIRED | ARM_IMMUTABLE, .values = os_states},
	{"hyperVGeneration", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = generations},
	{"identifier", ARM_OBJECT, ARM_REQUIRED, .fields = identifier_fields},
	{"endOfLifeDate", ARM_DATE, ARM_NULLABLE},
	{"recommended", ARM_OBJECT, ARM_NULLABLE, .fields = recommended_fields},
	{"disallowed", ARM_OBJECT, ARM_NULLABLE, .fields = disallowed_fields},
	{"purchasePlan", ARM_OBJECT, ARM_IMMUTABLE | ARM_NULLABLE, .fields = plan_fields},
	{"features", ARM_ARRAY, ARM_NULLABLE, .fields = feature_fields, .max = 16,
	 .since = "2020-09-30"},
	{"architecture", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE, .values = architectures,
	 .since = "2021-07-01"},
	{"allowUpdateImage", ARM_BOOL, ARM_NULLABLE, .since = DEFAULTS_CHANGED},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const struct arm_job_kind definition_jobs[] = {
	{"create", definition_write_job, "Creating"},
	{"update", definition_write_job, "Updating"},
	{"delete", definition_delete_job, "Deleting"},
	{NULL},
};

const struct arm_type type_gallery_images = {
	.name = TYPE_DEFINITION,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2018-06-01",
	.versions = gallery_api_versions,
	.name_pattern = "^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$",
	.name_max = 80,
	.operation_path = GALLERY_OPERATIONS,
	.tracked = true,
	.properties = definition_properties,
	.names = triplet_names,
	.write = definition_write,
	.del = definition_delete,
	.jobs = definition_jobs,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/galleries. */
#include <ctype.h>

#include "base/mem.h"
#include "providers/registry.h"
#include "providers/share.h"

struct namesake {
	const struct arm_call *c;
	char *id; /* owned */
};

static int find_namesake(void *arg, const char *id, const json_t *doc)
{
	struct namesake *n = arg;
	auto_arm_id struct arm_id a = {0};
	int r = arm_id_parse(id, &a, NULL);

	(void) doc;
	if (r < 0)
		return r;
	if (!str_eq_nocase(a.name, n->c->id->name) || arm_id_eq(id, n->c->id->text))
		return 0;
	n->id = strdup(id);
	return n->id ? 1 : -ENOMEM;
}

/* A gallery's name is unique in its subscription, not only in its group. */
static int check_unique(const struct arm_call *c, struct err *err)
{
	auto_free char *unique = strf("%s-%s", c->id->subscription, c->id->name);
	struct namesake n = {.c = c};
	int r;

	if (!unique)
		return no_memory(err);
	r = share_named(c->arm, false, unique, find_namesake, &n, err);
	if (n.id) { /* where it is, only those may know who may read it */
		bool seen = arm_may(c->arm, c->who, TYPE_GALLERY "/read", n.id, NULL) == 0;

		r = refuse(err, -EEXIST, "Conflict", "name",
			   "gallery name '%s' is in use in this subscription%s%s", c->id->name,
			   seen ? ": " : "", seen ? n.id : "");
	}
	free(n.id);
	return r < 0 ? r : 0;
}

static int set_unique_name(struct arm_call *c, struct err *err)
{
	auto_free char *name = strf("%s-%s", c->id->subscription, c->id->name);

	if (!name)
		return no_memory(err);
	for (char *p = name + strlen(c->id->subscription); *p; p++)
		*p = (char) toupper((unsigned char) *p);
	return set_str(c->doc, "properties.identifier.uniqueName", name, err);
}

/* Its content is under one key for ever: what is there is not moved. */
static int check_key(const struct arm_call *c, struct err *err)
{
	const char *key = json_str_at(c->doc, G_KEY), *was = json_str_at(c->old, G_KEY);

	if (c->old && !str_eq(key ? key : "", was ? was : ""))
		return refuse(err, -EBUSY, "PropertyChangeNotAllowed", G_KEY,
			      "Changing property 'gallery." G_KEY "' is not allowed.");
	if (!key || app_key_known(c->app, key))
		return 0;
	(void) refuse(err, -EINVAL, "InvalidParameter", G_KEY,
		      G_KEY ": there is no gallery key '%s'", key);
	err_hint(err, "kiln.yaml names them: galleryKeys.");
	return -EINVAL;
}

static int gallery_write(struct arm_call *c, struct err *err)
{
	int r = c->old ? 0 : check_unique(c, err);

	/* Clients that know nothing of it leave it out. */
	if (r == 0 && c->old && !json_at(c->doc, "properties.kiln"))
		r = keep_old(c, "properties.kiln", err);
	if (r == 0)
		r = check_key(c, err);
	if (r == 0)
		r = share_check(c, err);
	if (r == 0)
		r = set_unique_name(c, err);
	return r < 0 ? r : arm_call_job(c, c->old ? "update" : "create", NULL, err);
}

static int gallery_delete(struct arm_call *c, struct err *err)
{
	if (share_is_public(c->old))
		return refuse(err, -EBUSY, "OperationNotAllowed", NULL,
			      "gallery '%s' is shared with the community: reset its sharing first",
			      c->id->name);
	return arm_call_job(c, "delete", NULL, err); /* arm/ refuses while anything is in it */
}

static int gallery_record(struct arm_job *job, bool deleted, struct err *err)
{
	const char *location = json_str_at(job->doc, "location");

	return catalog_put(job->app, location ? location : "", job->id->text, job->doc, deleted,
			   err);
}

static int gallery_write_job(struct arm_job *job, struct err *err)
{
	return gallery_record(job, false, err);
}

static int gallery_share_job(struct arm_job *job, struct err *err)
{
	int r = gallery_record(job, false, err);

	if (r == 0)
		arm_job_result(job, json_incref((json_t *) job->params));
	return r;
}

static int gallery_view(struct arm_call *c, struct err *err)
{
	return share_show(c, err);
}

static int gallery_delete_job(struct arm_job *job, struct err *err)
{
	return gallery_record(job, true, err);
}

static const char *const permissions[] = {"Private", "Groups", "Community", NULL};

static const struct arm_field community_fields[] = {
	{"publisherUri", ARM_STRING, ARM_NULLABLE, .max = 2048},
	{"publisherContact", ARM_STRING, ARM_NULLABLE, .max = 320},
	{"eula", ARM_STRING, ARM_NULLABLE, .max = 16384},
	{"publicNamePrefix", ARM_STRING, ARM_NULLABLE, .pattern = "^[A-Za-z0-9]{5,16}$"},
	{"communityGalleryEnabled", ARM_BOOL, ARM_READONLY},
	{"publicNames", ARM_ARRAY, ARM_READONLY, .item = ARM_STRING},
	{NULL},
};
static const struct arm_field sharing_fields[] = {
	{"permissions", ARM_STRING, ARM_NULLABLE, .values = permissions},
	{"groups", ARM_ANY, ARM_READONLY},
	{"communityGalleryInfo", ARM_OBJECT, ARM_NULLABLE, .fields = community_fields},
	{NULL},
};
static const struct arm_field soft_delete_fields[] = {
	{"isSoftDeleteEnabled", ARM_BOOL, ARM_NULLABLE},
	{"retentionPeriodInDays", ARM_INT, ARM_NULLABLE, .min = 1, .max = 365},
	{"gracePeriodInDays", ARM_INT, ARM_NULLABLE, .min = 1, .max = 365},
	{NULL},
};
static const struct arm_field encryption_fields[] = {
	{"key", ARM_STRING, ARM_REQUIRED, .min = 1, .max = 20},
	{NULL},
};
static const struct arm_field kiln_fields[] = {
	{"encryption", ARM_OBJECT, ARM_NULLABLE, .fields = encryption_fields},
	{NULL},
};
static const struct arm_field identifier_fields[] = {
	{"uniqueName", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const char *const identity_types[] = {"SystemAssigned", "UserAssigned",
					     "SystemAssigned, UserAssigned", "None", NULL};
static const struct arm_field identity_fields[] = {
	{"type", ARM_STRING, ARM_NULLABLE, .values = identity_types},
	{"principalId", ARM_STRING, ARM_READONLY},
	{"tenantId", ARM_STRING, ARM_READONLY},
	{"userAssignedIdentities", ARM_ANY, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field gallery_properties[] = {
	{"description", ARM_STRING, ARM_NULLABLE, .max = 4096},
	{"identifier", ARM_OBJECT, ARM_NULLABLE, .fields = identifier_fields},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{"sharingProfile", ARM_OBJECT, ARM_NULLABLE, .fields = sharing_fields,
	 .since = "2020-09-30"},
	{"softDeletePolicy", ARM_OBJECT, ARM_NULLABLE, .fields = soft_delete_fields,
	 .since = "2021-07-01"},
	{"sharingStatus", ARM_ANY, ARM_READONLY},
	{"kiln", ARM_OBJECT, ARM_NULLABLE, .fields = kiln_fields},
	{NULL},
};
/* Kept and shown: nothing here acts under an identity of its own. */
static const struct arm_field gallery_envelope[] = {
	{"identity", ARM_OBJECT, ARM_NULLABLE, .fields = identity_fields, .since = "2025-03-03"},
	{NULL},
};
static const struct arm_action gallery_actions[] = {
	{"share", "POST", "share/action", share_action, share_fields},
	{NULL},
};
static const struct arm_job_kind gallery_jobs[] = {
	{"create", gallery_write_job, "Creating"},
	{"update", gallery_write_job, "Updating"},
	{"delete", gallery_delete_job, "Deleting"},
	{"share", gallery_share_job, "Updating"},
	{NULL},
};

const struct arm_type type_galleries = {
	.name = TYPE_GALLERY,
	.scope = ARM_SCOPE_GROUP,
	.first_version = "2018-06-01",
	.versions = gallery_api_versions,
	.name_pattern = "^[A-Za-z0-9]([A-Za-z0-9_.]*[A-Za-z0-9])?$",
	.name_max = 80,
	.operation_path = GALLERY_OPERATIONS,
	.tracked = true,
	.properties = gallery_properties,
	.envelope = gallery_envelope,
	.write = gallery_write,
	.del = gallery_delete,
	.view = gallery_view,
	.view_pure = true,
	.names = share_names,
	.actions = gallery_actions,
	.jobs = gallery_jobs,
};

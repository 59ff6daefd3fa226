/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microsoft.Subscription: aliases, whose PUT makes a subscription, and what can be done to one;
 * Kiln.Identity/tenants, the directories that subscriptions and principals belong to.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "arm/roles.h"
#include "providers/roles_common.h"
#include "providers/subscriptions.h"

#define P_ID     "properties.subscriptionId"
#define P_TENANT "properties.additionalProperties.subscriptionTenantId"
#define P_OWNER  "properties.additionalProperties.subscriptionOwnerId"
#define P_TAGS   "properties.additionalProperties.tags"

/* ---- Aliases ------------------------------------------------------------------------------ */

static int check_tenant(const struct arm_call *c, const char *tenant, struct err *err)
{
	const struct app *a = c->app;
	auto_free char *id = strf("/providers/" TYPE_TENANT "/%s", tenant);
	auto_json json_t *doc = NULL;
	int r;

	if (str_eq_nocase(tenant, json_str_at(a->admin, "tenantId")))
		return 0;
	r = id ? arm_load(c->arm, id, &doc, err) : no_memory(err);
	if (r == -ENOENT)
		return refuse(err, -EINVAL, "TenantNotFound", P_TENANT,
			      P_TENANT ": there is no tenant '%s'", tenant);
	return r;
}

/* Who made it, or whom the request names, becomes its Owner. */
static int make_owner(struct arm_call *c, const char *subscription, const char *owner,
		      struct err *err)
{
	char name[UUID_STR];
	auto_free char *id = NULL;
	json_t *doc;
	int r = uuid_random(name);

	if (r < 0)
		return err_set(err, r, "random bytes: %s", strerrordesc_np(-r));
	id = strf("/subscriptions/%s/providers/" TYPE_ROLE_ASSIGNMENT "/%s", subscription, name);
	doc = json_pack("{s:{s:s, s:s, s:o}}", "properties", "roleDefinitionId",
			"/providers/" TYPE_ROLE_DEFINITION "/" ROLE_OWNER, "principalId", owner,
			"scope", json_strf("/subscriptions/%s", subscription));
	if (!id || !doc) {
		json_decref(doc);
		return no_memory(err);
	}
	return arm_call_put(c, id, doc, err);
}

static int make_subscription(struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;
	const char *name = json_str_at(c->doc, "properties.displayName");
	const char *tenant = json_str_at(c->doc, P_TENANT), *owner = json_str_at(c->doc, P_OWNER);
	const json_t *tags = json_at(c->doc, P_TAGS);
	char uuid[UUID_STR];
	auto_free char *id = NULL;
	json_t *doc;
	int r = tenant ? check_tenant(c, tenant, err) : 0;

	if (r >= 0 && tags)
		r = arm_tags_check(tags, false, err);
	if (r >= 0)
		r = uuid_random(uuid);
	if (r < 0)
		return r;
	if (!owner && !c->who->local_owner)
		owner = c->who->object_id;
	id = strf("/subscriptions/%s", uuid);
	doc = subscription_doc(uuid, name ? name : c->id->name,
			       tenant ? tenant : json_str_at(a->admin, "tenantId"));
	if (!id || !doc || (tags && json_object_set_new(doc, "tags", json_deep_copy(tags)) < 0)) {
		json_decref(doc);
		return no_memory(err);
	}
	r = arm_call_put(c, id, doc, err);
	if (r >= 0)
		r = set_str(c->doc, P_ID, uuid, err);
	return r >= 0 && owner ? make_owner(c, uuid, owner, err) : r;
}

static int alias_write(struct arm_call *c, struct err *err)
{
	const char *given = json_str_at(c->doc, P_ID);
	auto_free char *id = NULL;
	auto_json json_t *doc = NULL;
	int r;

	if (c->old)
		return keep_old(c, P_ID, err);
	if (!given)
		return make_subscription(c, err);
	id = strf("/subscriptions/%s", given);
	r = id ? arm_may_link(c->arm, c->who, TYPE_SUBSCRIPTION "/read", id, P_ID, err)
	       : no_memory(err);
	return r < 0 ? r : arm_load(c->arm, id, &doc, err);
}

static const char *const workloads[] = {"Production", "DevTest", NULL};
static const struct arm_field alias_more[] = {
	{"managementGroupId", ARM_STRING, ARM_NULLABLE},
	{"subscriptionTenantId", ARM_STRING, ARM_NULLABLE, .pattern = "^" GUID_PATTERN "$"},
	{"subscriptionOwnerId", ARM_STRING, ARM_NULLABLE, .pattern = "^" GUID_PATTERN "$"},
	{"tags", ARM_MAP, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field alias_properties[] = {
	{"displayName", ARM_STRING, ARM_NULLABLE, .min = 1, .max = 64},
	{"workload", ARM_STRING, ARM_NULLABLE, .values = workloads},
	{"billingScope", ARM_STRING, ARM_NULLABLE, .max = 512},
	{"subscriptionId", ARM_STRING, ARM_IMMUTABLE | ARM_NULLABLE,
	 .pattern = "^" GUID_PATTERN "$"},
	{"resellerId", ARM_STRING, ARM_NULLABLE},
	{"additionalProperties", ARM_OBJECT, ARM_NULLABLE, .fields = alias_more},
	{"provisioningState", ARM_STRING, ARM_READONLY},
	{NULL},
};
static const char *const alias_versions[] = {"2024-08-01-preview", "2021-10-01", "2020-09-01",
					     NULL};

const struct arm_type type_aliases = {
	.name = "Microsoft.Subscription/aliases",
	.scope = ARM_SCOPE_TENANT,
	.first_version = "2019-10-01-preview",
	.versions = alias_versions,
	.name_max = 63,
	.properties = alias_properties,
	.write = alias_write,
};

/* ---- Renaming, ending, coming back -------------------------------------------------------- */

const struct arm_field subscription_rename_shape[] = {
	{"subscriptionName", ARM_STRING, ARM_REQUIRED, .min = 1, .max = 64},
	{NULL},
};

static int change(struct arm_call *c, const char *field, const char *value, struct err *err)
{
	auto_free char *id = strf("/subscriptions/%s", c->id->subscription);
	auto_json json_t *doc = NULL, *next = NULL;
	int r;

	if (!str_eq_nocase(c->id->name, "Microsoft.Subscription"))
		return refuse(err, -ENOENT, "InvalidResourceType", NULL, "'%s' has no such action",
			      c->id->name);
	r = id ? arm_load(c->arm, id, &doc, err) : no_memory(err);
	if (r < 0)
		return r;
	next = json_deep_copy(doc);
	r = next ? set_str(next, field, value, err) : no_memory(err);
	if (r >= 0)
		r = arm_call_put(c, id, take_ptr(next), err);
	if (r < 0)
		return r;
	c->result = json_pack("{s:s}", "subscriptionId", c->id->subscription);
	return c->result ? 0 : no_memory(err);
}

int subscription_rename(struct arm_call *c, struct err *err)
{
	return change(c, "displayName", json_str_at(c->body, "subscriptionName"), err);
}

int subscription_cancel(struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;

	if (str_eq_nocase(c->id->subscription, json_str_at(a->admin, "subscriptionId")))
		return refuse(err, -EPERM, "SubscriptionCannotBeCancelled", NULL,
			      "the subscription that this service began with cannot be cancelled");
	return change(c, "state", "Disabled", err);
}

int subscription_enable(struct arm_call *c, struct err *err)
{
	return change(c, "state", "Enabled", err);
}

/* ---- Tenants ------------------------------------------------------------------------------ */

static int tenant_write(struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;

	if (str_eq_nocase(c->id->name, json_str_at(a->admin, "tenantId")))
		return refuse(err, -EPERM, "TenantIsHome", NULL,
			      "'%s' is the tenant that this service began with", c->id->name);
	return 0;
}

struct use {
	const char *tenant;
};

static int find_use(void *arg, const char *id, const json_t *doc)
{
	const struct use *u = arg;

	(void) id;
	return str_eq_nocase(json_str_at(doc, "tenantId"), u->tenant);
}

static int tenant_delete(struct arm_call *c, struct err *err)
{
	struct use u = {c->id->name};
	int r = arm_each(c->arm, TYPE_SUBSCRIPTION, "", find_use, &u, err);

	if (r > 0)
		return refuse(err, -EBUSY, "TenantInUse", NULL,
			      "subscriptions belong to tenant '%s'", c->id->name);
	return r;
}

static const struct arm_field tenant_properties[] = {
	{"displayName", ARM_STRING, ARM_REQUIRED, .min = 1, .max = 256},
	{NULL},
};

const struct arm_type type_identity_tenants = {
	.name = TYPE_TENANT,
	.scope = ARM_SCOPE_TENANT,
	.first_version = API_RUN,
	.name_pattern = "^" GUID_PATTERN "$",
	.name_max = 36,
	.stateless = true,
	.properties = tenant_properties,
	.write = tenant_write,
	.del = tenant_delete,
};

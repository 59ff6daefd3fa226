/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Resources' computed types: tenants, subscriptions, locations, providers. */
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"

static const char *const resources_versions[] = {
	"2025-04-01", "2022-12-01", "2021-10-01", "2021-04-01", "2020-06-01",
	"2019-11-01", "2019-10-01", "2018-05-01", "2016-06-01", NULL};

/* The whole body of a list from one item. Steals @item. */
static int only(struct arm_call *c, json_t *item, struct err *err)
{
	c->result = item ? json_pack("{s:[o]}", "value", item) : NULL;
	return c->result ? 0 : no_memory(err);
}

/* ---- Tenants -------------------------------------------------------------------------------- */

static json_t *tenant(const struct app *a)
{
	const char *id = json_str_at(a->admin, "tenantId");

	return json_pack("{s:o, s:s, s:s, s:s}", "id", json_strf("/tenants/%s", id), "tenantId", id,
			 "displayName", "kiln", "tenantCategory", "Home");
}

static int tenant_list(struct arm_call *c, struct err *err)
{
	return only(c, tenant(c->app), err);
}

const struct arm_type type_tenants = {
	.name = "Microsoft.Resources/tenants",
	.readers = ARM_READERS_ALL,
	.scope = ARM_SCOPE_TENANT,
	.first_version = "2016-06-01",
	.versions = resources_versions,
	.list = tenant_list,
};

/* ---- Subscriptions -------------------------------------------------------------------------- */

static json_t *subscription(const struct app *a)
{
	const char *id = json_str_at(a->admin, "subscriptionId");

	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:[], s:s, s:{s:s, s:s, s:s}}", "id",
			 json_strf("/subscriptions/%s", id), "subscriptionId", id, "tenantId",
			 json_str_at(a->admin, "tenantId"), "displayName", "kiln", "state",
			 "Enabled", "managedByTenants", "authorizationSource", "RoleBased",
			 "subscriptionPolicies", "locationPlacementId", "Public_2014-09-01",
			 "quotaId", "Internal_2014-09-01", "spendingLimit", "Off");
}

static bool is_own(const struct arm_call *c)
{
	const struct app *a = c->app;

	return c->id->subscription &&
	       str_eq_nocase(c->id->subscription, json_str_at(a->admin, "subscriptionId"));
}

static int subscription_get(struct arm_call *c, struct err *err)
{
	if (!is_own(c))
		return refuse(err, -ENOENT, "SubscriptionNotFound", NULL,
			      "The subscription '%s' could not be found.", c->id->subscription);
	c->result = subscription(c->app);
	return c->result ? 0 : no_memory(err);
}

static int subscription_list(struct arm_call *c, struct err *err)
{
	return only(c, subscription(c->app), err);
}

const struct arm_type type_subscriptions = {
	.name = "Microsoft.Resources/subscriptions",
	.readers = ARM_READERS_MEMBERS,
	.scope = ARM_SCOPE_TENANT,
	.first_version = "2014-04-01",
	.versions = resources_versions,
	.get = subscription_get,
	.list = subscription_list,
};

/* ---- Locations ------------------------------------------------------------------------------ */

static json_t *location(const struct app *a, size_t i)
{
	const struct app_region *g = &a->regions[i];

	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:{s:s, s:s}}", "id",
			 json_strf("/subscriptions/%s/locations/%s",
				   json_str_at(a->admin, "subscriptionId"), g->name),
			 "name", g->name, "type", "Region", "displayName", g->display,
			 "regionalDisplayName", g->display, "metadata", "regionType", "Physical",
			 "regionCategory", "Recommended");
}

static int location_list(struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;
	auto_json json_t *list = json_array();

	for (size_t i = 0; i < a->n_regions; i++)
		if (!list || json_array_append_new(list, location(a, i)) < 0)
			return no_memory(err);
	c->result = json_pack("{s:O}", "value", list);
	return c->result ? 0 : no_memory(err);
}

static int location_get(struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;
	int at = app_region_index(a, c->id->name);

	if (at < 0)
		return 0; /* not found */
	c->result = location(a, (size_t) at);
	return c->result ? 0 : no_memory(err);
}

const struct arm_type type_locations = {
	.name = "Microsoft.Resources/subscriptions/locations",
	.readers = ARM_READERS_MEMBERS,
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.first_version = "2014-04-01",
	.versions = resources_versions,
	.get = location_get,
	.list = location_list,
};

/* ---- Providers ------------------------------------------------------------------------------ */

static json_t *versions_of(const struct arm_type *t)
{
	json_t *list = json_array();

	for (size_t i = 0; list && t->versions && t->versions[i]; i++)
		if (json_array_append_new(list, json_string(t->versions[i])) < 0)
			return NULL;
	if (list && !t->versions)
		(void) json_array_append_new(list, json_string(t->first_version));
	return list;
}

static json_t *displays(const struct app *a)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < a->n_regions; i++)
		(void) json_array_append_new(list, json_string(a->regions[i].display));
	return list;
}

static json_t *types_of(const struct app *a, const char *ns)
{
	json_t *list = json_array();
	size_t n = strlen(ns);

	for (const struct arm_type *const *t = provider_types; list && *t; t++) {
		const char *name = (*t)->name;

		if (strncasecmp(name, ns, n) != 0 || name[n] != '/')
			continue;
		(void) json_array_append_new(
			list, json_pack("{s:s, s:o, s:o, s:s, s:s}", "resourceType", name + n + 1,
					"locations", (*t)->tracked ? displays(a) : json_array(),
					"apiVersions", versions_of(*t), "defaultApiVersion",
					(*t)->versions ? (*t)->versions[0] : (*t)->first_version,
					"capabilities",
					(*t)->tracked ? "SupportsTags, SupportsLocation" : "None"));
	}
	return list;
}

static json_t *provider(const struct app *a, const char *ns)
{
	return json_pack("{s:o, s:s, s:s, s:s, s:o}", "id",
			 json_strf("/subscriptions/%s/providers/%s",
				   json_str_at(a->admin, "subscriptionId"), ns),
			 "namespace", ns, "registrationState", "Registered", "registrationPolicy",
			 "RegistrationFree", "resourceTypes", types_of(a, ns));
}

/* The namespaces of the registry, each once, in its order. */
static int namespaces(char ***ret)
{
	int r = 0;

	for (const struct arm_type *const *t = provider_types; *t && r == 0; t++) {
		auto_free char *ns = strndup((*t)->name, strcspn((*t)->name, "/"));
		bool known = false;

		for (char **k = *ret; ns && k && *k; k++)
			known = known || strcmp(*k, ns) == 0;
		r = !ns ? -ENOMEM : known ? 0 : strv_push(ret, ns);
	}
	return r;
}

static int provider_list(struct arm_call *c, struct err *err)
{
	auto_json json_t *list = json_array();
	auto_strv char **names = NULL;

	if (!list || namespaces(&names) < 0)
		return no_memory(err);
	for (char **n = names; n && *n; n++)
		if (json_array_append_new(list, provider(c->app, *n)) < 0)
			return no_memory(err);
	c->result = json_pack("{s:O}", "value", list);
	return c->result ? 0 : no_memory(err);
}

static int provider_get(struct arm_call *c, struct err *err)
{
	auto_strv char **names = NULL;

	if (namespaces(&names) < 0)
		return no_memory(err);
	for (char **n = names; n && *n; n++) {
		if (!str_eq_nocase(*n, c->id->name))
			continue;
		c->result = provider(c->app, *n);
		return c->result ? 0 : no_memory(err);
	}
	return refuse(err, -ENOENT, "InvalidResourceNamespace", NULL,
		      "The resource namespace '%s' is invalid.", c->id->name);
}

/* Everything is registered already; clients ask all the same. */
static const struct arm_action provider_actions[] = {
	{"register", "POST", "{name}/register/action", provider_get},
	{NULL},
};

const struct arm_type type_providers = {
	.name = "Microsoft.Resources/providers",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.policy = "Microsoft.Resources/subscriptions/providers",
	.readers = ARM_READERS_MEMBERS,
	.first_version = "2014-04-01",
	.versions = resources_versions,
	.get = provider_get,
	.list = provider_list,
	.actions = provider_actions,
};
const struct arm_type type_tenant_providers = {
	.name = "Microsoft.Resources/providers",
	.scope = ARM_SCOPE_TENANT,
	.readers = ARM_READERS_ALL,
	.first_version = "2014-04-01",
	.versions = resources_versions,
	.get = provider_get,
	.list = provider_list,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Resources' computed types: tenants, subscriptions, locations, providers. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/resources.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/subscriptions.h"

const char *const resources_api_versions[] = {
	"2025-04-01", "2022-12-01", "2021-10-01", "2021-04-01", "2020-06-01",
	"2019-11-01", "2019-10-01", "2018-05-01", "2016-06-01", NULL};

static const char *own_tenant(const struct arm_call *c)
{
	const struct app *a = c->app;

	return c->who->tenant_id ? c->who->tenant_id : json_str_at(a->admin, "tenantId");
}

/* ---- Tenants -------------------------------------------------------------------------------- */

static int add_tenant(json_t *list, const char *id, const char *name, bool home)
{
	return json_array_append_new(
		list, json_pack("{s:o, s:s, s:s, s:s, s:s}", "id", json_strf("/tenants/%s", id),
				"tenantId", id, "displayName", name, "tenantCategory",
				home ? "Home" : "ProjectedBy", "tenantType", "AAD"));
}

struct tenants {
	const struct arm_call *c;
	json_t *list;
};

/* Nobody but the owner of this host sees tenants other than the own one. */
static int see_tenant(void *arg, const char *id, const json_t *doc)
{
	struct tenants *t = arg;
	const char *name = json_str_at(doc, "properties.displayName");
	const char *tenant = strrchr(id, '/') + 1;
	bool own = str_eq_nocase(tenant, own_tenant(t->c));

	if (!own && !t->c->who->local_owner)
		return 0;
	return add_tenant(t->list, tenant, name ? name : tenant, own) < 0 ? -ENOMEM : 0;
}

static int tenant_list(struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;
	const char *home = json_str_at(a->admin, "tenantId");
	auto_json json_t *list = json_array();
	struct tenants t = {c, list};
	int r = list ? 0 : -ENOMEM;

	if (r >= 0 && str_eq_nocase(home, own_tenant(c)) &&
	    add_tenant(list, home, "kiln", true) < 0)
		r = -ENOMEM;
	if (r >= 0)
		r = arm_each(c->arm, TYPE_TENANT, "", see_tenant, &t, err);
	if (r >= 0)
		c->result = json_pack("{s:O}", "value", list);
	return c->result ? 0 : r < 0 && r != -ENOMEM ? r : no_memory(err);
}

const struct arm_type type_tenants = {
	.name = "Microsoft.Resources/tenants",
	.readers = ARM_READERS_ALL,
	.scope = ARM_SCOPE_TENANT,
	.first_version = "2016-06-01",
	.versions = resources_api_versions,
	.list = tenant_list,
};

/* ---- Subscriptions -------------------------------------------------------------------------- */

json_t *subscription_doc(const char *id, const char *name, const char *tenant)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "subscriptionId", id, "displayName", name,
			 "tenantId", tenant, "state", "Enabled");
}

int subscription_home(struct app *a, struct err *err)
{
	const char *id = json_str_at(a->admin, "subscriptionId");
	const char *tenant = json_str_at(a->admin, "tenantId");
	auto_free char *text = id ? strf("/subscriptions/%s", id) : NULL;
	auto_resource struct resource res = {0}, have = {0};
	int r;

	res.key = text ? str_lower(text) : NULL;
	res.sort = text ? str_lower(text) : NULL;
	res.type = str_lower(TYPE_SUBSCRIPTION);
	res.id = take_ptr(text);
	res.api_version = strdup(API_GROUP);
	res.doc = id && tenant ? subscription_doc(id, "kiln", tenant) : NULL;
	if (!res.key || !res.sort || !res.type || !res.api_version || !res.doc ||
	    json_object_set_new(res.doc, "id", json_string(res.id)) < 0 ||
	    json_object_set_new(res.doc, "name", json_string(id)) < 0 ||
	    json_object_set_new(res.doc, "type", json_string(TYPE_SUBSCRIPTION)) < 0)
		return no_memory(err);
	r = resource_get(a->meta, res.key, &have, err);
	if (r != -ENOENT)
		return r;
	err_done(err);
	return resource_create(a->meta, &res, err);
}

static json_t *show_subscription(const json_t *doc)
{
	const json_t *tags = json_object_get(doc, "tags");
	json_t *j = json_pack("{s:o, s:s, s:s, s:s, s:s, s:[], s:s, s:{s:s, s:s, s:s}}", "id",
			      json_strf("/subscriptions/%s", json_str_at(doc, "subscriptionId")),
			      "subscriptionId", json_str_at(doc, "subscriptionId"), "tenantId",
			      json_str_at(doc, "tenantId"), "displayName",
			      json_str_at(doc, "displayName"), "state", json_str_at(doc, "state"),
			      "managedByTenants", "authorizationSource", "RoleBased",
			      "subscriptionPolicies", "locationPlacementId", "Public_2014-09-01",
			      "quotaId", "Internal_2014-09-01", "spendingLimit", "Off");

	if (j && tags && json_object_set_new(j, "tags", json_deep_copy(tags)) < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static int subscription_get(struct arm_call *c, struct err *err)
{
	auto_json json_t *doc = NULL;
	int r = arm_load(c->arm, c->id->text, &doc, err);

	if (r == -ENOENT)
		return refuse(err, -ENOENT, "SubscriptionNotFound", NULL,
			      "The subscription '%s' could not be found.", c->id->subscription);
	if (r < 0)
		return r;
	c->result = show_subscription(doc);
	return c->result ? 0 : no_memory(err);
}

struct subscriptions {
	struct arm_call *c;
	json_t *list;
	struct err *err;
};

static int see_subscription(void *arg, const char *id, const json_t *doc)
{
	struct subscriptions *s = arg;
	bool sees = false;
	int r = arm_sees(s->c->arm, s->c->who, id, &sees, s->err);

	if (r < 0 || !sees)
		return r;
	return json_array_append_new(s->list, show_subscription(doc)) < 0 ? no_memory(s->err) : 0;
}

static int subscription_list(struct arm_call *c, struct err *err)
{
	auto_json json_t *list = json_array();
	struct subscriptions s = {c, list, err};
	int r = list ? arm_each(c->arm, TYPE_SUBSCRIPTION, "", see_subscription, &s, err)
		     : no_memory(err);

	if (r < 0)
		return r;
	c->result = json_pack("{s:O}", "value", list);
	return c->result ? 0 : no_memory(err);
}

const struct arm_type type_subscriptions = {
	.name = TYPE_SUBSCRIPTION,
	.readers = ARM_READERS_MEMBERS,
	.scope = ARM_SCOPE_TENANT,
	.first_version = "2014-04-01",
	.versions = resources_api_versions,
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
	.versions = resources_api_versions,
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

static int provider_unregister(struct arm_call *c, struct err *err)
{
	return refuse(err, -EPERM, "CannotUnregisterRegistrationFreeResourceProvider", NULL,
		      "'%s' needs no registration and cannot be unregistered", c->id->name);
}

/* Everything is registered already; clients ask all the same. */
static const struct arm_action provider_actions[] = {
	{"register", "POST", "{name}/register/action", provider_get},
	{"unregister", "POST", "{name}/unregister/action", provider_unregister},
	{"rename", "POST", "Microsoft.Subscription/rename/action", subscription_rename,
	 subscription_rename_shape},
	{"cancel", "POST", "Microsoft.Subscription/cancel/action", subscription_cancel},
	{"enable", "POST", "Microsoft.Subscription/enable/action", subscription_enable},
	{NULL},
};

const struct arm_type type_providers = {
	.name = "Microsoft.Resources/providers",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.policy = "Microsoft.Resources/subscriptions/providers",
	.readers = ARM_READERS_MEMBERS,
	.first_version = "2014-04-01",
	.versions = resources_api_versions,
	.get = provider_get,
	.list = provider_list,
	.actions = provider_actions,
};
const struct arm_type type_tenant_providers = {
	.name = "Microsoft.Resources/providers",
	.scope = ARM_SCOPE_TENANT,
	.readers = ARM_READERS_ALL,
	.first_version = "2014-04-01",
	.versions = resources_api_versions,
	.get = provider_get,
	.list = provider_list,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microsoft.Authorization/roleDefinitions, seen from any scope: the built-in roles and the custom
 * ones of the scope's tenant. A custom role is one row, whichever scope it is written through.
 */
#include <strings.h>

#include "arm/filter.h"
#include "arm/roles.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/roles_common.h"

#define P_SCOPES "properties.assignableScopes"
#define ROW      "/providers/" TYPE_ROLE_DEFINITION

/* ---- Reading ------------------------------------------------------------------------------ */

/* The id as seen from the subscription that was asked. */
static int show(const struct arm_call *c, json_t *role, json_t **ret, struct err *err)
{
	const char *sub = c->id->subscription;
	const char *name = json_str_at(role, "name");

	*ret = json_pack(
		"{s:o, s:s, s:s, s:O}", "id",
		json_strf("%s%s" ROW "/%s", sub ? "/subscriptions/" : "", sub ? sub : "", name),
		"name", name, "type", TYPE_ROLE_DEFINITION, "properties",
		json_object_get(role, "properties"));
	return *ret ? 0 : no_memory(err);
}

static int definition_get(struct arm_call *c, struct err *err)
{
	auto_json json_t *role = NULL;
	int r = role_load(c->arm, c->id->parent, c->id->name, &role, err);

	if (r == -ENOENT)
		return refuse(err, r, "RoleDefinitionDoesNotExist", NULL,
			      "The specified role definition with ID '%s' does not exist.",
			      c->id->name);
	return r < 0 ? r : show(c, role, &c->result, err);
}

struct listing {
	struct arm_call *c;
	struct filter *filter; /* NULL = none */
	const json_t *role;    /* the one that is judged */
	const char *tenant;
	json_t *value;
	struct err *err;
};

static bool below(const json_t *role, const char *scope)
{
	const json_t *list = json_at(role, P_SCOPES), *s;
	size_t i;

	json_array_foreach((json_t *) (uintptr_t) list, i, s)
	{
		if (json_string_value(s) && scope_within(json_string_value(s), scope))
			return true;
	}
	return false;
}

static int test(void *arg, const struct filter_term *t)
{
	struct listing *l = arg;
	bool call = t->op == FILTER_CALL && t->n_args == 0;

	if (str_eq_nocase(t->name, "roleName") && t->op != FILTER_CALL)
		return filter_compare(t, json_str_at(l->role, "properties.roleName"));
	if (str_eq_nocase(t->name, "type") && t->op != FILTER_CALL)
		return filter_compare(t, json_str_at(l->role, "properties.type"));
	if (str_eq_nocase(t->name, "atScope") && call)
		return role_assignable(l->role, l->c->id->parent);
	if (str_eq_nocase(t->name, "atScopeAndBelow") && call)
		return role_assignable(l->role, l->c->id->parent) ||
		       below(l->role, l->c->id->parent);
	return filter_unsupported(t, l->err);
}

static int add(struct listing *l, json_t *role)
{
	json_t *shown = NULL;
	int r;

	l->role = role;
	r = filter_match(l->filter, test, l);
	if (r <= 0)
		return r;
	r = show(l->c, role, &shown, l->err);
	return r >= 0 && json_array_append_new(l->value, shown) < 0 ? no_memory(l->err) : r;
}

static int add_custom(void *arg, const char *id, const json_t *doc)
{
	struct listing *l = arg;

	(void) id;
	if (!str_eq_nocase(json_str_at(doc, "tenantId"), l->tenant) ||
	    (!role_assignable(doc, l->c->id->parent) && !below(doc, l->c->id->parent)))
		return 0;
	return add(l, (json_t *) (uintptr_t) doc);
}

static int add_all(struct listing *l)
{
	int r = 0;

	for (const struct role_builtin *b = role_builtins(); b->id && r >= 0; b++) {
		auto_json json_t *role = NULL;

		r = role_load(l->c->arm, "", b->id, &role, l->err);
		if (r >= 0)
			r = add(l, role);
	}
	return r < 0 ? r : arm_each(l->c->arm, TYPE_ROLE_DEFINITION, "", add_custom, l, l->err);
}

static int definition_list(struct arm_call *c, struct err *err)
{
	const char *text = arm_query(c, "$filter");
	auto_filter struct filter *filter = NULL;
	auto_free char *tenant = NULL;
	auto_json json_t *value = json_array();
	struct listing l = {.c = c, .value = value, .err = err};
	int r = value ? arm_tenant_of(c->arm, c->id->parent, &tenant, err) : no_memory(err);

	if (r >= 0 && text && *text)
		r = filter_parse(text, &filter, err);
	l.filter = filter;
	l.tenant = tenant;
	if (r >= 0)
		r = add_all(&l);
	if (r < 0)
		return r;
	c->result = json_pack("{s:O}", "value", value);
	return c->result ? 0 : no_memory(err);
}

/* ---- Writing ------------------------------------------------------------------------------ */

/* Writing a role needs the right at every scope where it can be assigned. */
static int check_scopes(const struct arm_call *c, const json_t *role, const char *right,
			struct err *err)
{
	const json_t *list = json_at(role, P_SCOPES), *s;
	auto_free char *tenant = NULL;
	size_t i;
	int r = arm_tenant_of(c->arm, c->id->parent, &tenant, err);

	json_array_foreach((json_t *) (uintptr_t) list, i, s)
	{
		const char *scope = json_string_value(s);
		auto_arm_id struct arm_id id = {0};
		auto_free char *owner = NULL;

		if (r < 0)
			return r;
		r = arm_id_parse(scope, &id, err);
		if (r < 0)
			return r;
		if (!id.subscription || id.scope || !id.name)
			return refuse(err, -EINVAL, "InvalidAssignableScope", P_SCOPES,
				      P_SCOPES ": '%s': a subscription or resource group is"
					       " expected",
				      scope);
		r = arm_may_link(c->arm, c->who, right, id.text, P_SCOPES, err);
		if (r >= 0)
			r = arm_tenant_of(c->arm, id.text, &owner, err);
		if (r >= 0 && !str_eq_nocase(owner, tenant))
			return refuse(err, -EINVAL, "InvalidAssignableScope", P_SCOPES,
				      P_SCOPES ": '%s' belongs to another tenant", scope);
	}
	return r;
}

struct namesake {
	const char *name, *guid, *tenant;
	bool found;
};

static int find_namesake(void *arg, const char *id, const json_t *doc)
{
	struct namesake *n = arg;

	n->found = strcasecmp(role_guid(id), n->guid) != 0 &&
		   str_eq_nocase(json_str_at(doc, "properties.roleName"), n->name) &&
		   str_eq_nocase(json_str_at(doc, "tenantId"), n->tenant);
	return n->found;
}

static int check_name(const struct arm_call *c, const char *name, const char *tenant,
		      struct err *err)
{
	struct namesake n = {.name = name, .guid = c->id->name, .tenant = tenant};
	int r = 0;

	for (const struct role_builtin *b = role_builtins(); b->id; b++)
		n.found = n.found || strcasecmp(b->name, name) == 0;
	if (!n.found)
		r = arm_each(c->arm, TYPE_ROLE_DEFINITION, "", find_namesake, &n, err);
	if (n.found)
		return refuse(err, -EEXIST, "RoleDefinitionWithSameNameExists",
			      "properties.roleName",
			      "A custom role with the name '%s' already exists in this directory."
			      " Use a different name",
			      name);
	return r < 0 ? r : 0;
}

static int fill(struct arm_call *c, const json_t *old, const char *tenant, json_t **ret,
		struct err *err)
{
	const char *by = c->who->object_id ? c->who->object_id : "";
	const char *made = json_str_at(old, "properties.createdOn");
	const char *maker = json_str_at(old, "properties.createdBy");
	const json_t *given = json_object_get(c->body, "properties");
	json_t *doc = json_pack("{s:O, s:s}", "properties", given, "tenantId", tenant);
	char now[ISO_MAX];
	int r;

	*ret = doc;
	if (!doc)
		return no_memory(err);
	(void) time_iso(time_now_us(), now);
	r = set_str(doc, "properties.type", "CustomRole", err);
	if (r >= 0 && !json_array_size(json_at(doc, P_SCOPES)) &&
	    json_set_at(doc, P_SCOPES, json_pack("[s]", c->id->parent)) < 0)
		r = no_memory(err);
	if (r >= 0)
		r = set_str(doc, "properties.createdOn", made ? made : now, err);
	if (r >= 0)
		r = set_str(doc, "properties.createdBy", maker ? maker : by, err);
	if (r >= 0)
		r = set_str(doc, "properties.updatedOn", now, err);
	if (r >= 0)
		r = set_str(doc, "properties.updatedBy", by, err);
	return r;
}

static int builtin_fixed(struct err *err)
{
	return refuse(err, -EPERM, "RoleDefinitionIsBuiltIn", NULL,
		      "Built-in roles can neither be changed nor deleted");
}

static int put_role(struct arm_call *c, const json_t *old, struct err *err)
{
	const char *name = json_str_at(c->body, "properties.roleName");
	auto_free char *row = strf(ROW "/%s", c->id->name), *tenant = NULL;
	auto_json json_t *doc = NULL;
	int r = row ? arm_tenant_of(c->arm, c->id->parent, &tenant, err) : no_memory(err);

	if (r >= 0)
		r = check_name(c, name, tenant, err);
	if (r >= 0)
		r = fill(c, old, tenant, &doc, err);
	if (r >= 0)
		r = check_scopes(c, doc, TYPE_ROLE_DEFINITION "/write", err);
	if (r >= 0 && old)
		r = check_scopes(c, old, TYPE_ROLE_DEFINITION "/write", err);
	if (r >= 0)
		r = arm_call_put(c, row, json_incref(doc), err);
	c->status = 201;
	return r < 0 ? r : show(c, doc, &c->result, err);
}

static int find_use(void *arg, const char *id, const json_t *doc)
{
	const char *role = json_str_at(doc, "properties.roleDefinitionId");

	(void) id;
	return role && strcasecmp(role_guid(role), arg) == 0;
}

static int drop_role(struct arm_call *c, const json_t *old, struct err *err)
{
	auto_free char *row = strf(ROW "/%s", c->id->name);
	int r;

	if (!row)
		return no_memory(err);
	if (!old)
		return 0;
	r = check_scopes(c, old, TYPE_ROLE_DEFINITION "/delete", err);
	if (r >= 0)
		r = arm_each(c->arm, TYPE_ROLE_ASSIGNMENT, "", find_use, c->id->name, err);
	if (r > 0)
		return refuse(err, -EINVAL, "RoleDefinitionHasAssignments", NULL,
			      "There are existing role assignments referencing this role: delete"
			      " them first");
	if (r >= 0)
		r = arm_call_drop(c, row, err);
	return r < 0 ? r : show(c, (json_t *) (uintptr_t) old, &c->result, err);
}

static int definition_change(struct arm_call *c, struct err *err)
{
	auto_json json_t *old = NULL;
	int r = role_load(c->arm, c->id->parent, c->id->name, &old, err);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT)
		err_done(err);
	if (str_eq(json_str_at(old, "properties.type"), "BuiltInRole"))
		return builtin_fixed(err);
	if (str_eq(c->method, "DELETE"))
		return drop_role(c, old, err);
	if (str_eq(c->method, "PATCH"))
		return refuse(err, -EINVAL, "MethodNotAllowed", NULL,
			      "role definitions are replaced by PUT");
	return put_role(c, old, err);
}

#define ACTIONS(name)                                                                              \
	{                                                                                          \
		name, ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING, .max = 2048                     \
	}
static const struct arm_field permission_fields[] = {
	ACTIONS("actions"),
	ACTIONS("notActions"),
	ACTIONS("dataActions"),
	ACTIONS("notDataActions"),
	{NULL},
};
static const struct arm_field definition_properties[] = {
	{"roleName", ARM_STRING, ARM_REQUIRED, .min = 1, .max = 512},
	{"description", ARM_STRING, ARM_NULLABLE, .max = 2048},
	{"type", ARM_STRING, ARM_READONLY},
	{"permissions", ARM_ARRAY, ARM_REQUIRED, .fields = permission_fields, .min = 1, .max = 16},
	{"assignableScopes", ARM_ARRAY, ARM_NULLABLE, .item = ARM_STRING, .max = 100},
	{"createdOn", ARM_STRING, ARM_READONLY},
	{"updatedOn", ARM_STRING, ARM_READONLY},
	{"createdBy", ARM_STRING, ARM_READONLY},
	{"updatedBy", ARM_STRING, ARM_READONLY},
	{NULL},
};

const struct arm_type type_role_definitions = {
	.name = TYPE_ROLE_DEFINITION,
	.scope = ARM_SCOPE_ANY,
	.readers = ARM_READERS_ALL,
	.first_version = "2015-07-01",
	.versions = authorization_versions,
	.name_pattern = "^" GUID_PATTERN "$",
	.name_max = 36,
	.stateless = true,
	.properties = definition_properties,
	.get = definition_get,
	.list = definition_list,
	.change = definition_change,
};

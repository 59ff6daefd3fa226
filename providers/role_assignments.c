/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microsoft.Authorization/roleAssignments, on top of any scope: who has which role there and
 * below. Assignments never change; another one is made instead.
 */
#include <strings.h>

#include "arm/filter.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/roles_common.h"

#define P_ROLE      "properties.roleDefinitionId"
#define P_PRINCIPAL "properties.principalId"

/* ---- Writing ------------------------------------------------------------------------------ */

struct twin {
	const struct arm_call *c;
	const char *role, *principal;
	char *id; /* owned: the assignment that is the same */
};

static int find_twin(void *arg, const char *id, const json_t *doc)
{
	struct twin *t = arg;
	const char *role = json_str_at(doc, P_ROLE), *who = json_str_at(doc, P_PRINCIPAL);
	auto_arm_id struct arm_id other = {0};

	if (!role || !who || strcasecmp(role_guid(role), t->role) != 0 ||
	    strcasecmp(who, t->principal) != 0 || arm_id_eq(id, t->c->id->text))
		return 0;
	if (arm_id_parse(id, &other, NULL) < 0 || !arm_id_eq(other.parent, t->c->id->parent))
		return 0;
	t->id = strdup(id);
	return t->id ? 1 : -ENOMEM;
}

static int check_twin(const struct arm_call *c, struct err *err)
{
	struct twin t = {.c = c,
			 .role = role_guid(json_str_at(c->doc, P_ROLE)),
			 .principal = json_str_at(c->doc, P_PRINCIPAL)};
	int r = arm_each(c->arm, TYPE_ROLE_ASSIGNMENT, c->id->parent, find_twin, &t, err);

	if (t.id)
		r = refuse(err, -EEXIST, "RoleAssignmentExists", NULL,
			   "The role assignment already exists. The ID of the existing role"
			   " assignment is %s.",
			   strrchr(t.id, '/') + 1);
	free(t.id);
	return r < 0 ? r : 0;
}

static int check_conditions(const struct arm_call *c, struct err *err)
{
	static const char *const fields[] = {
		"properties.condition",
		"properties.conditionVersion",
		"properties.delegatedManagedIdentityResourceId",
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (json_str_at(c->doc, fields[i]) && *json_str_at(c->doc, fields[i]))
			return refuse(err, -EINVAL, "RoleAssignmentConditionNotSupported",
				      fields[i],
				      "%s: assignments with conditions or for delegated identities"
				      " are not available here; assign a custom role with fewer"
				      " actions instead",
				      fields[i]);
	return 0;
}

static int unchanged(struct arm_call *c, struct err *err)
{
	const char *role = json_str_at(c->doc, P_ROLE), *was = json_str_at(c->old, P_ROLE);
	const char *who = json_str_at(c->doc, P_PRINCIPAL);
	const char *who_was = json_str_at(c->old, P_PRINCIPAL);

	if (role && was && strcasecmp(role_guid(role), role_guid(was)) == 0 && who && who_was &&
	    strcasecmp(who, who_was) == 0)
		return keep_old(c, P_ROLE, err); /* another form of the same id is no change */
	return refuse(err, -EINVAL, "RoleAssignmentUpdateNotPermitted", NULL,
		      "Role definition, principal and scope of a role assignment cannot be"
		      " changed: delete it and create another");
}

/* The role must exist, and be assignable here. */
static int check_role(struct arm_call *c, struct err *err)
{
	const char *id = json_str_at(c->doc, P_ROLE);
	auto_json json_t *role = NULL;
	int r = role_load(c->arm, c->id->parent, role_guid(id), &role, err);

	if (r == -ENOENT)
		return refuse(err, -EINVAL, "RoleDefinitionDoesNotExist", P_ROLE,
			      "The specified role definition with ID '%s' does not exist.",
			      role_guid(id));
	if (r < 0)
		return r;
	if (!role_assignable(role, c->id->parent))
		return refuse(err, -EINVAL, "RoleDefinitionNotAssignableAtScope", P_ROLE,
			      "The role '%s' cannot be assigned at '%s': that is not within its"
			      " assignableScopes",
			      json_str_at(role, "properties.roleName"),
			      *c->id->parent ? c->id->parent : "/");
	return 0;
}

/* The role's id as Azure shows it, whatever form of it was given. */
static int set_role(struct arm_call *c, struct err *err)
{
	const char *sub = c->id->subscription;
	auto_free char *id =
		strf("%s%s/providers/" TYPE_ROLE_DEFINITION "/%s", sub ? "/subscriptions/" : "",
		     sub ? sub : "", role_guid(json_str_at(c->doc, P_ROLE)));

	return id ? set_str(c->doc, P_ROLE, id, err) : no_memory(err);
}

static int set_record(struct arm_call *c, struct err *err)
{
	char now[ISO_MAX];
	const char *by = c->who->object_id ? c->who->object_id : "";
	const char *const fields[][2] = {
		{"properties.scope", *c->id->parent ? c->id->parent : "/"},
		{"properties.createdOn", time_iso(time_now_us(), now)},
		{"properties.updatedOn", now},
		{"properties.createdBy", by},
		{"properties.updatedBy", by},
	};
	int r = set_role(c, err);

	for (size_t i = 0; i < ARRAY_SIZE(fields) && r >= 0; i++)
		r = set_str(c->doc, fields[i][0], fields[i][1], err);
	return r;
}

static int assignment_write(struct arm_call *c, struct err *err)
{
	int r = check_conditions(c, err);

	if (r >= 0 && c->old)
		return unchanged(c, err);
	if (r >= 0)
		r = check_role(c, err);
	if (r >= 0)
		r = principal_check(c, P_PRINCIPAL, "properties.principalType", err);
	if (r >= 0)
		r = check_twin(c, err);
	return r < 0 ? r : set_record(c, err);
}

/* The answer of a DELETE is what was deleted. */
static int assignment_delete(struct arm_call *c, struct err *err)
{
	c->result = json_deep_copy(c->old);
	return c->result ? 0 : no_memory(err);
}

/* ---- Lists -------------------------------------------------------------------------------- */

/* An assignment belongs to a list of a scope when it is there, above (it holds there too) or
 * below. Who may read assignments at a scope sees what holds there, wherever it comes from. */
static int assignment_keep(struct arm_call *c, const json_t *doc, struct err *err)
{
	const char *scope = json_str_at(doc, "properties.scope"), *where;
	struct err no = ERR_INIT;
	int r;

	if (scope && scope_within(c->id->parent, scope))
		where = c->id->parent;
	else if (scope && scope_within(scope, c->id->parent))
		where = scope;
	else
		return 0;
	r = arm_may(c->arm, c->who, TYPE_ROLE_ASSIGNMENT "/read", where, &no);
	if (r < 0 && r != -EACCES)
		err_move(err, &no);
	err_done(&no);
	return r == -EACCES ? 0 : r < 0 ? r : 1;
}

static int assignment_test(struct arm_call *c, const struct filter *f, const struct filter_term *t,
			   const json_t *doc, struct err *err)
{
	const char *scope = json_str_at(doc, "properties.scope");
	const char *who = json_str_at(doc, P_PRINCIPAL);

	if (str_eq_nocase(t->name, "atScope") && t->op == FILTER_CALL && t->n_args == 0)
		return scope && scope_within(c->id->parent, scope);
	if (str_eq_nocase(t->name, "assignedTo") && t->op == FILTER_CALL && t->n_args == 1)
		return who ? principal_includes(c, t->args[0], who, err) : 0;
	return filter_unsupported(t, err);
}

static int assignment_list(struct arm_call *c, struct err *err)
{
	static const struct arm_filter_field fields[] = {
		{"principalId", P_PRINCIPAL},
		{"roleDefinitionId", P_ROLE},
		{"principalType", "properties.principalType"},
		{"atScope", NULL},
		{"assignedTo", NULL},
		{NULL},
	};
	const struct arm_list l = {
		.type = TYPE_ROLE_ASSIGNMENT,
		.under = "",
		.fields = fields,
		.test = assignment_test,
		.keep = assignment_keep,
		.judged = true,
	};

	return arm_call_list(c, &l, err);
}

static const char *const principal_types[] = {"User",   "Group",        "ServicePrincipal",
					      "Device", "ForeignGroup", NULL};
static const struct arm_field assignment_properties[] = {
	{"roleDefinitionId", ARM_STRING, ARM_REQUIRED, .min = 36, .max = 512,
	 .pattern = "^(/.*/roleDefinitions/)?" GUID_PATTERN "$"},
	{"principalId", ARM_STRING, ARM_REQUIRED, .pattern = "^" GUID_PATTERN "$"},
	{"principalType", ARM_STRING, ARM_NULLABLE, .values = principal_types},
	{"description", ARM_STRING, ARM_NULLABLE, .max = 1024},
	{"condition", ARM_STRING, ARM_NULLABLE},
	{"conditionVersion", ARM_STRING, ARM_NULLABLE},
	{"delegatedManagedIdentityResourceId", ARM_STRING, ARM_NULLABLE},
	{"scope", ARM_STRING, ARM_READONLY},
	{"createdOn", ARM_STRING, ARM_READONLY},
	{"updatedOn", ARM_STRING, ARM_READONLY},
	{"createdBy", ARM_STRING, ARM_READONLY},
	{"updatedBy", ARM_STRING, ARM_READONLY},
	{NULL},
};

const struct arm_type type_role_assignments = {
	.name = TYPE_ROLE_ASSIGNMENT,
	.scope = ARM_SCOPE_ANY,
	.first_version = "2014-07-01-preview",
	.versions = authorization_versions,
	.name_pattern = "^" GUID_PATTERN "$",
	.name_max = 36,
	.stateless = true,
	.properties = assignment_properties,
	.write = assignment_write,
	.del = assignment_delete,
	.list = assignment_list,
	.filters_rows = true,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/identity.h"
#include "providers/identity.h"
#include "providers/roles_common.h"

#include <strings.h>

#include "arm/roles.h"
#include "base/mem.h"
#include "providers/common.h"

const char *const authorization_versions[] = {
	"2022-04-01",         "2020-10-01-preview", "2020-08-01-preview", "2020-04-01-preview",
	"2020-03-01-preview", "2018-09-01-preview", "2018-01-01-preview", "2018-07-01",
	"2017-10-01-preview", "2015-07-01",         "2014-07-01-preview", NULL,
};

const char *role_guid(const char *id)
{
	const char *slash = strrchr(id, '/');

	return slash ? slash + 1 : id;
}

bool scope_within(const char *id, const char *scope)
{
	size_t n = strlen(scope);

	while (n > 0 && scope[n - 1] == '/')
		n--;
	return strncasecmp(id, scope, n) == 0 && (id[n] == '/' || !id[n]);
}

/* ---- Roles -------------------------------------------------------------------------------- */

static int load_builtin(const char *guid, json_t **ret, struct err *err)
{
	for (const struct role_builtin *b = role_builtins(); b->id; b++) {
		if (strcasecmp(b->id, guid) != 0)
			continue;
		*ret = json_pack("{s:o, s:s, s:s, s:o}", "id",
				 json_strf("/providers/" TYPE_ROLE_DEFINITION "/%s", b->id), "name",
				 b->id, "type", TYPE_ROLE_DEFINITION, "properties",
				 role_builtin_json(b));
		return *ret ? 0 : no_memory(err);
	}
	return -ENOENT;
}

int role_load(struct arm *arm, const char *scope, const char *guid, json_t **ret, struct err *err)
{
	auto_free char *id = strf("/providers/" TYPE_ROLE_DEFINITION "/%s", guid), *tenant = NULL;
	auto_json json_t *doc = NULL;
	int r = load_builtin(guid, ret, err);

	if (r != -ENOENT)
		return r;
	r = id ? arm_tenant_of(arm, scope, &tenant, err) : no_memory(err);
	if (r >= 0)
		r = arm_load(arm, id, &doc, err);
	if (r < 0)
		return r;
	if (!str_eq_nocase(json_str_at(doc, "tenantId"), tenant))
		return err_set(err, -ENOENT, "no role definition '%s'", guid);
	*ret = take_ptr(doc);
	return 0;
}

bool role_assignable(const json_t *role, const char *scope)
{
	const json_t *list = json_at(role, "properties.assignableScopes"), *s;
	size_t i;

	json_array_foreach((json_t *) (uintptr_t) list, i, s)
	{
		if (json_string_value(s) && scope_within(scope, json_string_value(s)))
			return true;
	}
	return false;
}

/* ---- Principals --------------------------------------------------------------------------- */

/* What principalType says of a resource of Kiln.Identity. */
static const char *kind_of(const char *key)
{
	static const struct {
		const char *type, *kind;
	} kinds[] = {
		{TYPE_PRINCIPAL, "ServicePrincipal"},
		{TYPE_USER, "User"},
		{TYPE_USERGROUP, "Group"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (is_type(key, kinds[i].type))
			return kinds[i].kind;
	return "Unknown";
}

/* Is the principal one of the scope's tenant? */
static int same_tenant(struct arm_call *c, const char *key, struct err *err)
{
	auto_free char *tenant = NULL;
	auto_json json_t *doc = NULL;
	int r = arm_tenant_of(c->arm, c->id->text, &tenant, err);

	if (r >= 0)
		r = arm_load(c->arm, key, &doc, err);
	if (r >= 0 && !str_eq_nocase(json_str_at(doc, "properties.tenantId"), tenant))
		r = -ENOENT;
	return r;
}

int principal_check(struct arm_call *c, const char *field, const char *kind_field, struct err *err)
{
	struct app *a = c->app;
	const char *given = json_str_at(c->doc, kind_field);
	auto_free char *id = str_lower(json_str_at(c->doc, field)), *key = NULL;
	int r = id ? identity_by_object(a->meta, id, &key, err) : no_memory(err);

	if (r >= 0)
		r = same_tenant(c, key, err);
	if (r == -ENOENT) {
		err_done(err);
		return refuse(err, -EINVAL, "PrincipalNotFound", field,
			      "Principal %s does not exist in the directory.", id);
	}
	if (r < 0)
		return r;
	if (given && !str_eq_nocase(given, kind_of(key)))
		return refuse(err, -EINVAL, "UnmatchedPrincipalType", kind_field,
			      "The PrincipalId '%s' has type '%s', which is different from the"
			      " specified PrincipalType '%s'.",
			      id, kind_of(key), given);
	return set_str(c->doc, kind_field, kind_of(key), err);
}

int principal_includes(struct arm_call *c, const char *who, const char *holder, struct err *err)
{
	struct app *a = c->app;
	auto_free char *member = str_lower(who);
	auto_strv char **groups = NULL;
	int r;

	if (!member)
		return no_memory(err);
	if (str_eq_nocase(member, holder))
		return 1;
	r = identity_groups(a->meta, member, &groups, err);
	for (char **g = groups; r >= 0 && g && *g; g++)
		if (str_eq_nocase(*g, holder))
			return 1;
	return r < 0 ? r : 0;
}

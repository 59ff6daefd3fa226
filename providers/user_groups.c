/* SPDX-License-Identifier: Apache-2.0 */
/* Kiln.Identity/groups: principals and other groups. The document has the direct members; the table
 * of members beside it is what membership is looked up in. */
#include "base/mem.h"
#include "meta/identity.h"
#include "meta/resources.h"
#include "providers/identity.h"
#include "providers/registry.h"

#define MEMBERS_MAX 5000

static bool contains(char *const *list, const char *s)
{
	for (; list && *list; list++)
		if (str_eq(*list, s))
			return true;
	return false;
}

static bool lists(const json_t *members, const char *id)
{
	for (size_t i = 0; i < json_array_size(members); i++)
		if (str_eq_nocase(json_string_value(json_array_get(members, i)), id))
			return true;
	return false;
}

static int check_member(struct arm_call *c, const char *group, const char *member, struct err *err)
{
	struct app *a = c->app;
	const char *tenant = json_str_at(c->doc, "properties.tenantId");
	auto_resource struct resource res = {0};
	auto_free char *key = NULL;
	auto_strv char **above = NULL;
	int r = identity_by_object(a->meta, member, &key, err);

	if (r >= 0)
		r = resource_get(a->meta, key, &res, err);
	if (r == -ENOENT ||
	    (r >= 0 && !str_eq_nocase(json_str_at(res.doc, "properties.tenantId"), tenant))) {
		err_done(err);
		return refuse(err, -EINVAL, "PrincipalNotFound", "properties.members",
			      "there is no principal or group with the object id %s in tenant %s",
			      member, tenant);
	}
	if (r >= 0)
		r = identity_groups(a->meta, group, &above, err);
	if (r < 0)
		return r;
	if (str_eq(group, member) || contains(above, member))
		return refuse(err, -EINVAL, "CircularMembership", "properties.members",
			      "the group %s is in %s itself: groups cannot contain each other",
			      c->id->name, member);
	return 0;
}

static int add_one(struct arm_call *c, const char *group, const char *member, struct err *err)
{
	struct app *a = c->app;
	int r = check_member(c, group, member, err);

	return r < 0 ? r : identity_member_add(a->meta, group, member, NULL, err);
}

/* Lower case, each once. */
static int normalize(json_t *list, struct err *err)
{
	for (size_t i = 0; i < json_array_size(list);) {
		auto_free char *lower = str_lower(json_string_value(json_array_get(list, i)));
		size_t k = 0;

		if (!lower || json_array_set_new(list, i, json_string(lower)) < 0)
			return no_memory(err);
		while (!str_eq(json_string_value(json_array_get(list, k)), lower))
			k++;
		if (k < i)
			(void) json_array_remove(list, i);
		else
			i++;
	}
	return 0;
}

/* The table follows the document. */
static int sync_members(struct arm_call *c, struct err *err)
{
	struct app *a = c->app;
	const char *group = json_str_at(c->doc, "properties.objectId");
	json_t *list = json_at(c->doc, "properties.members");
	auto_strv char **had = NULL;
	int r = normalize(list, err);

	if (r >= 0)
		r = identity_members(a->meta, group, &had, err);
	for (char **m = had; r >= 0 && m && *m; m++)
		if (!lists(list, *m))
			r = identity_member_remove(a->meta, group, *m, NULL, err);
	for (size_t i = 0; r >= 0 && i < json_array_size(list); i++) {
		const char *m = json_string_value(json_array_get(list, i));

		if (!contains(had, m))
			r = add_one(c, group, m, err);
	}
	return r;
}

static int group_write(struct arm_call *c, struct err *err)
{
	int r;

	if (!json_at(c->doc, "properties.members") &&
	    json_set_at(c->doc, "properties.members", json_array()) < 0)
		return no_memory(err);
	r = identity_fill(c, "group", "properties.objectId", err);
	return r < 0 ? r : sync_members(c, err);
}

static int add_members(struct arm_call *c, struct err *err)
{
	const json_t *add = json_object_get(c->body, "members");
	json_t *list = json_at(c->doc, "properties.members");
	int r = identity_allowed(c, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(add); i++)
		if (json_array_append(list, json_array_get(add, i)) < 0)
			return no_memory(err);
	if (json_array_size(list) > MEMBERS_MAX)
		return refuse(err, -EPERM, "TooManyMembers", "members",
			      "a group has at most %d members; put groups into it", MEMBERS_MAX);
	r = sync_members(c, err);
	return r < 0 ? r : identity_changed(c, err);
}

static int remove_members(struct arm_call *c, struct err *err)
{
	const json_t *drop = json_object_get(c->body, "members");
	json_t *list = json_at(c->doc, "properties.members");
	int r;

	for (size_t i = json_array_size(list); i-- > 0;)
		if (lists(drop, json_string_value(json_array_get(list, i))))
			(void) json_array_remove(list, i);
	r = sync_members(c, err);
	return r < 0 ? r : identity_changed(c, err);
}

static const struct arm_field group_properties[] = {
	{.name = "objectId", .type = ARM_STRING, .flags = ARM_IMMUTABLE, .pattern = GUID_PATTERN},
	{.name = "tenantId", .type = ARM_STRING, .flags = ARM_IMMUTABLE, .pattern = GUID_PATTERN},
	{.name = "displayName", .type = ARM_STRING, .min = 1, .max = 256},
	{.name = "description", .type = ARM_STRING, .max = 1024},
	{.name = "members", .type = ARM_ARRAY, .item = ARM_STRING, .max = MEMBERS_MAX},
	{.name = NULL},
};
static const struct arm_field members_shape[] = {
	{.name = "members",
	 .type = ARM_ARRAY,
	 .flags = ARM_REQUIRED,
	 .item = ARM_STRING,
	 .min = 1,
	 .max = MEMBERS_MAX},
	{.name = NULL},
};
static const struct arm_action group_actions[] = {
	{"addMembers", "POST", "addMembers/action", add_members, members_shape},
	{"removeMembers", "POST", "removeMembers/action", remove_members, members_shape},
	{NULL},
};

const struct arm_type type_user_groups = {
	.name = TYPE_USERGROUP,
	.scope = ARM_SCOPE_TENANT,
	.first_version = API_IDENTITY,
	.strict_from = API_IDENTITY,
	.name_pattern = "[A-Za-z0-9][A-Za-z0-9._-]*",
	.name_max = 120,
	.stateless = true,
	.properties = group_properties,
	.write = group_write,
	.del = identity_del,
	.actions = group_actions,
};

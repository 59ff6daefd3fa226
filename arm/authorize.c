/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/internal.h"

#include "base/mem.h"

/* The one table from method to the last part of an action; POST actions name theirs. */
static const char *right_of(const struct route *r, const char *method)
{
	static const struct {
		const char *method, *right;
	} rights[] = {
		{"GET", "read"},    {"HEAD", "read"},     {"PUT", "write"},
		{"PATCH", "write"}, {"DELETE", "delete"},
	};

	if (r->kind == ROUTE_ACTION)
		return r->action->right ? r->action->right : "action";
	for (size_t i = 0; i < ARRAY_SIZE(rights); i++)
		if (str_eq(rights[i].method, method))
			return rights[i].right;
	return "action";
}

char *authorize_action(const struct route *r, const char *method)
{
	const char *type = r->type ? r->type->name : r->id.type;
	const char *right = right_of(r, method);

	if (r->kind == ROUTE_ACTION && !r->action->right)
		return strf("%s/%s/%s", type, r->action->name, right);
	return strf("%s/%s", type, right);
}

int arm_may(struct arm *arm, const struct arm_principal *who, const char *action, const char *id,
	    struct err *err)
{
	/* Default deny: without role assignments only the owner of this host's data may act. */
	if (who && who->local_owner)
		return 0;
	(void) err_set(err, -EACCES,
		       "The client '%.100s' with object id '%.64s' does not have authorization to"
		       " perform action '%s' over scope '%.1000s'.",
		       who && who->name ? who->name : "anonymous",
		       who && who->object_id ? who->object_id : "none", action, id);
	err_arm(err, "AuthorizationFailed");
	return -EACCES;
}

static int put(json_t *j, const char *key, const char *value)
{
	json_t *v = value ? json_text(value, strlen(value)) : json_null();

	return v && json_object_set_new(j, key, v) >= 0 ? 0 : -ENOMEM;
}

static json_t *groups_json(const struct arm_principal *who)
{
	json_t *list = json_array();

	for (const char *const *g = who->groups; list && g && *g; g++)
		if (json_array_append_new(list, json_string(*g)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *principal_json(const struct arm_principal *who)
{
	json_t *j = json_object();

	if (j && put(j, "objectId", who->object_id) >= 0 && put(j, "name", who->name) >= 0 &&
	    put(j, "kind", who->kind) >= 0 && put(j, "tenantId", who->tenant_id) >= 0 &&
	    json_object_set_new(j, "localOwner", json_boolean(who->local_owner)) >= 0 &&
	    json_object_set_new(j, "groups", groups_json(who)) >= 0)
		return j;
	json_decref(j);
	return NULL;
}

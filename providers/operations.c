/* SPDX-License-Identifier: Apache-2.0 */
/* Kiln.Resources/operations: what runs in a subscription and how it went; cancel. */
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"

#define LIST_MAX 250 /* newest; ended ones are forgotten after days anyway */

static json_t *named(const struct arm_call *c, json_t *record)
{
	const char *name = json_str_at(record, "name");

	if (json_object_set_new(record, "id",
				json_strf("/subscriptions/%s/providers/%s/%s", c->id->subscription,
					  c->type->name, name)) < 0 ||
	    json_object_set_new(record, "type", json_string(c->type->name)) < 0)
		return NULL;
	return record;
}

static int find(struct arm_call *c, const char *name, json_t **ret, struct err *err)
{
	auto_free char *under = strf("/subscriptions/%s", c->id->subscription);

	return under ? arm_operations(c->arm, c->who, under, name, LIST_MAX, ret, err)
		     : no_memory(err);
}

static int operation_get_one(struct arm_call *c, struct err *err)
{
	auto_json json_t *list = NULL;
	json_t *record;
	int r = find(c, c->id->name, &list, err);

	record = json_array_get(list, 0);
	if (r < 0 || !record)
		return r == -ENOENT ? 0 : r; /* not found */
	c->result = json_incref(named(c, record));
	return c->result ? 0 : no_memory(err);
}

static int operation_list_all(struct arm_call *c, struct err *err)
{
	auto_json json_t *list = NULL;
	json_t *record;
	size_t i;
	int r = find(c, NULL, &list, err);

	if (r < 0)
		return r;
	json_array_foreach(list, i, record) if (!named(c, record)) return no_memory(err);
	c->result = json_pack("{s:O}", "value", list);
	return c->result ? 0 : no_memory(err);
}

/* Whoever may write the resource may stop what changes it. */
static int operation_stop(struct arm_call *c, struct err *err)
{
	auto_json json_t *list = NULL;
	auto_free char *action = NULL;
	auto_arm_id struct arm_id id = {0};
	const char *resource;
	int r = find(c, c->id->name, &list, err);

	resource = json_str_at(json_array_get(list, 0), "properties.resourceId");
	if (r == -ENOENT || (r == 0 && !resource))
		return refuse(err, -ENOENT, "OperationNotFound", NULL, "no operation '%s'",
			      c->id->name);
	if (r == 0)
		r = arm_id_parse(resource, &id, err);
	action = r == 0 ? strf("%s/write", id.type) : NULL;
	if (r == 0)
		r = action ? arm_may(c->arm, c->who, action, resource, err) : no_memory(err);
	if (r == 0)
		r = arm_cancel(c->arm, c->id->name, err);
	if (r == -ENOENT)
		return refuse(err, -EBUSY, "OperationEnded", NULL,
			      "operation '%s' has ended: there is nothing to cancel", c->id->name);
	return r;
}

static const struct arm_action operation_actions[] = {
	{"cancel", "POST", "cancel/action", operation_stop, NULL},
	{NULL},
};

const struct arm_type type_operations = {
	.name = "Kiln.Resources/operations",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.first_version = API_RUN,
	.get = operation_get_one,
	.list = operation_list_all,
	.actions = operation_actions,
};

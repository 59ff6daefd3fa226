/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Resources/tags/default: the tags of whatever it is on, as a resource of their own. */
#include <strings.h>

#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"

/* Subscriptions, groups and what has a location have tags. */
static int load_target(struct arm_call *c, json_t **ret, struct err *err)
{
	const char *type;
	int r;

	if (!str_eq_nocase(c->id->name, "default"))
		return refuse(err, -EINVAL, "InvalidTagsName", NULL,
			      "the tags of a scope are named 'default', not '%s'", c->id->name);
	r = *c->id->parent ? arm_load(c->arm, c->id->parent, ret, err) : -ENOENT;
	if (r < 0 && !*c->id->parent)
		return refuse(err, -EINVAL, "InvalidTagScope", NULL, "a tenant has no tags");
	if (r < 0)
		return r;
	type = json_str_at(*ret, "type");
	for (const struct arm_type *const *t = provider_types; *t && type; t++)
		if (str_eq_nocase((*t)->name, type) &&
		    ((*t)->tracked || str_eq_nocase(type, TYPE_SUBSCRIPTION)))
			return 0;
	return refuse(err, -EINVAL, "InvalidTagScope", NULL, "'%s' cannot have tags",
		      c->id->parent);
}

static int show(struct arm_call *c, const json_t *tags, struct err *err)
{
	c->result = json_pack("{s:s, s:s, s:s, s:{s:o}}", "id", c->id->text, "name", "default",
			      "type", "Microsoft.Resources/tags", "properties", "tags",
			      tags ? json_deep_copy(tags) : json_object());
	return c->result ? 0 : no_memory(err);
}

static int tags_get(struct arm_call *c, struct err *err)
{
	auto_json json_t *doc = NULL;
	int r = load_target(c, &doc, err);

	return r < 0 ? r : show(c, json_object_get(doc, "tags"), err);
}

static const char *same_name(const json_t *tags, const char *name)
{
	json_t *from = (json_t *) (uintptr_t) tags, *value;
	const char *key;

	json_object_foreach(from, key, value)
	{
		if (strcasecmp(key, name) == 0)
			return key;
	}
	return NULL;
}

/* Merge overwrites values and keeps the names that are there; Delete takes away pairs that are
 * wholly the same. */
static int apply(json_t *tags, const json_t *given, bool merge, struct err *err)
{
	json_t *from = (json_t *) (uintptr_t) given, *value;
	const char *key;

	json_object_foreach(from, key, value)
	{
		const char *have = same_name(tags, key);

		if (merge && json_object_set(tags, have ? have : key, value) < 0)
			return no_memory(err);
		if (!merge && have && json_equal(json_object_get(tags, have), value))
			(void) json_object_del(tags, have);
	}
	return 0;
}

static int changed(const struct arm_call *c, const json_t *old, json_t **ret, struct err *err)
{
	const json_t *given = json_at(c->body, "properties.tags");
	const char *how = str_eq(c->method, "PUT")      ? "Replace"
			  : str_eq(c->method, "DELETE") ? "Clear"
							: json_str_at(c->body, "operation");
	int r = given ? arm_tags_check(given, false, err) : 0;

	if (r < 0)
		return r;
	if (!how)
		return refuse(err, -EINVAL, "InvalidParameter", "operation",
			      "operation is missing: Merge, Replace or Delete");
	if (str_eq(how, "Replace"))
		*ret = given ? json_deep_copy(given) : json_object();
	else
		*ret = old && !str_eq(how, "Clear") ? json_deep_copy(old) : json_object();
	if (!*ret)
		return no_memory(err);
	if (given && (str_eq(how, "Merge") || str_eq(how, "Delete")))
		r = apply(*ret, given, str_eq(how, "Merge"), err);
	return r < 0 ? r : arm_tags_check(*ret, false, err);
}

static int tags_change(struct arm_call *c, struct err *err)
{
	auto_json json_t *doc = NULL, *tags = NULL, *next = NULL;
	int r = load_target(c, &doc, err);

	if (r >= 0)
		r = changed(c, json_object_get(doc, "tags"), &tags, err);
	if (r < 0)
		return r;
	next = json_deep_copy(doc);
	if (!next || json_object_set(next, "tags", tags) < 0)
		return no_memory(err);
	r = arm_call_put(c, json_str_at(doc, "id"), take_ptr(next), err);
	if (r < 0)
		return r;
	c->status = 200;
	return str_eq(c->method, "DELETE") ? 0 : show(c, tags, err);
}

static const char *const operations[] = {"Merge", "Replace", "Delete", NULL};
static const struct arm_field tags_envelope[] = {
	{"operation", ARM_STRING, ARM_NULLABLE, .values = operations},
	{NULL},
};
static const struct arm_field tags_properties[] = {
	{"tags", ARM_MAP, ARM_NULLABLE},
	{NULL},
};

const struct arm_type type_tags = {
	.name = "Microsoft.Resources/tags",
	.scope = ARM_SCOPE_ANY,
	.first_version = "2019-10-01",
	.versions = resources_api_versions,
	.stateless = true,
	.envelope = tags_envelope,
	.properties = tags_properties,
	.get = tags_get,
	.change = tags_change,
};

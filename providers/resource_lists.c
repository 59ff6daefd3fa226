/* SPDX-License-Identifier: Apache-2.0 */
/* Lists across types: the resources of a subscription or group, its groups, its tag names. */
#include <ctype.h>
#include <strings.h>

#include "arm/filter.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/resource_lists.h"

/* ---- $filter ------------------------------------------------------------------------------ */

static const json_t *tag_of(const json_t *doc, const char *name)
{
	return json_get_nocase(json_object_get(doc, "tags"), name);
}

static bool some_tag(const json_t *doc, const struct filter_term *t)
{
	json_t *tags = json_object_get(doc, "tags"), *value;
	const char *name;

	json_object_foreach(tags, name, value)
	{
		if (filter_compare(t, str_eq_nocase(t->name, "tagName") ? name
									: json_string_value(value)))
			return true;
	}
	return false;
}

/* "tagName eq 'a' and tagValue eq 'b'" speaks of one tag. */
static bool tag_term(const struct filter *f, const struct filter_term *t, const json_t *doc)
{
	const char *name = filter_needs(f, "tagName", FILTER_EQ);

	if (str_eq_nocase(t->name, "tagValue") && name)
		return filter_compare(t, json_string_value(tag_of(doc, name)));
	return some_tag(doc, t);
}

/* The text of a field; *@ret is the caller's. 0, or -EINVAL for one that is not known. */
static int field_text(const json_t *doc, const char *name, char **ret)
{
	static const char *const plain[][2] = {
		{"name", "name"},
		{"resourceType", "type"},
		{"type", "type"},
		{"kind", "kind"},
		{"provisioningState", "properties.provisioningState"},
	};
	const char *text = NULL;
	auto_arm_id struct arm_id id = {0};

	*ret = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (str_eq_nocase(plain[i][0], name)) {
			text = json_str_at(doc, plain[i][1]);
			*ret = text ? strdup(text) : NULL;
			return text && !*ret ? -ENOMEM : 0;
		}
	if (str_eq_nocase(name, "location")) {
		text = json_str_at(doc, "location");
		*ret = text ? location_normalize(text) : NULL;
		return text && !*ret ? -ENOMEM : 0;
	}
	if (!str_eq_nocase(name, "resourceGroup"))
		return -EINVAL;
	if (arm_id_parse(json_str_at(doc, "id"), &id, NULL) == 0 && id.group)
		*ret = take_ptr(id.group);
	return 0;
}

static bool contains(const char *text, const char *part, bool at_start)
{
	size_t n = strlen(part);

	for (; text && strlen(text) >= n; text++) {
		if (strncasecmp(text, part, n) == 0)
			return true;
		if (at_start)
			return false;
	}
	return false;
}

/* substringof('part', field), startswith(field, 'part') */
static int call_term(const struct filter_term *t, const json_t *doc, struct err *err)
{
	bool start = str_eq_nocase(t->name, "startswith");
	auto_free char *text = NULL;
	int r;

	if (t->n_args != 2 || (!start && !str_eq_nocase(t->name, "substringof")))
		return filter_unsupported(t, err);
	r = field_text(doc, t->args[start ? 0 : 1], &text);
	if (r < 0)
		return r == -EINVAL ? filter_unsupported(t, err) : no_memory(err);
	return contains(text, t->args[start ? 1 : 0], start);
}

int resource_test(struct arm_call *c, const struct filter *f, const struct filter_term *t,
		  const json_t *doc, struct err *err)
{
	auto_free char *text = NULL, *want = NULL;
	struct filter_term wanted = *t;
	int r;

	(void) c;
	if (t->op == FILTER_CALL)
		return call_term(t, doc, err);
	if (str_eq_nocase(t->name, "tagName") || str_eq_nocase(t->name, "tagValue"))
		return tag_term(f, t, doc);
	r = field_text(doc, t->name, &text);
	if (r < 0)
		return r == -EINVAL ? filter_unsupported(t, err) : no_memory(err);
	if (str_eq_nocase(t->name, "location")) {
		want = location_normalize(t->args[0]);
		if (!want)
			return no_memory(err);
		wanted.args[0] = want;
	}
	return filter_compare(&wanted, text);
}

const struct arm_filter_field resource_fields[] = {
	{"name", NULL},        {"resourceType", NULL}, {"type", NULL},
	{"location", NULL},    {"kind", NULL},         {"resourceGroup", NULL},
	{"tagName", NULL},     {"tagValue", NULL},     {"provisioningState", NULL},
	{"substringof", NULL}, {"startswith", NULL},   {NULL},
};

/* ---- Resources ---------------------------------------------------------------------------- */

static const struct arm_type *type_named(const char *name)
{
	for (const struct arm_type *const *t = provider_types; *t && name; t++)
		if (str_eq_nocase((*t)->name, name))
			return *t;
	return NULL;
}

static int is_listed(struct arm_call *c, const json_t *doc, struct err *err)
{
	const struct arm_type *type = type_named(json_str_at(doc, "type"));

	(void) c;
	(void) err;
	return type && type->tracked && !str_eq(type->name, TYPE_GROUP);
}

static int show_resource(struct arm_call *c, json_t **doc, struct err *err)
{
	static const char *const kept[] = {"id",  "name", "type", "location", "tags",
					   "sku", "kind", "plan", "identity", "managedBy"};
	static const char *const expanded[][2] = {
		{"createdTime", "systemData.createdAt"},
		{"changedTime", "systemData.lastModifiedAt"},
		{"provisioningState", "properties.provisioningState"},
	};
	auto_json json_t *item = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		json_t *v = json_object_get(*doc, kept[i]);

		if (!item || (v && json_object_set(item, kept[i], v) < 0))
			return no_memory(err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(expanded); i++) {
		json_t *v = json_at(*doc, expanded[i][1]);

		if (v && expands(c, expanded[i][0]) && json_object_set(item, expanded[i][0], v) < 0)
			return no_memory(err);
	}
	json_decref(*doc);
	*doc = take_ptr(item);
	return 0;
}

/* A type that the filter demands is looked up by its own index. */
static int resource_list_hook(struct arm_call *c, struct err *err)
{
	const char *text = arm_query(c, "$filter");
	auto_filter struct filter *f = NULL;
	const struct arm_type *type;
	struct arm_list l = {
		.under = c->id->parent,
		.fields = resource_fields,
		.test = resource_test,
		.keep = is_listed,
		.show = show_resource,
	};
	int r = text && text[strspn(text, " ")] ? filter_parse(text, &f, err) : 0;

	if (r < 0)
		return r;
	type = type_named(filter_needs(f, "resourceType", FILTER_EQ));
	l.type = type ? type->name : NULL;
	return arm_call_list(c, &l, err);
}

const struct arm_type type_resources = {
	.name = "Microsoft.Resources/subscriptions/resources",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.readers = ARM_READERS_MEMBERS,
	.first_version = "2014-04-01",
	.versions = resources_api_versions,
	.list = resource_list_hook,
};
const struct arm_type type_group_resources = {
	.name = "Microsoft.Resources/resourceGroups/resources",
	.policy = "Microsoft.Resources/subscriptions/resourceGroups/resources",
	.scope = ARM_SCOPE_GROUP,
	.readers = ARM_READERS_BY_ROLE,
	.filters_rows = true,
	.first_version = "2014-04-01",
	.versions = resources_api_versions,
	.list = resource_list_hook,
};

/* ---- Tag names ---------------------------------------------------------------------------- */

struct counting {
	json_t *names; /* {"env": {"tagName": "Env", "n": 3, "values": {"prod": 2}}} */
};

static int count_one(json_t *names, const char *name, const char *value)
{
	auto_free char *key = str_lower(name);
	json_t *t = key ? json_object_get(names, key) : NULL, *values;

	if (!t) {
		t = json_pack("{s:s, s:i, s:{}}", "tagName", name, "n", 0, "values");
		if (!key || json_object_set_new(names, key, t) < 0)
			return -ENOMEM;
	}
	values = json_object_get(t, "values");
	if (json_object_set_new(t, "n", json_integer(json_int_at(t, "n", 0) + 1)) < 0 ||
	    json_object_set_new(
		    values, value,
		    json_integer(json_integer_value(json_object_get(values, value)) + 1)) < 0)
		return -ENOMEM;
	return 0;
}

static int count_tags(void *arg, const char *id, const json_t *doc)
{
	struct counting *n = arg;
	json_t *tags = json_object_get(doc, "tags"), *value;
	const char *name;

	(void) id;
	json_object_foreach(tags, name, value)
	{
		if (json_string_value(value) &&
		    count_one(n->names, name, json_string_value(value)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static json_t *value_json(const char *id, const char *value, json_t *n)
{
	return json_pack("{s:o, s:s, s:{s:s, s:O}}", "id", json_strf("%s/tagValues/%s", id, value),
			 "tagValue", value, "count", "type", "Total", "value", n);
}

static json_t *name_json(const struct arm_call *c, const json_t *t)
{
	auto_free char *id = strf("/subscriptions/%s/tagNames/%s", c->id->subscription,
				  json_str_at(t, "tagName"));
	auto_json json_t *values = json_array();
	json_t *from = json_object_get(t, "values"), *n;
	const char *value;

	json_object_foreach(from, value, n)
	{
		if (!id || !values || json_array_append_new(values, value_json(id, value, n)) < 0)
			return NULL;
	}
	return json_pack("{s:s, s:s, s:{s:s, s:I}, s:O}", "id", id ? id : "", "tagName",
			 json_str_at(t, "tagName"), "count", "type", "Total", "value",
			 (json_int_t) json_int_at(t, "n", 0), "values", values);
}

static int tag_name_list(struct arm_call *c, struct err *err)
{
	auto_json json_t *names = json_object(), *list = json_array();
	struct counting n = {.names = names};
	json_t *t;
	const char *key;
	int r = names && list ? arm_each(c->arm, NULL, c->id->parent, count_tags, &n, err)
			      : -ENOMEM;

	if (r < 0)
		return r == -ENOMEM ? no_memory(err) : r;
	json_object_foreach(names, key, t)
	{
		if (json_array_append_new(list, name_json(c, t)) < 0)
			return no_memory(err);
	}
	c->result = json_pack("{s:O}", "value", list);
	return c->result ? 0 : no_memory(err);
}

const struct arm_type type_tag_names = {
	.name = "Microsoft.Resources/subscriptions/tagNames",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.first_version = "2014-04-01",
	.versions = resources_api_versions,
	.list = tag_name_list,
};

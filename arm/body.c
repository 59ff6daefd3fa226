/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/body.h"

#include "base/mem.h"

static int no_memory(struct request *rq)
{
	return err_set(&rq->err, -ENOMEM, "out of memory");
}

static int bad_field(struct err *err, const char *code, const char *target, const char *what)
{
	(void) err_set(err, -EINVAL, "\"%s\": %s", target, what);
	err_target(err, "%s", target);
	err_arm(err, code);
	return -EINVAL;
}

static int bad(struct request *rq, const char *code, const char *target, const char *what)
{
	return bad_field(&rq->err, code, target, what);
}

static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char) *s & 0xc0) != 0x80;
	return n;
}

static int check_tag(const json_t *tags, const char *name, const json_t *value, bool patch,
		     struct err *err)
{
	auto_free char *target = strf("tags.%.200s", name);
	json_t *from = (json_t *) (uintptr_t) tags, *other;
	const char *key;

	if (!target)
		return err_set(err, -ENOMEM, "out of memory");
	if (!*name || characters(name) > TAG_NAME_MAX)
		return bad_field(err, "InvalidTagName", target,
				 "a tag's name has 1 to 512 characters");
	if (strpbrk(name, "<>%&\\?/"))
		return bad_field(err, "InvalidTagName", target,
				 "a tag's name has none of < > % & \\ ? /");
	json_object_foreach(
		from, key,
		other) if (key != name &&
			   str_eq_nocase(key,
					 name)) return bad_field(err, "DuplicateTag", target,
								 "it is given twice; names differ "
								 "by more than case");
	if (patch && json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return bad_field(err, "InvalidTag", target, "a string is expected");
	if (characters(json_string_value(value)) > TAG_VALUE_MAX)
		return bad_field(err, "InvalidTagValue", target,
				 "a tag's value has at most 256 characters");
	return 0;
}

int arm_tags_check(const json_t *tags, bool patch, struct err *err)
{
	json_t *from = (json_t *) (uintptr_t) tags, *value;
	const char *key;
	int r = 0;

	if (!json_is_object(tags))
		return bad_field(err, "InvalidParameter", "tags",
				 "an object of strings is expected");
	if (json_object_size(tags) > TAGS_MAX)
		return bad_field(err, "TooManyTags", "tags", "a resource has at most 50 tags");
	json_object_foreach(from, key, value)
	{
		r = check_tag(tags, key, value, patch, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static json_t *member(const json_t *body, const char *key, bool strict)
{
	json_t *v = json_object_get(body, key);

	return v || strict ? v : json_get_nocase(body, key);
}

static int take_location(struct request *rq, const struct shape_context *ctx, json_t *out)
{
	static const struct arm_field field[] = {
		{.name = "location",
		 .type = ARM_STRING,
		 .flags = ARM_LOCATION | ARM_NULLABLE,
		 .min = 1,
		 .max = 128},
		{.name = NULL},
	};
	json_t *v = member(rq->body, "location", ctx->strict);
	auto_json json_t *in = NULL, *checked = NULL;
	int r;

	if (!v || json_is_null(v))
		return 0;
	in = json_pack("{s:O}", "location", v);
	r = in ? shape_check(field, in, "", ctx, &checked, &rq->err) : no_memory(rq);
	if (r < 0)
		return r;
	return json_object_update(out, checked) < 0 ? no_memory(rq) : 0;
}

static int take_tags(struct request *rq, const struct shape_context *ctx, json_t *out)
{
	json_t *v = member(rq->body, "tags", ctx->strict);
	int r;

	if (!v || json_is_null(v))
		return 0;
	r = arm_tags_check(v, ctx->patch, &rq->err);
	if (r < 0)
		return r;
	return json_object_set_new(out, "tags", json_deep_copy(v)) < 0 ? no_memory(rq) : 0;
}

static int take_properties(struct request *rq, const struct shape_context *ctx, json_t *out)
{
	const struct arm_type *type = rq->route.type;
	json_t *v = member(rq->body, "properties", ctx->strict), *checked = NULL;
	auto_json json_t *empty = json_object();
	int r;

	if (!empty)
		return no_memory(rq);
	if (!v || json_is_null(v)) {
		if (ctx->patch || !type->properties)
			return 0;
		v = empty; /* so that what is required gets named */
	}
	if (!type->properties)
		return json_is_object(v)
			       ? 0
			       : bad(rq, "InvalidParameter", "properties", "an object is expected");
	r = shape_check(type->properties, v, "properties", ctx, &checked, &rq->err);
	if (r < 0)
		return r;
	return json_object_set_new(out, "properties", checked) < 0 ? no_memory(rq) : 0;
}

/* What is left of the body once the members that every resource has are taken away. */
static int take_envelope(struct request *rq, const struct shape_context *ctx, json_t *out)
{
	static const char *const common[] = {"id",   "name",     "type",       "etag",
					     "tags", "location", "properties", "systemData"};
	auto_json json_t *rest = json_object(), *checked = NULL;
	bool tracked = rq->route.type->tracked;
	json_t *value;
	const char *key;
	int r;

	if (!rest)
		return no_memory(rq);
	json_object_foreach(rq->body, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(common); i++)
			known = known || (ctx->strict ? str_eq(common[i], key)
						      : str_eq_nocase(common[i], key));
		if (known && ctx->strict && !tracked &&
		    (str_eq(key, "tags") || str_eq(key, "location")))
			known = false;
		if (!known && json_object_set(rest, key, value) < 0)
			return no_memory(rq);
	}
	r = shape_check(rq->route.type->envelope, rest, "", ctx, &checked, &rq->err);
	if (r < 0)
		return r;
	return json_object_update(out, checked) < 0 ? no_memory(rq) : 0;
}

int body_check(struct request *rq, bool patch, bool strict, json_t **ret)
{
	const struct shape_context ctx = {
		.api_version = rq->api_version,
		.strict = strict,
		.patch = patch,
		.locations = rq->arm->config.locations,
	};
	auto_json json_t *out = json_object();
	int r;

	if (!out)
		return no_memory(rq);
	if (!json_is_object(rq->body)) {
		(void) err_set(&rq->err, -EINVAL,
			       "The request content is %s; a JSON object is"
			       " expected.",
			       rq->body ? "no JSON object" : "empty");
		err_arm(&rq->err, "InvalidRequestContent");
		return -EINVAL;
	}
	r = take_envelope(rq, &ctx, out);
	if (r >= 0 && rq->route.type->tracked)
		r = take_location(rq, &ctx, out);
	if (r >= 0 && rq->route.type->tracked)
		r = take_tags(rq, &ctx, out);
	if (r >= 0)
		r = take_properties(rq, &ctx, out);
	if (r < 0)
		return r;
	*ret = take_ptr(out);
	return 0;
}

/* ---- Merging ------------------------------------------------------------------------------ */

static int keep_location(struct request *rq, const json_t *old, json_t *doc)
{
	json_t *before = json_object_get(old, "location");

	if (!rq->route.type->tracked || json_object_get(doc, "location"))
		return 0;
	if (before)
		return json_object_set(doc, "location", before) < 0 ? no_memory(rq) : 0;
	if (rq->route.type->optional_location)
		return 0;
	return bad(rq, "LocationRequired", "location",
		   "The location property is required for this definition.");
}

/* Properties have rules of their own; tags that are absent are removed. */
static int put_envelope(struct request *rq, const json_t *old, json_t *doc)
{
	auto_json json_t *rest = json_copy((json_t *) (uintptr_t) old);
	int r;

	if (!rest)
		return no_memory(rq);
	(void) json_object_del(rest, "tags");
	(void) json_object_del(rest, "location");
	(void) json_object_del(rest, "properties");
	r = merge_put(rq->route.type->envelope, rest, doc, rq->api_version);
	return r < 0 ? no_memory(rq) : 0;
}

static int put_properties(struct request *rq, const json_t *old, json_t *doc)
{
	json_t *before = json_object_get(old, "properties");
	json_t *now = json_object_get(doc, "properties");

	if (!before)
		return 0;
	if (!now) {
		now = json_object();
		if (json_object_set_new(doc, "properties", now) < 0)
			return no_memory(rq);
	}
	return merge_put(rq->route.type->properties, before, now, rq->api_version) < 0
		       ? no_memory(rq)
		       : 0;
}

static int drop_writeonly(struct request *rq, json_t *doc)
{
	int r = merge_drop_writeonly(rq->route.type->envelope, doc);

	if (r >= 0)
		r = merge_drop_writeonly(rq->route.type->properties,
					 json_object_get(doc, "properties"));
	return r < 0 ? no_memory(rq) : 0;
}

int body_merge_put(struct request *rq, const json_t *old, const json_t *body, json_t **ret)
{
	/* The first members that people look for; filled in by doc_identify(). */
	auto_json json_t *doc = json_pack("{s:s, s:s, s:s}", "id", "", "name", "", "type", "");
	auto_json json_t *copy = json_deep_copy(body);
	int r = doc && copy && json_object_update(doc, copy) >= 0 ? 0 : no_memory(rq);

	if (r >= 0)
		r = keep_location(rq, old, doc);
	if (r >= 0 && old)
		r = put_envelope(rq, old, doc);
	if (r >= 0 && old)
		r = put_properties(rq, old, doc);
	if (r >= 0)
		r = drop_writeonly(rq, doc);
	if (r >= 0)
		*ret = take_ptr(doc);
	return r;
}

static int recheck(struct request *rq, const json_t *doc)
{
	const struct shape_context ctx = {.api_version = rq->api_version};
	json_t *props = json_object_get(doc, "properties");
	auto_json json_t *a = NULL, *b = NULL;
	int r = shape_check(rq->route.type->envelope, doc, "", &ctx, &a, &rq->err);

	if (r >= 0 && props && rq->route.type->properties)
		r = shape_check(rq->route.type->properties, props, "properties", &ctx, &b,
				&rq->err);
	return r;
}

int body_merge_patch(struct request *rq, const json_t *old, const json_t *body, json_t **ret)
{
	auto_json json_t *doc = json_deep_copy(old), *rest = json_copy((json_t *) (uintptr_t) body);
	json_t *patch = json_object_get(body, "properties"), *tags, *props;
	int r = 0;

	if (!doc || !rest)
		return no_memory(rq);
	(void) json_object_del(rest, "properties");
	(void) json_object_del(rest, "tags");
	r = merge_patch(rq->route.type->envelope, doc, rest);
	tags = json_object_get(body, "tags"); /* replaced as a whole */
	if (r >= 0 && tags && json_object_set_new(doc, "tags", json_object()) < 0)
		r = -ENOMEM;
	if (r >= 0 && tags)
		r = json_merge_patch(json_object_get(doc, "tags"), tags);
	props = json_object_get(doc, "properties");
	if (r >= 0 && patch && !props) {
		props = json_object();
		r = json_object_set_new(doc, "properties", props) < 0 ? -ENOMEM : 0;
	}
	if (r >= 0 && patch)
		r = merge_patch(rq->route.type->properties, props, patch);
	if (r < 0)
		return no_memory(rq);
	r = recheck(rq, doc);
	if (r >= 0)
		r = drop_writeonly(rq, doc);
	if (r >= 0)
		*ret = take_ptr(doc);
	return r;
}

int body_immutable(struct request *rq, const json_t *seen, const json_t *doc)
{
	const char *a = json_str_at(seen, "location"), *b = json_str_at(doc, "location");
	const struct arm_type *type = rq->route.type;
	int r;

	if (a && b && !str_eq(a, b)) {
		auto_free char *norm = location_normalize(a);

		if (!norm)
			return no_memory(rq);
		if (!str_eq(norm, b)) {
			(void) err_set(&rq->err, -EPERM,
				       "The resource '%.1000s' already exists in location '%s'. A"
				       " resource with the same name cannot be created in location"
				       " '%s'.",
				       rq->route.id.text, a, b);
			err_target(&rq->err, "location");
			err_arm(&rq->err, "InvalidResourceLocation");
			return -EPERM;
		}
	}
	r = merge_immutable(type->envelope, seen, doc, "", &rq->err);
	if (r >= 0)
		r = merge_immutable(type->properties, json_object_get(seen, "properties"),
				    json_object_get(doc, "properties"), "properties", &rq->err);
	return r;
}

bool body_equal(const json_t *old, const json_t *doc)
{
	auto_json json_t *a = json_copy((json_t *) (uintptr_t) old);
	auto_json json_t *b = json_copy((json_t *) (uintptr_t) doc);

	if (!a || !b)
		return false; /* writing once too often is harmless */
	(void) json_object_del(a, "systemData");
	(void) json_object_del(b, "systemData");
	return json_equal(a, b);
}

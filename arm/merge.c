/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/shape.h"

#include "base/mem.h"

/* May a document keep members that no table has? Then hooks or jobs put them there. */
static bool in_tables(const struct arm_field *own, const struct arm_field *cases, const char *tag,
		      const char *key)
{
	const struct arm_field *const both[] = {own, cases};

	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		for (const struct arm_field *f = both[i]; f && f->name; f++)
			if (str_eq(f->name, key))
				return true;
	return str_eq(tag, key);
}

static bool stays(const struct arm_field *f, const char *api_version)
{
	return (f->flags & (ARM_READONLY | ARM_SECRET | ARM_IMMUTABLE)) ||
	       (f->since && version_before(api_version, f->since));
}

/* The element of @array with the same "name" as @item: what tells list elements apart (regions). */
static const json_t *same_name(const json_t *array, const json_t *item)
{
	const char *name = json_str_at(item, "name");

	for (size_t i = 0; name && i < json_array_size(array); i++) {
		const char *other = json_str_at(json_array_get(array, i), "name");

		if (other && str_eq_nocase(other, name))
			return json_array_get(array, i);
	}
	return NULL;
}

static int put_object(const struct arm_field *own, const struct arm_field *cases, const char *tag,
		      const json_t *old, json_t *doc, const char *api_version);

static int put_elements(const struct arm_field *f, const json_t *old, json_t *doc,
			const char *api_version)
{
	int r = 0;

	for (size_t i = 0; i < json_array_size(doc) && r >= 0; i++) {
		json_t *item = json_array_get(doc, i);
		const json_t *before = same_name(old, item);

		if (before && shape_case(f, before) == shape_case(f, item))
			r = put_object(f->fields, shape_case(f, item), f->tag, before, item,
				       api_version);
	}
	return r;
}

/* What an absent object leaves behind: its read-only parts and those unknown to the version. */
static int put_rest(const struct arm_field *f, const json_t *old, json_t *doc,
		    const char *api_version)
{
	auto_json json_t *rest = json_object();
	int r;

	if (!rest)
		return -ENOMEM;
	if (f->cases)
		return 0; /* without its discriminator it is gone as a whole */
	r = put_object(f->fields, NULL, NULL, old, rest, api_version);
	if (r < 0 || json_object_size(rest) == 0)
		return r;
	return json_object_set(doc, f->name, rest) < 0 ? -ENOMEM : 0;
}

static int put_field(const struct arm_field *f, const json_t *old, json_t *doc,
		     const char *api_version)
{
	json_t *before = json_object_get(old, f->name), *now = json_object_get(doc, f->name);

	if (!before)
		return 0;
	/* What is immutable was found to be the same, as far as it was given. */
	if ((!now && stays(f, api_version)) || (f->flags & ARM_IMMUTABLE))
		return json_object_set_new(doc, f->name, json_deep_copy(before)) < 0 ? -ENOMEM : 0;
	if (!f->fields && !f->cases)
		return 0;
	if (!now && json_is_object(before))
		return put_rest(f, before, doc, api_version);
	if (json_is_object(now) && json_is_object(before) &&
	    shape_case(f, before) == shape_case(f, now))
		return put_object(f->fields, shape_case(f, now), f->tag, before, now, api_version);
	if (json_is_array(now) && json_is_array(before))
		return put_elements(f, before, now, api_version);
	return 0;
}

static int put_object(const struct arm_field *own, const struct arm_field *cases, const char *tag,
		      const json_t *old, json_t *doc, const char *api_version)
{
	const struct arm_field *const both[] = {own, cases};
	json_t *from = (json_t *) (uintptr_t) old, *value;
	const char *key;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		for (const struct arm_field *f = both[i]; f && f->name && r >= 0; f++)
			r = put_field(f, old, doc, api_version);
	if (r < 0)
		return r;
	json_object_foreach(
		from, key,
		value) if (!in_tables(own, cases, tag, key) && !json_object_get(doc, key) &&
			   json_object_set_new(doc, key, json_deep_copy(value)) < 0) return -ENOMEM;
	return 0;
}

int merge_put(const struct arm_field *fields, const json_t *old, json_t *doc,
	      const char *api_version)
{
	return put_object(fields, NULL, NULL, old, doc, api_version);
}

static const struct arm_field *find(const struct arm_field *own, const struct arm_field *cases,
				    const char *key)
{
	const struct arm_field *const both[] = {own, cases};

	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		for (const struct arm_field *f = both[i]; f && f->name; f++)
			if (str_eq(f->name, key))
				return f;
	return NULL;
}

static int patch_object(const struct arm_field *own, const struct arm_field *cases, json_t *doc,
			const json_t *patch)
{
	json_t *from = (json_t *) (uintptr_t) patch, *value;
	const char *key;
	int r = 0;

	json_object_foreach(from, key, value)
	{
		const struct arm_field *f = find(own, cases, key);
		json_t *now = json_object_get(doc, key);

		if (json_is_null(value)) {
			(void) json_object_del(doc, key); /* absent is fine */
		} else if (f && f->type == ARM_OBJECT && json_is_object(now) && f->fields &&
			   !f->cases) {
			r = patch_object(f->fields, NULL, now, value);
		} else if (f && f->type == ARM_MAP && json_is_object(now)) {
			r = json_merge_patch(now, value);
		} else if (json_object_set_new(doc, key, json_deep_copy(value)) < 0) {
			r = -ENOMEM;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int merge_patch(const struct arm_field *fields, json_t *doc, const json_t *patch)
{
	return patch_object(fields, NULL, doc, patch);
}

static bool same_value(const struct arm_field *f, const json_t *a, const json_t *b);

/* Equal in what a client can set; what @b leaves out counts as unchanged. */
static bool same_object(const struct arm_field *own, const struct arm_field *cases, const json_t *a,
			const json_t *b)
{
	const struct arm_field *const both[] = {own, cases};

	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		for (const struct arm_field *f = both[i]; f && f->name; f++) {
			const json_t *x = json_object_get(a, f->name);
			const json_t *y = json_object_get(b, f->name);

			if ((f->flags & (ARM_READONLY | ARM_SECRET)) || !y)
				continue;
			if (!x || !same_value(f, x, y))
				return false;
		}
	return true;
}

static bool same_value(const struct arm_field *f, const json_t *a, const json_t *b)
{
	if (f->type == ARM_ARRAY) {
		struct arm_field item = *f;

		if (json_array_size(a) != json_array_size(b))
			return false;
		item.type = f->fields || f->cases ? ARM_OBJECT : f->item;
		for (size_t i = 0; i < json_array_size(b); i++)
			if (!same_value(&item, json_array_get(a, i), json_array_get(b, i)))
				return false;
		return true;
	}
	if (f->type == ARM_OBJECT && (f->fields || f->cases))
		return shape_case(f, a) == shape_case(f, b) &&
		       same_object(f->fields, shape_case(f, b), a, b);
	if ((f->flags & ARM_ID) && json_is_string(a) && json_is_string(b))
		return arm_id_eq(json_string_value(a), json_string_value(b));
	if (json_is_number(a) && json_is_number(b))
		return json_equal(a, b) || json_number_value(a) == json_number_value(b);
	return json_equal(a, b);
}

static int changed(const char *path, const char *name, struct err *err)
{
	(void) err_set(err, -EPERM, "Changing property '%s.%s' is not allowed.", path, name);
	err_target(err, "%s.%s", path, name);
	err_arm(err, "PropertyChangeNotAllowed");
	err_hint(err, "Leave it as it is, or delete the resource and make it anew.");
	return -EPERM;
}

static int immutable_object(const struct arm_field *fields, const json_t *seen, const json_t *doc,
			    const char *path, struct err *err)
{
	for (const struct arm_field *f = fields; f && f->name; f++) {
		const json_t *a = json_object_get(seen, f->name);
		const json_t *b = json_object_get(doc, f->name);
		auto_free char *below = NULL;
		int r;

		if (!b || (f->flags & ARM_READONLY))
			continue;
		if ((f->flags & ARM_IMMUTABLE) && (!a || !same_value(f, a, b)) &&
		    !(json_is_object(b) && json_object_size(b) == 0))
			return changed(path, f->name, err);
		if (f->type != ARM_OBJECT || !f->fields || !json_is_object(a))
			continue;
		below = strf("%s.%s", path, f->name);
		if (!below)
			return err_set(err, -ENOMEM, "out of memory");
		r = immutable_object(f->fields, a, b, below, err);
		if (r >= 0)
			r = immutable_object(shape_case(f, b), a, b, below, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int merge_immutable(const struct arm_field *fields, const json_t *seen, const json_t *doc,
		    const char *path, struct err *err)
{
	return immutable_object(fields, seen, doc, path, err);
}

static int drop_from(const struct arm_field *f, json_t *value)
{
	int r = 0;

	if (!f->fields && !f->cases)
		return 0;
	if (json_is_object(value)) {
		r = merge_drop_writeonly(f->fields, value);
		return r < 0 ? r : merge_drop_writeonly(shape_case(f, value), value);
	}
	for (size_t i = 0; json_is_array(value) && i < json_array_size(value) && r >= 0; i++) {
		json_t *item = json_array_get(value, i);

		r = merge_drop_writeonly(f->fields, item);
		if (r >= 0)
			r = merge_drop_writeonly(shape_case(f, item), item);
	}
	return r;
}

int merge_drop_writeonly(const struct arm_field *fields, json_t *doc)
{
	for (const struct arm_field *f = fields; f && f->name; f++) {
		json_t *v = json_object_get(doc, f->name);
		int r;

		if (v && (f->flags & ARM_WRITEONLY)) {
			(void) json_object_del(doc, f->name);
			continue;
		}
		r = v ? drop_from(f, v) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

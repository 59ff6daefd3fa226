/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/shape.h"

#include <regex.h>

#include "base/mem.h"
#include "base/timeutil.h"

#define SHOWN 80 /* bytes of a given value that a message repeats */

/* Where the check is: the path grows and shrinks as it walks. */
struct at {
	const struct shape_context *ctx;
	struct buf path;
	struct err *err;
};

static const char *type_name(enum arm_json t)
{
	static const char *const names[] = {
		[ARM_STRING] = "a string",    [ARM_INT] = "an integer",
		[ARM_BOOL] = "true or false", [ARM_OBJECT] = "an object",
		[ARM_ARRAY] = "an array",     [ARM_MAP] = "an object of strings",
		[ARM_ANY] = "a value",        [ARM_DATE] = "an ISO 8601 date and time",
		[ARM_NUMBER] = "a number",
	};

	return names[t];
}

static const char *given_name(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a real number";
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	default:
		return "null";
	}
}

static int fail(struct at *at, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct at *at, const char *code, const char *fmt, ...)
{
	auto_free char *what = NULL;
	va_list ap;

	if (buf_err(&at->path) < 0)
		return err_set(at->err, -ENOMEM, "out of memory");
	va_start(ap, fmt);
	what = vstrf(fmt, ap);
	va_end(ap);
	(void) err_set(at->err, -EINVAL, "\"%s\": %s", buf_str(&at->path), what ? what : code);
	err_target(at->err, "%s", buf_str(&at->path));
	err_arm(at->err, code);
	return -EINVAL;
}

static int no_memory(struct at *at)
{
	return err_set(at->err, -ENOMEM, "out of memory");
}

static size_t enter(struct at *at, const char *name)
{
	size_t len = at->path.len;

	(void) buf_addf(&at->path, "%s%.200s", len > 0 ? "." : "", name);
	return len;
}

static size_t enter_item(struct at *at, size_t i)
{
	size_t len = at->path.len;

	(void) buf_addf(&at->path, "[%zu]", i);
	return len;
}

static void leave(struct at *at, size_t len)
{
	if (at->path.data && buf_err(&at->path) == 0) {
		at->path.len = len;
		at->path.data[len] = '\0';
	}
}

static size_t code_points(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char) *s & 0xc0) != 0x80;
	return n;
}

/* 0 = matches whole, 1 = does not, or -ENOMEM, -EINVAL (a table's pattern is wrong). */
static int match(const char *pattern, const char *s)
{
	auto_free char *anchored = strf("^(%s)$", pattern);
	regmatch_t m[1];
	regex_t re;
	int r;

	if (!anchored)
		return -ENOMEM;
	r = regcomp(&re, anchored, REG_EXTENDED);
	if (r != 0)
		return r == REG_ESPACE ? -ENOMEM : -EINVAL;
	r = regexec(&re, s, 1, m, 0);
	regfree(&re);
	if (r == REG_ESPACE)
		return -ENOMEM;
	return r == 0 && m[0].rm_so == 0 && (size_t) m[0].rm_eo == strlen(s) ? 0 : 1;
}

static char *join_values(const char *const *values)
{
	struct buf b = BUF_INIT(4096);

	for (size_t i = 0; values[i]; i++)
		(void) buf_addf(&b, "%s\"%s\"", i > 0 ? ", " : "", values[i]);
	return buf_take(&b);
}

/* The table's spelling of @s, or NULL. */
static const char *allowed(const struct arm_field *f, const char *s, bool strict)
{
	for (size_t i = 0; f->values[i]; i++)
		if (strict ? str_eq(f->values[i], s) : str_eq_nocase(f->values[i], s))
			return f->values[i];
	return NULL;
}

static int check_location(struct at *at, const char *s, json_t **ret)
{
	auto_free char *norm = location_normalize(s), *list = NULL;
	const char *const *known = at->ctx->locations;
	size_t i = 0;

	if (!norm)
		return no_memory(at);
	while (known && known[i] && !str_eq(known[i], norm))
		i++;
	if (known && !known[i]) {
		list = join_values(known);
		return fail(at, "LocationNotAvailableForResourceType",
			    "\"%.*s\" is given, which is no region here; expected one of %s", SHOWN,
			    s, list ? list : "the configured regions");
	}
	*ret = json_string(norm);
	return *ret ? 0 : no_memory(at);
}

static int check_id(struct at *at, const char *s, json_t **ret)
{
	auto_arm_id struct arm_id id = {0};
	size_t n = strlen(s);
	int r = arm_id_parse(s, &id, NULL);

	if (r == -ENOMEM)
		return no_memory(at);
	if (r < 0 || !id.name)
		return fail(at, "LinkedInvalidPropertyId",
			    "\"%.*s\" is given, a resource id is expected that begins with "
			    "/subscriptions/{subscriptionId}/ or /providers/{namespace}/",
			    SHOWN, s);
	*ret = json_stringn(s, s[n - 1] == '/' ? n - 1 : n);
	return *ret ? 0 : no_memory(at);
}

static int check_text_rules(struct at *at, const struct arm_field *f, const char *s)
{
	int r;

	if (!f->pattern)
		return 0;
	if (strlen(s) > SHAPE_PATTERN_MAX)
		return fail(at, "InvalidParameter", "%zu bytes are given, at most %d are accepted",
			    strlen(s), SHAPE_PATTERN_MAX);
	r = match(f->pattern, s);
	if (r == 1)
		return fail(at, "InvalidParameter",
			    "\"%.*s\" is given, text that matches %s is expected", SHOWN, s,
			    f->pattern);
	return r < 0 ? err_set(at->err, r, "pattern %s cannot be used", f->pattern) : 0;
}

static int check_bounds(struct at *at, const struct arm_field *f, int64_t n, const char *of)
{
	if (f->min == 0 && f->max == 0)
		return 0;
	if (n < f->min)
		return fail(at, "InvalidParameter", "%lld%s given, at least %lld expected",
			    (long long) n, of, (long long) f->min);
	if (f->max != 0 && n > f->max)
		return fail(at, "InvalidParameter", "%lld%s given, at most %lld expected",
			    (long long) n, of, (long long) f->max);
	return 0;
}

static int check_string(struct at *at, const struct arm_field *f, const json_t *in, bool bounded,
			json_t **ret)
{
	const char *s = json_string_value(in);
	auto_free char *list = NULL;
	int r = 0;

	if (f->values) {
		const char *v = allowed(f, s, at->ctx->strict);

		if (!v) {
			list = join_values(f->values);
			return fail(at, "InvalidParameter", "\"%.*s\" is given, expected one of %s",
				    SHOWN, s, list ? list : "the allowed values");
		}
		*ret = json_string(v);
		return *ret ? 0 : no_memory(at);
	}
	if (bounded)
		r = check_bounds(at, f, (int64_t) code_points(s), " characters are");
	if (r >= 0)
		r = check_text_rules(at, f, s);
	if (r < 0)
		return r;
	if (f->flags & ARM_LOCATION)
		return check_location(at, s, ret);
	if (f->flags & ARM_ID)
		return check_id(at, s, ret);
	*ret = json_string(s);
	return *ret ? 0 : no_memory(at);
}

static int wrong_type(struct at *at, enum arm_json want, const json_t *in)
{
	return fail(at, "InvalidParameter", "%s is given, %s is expected", given_name(in),
		    type_name(want));
}

static bool json_is(const json_t *in, enum arm_json want)
{
	switch (want) {
	case ARM_STRING:
	case ARM_DATE:
		return json_is_string(in);
	case ARM_INT:
		return json_is_integer(in);
	case ARM_NUMBER:
		return json_is_number(in);
	case ARM_BOOL:
		return json_is_boolean(in);
	case ARM_OBJECT:
	case ARM_MAP:
		return json_is_object(in);
	case ARM_ARRAY:
		return json_is_array(in);
	case ARM_ANY:
		return true;
	}
	return false;
}

static int check_object(struct at *at, const struct arm_field *own, const struct arm_field *cases,
			const char *tag, const json_t *in, json_t **ret);
static int check_poly(struct at *at, const struct arm_field *f, const json_t *in, json_t **ret);

/* One scalar; @bounded: min and max are its own, not its array's. */
static int check_scalar(struct at *at, const struct arm_field *f, enum arm_json want, bool bounded,
			const json_t *in, json_t **ret)
{
	int64_t us;
	int r = 0;

	if (!json_is(in, want))
		return wrong_type(at, want, in);
	if (want == ARM_STRING)
		return check_string(at, f, in, bounded, ret);
	if (want == ARM_DATE && time_parse_iso(json_string_value(in), &us) < 0)
		return fail(at, "InvalidParameter", "\"%.*s\" is given, %s is expected", SHOWN,
			    json_string_value(in), type_name(want));
	if (want == ARM_INT && bounded)
		r = check_bounds(at, f, json_integer_value(in), " is");
	if (want == ARM_NUMBER && bounded && (f->min != 0 || f->max != 0) &&
	    (json_number_value(in) < (double) f->min ||
	     (f->max != 0 && json_number_value(in) > (double) f->max)))
		r = fail(at, "InvalidParameter", "%g is given, %lld to %lld expected",
			 json_number_value(in), (long long) f->min, (long long) f->max);
	if (r < 0)
		return r;
	*ret = json_deep_copy(in);
	return *ret ? 0 : no_memory(at);
}

static int check_map(struct at *at, const struct arm_field *f, const json_t *in, json_t **ret)
{
	auto_json json_t *out = json_object();
	json_t *from = (json_t *) (uintptr_t) in, *value;
	const char *key;
	int r = check_bounds(at, f, (int64_t) json_object_size(in), " entries are");

	if (!out)
		return no_memory(at);
	if (r < 0)
		return r;
	json_object_foreach(from, key, value)
	{
		size_t mark = enter(at, key);

		if (json_is_null(value) && at->ctx->patch)
			r = 0;
		else if (!json_is_string(value))
			r = wrong_type(at, ARM_STRING, value);
		if (r >= 0 && json_object_set(out, key, value) < 0)
			r = no_memory(at);
		if (r < 0)
			return r;
		leave(at, mark);
	}
	*ret = take_ptr(out);
	return 0;
}

static int check_array(struct at *at, const struct arm_field *f, const json_t *in, json_t **ret)
{
	auto_json json_t *out = json_array();
	int r = check_bounds(at, f, (int64_t) json_array_size(in), " items are");

	if (!out)
		return no_memory(at);
	for (size_t i = 0; i < json_array_size(in) && r >= 0; i++) {
		const json_t *v = json_array_get(in, i);
		size_t mark = enter_item(at, i);
		json_t *item = NULL;

		if (f->fields || f->cases)
			r = check_poly(at, f, v, &item);
		else
			r = check_scalar(at, f, f->item, false, v, &item);
		if (r >= 0 && json_array_append_new(out, item) < 0)
			r = no_memory(at);
		if (r >= 0)
			leave(at, mark);
	}
	if (r < 0)
		return r;
	*ret = take_ptr(out);
	return 0;
}

static int check_value(struct at *at, const struct arm_field *f, const json_t *in, json_t **ret)
{
	if (f->type != ARM_ANY && !json_is(in, f->type))
		return wrong_type(at, f->type, in);
	switch (f->type) {
	case ARM_OBJECT:
		if (f->fields || f->cases)
			return check_poly(at, f, in, ret);
		*ret = json_deep_copy(in);
		return *ret ? 0 : no_memory(at);
	case ARM_ARRAY:
		return check_array(at, f, in, ret);
	case ARM_MAP:
		return check_map(at, f, in, ret);
	case ARM_ANY:
		*ret = json_deep_copy(in);
		return *ret ? 0 : no_memory(at);
	default:
		return check_scalar(at, f, f->type, true, in, ret);
	}
}

static const struct arm_case *find_case(const struct arm_field *f, const char *value, bool strict)
{
	for (const struct arm_case *c = f->cases; value && c->value; c++)
		if (strict ? str_eq(c->value, value) : str_eq_nocase(c->value, value))
			return c;
	return NULL;
}

const struct arm_field *shape_case(const struct arm_field *f, const json_t *obj)
{
	const struct arm_case *c =
		f->cases ? find_case(f, json_string_value(json_object_get(obj, f->tag)), false)
			 : NULL;

	return c ? c->fields : NULL;
}

static int bad_case(struct at *at, const struct arm_field *f, const json_t *tag)
{
	struct buf list = BUF_INIT(2048);
	const char *code = f->bad_case_code ? f->bad_case_code : "InvalidParameter";
	auto_free char *names = NULL;
	size_t mark = enter(at, f->tag);
	int r;

	for (const struct arm_case *c = f->cases; c->value; c++)
		(void) buf_addf(&list, "%s\"%s\"", list.len > 0 ? ", " : "", c->value);
	names = buf_take(&list);
	if (json_is_string(tag))
		r = fail(at, code, "\"%.*s\" is given, expected one of %s", SHOWN,
			 json_string_value(tag), names ? names : "the known ones");
	else
		r = fail(at, code, "%s, expected one of %s",
			 tag ? "it is no string" : "it is missing",
			 names ? names : "the known ones");
	leave(at, mark);
	return r;
}

/* An object whose further fields depend on its discriminator. The tag itself is no field of the
 * tables: it is put into the result here. */
static int check_poly(struct at *at, const struct arm_field *f, const json_t *in, json_t **ret)
{
	const struct arm_case *c = NULL;
	const json_t *tag = NULL;
	int r;

	if (!json_is_object(in))
		return wrong_type(at, ARM_OBJECT, in);
	if (f->cases) {
		tag = json_object_get(in, f->tag);
		if (!tag && !at->ctx->strict)
			tag = json_get_nocase(in, f->tag);
		c = find_case(f, json_string_value(tag), at->ctx->strict);
		if (!c)
			return bad_case(at, f, tag);
	}
	r = check_object(at, f->fields, c ? c->fields : NULL, c ? f->tag : NULL, in, ret);
	if (r >= 0 && c && json_object_set_new(*ret, f->tag, json_string(c->value)) < 0) {
		json_decref(*ret);
		*ret = NULL;
		return no_memory(at);
	}
	return r;
}

static const struct arm_field *find_field(const struct arm_field *fields, const char *key,
					  bool strict)
{
	for (const struct arm_field *f = fields; f && f->name; f++)
		if (strict ? str_eq(f->name, key) : str_eq_nocase(f->name, key))
			return f;
	return NULL;
}

static const struct arm_field *find_any(const struct at *at, const struct arm_field *own,
					const struct arm_field *cases, const char *key, bool strict)
{
	const struct arm_field *f = find_field(own, key, strict);

	if (!f)
		f = find_field(cases, key, strict);
	if (f && f->since && version_before(at->ctx->api_version, f->since))
		return NULL;
	return f;
}

static int unknown_field(struct at *at, const struct arm_field *own, const struct arm_field *cases,
			 const char *key)
{
	const struct arm_field *f = find_any(at, own, cases, key, false);
	size_t mark = enter(at, key);
	int r;

	if (f)
		r = fail(at, "InvalidParameter", "no such field; it is written \"%s\"", f->name);
	else
		r = fail(at, "InvalidParameter", "api-version %s knows no such field",
			 at->ctx->api_version);
	leave(at, mark);
	return r;
}

/* One member that the tables know. */
static int take_member(struct at *at, const struct arm_field *f, const json_t *value, json_t *out)
{
	size_t mark = enter(at, f->name);
	json_t *v = NULL;
	int r;

	if (f->flags & ARM_READONLY) {
		leave(at, mark);
		return 0;
	}
	if (json_object_get(out, f->name))
		return fail(at, "InvalidRequestContent", "it is given twice, in different case");
	if (json_is_null(value)) {
		if (at->ctx->patch && (f->flags & ARM_REQUIRED))
			return fail(at, "InvalidParameter", "it is required and cannot be removed");
		if (!at->ctx->patch && !(f->flags & ARM_NULLABLE))
			return wrong_type(at, f->type, value);
		if (at->ctx->patch && json_object_set_new(out, f->name, json_null()) < 0)
			return no_memory(at);
		leave(at, mark);
		return 0;
	}
	r = check_value(at, f, value, &v);
	if (r < 0)
		return r;
	if (json_object_set_new(out, f->name, v) < 0)
		return no_memory(at);
	leave(at, mark);
	return 0;
}

static int check_required(struct at *at, const struct arm_field *fields, const json_t *out)
{
	for (const struct arm_field *f = fields; f && f->name; f++) {
		if (!(f->flags & ARM_REQUIRED) || (f->flags & ARM_READONLY) ||
		    json_object_get(out, f->name))
			continue;
		if (f->since && version_before(at->ctx->api_version, f->since))
			continue;
		(void) enter(at, f->name);
		return fail(at, "InvalidParameter", "it is missing; %s is required",
			    type_name(f->type));
	}
	return 0;
}

/* @tag: the discriminator, which its caller has checked; NULL = there is none. */
static int check_object(struct at *at, const struct arm_field *own, const struct arm_field *cases,
			const char *tag, const json_t *in, json_t **ret)
{
	auto_json json_t *out = json_object();
	json_t *from = (json_t *) (uintptr_t) in, *value;
	const char *key;
	int r = 0;

	if (!out)
		return no_memory(at);
	if (!json_is_object(in))
		return wrong_type(at, ARM_OBJECT, in);
	json_object_foreach(from, key, value)
	{
		const struct arm_field *f = find_any(at, own, cases, key, at->ctx->strict);

		if (f)
			r = take_member(at, f, value, out);
		else if (at->ctx->strict && !str_eq(tag, key))
			r = unknown_field(at, own, cases, key);
		if (r < 0)
			return r;
	}
	/* A patch may leave out at the levels that merge, not inside a new array item; the merged
	 * document is checked as a whole afterwards. */
	if (!at->ctx->patch) {
		r = check_required(at, own, out);
		if (r >= 0)
			r = check_required(at, cases, out);
		if (r < 0)
			return r;
	}
	*ret = take_ptr(out);
	return 0;
}

int shape_check(const struct arm_field *fields, const json_t *in, const char *path,
		const struct shape_context *ctx, json_t **ret, struct err *err)
{
	struct at at = {.ctx = ctx, .path = BUF_INIT(8192), .err = err};
	int r;

	(void) buf_addstr(&at.path, path);
	r = check_object(&at, fields, NULL, NULL, in, ret);
	buf_done(&at.path);
	return r;
}

bool version_before(const char *a, const char *b)
{
	int c = strncmp(a, b, 10);

	if (c != 0 || strlen(a) < 10 || strlen(b) < 10)
		return c < 0;
	return a[10] != '\0' && b[10] == '\0';
}

static int view_value(const struct arm_field *f, json_t *value, const char *api_version);

int shape_view(const struct arm_field *fields, json_t *doc, const char *api_version)
{
	for (const struct arm_field *f = fields; f && f->name; f++) {
		json_t *v = json_object_get(doc, f->name);
		int r;

		if (!v)
			continue;
		if ((f->flags & (ARM_SECRET | ARM_WRITEONLY)) ||
		    (f->since && version_before(api_version, f->since))) {
			(void) json_object_del(doc, f->name);
			continue;
		}
		r = view_value(f, v, api_version);
		if (r < 0)
			return r;
	}
	return 0;
}

static int view_value(const struct arm_field *f, json_t *value, const char *api_version)
{
	int r = 0;

	if (json_is_object(value) && (f->fields || f->cases)) {
		r = shape_view(f->fields, value, api_version);
		if (r >= 0)
			r = shape_view(shape_case(f, value), value, api_version);
	}
	for (size_t i = 0; json_is_array(value) && i < json_array_size(value) && r >= 0; i++) {
		json_t *item = json_array_get(value, i);

		if (json_is_object(item) && (f->fields || f->cases)) {
			r = shape_view(f->fields, item, api_version);
			if (r >= 0)
				r = shape_view(shape_case(f, item), item, api_version);
		}
	}
	return r;
}

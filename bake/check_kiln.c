/* SPDX-License-Identifier: Apache-2.0 */
/* properties.kiln: kiln's own additions. A setting that would silently not apply is worse than
 * none, so unknown members are refused in every api-version. */
#include <ctype.h>

#include "bake/executor.h"
#include "bake/template.h"
#include "base/mem.h"

static const char *const kiln_fields[] = {"executor", "validateIn",  "network",   "refresh",
					  "replace",  "environment", "resources", NULL};

/* "apt", or "HOST:PORT" where HOST may begin with "*." */
static bool allow_ok(const char *s)
{
	const char *colon, *p;
	char *end;
	unsigned long port;

	if (!s)
		return false;
	if (str_eq(s, "apt"))
		return true;
	colon = strrchr(s, ':');
	if (!colon || colon == s || colon - s > 253 || !isdigit((unsigned char) colon[1]))
		return false;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port == 0 || port > 65535)
		return false;
	p = str_starts(s, "*.") ? s + 2 : s;
	for (; p < colon; p++) {
		if (!isalnum((unsigned char) *p) && !strchr("-.", *p))
			return false;
	}
	return true;
}

static int check_choice(const json_t *k, const char *where, const char *key,
			const char *const *values, struct err *err)
{
	const json_t *v = json_object_get(k, key);
	auto_buf struct buf list = BUF_INIT(256);
	char field[64];

	if (!v)
		return 0;
	for (size_t i = 0; values[i]; i++) {
		if (str_eq(values[i], json_string_value(v)))
			return 0;
		buf_addf(&list, "%s\"%s\"", i ? " or " : "", values[i]);
	}
	snprintf(field, sizeof(field), "%s.%s", where, key);
	return template_field_error(err, NULL, field, "expected %s", buf_str(&list));
}

static int check_network(const json_t *net, struct err *err)
{
	static const char *const known[] = {"allow", "steps", "archive", NULL};
	static const char *const follow[] = {"follow", "ignore", NULL};
	const json_t *allow = json_object_get(net, "allow"), *steps, *v;
	char field[64];
	size_t i;
	int r;

	if (!json_is_object(net))
		return template_field_error(err, NULL, "properties.kiln.network",
					    "expected an object");
	r = check_known(net, known, "properties.kiln.network", err);
	if (r < 0)
		return r;
	if (!json_is_array(allow) || json_array_size(allow) > 100)
		return template_field_error(err, NULL, "properties.kiln.network.allow",
					    "expected an array of at most 100 entries");
	json_array_foreach(allow, i, v)
	{
		snprintf(field, sizeof(field), "properties.kiln.network.allow[%zu]", i);
		if (!allow_ok(json_string_value(v)))
			return template_field_error(err, NULL, field,
						    "expected \"apt\" (the image's own package "
						    "archives), \"HOST:PORT\" or "
						    "\"*.DOMAIN:PORT\"");
	}
	steps = json_object_get(net, "steps");
	if (steps && !json_is_array(steps))
		return template_field_error(err, NULL, "properties.kiln.network.steps",
					    "expected an array of step names");
	return check_choice(net, "properties.kiln.network", "archive", follow, err);
}

static int check_environment(const json_t *env, struct err *err)
{
	const char *key;
	json_t *v;

	if (!json_is_object(env) || json_object_size(env) > TEMPLATE_MAX_ENV)
		return template_field_error(err, NULL, "properties.kiln.environment",
					    "expected an object of at most %u texts",
					    TEMPLATE_MAX_ENV);
	json_object_foreach((json_t *) env, key, v)
	{
		char field[160];

		snprintf(field, sizeof(field), "properties.kiln.environment.%.64s", key);
		if (!isalpha((unsigned char) *key) && *key != '_')
			return template_field_error(err, NULL, field, "this is no variable's name");
		for (const char *p = key; *p; p++) {
			if (!isalnum((unsigned char) *p) && *p != '_')
				return template_field_error(err, NULL, field,
							    "this is no variable's name");
		}
		if (!json_is_string(v) || json_string_length(v) > 4096)
			return template_field_error(err, NULL, field,
						    "expected a text of at most 4096 bytes");
	}
	return 0;
}

static int check_resources(const json_t *res, struct err *err)
{
	static const struct {
		const char *name;
		json_int_t min, max;
	} fields[] = {
		{"cpus", 1, 4096},
		{"memoryMegabytes", 256, 1 << 30},
		{"diskGigabytes", 1, 1 << 20},
	};
	static const char *const known[] = {"cpus", "memoryMegabytes", "diskGigabytes", NULL};
	int r;

	if (!json_is_object(res))
		return template_field_error(err, NULL, "properties.kiln.resources",
					    "expected an object");
	r = check_known(res, known, "properties.kiln.resources", err);
	for (size_t i = 0; i < ARRAY_SIZE(fields) && r == 0; i++) {
		const json_t *v = json_object_get(res, fields[i].name);
		char field[64];

		snprintf(field, sizeof(field), "properties.kiln.resources.%s", fields[i].name);
		if (v && (!json_is_integer(v) || json_integer_value(v) < fields[i].min ||
			  json_integer_value(v) > fields[i].max))
			r = template_field_error(
				err, NULL, field, "expected a whole number of %lld to %lld",
				(long long) fields[i].min, (long long) fields[i].max);
	}
	return r;
}

int check_kiln(const json_t *k, struct err *err)
{
	static const char *const places[] = {"vm", "container", NULL};
	static const char *const executors[] = {"auto", "container", "vm", NULL};
	const json_t *v = json_object_get(k, "refresh");
	int r = check_known(k, kiln_fields, "properties.kiln", err);

	if (r == 0)
		r = check_choice(k, "properties.kiln", "executor", executors, err);
	if (r == 0)
		r = check_choice(k, "properties.kiln", "validateIn", places, err);
	if (r == 0 && v && (!json_is_string(v) || json_string_length(v) > 128))
		r = template_field_error(err, NULL, "properties.kiln.refresh",
					 "expected a text of at most 128 bytes");
	if (r == 0 && json_object_get(k, "replace") &&
	    !json_is_boolean(json_object_get(k, "replace")))
		r = template_field_error(err, NULL, "properties.kiln.replace",
					 "expected true or false");
	if (r == 0 && json_object_get(k, "resources"))
		r = check_resources(json_object_get(k, "resources"), err);
	if (r == 0 && json_object_get(k, "network"))
		r = check_network(json_object_get(k, "network"), err);
	if (r == 0 && json_object_get(k, "environment"))
		r = check_environment(json_object_get(k, "environment"), err);
	return r;
}

int check_versions(const struct template *t, const char *api_version, struct err *err)
{
	if (!api_version)
		return 0;
	for (size_t i = 0; i < t->n_checks; i++) {
		auto_free char *field = NULL;

		if (strcmp(api_version, "2022-07-01") >= 0 ||
		    !str_eq(json_string_value(json_object_get(t->checks[i].def, "type")), "File"))
			continue;
		field = strf("%s.type", t->checks[i].field);
		return template_field_error(err, "UnsupportedValidatorType",
					    field ?: t->checks[i].field,
					    "File validators are known from api-version "
					    "2022-07-01 on");
	}
	return 0;
}

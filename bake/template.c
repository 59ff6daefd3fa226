/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>

#include "bake/bake.h"
#include "bake/executor.h"
#include "bake/steps.h"
#include "bake/template.h"
#include "base/mem.h"

int template_field_error(struct err *err, const char *code, const char *field, const char *fmt, ...)
{
	auto_buf struct buf b = BUF_INIT(4096);
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	err_set(err, -EINVAL, "%s: %s", field, buf_str(&b));
	err_target(err, "%s", field);
	err_arm(err, code ? code : "InvalidParameter");
	return -EINVAL;
}

void template_done(struct template *t)
{
	for (size_t i = 0; i < t->n_steps; i++) {
		free(t->steps[i].name);
		free(t->steps[i].field);
	}
	for (size_t i = 0; i < t->n_checks; i++) {
		free(t->checks[i].name);
		free(t->checks[i].field);
	}
	free(t->steps);
	free(t->checks);
	json_decref(t->doc);
	*t = (struct template){0};
}

/* An optional object member; NULL when absent or null, -EINVAL for another type. */
static int member_object(const json_t *obj, const char *key, const char *field, const json_t **ret,
			 struct err *err)
{
	json_t *v = json_object_get(obj, key);

	*ret = NULL;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_object(v))
		return template_field_error(err, NULL, field, "expected an object");
	*ret = v;
	return 0;
}

static int member_bool(const json_t *obj, const char *key, const char *field, bool *ret,
		       struct err *err)
{
	json_t *v = json_object_get(obj, key);

	*ret = false;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_boolean(v))
		return template_field_error(err, NULL, field, "expected true or false");
	*ret = json_is_true(v);
	return 0;
}

static int member_int(const json_t *obj, const char *key, const char *field, int64_t max,
		      int64_t *ret, struct err *err)
{
	json_t *v = json_object_get(obj, key);

	*ret = 0;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return template_field_error(err, NULL, field,
					    "expected a whole number from 0 to %" PRId64, max);
	*ret = json_integer_value(v);
	return 0;
}

/* "shell-3" for the third entry; a digit is added should somebody have given that name. */
static char *default_name(const char *kind, size_t index)
{
	char *name = strf("%s-%zu", kind, index + 1);

	for (char *p = name; p && *p; p++)
		*p = (char) tolower((unsigned char) *p);
	return name;
}

static int step_kind_of(const json_t *def, bool validator, const char *field,
			const struct step_kind **ret, struct err *err)
{
	unsigned flag = validator ? STEP_VALIDATOR : STEP_CUSTOMIZER;
	const char *type = json_string_value(json_object_get(def, "type"));
	auto_free char *type_field = strf("%s.type", field);
	char names[256];

	if (!type_field)
		return -ENOMEM;
	step_kind_names(flag, names, sizeof(names));
	if (!type)
		return template_field_error(err,
					    validator ? "BadValidatorType" : "BadCustomizerType",
					    type_field, "expected one of %s", names);
	*ret = step_kind_find(type);
	if (!*ret)
		return template_field_error(
			err, validator ? "BadValidatorType" : "BadCustomizerType", type_field,
			"\"%.64s\" is unknown; expected one of %s", type, names);
	if (!((*ret)->flags & flag))
		return template_field_error(
			err, "UnsupportedValidatorType", type_field,
			"a %s step changes the image, which a validator cannot; expected one of %s",
			type, names);
	return 0;
}

static int step_parse(const json_t *def, size_t index, bool validator, struct template_step *ret,
		      struct err *err)
{
	json_t *name = json_object_get(def, "name");
	auto_free char *name_field = NULL;
	int r;

	ret->field = strf("properties.%s[%zu]",
			  validator ? "validate.inVMValidations" : "customize", index);
	if (!ret->field)
		return -ENOMEM;
	if (!json_is_object(def))
		return template_field_error(err, NULL, ret->field, "expected an object");
	r = step_kind_of(def, validator, ret->field, &ret->kind, err);
	if (r < 0)
		return r;
	name_field = strf("%s.name", ret->field);
	if (!name_field)
		return -ENOMEM;
	if (name && !json_is_null(name) && *(json_string_value(name) ?: "x")) {
		r = check_label(name, name_field, err);
		if (r < 0)
			return r;
		ret->name = strf("%s", json_string_value(name));
	} else {
		ret->name = default_name(ret->kind->name, index);
	}
	if (!ret->name)
		return -ENOMEM;
	ret->def = def;
	return ret->kind->check(def, ret->field, validator, err);
}

/* Names select steps on the command line, so they are unique without case. */
static int names_unique(const struct template_step *s, size_t n, struct err *err)
{
	auto_json json_t *seen = json_object();

	if (!seen)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		auto_free char *key = str_lower(s[i].name);
		auto_free char *field = strf("%s.name", s[i].field);
		json_t *old;

		if (!key || !field)
			return -ENOMEM;
		old = json_object_get(seen, key);
		if (old)
			return template_field_error(err, NULL, field,
						    "\"%s\" is also the name of %s", s[i].name,
						    json_string_value(old));
		if (json_object_set_new(seen, key, json_string(s[i].field)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int steps_parse(const json_t *list, bool validator, struct template_step **ret,
		       size_t *ret_n, struct err *err)
{
	const char *field =
		validator ? "properties.validate.inVMValidations" : "properties.customize";
	size_t n = json_array_size(list);
	int r;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return template_field_error(err, NULL, field, "expected an array");
	if (n > TEMPLATE_MAX_STEPS)
		return template_field_error(err, NULL, field, "%zu entries; at most %u", n,
					    TEMPLATE_MAX_STEPS);
	*ret = calloc(n + 1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	*ret_n = n; /* template_done() releases half-made ones too */
	for (size_t i = 0; i < n; i++) {
		r = step_parse(json_array_get(list, i), i, validator, &(*ret)[i], err);
		if (r < 0)
			return r;
	}
	return names_unique(*ret, n, err);
}

static int parse_validate(const json_t *props, struct template *t, struct err *err)
{
	const json_t *v;
	int r = member_object(props, "validate", "properties.validate", &v, err);

	if (r < 0 || !v)
		return r;
	t->has_validate = true;
	r = member_bool(v, "continueDistributeOnFailure",
			"properties.validate.continueDistributeOnFailure", &t->continue_distribute,
			err);
	if (r == 0)
		r = member_bool(v, "sourceValidationOnly",
				"properties.validate.sourceValidationOnly", &t->source_only, err);
	if (r == 0)
		r = steps_parse(json_object_get(v, "inVMValidations"), true, &t->checks,
				&t->n_checks, err);
	return r;
}

static int on_error_value(const json_t *obj, const char *key, bool *ret_keep, struct err *err)
{
	json_t *v = json_object_get(obj, key);
	const char *s = json_string_value(v);
	char field[96];

	if (!v || json_is_null(v) || str_eq(s, "cleanup"))
		return 0;
	if (str_eq(s, "abort")) {
		*ret_keep = true;
		return 0;
	}
	snprintf(field, sizeof(field), "properties.errorHandling.%s", key);
	return template_field_error(err, NULL, field, "expected \"cleanup\" or \"abort\"");
}

static int parse_error_handling(const json_t *props, struct template *t, struct err *err)
{
	const json_t *v;
	int r = member_object(props, "errorHandling", "properties.errorHandling", &v, err);

	if (r < 0 || !v)
		return r;
	r = on_error_value(v, "onCustomizerError", &t->keep_failed_step, err);
	if (r == 0)
		r = on_error_value(v, "onValidationError", &t->keep_failed_check, err);
	return r;
}

/* Image Builder's wish for faster boots: a boot profile. */
static int parse_optimize(const json_t *props, struct template *t, struct err *err)
{
	const json_t *o, *boot = NULL;
	const char *state;
	int r = member_object(props, "optimize", "properties.optimize", &o, err);

	if (r == 0 && o)
		r = member_object(o, "vmBoot", "properties.optimize.vmBoot", &boot, err);
	if (r < 0 || !boot)
		return r;
	state = json_string_value(json_object_get(boot, "state"));
	t->optimize_boot = str_eq(state, "Enabled");
	if (!state || t->optimize_boot || str_eq(state, "Disabled"))
		return 0;
	return template_field_error(err, NULL, "properties.optimize.vmBoot.state",
				    "\"%.20s\" is neither Enabled nor Disabled", state);
}

static int parse_limits(const json_t *props, struct template *t, struct err *err)
{
	const json_t *vm;
	int64_t v;
	int r;

	r = member_int(props, "buildTimeoutInMinutes", "properties.buildTimeoutInMinutes",
		       TEMPLATE_MAX_TIMEOUT, &v, err);
	if (r < 0)
		return r;
	t->timeout_s = (uint64_t) (v ? v : TEMPLATE_TIMEOUT) * 60;
	r = member_object(props, "vmProfile", "properties.vmProfile", &vm, err);
	if (r < 0 || !vm)
		return r;
	r = member_int(vm, "osDiskSizeGB", "properties.vmProfile.osDiskSizeGB",
		       TEMPLATE_MAX_DISK_GB, &v, err);
	if (r < 0)
		return r;
	t->disk_bytes = (uint64_t) v << 30;
	return 0;
}

static bool allows_apt(const struct template *t)
{
	json_t *v;
	size_t i;

	json_array_foreach(t->allow, i, v)
	{
		if (str_eq(json_string_value(v), "apt"))
			return true;
	}
	return false;
}

static void mark_archive(struct template *t, const json_t *net)
{
	bool any = false;

	for (size_t i = 0; i < t->n_steps; i++)
		any |= t->steps[i].network;
	t->follow_archive = any && allows_apt(t) && !str_eq(json_str_at(net, "archive"), "ignore");
}

/* Which steps may use the network: all that run commands, or those that are listed. */
static int mark_network(struct template *t, const json_t *net, struct err *err)
{
	const json_t *list = json_object_get(net, "steps");
	json_t *v;
	size_t i, at;
	int r;

	if (!net)
		return 0;
	t->allow = json_object_get(net, "allow");
	if (json_array_size(t->allow) == 0)
		return 0;
	for (i = 0; !list && i < t->n_steps; i++)
		t->steps[i].network = t->steps[i].kind->flags & STEP_NETWORK;
	json_array_foreach(list, i, v)
	{
		struct err why = ERR_INIT;
		char field[64];

		snprintf(field, sizeof(field), "properties.kiln.network.steps[%zu]", i);
		r = template_find_step(t, json_string_value(v) ?: "", &at, &why);
		if (r < 0) {
			r = template_field_error(err, NULL, field, "%s", err_str(&why));
			err_done(&why);
			return r;
		}
		if (!(t->steps[at].kind->flags & STEP_NETWORK))
			return template_field_error(err, NULL, field,
						    "a %s step runs no command that could use it",
						    t->steps[at].kind->name);
		t->steps[at].network = true;
	}
	return 0;
}

static int parse_kiln(const json_t *props, struct template *t, struct err *err)
{
	const json_t *k;
	int r = member_object(props, "kiln", "properties.kiln", &k, err);

	t->executor = "auto";
	t->memory_bytes = (uint64_t) BAKE_MEMORY_MIB << 20;
	if (r < 0 || !k)
		return r;
	r = check_kiln(k, err);
	if (r < 0)
		return r;
	if (json_object_get(k, "executor"))
		t->executor = json_string_value(json_object_get(k, "executor"));
	t->check_in_container =
		str_eq(json_string_value(json_object_get(k, "validateIn")), "container");
	t->refresh = json_object_get(k, "refresh");
	t->environment = json_object_get(k, "environment");
	t->memory_bytes = (uint64_t) json_int_at(k, "resources.memoryMegabytes", BAKE_MEMORY_MIB)
			  << 20;
	r = mark_network(t, json_object_get(k, "network"), err);
	if (r == 0)
		mark_archive(t, json_object_get(k, "network"));
	return r;
}

static int parse_properties(const json_t *props, struct template *t, struct err *err)
{
	int r;

	t->source = json_object_get(props, "source");
	t->distribute = json_object_get(props, "distribute");
	r = check_source(t->source, err);
	if (r == 0)
		r = steps_parse(json_object_get(props, "customize"), false, &t->steps, &t->n_steps,
				err);
	if (r == 0)
		r = parse_validate(props, t, err);
	if (r == 0)
		r = parse_error_handling(props, t, err);
	if (r == 0)
		r = parse_optimize(props, t, err);
	if (r == 0)
		r = check_distribute(t->distribute, err);
	if (r == 0)
		r = parse_limits(props, t, err);
	if (r == 0)
		r = parse_kiln(props, t, err);
	if (r == 0 && t->source_only && t->n_steps > 0)
		r = template_field_error(err, NULL, "properties.validate.sourceValidationOnly",
					 "the source is only validated, so properties.customize "
					 "must be empty");
	return r;
}

int template_parse(const json_t *doc, struct template *ret, struct err *err)
{
	struct template t = {0};
	json_t *props = json_object_get(doc, "properties");
	int r;

	if (!json_is_object(props))
		return template_field_error(err, "InvalidRequestContent", "properties",
					    "expected an object with source, customize and "
					    "distribute");
	t.doc = json_incref((json_t *) doc);
	r = parse_properties(props, &t, err);
	if (r < 0) {
		template_done(&t);
		return r == -ENOMEM ? err_set(err, r, "template: out of memory") : r;
	}
	*ret = t;
	return 0;
}

int template_find_step(const struct template *t, const char *name, size_t *ret, struct err *err)
{
	auto_buf struct buf names = BUF_INIT(4096);
	char *end = NULL;
	unsigned long n;

	for (size_t i = 0; i < t->n_steps; i++) {
		if (str_eq_nocase(t->steps[i].name, name)) {
			*ret = i;
			return 0;
		}
		buf_addf(&names, "%s%s", i ? ", " : "", t->steps[i].name);
	}
	n = strtoul(name, &end, 10);
	if (isdigit((unsigned char) *name) && !*end && n >= 1 && n <= t->n_steps) {
		*ret = n - 1;
		return 0;
	}
	return err_set(err, -ENOENT, "no customizer is named \"%.64s\"; there %s: %s", name,
		       t->n_steps == 1 ? "is" : "are", t->n_steps ? buf_str(&names) : "none");
}

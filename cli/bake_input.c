/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/bake_input.h"

#define TEMPLATE_TYPE "Microsoft.VirtualMachineImages/imageTemplates"

void bake_input_done(struct bake_input *in)
{
	json_decref(in->body);
	free(in->name);
	free(in->api_version);
	*in = (struct bake_input){0};
}

/* "--param key=value" as the type that the file declares. */
static int param_value(const char *name, const char *text, const char *type, json_t **ret,
		       struct err *err)
{
	char *end;
	long long n;

	if (!type || str_eq_nocase(type, "string") || str_eq_nocase(type, "secureString")) {
		*ret = json_string(text);
	} else if (str_eq_nocase(type, "bool")) {
		if (!str_eq_nocase(text, "true") && !str_eq_nocase(text, "false"))
			return err_set(err, -EINVAL, "--param %s: expected true or false", name);
		*ret = json_boolean(str_eq_nocase(text, "true"));
	} else if (str_eq_nocase(type, "int")) {
		errno = 0;
		n = strtoll(text, &end, 10);
		if (errno || !*text || *end)
			return err_set(err, -EINVAL, "--param %s: expected a whole number", name);
		*ret = json_integer(n);
	} else if (str_eq_nocase(type, "array") || str_eq_nocase(type, "object")) {
		int r = json_parse(text, strlen(text), ret, err);

		return r < 0 ? err_ctx(err, r, "--param %s", name) : 0;
	} else {
		return err_set(err, -EINVAL, "parameters.%s.type: \"%s\" is unknown", name, type);
	}
	return *ret ? 0 : err_set(err, -EINVAL, "--param %s: the value is no UTF-8", name);
}

static int given_values(const json_t *declared, const char *const *params, size_t n, json_t *values,
			struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *eq = strchr(params[i], '=');
		auto_free char *name = eq ? strndup(params[i], (size_t) (eq - params[i])) : NULL;
		json_t *decl, *v = NULL;
		int r;

		if (!name)
			return err_set(err, -EINVAL, "--param %s: expected NAME=VALUE", params[i]);
		decl = json_get_nocase(declared, name);
		if (!decl)
			return err_set(err, -EINVAL,
				       "--param %s: the file declares no such parameter", name);
		r = param_value(name, eq + 1, json_str_at(decl, "type"), &v, err);
		if (r < 0)
			return r;
		if (json_object_set_new(values, name, v) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int parameters(json_t *doc, const char *const *params, size_t n, struct err *err)
{
	auto_json json_t *declared = json_incref(json_object_get(doc, "parameters"));
	auto_json json_t *values = json_object();
	const char *name;
	json_t *decl;
	int r;

	if (!values)
		return -ENOMEM;
	(void) json_object_del(doc, "parameters");
	if (declared && !json_is_object(declared))
		return err_set(err, -EINVAL, "parameters: expected an object");
	r = given_values(declared, params, n, values, err);
	if (r < 0)
		return r;
	json_object_foreach(declared, name, decl)
	{
		json_t *dflt = json_object_get(decl, "defaultValue");

		if (!json_get_nocase(values, name) && dflt &&
		    json_object_set(values, name, dflt) < 0)
			return -ENOMEM;
	}
	return bake_expand(doc, values, err);
}

/* RFC 3986 without what a path needs no escape for. */
static int uri_of(const char *path, char **ret)
{
	auto_buf struct buf b = BUF_INIT(PATH_MAX * 3 + 16);

	buf_addstr(&b, "file://");
	for (const unsigned char *p = (const unsigned char *) path; *p; p++) {
		if (*p <= ' ' || *p >= 0x7f || strchr("%#?\"<>\\^`{|}", *p))
			buf_addf(&b, "%%%02X", *p);
		else
			buf_addch(&b, (char) *p);
	}
	*ret = buf_take(&b);
	return *ret ? 0 : -ENOMEM;
}

/* "file:scripts/x" -> "file:///home/me/golden/scripts/x" */
static int absolute_uri(json_t *step, const char *key, const char *dir, struct err *err)
{
	const char *uri = json_string_value(json_object_get(step, key));
	auto_free char *path = NULL, *real = NULL, *abs = NULL;
	int r;

	if (!uri || !str_starts(uri, "file:") || str_starts(uri, "file://"))
		return 0;
	uri += strlen("file:");
	path = *uri == '/' ? strdup(uri) : path_join(dir, uri);
	if (!path)
		return -ENOMEM;
	real = realpath(path, NULL);
	if (!real)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	r = uri_of(real, &abs);
	if (r == 0 && json_object_set_new(step, key, json_string(abs)) < 0)
		r = -ENOMEM;
	return r;
}

static int absolute_uris(json_t *steps, const char *dir, struct err *err)
{
	json_t *step;
	size_t i;

	json_array_foreach(steps, i, step)
	{
		int r = absolute_uri(step, "scriptUri", dir, err);

		if (r == 0)
			r = absolute_uri(step, "sourceUri", dir, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static char *default_name(const char *path)
{
	auto_free char *real = strcmp(path, "-") == 0 ? NULL : realpath(path, NULL);
	char *base, *dot;

	if (!real)
		return NULL;
	base = strrchr(real, '/');
	if (strcmp(base, "/template.json") == 0 && base != real) {
		*base = '\0';
		base = strrchr(real, '/');
		return strdup(base + 1);
	}
	dot = strrchr(base, '.');
	if (dot && dot != base + 1)
		*dot = '\0';
	return strdup(base + 1);
}

static int take_name(struct bake_input *in, const char *path, const char *name, struct err *err)
{
	const char *own = json_str_at(in->body, "name");
	const char *slash = own ? strrchr(own, '/') : NULL;

	if (name)
		in->name = strdup(name);
	else if (own)
		in->name = strdup(slash ? slash + 1 : own);
	else
		in->name = default_name(path);
	if (!in->name)
		return err_set(err, -EINVAL, "the template has no name: give --name");
	return 0;
}

/* What an ARM template says about a resource beside the resource itself. */
static int take_envelope(struct bake_input *in, struct err *err)
{
	static const char *const drop[] = {"type",      "apiVersion", "name",
					   "dependsOn", "$schema",    "comments"};
	const char *type = json_str_at(in->body, "type");
	const char *version = json_str_at(in->body, "apiVersion");

	if (type && !str_eq_nocase(type, TEMPLATE_TYPE)) {
		err_set(err, -EINVAL, "type: expected " TEMPLATE_TYPE ", not %s", type);
		err_target(err, "type");
		return -EINVAL;
	}
	if (version) {
		in->api_version = strdup(version);
		if (!in->api_version)
			return -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_SIZE(drop); i++)
		(void) json_object_del(in->body, drop[i]);
	if (!json_object_get(in->body, "identity") &&
	    json_object_set_new(in->body, "identity", json_pack("{s:s}", "type", "None")) < 0)
		return -ENOMEM;
	return 0;
}

static int read_text(const char *path, struct buf *text, struct err *err)
{
	int r;

	if (strcmp(path, "-") != 0)
		return file_read_all(path, text, err);
	r = file_read_fd(STDIN_FILENO, text);
	return r < 0 ? err_set(err, r, "standard input: %s", strerror(-r)) : 0;
}

static int read_input(const char *path, const char *name, const char *const *params,
		      size_t n_params, struct bake_input *in, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(JSON_MAX_BYTES + 2);
	auto_free char *dir = path_dirname(path);
	int r = dir ? read_text(path, &text, err) : -ENOMEM;

	if (r == 0)
		r = json_parse(buf_str(&text), text.len, &in->body, err);
	if (r == 0 && !json_is_object(in->body))
		r = err_set(err, -EINVAL, "expected an object");
	if (r == 0)
		r = parameters(in->body, params, n_params, err);
	if (r == 0)
		r = take_name(in, path, name, err);
	if (r == 0)
		r = take_envelope(in, err);
	if (r == 0)
		r = absolute_uris(json_at(in->body, "properties.customize"), dir, err);
	if (r == 0)
		r = absolute_uris(json_at(in->body, "properties.validate.inVMValidations"), dir,
				  err);
	return r;
}

int bake_input_read(const char *path, const char *name, const char *const *params, size_t n_params,
		    struct bake_input *ret, struct err *err)
{
	struct bake_input in = {0};
	int r = read_input(path, name, params, n_params, &in, err);

	if (r == -EFBIG) /* a template that is too big is refused, like any other bad one */
		r = err_set(err, -EINVAL, "%s", err_str(err));
	if (r < 0) {
		bake_input_done(&in);
		return err_ctx(err, r, "%s", path);
	}
	*ret = in;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a request's body: the column `put` of a command's option table. */
#include "base/file.h"
#include "base/mem.h"
#include "cli/context.h"
#include "cli/noun.h"
#include "cli/ref.h"
#include "cli/target.h"

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "request");
}

static int set(json_t *body, const char *path, json_t *value, struct err *err)
{
	int r = value ? json_set_at(body, path, value) : -ENOMEM;

	return r < 0 ? err_set(err, r, "field '%s' cannot be set", path) : 0;
}

static int put_int(json_t *body, const struct cli_option *o, const char *value, struct err *err)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(value, &end, 10);
	if (errno || !*value || *end)
		return err_set(err, -EINVAL, "%s: '%s' is no number", o->name, value);
	return set(body, o->path, json_integer(n), err);
}

/* The array or object at @path, made when absent; borrowed. */
static json_t *container(json_t *body, const char *path, json_t *made)
{
	json_t *have = json_at(body, path);

	if (have) {
		json_decref(made);
		return have;
	}
	return made && json_set_at(body, path, made) == 0 ? json_at(body, path) : NULL;
}

static int put_list(json_t *body, const struct cli_option *o, const char *value, struct err *err)
{
	json_t *list = container(body, o->path, json_array());

	return json_array_append_new(list, json_string(value)) < 0 ? no_memory(err) : 0;
}

static int put_pair(json_t *body, const struct cli_option *o, const char *value, struct err *err)
{
	const char *eq = strchr(value, '=');
	auto_free char *key = eq ? strndup(value, (size_t) (eq - value)) : NULL;
	json_t *map = container(body, o->path, json_object());

	if (!eq || eq == value)
		return err_set(err, -EINVAL, "%s: '%s': %s expected", o->name, value, o->arg);
	return !key || json_object_set_new(map, key, json_string(eq + 1)) < 0 ? no_memory(err) : 0;
}

static int put_region(json_t *body, const struct cli_option *o, const char *value, struct err *err)
{
	const char *eq = strchr(value, '=');
	auto_free char *name = strndup(value, strcspn(value, "="));
	json_t *list = container(body, o->path, json_array());
	long count = 1;
	char *end = NULL;

	if (eq) {
		count = strtol(eq + 1, &end, 10);
		if (!eq[1] || *end || count < 1)
			return err_set(err, -EINVAL, "%s: '%s': REGION or REGION=REPLICAS expected",
				       o->name, value);
	}
	if (!name ||
	    json_array_append_new(list, json_pack("{s:s, s:I}", "name", name,
						  "regionalReplicaCount", (json_int_t) count)) < 0)
		return no_memory(err);
	return 0;
}

/* A JSON text, or "@FILE". */
static int parse_json(const char *value, json_t **ret, struct err *err)
{
	return *value == '@' ? json_read_file(value + 1, ret, err)
			     : json_parse(value, strlen(value), ret, err);
}

static int put_file(json_t *body, const struct cli_option *o, const char *path, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(1u << 20);
	int r = file_read_all(path, &text, err);

	return r < 0 ? err_ctx(err, r, "%s", o->name)
		     : set(body, o->path, json_text(buf_str(&text), text.len), err);
}

static int put_option(struct cli *cli, json_t *body, const struct cli_option *o, const char *value,
		      struct err *err)
{
	auto_free char *text = NULL;
	json_t *j = NULL;
	int r;

	switch (o->put) {
	case PUT_NONE:
		return 0;
	case PUT_TEXT:
		return set(body, o->path, json_string(value), err);
	case PUT_INT:
		return put_int(body, o, value, err);
	case PUT_TRUE:
		return set(body, o->path, json_true(), err);
	case PUT_LIST:
		return put_list(body, o, value, err);
	case PUT_PAIR:
		return put_pair(body, o, value, err);
	case PUT_REGION:
		return put_region(body, o, value, err);
	case PUT_ID:
		text = ref_expand(cli->target->subscription_id, value);
		return set(body, o->path, text ? json_string(text) : NULL, err);
	case PUT_SECRET:
		r = context_read_secret(value, &text, err);
		r = r < 0 ? r : set(body, o->path, json_string(text), err);
		if (text)
			explicit_bzero(text, strlen(text));
		return r;
	case PUT_FILE:
		return put_file(body, o, value, err);
	case PUT_JSON:
		r = parse_json(value, &j, err);
		return r < 0 ? err_ctx(err, r, "%s", o->name) : set(body, o->path, j, err);
	}
	return 0;
}

/* --set PATH=VALUE: VALUE is JSON when it reads as such, else text. */
static int put_set(json_t *body, const char *value, struct err *err)
{
	const char *eq = strchr(value, '=');
	auto_free char *path = eq ? strndup(value, (size_t) (eq - value)) : NULL;
	json_t *j = NULL;

	if (!eq || eq == value)
		return err_set(err, -EINVAL, "--set: '%s': PATH=VALUE expected", value);
	if (json_parse(eq + 1, strlen(eq + 1), &j, NULL) < 0)
		j = json_string(eq + 1);
	return path ? set(body, path, j, err) : no_memory(err);
}

int noun_body(struct cli *cli, const struct cli_args *args, json_t *body, struct err *err)
{
	int r = 0;

	for (int i = 0; i < args->n_given && r == 0; i++) {
		const struct cli_given *g = &args->given[i];

		if (strcmp(g->opt->name, "--set") == 0)
			r = put_set(body, g->value, err);
		else
			r = put_option(cli, body, g->opt, g->value, err);
	}
	return r;
}

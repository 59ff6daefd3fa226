/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a request's body: the column `put` of a command's option table. */
#include "base/file.h"
#include "base/hash.h"
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

static int put_base64(json_t *body, const struct cli_option *o, const char *path, struct err *err)
{
	auto_buf struct buf data = BUF_INIT(1u << 20);
	auto_free char *text = NULL;
	int r = file_read_all(path, &data, err);

	if (r < 0)
		return err_ctx(err, r, "%s", o->name);
	text = base64_encode(buf_str(&data), data.len);
	return text ? set(body, o->path, json_string(text), err) : no_memory(err);
}

static int put_ssh_key(json_t *body, const struct cli_option *o, const char *path, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(1u << 16);
	json_t *list = container(body, o->path, json_array());
	int r = file_read_all(path, &text, err);

	if (r < 0)
		return err_ctx(err, r, "%s", o->name);
	while (text.len > 0 && strchr("\r\n", text.data[text.len - 1]))
		text.data[--text.len] = '\0';
	return json_array_append_new(list, json_pack("{s:s}", "keyData", buf_str(&text))) < 0
		       ? no_memory(err)
		       : 0;
}

static int put_urn(json_t *body, const char *path, const char *value, struct err *err)
{
	static const char *const names[] = {"publisher", "offer", "sku", "version"};
	auto_free char *copy = strdup(value);
	auto_json json_t *image = json_object();
	char *rest = copy, *word;
	size_t n = 0;

	while (copy && (word = strsep(&rest, ":"))) {
		if (n == ARRAY_SIZE(names) || !*word)
			return err_set(err, -EINVAL, "'%s': PUBLISHER:OFFER:SKU[:VERSION] expected",
				       value);
		if (json_object_set_new(image, names[n++], json_string(word)) < 0)
			return no_memory(err);
	}
	if (n < 3)
		return err_set(err, -EINVAL, "'%s': PUBLISHER:OFFER:SKU[:VERSION] expected", value);
	return set(body, path, json_incref(image), err);
}

/* "golden/debian-12" is the definition: its latest version. */
static int put_image(struct cli *cli, json_t *body, const struct cli_option *o, const char *value,
		     struct err *err)
{
	static const char version[] = "Microsoft.Compute/galleries/images/versions";
	static const char definition[] = "Microsoft.Compute/galleries/images";
	auto_free char *id = NULL, *path = strf("%s.id", o->path);
	const char *slash = strchr(value, '/');
	int r = 0;

	if (!path)
		return no_memory(err);
	if (!slash && strchr(value, ':'))
		return put_urn(body, o->path, value, err);
	if (strncasecmp(value, "/SharedGalleries/", 17) == 0)
		return set(body, "properties.storageProfile.imageReference.sharedGalleryImageId",
			   json_string(value), err);
	if (strncasecmp(value, "/CommunityGalleries/", 20) == 0)
		return set(body, "properties.storageProfile.imageReference.communityGalleryImageId",
			   json_string(value), err);
	if (*value == '/')
		id = ref_expand(cli->target->subscription_id, value);
	else
		r = ref_find(cli, slash && strchr(slash + 1, '/') ? version : definition, value,
			     NULL, &id, err);
	return r < 0 ? r : set(body, path, id ? json_string(id) : NULL, err);
}

static int put_forward(json_t *body, const struct cli_option *o, const char *value, struct err *err)
{
	json_t *list = container(body, o->path, json_array());
	const char *last = strrchr(value, ':'), *front = last;
	auto_free char *host = NULL;
	char *end = NULL;
	long port, guest = last ? strtol(last + 1, &end, 10) : 0;

	if (!last || *end || guest < 1 || guest > 65535)
		return err_set(err, -EINVAL, "%s: '%s': %s expected", o->name, value, o->arg);
	while (front > value && front[-1] != ':')
		front--;
	port = strtol(front, &end, 10);
	if (end != last || port < 1 || port > 65535)
		return err_set(err, -EINVAL, "%s: '%s': %s expected", o->name, value, o->arg);
	if (front > value)
		host = strndup(value, (size_t) (front - 1 - value));
	return json_array_append_new(list,
				     json_pack("{s:s*, s:i, s:i}", "hostAddress", host, "hostPort",
					       (int) port, "guestPort", (int) guest)) < 0
		       ? no_memory(err)
		       : 0;
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
	case PUT_BASE64:
		return put_base64(body, o, value, err);
	case PUT_SSH_KEY:
		return put_ssh_key(body, o, value, err);
	case PUT_IMAGE:
		return put_image(cli, body, o, value, err);
	case PUT_FORWARD:
		return put_forward(body, o, value, err);
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

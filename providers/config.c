/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kiln.yaml: read through libyaml's document tree, checked against a table of known keys while it
 * becomes JSON, so that every complaint names its line.
 */
#include <yaml.h>

#include "base/file.h"
#include "base/mem.h"
#include "providers/app.h"

#define CONFIG_MAX_BYTES (1u << 20)
#define CONFIG_MAX_DEPTH 8
#define CONFIG_MAX_NODES 10000

enum conf_type { CONF_STRING, CONF_INT, CONF_BOOL, CONF_MAP, CONF_LIST };

struct conf_key {
	const char *name;
	enum conf_type type;
	bool required;
	int64_t min, max;            /* integers */
	const struct conf_key *keys; /* members of a map, or of each map of a list */
};

static const struct conf_key conf_encryption[] = {
	{"key", CONF_STRING, true},
	{NULL},
};
static const struct conf_key conf_region[] = {
	{"name", CONF_STRING, true},
	{"url", CONF_STRING},
	{"displayName", CONF_STRING},
	{"encryption", CONF_MAP, .keys = conf_encryption},
	{NULL},
};
static const struct conf_key conf_gallery_key[] = {
	{"name", CONF_STRING, true},
	{"key", CONF_STRING, true},
	{NULL},
};
static const struct conf_key conf_limits[] = {
	{"cacheMegabytes", CONF_INT, .min = 8, .max = 1 << 20},
	{"threads", CONF_INT, .min = 1, .max = 256},
	{"compressionLevel", CONF_INT, .min = 1, .max = 19},
	{"databaseConnections", CONF_INT, .min = 1, .max = 256},
	{"replicationMegabytesPerSecond", CONF_INT, .min = 1, .max = 1 << 20},
	{"recompressMegabytesPerSecond", CONF_INT, .min = 0, .max = 1 << 20},
	{NULL},
};
static const struct conf_key conf_fetch[] = {
	{"allowPrivate", CONF_BOOL},
	{"maxBytes", CONF_INT, .min = 1, .max = INT64_C(1) << 40},
	{"caFile", CONF_STRING},
	{"proxy", CONF_STRING},
	{NULL},
};
static const struct conf_key conf_login[] = {
	{"algorithm", CONF_STRING},
	{NULL},
};
static const struct conf_key conf_server[] = {
	{"certificate", CONF_STRING},
	{"key", CONF_STRING},
	{"names", CONF_LIST},
	{"accessLog", CONF_STRING},
	{"accessLogMegabytes", CONF_INT, .min = 1, .max = 1 << 20},
	{"metrics", CONF_STRING},
	{"connections", CONF_INT, .min = 16, .max = 1000000},
	{"connectionsPerAddress", CONF_INT, .min = 1, .max = 1000000},
	{"idleSeconds", CONF_INT, .min = 1, .max = 3600},
	{"headSeconds", CONF_INT, .min = 1, .max = 3600},
	{"bodySeconds", CONF_INT, .min = 1, .max = 3600},
	{"bodyMegabytes", CONF_INT, .min = 16, .max = 1 << 20},
	{"threads", CONF_INT, .min = 1, .max = 64},
	{"pool", CONF_INT, .min = 1, .max = 256},
	{"readsPerFiveMinutes", CONF_INT, .min = 1, .max = INT64_C(1) << 40},
	{"writesPerFiveMinutes", CONF_INT, .min = 1, .max = INT64_C(1) << 40},
	{NULL},
};
static const struct conf_key conf_platform[] = {
	{"sources", CONF_LIST},
	{NULL},
};
static const struct conf_key conf_cache[] = {
	{"days", CONF_INT, .min = 1, .max = 36500},
	{"gigabytes", CONF_INT, .min = 1, .max = 1 << 30},
	{"runDays", CONF_INT, .min = 1, .max = 36500},
	{NULL},
};
static const struct conf_key conf_bake[] = {
	{"cpus", CONF_INT, .min = 1, .max = 4096},
	{"memoryMegabytes", CONF_INT, .min = 256, .max = 1 << 30},
	{"diskGigabytes", CONF_INT, .min = 1, .max = 1 << 30},
	{"perSubscription", CONF_INT, .min = 1, .max = 4096},
	{NULL},
};
static const struct conf_key conf_top[] = {
	{"regions", CONF_LIST, .keys = conf_region},
	{"galleryKeys", CONF_LIST, .keys = conf_gallery_key},
	{"database", CONF_STRING},
	{"listen", CONF_STRING},
	{"limits", CONF_MAP, .keys = conf_limits},
	{"server", CONF_MAP, .keys = conf_server},
	{"login", CONF_MAP, .keys = conf_login},
	{"fetch", CONF_MAP, .keys = conf_fetch},
	{"workers", CONF_INT, .min = 1, .max = 256},
	{"cache", CONF_MAP, .keys = conf_cache},
	{"bake", CONF_MAP, .keys = conf_bake},
	{"platform", CONF_MAP, .keys = conf_platform},
	{NULL},
};

struct conf {
	const char *name; /* of the file */
	yaml_document_t *doc;
	unsigned nodes;
	struct err *err;
};

static int conf_fail(struct conf *c, const yaml_node_t *n, const char *what, const char *hint)
{
	err_set(c->err, -EINVAL, "%s:%zu: %s", c->name, n->start_mark.line + 1, what);
	err_target(c->err, "%s", c->name);
	if (hint)
		err_hint(c->err, "%s", hint);
	return -EINVAL;
}

static int conf_value(struct conf *c, const struct conf_key *k, yaml_node_t *n, unsigned depth,
		      json_t **ret);

static const struct conf_key *conf_find(const struct conf_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static int conf_unknown(struct conf *c, const struct conf_key *keys, const yaml_node_t *n,
			const char *name)
{
	auto_buf struct buf what = BUF_INIT(1024), hint = BUF_INIT(1024);

	buf_addf(&what, "unknown key '%.100s'", name);
	buf_addstr(&hint, "known keys here:");
	for (; keys->name; keys++)
		buf_addf(&hint, " %s", keys->name);
	return conf_fail(c, n, buf_str(&what), buf_str(&hint));
}

static int conf_member(struct conf *c, const struct conf_key *keys, const yaml_node_pair_t *pair,
		       unsigned depth, json_t *map)
{
	yaml_node_t *key = yaml_document_get_node(c->doc, pair->key);
	yaml_node_t *val = yaml_document_get_node(c->doc, pair->value);
	const struct conf_key *k;
	json_t *v = NULL;
	const char *name;
	int r;

	if (!key || !val || key->type != YAML_SCALAR_NODE)
		return conf_fail(c, key ? key : val, "a key must be a plain word", NULL);
	name = (const char *) key->data.scalar.value;
	k = conf_find(keys, name);
	if (!k)
		return conf_unknown(c, keys, key, name);
	if (json_object_get(map, name)) {
		auto_free char *what = strf("key '%s' is given twice", name);

		return conf_fail(c, key, what ? what : "a key is given twice", NULL);
	}
	r = conf_value(c, k, val, depth, &v);
	if (r < 0)
		return r;
	return json_object_set_new(map, name, v) < 0 ? err_set(c->err, -ENOMEM, "%s", c->name) : 0;
}

static int conf_map(struct conf *c, const struct conf_key *keys, yaml_node_t *n, unsigned depth,
		    json_t **ret)
{
	auto_json json_t *map = json_object();
	int r;

	if (n->type != YAML_MAPPING_NODE)
		return conf_fail(c, n, "expected 'key: value' lines here", NULL);
	if (!map)
		return err_set(c->err, -ENOMEM, "%s", c->name);
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
	     p++) {
		r = conf_member(c, keys, p, depth, map);
		if (r < 0)
			return r;
	}
	for (; keys->name; keys++) {
		auto_free char *what = NULL;

		if (!keys->required || json_object_get(map, keys->name))
			continue;
		what = strf("'%s' is missing", keys->name);
		return conf_fail(c, n, what ? what : "a key is missing", NULL);
	}
	*ret = take_ptr(map);
	return 0;
}

static int conf_list(struct conf *c, const struct conf_key *k, yaml_node_t *n, unsigned depth,
		     json_t **ret)
{
	static const struct conf_key text = {"item", CONF_STRING};
	auto_json json_t *list = json_array();

	if (n->type != YAML_SEQUENCE_NODE)
		return conf_fail(c, n, "expected a list ('- ...' lines) here", NULL);
	if (!list)
		return err_set(c->err, -ENOMEM, "%s", c->name);
	for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top;
	     i++) {
		yaml_node_t *item = yaml_document_get_node(c->doc, *i);
		json_t *v = NULL;
		int r;

		if (!item)
			return conf_fail(c, n, "a list item is missing", NULL);
		r = k->keys ? conf_map(c, k->keys, item, depth + 1, &v)
			    : conf_value(c, &text, item, depth + 1, &v);
		if (r < 0)
			return r;
		if (json_array_append_new(list, v) < 0)
			return err_set(c->err, -ENOMEM, "%s", c->name);
	}
	*ret = take_ptr(list);
	return 0;
}

static int conf_int(struct conf *c, const struct conf_key *k, yaml_node_t *n, json_t **ret)
{
	const char *s = (const char *) n->data.scalar.value;
	auto_free char *what = NULL;
	char *end = NULL;
	long long v;

	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno == 0 && end != s && !*end && v >= k->min && v <= k->max) {
		*ret = json_integer(v);
		return *ret ? 0 : err_set(c->err, -ENOMEM, "%s", c->name);
	}
	what = strf("'%s' must be a whole number from %lld to %lld", k->name, (long long) k->min,
		    (long long) k->max);
	return conf_fail(c, n, what ? what : "bad number", NULL);
}

static int conf_bool(struct conf *c, const struct conf_key *k, yaml_node_t *n, json_t **ret)
{
	const char *s = (const char *) n->data.scalar.value;
	auto_free char *what = NULL;

	if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) {
		*ret = json_boolean(*s == 't');
		return 0;
	}
	what = strf("'%s' must be true or false", k->name);
	return conf_fail(c, n, what ? what : "bad value", NULL);
}

static int conf_value(struct conf *c, const struct conf_key *k, yaml_node_t *n, unsigned depth,
		      json_t **ret)
{
	auto_free char *what = NULL;

	if (depth > CONFIG_MAX_DEPTH || ++c->nodes > CONFIG_MAX_NODES)
		return conf_fail(c, n, "nested too deep or too long", NULL);
	switch (k->type) {
	case CONF_MAP:
		return conf_map(c, k->keys, n, depth + 1, ret);
	case CONF_LIST:
		return conf_list(c, k, n, depth, ret);
	case CONF_STRING:
	case CONF_INT:
	case CONF_BOOL:
		break;
	}
	if (n->type != YAML_SCALAR_NODE || !n->data.scalar.length) {
		what = strf("'%s' needs a value", k->name);
		return conf_fail(c, n, what ? what : "a value is missing", NULL);
	}
	if (k->type == CONF_INT)
		return conf_int(c, k, n, ret);
	if (k->type == CONF_BOOL)
		return conf_bool(c, k, n, ret);
	*ret = json_stringn((const char *) n->data.scalar.value, n->data.scalar.length);
	return *ret ? 0 : conf_fail(c, n, "text is not UTF-8", NULL);
}

static int conf_document(struct conf *c, yaml_parser_t *parser, json_t **ret)
{
	yaml_document_t doc;
	yaml_node_t *root;
	int r = 0;

	if (!yaml_parser_load(parser, &doc)) {
		err_set(c->err, -EINVAL, "%s:%zu: %s", c->name, parser->problem_mark.line + 1,
			parser->problem ? parser->problem : "not YAML");
		err_target(c->err, "%s", c->name);
		return -EINVAL;
	}
	c->doc = &doc;
	root = yaml_document_get_root_node(&doc);
	if (root && !(root->type == YAML_SCALAR_NODE && !root->data.scalar.length))
		r = conf_map(c, conf_top, root, 0, ret);
	else
		*ret = json_object();
	c->doc = NULL;
	yaml_document_delete(&doc);
	return r < 0 ? r : *ret ? 0 : err_set(c->err, -ENOMEM, "%s", c->name);
}

int config_parse(const char *name, const char *text, size_t n, json_t **ret, struct err *err)
{
	struct conf c = {.name = name, .err = err};
	yaml_parser_t parser;
	int r;

	if (!yaml_parser_initialize(&parser))
		return err_set(err, -ENOMEM, "%s", name);
	yaml_parser_set_input_string(&parser, (const unsigned char *) text, n);
	r = conf_document(&c, &parser, ret);
	yaml_parser_delete(&parser);
	return r;
}

int config_load(const char *path, json_t **ret, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
	int r;

	if (!file_exists(path)) {
		*ret = json_object();
		return *ret ? 0 : err_set(err, -ENOMEM, "%s", path);
	}
	r = file_read_all(path, &text, err);
	if (r < 0)
		return r;
	return config_parse(path, buf_str(&text), text.len, ret, err);
}

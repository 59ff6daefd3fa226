/* SPDX-License-Identifier: Apache-2.0 */
/* The kept platform images: one root and one catalog record a version. */
#include "bake/platform_internal.h"
#include "base/mem.h"
#include "meta/packs.h"

#define ID_PREFIX "platform/"

static char *record_id(const struct platform_sku *k, const char *version)
{
	return strf(ID_PREFIX "%s/%s/%s/%s", k->publisher, k->offer, k->sku, version);
}

bool platform_version_parse(const char *s, struct platform_version *ret)
{
	unsigned long v[3];
	char *end;

	for (unsigned k = 0; k < 3; k++) {
		if (*s < '0' || *s > '9')
			return false;
		errno = 0;
		v[k] = strtoul(s, &end, 10);
		if (errno || *end != (k < 2 ? '.' : '\0'))
			return false;
		s = end + 1;
	}
	*ret = (struct platform_version){v[0], v[1], v[2]};
	return true;
}

static int compare(const struct platform_version *x, const struct platform_version *y)
{
	if (x->major != y->major)
		return x->major < y->major ? -1 : 1;
	if (x->date != y->date)
		return x->date < y->date ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static int version_cmp(const json_t *a, const json_t *b)
{
	struct platform_version x = {0}, y = {0};

	(void) platform_version_parse(json_str_at(a, "version"), &x);
	(void) platform_version_parse(json_str_at(b, "version"), &y);
	return compare(&x, &y);
}

struct collect {
	struct store *store;
	unsigned region;
	char *prefix;
	json_t *list;
	struct err *err;
};

/* A record without its root is of a version that was removed. */
static int collect_one(void *arg, const char *id, uint64_t revision, const json_t *record)
{
	struct collect *c = arg;
	struct platform_version v;
	struct disk_ref disk;
	auto_json json_t *copy = NULL;
	size_t at = 0;
	int r;

	if (!str_starts(id, c->prefix) || !platform_version_parse(id + strlen(c->prefix), &v))
		return 0;
	r = store_root_get(c->store, c->region, "platform", id + strlen(ID_PREFIX), &disk, c->err);
	if (r == -ENOENT) {
		err_done(c->err);
		return 0;
	}
	if (r < 0)
		return r;
	copy = json_deep_copy(record);
	if (!copy ||
	    json_object_set_new(copy, "version", json_string(id + strlen(c->prefix))) < 0 ||
	    json_object_set_new(copy, "revision", json_integer((json_int_t) revision)) < 0)
		return err_set(c->err, -ENOMEM, "platform images: out of memory");
	while (at < json_array_size(c->list) && version_cmp(json_array_get(c->list, at), copy) < 0)
		at++;
	return json_array_insert(c->list, at, copy) < 0
		       ? err_set(c->err, -ENOMEM, "platform images: out of memory")
		       : 0;
}

int platform_kept(struct store *s, unsigned region, const struct platform_sku *sku, json_t **ret,
		  struct err *err)
{
	auto_err struct err mine = ERR_INIT;
	auto_free char *prefix = record_id(sku, "");
	auto_json json_t *list = json_array();
	struct collect c = {s, region, prefix, list, &mine};
	int r;

	if (!prefix || !list)
		return err_set(err, -ENOMEM, "platform images: out of memory");
	r = store_catalog_list(s, region, collect_one, &c, err);
	if (r < 0) {
		if (mine.code)
			err_move(err, &mine);
		return err_ctx(err, r, "platform images");
	}
	*ret = take_ptr(list);
	return 0;
}

int platform_keep(struct store_session *ss, struct store *s, unsigned region,
		  const struct platform_sku *sku, const char *version, const struct disk_ref *disk,
		  const json_t *facts, int64_t checked_at_s, uint64_t revision, struct err *err)
{
	auto_free char *id = record_id(sku, version);
	auto_json json_t *record = NULL;
	struct digest manifest;
	char hex[DIGEST_HEX];
	int r;

	if (!id)
		return err_set(err, -ENOMEM, "platform image: out of memory");
	r = store_manifest_put(s, region, facts, &manifest, err);
	if (r < 0)
		return err_ctx(err, r, "platform image %s", version);
	record = json_pack("{s:o, s:O, s:s, s:I}", "disk", disk_ref_to_json(disk), "facts", facts,
			   "manifest", digest_hex(&manifest, hex), "checkedAt",
			   (json_int_t) checked_at_s);
	if (!record)
		return err_set(err, -ENOMEM, "platform image: out of memory");
	if (ss)
		r = store_root_add(ss, region, "platform", id + strlen(ID_PREFIX), disk, err);
	if (r == 0)
		r = store_catalog_put(s, region, id, revision, record, err);
	return r < 0 ? err_ctx(err, r, "platform image %s", version) : 0;
}

int platform_image_from(const json_t *record, struct platform_image *ret, struct err *err)
{
	struct platform_image p = {.facts = NULL};
	const char *version = json_str_at(record, "version");
	json_t *facts = json_at(record, "facts");
	int r = disk_ref_from_json(json_at(record, "disk"), &p.disk, err);

	if (r < 0)
		return err_ctx(err, r, "platform image %s", version ? version : "");
	if (!version || strlen(version) >= sizeof(p.version) || !json_is_object(facts))
		return err_set(err, -EBADMSG, "platform image: its record lacks version or facts");
	(void) snprintf(p.version, sizeof(p.version), "%s", version);
	p.facts = json_incref(facts);
	*ret = p;
	return 0;
}

struct versions {
	char *prefix;
	json_t *list;
};

static int compare_versions(const char *a, const char *b)
{
	struct platform_version x = {0}, y = {0};

	(void) platform_version_parse(a, &x);
	(void) platform_version_parse(b, &y);
	return compare(&x, &y);
}

static int collect_version(void *arg, const struct root_row *row)
{
	const struct versions *v = arg;
	struct platform_version parsed;
	const char *name;
	size_t at = 0;

	if (!str_starts(row->id, v->prefix))
		return 0;
	name = row->id + strlen(v->prefix);
	if (!platform_version_parse(name, &parsed))
		return 0;
	while (at < json_array_size(v->list) &&
	       compare_versions(json_string_value(json_array_get(v->list, at)), name) < 0)
		at++;
	return json_array_insert_new(v->list, at, json_string(name)) < 0 ? -ENOMEM : 0;
}

/* From the rows alone: requests are answered by a process that opens no store. */
int platform_versions(struct meta *m, const char *region, const struct platform_sku *sku,
		      json_t **ret, struct err *err)
{
	auto_free char *id = record_id(sku, "");
	auto_json json_t *list = json_array();
	struct versions v = {id ? id + strlen(ID_PREFIX) : NULL, list};
	int r = id && list ? packs_root_list(m, region, "platform", collect_version, &v, err)
			   : -ENOMEM;

	if (r < 0)
		return err_ctx(err, r, "platform images");
	*ret = take_ptr(list);
	return 0;
}

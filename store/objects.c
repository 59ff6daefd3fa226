/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests by digest, catalog records by resource id: canonical JSON objects in a region. */
#include "store/objects.h"

#include "base/mem.h"
#include "store/internal.h"

#define OBJECT_MAX (JSON_MAX_BYTES + 1)

static void manifest_key(const struct digest *d, char dst[REGION_KEY_MAX])
{
	char hex[DIGEST_HEX];

	digest_hex(d, hex);
	(void) snprintf(dst, REGION_KEY_MAX, "manifests/%.2s/%s.json", hex, hex);
}

/* Writes @b unless the same bytes are there; bad ones there are moved aside first. */
static int put_object(struct store_region *g, const char *key, const struct buf *b, struct err *err)
{
	auto_err struct err own = ERR_INIT;
	auto_buf struct buf old = BUF_INIT(OBJECT_MAX);
	int r = region_object_put(g, key, b->data, b->len, &own);

	if (r != -EEXIST) {
		if (r < 0 && err)
			err_move(err, &own);
		return r;
	}
	r = region_object_get(g, key, &old, NULL, err);
	if (r >= 0 && old.len == b->len && memcmp(old.data, b->data, b->len) == 0)
		return 0;
	if (r == -ENOKEY)
		return r; /* not ours to judge */
	err_done(err);
	r = region_quarantine(g->region, key, err);
	return r < 0 ? r : region_object_put(g, key, b->data, b->len, err);
}

int store_manifest_put(struct store *s, unsigned region, const json_t *manifest, struct digest *ret,
		       struct err *err)
{
	auto_buf struct buf b = BUF_INIT(OBJECT_MAX);
	char key[REGION_KEY_MAX];
	int r = store_region_check(s, region, err);

	if (r < 0)
		return r;
	r = json_canonical(manifest, &b);
	if (r < 0)
		return err_set(err, r, "manifest: %s", strerror(-r));
	sha256(b.data, b.len, ret);
	manifest_key(ret, key);
	return put_object(&s->regions[region], key, &b, err);
}

int manifest_parse(const char *text, size_t n, const struct digest *d, json_t **ret,
		   struct err *err)
{
	auto_buf struct buf canon = BUF_INIT(OBJECT_MAX);
	auto_json json_t *j = NULL;
	struct digest got;
	int r;

	sha256(text, n, &got);
	if (!digest_eq(&got, d))
		return err_set(err, -EBADMSG, "manifest: its bytes have another digest");
	r = json_parse(text, n, &j, err);
	if (r < 0)
		return err_ctx(err, r, "manifest");
	if (!json_is_object(j))
		return err_set(err, -EBADMSG, "manifest: not a JSON object");
	r = json_canonical(j, &canon);
	if (r < 0)
		return err_set(err, r, "manifest: %s", strerror(-r));
	if (canon.len != n || memcmp(canon.data, text, n) != 0)
		return err_set(err, -EBADMSG, "manifest: its JSON is not canonical");
	*ret = take_ptr(j);
	return 0;
}

int store_manifest_get(struct store *s, unsigned region, const struct digest *d, json_t **ret,
		       struct err *err)
{
	auto_buf struct buf b = BUF_INIT(OBJECT_MAX);
	char key[REGION_KEY_MAX];
	int r = store_region_check(s, region, err);

	if (r < 0)
		return r;
	manifest_key(d, key);
	r = region_object_get(&s->regions[region], key, &b, NULL, err);
	return r < 0 ? r : manifest_parse(b.data, b.len, d, ret, err);
}

/* Catalog keys: catalog/ab/SHA256-OF-ID.REVISION.json, revision in 16 hex digits. */
static void catalog_key(const struct digest *d, uint64_t revision, char dst[REGION_KEY_MAX])
{
	char hex[DIGEST_HEX];

	digest_hex(d, hex);
	(void) snprintf(dst, REGION_KEY_MAX, "catalog/%.2s/%s.%016llx.json", hex, hex,
			(unsigned long long) revision);
}

static int catalog_name_parse(const char *key, struct digest *ret, uint64_t *ret_revision)
{
	const char *base = strrchr(key, '/');
	char hex[DIGEST_HEX], rev[17];
	uint8_t b[8];

	if (!base || strlen(base + 1) != 64 + 1 + 16 + 5 || base[65] != '.' ||
	    !str_ends(key, ".json"))
		return -EINVAL;
	memcpy(hex, base + 1, 64);
	hex[64] = '\0';
	memcpy(rev, base + 66, 16);
	rev[16] = '\0';
	if (digest_parse(hex, ret) < 0 || hex_decode(rev, b, sizeof(b)) < 0)
		return -EINVAL;
	*ret_revision = 0;
	for (unsigned i = 0; i < sizeof(b); i++)
		*ret_revision = *ret_revision << 8 | b[i];
	return 0;
}

struct catalog_name {
	struct digest id;
	uint64_t revision;
};

struct catalog_scan {
	const struct digest *only; /* NULL = all */
	struct catalog_name *names;
	size_t n, cap;
};

static int scan_name(void *arg, const char *key, uint64_t bytes)
{
	struct catalog_scan *c = arg;
	struct catalog_name name;

	if (catalog_name_parse(key, &name.id, &name.revision) < 0 ||
	    (c->only && !digest_eq(c->only, &name.id)))
		return 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 64;
		struct catalog_name *p = reallocarray(c->names, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		c->names = p;
		c->cap = cap;
	}
	c->names[c->n++] = name;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct catalog_name *x = a, *y = b;
	int d = memcmp(&x->id, &y->id, sizeof(x->id));

	return d ? d : x->revision < y->revision ? 1 : x->revision > y->revision ? -1 : 0;
}

int store_catalog_put(struct store *s, unsigned region, const char *resource_id, uint64_t revision,
		      const json_t *record, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(OBJECT_MAX);
	auto_free char *lower = str_lower(resource_id);
	auto_json json_t *doc = NULL;
	char key[REGION_KEY_MAX], prefix[REGION_KEY_MAX];
	struct digest id;
	struct catalog_scan c = {.only = &id};
	struct store_region *g;
	int r = store_region_check(s, region, err);

	if (r < 0)
		return r;
	g = &s->regions[region];
	doc = json_pack("{s:s, s:I, s:O}", "id", resource_id, "revision", (json_int_t) revision,
			"record", record);
	if (!lower || !doc)
		return err_set(err, -ENOMEM, "out of memory");
	r = json_canonical(doc, &b);
	if (r < 0)
		return err_set(err, r, "catalog record %s: %s", resource_id, strerror(-r));
	sha256(lower, strlen(lower), &id);
	catalog_key(&id, revision, key);
	(void) snprintf(prefix, sizeof(prefix), "%.10s/", key); /* catalog/ab */
	r = region_list(g->region, prefix, scan_name, &c, err);
	for (size_t i = 0; i < c.n && r >= 0; i++)
		if (c.names[i].revision > revision)
			r = 1; /* a newer one is there already: it wins */
	if (r == 0)
		r = put_object(g, key, &b, err);
	/* Only now is the older one superfluous. */
	for (size_t i = 0; i < c.n && r == 0; i++) {
		if (c.names[i].revision >= revision)
			continue;
		catalog_key(&id, c.names[i].revision, key);
		r = region_remove(g->region, key, err);
	}
	free(c.names);
	return r < 0 ? r : 0;
}

static int catalog_read(struct store_region *g, const struct catalog_name *name,
			store_catalog_fn *fn, void *arg, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(OBJECT_MAX);
	auto_json json_t *doc = NULL;
	char key[REGION_KEY_MAX];
	json_t *record;
	const char *id;
	int r;

	catalog_key(&name->id, name->revision, key);
	r = region_object_get(g, key, &b, NULL, err);
	if (r == -ENOENT)
		return r;
	if (r >= 0)
		r = json_parse(b.data, b.len, &doc, err);
	if (r < 0)
		return err_ctx(err, r, "%s", key);
	id = json_str_at(doc, "id");
	record = json_object_get(doc, "record");
	if (!id || !record || json_int_at(doc, "revision", -1) != (int64_t) name->revision)
		return err_set(err, -EBADMSG, "%s: malformed catalog record", key);
	return fn(arg, id, name->revision, record);
}

/* A record may be replaced between the listing and its reading: then a newer one is there. */
static int catalog_newest(struct store_region *g, struct catalog_name name, store_catalog_fn *fn,
			  void *arg, struct err *err)
{
	auto_err struct err own = ERR_INIT;
	int r = catalog_read(g, &name, fn, arg, &own);

	while (r == -ENOENT) {
		struct catalog_scan c = {.only = &name.id};
		char key[REGION_KEY_MAX], prefix[REGION_KEY_MAX];
		uint64_t newest = name.revision;

		catalog_key(&name.id, name.revision, key);
		(void) snprintf(prefix, sizeof(prefix), "%.10s/", key);
		r = region_list(g->region, prefix, scan_name, &c, &own);
		for (size_t i = 0; i < c.n; i++)
			if (c.names[i].revision > newest)
				newest = c.names[i].revision;
		free(c.names);
		if (r < 0)
			break;
		if (newest == name.revision)
			return 0; /* removed altogether */
		name.revision = newest;
		r = catalog_read(g, &name, fn, arg, &own);
	}
	if (r < 0 && err)
		err_move(err, &own);
	return r;
}

int store_catalog_list(struct store *s, unsigned region, store_catalog_fn *fn, void *arg,
		       struct err *err)
{
	struct catalog_scan c = {0};
	int r = store_region_check(s, region, err);

	if (r < 0)
		return r;
	r = region_list(s->regions[region].region, "catalog/", scan_name, &c, err);
	if (r >= 0 && c.n > 0)
		qsort(c.names, c.n, sizeof(*c.names), by_name);
	for (size_t i = 0; i < c.n && r >= 0; i++)
		if (i == 0 || !digest_eq(&c.names[i].id, &c.names[i - 1].id))
			r = catalog_newest(&s->regions[region], c.names[i], fn, arg, err);
	free(c.names);
	return r < 0 ? r : 0;
}

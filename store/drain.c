/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emptying a region: what only it has goes to another one first. Nothing is removed here; that is
 * store_region_forget()'s, which looks again in one transaction.
 */
#include "base/mem.h"
#include "store/internal.h"
#include "store/maintain.h"
#include "store/walk.h"

struct drain {
	struct store *s;
	unsigned from, to;
	struct store_session *ss;
	struct store_drain_result *ret;
	uint64_t rate, done, total; /* bytes of disks */
	const struct progress *progress;
	struct cancel *cancel;
};

/* A session's roots go with it. */
static bool lasting(const struct root_copy *r)
{
	return strcmp(r->kind, "session") != 0;
}

static bool elsewhere(const struct drain *d, const struct root_copy *r)
{
	for (unsigned i = 0; i < d->s->n_regions; i++) {
		struct disk_ref has;

		if (i != d->from && !d->s->regions[i].draining &&
		    store_root_get(d->s, i, r->kind, r->id, &has, NULL) >= 0 &&
		    digest_eq(&has.digest, &r->disk.digest))
			return true;
	}
	return false;
}

static void part(void *arg, const char *stage, uint64_t done, uint64_t total)
{
	const struct drain *d = arg;

	(void) stage;
	(void) total;
	progress_update(d->progress, "drain", d->done + done, d->total);
}

static int move_root(struct drain *d, const struct root_copy *r, struct err *err)
{
	const struct progress p = {part, d};
	struct store_stats st;
	int x = store_replicate(d->ss, d->from, d->to, &r->disk, d->rate, d->cancel, &p, &st, err);

	if (x >= 0)
		x = store_root_add(d->ss, d->to, r->kind, r->id, &r->disk, err);
	if (x == -ENOENT &&
	    store_root_get(d->s, d->from, r->kind, r->id, &(struct disk_ref){0}, NULL) == -ENOENT) {
		err_done(err);
		return 0; /* removed meanwhile */
	}
	if (x < 0)
		return err_ctx(err, x, "%s \"%s\"", r->kind, r->id);
	d->ret->moved++;
	d->ret->bytes += st.stored_bytes;
	return 0;
}

static int move_roots(struct drain *d, const struct root_list *roots, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < roots->n; i++)
		if (lasting(&roots->v[i]) && !elsewhere(d, &roots->v[i]))
			d->total += roots->v[i].disk.size_bytes;
	for (size_t i = 0; i < roots->n && r >= 0; i++) {
		const struct root_copy *c = &roots->v[i];

		if (!lasting(c))
			continue;
		d->ret->roots++;
		if (elsewhere(d, c)) {
			d->ret->elsewhere++;
			continue;
		}
		r = cancel_check(d->cancel);
		r = r < 0 ? err_set(err, r, "cancelled") : move_root(d, c, err);
		d->done += c->disk.size_bytes;
		progress_update(d->progress, "drain", d->done, d->total);
	}
	return r;
}

struct copy_objects {
	struct drain *d;
	struct err *err;
};

static int copy_manifest(void *arg, const char *key, uint64_t bytes)
{
	struct copy_objects *c = arg;
	const char *base = strrchr(key, '/');
	auto_json json_t *m = NULL;
	char hex[DIGEST_HEX];
	struct digest id, got;
	int r;

	if (!base || strlen(base + 1) != 64 + 5)
		return 0;
	memcpy(hex, base + 1, 64);
	hex[64] = '\0';
	if (digest_parse(hex, &id) < 0)
		return 0;
	r = store_manifest_get(c->d->s, c->d->from, &id, &m, c->err);
	if (r >= 0)
		r = store_manifest_put(c->d->s, c->d->to, m, &got, c->err);
	c->d->ret->objects += r >= 0;
	return r;
}

static int copy_record(void *arg, const char *id, uint64_t revision, const json_t *record)
{
	struct copy_objects *c = arg;
	int r = store_catalog_put(c->d->s, c->d->to, id, revision, record, c->err);

	c->d->ret->objects += r >= 0;
	return r;
}

int store_drain(struct store *s, unsigned region, unsigned to, uint64_t max_bytes_per_s,
		struct cancel *cancel, const struct progress *p, struct store_drain_result *ret,
		struct err *err)
{
	struct drain d = {.s = s,
			  .from = region,
			  .to = to,
			  .ret = ret,
			  .rate = max_bytes_per_s,
			  .progress = p,
			  .cancel = cancel};
	struct copy_objects c = {&d, err};
	auto_roots struct root_list roots = {0};
	int r = store_region_check(s, region, err);

	*ret = (struct store_drain_result){0};
	if (r >= 0)
		r = store_region_check(s, to, err);
	if (r >= 0 && (to == region || s->regions[to].draining))
		r = err_set(err, -EINVAL, "region %s cannot take what region %s has",
			    region_name_of(s, to), region_name_of(s, region));
	if (r >= 0)
		r = roots_load(s, region, &roots, err);
	if (r >= 0)
		r = store_session_begin(s, "drain", &d.ss, err);
	if (r >= 0)
		r = move_roots(&d, &roots, err);
	if (r >= 0)
		r = region_list(s->regions[region].region, "manifests/", copy_manifest, &c, err);
	if (r >= 0)
		r = store_catalog_list(s, region, copy_record, &c, err);
	store_session_end(d.ss);
	return r < 0 ? err_ctx(err, r, "drain") : 0;
}

static int delete_object(void *arg, const char *key, uint64_t bytes)
{
	return region_remove(arg, key, NULL);
}

int store_region_forget(struct store *s, unsigned region, bool delete_data, struct err *err)
{
	static const char *const all[] = {"packs/",      "manifests/",  "catalog/", "epochs/",
					  "statements/", "quarantine/", "marks/"};
	struct region *g;
	int r = store_region_check(s, region, err);

	if (r < 0)
		return r;
	if (s->read_only || !s->meta)
		return err_set(err, -EROFS, "the store was opened read-only");
	g = s->regions[region].region;
	r = packs_region_forget(s->meta, g->name, err);
	if (r >= 0)
		r = lookup_clear(s->regions[region].lookup, err);
	for (size_t i = 0; i < ARRAY_SIZE(all) && r >= 0 && delete_data; i++)
		r = region_list(g, all[i], delete_object, g, err);
	if (r >= 0 && delete_data)
		r = region_remove(g, REGION_DOMAIN_KEY, err);
	if (r >= 0 && delete_data)
		r = region_remove(g, REGION_INCARNATION_KEY, err);
	return r;
}

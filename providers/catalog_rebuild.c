/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order matters: records are read; counters are raised above everything seen, so that later
 * records win and no etag is used twice; the regions get rows and roots; resources are written,
 * parents before children; and only then may collection run again.
 */
#include "providers/catalog_rebuild.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/audit.h"
#include "meta/resources.h"
#include "providers/audit_seal.h"
#include "providers/disk_set.h"
#include "providers/registry.h"
#include "providers/soft_delete.h"
#include "providers/version_rules.h"
#include "store/maintain.h"

#define ACTION   "Kiln.Store/catalog/rebuild/action"
#define PLATFORM "platform/" /* records of platform images: no resources, only roots */

struct entry {
	char *key;        /* owned, like all */
	json_t *resource; /* NULL = a tombstone */
	char *api_version;
	unsigned depth;
	char *platform;        /* id of a platform image's root, else NULL */
	const char *kind;      /* of its roots; NULL = it has no content */
	char *deleted;         /* a soft-deleted version: the key that it had */
	json_t *content;       /* borrowed: the document that says which disks it has and where */
	struct disk_ref disk;  /* of a platform image */
	struct disk_set disks; /* of content */
};

static void entry_done(struct entry *e)
{
	free(e->key);
	free(e->api_version);
	free(e->platform);
	free(e->deleted);
	json_decref(e->resource);
	disk_set_done(&e->disks);
}

struct rebuild {
	struct app *app;
	struct entry *v;
	size_t n, cap;
	unsigned region;  /* whose records these are */
	uint64_t highest; /* revision */
	struct cancel *cancel;
	catalog_note_fn *note;
	void *arg;
	struct catalog_rebuilt *ret;
};

static void note(struct rebuild *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct rebuild *w, const char *fmt, ...)
{
	auto_buf struct buf b = BUF_INIT(8192);
	va_list ap;

	va_start(ap, fmt);
	(void) buf_vaddf(&b, fmt, ap);
	va_end(ap);
	if (w->note)
		w->note(w->arg, buf_str(&b));
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int only_highest(void *arg, const char *id, uint64_t revision, const json_t *record)
{
	uint64_t *highest = arg;

	if (revision > *highest)
		*highest = revision;
	return 0;
}

static unsigned depth_of(const char *key)
{
	unsigned n = 0;

	for (; *key; key++)
		n += *key == '/';
	return n;
}

static int take_record(void *arg, const char *id, uint64_t revision, const json_t *record)
{
	struct rebuild *w = arg;
	const json_t *doc = json_object_get(record, "resource");
	const char *api = json_str_at(record, "apiVersion");
	struct entry *e;

	(void) only_highest(&w->highest, id, revision, record);
	w->ret->records++;
	if (str_starts(id, PLATFORM) && !doc)
		doc = record;
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 64;
		struct entry *v = reallocarray(w->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		w->v = v;
		w->cap = cap;
	}
	if (!doc && !json_is_true(json_object_get(record, "deleted"))) {
		note(w, "%s: its record says neither what it is nor that it was deleted", id);
		w->ret->refused++;
		return 0;
	}
	e = &w->v[w->n++];
	*e = (struct entry){
		.key = str_lower(id),
		.resource = doc ? json_deep_copy(doc) : NULL,
		.api_version = strdup(api ? api : API_GALLERY),
		.platform = doc == record ? strdup(id + strlen(PLATFORM)) : NULL,
	};
	e->depth = depth_of(id);
	if (doc == record && !e->platform)
		return -ENOMEM;
	return e->key && e->api_version && (!doc || e->resource) ? 0 : -ENOMEM;
}

static int parents_first(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->depth != y->depth ? (x->depth < y->depth ? -1 : 1) : strcmp(x->key, y->key);
}

static const struct arm_type *type_of(const char *name)
{
	static const char *const kept[] = {TYPE_GALLERY, TYPE_DEFINITION,  TYPE_VERSION,
					   TYPE_APP,     TYPE_APP_VERSION, (TYPE_SOFT_DELETED)};

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (name && str_eq_nocase(name, kept[i]))
			for (size_t k = 0; provider_types[k]; k++)
				if (str_eq(provider_types[k]->name, kept[i]))
					return provider_types[k];
	return NULL;
}

/* What hangs on an entry: 0, or -EINVAL when its record cannot be right. */
static int take_content(struct rebuild *w, struct entry *e, const char *type, struct err *err)
{
	const char *was = json_str_at(e->resource, "properties.resourceArmId");

	e->content = e->resource;
	if (str_eq_nocase(type, TYPE_VERSION)) {
		e->kind = "version";
	} else if (str_eq_nocase(type, TYPE_APP_VERSION)) {
		e->kind = "application";
	} else if (str_eq_nocase(type, TYPE_SOFT_DELETED)) {
		e->kind = "version";
		e->content = json_object_get(e->resource, "version");
		e->deleted = was && is_type(was, TYPE_VERSION) ? str_lower(was) : NULL;
		if (!e->deleted || !e->content)
			return err_set(err, -EINVAL, "it does not tell which version it was");
	}
	return !e->kind ? 0
			: disk_set_load(w->app, e->content, e->kind,
					e->deleted ? e->deleted : e->key, &e->disks, err);
}

/* What is in a record is input: it must be about what its key says. */
static bool entry_check(struct rebuild *w, struct entry *e)
{
	const char *id = json_str_at(e->resource, "id");
	const char *type = json_str_at(e->resource, "type");
	auto_arm_id struct arm_id parsed = {0};
	auto_err struct err own = ERR_INIT;

	if (e->platform)
		return disk_ref_from_json(json_object_get(e->resource, "disk"), &e->disk, NULL) >=
			       0 ||
		       (note(w, "%s: its record has no disk", e->key), false);
	if (!id || arm_id_parse(id, &parsed, &own) < 0 || !parsed.name || !parsed.group ||
	    !str_eq(parsed.key, e->key) || !type || !str_eq_nocase(parsed.type, type) ||
	    !type_of(type)) {
		note(w, "%s: its record is of something else", e->key);
		return false;
	}
	if (take_content(w, e, type, &own) < 0) {
		note(w, "%s: its record has no disk: %s", e->key, err_str(&own));
		return false;
	}
	return true;
}

/* Among the sorted entries, one that is alive. */
static bool alive(const struct rebuild *w, const char *key)
{
	struct entry want = {.key = (char *) key, .depth = depth_of(key)}, *e;

	e = w->n > 0 ? bsearch(&want, w->v, w->n, sizeof(*w->v), parents_first) : NULL;
	return e && e->resource;
}

/* The same for the soft-deleted one of a version. */
static bool alive_deleted(const struct rebuild *w, const char *version)
{
	auto_free char *id = soft_delete_id(version), *key = id ? str_lower(id) : NULL;

	return key && alive(w, key);
}

/* A version that has both records was being deleted or restored: it lives. */
static void drop_restored(struct rebuild *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct entry e = w->v[i];

		if (e.deleted && alive(w, e.deleted))
			entry_done(&e);
		else
			w->v[n++] = e;
	}
	w->n = n;
}

static int read_records(struct rebuild *w, struct err *err)
{
	int r = store_catalog_list(w->app->store, w->region, take_record, w, err);

	/* New revisions must be above those of every region. One that cannot be listed has no say:
	 * a gallery's records are all in its home region. */
	for (unsigned i = 0; r >= 0 && i < w->app->n_regions; i++)
		if (i != w->region)
			(void) store_catalog_list(w->app->store, i, only_highest, &w->highest,
						  NULL);
	for (size_t i = 0; i < w->n && r >= 0; i++) {
		if (!w->v[i].resource || entry_check(w, &w->v[i]))
			continue;
		w->ret->refused++;
		entry_done(&w->v[i]);
		w->v[i--] = w->v[--w->n];
	}
	if (w->n > 0)
		qsort(w->v, w->n, sizeof(*w->v), parents_first);
	drop_restored(w);
	return r;
}

/* ---- Roots ---------------------------------------------------------------------------------- */

static int set_replica(struct entry *e, const char *region, bool whole, const char *why)
{
	json_t *all = json_object_get(e->content, V_REPLICATION);

	if (!json_is_object(all)) {
		all = json_object();
		if (!all || json_object_set_new(e->content, V_REPLICATION, all) < 0)
			return -ENOMEM;
	}
	return json_object_set_new(all, region,
				   json_pack("{s:s, s:i, s:s}", "state",
					     whole ? "Completed" : "Failed", "progress",
					     whole ? 100 : 0, "details", whole ? "" : why)) < 0
		       ? -ENOMEM
		       : 0;
}

/* @place: a region, or a gallery key's place in one. */
static bool is_target(const struct rebuild *w, const struct entry *e, unsigned place)
{
	unsigned region = app_region_of(w->app, place);
	const char *key = app_key_of(w->app, place), *own = json_str_at(e->content, P_DOMAIN);
	const json_t *t;
	size_t i;

	if (e->platform)
		return place == w->region;
	if (!str_eq(own ? own : "", key ? key : ""))
		return false;
	json_array_foreach(json_at(e->content, V_TARGETS), i, t)
	{
		const char *name = json_str_at(t, "name");

		if (name && app_region_index(w->app, name) == (int) region)
			return true;
	}
	return false;
}

/* The roots that an entry should have in a region. */
static size_t add_roots(const struct entry *e, struct store_lost_root *roots)
{
	if (e->platform) {
		roots[0] = (struct store_lost_root){
			.kind = "platform", .id = e->platform, .disk = e->disk};
		return 1;
	}
	for (size_t i = 0; i < e->disks.n; i++)
		roots[i] = (struct store_lost_root){.kind = e->disks.items[i].kind,
						    .id = e->disks.items[i].root,
						    .disk = e->disks.items[i].disk};
	return e->disks.n;
}

/* Rows and roots of one region. */
static int recover_region(struct rebuild *w, unsigned region, struct err *err)
{
	auto_free struct store_lost_root *roots = NULL;
	auto_free size_t *from = NULL;
	struct store_recover_result k;
	size_t n = 0, max = 1;
	int r;

	for (size_t i = 0; i < w->n; i++)
		max += w->v[i].disks.n + 1;
	roots = calloc(max, sizeof(*roots));
	from = calloc(max, sizeof(*from));
	if (!roots || !from)
		return no_memory(err);
	for (size_t i = 0; i < w->n; i++) {
		const struct entry *e = &w->v[i];
		size_t more;

		if ((!e->kind && !e->platform) || !is_target(w, e, region))
			continue;
		more = add_roots(e, roots + n);
		for (size_t m = 0; m < more; m++)
			from[n++] = i;
	}
	r = store_recover(w->app->store, region, roots, n, w->cancel, &k, err);
	w->ret->packs += k.adopted;
	w->ret->roots += (unsigned) k.roots;
	for (size_t i = 0; i < n && r >= 0; i++) {
		struct entry *e = &w->v[from[i]];
		bool whole = roots[i].whole;

		for (size_t m = i + 1; m < n && from[m] == from[i]; m++, i++)
			whole = whole && roots[m].whole;
		if (!whole)
			note(w, "%s: region %s lacks a part of it", e->key,
			     w->app->regions[region].name);
		if (e->kind && set_replica(e, w->app->regions[app_region_of(w->app, region)].name,
					   whole, "This region lacks a part of the version.") < 0)
			r = no_memory(err);
	}
	return r < 0 ? err_ctx(err, r, "region %s", w->app->regions[region].name) : 0;
}

/* Does the manifest that the record names exist anywhere, and is it of the record's disk? */
static bool manifest_right(const struct rebuild *w, const struct entry *e)
{
	const char *text = json_str_at(e->content, "properties.kiln.manifest");
	struct digest d;

	if (!text || digest_parse(text, &d) < 0)
		return false;
	for (unsigned i = 0; i < w->app->n_regions * (1 + w->app->n_keys); i++) {
		auto_json json_t *m = NULL;
		struct disk_ref disk;

		if (store_manifest_get(w->app->store, i, &d, &m, NULL) < 0)
			continue;
		return disk_ref_from_json(json_array_get(json_object_get(m, "disks"), 0), &disk,
					  NULL) >= 0 &&
		       digest_eq(&disk.digest, &e->disks.items[0].disk.digest);
	}
	return false;
}

/* Succeeded is what is whole everywhere; a PUT of the rest finishes what is missing. */
static int judge_version(struct rebuild *w, struct entry *e)
{
	bool image = strcmp(e->kind, "version") == 0, whole = !image || manifest_right(w, e);
	const json_t *t;
	size_t i;

	if (!whole)
		note(w, "%s: its manifest is missing or of another disk", e->key);
	json_array_foreach(json_at(e->content, V_TARGETS), i, t)
	{
		const char *name = json_str_at(t, "name");
		const char *state;

		if (!name)
			continue;
		if (app_region_index(w->app, name) < 0) {
			note(w, "%s: region %s is not configured", e->key, name);
			if (set_replica(e, name, false, "This region is not configured.") < 0)
				return -ENOMEM;
		}
		state = json_str_at(
			json_object_get(json_object_get(e->content, V_REPLICATION), name), "state");
		whole = whole && state && strcmp(state, "Completed") == 0;
	}
	w->ret->incomplete += !whole;
	return json_set_at(e->content, "properties.provisioningState",
			   json_string(whole ? "Succeeded" : "Failed"));
}

/* ---- Resources ------------------------------------------------------------------------------ */

static int audit(struct rebuild *w, const char *id, const char *result, struct err *err)
{
	const struct arm_principal *who = &w->app->owner;
	auto_json json_t *j =
		json_pack("{s:s*, s:s*, s:s*, s:s, s:s, s:s}", "principalId", who->object_id,
			  "principalName", who->name, "principalType", who->kind, "action", ACTION,
			  "resourceId", id, "result", result);

	return j ? audit_add(w->app->meta, j, err) : no_memory(err);
}

/* The group that a gallery was in, when it is gone too. Its tags were kept nowhere. */
static int ensure_group(struct rebuild *w, const char *group_id, const char *location,
			struct err *err)
{
	auto_free char *key = str_lower(group_id);
	auto_free char *target = strf("%s?api-version=%s", group_id, API_GROUP);
	auto_free char *body = strf("{\"location\":\"%s\"}", location);
	auto_resource struct resource have = {0};
	struct arm_response res = {0};
	struct arm_request q = {.method = "PUT", .target = target, .who = &w->app->owner};
	const char *text;
	int r;

	if (!key || !target || !body)
		return no_memory(err);
	r = resource_get(w->app->meta, key, &have, err);
	if (r != -ENOENT)
		return r;
	err_done(err);
	q.body = body;
	q.body_bytes = strlen(body);
	arm_handle(w->app->arm, &q, &res);
	text = json_str_at(res.body, "error.message");
	r = res.status >= 200 && res.status < 300
		    ? 0
		    : err_set(err, -EIO, "%s: %s", group_id, text ? text : "cannot be made");
	arm_response_done(&res);
	return r;
}

static bool newer(const json_t *a, const json_t *b)
{
	int64_t x, y;

	return date_us(a, "systemData.lastModifiedAt", &x) &&
	       date_us(b, "systemData.lastModifiedAt", &y) && x > y;
}

static int write_new(struct rebuild *w, const struct entry *e, const struct arm_id *id,
		     struct err *err)
{
	const struct arm_type *type = type_of(id->type);
	auto_free char *own = type->sort_key ? type->sort_key(id->name) : str_lower(id->name);
	auto_free char *up = str_lower(id->parent);
	auto_resource struct resource res = {
		.key = strdup(e->key),
		.id = strdup(id->text),
		.type = str_lower(type->name),
		.sort = own && up ? strf("%s/%s", up, own) : NULL,
		.api_version = strdup(e->api_version),
		.doc = json_incref(e->resource),
	};

	if (!res.key || !res.id || !res.type || !res.sort || !res.api_version)
		return no_memory(err);
	return resource_create(w->app->meta, &res, err);
}

/* In a transaction. 1 = written, 0 = what is there stays. */
static int write_locked(struct rebuild *w, const struct entry *e, const struct arm_id *id,
			struct err *err)
{
	auto_resource struct resource have = {0};
	int r = resource_get(w->app->meta, e->key, &have, err);

	if (r == -ENOENT) {
		err_done(err);
		r = write_new(w, e, id, err);
	} else if (r >= 0) {
		if (!newer(e->resource, have.doc))
			return 0;
		json_decref(have.doc);
		have.doc = json_incref(e->resource);
		r = resource_update(w->app->meta, &have, true, err);
	}
	if (r >= 0)
		r = audit(w, id->text, "Restored", err);
	return r < 0 ? r : 1;
}

static int restore(struct rebuild *w, struct entry *e, struct err *err)
{
	auto_arm_id struct arm_id id = {0};
	auto_resource struct resource parent = {0};
	auto_free char *parent_key = NULL;
	auto_arm_id struct arm_id was = {0};
	const char *location = json_str_at(e->resource, "location");
	int r = arm_id_parse(json_str_at(e->resource, "id"), &id, err);

	if (r >= 0 && id.n_names == 1)
		r = ensure_group(w, id.parent, location ? location : w->app->regions[0].name, err);
	if (r >= 0 && (e->kind ? judge_version(w, e)
			       : json_set_at(e->resource, "properties.provisioningState",
					     json_string("Succeeded"))) < 0)
		r = no_memory(err);
	/* A soft-deleted one hangs on the definition that it was of. */
	if (r >= 0 && e->deleted)
		r = arm_id_parse(e->deleted, &was, err);
	parent_key = r >= 0 ? str_lower(e->deleted ? was.parent : id.parent) : NULL;
	if (r >= 0 && !parent_key)
		r = no_memory(err);
	if (r < 0)
		return r;
	r = resource_get(w->app->meta, parent_key, &parent, err);
	if (r == -ENOENT) {
		err_done(err);
		note(w, "%s: what it belongs to is not there", e->key);
		w->ret->refused++;
		return e->kind ? disk_set_drop(w->app, &e->disks, -1, err) : 0;
	}
	if (r >= 0)
		r = meta_begin(w->app->meta, err);
	if (r < 0)
		return r;
	r = write_locked(w, e, &id, err);
	w->ret->restored += r > 0;
	w->ret->kept += r == 0;
	if (r >= 0)
		return meta_commit(w->app->meta, err);
	meta_rollback(w->app->meta);
	return r;
}

/* The roots of what is buried, unless a record that is alive needs them: a version that is only
 * soft-deleted has its disks still, and one that was restored has them again. */
static int bury_content(struct rebuild *w, const char *key, const json_t *doc, struct err *err)
{
	const json_t *version = json_object_get(doc, "version");
	const char *was = json_str_at(doc, "properties.resourceArmId");
	auto_free char *of = version && was ? str_lower(was) : strdup(key);
	int r;

	if (!of)
		return no_memory(err);
	if (alive(w, of) || alive_deleted(w, of))
		return 0;
	r = disk_set_drop_doc(w->app, version ? version : doc, "version", of, err);
	return r < 0 ? r : disk_set_drop_doc(w->app, doc, "application", of, err);
}

/* A database from an older copy may still have what was deleted since. */
static int bury(struct rebuild *w, const struct entry *e, struct err *err)
{
	auto_resource struct resource have = {0};
	int r = resource_get(w->app->meta, e->key, &have, err);

	w->ret->tombstones++;
	if (r == -ENOENT) {
		err_done(err);
		return 0;
	}
	if (r >= 0)
		r = bury_content(w, e->key, have.doc, err);
	if (r >= 0)
		r = meta_begin(w->app->meta, err);
	if (r < 0)
		return r;
	r = resource_delete(w->app->meta, e->key, err);
	if (r >= 0)
		r = audit(w, have.id, "Deleted", err);
	if (r >= 0)
		return meta_commit(w->app->meta, err);
	meta_rollback(w->app->meta);
	return r;
}

static int write_all(struct rebuild *w, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < w->n && r >= 0; i++) {
		r = cancel_check(w->cancel);
		if (r < 0)
			return err_set(err, r, "cancelled");
		if (w->v[i].platform)
			continue; /* a root is all there is of it */
		r = w->v[i].resource ? restore(w, &w->v[i], err) : bury(w, &w->v[i], err);
		if (r < 0)
			(void) err_ctx(err, r, "%s", w->v[i].key);
	}
	return r;
}

/* The audit log begins anew, or where the older copy ended; whoever rebuilds knows that. */
static int accept_audit(struct app *a, const char *region, struct err *err)
{
	auto_free char *why = strf("the catalog was rebuilt from region %s", region);
	int r = why ? audit_seal_accept(a, why, err) : no_memory(err);

	if (r != -EALREADY)
		return r;
	err_done(err);
	return 0;
}

int catalog_rebuild(struct app *a, const char *region, struct cancel *cancel, catalog_note_fn *fn,
		    void *arg, struct catalog_rebuilt *ret, struct err *err)
{
	struct rebuild w = {.app = a, .cancel = cancel, .note = fn, .arg = arg, .ret = ret};
	int at = app_region_index(a, region), r;

	*ret = (struct catalog_rebuilt){0};
	if (at < 0)
		return err_set(err, -ENOENT, "region %s is not configured", region);
	w.region = (unsigned) at;
	r = read_records(&w, err);
	/* The counters first: what is written from now on, by anybody, must be newer. */
	if (r >= 0)
		r = counter_raise(a->meta, "catalog", (int64_t) w.highest, err);
	if (r >= 0)
		r = counter_raise(a->meta, "revision", time_now_us() / 1000, err);
	for (unsigned i = 0; r >= 0 && i < a->n_regions * (1 + a->n_keys); i++)
		r = recover_region(&w, i, err);
	if (r >= 0)
		r = write_all(&w, err);
	if (r >= 0)
		r = store_recover_end(a->store, err);
	if (r >= 0)
		r = accept_audit(a, region, err);
	for (size_t i = 0; i < w.n; i++)
		entry_done(&w.v[i]);
	free(w.v);
	return r < 0 ? err_ctx(err, r, "rebuild-catalog") : 0;
}

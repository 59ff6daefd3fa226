/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/disk_set.h"

#include "base/mem.h"
#include "providers/disk.h"
#include "providers/import.h"

#define DATA_KIND "dataDisk"

static char *root_id(const char *key, int64_t lun)
{
	return lun < 0 ? strdup(key) : strf("%s#%lld", key, (long long) lun);
}

void disk_set_done(struct disk_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->items[i].root);
	free(s->items);
	*s = (struct disk_set){0};
}

static int add(struct disk_set *s, int64_t lun, const json_t *disk, unsigned origin,
	       const char *kind, const char *key, struct err *err)
{
	struct disk_item *i = &s->items[s->n];
	int r;

	*i = (struct disk_item){.lun = lun, .origin = origin, .kind = kind};
	r = disk_ref_from_json(disk, &i->disk, err);
	if (r < 0)
		return err_ctx(err, r, "disk of %s", key);
	i->root = root_id(key, lun);
	if (!i->root)
		return no_memory(err);
	s->n++;
	return 0;
}

static int region_at(struct app *a, const json_t *doc, const char *path, struct err *err)
{
	const char *name = json_str_at(doc, path);
	int at = app_region_index(a, name ? name : "");

	return at >= 0 ? at : err_set(err, -EIO, "region '%s' is not configured", name ? name : "");
}

int disk_set_load(struct app *a, const json_t *doc, const char *kind, const char *key,
		  struct disk_set *ret, struct err *err)
{
	const json_t *data = json_at(doc, S_DATA);
	int own = doc_place(a, doc, json_str_at(doc, "location"), err), origin = own;
	struct disk_set s = {0};
	int r = own < 0 ? own : 0;

	if (r == 0 && json_at(doc, "origin.region")) {
		origin = region_at(a, doc, "origin.region", err);
		r = origin < 0 ? origin : 0;
	}
	if (r < 0)
		return r;
	s.items = calloc(json_array_size(data) + 1, sizeof(*s.items));
	if (!s.items)
		return no_memory(err);
	r = add(&s, -1, json_at(doc, S_DISK), (unsigned) origin, kind, key, err);
	for (size_t i = 0; i < json_array_size(data) && r == 0; i++) {
		const json_t *d = json_array_get(data, i);
		int from = json_object_get(d, "from") ? region_at(a, d, "from", err) : own;

		r = from < 0 ? from
			     : add(&s, json_int_at(d, "lun", 0), json_object_get(d, "disk"),
				   (unsigned) from, DATA_KIND, key, err);
	}
	if (r < 0) {
		disk_set_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

bool disk_set_whole(struct app *a, const struct disk_set *s, unsigned region)
{
	for (size_t i = 0; i < s->n; i++) {
		struct disk_ref has;

		if (store_root_get(a->store, region, s->items[i].kind, s->items[i].root, &has,
				   NULL) < 0 ||
		    !digest_eq(&has.digest, &s->items[i].disk.digest))
			return false;
	}
	return true;
}

int disk_set_place(struct app *a, struct store_session *session, const struct disk_set *s, int from,
		   unsigned to, struct cancel *cancel, const struct progress *p, struct err *err)
{
	uint64_t rate =
		(uint64_t) json_int_at(a->config, "limits.replicationMegabytesPerSecond", 0) *
		1000000;
	struct store_stats stats;

	for (size_t i = 0; i < s->n; i++) {
		const struct disk_item *d = &s->items[i];
		unsigned source = from >= 0 ? (unsigned) from : d->origin;
		int r = 0;

		if (source != to)
			r = store_replicate(session, source, to, &d->disk, rate, cancel, p, &stats,
					    err);
		if (r == 0)
			r = store_root_add(session, to, d->kind, d->root, &d->disk, err);
		if (r < 0)
			return d->lun < 0 ? r
					  : err_ctx(err, r, "data disk %lld", (long long) d->lun);
	}
	return 0;
}

int disk_set_drop(struct app *a, const struct disk_set *s, int region, struct err *err)
{
	for (size_t i = 0; i < s->n; i++) {
		int r = store_root_remove(a->store, region, s->items[i].kind, s->items[i].root,
					  err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int drop_luns(struct app *a, const json_t *list, const char *kind, const char *key,
		     struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < json_array_size(list) && r == 0; i++) {
		int64_t lun = json_int_at(json_array_get(list, i), "lun", 0);
		auto_free char *root = root_id(key, lun);

		r = root ? store_root_remove(a->store, -1, lun < 0 ? kind : DATA_KIND, root, err)
			 : no_memory(err);
	}
	return r;
}

int disk_set_drop_doc(struct app *a, const json_t *doc, const char *kind, const char *key,
		      struct err *err)
{
	int r = store_root_remove(a->store, -1, kind, key, err);

	if (r == 0)
		r = drop_luns(a, json_at(doc, S_DATA), kind, key, err);
	return r < 0 ? r : drop_luns(a, json_object_get(doc, S_IMPORTS), kind, key, err);
}

/* ---- Imports -------------------------------------------------------------------------------- */

static int import_one(struct arm_job *job, struct store_session *session, unsigned region,
		      const char *kind, const json_t *want, struct disk_ref *ret, struct err *err)
{
	struct app *a = job->app;
	int64_t lun = json_int_at(want, "lun", -1);
	auto_free char *root = root_id(job->id->key, lun);
	const char *uri = json_str_at(want, "uri");
	int r;

	if (!root)
		return no_memory(err);
	if (lun >= 0)
		kind = DATA_KIND;
	if (store_root_get(a->store, region, kind, root, ret, NULL) == 0)
		return 0; /* by a run of this job that died */
	r = import_uri(job, session, region, uri ? uri : "", ret, err);
	return r < 0 ? r : store_root_add(session, region, kind, root, ret, err);
}

static int by_lun(const void *a, const void *b)
{
	int64_t x = json_int_at(*(json_t *const *) a, "lun", 0);
	int64_t y = json_int_at(*(json_t *const *) b, "lun", 0);

	return x < y ? -1 : x > y;
}

static int note_data(json_t *doc, const json_t *want, const struct disk_ref *disk, struct err *err)
{
	json_t *list = json_at(doc, S_DATA);
	json_t *one =
		json_pack("{s:I, s:o, s:b, s:s*}", "lun", (json_int_t) json_int_at(want, "lun", 0),
			  "disk", disk_ref_to_json(disk), "trusted", 0, "hostCaching",
			  json_str_at(want, "hostCaching"));

	if (!list) {
		list = json_array();
		if (json_set_at(doc, S_DATA, list) < 0) {
			json_decref(one);
			return no_memory(err);
		}
	}
	return json_array_append_new(list, one) < 0 ? no_memory(err) : 0;
}

/* Data disks in the order of their LUNs, so that the same image always has the same manifest. */
static int sort_data(json_t *doc, struct err *err)
{
	json_t *list = json_at(doc, S_DATA), *sorted;
	size_t n = json_array_size(list);
	auto_free json_t **all = n ? calloc(n, sizeof(json_t *)) : NULL;
	int r = 0;

	if (n == 0)
		return 0;
	sorted = json_array();
	if (!all || !sorted) {
		json_decref(sorted);
		return no_memory(err);
	}
	for (size_t i = 0; i < n; i++)
		all[i] = json_array_get(list, i);
	qsort(all, n, sizeof(json_t *), by_lun);
	for (size_t i = 0; i < n && r == 0; i++)
		r = json_array_append(sorted, all[i]);
	if (r == 0)
		return json_set_at(doc, S_DATA, sorted) < 0 ? no_memory(err) : 0;
	json_decref(sorted);
	return no_memory(err);
}

int disk_set_import(struct arm_job *job, struct store_session *session, const char *kind,
		    json_t *doc, struct err *err)
{
	const json_t *imports = json_object_get(doc, S_IMPORTS);
	int region = doc_place(job->app, doc, json_str_at(doc, "location"), err);
	int r = region < 0 ? region : 0;
	json_t *patch;

	if (r < 0 || json_array_size(imports) == 0)
		return r < 0 ? r : sort_data(doc, err);
	for (size_t i = 0; i < json_array_size(imports) && r == 0; i++) {
		const json_t *want = json_array_get(imports, i);
		struct disk_ref disk;

		r = import_one(job, session, (unsigned) region, kind, want, &disk, err);
		if (r == 0 && json_int_at(want, "lun", -1) >= 0)
			r = note_data(doc, want, &disk, err);
		else if (r == 0 && json_set_at(doc, S_DISK, disk_ref_to_json(&disk)) < 0)
			r = no_memory(err);
	}
	if (r == 0)
		r = sort_data(doc, err);
	if (r < 0)
		return r;
	(void) json_object_del(doc, S_IMPORTS);
	patch = json_pack("{s:n, s:{s:O}}", S_IMPORTS, "properties", "kiln",
			  json_at(doc, "properties.kiln"));
	return patch ? arm_job_patch(job, patch, false, err) : no_memory(err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Roots, usage: the public face of the rows. */
#include "base/mem.h"
#include "store/internal.h"

static int need_rows(const struct store *s, struct err *err)
{
	return s->meta ? 0 : err_set(err, -EROFS, "this store was opened without its rows");
}

int store_root_add(struct store_session *ss, unsigned region, const char *kind, const char *id,
		   const struct disk_ref *disk, struct err *err)
{
	struct root_row row = {
		.kind = kind,
		.id = id,
		.root = disk->root,
		.digest = disk->digest,
		.size_bytes = disk->size_bytes,
	};
	int r = store_region_check(ss->store, region, err);

	if (r >= 0)
		r = session_hold(ss, region, disk, err);
	if (r < 0)
		return err_ctx(err, r, "root %s \"%s\"", kind, id);
	row.region = region_name_of(ss->store, region);
	r = packs_root_add(ss->store->meta, &ss->key, &row, err);
	return r < 0 ? err_ctx(err, r, "root %s \"%s\"", kind, id) : 0;
}

int store_root_get(struct store *s, unsigned region, const char *kind, const char *id,
		   struct disk_ref *ret, struct err *err)
{
	struct root_row row = {.kind = kind, .id = id};
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = need_rows(s, err);
	if (r < 0)
		return r;
	row.region = region_name_of(s, region);
	r = packs_root_get(s->meta, &row, err);
	if (r < 0)
		return r;
	disk_ref_make(&row.root, row.size_bytes, ret);
	if (!digest_eq(&ret->digest, &row.digest))
		return err_set(err, -EBADMSG, "root %s \"%s\": its row is damaged", kind, id);
	return 0;
}

int store_root_remove(struct store *s, int region, const char *kind, const char *id,
		      struct err *err)
{
	int r = need_rows(s, err);

	if (r >= 0 && region >= 0)
		r = store_region_check(s, (unsigned) region, err);
	if (r < 0)
		return r;
	return packs_root_remove(s->meta, region >= 0 ? region_name_of(s, (unsigned) region) : NULL,
				 kind, id, err);
}

struct list {
	struct store *s;
	store_root_fn *fn;
	void *arg;
};

static int list_row(void *arg, const struct root_row *row)
{
	struct list *l = arg;
	struct disk_ref d;
	int i = store_region_index(l->s, row->region, NULL);

	if (i < 0)
		return 0; /* of a region that this store was not opened with */
	disk_ref_make(&row->root, row->size_bytes, &d);
	return l->fn(l->arg, (unsigned) i, row->kind, row->id, &d);
}

int store_root_list(struct store *s, const char *kind, store_root_fn *fn, void *arg,
		    struct err *err)
{
	struct list l = {s, fn, arg};
	int r = need_rows(s, err);

	return r < 0 ? r : packs_root_list(s->meta, NULL, kind, list_row, &l, err);
}

int store_root_use(struct store *s, unsigned region, const char *kind, const char *id,
		   int64_t cost_bytes, struct err *err)
{
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = need_rows(s, err);
	return r < 0 ? r
		     : packs_root_use(s->meta, region_name_of(s, region), kind, id, cost_bytes,
				      err);
}

int store_root_remove_unused(struct store *s, unsigned region, const char *kind, const char *id,
			     int64_t before_us, bool *ret_removed, struct err *err)
{
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = need_rows(s, err);
	return r < 0 ? r
		     : packs_root_remove_unused(s->meta, region_name_of(s, region), kind, id,
						before_us, ret_removed, err);
}

struct use_list {
	struct store *s;
	store_use_fn *fn;
	void *arg;
};

static int list_use_row(void *arg, const struct root_row *row)
{
	struct use_list *l = arg;
	const struct store_use use = {
		.last_us = row->used_us > row->created_us ? row->used_us : row->created_us,
		.cost_bytes = (uint64_t) row->cost_bytes,
	};
	int i = store_region_index(l->s, row->region, NULL);

	return i < 0 ? 0 : l->fn(l->arg, (unsigned) i, row->id, &use);
}

int store_root_list_use(struct store *s, const char *kind, store_use_fn *fn, void *arg,
			struct err *err)
{
	struct use_list l = {s, fn, arg};
	int r = need_rows(s, err);

	return r < 0 ? r : packs_root_list(s->meta, NULL, kind, list_use_row, &l, err);
}

int store_usage(struct store *s, unsigned region, json_t **ret, struct err *err)
{
	uint64_t packs, bytes, frames;
	char key_id[KEY_ID_HEX];
	bool encrypted;
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = need_rows(s, err);
	if (r >= 0)
		r = packs_usage(s->meta, region_name_of(s, region), &packs, &bytes, &frames, err);
	if (r < 0)
		return r;
	encrypted = store_region_encrypted(s, region, key_id);
	*ret = json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I}", "region", region_name_of(s, region),
			 "deduplicationDomain", region_name_of(s, region), "keyId",
			 encrypted ? key_id : NULL, "packs", (json_int_t) packs, "storedBytes",
			 (json_int_t) bytes, "frames", (json_int_t) frames);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows anew for a region whose database was lost. Trust nothing that is only a hint: a pack counts
 * when its trailer is read and right, a root when every name below it lies in such a pack.
 */
#include "base/mem.h"
#include "store/maintain.h"
#include "store/walk.h"

#define COPIES_MAX 16

struct recover {
	struct store *s;
	unsigned region;
	struct store_recover_result *ret;
	struct dmap packs; /* valid ones, by id padded to a digest */
	struct dmap seen;  /* nodes below which all is there */
	struct err *err;
};

static struct digest pack_name(const struct pack_id *id)
{
	struct digest d = {{0}};

	memcpy(d.b, id->b, PACK_ID_BYTES);
	d.b[DIGEST_BYTES - 1] = 1; /* never zero, which means a free slot */
	return d;
}

/* Every valid pack gets a row and is in the lookup. */
static int adopt_pack(void *arg, const char *key, uint64_t bytes)
{
	struct recover *w = arg;
	struct store_region *g = &w->s->regions[w->region];
	auto_pack_index struct pack_index x = {0};
	struct pack_row row;
	struct digest name;
	struct pack_id id;
	bool fresh;
	int r;

	if (pack_id_of_key(key, &id) < 0)
		return 0;
	r = pack_index_load(g, &id, &x, NULL);
	if (r == -ENOMEM)
		return err_set(w->err, r, "out of memory");
	if (r < 0) {
		w->ret->damaged++; /* store_check() says more, and repairs */
		return 0;
	}
	w->ret->packs++;
	name = pack_name(&id);
	if (!dmap_get(&w->packs, &name, &fresh))
		return err_set(w->err, -ENOMEM, "out of memory");
	r = packs_get(w->s->meta, g->region->name, &id, &row, NULL);
	if (r == -ENOENT) {
		r = packs_adopt(w->s->meta, g->region->name, &id, x.bytes, x.n, w->err);
		w->ret->adopted += r >= 0;
	} else if (r >= 0 && row.state == PACK_CONDEMNED) {
		/* What hangs on it may be about to get its root back. */
		r = packs_rescue(w->s->meta, g->region->name, &id, w->err);
	}
	if (r >= 0 && !lookup_has_pack(g->lookup, &id))
		r = lookup_add_pack(g->lookup, &id, x.entries, x.n, false, w->err);
	return r < 0 ? r : 0;
}

static int see_node(void *arg, const struct digest *name, unsigned level, struct err *err)
{
	struct recover *w = arg;
	bool fresh;

	if (!dmap_get(&w->seen, name, &fresh))
		return err_set(err, -ENOMEM, "out of memory");
	return fresh; /* tree_walk() reads and proves it */
}

static int see_chunk(void *arg, const struct digest *name, struct err *err)
{
	struct recover *w = arg;
	struct frame_loc copies[COPIES_MAX];
	char hex[DIGEST_HEX];
	unsigned n;

	n = lookup_copies(w->s->regions[w->region].lookup, name, copies, COPIES_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct digest pack = pack_name(&copies[i].pack);

		if (dmap_find(&w->packs, &pack))
			return 0;
	}
	return err_set(err, -ENOENT, "chunk %s is missing", digest_hex(name, hex));
}

/* 1 when every byte's place is known and its pack is there, 0 when not. */
static int is_whole(struct recover *w, const struct disk_ref *disk, struct cancel *cancel,
		    struct err *err)
{
	const struct walk_ops ops = {see_node, see_chunk, w};
	auto_err struct err own = ERR_INIT;
	int r = tree_walk(w->s, w->region, disk, &ops, cancel, &own);

	if (r >= 0)
		return 1;
	dmap_done(&w->seen); /* it names nodes whose descent was broken off */
	w->seen = (struct dmap){0};
	if (r == -ENOENT || r == -EBADMSG || r == -ENODATA || r == -EIO)
		return 0;
	if (err)
		err_move(err, &own);
	return r;
}

static int add_roots(struct recover *w, struct store_session *ss, struct store_lost_root *roots,
		     size_t n, struct cancel *cancel, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		r = is_whole(w, &roots[i].disk, cancel, err);
		roots[i].whole = r > 0;
		if (r <= 0)
			continue;
		/* No collection runs meanwhile, so nothing needs pins. */
		r = session_product(ss, w->region, &roots[i].disk, err);
		if (r >= 0)
			r = store_root_add(ss, w->region, roots[i].kind, roots[i].id,
					   &roots[i].disk, err);
		w->ret->roots += r >= 0;
	}
	return r < 0 ? r : 0;
}

int store_recover(struct store *s, unsigned region, struct store_lost_root *roots, size_t n,
		  struct cancel *cancel, struct store_recover_result *ret, struct err *err)
{
	struct recover w = {.s = s, .region = region, .ret = ret, .err = err};
	struct store_session *ss = NULL;
	int r = store_region_check(s, region, err);

	*ret = (struct store_recover_result){0};
	if (r < 0)
		return r;
	if (s->read_only)
		return err_set(err, -EROFS, "recover: the store is read-only");
	r = session_alone(s, region, "recover", &ss, NULL, err);
	if (r >= 0)
		r = region_list(s->regions[region].region, "packs/", adopt_pack, &w, err);
	if (r >= 0)
		r = add_roots(&w, ss, roots, n, cancel, err);
	if (r >= 0)
		r = incarnation_accept(s, region, err);
	store_session_end(ss);
	dmap_done(&w.packs);
	dmap_done(&w.seen);
	return r < 0 ? err_ctx(err, r, "recover") : 0;
}

int store_recover_end(struct store *s, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < s->n_regions && r >= 0; i++) {
		int64_t epoch;

		r = gc_region_epoch(s, i, &epoch, err);
		if (r >= 0)
			r = packs_epoch_raise(s->meta, epoch, err);
	}
	return r < 0 ? err_ctx(err, r, "recover") : 0;
}

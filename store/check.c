/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proving a region whole, and making it so. Repair only adds or moves aside: what a damaged pack
 * still holds is written anew before the pack goes to quarantine; what is missing is fetched from
 * other regions, node by node, so that a tree that lost its top is healed as well.
 */
#include "base/mem.h"
#include "base/timeutil.h"
#include "store/maintain.h"
#include "store/walk.h"

struct check {
	struct store *s;
	unsigned region;
	unsigned flags;
	struct store *const *others;
	size_t n_others;
	struct cancel *cancel;
	store_finding_fn *fn;
	void *arg;
	struct store_check_result *ret;
	struct row_list rows;
	struct store_session *ss; /* healing */
	struct codec *codec;
	struct dmap seen;    /* nodes that a root walk has visited, chunks that it missed */
	struct dmap damaged; /* frames that do not decode */
	uint64_t unhealed;   /* frames of damaged packs that nobody has */
};

static void finding(struct check *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void finding(struct check *k, const char *fmt, ...)
{
	auto_buf struct buf b = BUF_INIT(4096);
	va_list ap;

	va_start(ap, fmt);
	(void) buf_vaddf(&b, fmt, ap);
	va_end(ap);
	if (k->fn)
		k->fn(k->arg, buf_str(&b));
}

static bool healing(const struct check *k)
{
	return k->flags & STORE_CHECK_HEAL;
}

/* Errors that say nothing about the bytes in the region: the check ends with them. To take them
 * for damage would put good packs aside. */
static bool unrelated(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EACCES || r == -EPERM ||
	       r == -EINTR || r == -EAGAIN || r == -ENOBUFS || r == -ENOSPC || r == -EROFS ||
	       r == -EPROTO || r == -ENOKEY;
}

/* Is one frame what its entry says? A delta needs its base: the region's own reader knows. */
static int try_frame(struct check *k, const struct pack_id *pack, uint32_t i,
		     const struct pack_entry *e)
{
	uint8_t raw[FRAME_MAX + PACK_TAG_BYTES], plain[CHUNK_BYTES];
	struct frame_loc loc = {*pack,   (uint32_t) e->offset, e->length, i,
				e->kind, e->encoding,          e->level};
	struct cache_entry *base = NULL;
	struct digest name;
	unsigned depth;
	uint32_t n;
	int r = fetch_frame(k->s, k->region, &e->name, &loc, raw, &n, NULL);

	if (r < 0)
		return r;
	k->ret->frames++;
	if (e->encoding != FRAME_DELTA)
		return fetch_decode(k->codec, &e->name, &loc, raw, n, plain,
				    e->kind == FRAME_NODE ? NODE_BYTES : CHUNK_BYTES);
	r = delta_head(raw, n, &name, &depth);
	if (r < 0)
		return r;
	r = fetch_node(k->s, k->region, &name, e->level, &base, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* a dead delta may have lost its base */
	memcpy(plain, cache_data(base), NODE_BYTES);
	cache_give(k->s->cache, base);
	r = delta_apply(raw, n, (struct node *) plain);
	if (r < 0)
		return r;
	node_name((struct node *) plain, e->level, &name);
	return digest_eq(&name, &e->name) ? 0 : -EBADMSG;
}

/* A read error counts when it comes twice. */
static int prove_frame(struct check *k, const struct pack_id *pack, uint32_t i,
		       const struct pack_entry *e)
{
	int r = try_frame(k, pack, i, e);

	return r == -EIO ? try_frame(k, pack, i, e) : r;
}

/* Writes one plain chunk or node that the region lacks. */
static int put_frame(struct check *k, const struct digest *name, enum frame_kind kind,
		     unsigned level, const void *plain, struct err *err)
{
	struct new_frame f = {.name = *name, .kind = kind, .level = level};
	struct writer *w;
	size_t n;
	bool added;
	int r = session_writer(k->ss, k->region, &w, err);

	if (r < 0)
		return r;
	writer_replace(w);
	r = codec_encode(k->codec, plain, kind == FRAME_NODE ? NODE_BYTES : CHUNK_BYTES, &f.bytes,
			 &n, &f.encoding, err);
	if (r < 0)
		return r;
	f.n = (uint32_t) n;
	return writer_add(w, &f, &added, err);
}

static int read_once(struct check *k, const struct pack_id *id, const struct pack_entry *e,
		     uint32_t i, void *dst)
{
	uint8_t raw[FRAME_MAX + PACK_TAG_BYTES];
	struct frame_loc loc = {*id,     (uint32_t) e->offset, e->length, i,
				e->kind, e->encoding,          e->level};
	struct cache_entry *held = NULL;
	uint32_t n;
	int r;

	if (e->encoding == FRAME_DELTA) {
		r = fetch_node(k->s, k->region, &e->name, e->level, &held, NULL);
		if (r < 0)
			return r;
		memcpy(dst, cache_data(held), NODE_BYTES);
		cache_give(k->s->cache, held);
		return 0;
	}
	r = fetch_frame(k->s, k->region, &e->name, &loc, raw, &n, NULL);
	return r < 0 ? r
		     : fetch_decode(k->codec, &e->name, &loc, raw, n, dst,
				    e->kind == FRAME_NODE ? NODE_BYTES : CHUNK_BYTES);
}

static int read_whole(struct check *k, const struct pack_id *id, const struct pack_entry *e,
		      uint32_t i, void *dst)
{
	int r = read_once(k, id, e, i, dst);

	return r == -EIO ? read_once(k, id, e, i, dst) : r;
}

/* A plain chunk or node from anywhere else; -ENOENT when nobody has it, an unrelated error when
 * that could not be found out. */
static int fetch_elsewhere(struct check *k, const struct digest *name, enum frame_kind kind,
			   unsigned level, void *dst)
{
	int doubt = -ENOENT;

	for (size_t o = 0; o <= k->n_others; o++) {
		struct store *s = o == 0 ? k->s : k->others[o - 1];

		for (unsigned i = 0; i < s->n_regions; i++) {
			unsigned depth;
			int r;

			if (s == k->s && i == k->region)
				continue;
			r = kind == FRAME_NODE
				    ? fetch_node_copy(s, i, name, level, dst, &depth, NULL)
				    : fetch_chunk(s, i, k->codec, name, dst, NULL);
			if (r >= 0)
				return 0;
			if (unrelated(r))
				doubt = r;
		}
	}
	return doubt;
}

/* Moves what is good out of a damaged pack, the rest from elsewhere, then the pack aside. What is
 * nowhere may be dead: the walk of the roots tells. */
static int salvage(struct check *k, const struct pack_id *id, struct pack_index *x, struct err *err)
{
	struct store_region *g = &k->s->regions[k->region];
	uint8_t plain[CHUNK_BYTES];
	char key[REGION_KEY_MAX];
	struct writer *w;
	int r = 0;

	/* Without a trailer the lookup still knows where its frames were. */
	if (!x->entries)
		r = lookup_frames(g->lookup, id, &x->entries, &x->n, err);
	for (uint32_t i = 0; i < x->n && r >= 0; i++) {
		const struct pack_entry *e = &x->entries[i];
		int got;

		if (digest_is_zero(&e->name))
			continue; /* a frame that the lookup does not know */
		got = read_whole(k, id, e, i, plain);
		if (got < 0 && !unrelated(got)) {
			got = fetch_elsewhere(k, &e->name, (enum frame_kind) e->kind, e->level,
					      plain);
			k->ret->healed += got >= 0;
			k->unhealed += got == -ENOENT;
		}
		if (got >= 0)
			r = put_frame(k, &e->name, (enum frame_kind) e->kind, e->level, plain, err);
		else if (unrelated(got))
			r = err_set(err, got, "cannot read a damaged pack: %s", strerror(-got));
	}
	if (r >= 0)
		r = session_writer(k->ss, k->region, &w, err);
	if (r >= 0)
		r = writer_flush(w, err);
	pack_key_of(id, key);
	if (r >= 0)
		r = region_quarantine(g->region, key, err);
	if (r >= 0)
		r = lookup_remove_pack(g->lookup, id, x->n ? x->entries : NULL, x->n, err);
	if (r >= 0)
		r = packs_lost(k->s->meta, g->region->name, id, err);
	return r;
}

static int check_frames(struct check *k, const struct pack_id *id, const struct pack_index *x,
			bool *ret_bad, struct err *err)
{
	char hex[DIGEST_HEX], pack[PACK_ID_HEX];

	hex_encode(id->b, sizeof(id->b), pack);
	for (uint32_t i = 0; i < x->n; i++) {
		bool fresh;
		int r = cancel_check(k->cancel);

		if (r < 0)
			return err_set(err, r, "cancelled");
		r = prove_frame(k, id, i, &x->entries[i]);
		if (r >= 0)
			continue;
		if (unrelated(r))
			return err_set(err, r, "pack %s: %s", pack, strerror(-r));
		*ret_bad = true;
		k->ret->damaged_frames++;
		if (!dmap_get(&k->damaged, &x->entries[i].name, &fresh))
			return err_set(err, -ENOMEM, "out of memory");
		finding(k, "pack %s: frame %u at byte %llu is not %s", pack, i,
			(unsigned long long) x->entries[i].offset,
			digest_hex(&x->entries[i].name, hex));
	}
	return 0;
}

static int load_index(struct check *k, const struct pack_id *id, struct pack_index *x,
		      struct err *err)
{
	struct store_region *g = &k->s->regions[k->region];
	int r = pack_index_load(g, id, x, err);

	return r == -EIO ? pack_index_load(g, id, x, err) : r;
}

static int check_pack(struct check *k, const struct pack_row *row, struct err *err)
{
	struct store_region *g = &k->s->regions[k->region];
	auto_pack_index struct pack_index x = {0};
	auto_err struct err own = ERR_INIT;
	char pack[PACK_ID_HEX];
	bool bad = false;
	int r;

	hex_encode(row->id.b, sizeof(row->id.b), pack);
	k->ret->packs++;
	r = load_index(k, &row->id, &x, &own);
	if (unrelated(r))
		return err_set(err, r, "%s", err_str(&own));
	if (r < 0) {
		finding(k, "pack %s: %s", pack, err_str(&own));
		bad = true;
	} else if (x.bytes != row->bytes || x.n != row->frames) {
		finding(k, "pack %s: %llu bytes and %u frames, its row says %llu and %llu", pack,
			(unsigned long long) x.bytes, x.n, (unsigned long long) row->bytes,
			(unsigned long long) row->frames);
		bad = true;
	}
	k->ret->bytes += x.bytes;
	if (!bad && (k->flags & STORE_CHECK_READ_DATA)) {
		r = check_frames(k, &row->id, &x, &bad, err);
		if (r < 0)
			return r;
	}
	if (!bad && !lookup_has_pack(g->lookup, &row->id))
		r = lookup_add_pack(g->lookup, &row->id, x.entries, x.n, false, err);
	if (!bad)
		return r < 0 ? r : 0;
	k->ret->damaged_packs++;
	return healing(k) ? salvage(k, &row->id, &x, err) : 0;
}

struct strays {
	struct check *k;
	struct err *err;
};

/* Packs without a row: adopted when valid, else moved aside. */
static int stray_key(void *arg, const char *key, uint64_t bytes)
{
	struct strays *st = arg;
	struct check *k = st->k;
	struct store_region *g = &k->s->regions[k->region];
	auto_pack_index struct pack_index x = {0};
	struct pack_row row;
	struct pack_id id;
	int r;

	if (pack_id_of_key(key, &id) >= 0 &&
	    (rows_find(&k->rows, &id) ||
	     packs_get(k->s->meta, g->region->name, &id, &row, NULL) >= 0))
		return 0;
	k->ret->strays++;
	r = pack_id_of_key(key, &id) < 0 ? -EINVAL : load_index(k, &id, &x, NULL);
	if (unrelated(r))
		return err_set(st->err, r, "%s: %s", key, strerror(-r));
	finding(k, "%s: no row; %s", key, r >= 0 ? "a valid pack" : "not a valid pack");
	if (!healing(k))
		return 0;
	if (r < 0)
		return region_quarantine(g->region, key, st->err);
	return packs_adopt(k->s->meta, g->region->name, &id, x.bytes, x.n, st->err);
}

/* A name that a root needs is not to be had here. */
static int missing(struct check *k, const struct digest *name, enum frame_kind kind, unsigned level,
		   struct err *err)
{
	uint8_t plain[CHUNK_BYTES];
	char hex[DIGEST_HEX];
	struct writer *w;
	int r;

	k->ret->missing++;
	if (!healing(k)) {
		finding(k, "%s %s is missing", kind == FRAME_NODE ? "node" : "chunk",
			digest_hex(name, hex));
		return 0;
	}
	r = fetch_elsewhere(k, name, kind, level, plain);
	if (unrelated(r))
		return err_set(err, r, "cannot fetch what is missing: %s", strerror(-r));
	if (r < 0) {
		k->ret->lost++;
		finding(k, "%s %s is missing here and everywhere",
			kind == FRAME_NODE ? "node" : "chunk", digest_hex(name, hex));
		return 0;
	}
	r = put_frame(k, name, kind, level, plain, err);
	/* A node is read again at once, to go on below it. */
	if (r >= 0 && kind == FRAME_NODE) {
		r = session_writer(k->ss, k->region, &w, err);
		if (r >= 0)
			r = writer_flush(w, err);
	}
	if (r >= 0)
		k->ret->healed++;
	return r < 0 ? r : 1;
}

static int visit_node(void *arg, const struct digest *name, unsigned level, struct err *err)
{
	struct check *k = arg;
	struct cache_entry *e = NULL;
	bool fresh;
	int r;

	if (!dmap_get(&k->seen, name, &fresh))
		return err_set(err, -ENOMEM, "out of memory");
	if (!fresh)
		return 0;
	r = fetch_node(k->s, k->region, name, level, &e, NULL);
	if (r >= 0) {
		cache_give(k->s->cache, e);
		return 1;
	}
	return unrelated(r) ? err_set(err, r, "cannot read a node: %s", strerror(-r))
			    : missing(k, name, FRAME_NODE, level, err);
}

/* Only what is missing is remembered: the chunks of a big region would not fit in memory. */
static int visit_chunk(void *arg, const struct digest *name, struct err *err)
{
	struct check *k = arg;
	struct frame_loc loc;
	bool fresh;
	int r = fetch_locate(k->s, k->region, name, &loc, NULL);

	if (r >= 0)
		return 0;
	if (unrelated(r))
		return err_set(err, r, "cannot look for a chunk: %s", strerror(-r));
	if (!dmap_get(&k->seen, name, &fresh))
		return err_set(err, -ENOMEM, "out of memory");
	if (!fresh)
		return 0;
	r = missing(k, name, FRAME_CHUNK, 0, err);
	return r < 0 ? r : 0;
}

static int check_roots(struct check *k, struct err *err)
{
	const struct walk_ops ops = {visit_node, visit_chunk, k};
	auto_roots struct root_list roots = {0};
	struct writer *w;
	int r = roots_load(k->s, k->region, &roots, err);

	k->ret->roots = roots.n;
	for (size_t i = 0; i < roots.n && r >= 0; i++)
		r = tree_walk(k->s, k->region, &roots.v[i].disk, &ops, k->cancel, err);
	if (r >= 0 && k->ret->healed > 0) {
		r = session_writer(k->ss, k->region, &w, err);
		if (r >= 0)
			r = writer_flush(w, err);
	}
	return r;
}

static int heal_session(struct check *k, struct err *err)
{
	int r = store_session_begin(k->s, "heal", &k->ss, err);

	if (r >= 0)
		k->ss->mends = true;
	return r;
}

/* After a repair the healed trees' new packs are stamped, so that no collection takes them
 * before it has seen them alive. */
static int check_all(struct check *k, struct err *err)
{
	struct strays st = {k, err};
	int64_t epoch;
	int r = 0;

	if (healing(k))
		r = heal_session(k, err);
	if (r >= 0)
		r = rows_load(k->s, k->region, &k->rows, err);
	if (r >= 0)
		r = region_list(k->s->regions[k->region].region, "packs/", stray_key, &st, err);
	for (size_t i = 0; i < k->rows.n && r >= 0; i++)
		if (k->rows.v[i].state != PACK_DELETING)
			r = check_pack(k, &k->rows.v[i], err);
	if (r >= 0)
		r = check_roots(k, err);
	if (r >= 0 && healing(k)) {
		r = gc_region_epoch(k->s, k->region, &epoch, err);
		if (r >= 0)
			r = packs_epoch_raise(k->s->meta, epoch, err);
		if (r >= 0)
			r = incarnation_accept(k->s, k->region, err);
	}
	return r;
}

int store_check(struct store *s, unsigned region, unsigned flags, struct store *const *others,
		size_t n_others, struct cancel *cancel, store_finding_fn *fn, void *arg,
		struct store_check_result *ret, struct err *err)
{
	struct check k = {
		.s = s,
		.region = region,
		.flags = flags,
		.others = others,
		.n_others = n_others,
		.cancel = cancel,
		.fn = fn,
		.arg = arg,
		.ret = ret,
	};
	int r = store_region_check(s, region, err);

	*ret = (struct store_check_result){0};
	if (r < 0)
		return r;
	k.codec = store_codec_take(s);
	if (!k.codec)
		return err_set(err, -ENOMEM, "out of memory");
	r = check_all(&k, err);
	store_session_end(k.ss);
	store_codec_give(s, k.codec);
	rows_done(&k.rows);
	dmap_done(&k.seen);
	dmap_done(&k.damaged);
	return r < 0 ? err_ctx(err, r, "check") : 0;
}

int check_heal_pack(struct store *s, unsigned region, const struct pack_row *row,
		    struct cancel *cancel, struct store_check_result *ret, struct err *err)
{
	struct check k = {
		.s = s,
		.region = region,
		.flags = STORE_CHECK_HEAL | STORE_CHECK_READ_DATA,
		.cancel = cancel,
		.ret = ret,
	};
	int r;

	k.codec = store_codec_take(s);
	if (!k.codec)
		return err_set(err, -ENOMEM, "out of memory");
	r = heal_session(&k, err);
	if (r >= 0)
		r = check_pack(&k, row, err);
	ret->lost = k.unhealed;
	store_session_end(k.ss);
	store_codec_give(s, k.codec);
	dmap_done(&k.damaged);
	return r < 0 ? err_ctx(err, r, "pack") : 0;
}

int store_rebuild_index(struct store *s, unsigned region, uint64_t *ret_packs, struct err *err)
{
	unsigned n = 0;
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = lookup_clear(s->regions[region].lookup, err);
	if (r >= 0)
		r = region_refresh(s, region, &n, err);
	if (ret_packs)
		*ret_packs = n;
	return r < 0 ? err_ctx(err, r, "rebuild-index") : 0;
}

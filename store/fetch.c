/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verified reads from one region. The lookup is a hint: what it misses is sought in packs that
 * it does not know yet, what it points to and is bad is sought in all trailers.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "store/internal.h"

#define REFRESH_NS    1000000000
#define CLEARED_TRIES 16

int fetch_frame(struct store *s, unsigned region, const struct digest *name,
		const struct frame_loc *loc, void *dst, uint32_t *ret_n, struct err *err)
{
	struct store_region *g = &s->regions[region];
	char key[REGION_KEY_MAX];
	int r;

	pack_key_of(&loc->pack, key);
	r = region_get(g->region, key, loc->offset, dst, loc->length, err);
	*ret_n = loc->length;
	return r < 0 || !g->crypt ? r : region_open_frame(g, name, loc, dst, ret_n, err);
}

int fetch_decode(struct codec *c, const struct digest *name, const struct frame_loc *loc,
		 const void *src, uint32_t src_n, void *dst, size_t n)
{
	struct digest got;
	int r;

	if (loc->encoding == FRAME_DELTA)
		return -EINVAL;
	r = codec_decode(c, (enum frame_encoding) loc->encoding, src, src_n, dst, n);
	if (r < 0)
		return r;
	if (loc->kind == FRAME_NODE)
		node_name(dst, loc->level, &got);
	else
		sha256(dst, n, &got);
	return digest_eq(&got, name) ? 0 : -EBADMSG;
}

struct refresh {
	struct store *s;
	unsigned region;
	unsigned found;
	struct err *err;
};

static int learn_pack(struct store *s, unsigned region, const struct pack_id *id, struct err *err)
{
	struct store_region *g = &s->regions[region];
	auto_pack_index struct pack_index x = {0};
	int r = pack_index_load(g, id, &x, err);

	if (r < 0)
		return r;
	return lookup_add_pack(g->lookup, id, x.entries, x.n, false, err);
}

static int refresh_key(void *arg, const char *key, uint64_t bytes)
{
	struct refresh *f = arg;
	struct pack_id id;
	auto_err struct err e = ERR_INIT;
	int r;

	if (pack_id_of_key(key, &id) < 0 || lookup_has_pack(f->s->regions[f->region].lookup, &id))
		return 0;
	r = learn_pack(f->s, f->region, &id, &e);
	if (r >= 0) {
		f->found++;
		return 0;
	}
	/* A damaged pack is check's business; here it only means that it helps nobody. */
	if (r == -EBADMSG || r == -EPROTO || r == -ENOENT) {
		log_debug("store.pack.unreadable", "key=%s error=%s", key, err_str(&e));
		return 0;
	}
	err_move(f->err, &e);
	return r;
}

int region_refresh(struct store *s, unsigned region, unsigned *ret_new, struct err *err)
{
	auto_err struct err own = ERR_INIT;
	struct refresh f = {s, region, 0, err ? err : &own};
	struct store_region *g = &s->regions[region];
	int r;

	pthread_mutex_lock(&g->refresh_lock);
	r = region_list(g->region, "packs/", refresh_key, &f, err);
	pthread_mutex_unlock(&g->refresh_lock);
	if (ret_new)
		*ret_new = f.found;
	return r;
}

struct catch_up {
	struct store *s;
	unsigned region;
	int64_t seq;
	struct err *err;
};

static int catch_row(void *arg, const struct pack_row *row)
{
	struct catch_up *c = arg;
	struct store_region *g = &c->s->regions[c->region];
	auto_pack_index struct pack_index x = {0};
	int r;

	c->seq = row->seq;
	if (row->state == PACK_DELETING || lookup_has_pack(g->lookup, &row->id))
		return 0;
	r = pack_index_load(g, &row->id, &x, NULL);
	if (r < 0)
		return 0; /* missing or damaged: check's business; it only costs deduplication */
	return lookup_add_pack(g->lookup, &row->id, x.entries, x.n, false, c->err);
}

int region_catch_up(struct store *s, unsigned region, struct err *err)
{
	struct store_region *g = &s->regions[region];
	struct catch_up c = {.s = s, .region = region, .err = err};
	struct lookup_mark was;
	int r;

	lookup_mark_get(g->lookup, &was);
	c.seq = was.seq;
	r = packs_list(s->meta, g->region->name, was.seq, catch_row, &c, err);
	if (r >= 0 && c.seq > was.seq)
		r = lookup_mark_set(g->lookup, &was, c.seq, err);
	return r;
}

/* A miss may mean a pack that the lookup has not heard of: of another host, or of a writer that
 * crashed between rename and lookup, or the lookup is being made anew. Who sees the rows asks them;
 * who does not lists the region, at most once a second, so that a region that lacks a whole disk
 * does not cost a listing for each of its chunks. */
static int refresh_on_miss(struct store *s, unsigned region, struct err *err)
{
	struct store_region *g = &s->regions[region];
	int64_t now = time_mono_ns();
	bool due;
	int r = 0;

	if (s->meta)
		r = region_catch_up(s, region, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&g->refresh_lock);
	due = !lookup_shared(g->lookup) || g->refreshed_ns == 0 ||
	      now - g->refreshed_ns > REFRESH_NS;
	pthread_mutex_unlock(&g->refresh_lock);
	if (!due)
		return 0;
	r = region_refresh(s, region, NULL, err);
	pthread_mutex_lock(&g->refresh_lock);
	g->refreshed_ns = time_mono_ns();
	pthread_mutex_unlock(&g->refresh_lock);
	return r;
}

int fetch_locate(struct store *s, unsigned region, const struct digest *name, struct frame_loc *ret,
		 struct err *err)
{
	struct lookup *l = s->regions[region].lookup;
	struct lookup_mark before, after;
	char hex[DIGEST_HEX];
	int r;

	if (lookup_find(l, name, ret))
		return 0;
	lookup_mark_get(l, &before);
	for (unsigned i = 0; i < CLEARED_TRIES; i++) {
		r = refresh_on_miss(s, region, err);
		if (r < 0)
			return r;
		if (lookup_find(l, name, ret))
			return 0;
		lookup_mark_get(l, &after);
		if (after.age == before.age)
			break;
		before = after; /* it is being made anew, and what was learned was cleared */
	}
	return err_set(err, -ENOENT, "region %s lacks %s", region_name_of(s, region),
		       digest_hex(name, hex));
}

/* Any copy of @name but @bad, by reading trailers. */
struct hunt {
	struct store *s;
	unsigned region;
	const struct digest *name;
	const struct frame_loc *bad;
	struct frame_loc *ret;
};

static int hunt_key(void *arg, const char *key, uint64_t bytes)
{
	struct hunt *h = arg;
	auto_pack_index struct pack_index x = {0};
	struct pack_id id;

	if (pack_id_of_key(key, &id) < 0 ||
	    pack_index_load(&h->s->regions[h->region], &id, &x, NULL) < 0)
		return 0;
	for (uint32_t i = 0; i < x.n; i++) {
		const struct pack_entry *e = &x.entries[i];

		if (!digest_eq(&e->name, h->name) ||
		    (memcmp(&id, &h->bad->pack, sizeof(id)) == 0 && e->offset == h->bad->offset))
			continue;
		*h->ret = (struct frame_loc){
			.pack = id,
			.offset = (uint32_t) e->offset,
			.length = e->length,
			.index = i,
			.kind = e->kind,
			.encoding = e->encoding,
			.level = e->level,
		};
		return -EALREADY; /* found: ends the listing */
	}
	return 0;
}

static int fetch_other_copy(struct store *s, unsigned region, const struct digest *name,
			    const struct frame_loc *bad, struct frame_loc *ret)
{
	struct hunt h = {s, region, name, bad, ret};
	int r = region_list(s->regions[region].region, "packs/", hunt_key, &h, NULL);

	return r == -EALREADY ? 0 : -ENOENT;
}

static bool damage(int r)
{
	return r == -EBADMSG || r == -ENODATA || r == -ENOENT || r == -EIO;
}

static int bad_frame(struct store *s, unsigned region, const struct digest *name,
		     const struct frame_loc *loc, struct err *err)
{
	char hex[DIGEST_HEX], pack[PACK_ID_HEX];

	hex_encode(loc->pack.b, sizeof(loc->pack.b), pack);
	digest_hex(name, hex);
	(void) err_set(err, -EBADMSG, "region %s: pack %s is damaged at byte %u (%s %s)",
		       region_name_of(s, region), pack, loc->offset,
		       loc->kind == FRAME_NODE ? "node" : "chunk", hex);
	err_hint(err, "Run `kiln store check --read-data --heal`; another region or image with the "
		      "same content can repair it.");
	return -EBADMSG;
}

/* One attempt at a located frame of @n plain bytes. */
static int read_at(struct store *s, unsigned region, struct codec *c, const struct digest *name,
		   const struct frame_loc *loc, void *dst, size_t n, struct err *err)
{
	uint8_t raw[FRAME_MAX + PACK_TAG_BYTES];
	uint32_t raw_n;
	int r;

	r = fetch_frame(s, region, name, loc, raw, &raw_n, err);
	if (r < 0)
		return r;
	r = fetch_decode(c, name, loc, raw, raw_n, dst, n);
	return r < 0 ? bad_frame(s, region, name, loc, err) : 0;
}

int fetch_chunk(struct store *s, unsigned region, struct codec *c, const struct digest *name,
		void *dst, struct err *err)
{
	struct frame_loc loc, other;
	auto_err struct err first = ERR_INIT;
	int r = fetch_locate(s, region, name, &loc, err);

	if (r < 0)
		return r;
	if (loc.kind != FRAME_CHUNK)
		return bad_frame(s, region, name, &loc, err);
	r = read_at(s, region, c, name, &loc, dst, CHUNK_BYTES, &first);
	if (r >= 0 || !damage(r)) {
		if (r < 0 && err)
			err_move(err, &first);
		return r;
	}
	heal_note(s, region, &loc.pack);
	if (fetch_other_copy(s, region, name, &loc, &other) == 0 && other.kind == FRAME_CHUNK &&
	    read_at(s, region, c, name, &other, dst, CHUNK_BYTES, NULL) >= 0)
		return 0;
	if (err)
		err_move(err, &first);
	return r;
}

struct node_fill {
	struct store *s;
	unsigned region;
	unsigned level;
	unsigned depth_left;
};

static int node_fill(void *arg, const struct digest *name, void *dst, size_t n, unsigned *ret_tag,
		     struct err *err);

static int get_node(struct store *s, unsigned region, const struct digest *name, unsigned level,
		    unsigned depth_left, struct cache_entry **ret, struct err *err)
{
	struct node_fill f = {s, region, level, depth_left};

	return cache_get(s->cache, name, NODE_BYTES, node_fill, &f, ret, err);
}

/* A delta: its base first, then the changes. */
static int fill_delta(const struct node_fill *f, const struct frame_loc *loc,
		      const struct digest *name, const void *raw, uint32_t raw_n, void *dst,
		      unsigned *ret_depth, struct err *err)
{
	struct cache_entry *base = NULL;
	struct digest base_name, got;
	int r;

	if (delta_head(raw, raw_n, &base_name, ret_depth) < 0 || f->depth_left == 0 ||
	    digest_eq(&base_name, name))
		return bad_frame(f->s, f->region, name, loc, err);
	r = get_node(f->s, f->region, &base_name, f->level, f->depth_left - 1, &base, err);
	if (r < 0)
		return err_ctx(err, r, "base of a changed node");
	memcpy(dst, cache_data(base), NODE_BYTES);
	cache_give(f->s->cache, base);
	if (delta_apply(raw, raw_n, dst) < 0)
		return bad_frame(f->s, f->region, name, loc, err);
	node_name(dst, f->level, &got);
	return digest_eq(&got, name) ? 0 : bad_frame(f->s, f->region, name, loc, err);
}

static int fill_from(const struct node_fill *f, struct codec *c, const struct frame_loc *loc,
		     const struct digest *name, void *dst, unsigned *ret_depth, struct err *err)
{
	uint8_t raw[FRAME_MAX + PACK_TAG_BYTES];
	uint32_t raw_n;
	int r;

	if (loc->kind != FRAME_NODE || loc->level != f->level)
		return bad_frame(f->s, f->region, name, loc, err);
	*ret_depth = 0;
	r = fetch_frame(f->s, f->region, name, loc, raw, &raw_n, err);
	if (r < 0)
		return r;
	if (loc->encoding == FRAME_DELTA)
		return fill_delta(f, loc, name, raw, raw_n, dst, ret_depth, err);
	r = fetch_decode(c, name, loc, raw, raw_n, dst, NODE_BYTES);
	return r < 0 ? bad_frame(f->s, f->region, name, loc, err) : 0;
}

static int node_fill(void *arg, const struct digest *name, void *dst, size_t n, unsigned *ret_tag,
		     struct err *err)
{
	const struct node_fill *f = arg;
	auto_err struct err first = ERR_INIT;
	struct frame_loc loc, other;
	struct codec *c;
	int r = fetch_locate(f->s, f->region, name, &loc, err);

	if (r < 0)
		return r;
	c = store_codec_take(f->s);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	r = fill_from(f, c, &loc, name, dst, ret_tag, &first);
	if (r < 0 && damage(r))
		heal_note(f->s, f->region, &loc.pack);
	if (r < 0 && damage(r) && fetch_other_copy(f->s, f->region, name, &loc, &other) == 0 &&
	    fill_from(f, c, &other, name, dst, ret_tag, NULL) >= 0)
		r = 0;
	store_codec_give(f->s, c);
	if (r < 0 && err)
		err_move(err, &first);
	return r;
}

int fetch_node(struct store *s, unsigned region, const struct digest *name, unsigned level,
	       struct cache_entry **ret, struct err *err)
{
	return get_node(s, region, name, level, DELTA_DEPTH_MAX, ret, err);
}

int fetch_node_copy(struct store *s, unsigned region, const struct digest *name, unsigned level,
		    struct node *ret, unsigned *ret_depth, struct err *err)
{
	struct cache_entry *e = NULL;
	int r;

	*ret_depth = 0;
	if (digest_is_zero(name)) {
		memset(ret, 0, sizeof(*ret));
		return 0;
	}
	r = fetch_node(s, region, name, level, &e, err);
	if (r < 0)
		return r;
	memcpy(ret, cache_data(e), NODE_BYTES);
	*ret_depth = cache_tag(e);
	cache_give(s->cache, e);
	return 0;
}

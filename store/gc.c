/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage collection by marking and epochs; the rows decide, never age. The order of a cycle, and
 * why nothing alive can go, is in docs/store-format.md, "Liveness".
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/maintain.h"
#include "store/walk.h"

#define SMALL_BYTES    (PACK_TARGET_BYTES / 8)
#define SMALL_COUNT    16 /* merge small packs when there are so many */
#define DEAD_NUMERATOR 4  /* rewrite a pack with less than 1/4 alive */
#define FALL_NUMERATOR 20 /* more than 1/20 fewer live frames without deletes is suspect */
#define COPIES_MAX     8
#define STALE_TRIES    8 /* looks at one name's copies before it counts as lost */
#define EPOCH_DIR      "epochs/"

struct pack_mark {
	const struct pack_row *row;
	uint32_t *live; /* bit per frame */
	uint64_t live_frames, live_bytes;
};

struct gc {
	struct store *s;
	unsigned region;
	bool dry_run;
	struct cancel *cancel;
	struct store_gc_result *ret;
	struct store_session *ss; /* the one collector of the region; NULL for a dry run */
	int64_t epoch;
	int64_t live_was, removed_was; /* as the last run left them */
	int64_t reached; /* nodes, and names of chunks in them: it follows from the roots alone */
	int64_t removed_before, removed_now; /* roots removed before they were read, and after */
	struct row_list rows;
	struct pack_mark *marks; /* parallel to rows */
	struct dmap nodes;       /* nodes walked already */
};

enum { COPY_GOOD, COPY_CONDEMNED, COPY_GONE };

static int copy_state(struct gc *g, const struct frame_loc *c, const struct pack_row **ret_row,
		      unsigned *ret, struct err *err)
{
	struct pack_row now;
	int r = 0;

	*ret_row = rows_find(&g->rows, &c->pack);
	if (*ret_row && (*ret_row)->state == PACK_PRESENT) {
		*ret = COPY_GOOD;
		return 0;
	}
	/* Not in the snapshot, or condemned then: what it is now counts. */
	r = packs_get(g->s->meta, region_name_of(g->s, g->region), &c->pack, &now, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT) {
		if (err)
			err_done(err);
		*ret = COPY_GONE;
	} else {
		*ret = now.state == PACK_PRESENT     ? COPY_GOOD
		       : now.state == PACK_CONDEMNED ? COPY_CONDEMNED
						     : COPY_GONE;
	}
	return 0;
}

/* One look at what the lookup has. 1 = chosen; 0 = all it had was stale and is forgotten. */
static int choose_among(struct gc *g, const struct frame_loc *c, unsigned n, struct frame_loc *ret,
			const struct pack_row **ret_row, struct err *err)
{
	const struct frame_loc *saved = NULL;
	unsigned state[COPIES_MAX];
	int r;

	for (unsigned i = 0; i < n; i++) {
		r = copy_state(g, &c[i], ret_row, &state[i], err);
		if (r < 0)
			return r;
		*ret = c[i];
		if (state[i] == COPY_GOOD)
			return 1;
		if (state[i] == COPY_CONDEMNED && !saved)
			saved = &c[i];
	}
	if (saved) {
		*ret = *saved;
		*ret_row = rows_find(&g->rows, &saved->pack);
		r = g->dry_run ? 0
			       : packs_rescue(g->s->meta, region_name_of(g->s, g->region),
					      &saved->pack, err);
		return r < 0 ? r : 1;
	}
	for (unsigned i = 0; i < n; i++) {
		r = lookup_remove_pack(g->s->regions[g->region].lookup, &c[i].pack, NULL, 0, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Which copy of a live frame counts: one in a present pack. A frame whose only copy is condemned
 * saves its pack. The lookup is a hint: what it says of packs that are gone must not stop us. */
static int choose_copy(struct gc *g, const struct digest *name, struct frame_loc *ret,
		       const struct pack_row **ret_row, struct err *err)
{
	for (unsigned tries = 0; tries < STALE_TRIES; tries++) {
		struct frame_loc c[COPIES_MAX];
		unsigned n = lookup_copies(g->s->regions[g->region].lookup, name, c, COPIES_MAX);
		int r;

		if (n == 0) {
			r = fetch_locate(g->s, g->region, name, &c[0], err);
			if (r < 0)
				return r == -ENOENT
					       ? err_ctx(err, -EBADMSG, "a live tree is not whole")
					       : r;
			n = 1;
		}
		r = choose_among(g, c, n, ret, ret_row, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return err_set(err, -EBADMSG, "a live chunk or node is only in packs without a row");
}

static int mark_frame(struct gc *g, const struct digest *name, struct frame_loc *ret,
		      struct err *err)
{
	const struct pack_row *row = NULL;
	struct pack_mark *m;
	uint32_t bit;
	int r = choose_copy(g, name, ret, &row, err);

	if (r < 0 || !row)
		return r;
	m = &g->marks[row - g->rows.v];
	if (ret->index >= row->frames)
		return err_set(err, -EBADMSG,
			       "the lookup disagrees with a pack's row; run "
			       "`kiln store rebuild-index`");
	bit = 1u << ret->index % 32;
	if (m->live[ret->index / 32] & bit)
		return 0;
	m->live[ret->index / 32] |= bit;
	m->live_frames++;
	m->live_bytes += ret->length;
	g->ret->live_frames++;
	g->ret->live_bytes += ret->length;
	return 0;
}

/* The nodes that a delta needs are alive as frames, though what they name need not be. */
static int mark_bases(struct gc *g, const struct digest *name, struct frame_loc loc,
		      struct err *err)
{
	struct digest base = *name;

	for (unsigned i = 0; loc.encoding == FRAME_DELTA; i++) {
		uint8_t raw[FRAME_MAX + PACK_TAG_BYTES];
		unsigned depth;
		uint32_t n;
		int r = fetch_frame(g->s, g->region, &base, &loc, raw, &n, err);

		if (r < 0)
			return r;
		if (i > DELTA_DEPTH_MAX || delta_head(raw, n, &base, &depth) < 0)
			return err_set(err, -EBADMSG, "a live node is damaged");
		r = mark_frame(g, &base, &loc, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int mark_node(void *arg, const struct digest *name, unsigned level, struct err *err)
{
	struct gc *g = arg;
	struct frame_loc loc;
	bool fresh;
	int r;

	if (!dmap_get(&g->nodes, name, &fresh))
		return err_set(err, -ENOMEM, "out of memory");
	if (!fresh)
		return 0;
	g->reached++;
	r = mark_frame(g, name, &loc, err);
	if (r >= 0)
		r = mark_bases(g, name, loc, err);
	return r < 0 ? r : 1;
}

static int mark_chunk(void *arg, const struct digest *name, struct err *err)
{
	struct gc *g = arg;
	struct frame_loc loc;

	g->reached++;
	return mark_frame(g, name, &loc, err);
}

static int gc_note(struct gc *g, int64_t *ret_removed, struct err *err)
{
	return packs_gc_note(g->s->meta, region_name_of(g->s, g->region), &g->live_was,
			     &g->removed_was, ret_removed, err);
}

static int mark_all(struct gc *g, struct err *err)
{
	auto_roots struct root_list roots = {0};
	const struct walk_ops ops = {mark_node, mark_chunk, g};
	int r = gc_note(g, &g->removed_before, err);

	if (r >= 0)
		r = rows_load(g->s, g->region, &g->rows, err);
	if (r < 0)
		return r;
	/* Rows before roots: a root that came between relies on packs that are pinned or known. */
	r = roots_load(g->s, g->region, &roots, err);
	if (r >= 0)
		r = gc_note(g, &g->removed_now, err);
	if (r < 0)
		return r;
	g->ret->packs = g->rows.n;
	g->ret->roots = roots.n;
	g->marks = calloc(g->rows.n + 1, sizeof(*g->marks));
	if (!g->marks)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < g->rows.n; i++) {
		g->marks[i].row = &g->rows.v[i];
		g->marks[i].live = calloc(g->rows.v[i].frames / 32 + 1, sizeof(uint32_t));
		if (!g->marks[i].live)
			return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < roots.n && r >= 0; i++) {
		r = g->ss ? session_renew(g->ss, err) : 0;
		if (r >= 0)
			r = tree_walk(g->s, g->region, &roots.v[i].disk, &ops, g->cancel, err);
		if (r < 0)
			(void) err_ctx(err, r, "%s \"%s\"", roots.v[i].kind, roots.v[i].id);
	}
	if (r == -EBADMSG || r == -ENOENT)
		err_hint(err, "Nothing was condemned. Run `kiln store check --heal`.");
	return r;
}

/* Removes the bytes of a pack in state "deleting", then what points to it, then its row. */
static int remove_pack(struct gc *g, const struct pack_row *row, struct err *err)
{
	struct store_region *sr = &g->s->regions[g->region];
	auto_pack_index struct pack_index x = {0};
	char key[REGION_KEY_MAX];
	int r;

	(void) pack_index_load(sr, &row->id, &x, NULL); /* absent: all names are visited */
	pack_key_of(&row->id, key);
	r = region_remove(sr->region, key, err);
	if (r >= 0)
		r = lookup_remove_pack(sr->lookup, &row->id, x.entries, x.n, err);
	if (r >= 0)
		r = packs_remove(g->s->meta, sr->region->name, &row->id, err);
	if (r >= 0) {
		g->ret->removed++;
		g->ret->removed_bytes += row->bytes;
	}
	return r;
}

static int sweep(struct gc *g, struct err *err)
{
	auto_rows struct row_list rows = {0};
	int r = rows_load(g->s, g->region, &rows, err);

	for (size_t i = 0; i < rows.n && r >= 0; i++) {
		bool go = rows.v[i].state == PACK_DELETING ||
			  (g->dry_run && rows.v[i].state == PACK_CONDEMNED);

		r = cancel_check(g->cancel);
		if (r < 0)
			return err_set(err, r, "cancelled");
		if (rows.v[i].state == PACK_CONDEMNED && !g->dry_run)
			r = packs_sweep_begin(g->s->meta, &g->ss->key,
					      region_name_of(g->s, g->region), &rows.v[i].id,
					      g->epoch - 2, &go, err);
		if (r >= 0 && go && g->dry_run) {
			g->ret->removed++;
			g->ret->removed_bytes += rows.v[i].bytes;
		} else if (r >= 0 && go) {
			r = remove_pack(g, &rows.v[i], err);
		}
	}
	return r;
}

static int condemn(struct gc *g, const struct pack_row *row, struct err *err)
{
	bool done = g->dry_run;
	int r = 0;

	if (!g->dry_run)
		r = packs_condemn(g->s->meta, &g->ss->key, region_name_of(g->s, g->region),
				  &row->id, g->epoch, &done, err);
	if (done) {
		g->ret->condemned++;
		g->ret->condemned_bytes += row->bytes;
	}
	return r;
}

static bool collectable(const struct gc *g, const struct pack_mark *m)
{
	return m->row->state == PACK_PRESENT && (g->dry_run || m->row->stamp < g->epoch);
}

static int condemn_dead(struct gc *g, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < g->rows.n && r >= 0; i++)
		if (collectable(g, &g->marks[i]) && g->marks[i].live_frames == 0)
			r = condemn(g, g->marks[i].row, err);
	return r;
}

/* Copies the live frames of one pack; each is proven unless it is a delta, whose node was. */
static int move_frames(struct gc *g, struct writer *w, const struct pack_mark *m, struct err *err)
{
	auto_pack_index struct pack_index x = {0};
	uint8_t raw[FRAME_MAX + PACK_TAG_BYTES], plain[CHUNK_BYTES];
	struct codec *c = store_codec_take(g->s);
	int r = c ? 0 : err_set(err, -ENOMEM, "out of memory");

	if (r >= 0)
		r = pack_index_load(&g->s->regions[g->region], &m->row->id, &x, err);
	for (uint32_t i = 0; i < x.n && i < m->row->frames && r >= 0; i++) {
		const struct pack_entry *e = &x.entries[i];
		struct frame_loc loc = {m->row->id, (uint32_t) e->offset, e->length, i,
					e->kind,    e->encoding,          e->level};
		struct new_frame f = {.name = e->name,
				      .kind = (enum frame_kind) e->kind,
				      .encoding = (enum frame_encoding) e->encoding,
				      .level = e->level,
				      .bytes = raw};
		bool added;

		if (!(m->live[i / 32] & 1u << i % 32))
			continue;
		r = fetch_frame(g->s, g->region, &e->name, &loc, raw, &f.n, err);
		if (r >= 0 && e->encoding != FRAME_DELTA)
			r = fetch_decode(c, &e->name, &loc, raw, f.n, plain,
					 e->kind == FRAME_NODE ? NODE_BYTES : CHUNK_BYTES);
		if (r < 0)
			return err_ctx(err, r, "a live frame is damaged");
		r = writer_add(w, &f, &added, err);
	}
	if (c)
		store_codec_give(g->s, c);
	return r;
}

static bool mostly_dead(const struct pack_mark *m)
{
	return m->live_frames > 0 && m->live_bytes < m->row->bytes / DEAD_NUMERATOR;
}

static bool to_be_moved(const struct gc *g, const struct pack_mark *m, size_t small)
{
	return collectable(g, m) &&
	       (mostly_dead(m) ||
		(small >= SMALL_COUNT && m->live_frames > 0 && m->row->bytes < SMALL_BYTES));
}

/* What is moved is as hard compressed as the least of it. */
static unsigned least_effort(const struct gc *g, size_t small)
{
	unsigned least = UINT8_MAX, one;

	for (size_t i = 0; i < g->rows.n; i++) {
		if (!to_be_moved(g, &g->marks[i], small))
			continue;
		if (pack_effort(&g->s->regions[g->region], &g->marks[i].row->id, &one) < 0)
			one = 0;
		least = one < least ? one : least;
	}
	return least;
}

/* Moves what is left of mostly dead packs, and the content of many small ones, together. */
static int rewrite(struct gc *g, struct err *err)
{
	struct writer *w = NULL;
	size_t small = 0;
	int r = 0;

	for (size_t i = 0; i < g->rows.n; i++)
		small += collectable(g, &g->marks[i]) && g->marks[i].live_frames > 0 &&
			 g->marks[i].row->bytes < SMALL_BYTES;
	if (g->dry_run)
		return 0;
	r = session_writer(g->ss, g->region, &w, err);
	if (r >= 0) {
		writer_replace(w);
		writer_effort(w, (int) least_effort(g, small));
	}
	for (size_t i = 0; i < g->rows.n && r >= 0; i++) {
		struct pack_mark *m = &g->marks[i];

		if (!to_be_moved(g, m, small))
			continue;
		r = cancel_check(g->cancel);
		if (r < 0)
			r = err_set(err, r, "cancelled");
		else
			r = session_renew(g->ss, err);
		if (r >= 0)
			r = move_frames(g, w, m, err);
		m->live_frames = 0; /* once the new pack is durable */
		g->ret->rewritten += r >= 0;
	}
	if (r >= 0 && g->ret->rewritten > 0)
		r = writer_flush(w, err);
	/* Moved packs have no live frame now; dead ones were condemned before. */
	if (r >= 0 && g->ret->rewritten > 0) {
		for (size_t i = 0; i < g->rows.n && r >= 0; i++) {
			struct pack_row row;

			if (!collectable(g, &g->marks[i]) || g->marks[i].live_frames > 0)
				continue;
			if (packs_get(g->s->meta, region_name_of(g->s, g->region),
				      &g->marks[i].row->id, &row, NULL) >= 0 &&
			    row.state == PACK_PRESENT)
				r = condemn(g, g->marks[i].row, err);
		}
	}
	return r;
}

struct stray {
	struct gc *g;
	struct err *err;
};

static int adopt_key(void *arg, const char *key, uint64_t bytes)
{
	struct stray *st = arg;
	struct gc *g = st->g;
	struct store_region *sr = &g->s->regions[g->region];
	auto_pack_index struct pack_index x = {0};
	struct pack_id id;
	struct pack_row row;
	int r;

	if (pack_id_of_key(key, &id) < 0 || rows_find(&g->rows, &id) ||
	    packs_get(g->s->meta, sr->region->name, &id, &row, NULL) >= 0)
		return 0;
	r = pack_index_load(sr, &id, &x, NULL);
	if (r < 0) {
		log_debug("store.gc.stray", "key=%s", key); /* `kiln store check` tells more */
		return 0;
	}
	r = packs_adopt(g->s->meta, sr->region->name, &id, x.bytes, x.n, st->err);
	g->ret->adopted += r >= 0;
	return r;
}

struct epochs {
	uint64_t highest;
	char keys[64][REGION_KEY_MAX];
	unsigned n;
};

static int note_epoch(void *arg, const char *key, uint64_t bytes)
{
	struct epochs *e = arg;
	const char *base = strrchr(key, '/');
	unsigned long long v = base ? strtoull(base + 1, NULL, 16) : 0;

	if (v > e->highest)
		e->highest = v;
	if (e->n < ARRAY_SIZE(e->keys))
		(void) snprintf(e->keys[e->n++], REGION_KEY_MAX, "%s", key);
	return 0;
}

/* The region remembers the epoch: a database that knows a lower one was restored from an older
 * copy, lacks roots, and must not judge. */
static int guard_epoch(struct gc *g, struct err *err)
{
	struct region *rg = g->s->regions[g->region].region;
	struct epochs e = {0};
	char key[REGION_KEY_MAX], text[32];
	int r = region_list(rg, EPOCH_DIR, note_epoch, &e, err);

	if (r < 0)
		return r;
	if (e.highest >= (uint64_t) g->epoch) {
		(void) err_set(err, -ESTALE,
			       "region %s saw epoch %llu, the database is at %lld: it is an older "
			       "copy",
			       rg->name, (unsigned long long) e.highest, (long long) g->epoch);
		err_hint(err, "Restore the missing records first; then `kiln store check --heal` "
			      "unlocks collection.");
		return -ESTALE;
	}
	(void) snprintf(key, sizeof(key), EPOCH_DIR "%016llx", (unsigned long long) g->epoch);
	(void) snprintf(text, sizeof(text), "%lld\n", (long long) g->epoch);
	r = region_put_small(rg, key, text, strlen(text), err);
	for (unsigned i = 0; i < e.n && r >= 0; i++)
		r = region_remove(rg, e.keys[i], err);
	return r;
}

int gc_region_epoch(struct store *s, unsigned region, int64_t *ret, struct err *err)
{
	struct epochs e = {0};
	int r = region_list(s->regions[region].region, EPOCH_DIR, note_epoch, &e, err);

	*ret = (int64_t) e.highest;
	return r;
}

/* A live count that fell without deletes means that something was not seen. A root that went while
 * the roots were read excuses this run, and the next one too. */
static int guard_fall(struct gc *g, struct err *err)
{
	const char *name = region_name_of(g->s, g->region);
	int64_t was = g->live_was;

	if (g->removed_now == g->removed_was && g->reached < was - was / FALL_NUMERATOR)
		return err_set(err, -ESTALE,
			       "region %s: %lld live chunks and nodes, %lld at the last run, and "
			       "nothing was deleted since",
			       name, (long long) g->reached, (long long) was);
	return g->dry_run ? 0 : packs_gc_set(g->s->meta, name, g->reached, g->removed_before, err);
}

static int any_pack(void *arg, const char *key, uint64_t bytes)
{
	(void) arg;
	(void) key;
	(void) bytes;
	return 1;
}

/* Packs in the region and not one row or root: the database is new or was lost. Adopting the packs
 * now would let the next rounds remove all of them. */
static int guard_lost(struct gc *g, struct err *err)
{
	struct region *rg = g->s->regions[g->region].region;
	int r;

	if (g->rows.n > 0 || g->ret->roots > 0)
		return 0;
	r = region_list(rg, "packs/", any_pack, NULL, err);
	if (r <= 0)
		return r;
	(void) err_set(
		err, -ESTALE,
		"region %s holds packs and the database knows none of them: it is new or was "
		"lost, and nothing is collected",
		rg->name);
	err_hint(err,
		 "A gallery comes back by `kiln store rebuild-catalog --from-region %s`; "
		 "`kiln store check --heal` adopts the packs of a plain store.",
		 rg->name);
	return -ESTALE;
}

static int collect(struct gc *g, struct err *err)
{
	struct stray st = {g, err};
	unsigned ended = 0;
	int64_t after;
	int r = 0;

	if (!g->dry_run) {
		r = session_alone(g->s, g->region, "gc", &g->ss, &ended, err);
		if (r >= 0)
			r = packs_epoch_next(g->s->meta, &g->epoch, err);
		g->ret->epoch = g->epoch;
		g->ret->sessions_ended = ended;
		if (r >= 0)
			r = incarnation_vouch(g->s, g->region, err);
		if (r >= 0)
			r = guard_epoch(g, err);
	}
	if (r >= 0)
		r = sweep(g, err);
	if (r >= 0)
		r = mark_all(g, err);
	if (r >= 0)
		r = guard_lost(g, err);
	if (r >= 0)
		r = guard_fall(g, err);
	if (r >= 0)
		r = condemn_dead(g, err);
	if (r >= 0)
		r = rewrite(g, err);
	if (r >= 0 && !g->dry_run)
		r = region_list(g->s->regions[g->region].region, "packs/", adopt_key, &st, err);
	if (r >= 0 && !g->dry_run)
		r = profiles_collect(g->s, g->region, err);
	if (r >= 0 && !g->dry_run)
		r = packs_epoch_next(g->s->meta, &after, err);
	return r;
}

int store_gc(struct store *s, unsigned region, bool dry_run, struct cancel *cancel,
	     struct store_gc_result *ret, struct err *err)
{
	struct gc g = {.s = s, .region = region, .dry_run = dry_run, .cancel = cancel, .ret = ret};
	auto_err struct err own = ERR_INIT;
	struct store_heal_result healed;
	int r = store_region_check(s, region, err);

	*ret = (struct store_gc_result){0};
	if (r < 0)
		return r;
	if (s->read_only)
		return err_set(err, -EROFS, "gc: the store is read-only");
	if (!dry_run && store_heal_pending(s, cancel, &healed, &own) < 0)
		log_debug("store.gc.heal", "error=%s", err_str(&own)); /* the marking will tell */
	r = collect(&g, err);
	store_session_end(g.ss);
	for (size_t i = 0; i < g.rows.n && g.marks; i++)
		free(g.marks[i].live);
	free(g.marks);
	rows_done(&g.rows);
	dmap_done(&g.nodes);
	return r < 0 ? err_ctx(err, r, "gc") : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline of ingest and commit. Workers claim runs of chunks in order, then hash, look up,
 * compress and write them in parallel. A leaf gathers the names of its chunks; whoever brings the
 * last one writes the leaf. Memory: one run and one codec per worker, a few open leaves, and 40
 * bytes for each changed leaf (32 MiB of disk).
 */
#include <poll.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "store/internal.h"

#define PROGRESS_NS 100000000 /* ten a second */

struct leaf {
	uint64_t index;
	unsigned left; /* runs to come, plus one while it is the newest */
	unsigned depth;
	struct digest old_name;
	struct node was, now;
};

struct build {
	const struct build_spec *spec;
	struct writer *writer;
	pthread_mutex_t lock; /* guards what follows, and the source's claim() */
	bool ended;
	int failed;
	struct leaf *newest;
	struct leaf_change *changes;
	size_t n_changes, cap_changes;
	struct store_stats stats;
	int64_t progress_ns;
	uint64_t copied_bytes; /* for the rate limit */
	int64_t start_ns;
};

static int leaf_open(struct build *b, uint64_t index, struct leaf **ret, struct err *err)
{
	const struct build_spec *sp = b->spec;
	struct leaf *l = calloc(1, sizeof(*l));
	int r = 0;

	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	l->index = index;
	l->left = 1;
	if (sp->parent) {
		r = tree_leaf(sp->ss->store, sp->region, sp->parent, index, &l->old_name, err);
		if (r >= 0)
			r = fetch_node_copy(sp->ss->store, sp->region, &l->old_name, 0, &l->was,
					    &l->depth, err);
	}
	if (r < 0) {
		free(l);
		return r;
	}
	l->now = l->was;
	*ret = l;
	return 0;
}

static int note_change(struct build *b, uint64_t index, const struct digest *name, struct err *err)
{
	int r = 0;

	pthread_mutex_lock(&b->lock);
	if (b->n_changes == b->cap_changes) {
		size_t cap = b->cap_changes ? b->cap_changes * 2 : 256;
		struct leaf_change *c = reallocarray(b->changes, cap, sizeof(*c));

		if (c) {
			b->changes = c;
			b->cap_changes = cap;
		} else {
			r = err_set(err, -ENOMEM, "out of memory");
		}
	}
	if (r >= 0)
		b->changes[b->n_changes++] = (struct leaf_change){index, *name};
	pthread_mutex_unlock(&b->lock);
	return r;
}

/* All chunks of the leaf are named: write it. Frees it. */
static int leaf_finish(struct build *b, struct leaf *l, struct err *err)
{
	const struct build_spec *sp = b->spec;
	bool old = !digest_is_zero(&l->old_name), added;
	struct digest name;
	int r = 0;

	if (memcmp(&l->was, &l->now, sizeof(l->now)) != 0) {
		r = tree_put_node(sp->ss, sp->region, &l->now, 0, old ? &l->was : NULL,
				  old ? &l->old_name : NULL, l->depth, &name, &added, err);
		if (r >= 0)
			r = note_change(b, l->index, &name, err);
	}
	free(l);
	return r;
}

/* Drops one hold; the last one finishes the leaf. */
static int leaf_drop(struct build *b, struct leaf *l, struct err *err)
{
	unsigned left;

	pthread_mutex_lock(&b->lock);
	left = --l->left;
	pthread_mutex_unlock(&b->lock);
	return left == 0 ? leaf_finish(b, l, err) : 0;
}

/* With the lock held. *@ret_done is a leaf whose hold the caller drops after unlocking. */
static int claim_locked(struct build *b, struct build_run *run, struct leaf **ret,
			struct leaf **ret_done, struct err *err)
{
	const struct build_source *src = b->spec->source;
	int64_t now;
	int r;

	if (b->ended || b->failed < 0)
		return 0;
	r = cancel_check(b->spec->cancel);
	if (r < 0)
		return err_set(err, r, "cancelled");
	run->dirty = run->zero = 0;
	r = src->claim(src->arg, run, err);
	if (r < 0)
		return r;
	if (r == 0) {
		b->ended = true;
		*ret_done = take_ptr(b->newest);
		return 0;
	}
	if (!b->newest || b->newest->index != run->first / TREE_FANOUT) {
		*ret_done = take_ptr(b->newest);
		r = leaf_open(b, run->first / TREE_FANOUT, &b->newest, err);
		if (r < 0)
			return r;
	}
	b->newest->left++;
	*ret = b->newest;
	now = time_mono_ns();
	if (now - b->progress_ns >= PROGRESS_NS) {
		b->progress_ns = now;
		progress_update(b->spec->progress, b->spec->stage,
				b->spec->by_position ? run->first * CHUNK_BYTES
						     : b->stats.bytes_read,
				b->spec->total_bytes);
	}
	return 1;
}

struct chunk_job {
	struct digest name;
	const uint8_t *data;
	bool known; /* in the region and pinned, or needs no writing */
};

/* Names the dirty chunks of a run. Jobs are the ones that may have to be written. */
static unsigned name_chunks(struct leaf *l, const struct build_run *run, struct chunk_job *jobs,
			    struct store_stats *st)
{
	unsigned n = 0;

	for (unsigned i = 0; i < run->n; i++) {
		unsigned at = (unsigned) (run->first % TREE_FANOUT) + i;
		const uint8_t *p = run->data + (size_t) i * CHUNK_BYTES;
		struct digest name = {0};

		if (!((run->dirty | run->zero) & (1u << i)))
			continue;
		if ((run->zero & (1u << i)) || bytes_zero(p, CHUNK_BYTES)) {
			st->zero_bytes += CHUNK_BYTES;
		} else {
			sha256(p, CHUNK_BYTES, &name);
			st->chunks++;
			/* An unchanged chunk is kept alive by the parent's root. */
			if (!digest_eq(&name, &l->was.names[at]))
				jobs[n++] = (struct chunk_job){.name = name, .data = p};
		}
		l->now.names[at] = name;
	}
	return n;
}

/* The same for names that are given: chunks to be copied. */
static unsigned take_names(struct leaf *l, const struct build_run *run, struct chunk_job *jobs,
			   struct store_stats *st)
{
	unsigned n = 0;

	for (unsigned i = 0; i < run->n; i++) {
		unsigned at = (unsigned) (run->first % TREE_FANOUT) + i;

		if (!(run->dirty & (1u << i)))
			continue;
		l->now.names[at] = run->names[i];
		if (digest_is_zero(&run->names[i])) {
			st->zero_bytes += CHUNK_BYTES;
			continue;
		}
		st->chunks++;
		jobs[n++] = (struct chunk_job){.name = run->names[i]};
	}
	return n;
}

/* Which of the jobs does the region hold already? Those are pinned. */
static int find_known(struct build *b, struct chunk_job *jobs, unsigned n, struct err *err)
{
	const struct build_spec *sp = b->spec;
	struct lookup *l = sp->ss->store->regions[sp->region].lookup;
	struct pack_id packs[RUN_CHUNKS];
	bool ok[RUN_CHUNKS];
	struct lookup_txn *t;
	int r;

	if (n == 0)
		return 0;
	t = lookup_begin(l);
	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < n; i++) {
		struct frame_loc loc;

		ok[i] = lookup_get(t, &jobs[i].name, &loc);
		packs[i] = ok[i] ? loc.pack : (struct pack_id){0};
	}
	lookup_end(t); /* before any write to the lookup: it may have to grow */
	r = session_pin(sp->ss, sp->region, packs, n, ok, err);
	for (unsigned i = 0; i < n; i++)
		jobs[i].known = ok[i];
	return r;
}

static int write_new(struct build *b, struct codec *c, const struct chunk_job *j,
		     struct store_stats *st, struct err *err)
{
	struct new_frame f = {.name = j->name, .kind = FRAME_CHUNK};
	size_t n;
	bool added;
	int r;

	if (j->known || writer_has(b->writer, &j->name))
		return 0;
	r = codec_encode(c, j->data, CHUNK_BYTES, &f.bytes, &n, &f.encoding, err);
	if (r < 0)
		return r;
	f.n = (uint32_t) n;
	r = writer_add(b->writer, &f, &added, err);
	if (r >= 0 && added) {
		st->new_chunks++;
		st->new_bytes += CHUNK_BYTES;
	}
	return r;
}

/* Waits until the copied bytes fit the allowed rate. */
static int obey_rate(struct build *b, uint64_t n, struct err *err)
{
	const struct build_spec *sp = b->spec;
	struct pollfd pfd = {.fd = sp->cancel ? sp->cancel->event_fd : -1, .events = POLLIN};
	int64_t due, now;
	int r = 0;

	if (sp->max_bytes_per_s == 0)
		return 0;
	pthread_mutex_lock(&b->lock);
	b->copied_bytes += n;
	due = b->start_ns +
	      (int64_t) ((double) b->copied_bytes / (double) sp->max_bytes_per_s * 1e9);
	pthread_mutex_unlock(&b->lock);
	while (r == 0 && (now = time_mono_ns()) < due) {
		(void) poll(&pfd, 1, (int) ((due - now) / 1000000 % 1000) + 1);
		r = cancel_check(sp->cancel);
	}
	return r < 0 ? err_set(err, r, "cancelled") : 0;
}

/* Copies one frame as it is stored, after proving that it decodes to its name. */
static int write_copy(struct build *b, struct codec *c, const struct chunk_job *j,
		      struct store_stats *st, struct err *err)
{
	const struct place *from = b->spec->copy_from;
	struct new_frame f = {.name = j->name, .kind = FRAME_CHUNK};
	uint8_t raw[FRAME_MAX + PACK_TAG_BYTES], plain[CHUNK_BYTES];
	struct frame_loc loc;
	size_t n;
	bool added;
	int r;

	if (j->known || writer_has(b->writer, &j->name))
		return 0;
	r = fetch_locate(from->store, from->region, &j->name, &loc, err);
	if (r < 0)
		return r;
	f.bytes = raw;
	f.encoding = (enum frame_encoding) loc.encoding;
	if (loc.kind != FRAME_CHUNK ||
	    fetch_frame(from->store, from->region, &j->name, &loc, raw, &f.n, NULL) < 0 ||
	    fetch_decode(c, &j->name, &loc, raw, f.n, plain, CHUNK_BYTES) < 0) {
		/* This copy is bad: the careful way may know another. */
		r = fetch_chunk(from->store, from->region, c, &j->name, plain, err);
		if (r >= 0)
			r = codec_encode(c, plain, CHUNK_BYTES, &f.bytes, &n, &f.encoding, err);
		if (r < 0)
			return r;
		f.n = (uint32_t) n;
	}
	r = obey_rate(b, f.n, err);
	if (r >= 0)
		r = writer_add(b->writer, &f, &added, err);
	if (r >= 0 && added) {
		st->new_chunks++;
		st->new_bytes += CHUNK_BYTES;
		st->bytes_read += f.n;
	}
	return r;
}

static void add_stats(struct build *b, const struct store_stats *st)
{
	pthread_mutex_lock(&b->lock);
	b->stats.bytes_read += st->bytes_read;
	b->stats.zero_bytes += st->zero_bytes;
	b->stats.chunks += st->chunks;
	b->stats.new_chunks += st->new_chunks;
	b->stats.new_bytes += st->new_bytes;
	pthread_mutex_unlock(&b->lock);
}

static int do_run(struct build *b, struct codec *c, struct leaf *l, struct build_run *run,
		  struct err *err)
{
	struct chunk_job jobs[RUN_CHUNKS];
	struct store_stats st = {0};
	unsigned n;
	int r;

	if (run->dirty && !b->spec->copy_from) {
		r = b->spec->source->load(b->spec->source->arg, run, err);
		if (r < 0)
			return r;
		st.bytes_read = (uint64_t) __builtin_popcount(run->dirty) * CHUNK_BYTES;
	}
	n = b->spec->copy_from ? take_names(l, run, jobs, &st) : name_chunks(l, run, jobs, &st);
	r = find_known(b, jobs, n, err);
	for (unsigned i = 0; i < n && r >= 0; i++)
		r = b->spec->copy_from ? write_copy(b, c, &jobs[i], &st, err)
				       : write_new(b, c, &jobs[i], &st, err);
	if (r >= 0)
		r = session_renew(b->spec->ss, err);
	add_stats(b, &st);
	return r;
}

static int worker(void *arg, unsigned thread, struct err *err)
{
	struct build *b = arg;
	auto_free uint8_t *data = malloc((size_t) RUN_CHUNKS * CHUNK_BYTES);
	struct codec *c = store_codec_take(b->spec->ss->store);
	int r = data && c ? 1 : err_set(err, -ENOMEM, "out of memory");

	while (r > 0) {
		struct build_run run = {.data = data};
		struct leaf *l = NULL, *done = NULL;
		int d = 0;

		pthread_mutex_lock(&b->lock);
		r = claim_locked(b, &run, &l, &done, err);
		pthread_mutex_unlock(&b->lock);
		if (done)
			d = leaf_drop(b, done, r < 0 ? NULL : err);
		if (d < 0 && r >= 0)
			r = d;
		if (!l)
			continue;
		if (r > 0)
			r = do_run(b, c, l, &run, err);
		if (r < 0) {
			pthread_mutex_lock(&b->lock);
			b->failed = r;
			pthread_mutex_unlock(&b->lock);
			(void) leaf_drop(b, l, NULL);
			break;
		}
		d = leaf_drop(b, l, err);
		r = d < 0 ? d : 1;
	}
	if (r < 0) {
		pthread_mutex_lock(&b->lock);
		b->failed = r;
		pthread_mutex_unlock(&b->lock);
	}
	if (c)
		store_codec_give(b->spec->ss->store, c);
	return r;
}

static int by_index(const void *a, const void *b)
{
	const struct leaf_change *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

static int finish(struct build *b, struct disk_ref *ret, struct err *err)
{
	const struct build_spec *sp = b->spec;
	uint64_t size = *sp->size_bytes;
	unsigned level = tree_level(size);
	struct digest root, old = {0};
	int r;

	if (sp->parent)
		old = sp->parent->root;
	if (b->n_changes > 0)
		qsort(b->changes, b->n_changes, sizeof(*b->changes), by_index);
	r = tree_rewrite(sp->ss, sp->region, &old,
			 sp->parent ? tree_level(sp->parent->size_bytes) : level, level, b->changes,
			 b->n_changes, &root, err);
	if (r >= 0)
		r = writer_flush(b->writer, err);
	if (r < 0)
		return r;
	disk_ref_make(&root, size, ret);
	return session_product(sp->ss, sp->region, ret, err);
}

int build_disk(const struct build_spec *spec, struct disk_ref *ret, struct store_stats *ret_stats,
	       struct err *err)
{
	struct build b = {.spec = spec};
	uint64_t packs0, bytes0, packs1, bytes1;
	struct store_region *g = &spec->ss->store->regions[spec->region];
	int r = atomic_load(&g->draining) ? err_set(err, -EROFS,
						    "region %s is being drained and "
						    "takes nothing new",
						    g->region->name)
					  : session_writer(spec->ss, spec->region, &b.writer, err);

	if (r < 0)
		return r;
	(void) pthread_mutex_init(&b.lock, NULL);
	b.start_ns = time_mono_ns();
	if (spec->copy_from)
		writer_read_back(b.writer);
	writer_totals(b.writer, &packs0, &bytes0);
	r = parallel_run(spec->ss->store->threads, worker, &b, err);
	if (b.newest)
		free(b.newest);
	if (r >= 0)
		r = finish(&b, ret, err);
	writer_totals(b.writer, &packs1, &bytes1);
	b.stats.transfers = packs1 - packs0;
	b.stats.stored_bytes = bytes1 - bytes0;
	if (ret_stats)
		*ret_stats = b.stats;
	if (r >= 0)
		progress_update(spec->progress, spec->stage,
				spec->total_bytes ? spec->total_bytes : b.stats.bytes_read,
				spec->total_bytes ? spec->total_bytes : b.stats.bytes_read);
	(void) pthread_mutex_destroy(&b.lock);
	free(b.changes);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cold packs at a higher level. What is written on ingest is compressed quickly; here it is read,
 * proven, and written anew with more effort. A pack says in its header what was tried, so a run
 * that was stopped goes on where it was, and one that has nothing to do reads only headers.
 */
#include <poll.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "store/maintain.h"
#include "store/walk.h"

#define LEVEL_MAX 19
#define BATCH     8 /* old packs whose new ones are made durable together */

struct recompress {
	struct store *s;
	unsigned region;
	int level;
	struct store_budget budget;
	struct cancel *cancel;
	const struct progress *progress;
	struct store_recompress_result *ret;
	struct store_session *ss;
	struct writer *writer;
	int64_t epoch, start_ns;
	uint64_t read_bytes, total_bytes;
	const struct pack_row *batch[BATCH];
	unsigned n;
};

/* One pack in work; its frames are taken in turn by the threads. */
struct pack_job {
	struct recompress *w;
	struct pack_index x;
	pthread_mutex_t lock; /* guards next */
	uint32_t next;
};

/* A frame's bytes proven, and encoded anew where that is smaller. Deltas are moved as they are:
 * whoever reads one proves it. */
static int one_frame(struct pack_job *j, struct codec *c, const struct pack_entry *e, uint32_t i,
		     struct err *err)
{
	struct recompress *w = j->w;
	uint8_t raw[FRAME_MAX + PACK_TAG_BYTES], plain[CHUNK_BYTES];
	size_t n = e->kind == FRAME_NODE ? NODE_BYTES : CHUNK_BYTES, small;
	struct frame_loc loc = {j->x.header.id, (uint32_t) e->offset, e->length, i,
				e->kind,        e->encoding,          e->level};
	struct new_frame f = {.name = e->name,
			      .kind = (enum frame_kind) e->kind,
			      .encoding = (enum frame_encoding) e->encoding,
			      .level = e->level,
			      .bytes = raw};
	enum frame_encoding encoding;
	const void *bytes;
	bool added;
	int r = fetch_frame(w->s, w->region, &e->name, &loc, raw, &f.n, err);

	if (r >= 0 && e->encoding != FRAME_DELTA) {
		r = fetch_decode(c, &e->name, &loc, raw, f.n, plain, n);
		if (r < 0)
			return err_set(err, -EBADMSG, "a frame is damaged");
		r = codec_encode(c, plain, n, &bytes, &small, &encoding, err);
		if (r >= 0 && small < f.n) {
			f.bytes = bytes;
			f.n = (uint32_t) small;
			f.encoding = encoding;
		}
	}
	return r < 0 ? r : writer_add(w->writer, &f, &added, err);
}

static int frames(void *arg, unsigned thread, struct err *err)
{
	struct pack_job *j = arg;
	auto_codec struct codec *c = codec_new(j->w->level);
	int r = c ? 0 : err_set(err, -ENOMEM, "out of memory");

	while (r >= 0) {
		uint32_t i;

		pthread_mutex_lock(&j->lock);
		i = j->next < j->x.n ? j->next++ : j->x.n;
		pthread_mutex_unlock(&j->lock);
		if (i == j->x.n)
			break;
		r = cancel_check(j->w->cancel);
		if (r < 0)
			(void) err_set(err, r, "cancelled");
		else
			r = one_frame(j, c, &j->x.entries[i], i, err);
	}
	return r;
}

/* What was read must not exceed the allowed rate; waits until it does not. */
static int obey_rate(struct recompress *w, struct err *err)
{
	struct pollfd pfd = {.fd = w->cancel ? w->cancel->event_fd : -1, .events = POLLIN};
	int64_t due, now;
	int r = 0;

	if (w->budget.max_bytes_per_s == 0)
		return 0;
	due = w->start_ns +
	      (int64_t) ((double) w->read_bytes / (double) w->budget.max_bytes_per_s * 1e9);
	while (r == 0 && (now = time_mono_ns()) < due) {
		(void) poll(&pfd, 1, (int) ((due - now) / 1000000 % 1000) + 1);
		r = cancel_check(w->cancel);
	}
	return r < 0 ? err_set(err, r, "cancelled") : 0;
}

/* The new packs are durable; the old ones have nothing left that the lookup names there. */
static int end_batch(struct recompress *w, struct err *err)
{
	uint64_t packs, bytes;
	int r = w->n > 0 ? writer_flush(w->writer, err) : 0;

	for (unsigned i = 0; i < w->n && r >= 0; i++) {
		bool done;

		r = packs_condemn(w->s->meta, &w->ss->key, region_name_of(w->s, w->region),
				  &w->batch[i]->id, w->epoch, &done, err);
		w->ret->packs++;
		w->ret->bytes_before += w->batch[i]->bytes;
	}
	w->n = 0;
	writer_totals(w->writer, &packs, &bytes);
	w->ret->bytes_after = bytes;
	return r;
}

static int one_pack(struct recompress *w, const struct pack_row *row, struct err *err)
{
	struct pack_job j = {.w = w};
	auto_err struct err own = ERR_INIT;
	unsigned effort;
	int r = pack_effort(&w->s->regions[w->region], &row->id, &effort);

	if (r >= 0 && effort >= (unsigned) w->level) {
		w->ret->kept++;
		return 0;
	}
	if (r >= 0)
		r = pack_index_load(&w->s->regions[w->region], &row->id, &j.x, &own);
	if (r >= 0) {
		(void) pthread_mutex_init(&j.lock, NULL);
		r = parallel_run(w->s->threads, frames, &j, &own);
		(void) pthread_mutex_destroy(&j.lock);
	}
	pack_index_done(&j.x);
	if (r == -EBADMSG || r == -ENODATA || r == -ENOENT) {
		/* What was moved is good; the pack itself is check's business. */
		w->ret->damaged++;
		return 0;
	}
	if (r < 0) {
		if (err)
			err_move(err, &own);
		return r;
	}
	w->read_bytes += row->bytes;
	w->batch[w->n++] = row;
	if (w->n == BATCH)
		r = end_batch(w, err);
	progress_update(w->progress, "recompress", w->read_bytes, w->total_bytes);
	return r < 0 ? r : obey_rate(w, err);
}

static int by_seq(const void *a, const void *b)
{
	const struct pack_row *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* In the order in which they were written, so that what was together stays together. */
static int all_packs(struct recompress *w, struct err *err)
{
	auto_rows struct row_list rows = {0};
	int r = rows_load(w->s, w->region, &rows, err), end = 0;

	if (r >= 0 && rows.n > 0)
		qsort(rows.v, rows.n, sizeof(*rows.v), by_seq);
	for (size_t i = 0; i < rows.n; i++)
		w->total_bytes += rows.v[i].bytes;
	for (size_t i = 0; i < rows.n && r >= 0; i++) {
		/* What a root came to rely on since the beginning is not cold. */
		if (rows.v[i].state != PACK_PRESENT || rows.v[i].stamp >= w->epoch)
			continue;
		if (w->budget.max_bytes && w->read_bytes >= w->budget.max_bytes)
			break;
		r = session_renew(w->ss, err);
		if (r >= 0)
			r = one_pack(w, &rows.v[i], err);
	}
	/* Who is stopped keeps what is done. */
	if (r >= 0 || cancel_check(w->cancel) < 0)
		end = end_batch(w, r < 0 ? NULL : err);
	return r < 0 ? r : end;
}

int store_recompress(struct store *s, unsigned region, int level, const struct store_budget *budget,
		     struct cancel *cancel, const struct progress *p,
		     struct store_recompress_result *ret, struct err *err)
{
	struct recompress w = {
		.s = s,
		.region = region,
		.level = level,
		.budget = budget ? *budget : (struct store_budget){0},
		.cancel = cancel,
		.progress = p,
		.ret = ret,
		.start_ns = time_mono_ns(),
	};
	int64_t after;
	int r = store_region_check(s, region, err);

	*ret = (struct store_recompress_result){0};
	if (r < 0)
		return r;
	if (level < 1 || level > LEVEL_MAX)
		return err_set(err, -EINVAL, "recompress: level %d: 1 to %d expected", level,
			       LEVEL_MAX);
	if (s->read_only)
		return err_set(err, -EROFS, "recompress: the store is read-only");
	r = session_alone(s, region, "recompress", &w.ss, NULL, err);
	if (r >= 0)
		r = packs_epoch_next(s->meta, &w.epoch, err);
	if (r >= 0)
		r = session_writer(w.ss, region, &w.writer, err);
	if (r >= 0) {
		writer_replace(w.writer);
		writer_effort(w.writer, level);
		r = all_packs(&w, err);
	}
	if (r >= 0)
		r = packs_epoch_next(s->meta, &after, err);
	store_session_end(w.ss);
	return r < 0 ? err_ctx(err, r, "recompress") : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that claim stretches of data, work on them at the same time, and hand them on in turn. */
#include <pthread.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "disk/formats/internal.h"

#define THREADS_MAX 32
#define PROGRESS_NS 100000000

int source_next(const struct disk_source *s, uint64_t *at, uint64_t block, uint64_t max,
		uint64_t *ret_off, uint64_t *ret_len, struct err *err)
{
	uint64_t pos = *at, end, len = 0;
	bool zero = true;
	int r;

	while (pos < s->size_bytes) {
		r = s->run(s->arg, pos, s->size_bytes - pos, &zero, &len, err);
		if (r < 0)
			return r;
		if (!zero)
			break;
		pos += len;
	}
	if (pos >= s->size_bytes)
		return 0;
	*ret_off = pos / block * block;
	end = round_up(pos + len, block);
	while (end < s->size_bytes && end - *ret_off < max) {
		r = s->run(s->arg, end, s->size_bytes - end, &zero, &len, err);
		if (r < 0)
			return r;
		if (zero && (len >= block || end + len == s->size_bytes))
			break;
		end = round_up(end + len, block);
	}
	if (end - *ret_off > max)
		end = *ret_off + max;
	*at = end;
	*ret_len = (end < s->size_bytes ? end : s->size_bytes) - *ret_off;
	return 1;
}

/* ---- Threads ------------------------------------------------------------------------------- */

struct team {
	int (*fn)(void *arg, struct err *err);
	void *arg;
	pthread_mutex_t lock; /* guards what follows */
	struct err *err;
	int failed;
};

static void *team_main(void *arg)
{
	struct team *t = arg;
	struct err own = ERR_INIT;
	int r = t->fn(t->arg, &own);

	pthread_mutex_lock(&t->lock);
	if (r < 0 && t->failed == 0) {
		t->failed = r;
		if (t->err)
			err_move(t->err, &own);
	}
	pthread_mutex_unlock(&t->lock);
	err_done(&own);
	return NULL;
}

int threads_run(unsigned n, int (*fn)(void *arg, struct err *err), void *arg, struct err *err)
{
	struct team t = {.fn = fn, .arg = arg, .err = err};
	pthread_t id[THREADS_MAX];
	unsigned started = 0;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (n == 0)
		n = cores > 1 ? (unsigned) cores : 1;
	if (n > THREADS_MAX)
		n = THREADS_MAX;
	(void) pthread_mutex_init(&t.lock, NULL);
	while (started + 1 < n && pthread_create(&id[started], NULL, team_main, &t) == 0)
		started++;
	(void) team_main(&t); /* this thread works too */
	for (unsigned i = 0; i < started; i++)
		(void) pthread_join(id[i], NULL);
	(void) pthread_mutex_destroy(&t.lock);
	return t.failed;
}

/* ---- The pipeline -------------------------------------------------------------------------- */

struct line {
	const struct pipeline *p;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t turn;
	uint64_t at; /* where to look for data */
	uint64_t claimed, emitted;
	int failed;
	int64_t progress_ns;
};

static int line_claim(struct line *w, struct batch *b, struct err *err)
{
	const struct format_job *job = w->p->job;
	int64_t now = time_mono_ns();
	uint64_t len = 0;
	int r = cancel_check(job->cancel);

	if (r < 0)
		return err_set(err, r, "cancelled");
	if (w->failed < 0)
		return 0;
	r = source_next(job->disk, &w->at, BLOCK_BYTES, BATCH_BYTES, &b->offset, &len, err);
	if (r <= 0)
		return r;
	b->bytes = (size_t) len;
	b->number = w->claimed++;
	if (now - w->progress_ns >= PROGRESS_NS) {
		w->progress_ns = now;
		progress_update(job->progress, "export", b->offset, job->disk->size_bytes);
	}
	return 1;
}

static int line_emit(struct line *w, const struct batch *b, struct err *err)
{
	int r;

	pthread_mutex_lock(&w->lock);
	while (w->emitted != b->number && w->failed == 0)
		pthread_cond_wait(&w->turn, &w->lock);
	r = w->failed;
	pthread_mutex_unlock(&w->lock);
	if (r < 0)
		return err_set(err, r, "another part of the disk failed");
	r = w->p->emit(w->p->arg, b, err);
	pthread_mutex_lock(&w->lock);
	if (r == 0)
		w->emitted++;
	pthread_cond_broadcast(&w->turn);
	pthread_mutex_unlock(&w->lock);
	return r;
}

static int line_batch(struct line *w, struct batch *b, struct err *err)
{
	const struct disk_source *disk = w->p->job->disk;
	size_t whole = (size_t) round_up(b->bytes, BLOCK_BYTES);
	int r = disk->read(disk->arg, b->in, b->bytes, b->offset, err);

	if (r < 0)
		return r;
	memset(b->in + b->bytes, 0, whole - b->bytes);
	b->n = whole;
	b->blocks = (unsigned) (whole / BLOCK_BYTES);
	r = w->p->work(w->p->arg, b, err);
	return r < 0 ? r : line_emit(w, b, err);
}

static int line_work(struct line *w, struct batch *b, struct err *err)
{
	int r = 1;

	while (r > 0) {
		pthread_mutex_lock(&w->lock);
		r = line_claim(w, b, err);
		pthread_mutex_unlock(&w->lock);
		if (r > 0) {
			r = line_batch(w, b, err);
			r = r < 0 ? r : 1;
		}
	}
	return r;
}

static int line_worker(void *arg, struct err *err)
{
	struct line *w = arg;
	const struct pipeline *p = w->p;
	struct batch b = {.in = malloc(BATCH_BYTES),
			  .out = malloc(p->out_bytes),
			  .tool = p->tool_new(p->arg)};
	int r = -ENOMEM;

	if (b.in && b.out && b.tool)
		r = line_work(w, &b, err);
	else
		err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		pthread_mutex_lock(&w->lock);
		w->failed = r;
		pthread_cond_broadcast(&w->turn);
		pthread_mutex_unlock(&w->lock);
	}
	free(b.in);
	free(b.out);
	if (b.tool)
		p->tool_free(b.tool);
	return r;
}

int pipeline_run(const struct pipeline *p, struct err *err)
{
	struct line w = {.p = p};
	int r;

	(void) pthread_mutex_init(&w.lock, NULL);
	(void) pthread_cond_init(&w.turn, NULL);
	r = threads_run(p->job->threads, line_worker, &w, err);
	(void) pthread_cond_destroy(&w.turn);
	(void) pthread_mutex_destroy(&w.lock);
	if (r == 0)
		progress_update(p->job->progress, "export", p->job->disk->size_bytes,
				p->job->disk->size_bytes);
	return r;
}

/* ---- Sinks --------------------------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *p, size_t n, struct err *err)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_set(err, -errno, "cannot write: %s", strerror(errno));
		p += k;
		n -= (size_t) k;
	}
	return 0;
}

int sink_put(struct sink *s, const void *p, size_t n, struct err *err)
{
	int r;

	if (s->random) {
		r = file_pwrite_full(s->fd, p, n, s->base + s->at);
		if (r < 0)
			return err_set(err, r, "cannot write: %s", strerror(-r));
	} else {
		r = write_all(s->fd, p, n, err);
		if (r < 0)
			return r;
	}
	if (s->sum)
		sha256_add(s->sum, p, n);
	s->at += n;
	return 0;
}

int sink_zeros(struct sink *s, uint64_t offset, struct err *err)
{
	static const uint8_t zeros[BLOCK_BYTES];

	if (s->random && !s->sum) {
		s->at = s->at > offset ? s->at : offset;
		return 0;
	}
	while (s->at < offset) {
		uint64_t n = offset - s->at;
		int r = sink_put(s, zeros, n < sizeof(zeros) ? (size_t) n : sizeof(zeros), err);

		if (r < 0)
			return r;
	}
	return 0;
}

int sink_patch(const struct sink *s, uint64_t offset, const void *p, size_t n, struct err *err)
{
	int r = file_pwrite_full(s->fd, p, n, s->base + offset);

	return r < 0 ? err_set(err, r, "cannot write: %s", strerror(-r)) : 0;
}

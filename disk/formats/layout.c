/* SPDX-License-Identifier: Apache-2.0 */
/* A file as a sorted list of pieces: bytes made up beforehand and ranges of the disk. */
#include <pthread.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "disk/formats/internal.h"

#define PIECES_MAX (1u << 24)

struct piece {
	uint64_t offset, n;
	uint8_t *bytes; /* owned; NULL = of the disk */
	uint64_t disk_offset;
};
struct layout {
	struct disk_source disk;
	struct piece *v;
	size_t n, cap;
	uint64_t bytes;
};

static int add(struct layout *l, const struct piece *p, struct err *err)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct piece *v = cap > PIECES_MAX ? NULL : reallocarray(l->v, cap, sizeof(*v));

		if (!v)
			return err_set(err, -ENOMEM, "out of memory");
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = *p;
	return 0;
}

int layout_add_bytes(struct layout *l, uint64_t offset, const void *p, size_t n, struct err *err)
{
	struct piece x = {.offset = offset, .n = n, .bytes = malloc(n)};
	int r;

	if (!x.bytes)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(x.bytes, p, n);
	r = add(l, &x, err);
	if (r < 0)
		free(x.bytes);
	return r;
}

int layout_add_disk(struct layout *l, uint64_t offset, uint64_t disk_offset, uint64_t n,
		    struct err *err)
{
	struct piece x = {.offset = offset, .n = n, .disk_offset = disk_offset};

	return n == 0 ? 0 : add(l, &x, err);
}

void layout_end(struct layout *l, uint64_t bytes)
{
	l->bytes = bytes;
}

uint64_t layout_bytes(const struct layout *l)
{
	return l->bytes;
}

void layout_free(struct layout *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].bytes);
	free(l->v);
	free(l);
}

static int by_offset(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

int format_layout(const struct format *f, const struct disk_source *disk,
		  const struct format_facts *facts, struct layout **ret, struct err *err)
{
	struct layout *l;
	uint64_t padded;
	int r = format_padded(f, disk->size_bytes, &padded, err);

	if (r < 0)
		return r;
	if (!f->layout)
		return err_set(err, -EOPNOTSUPP,
			       "%s is compressed: its bytes are not known before it is written",
			       f->name);
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	l->disk = *disk;
	r = f->layout(disk, facts, padded, l, err);
	if (r < 0) {
		layout_free(l);
		return r;
	}
	qsort(l->v, l->n, sizeof(*l->v), by_offset);
	*ret = l;
	return 0;
}

/* The first piece that ends behind @offset. */
static size_t find(const struct layout *l, uint64_t offset)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->v[mid].offset + l->v[mid].n <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int piece_read(const struct layout *l, const struct piece *p, uint64_t from, uint8_t *dst,
		      size_t n, struct err *err)
{
	if (!p->bytes)
		return l->disk.read(l->disk.arg, dst, n, p->disk_offset + from, err);
	memcpy(dst, p->bytes + from, n);
	return 0;
}

int layout_read(const struct layout *l, void *dst, size_t n, uint64_t offset, struct err *err)
{
	uint8_t *out = dst;

	if (!range_ok(offset, n, l->bytes))
		return err_set(err, -EINVAL, "a read past the file's end");
	for (size_t i = find(l, offset); n > 0; i++) {
		uint64_t from = i < l->n ? l->v[i].offset : l->bytes;
		size_t k;
		int r;

		if (from > offset) { /* a gap */
			k = from - offset < n ? (size_t) (from - offset) : n;
			memset(out, 0, k);
			out += k;
			offset += k;
			n -= k;
		}
		if (n == 0)
			break;
		from = offset - l->v[i].offset;
		k = l->v[i].n - from < n ? (size_t) (l->v[i].n - from) : n;
		r = piece_read(l, &l->v[i], from, out, k, err);
		if (r < 0)
			return r;
		out += k;
		offset += k;
		n -= k;
	}
	return 0;
}

/* ---- Writing it ---------------------------------------------------------------------------- */

#define COPY_BYTES  (4u << 20)
#define PROGRESS_NS 100000000

struct copy {
	struct layout *l;
	const struct format_job *job;
	struct sink sink;     /* streams: guarded by whose turn it is */
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t turn;
	size_t piece;
	uint64_t from; /* within the piece */
	uint64_t claimed, written;
	int failed;
	int64_t progress_ns;
};
struct claim {
	const struct piece *p;
	uint64_t number, from;
	size_t n;
};

static int claim_next(struct copy *c, struct claim *ret, struct err *err)
{
	int r = cancel_check(c->job->cancel);
	int64_t now = time_mono_ns();
	const struct piece *p;

	if (r < 0)
		return err_set(err, r, "cancelled");
	if (c->failed < 0 || c->piece == c->l->n)
		return 0;
	p = &c->l->v[c->piece];
	*ret = (struct claim){p, c->claimed++, c->from,
			      p->n - c->from < COPY_BYTES ? (size_t) (p->n - c->from) : COPY_BYTES};
	c->from += ret->n;
	if (c->from == p->n) {
		c->piece++;
		c->from = 0;
	}
	if (now - c->progress_ns >= PROGRESS_NS) {
		c->progress_ns = now;
		progress_update(c->job->progress, "export", p->offset + ret->from, c->l->bytes);
	}
	return 1;
}

static int put_turn(struct copy *c, const struct claim *m, const uint8_t *buf, struct err *err)
{
	int r;

	pthread_mutex_lock(&c->lock);
	while (c->written != m->number && c->failed == 0)
		pthread_cond_wait(&c->turn, &c->lock);
	r = c->failed;
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		return err_set(err, r, "another part of the disk failed");
	r = sink_zeros(&c->sink, m->p->offset + m->from, err);
	if (r == 0)
		r = sink_put(&c->sink, buf, m->n, err);
	pthread_mutex_lock(&c->lock);
	c->written++;
	pthread_cond_broadcast(&c->turn);
	pthread_mutex_unlock(&c->lock);
	return r;
}

static int copy_one(struct copy *c, const struct claim *m, uint8_t *buf, struct err *err)
{
	int r = piece_read(c->l, m->p, m->from, buf, m->n, err);

	if (r < 0)
		return r;
	if (!c->job->random)
		return put_turn(c, m, buf, err);
	r = file_pwrite_full(c->job->fd, buf, m->n, m->p->offset + m->from);
	return r < 0 ? err_set(err, r, "cannot write: %s", strerror(-r)) : 0;
}

static int copy_worker(void *arg, struct err *err)
{
	struct copy *c = arg;
	auto_free uint8_t *buf = malloc(COPY_BYTES);
	int r = buf ? 1 : err_set(err, -ENOMEM, "out of memory");

	while (r > 0) {
		struct claim m = {0};

		pthread_mutex_lock(&c->lock);
		r = claim_next(c, &m, err);
		pthread_mutex_unlock(&c->lock);
		if (r > 0)
			r = copy_one(c, &m, buf, err) < 0 ? -1 : 1;
	}
	if (r < 0) {
		r = err && err->code < 0 ? err->code : -EIO;
		pthread_mutex_lock(&c->lock);
		c->failed = r;
		pthread_cond_broadcast(&c->turn);
		pthread_mutex_unlock(&c->lock);
	}
	return r;
}

int layout_write(struct layout *l, const struct format_job *job, struct err *err)
{
	struct copy c = {.l = l, .job = job, .sink = {.fd = job->fd, .random = job->random}};
	int r;

	(void) pthread_mutex_init(&c.lock, NULL);
	(void) pthread_cond_init(&c.turn, NULL);
	r = threads_run(job->threads, copy_worker, &c, err);
	(void) pthread_cond_destroy(&c.turn);
	(void) pthread_mutex_destroy(&c.lock);
	if (r == 0 && job->random && ftruncate(job->fd, (off_t) l->bytes) < 0)
		r = err_set(err, -errno, "cannot set the file's size: %s", strerror(errno));
	if (r == 0 && !job->random)
		r = sink_zeros(&c.sink, l->bytes, err);
	if (r == 0)
		progress_update(job->progress, "export", l->bytes, l->bytes);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A new disk from its parent and the ranges that changed. */
#include "base/file.h"
#include "base/mem.h"
#include "store/internal.h"

struct commit {
	struct store_session *ss;
	unsigned region;
	const struct disk_ref *parent;
	int fd;
	const struct store_extent *extents;
	size_t n;
	size_t at;     /* first extent that may touch a chunk not yet claimed */
	uint64_t next; /* first chunk not yet claimed */
	uint64_t size_bytes;
};

static int extents_check(const struct store_extent *e, size_t n, uint64_t size, struct err *err)
{
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t file_end;

		if (e[i].offset < end)
			return err_set(err, -EINVAL, "extent %zu at byte %llu is out of order", i,
				       (unsigned long long) e[i].offset);
		if (e[i].length == 0 || !range_ok(e[i].offset, e[i].length, size) ||
		    __builtin_add_overflow(e[i].file_offset, e[i].length, &file_end))
			return err_set(err, -EINVAL,
				       "extent %zu (%llu bytes at %llu) does not fit a disk of "
				       "%llu bytes",
				       i, (unsigned long long) e[i].length,
				       (unsigned long long) e[i].offset, (unsigned long long) size);
		end = e[i].offset + e[i].length;
	}
	return 0;
}

static uint64_t extent_end(const struct store_extent *e)
{
	return e->offset + e->length;
}

/* Bytes of the chunk that lie inside the disk. */
static uint64_t chunk_end(const struct commit *c, uint64_t chunk)
{
	uint64_t end = (chunk + 1) * CHUNK_BYTES;

	return end > c->size_bytes ? c->size_bytes : end;
}

/* Does one zero extent cover the whole chunk? @i: first extent that ends past its start. */
static bool zero_covers(const struct commit *c, size_t i, uint64_t chunk)
{
	return c->extents[i].zero && c->extents[i].offset <= chunk * CHUNK_BYTES &&
	       extent_end(&c->extents[i]) >= chunk_end(c, chunk);
}

static int commit_claim(void *arg, struct build_run *run, struct err *err)
{
	struct commit *c = arg;
	size_t i = c->at;
	uint64_t first;

	while (i < c->n && extent_end(&c->extents[i]) <= c->next * CHUNK_BYTES)
		i++;
	c->at = i;
	if (i == c->n)
		return 0;
	first = c->extents[i].offset / CHUNK_BYTES;
	if (first < c->next)
		first = c->next;
	run->first = first;
	run->n = 0;
	while (i < c->n) {
		uint64_t chunk = first + run->n;

		if (run->n > 0 && chunk % RUN_CHUNKS == 0)
			break;
		while (i < c->n && extent_end(&c->extents[i]) <= chunk * CHUNK_BYTES)
			i++;
		if (i == c->n)
			break;
		if (c->extents[i].offset < (chunk + 1) * CHUNK_BYTES) {
			if (zero_covers(c, i, chunk))
				run->zero |= 1u << run->n;
			else
				run->dirty |= 1u << run->n;
		}
		run->n++;
	}
	c->next = first + run->n;
	return 1;
}

/* The first extent that ends after @offset. */
static size_t find_extent(const struct commit *c, uint64_t offset)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (extent_end(&c->extents[mid]) <= offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Do extents from @i on cover the chunk without a gap? */
static bool covered(const struct commit *c, size_t i, uint64_t chunk)
{
	uint64_t at = chunk * CHUNK_BYTES, end = chunk_end(c, chunk);

	for (; i < c->n && at < end && c->extents[i].offset <= at; i++)
		at = extent_end(&c->extents[i]);
	return at >= end;
}

static int parent_chunk(const struct commit *c, uint64_t chunk, uint8_t *dst, struct err *err)
{
	struct store *s = c->ss->store;
	struct digest name = {0};
	struct codec *codec;
	uint64_t span;
	int r = 0;

	if (chunk < disk_chunks(c->parent->size_bytes))
		r = tree_chunk(s, c->region, c->parent, chunk, &name, &span, err);
	if (r < 0)
		return r;
	if (digest_is_zero(&name)) {
		memset(dst, 0, CHUNK_BYTES);
		return 0;
	}
	codec = store_codec_take(s);
	if (!codec)
		return err_set(err, -ENOMEM, "out of memory");
	r = fetch_chunk(s, c->region, codec, &name, dst, err);
	store_codec_give(s, codec);
	return r;
}

static int load_chunk(const struct commit *c, uint64_t chunk, uint8_t *dst, struct err *err)
{
	uint64_t start = chunk * CHUNK_BYTES, end = chunk_end(c, chunk);
	size_t i = find_extent(c, start);
	int r = 0;

	if (covered(c, i, chunk))
		memset(dst + (end - start), 0, CHUNK_BYTES - (size_t) (end - start));
	else
		r = parent_chunk(c, chunk, dst, err);
	for (; r >= 0 && i < c->n && c->extents[i].offset < end; i++) {
		const struct store_extent *e = &c->extents[i];
		uint64_t from = e->offset > start ? e->offset : start;
		uint64_t to = extent_end(e) < end ? extent_end(e) : end;

		if (e->zero) {
			memset(dst + (from - start), 0, (size_t) (to - from));
			continue;
		}
		r = file_pread_full(c->fd, dst + (from - start), (size_t) (to - from),
				    e->file_offset + (from - e->offset));
		if (r < 0)
			r = err_set(err, r, "cannot read the overlay at byte %llu: %s",
				    (unsigned long long) (e->file_offset + (from - e->offset)),
				    r == -ENODATA ? "file is too short" : strerror(-r));
	}
	return r;
}

static int commit_load(void *arg, struct build_run *run, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < run->n && r >= 0; i++)
		if (run->dirty & (1u << i))
			r = load_chunk(arg, run->first + i, run->data + (size_t) i * CHUNK_BYTES,
				       err);
	return r;
}

int store_commit(struct store_session *ss, unsigned region, const struct disk_ref *parent, int fd,
		 const struct store_extent *extents, size_t n, uint64_t new_size,
		 struct cancel *cancel, const struct progress *p, struct disk_ref *ret,
		 struct store_stats *ret_stats, struct err *err)
{
	struct commit c = {
		.ss = ss,
		.region = region,
		.parent = parent,
		.fd = fd,
		.extents = extents,
		.n = n,
		.size_bytes = new_size ? new_size : parent->size_bytes,
	};
	struct build_source src = {commit_claim, commit_load, &c};
	struct build_spec spec = {
		.ss = ss,
		.region = region,
		.parent = parent,
		.source = &src,
		.size_bytes = &c.size_bytes,
		.stage = "commit",
		.cancel = cancel,
		.progress = p,
	};
	int r = store_region_check(ss->store, region, err);

	if (r < 0)
		return r;
	if (c.size_bytes < parent->size_bytes || c.size_bytes % 512 != 0 ||
	    c.size_bytes > DISK_MAX_BYTES)
		return err_set(err, -EINVAL,
			       "new size %llu must be a multiple of 512 and at least the "
			       "parent's %llu",
			       (unsigned long long) new_size,
			       (unsigned long long) parent->size_bytes);
	r = extents_check(extents, n, c.size_bytes, err);
	if (r >= 0)
		r = session_hold(ss, region, parent, err);
	if (r < 0)
		return err_ctx(err, r, "commit");
	for (size_t i = 0; i < n; i++)
		if (!extents[i].zero)
			spec.total_bytes += extents[i].length;
	return build_disk(&spec, ret, ret_stats, err);
}

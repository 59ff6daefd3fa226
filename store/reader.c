/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verified random reads through the shared cache. Every region is asked in turn, the preferred
 * one first; damage or absence in one is another's chance.
 */
#include "base/log.h"
#include "base/mem.h"
#include "store/internal.h"

struct store_reader {
	struct store *store;
	unsigned region; /* preferred */
	struct disk_ref disk;
	struct read_pattern pattern;
	struct store_recorder *recorder; /* borrowed */
	struct store_player *player;     /* borrowed */
};

int store_reader_open(struct store *s, unsigned region, const struct disk_ref *disk,
		      struct store_reader **ret, struct err *err)
{
	struct store_reader *r;
	struct digest name;
	uint64_t span;
	int e = store_region_check(s, region, err);

	if (e < 0)
		return e;
	if (disk->size_bytes > DISK_MAX_BYTES)
		return err_set(err, -EFBIG, "disk of %llu bytes is too big",
			       (unsigned long long) disk->size_bytes);
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	*r = (struct store_reader){.store = s, .region = region, .disk = *disk};
	(void) pthread_mutex_init(&r->pattern.lock, NULL);
	/* A disk that is nowhere is told of now, not at the first read. */
	if (disk->size_bytes > 0) {
		struct err first = ERR_INIT;

		e = -ENOENT;
		for (unsigned i = 0; i < s->n_regions && e < 0; i++) {
			auto_err struct err own = ERR_INIT;
			unsigned g = (region + i) % (unsigned) s->n_regions;

			e = tree_chunk(s, g, disk, 0, &name, &span, &own);
			if (e < 0 && i == 0)
				err_move(&first, &own);
		}
		if (e < 0 && err)
			err_move(err, &first);
		err_done(&first);
	}
	if (e < 0) {
		store_reader_close(r);
		return e;
	}
	*ret = r;
	return 0;
}

void store_reader_close(struct store_reader *r)
{
	if (!r)
		return;
	(void) pthread_mutex_destroy(&r->pattern.lock);
	free(r);
}

struct chunk_fill {
	struct store *s;
	unsigned region;
};

static int chunk_fill(void *arg, const struct digest *name, void *dst, size_t n, unsigned *ret_tag,
		      struct err *err)
{
	const struct chunk_fill *f = arg;
	struct store *s = f->s;
	struct codec *c = store_codec_take(s);
	auto_err struct err first = ERR_INIT;
	int r = -ENOENT;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < s->n_regions && r < 0; i++) {
		auto_err struct err own = ERR_INIT;

		r = fetch_chunk(s, (f->region + i) % (unsigned) s->n_regions, c, name, dst, &own);
		if (r < 0 && (i == 0 || first.code == -ENOENT))
			err_move(&first, &own);
	}
	store_codec_give(s, c);
	if (r < 0) {
		r = first.code;
		if (err)
			err_move(err, &first);
		return r;
	}
	*ret_tag = 0;
	return 0;
}

/* Name of a chunk, from any region that has the path to it. */
static int locate(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t chunk,
		  struct digest *ret, uint64_t *ret_span, struct err *err)
{
	auto_err struct err first = ERR_INIT;
	int e = -ENOENT;

	for (unsigned i = 0; i < s->n_regions && e < 0; i++) {
		auto_err struct err own = ERR_INIT;

		e = tree_chunk(s, (region + i) % (unsigned) s->n_regions, disk, chunk, ret,
			       ret_span, &own);
		if (e < 0 && (i == 0 || first.code == -ENOENT))
			err_move(&first, &own);
	}
	if (e < 0) {
		e = first.code;
		if (err)
			err_move(err, &first);
	}
	return e;
}

void reader_warm(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t chunk,
		 unsigned n)
{
	struct chunk_fill f = {s, region};

	for (uint64_t at = chunk; at < chunk + n;) {
		struct cache_entry *e = NULL;
		struct digest name;
		uint64_t span = 1;

		if (locate(s, region, disk, at, &name, &span, NULL) < 0)
			return;
		if (digest_is_zero(&name)) {
			at += span;
			continue;
		}
		if (!cache_has(s->cache, &name)) {
			if (cache_get(s->cache, &name, CHUNK_BYTES, chunk_fill, &f, &e, NULL) < 0)
				return;
			cache_give(s->cache, e);
		}
		at++;
	}
}

void store_reader_attach(struct store_reader *r, struct store_recorder *rec,
			 struct store_player *player)
{
	r->recorder = rec;
	r->player = player;
}

static int read_chunks(struct store_reader *r, void *dst, size_t n, uint64_t offset,
		       struct err *err)
{
	struct store *s = r->store;
	uint8_t *p = dst;

	while (n > 0) {
		uint64_t chunk = offset / CHUNK_BYTES, span;
		size_t from = offset % CHUNK_BYTES, k = CHUNK_BYTES - from;
		struct chunk_fill f = {s, r->region};
		struct cache_entry *e = NULL;
		struct digest name;
		int x = locate(s, r->region, &r->disk, chunk, &name, &span, err);

		if (x < 0)
			return x;
		if (k > n)
			k = n;
		if (digest_is_zero(&name)) {
			uint64_t zeros = span * CHUNK_BYTES - from;

			k = zeros < n ? (size_t) zeros : n;
			memset(p, 0, k);
		} else {
			if (r->recorder)
				recorder_note(r->recorder, chunk);
			if (r->player)
				player_note(r->player, chunk);
			x = cache_get(s->cache, &name, CHUNK_BYTES, chunk_fill, &f, &e, err);
			if (x < 0)
				return x;
			memcpy(p, (const uint8_t *) cache_data(e) + from, k);
			cache_give(s->cache, e);
		}
		p += k;
		offset += k;
		n -= k;
	}
	return 0;
}

int store_reader_read(struct store_reader *r, void *dst, size_t n, uint64_t offset, struct err *err)
{
	struct store *s = r->store;
	int x;

	if (!range_ok(offset, n, r->disk.size_bytes))
		return err_set(err, -EINVAL, "read of %zu bytes at %llu is past the disk's end", n,
			       (unsigned long long) offset);
	(void) atomic_fetch_add(&s->reading, 1);
	ahead_note(s, r->region, &r->disk, &r->pattern, offset, n);
	x = read_chunks(r, dst, n, offset, err);
	ahead_read_done(s);
	return x;
}

int store_reader_hole(struct store_reader *r, uint64_t offset, uint64_t max, bool *ret_zero,
		      uint64_t *ret_len, struct err *err)
{
	uint64_t end, at = offset;
	bool first = true;

	if (max == 0 || !range_ok(offset, 1, r->disk.size_bytes))
		return err_set(err, -EINVAL, "byte %llu is past the disk's end",
			       (unsigned long long) offset);
	end = r->disk.size_bytes - offset < max ? r->disk.size_bytes : offset + max;
	while (at < end) {
		uint64_t chunk = at / CHUNK_BYTES, span = 1;
		struct digest name;
		bool zero;
		int x = locate(r->store, r->region, &r->disk, chunk, &name, &span, err);

		if (x < 0)
			return x;
		zero = digest_is_zero(&name);
		if (first)
			*ret_zero = zero;
		else if (zero != *ret_zero)
			break;
		first = false;
		at = (chunk + (zero ? span : 1)) * CHUNK_BYTES;
	}
	*ret_len = (at < end ? at : end) - offset;
	return 0;
}

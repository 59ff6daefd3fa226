/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading foreign images: strict checks of untrusted bytes. Nothing here opens anything; the only
 * bytes looked at are those of one struct image_view, and names inside an image are ignored or
 * refused. Rules of all readers: numbers are checked before use, tables are bounded and lie inside
 * the file, no byte of the file is used twice, unknown features are refused.
 *
 * image_read() finds the one format that the content is, checks all of its tables and hands on
 * where the disk's data is. The process that calls it on hostile bytes is `kiln imagereader`
 * (sandbox.h).
 */
#ifndef KILN_DISK_FORMATS_READ_H
#define KILN_DISK_FORMATS_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define READ_TABLES_MAX (64u << 20)           /* bytes of tables in memory */
#define READ_DISK_MAX   ((uint64_t) 64 << 40) /* bytes of a disk */
#define READ_UNIT_MAX   (2u << 20)            /* bytes that one compressed piece becomes */
#define READ_TEXT_MAX   (1u << 20)            /* descriptor of a VMDK, an OVF */

/* The bytes of a file, or of a part of one. */
struct image_view {
	uint64_t bytes;
	/* Exactly @n bytes at @offset, which lie inside. 0 or -errno. */
	int (*read)(void *arg, void *dst, size_t n, uint64_t offset, struct err *err);
	void *arg;
	uint64_t base; /* added to every offset */
};
/** view_read() - with bounds: -EINVAL past the end, "the file is cut off". */
int view_read(const struct image_view *v, void *dst, size_t n, uint64_t offset, struct err *err);

enum piece_kind { PIECE_PLAIN, PIECE_DEFLATE, PIECE_ZLIB, PIECE_ZSTD };
/* Where a stretch of the disk is; what no piece covers is zero. */
struct image_piece {
	enum piece_kind kind;
	uint64_t disk, length; /* of the disk, bytes */
	uint64_t file, stored; /* of the whole file, bytes */
};
typedef int image_piece_fn(void *arg, const struct image_piece *p, struct err *err);

struct image_info {
	const char *format; /* "qcow2" */
	uint64_t disk_bytes;
	const char *packed; /* "gzip", "xz", "zstd": an image is inside, nothing else is known */
};

/* What a reader works on. */
struct reading {
	struct image_view view;
	struct image_info *info;
	image_piece_fn *piece; /* NULL = only check */
	void *arg;
};
/** reading_piece() - one stretch; clipped to the disk, dropped where nobody asks. */
int reading_piece(const struct reading *r, const struct image_piece *p, struct err *err);

struct image_reader {
	const char *name, *about;
	/* Are these the marks of it? The first 1 KiB and the last 512 bytes, zeros past the ends.
	 */
	bool (*probe)(const uint8_t *head, const uint8_t *tail, uint64_t file_bytes);
	int (*read)(const struct reading *r, struct err *err); /* NULL = known, but refused */
	const char *packed;                                    /* a compressed stream */
};
extern const struct image_reader *const image_readers[];
#define READ_HEAD 1024u
#define READ_TAIL 512u

/**
 * image_read() - what is it, and is it whole?
 * @piece: called for every stretch of data, in no order; NULL = only check
 *
 * Return: 0, -EINVAL (refused: the message says which field of what), or -errno.
 */
int image_read(const struct image_view *v, struct image_info *ret, image_piece_fn *piece, void *arg,
	       struct err *err);

/** image_refuse() - -EINVAL with code "ImageRefused". */
int image_refuse(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- For readers ------------------------------------------------------------------------- */

static inline uint64_t get_be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}
static inline uint64_t get_le(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = n; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}
static inline bool power_of_two(uint64_t v)
{
	return v && (v & (v - 1)) == 0;
}
/** view_table() - @n bytes at @offset in memory; at most READ_TABLES_MAX. Caller frees. */
int view_table(const struct image_view *v, uint64_t offset, uint64_t n, const char *what,
	       uint8_t **ret, struct err *err);
/** all_zero() - */
bool all_zero(const uint8_t *p, size_t n);

/* Which units of the file are used. */
struct usage {
	uint8_t *bits; /* two for each unit: 1 = alone, 2 = shared */
	uint64_t unit, n;
};
int usage_init(struct usage *u, uint64_t file_bytes, uint64_t unit, struct err *err);
/** usage_take() - [@offset, + @n) for @what alone; -EINVAL when any of it is used. */
int usage_take(struct usage *u, uint64_t offset, uint64_t n, const char *what, struct err *err);
/** usage_share() - the same among those who share. */
int usage_share(struct usage *u, uint64_t offset, uint64_t n, const char *what, struct err *err);
void usage_done(struct usage *u);

/* The same by sectors of 512 bytes, for formats whose pieces are aligned to nothing bigger. */
struct spans {
	uint64_t *v; /* first sector << 32 | sectors */
	size_t n, cap;
};
int spans_add(struct spans *s, uint64_t sector, uint64_t sectors, struct err *err);
/** spans_check() - -EINVAL when two overlap. */
int spans_check(struct spans *s, struct err *err);

int vmdk_read(const struct reading *r, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks and frames: the zero test, names, and the stored form of one chunk or tree node. Pure
 * functions and per-thread compressor state; see docs/store-format.md, "Frames".
 */
#ifndef KILN_STORE_CHUNK_H
#define KILN_STORE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "store/store.h"

#define NODE_BYTES (TREE_FANOUT * DIGEST_BYTES)

enum frame_kind { FRAME_CHUNK = 0, FRAME_NODE = 1 };
enum frame_encoding { FRAME_PLAIN = 0, FRAME_ZSTD = 1, FRAME_DELTA = 2 };

/* The most a stored frame may take: what is not smaller than plain is stored plain. */
#define FRAME_MAX CHUNK_BYTES

/** bytes_zero() - are all @n bytes zero? memcmp against itself runs at memory speed. */
static inline bool bytes_zero(const void *p, size_t n)
{
	const unsigned char *b = p;

	return n == 0 || (b[0] == 0 && memcmp(b, b + 1, n - 1) == 0);
}

/* A compressor and decompressor of one thread. */
struct codec;
/** codec_new() - NULL on ENOMEM. @level: zstd's. */
struct codec *codec_new(int level);
void codec_free(struct codec *c);
static inline void codec_freep(struct codec **c)
{
	codec_free(*c);
}
#define auto_codec __attribute__((cleanup(codec_freep)))

/**
 * codec_encode() - the smaller of zstd and plain, proven by decoding it again
 * @n: at most CHUNK_BYTES
 * @ret: points to @plain or into @c; valid until @c is used again
 *
 * Return: 0, -ENOMEM, or -EBADMSG when the compressor's output does not decode to @plain.
 */
int codec_encode(struct codec *c, const void *plain, size_t n, const void **ret, size_t *ret_n,
		 enum frame_encoding *ret_enc, struct err *err);

/** codec_decode() - a plain or zstd frame into exactly @n bytes; -EBADMSG when it is not that. */
int codec_decode(struct codec *c, enum frame_encoding enc, const void *src, size_t src_n, void *dst,
		 size_t n);

#endif

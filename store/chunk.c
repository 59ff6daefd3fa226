/* SPDX-License-Identifier: Apache-2.0 */
#include "store/chunk.h"

#include <zstd.h>

#include "base/mem.h"

struct codec {
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	int level;
	size_t cap;
	uint8_t *out;   /* compressed bytes */
	uint8_t *check; /* what they decode to */
};

struct codec *codec_new(int level)
{
	struct codec *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->level = level ? level : 1;
	c->cap = ZSTD_compressBound(CHUNK_BYTES);
	c->cctx = ZSTD_createCCtx();
	c->dctx = ZSTD_createDCtx();
	c->out = malloc(c->cap);
	c->check = malloc(CHUNK_BYTES);
	if (!c->cctx || !c->dctx || !c->out || !c->check) {
		codec_free(c);
		return NULL;
	}
	return c;
}

void codec_free(struct codec *c)
{
	if (!c)
		return;
	(void) ZSTD_freeCCtx(c->cctx);
	(void) ZSTD_freeDCtx(c->dctx);
	free(c->out);
	free(c->check);
	free(c);
}

int codec_encode(struct codec *c, const void *plain, size_t n, const void **ret, size_t *ret_n,
		 enum frame_encoding *ret_enc, struct err *err)
{
	size_t z;

	if (n > CHUNK_BYTES)
		return err_set(err, -EINVAL, "frame of %zu bytes is over %u", n, CHUNK_BYTES);
	z = ZSTD_compressCCtx(c->cctx, c->out, c->cap, plain, n, c->level);
	if (ZSTD_isError(z))
		return err_set(err, -ENOMEM, "zstd: %s", ZSTD_getErrorName(z));
	if (z >= n - n / 32) {
		*ret = plain;
		*ret_n = n;
		*ret_enc = FRAME_PLAIN;
		return 0;
	}
	if (codec_decode(c, FRAME_ZSTD, c->out, z, c->check, n) < 0 ||
	    memcmp(c->check, plain, n) != 0)
		return err_set(err, -EBADMSG,
			       "compressed bytes do not decode to their source: "
			       "memory or processor is faulty");
	*ret = c->out;
	*ret_n = z;
	*ret_enc = FRAME_ZSTD;
	return 0;
}

int codec_decode(struct codec *c, enum frame_encoding enc, const void *src, size_t src_n, void *dst,
		 size_t n)
{
	size_t z;

	switch (enc) {
	case FRAME_PLAIN:
		if (src_n != n)
			return -EBADMSG;
		memcpy(dst, src, n);
		return 0;
	case FRAME_ZSTD:
		z = ZSTD_decompressDCtx(c->dctx, dst, n, src, src_n);
		return ZSTD_isError(z) || z != n ? -EBADMSG : 0;
	case FRAME_DELTA:
		break;
	}
	return -EBADMSG;
}

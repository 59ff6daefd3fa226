/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw.zst and raw.gz: one frame (zstd) or member (gzip) for each stretch, which RFC 8878 and RFC
 * 1952 let readers join. Zeros are frames of powers of two, each made once and repeated.
 */
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"
#include "disk/formats/internal.h"

#define ZERO_SIZES 11 /* BLOCK_BYTES << 0 .. 10 */
#define ZERO_BYTES ((uint64_t) BLOCK_BYTES << (ZERO_SIZES - 1))
#define OUT_BYTES  (BATCH_BYTES + BATCH_BYTES / 8)

struct codec {
	void *(*tool_new)(void *arg);
	void (*tool_free)(void *tool);
	size_t (*pack)(void *tool, const void *src, size_t n, void *dst, size_t max);
};
struct squeeze {
	const struct codec *codec;
	struct sink sink;
	uint64_t disk_at; /* bytes of the disk that are in the sink */
	void *tool;       /* for zeros; whose turn it is uses it */
	uint8_t *zeros;   /* ZERO_BYTES */
	struct frame {
		uint8_t *p;
		size_t n;
	} frame[ZERO_SIZES]; /* of BLOCK_BYTES << i zeros, once needed */
};

static void *zst_new(void *arg)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();

	if (c) {
		(void) ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 1);
		(void) ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	}
	return c;
}

static void zst_free(void *tool)
{
	(void) ZSTD_freeCCtx(tool);
}

static size_t zst_pack(void *tool, const void *src, size_t n, void *dst, size_t max)
{
	size_t r = ZSTD_compress2(tool, dst, max, src, n);

	return ZSTD_isError(r) ? 0 : r;
}

static void *gz_new(void *arg)
{
	return deflate_new(MAX_WBITS + 16);
}

static const struct codec zst = {zst_new, zst_free, zst_pack};
static const struct codec gz = {gz_new, deflate_free, deflate_all};

static int make_frame(struct squeeze *q, uint64_t n, struct frame *ret, struct err *err)
{
	auto_free uint8_t *p = malloc(OUT_BYTES);
	size_t len = p ? q->codec->pack(q->tool, q->zeros, n, p, OUT_BYTES) : 0;

	if (len == 0)
		return err_set(err, p ? -EIO : -ENOMEM, "cannot compress zeros");
	ret->p = realloc(p, len);
	if (ret->p)
		p = NULL;
	ret->n = len;
	return ret->p ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* Zeros from where the sink is to @offset of the disk. */
static int put_zeros(struct squeeze *q, uint64_t offset, struct err *err)
{
	int r = 0;

	while (r == 0 && q->disk_at < offset) {
		uint64_t left = offset - q->disk_at, n = ZERO_BYTES;
		unsigned i = ZERO_SIZES - 1;

		for (; i > 0 && n > left; i--)
			n /= 2;
		if (n > left) { /* the end of a disk of odd size */
			struct frame last = {NULL, 0};

			r = make_frame(q, left, &last, err);
			r = r < 0 ? r : sink_put(&q->sink, last.p, last.n, err);
			free(last.p);
			q->disk_at = offset;
			break;
		}
		if (!q->frame[i].p)
			r = make_frame(q, n, &q->frame[i], err);
		if (r == 0)
			r = sink_put(&q->sink, q->frame[i].p, q->frame[i].n, err);
		q->disk_at += n;
	}
	return r;
}

static void *squeeze_tool(void *arg)
{
	const struct squeeze *q = arg;

	return q->codec->tool_new(NULL);
}

static int squeeze_work(void *arg, struct batch *b, struct err *err)
{
	const struct squeeze *q = arg;

	b->out_at[1] = q->codec->pack(b->tool, b->in, b->bytes, b->out, OUT_BYTES);
	return b->out_at[1] ? 0 : err_set(err, -EIO, "cannot compress");
}

static int squeeze_emit(void *arg, const struct batch *b, struct err *err)
{
	struct squeeze *q = arg;
	int r = put_zeros(q, b->offset, err);

	q->disk_at += b->bytes;
	return r < 0 ? r : sink_put(&q->sink, b->out, b->out_at[1], err);
}

static int squeeze_write(const struct format_job *job, const struct codec *codec, struct err *err)
{
	struct squeeze q = {.codec = codec, .sink = {.fd = job->fd, .random = job->random}};
	struct pipeline p = {.job = job,
			     .out_bytes = OUT_BYTES,
			     .arg = &q,
			     .tool_new = squeeze_tool,
			     .tool_free = codec->tool_free,
			     .work = squeeze_work,
			     .emit = squeeze_emit};
	int r = -ENOMEM;

	q.tool = codec->tool_new(NULL);
	q.zeros = calloc(1, ZERO_BYTES);
	if (q.tool && q.zeros)
		r = pipeline_run(&p, err);
	else
		err_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = put_zeros(&q, job->disk->size_bytes, err);
	if (q.tool)
		codec->tool_free(q.tool);
	free(q.zeros);
	for (unsigned i = 0; i < ZERO_SIZES; i++)
		free(q.frame[i].p);
	return r;
}

static int zst_write(const struct format_job *job, uint64_t padded_bytes, struct err *err)
{
	return squeeze_write(job, &zst, err);
}

static int gz_write(const struct format_job *job, uint64_t padded_bytes, struct err *err)
{
	return squeeze_write(job, &gz, err);
}

const struct format format_raw_zst = {
	.name = "raw.zst",
	.extension = "raw.zst",
	.about = "raw, compressed with zstd",
	.max_bytes = INT64_MAX - 4096,
	.unit_bytes = 512,
	.write = zst_write,
};
const struct format format_raw_gz = {
	.name = "raw.gz",
	.extension = "raw.gz",
	.about = "raw, compressed with gzip",
	.max_bytes = INT64_MAX - 4096,
	.unit_bytes = 512,
	.write = gz_write,
};

/* ---- Deflate ------------------------------------------------------------------------------- */

void *deflate_new(int window_bits)
{
	z_stream *z = calloc(1, sizeof(*z));

	if (z &&
	    deflateInit2(z, Z_BEST_SPEED, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(z);
		return NULL;
	}
	return z;
}

void deflate_free(void *z)
{
	(void) deflateEnd(z);
	free(z);
}

size_t deflate_all(void *tool, const void *src, size_t n, void *dst, size_t max)
{
	z_stream *z = tool;
	int r;

	(void) deflateReset(z);
	z->next_in = (Bytef *) (uintptr_t) src;
	z->avail_in = (uInt) n;
	z->next_out = dst;
	z->avail_out = (uInt) max;
	r = deflate(z, Z_FINISH);
	return r == Z_STREAM_END ? max - z->avail_out : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the writers of formats share. */
#ifndef KILN_DISK_FORMATS_INTERNAL_H
#define KILN_DISK_FORMATS_INTERNAL_H

#include "base/buf.h"
#include "disk/formats/format.h"

#define MIB         ((uint64_t) 1 << 20)
#define GIB         ((uint64_t) 1 << 30)
#define TIB         ((uint64_t) 1 << 40)
#define BLOCK_BYTES 65536u /* data is told from zeros by aligned blocks of this size */

extern const struct format format_raw, format_raw_zst, format_raw_gz, format_qcow2,
	format_qcow2_zlib, format_vhd, format_vhd_dynamic, format_vhdx, format_vmdk, format_ova;

static inline uint64_t round_up(uint64_t v, uint64_t unit)
{
	return (v + unit - 1) / unit * unit;
}

/**
 * source_next() - the next stretch of blocks that hold data
 * @at: where to look from, a multiple of @block; moved behind the stretch
 * @max: at most so many bytes, a multiple of @block
 *
 * Return: 1 with *@ret_off (a multiple of @block) and *@ret_len (ends at the disk's end or at a
 * multiple of @block), 0 when only zeros follow, or -errno.
 */
int source_next(const struct disk_source *s, uint64_t *at, uint64_t block, uint64_t max,
		uint64_t *ret_off, uint64_t *ret_len, struct err *err);

/* ---- Layouts ----------------------------------------------------------------------------- */

/** layout_add_bytes() - a copy of @n bytes at @offset of the file. Pieces come in any order. */
int layout_add_bytes(struct layout *l, uint64_t offset, const void *p, size_t n, struct err *err);
/** layout_add_disk() - @n bytes of the disk. */
int layout_add_disk(struct layout *l, uint64_t offset, uint64_t disk_offset, uint64_t n,
		    struct err *err);
/** layout_end() - the file's length; what no piece covers is zero. */
void layout_end(struct layout *l, uint64_t bytes);
/** layout_write() - the whole file. */
int layout_write(struct layout *l, const struct format_job *job, struct err *err);

/* ---- Workers that take turns ------------------------------------------------------------- */

#define BATCH_BYTES  (1u << 20)
#define BATCH_BLOCKS (BATCH_BYTES / BLOCK_BYTES)

/* A stretch of the disk on its way through a worker. */
struct batch {
	uint64_t number, offset;
	size_t bytes;                    /* of the disk */
	size_t n;                        /* the same, rounded up to BLOCK_BYTES with zeros */
	uint8_t *in;                     /* BATCH_BYTES */
	uint8_t *out;                    /* out_bytes of the pipeline */
	size_t out_at[BATCH_BLOCKS + 1]; /* block i became out[out_at[i] .. out_at[i + 1]) */
	unsigned blocks;
	void *tool; /* the worker's own */
};
struct pipeline {
	const struct format_job *job;
	size_t out_bytes;
	void *arg;
	void *(*tool_new)(void *arg); /* NULL result = out of memory */
	void (*tool_free)(void *tool);
	/* Any thread: fill out, out_at, blocks. */
	int (*work)(void *arg, struct batch *b, struct err *err);
	/* In the order of the disk, one at a time. */
	int (*emit)(void *arg, const struct batch *b, struct err *err);
};
/** pipeline_run() - every stretch of data of the disk; a stretch ends at a multiple of
 *  BLOCK_BYTES, the disk's last block is filled up with zeros. */
int pipeline_run(const struct pipeline *p, struct err *err);
/** threads_run() - @fn in @n threads; the first failure. 0 = one per core. */
int threads_run(unsigned n, int (*fn)(void *arg, struct err *err), void *arg, struct err *err);

/* ---- Where bytes go ---------------------------------------------------------------------- */

struct sha256_ctx;
/* Written from front to back; a regular file keeps gaps as holes. */
struct sink {
	int fd;
	bool random;
	uint64_t base;          /* what is at offset 0 of the sink, in the file */
	uint64_t at;            /* bytes so far */
	struct sha256_ctx *sum; /* of all bytes, or NULL */
};
int sink_put(struct sink *s, const void *p, size_t n, struct err *err);
/** sink_zeros() - until @at is @offset. */
int sink_zeros(struct sink *s, uint64_t offset, struct err *err);
/** sink_patch() - over what was written before; random sinks without a sum. */
int sink_patch(const struct sink *s, uint64_t offset, const void *p, size_t n, struct err *err);

/** deflate_new() - a zlib stream of @window_bits (as deflateInit2()) at the fastest level. */
void *deflate_new(int window_bits);
void deflate_free(void *z);
/** deflate_all() - @n bytes as one stream. Return: its length, 0 when it does not fit @max. */
size_t deflate_all(void *z, const void *src, size_t n, void *dst, size_t max);

/** vmdk_write() - the streamOptimized file to a sink; @ret_bytes is the disk's. */
int vmdk_write(const struct format_job *job, uint64_t padded_bytes, struct sink *s,
	       struct err *err);

#endif

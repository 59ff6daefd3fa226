/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed qcow2, version 3, clusters of 64 KiB (QEMU's docs/interop/qcow2.txt). The tables say
 * where the compressed clusters are, and the header, at the front, where the tables are: so it
 * needs a regular file. Clusters that do not shrink stay as they are.
 */
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"
#include "disk/formats/internal.h"

#define CLUSTER      BLOCK_BYTES
#define CLUSTER_BITS 16u
#define HEADER_BYTES 112u
#define ENTRIES      (CLUSTER / 8) /* of an L2 table */
#define L2_SPAN      ((uint64_t) CLUSTER * ENTRIES)
#define COUNTS       (CLUSTER / 2) /* refcounts, 16 bits each, of one block */
#define CSIZE_SHIFT  (62 - (CLUSTER_BITS - 8))
#define COPIED       ((uint64_t) 1 << 63)
#define COMPRESSED   ((uint64_t) 1 << 62)
#define ZLIB_WINDOW  (-12) /* raw deflate, as QEMU reads it */
#define OUT_BYTES    ((size_t) BATCH_BLOCKS * CLUSTER)

struct qcow2 {
	const struct format_job *job;
	bool zstd;
	uint64_t end;                /* first cluster never used, bytes */
	uint64_t packed, packed_end; /* room for compressed clusters, bytes */
	uint64_t **l2;               /* by number, NULL = none */
	uint64_t n_l2;
	uint16_t *counts; /* of every cluster of the file */
	uint64_t cap_counts;
};

static int count(struct qcow2 *q, uint64_t offset, uint64_t n, struct err *err)
{
	uint64_t first = offset / CLUSTER, last = (offset + n - 1) / CLUSTER;

	if (last >= q->cap_counts) {
		uint64_t cap = (last + 1) * 2;
		uint16_t *v = reallocarray(q->counts, cap, sizeof(*v));

		if (!v)
			return err_set(err, -ENOMEM, "out of memory");
		memset(v + q->cap_counts, 0, (cap - q->cap_counts) * sizeof(*v));
		q->counts = v;
		q->cap_counts = cap;
	}
	for (uint64_t i = first; i <= last; i++)
		q->counts[i]++;
	return 0;
}

/* Whole clusters at the file's end. */
static int take(struct qcow2 *q, uint64_t clusters, uint64_t *ret, struct err *err)
{
	*ret = q->end;
	q->end += clusters * CLUSTER;
	return clusters ? count(q, *ret, clusters * CLUSTER, err) : 0;
}

static int put(const struct qcow2 *q, uint64_t offset, const void *p, size_t n, struct err *err)
{
	struct sink s = {.fd = q->job->fd, .random = true};

	return sink_patch(&s, offset, p, n, err);
}

/* ---- Clusters ------------------------------------------------------------------------------ */

struct tool {
	bool zstd;
	void *z;
};

static void *tool_new(void *arg)
{
	const struct qcow2 *q = arg;
	struct tool *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->zstd = q->zstd;
	t->z = q->zstd ? (void *) ZSTD_createCCtx() : deflate_new(ZLIB_WINDOW);
	if (!t->z) {
		free(t);
		return NULL;
	}
	if (q->zstd)
		(void) ZSTD_CCtx_setParameter(t->z, ZSTD_c_compressionLevel, 1);
	return t;
}

static void tool_free(void *arg)
{
	struct tool *t = arg;

	if (t->zstd)
		(void) ZSTD_freeCCtx(t->z);
	else
		deflate_free(t->z);
	free(t);
}

/* What does not shrink by a sector at least is kept: its length is CLUSTER. */
static int qcow2_work(void *arg, struct batch *b, struct err *err)
{
	const struct tool *t = b->tool;
	const size_t max = CLUSTER - 512;
	size_t at = 0;

	for (unsigned i = 0; i < b->blocks; i++) {
		const uint8_t *in = b->in + (size_t) i * CLUSTER;
		size_t n;

		if (t->zstd) {
			n = ZSTD_compress2(t->z, b->out + at, max, in, CLUSTER);
			if (ZSTD_isError(n))
				n = 0;
		} else {
			n = deflate_all(t->z, in, CLUSTER, b->out + at, max);
		}
		if (n == 0) {
			memcpy(b->out + at, in, CLUSTER);
			n = CLUSTER;
		}
		b->out_at[i] = at;
		at += n;
	}
	b->out_at[b->blocks] = at;
	return 0;
}

/* Compressed clusters follow one another; they may cross clusters that are neighbours. */
static int place(struct qcow2 *q, size_t n, uint64_t *ret, struct err *err)
{
	if (q->packed_end - q->packed < n) {
		if (q->packed_end != q->end)
			q->packed = q->end;
		q->end = round_up(q->packed + n, CLUSTER);
		q->packed_end = q->end;
	}
	*ret = q->packed;
	q->packed += n;
	/* References count by whole sectors. */
	return count(q, *ret & ~(uint64_t) 511, round_up(*ret % 512 + n, 512), err);
}

static int set_entry(struct qcow2 *q, uint64_t cluster, uint64_t value, struct err *err)
{
	uint64_t **t = &q->l2[cluster / ENTRIES];

	if (!*t)
		*t = calloc(ENTRIES, 8);
	if (!*t)
		return err_set(err, -ENOMEM, "out of memory");
	put_be64((uint8_t *) &(*t)[cluster % ENTRIES], value);
	return 0;
}

static int qcow2_emit(void *arg, const struct batch *b, struct err *err)
{
	struct qcow2 *q = arg;
	int r = 0;

	for (unsigned i = 0; i < b->blocks && r == 0; i++) {
		size_t n = b->out_at[i + 1] - b->out_at[i];
		uint64_t at = 0, entry;

		r = n == CLUSTER ? take(q, 1, &at, err) : place(q, n, &at, err);
		if (n == CLUSTER)
			entry = at | COPIED;
		else
			entry = at | COMPRESSED | ((at + n - 1) / 512 - at / 512) << CSIZE_SHIFT;
		if (r == 0)
			r = put(q, at, b->out + b->out_at[i], n, err);
		if (r == 0)
			r = set_entry(q, b->offset / CLUSTER + i, entry, err);
	}
	return r;
}

/* ---- Tables -------------------------------------------------------------------------------- */

static int put_l2(struct qcow2 *q, uint64_t l1_at, struct err *err)
{
	for (uint64_t i = 0; i < q->n_l2; i++) {
		uint8_t entry[8];
		uint64_t at = 0;
		int r;

		if (!q->l2[i])
			continue;
		r = take(q, 1, &at, err);
		put_be64(entry, at | COPIED);
		if (r == 0)
			r = put(q, at, q->l2[i], CLUSTER, err);
		if (r == 0)
			r = put(q, l1_at + i * 8, entry, sizeof(entry), err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The refcount blocks and their table count themselves, so first find how many there are. */
static int put_refcounts(struct qcow2 *q, uint64_t *ret_at, uint32_t *ret_clusters, struct err *err)
{
	uint64_t used = q->end / CLUSTER, blocks = 0, table = 0, at = 0;
	uint8_t out[CLUSTER];
	int r;

	for (uint64_t total = used, was = 0; total != was;) {
		was = total;
		blocks = round_up(total, COUNTS) / COUNTS;
		table = round_up(blocks * 8, CLUSTER) / CLUSTER;
		total = used + blocks + table;
	}
	r = take(q, blocks + table, &at, err);
	for (uint64_t i = 0; i < blocks && r == 0; i++) {
		uint8_t entry[8];

		memset(out, 0, sizeof(out));
		for (uint64_t k = 0; k < COUNTS && i * COUNTS + k < q->end / CLUSTER; k++) {
			uint16_t c = q->counts[i * COUNTS + k];

			out[2 * k] = (uint8_t) (c >> 8);
			out[2 * k + 1] = (uint8_t) c;
		}
		put_be64(entry, at + i * CLUSTER);
		r = put(q, at + i * CLUSTER, out, sizeof(out), err);
		if (r == 0)
			r = put(q, at + blocks * CLUSTER + i * 8, entry, sizeof(entry), err);
	}
	*ret_at = at + blocks * CLUSTER;
	*ret_clusters = (uint32_t) table;
	return r;
}

static int put_header(const struct qcow2 *q, uint64_t disk_bytes, uint64_t l1_at, uint64_t table_at,
		      uint32_t table_clusters, struct err *err)
{
	uint8_t h[HEADER_BYTES] = "QFI\xfb";

	put_be32(h + 4, 3);
	put_be32(h + 20, CLUSTER_BITS);
	put_be64(h + 24, disk_bytes);
	put_be32(h + 36, (uint32_t) q->n_l2);
	put_be64(h + 40, l1_at);
	put_be64(h + 48, table_at);
	put_be32(h + 56, table_clusters);
	put_be64(h + 72, q->zstd ? 8 : 0); /* incompatible: the compression type counts */
	put_be32(h + 96, 4);               /* refcounts of 2^4 bits */
	put_be32(h + 100, HEADER_BYTES);
	h[104] = q->zstd ? 1 : 0;
	return put(q, 0, h, sizeof(h), err);
}

static int write_qcow2(struct qcow2 *q, uint64_t bytes, struct err *err)
{
	struct pipeline p = {.job = q->job,
			     .out_bytes = OUT_BYTES,
			     .arg = q,
			     .tool_new = tool_new,
			     .tool_free = tool_free,
			     .work = qcow2_work,
			     .emit = qcow2_emit};
	uint64_t head = 0, l1_at = 0, table_at = 0;
	uint32_t table_clusters = 0;
	int r = take(q, 1, &head, err);

	if (r == 0)
		r = take(q, round_up(q->n_l2 * 8, CLUSTER) / CLUSTER, &l1_at, err);
	if (r == 0)
		r = pipeline_run(&p, err);
	if (r == 0)
		r = put_l2(q, l1_at, err);
	if (r == 0)
		r = put_refcounts(q, &table_at, &table_clusters, err);
	if (r == 0)
		r = put_header(q, bytes, l1_at, table_at, table_clusters, err);
	if (r == 0 && ftruncate(q->job->fd, (off_t) q->end) < 0)
		r = err_set(err, -errno, "cannot set the file's size: %s", strerror(errno));
	return r;
}

static int qcow2_write(const struct format_job *job, bool zstd, uint64_t bytes, struct err *err)
{
	struct qcow2 q = {.job = job, .zstd = zstd};
	int r = -ENOMEM;

	q.n_l2 = round_up(bytes, L2_SPAN) / L2_SPAN;
	q.l2 = calloc(q.n_l2 ? q.n_l2 : 1, sizeof(*q.l2));
	if (q.l2)
		r = write_qcow2(&q, bytes, err);
	else
		err_set(err, r, "out of memory");
	for (uint64_t i = 0; q.l2 && i < q.n_l2; i++)
		free(q.l2[i]);
	free(q.l2);
	free(q.counts);
	return r;
}

static int write_zstd(const struct format_job *job, uint64_t padded_bytes, struct err *err)
{
	return qcow2_write(job, true, padded_bytes, err);
}

static int write_zlib(const struct format_job *job, uint64_t padded_bytes, struct err *err)
{
	return qcow2_write(job, false, padded_bytes, err);
}

const struct format format_qcow2 = {
	.name = "qcow2",
	.extension = "qcow2",
	.about = "qcow2, compressed with zstd (QEMU 5.1 and later)",
	.max_bytes = 2048 * TIB, /* QEMU: an L1 table of 32 MiB */
	.unit_bytes = 512,
	.random = true,
	.write = write_zstd,
};
const struct format format_qcow2_zlib = {
	.name = "qcow2-zlib",
	.extension = "qcow2",
	.about = "qcow2, compressed with zlib (every QEMU)",
	.max_bytes = 2048 * TIB,
	.unit_bytes = 512,
	.random = true,
	.write = write_zlib,
};

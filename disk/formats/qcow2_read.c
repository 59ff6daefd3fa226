/* SPDX-License-Identifier: Apache-2.0 */
/* Reads qcow2 versions 2 and 3 that stand alone: no other file, no snapshot, no encryption. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "disk/formats/read.h"

#define V2_HEADER       72u
#define V3_HEADER       104u
#define L1_MAX          (32u << 20)
#define REFTABLE_MAX    (8u << 20)
#define OFFSET_MASK     0x00fffffffffffe00ull
#define L1_RESERVED     0x7f000000000001ffull
#define L2_RESERVED     0x3f000000000001feull
#define L2_ZERO         1ull
#define L2_COMPRESSED   ((uint64_t) 1 << 62)
#define INCOMPAT_DIRTY  1ull
#define INCOMPAT_BROKEN 2ull
#define INCOMPAT_DATA   4ull
#define INCOMPAT_COMP   8ull
#define INCOMPAT_L2     16ull
#define EXT_BACKING     0xe2792acau
#define EXT_DATA        0x44415441u
#define EXT_CRYPTO      0x0537be77u

struct qcow2_image {
	const struct reading *r;
	uint64_t cluster, l1_at, reftable_at, reftable_bytes;
	uint32_t version, cluster_bits, l1_size, header_bytes;
	bool zstd;
	struct usage used;
};

static bool qcow2_probe(const uint8_t *head, const uint8_t *tail, uint64_t file_bytes)
{
	return memcmp(head, "QFI\xfb", 4) == 0;
}

static int check_features(struct qcow2_image *q, const uint8_t *h, struct err *err)
{
	uint64_t bits = get_be(h + 72, 8);
	uint8_t type = 0;

	if (bits & INCOMPAT_BROKEN)
		return image_refuse(err, "it is marked as corrupt");
	if (bits & INCOMPAT_DATA)
		return image_refuse(err, "its data is in another file");
	if (bits & INCOMPAT_DIRTY)
		return image_refuse(err, "it was not closed: run qemu-img check -r all on it");
	if (bits & INCOMPAT_L2)
		return image_refuse(err, "extended L2 entries are not read");
	if (bits & ~(INCOMPAT_BROKEN | INCOMPAT_DATA | INCOMPAT_DIRTY | INCOMPAT_COMP))
		return image_refuse(err, "unknown incompatible features 0x%" PRIx64, bits);
	if (get_be(h + 96, 4) > 6)
		return image_refuse(err, "refcounts of 2^%" PRIu64 " bits", get_be(h + 96, 4));
	q->header_bytes = (uint32_t) get_be(h + 100, 4);
	if (q->header_bytes < V3_HEADER || q->header_bytes % 8 != 0 ||
	    q->header_bytes > q->cluster || q->header_bytes > 4096)
		return image_refuse(err, "header of %u bytes", q->header_bytes);
	if (q->header_bytes > V3_HEADER) {
		int r = view_read(&q->r->view, &type, 1, V3_HEADER, err);

		if (r < 0)
			return r;
	}
	if (type > 1)
		return image_refuse(err, "unknown compression type %u", type);
	if ((type != 0) != ((bits & INCOMPAT_COMP) != 0))
		return image_refuse(err, "compression type %u and its feature bit disagree", type);
	q->zstd = type == 1;
	return 0;
}

static int check_extensions(const struct qcow2_image *q, struct err *err)
{
	uint64_t at = q->header_bytes, end = q->cluster < (1u << 20) ? q->cluster : 1u << 20;

	for (unsigned i = 0; i < 256 && at + 8 <= end; i++) {
		uint8_t e[8];
		uint32_t type, n;
		int r = view_read(&q->r->view, e, sizeof(e), at, err);

		if (r < 0)
			return r;
		type = (uint32_t) get_be(e, 4);
		n = (uint32_t) get_be(e + 4, 4);
		if (type == 0)
			return 0;
		if (type == EXT_BACKING)
			return image_refuse(err, "it names the format of a backing file");
		if (type == EXT_DATA)
			return image_refuse(err, "it names an external data file");
		if (type == EXT_CRYPTO)
			return image_refuse(err, "it is encrypted");
		at += 8;
		if (n > end - at)
			return image_refuse(err, "header extension 0x%08x of %u bytes", type, n);
		at += ((uint64_t) n + 7) / 8 * 8;
	}
	return at + 8 > end ? 0 : image_refuse(err, "too many header extensions");
}

static int check_tables(struct qcow2_image *q, const uint8_t *h, struct err *err)
{
	uint64_t disk = q->r->info->disk_bytes, span = q->cluster * (q->cluster / 8);
	uint64_t need = disk / span + (disk % span != 0);

	q->l1_size = (uint32_t) get_be(h + 36, 4);
	q->l1_at = get_be(h + 40, 8);
	q->reftable_at = get_be(h + 48, 8);
	q->reftable_bytes = get_be(h + 56, 4) * q->cluster;
	if (q->l1_size > L1_MAX / 8)
		return image_refuse(err, "L1 table of %u entries, at most %u", q->l1_size,
				    L1_MAX / 8);
	if (q->l1_size < need)
		return image_refuse(
			err, "L1 table of %u entries, a disk of %" PRIu64 " bytes needs %" PRIu64,
			q->l1_size, disk, need);
	if (q->l1_at % q->cluster || q->reftable_at % q->cluster)
		return image_refuse(err, "a table is not at the start of a cluster");
	if (q->reftable_bytes > REFTABLE_MAX)
		return image_refuse(err, "refcount table of %" PRIu64 " bytes, at most %u",
				    q->reftable_bytes, REFTABLE_MAX);
	if (q->reftable_bytes == 0)
		return image_refuse(err, "no refcount table");
	return 0;
}

static int check_header(struct qcow2_image *q, struct err *err)
{
	uint8_t h[V3_HEADER] = {0};
	int r = view_read(&q->r->view, h, V2_HEADER, 0, err);

	if (r < 0)
		return r;
	q->version = (uint32_t) get_be(h + 4, 4);
	if (q->version != 2 && q->version != 3)
		return image_refuse(err, "version %u, 2 or 3 expected", q->version);
	if (get_be(h + 8, 8) || get_be(h + 16, 4))
		return image_refuse(err, "it has a backing file");
	q->cluster_bits = (uint32_t) get_be(h + 20, 4);
	if (q->cluster_bits < 9 || q->cluster_bits > 21)
		return image_refuse(err, "clusters of 2^%u bytes, 2^9 to 2^21 expected",
				    q->cluster_bits);
	q->cluster = (uint64_t) 1 << q->cluster_bits;
	q->r->info->disk_bytes = get_be(h + 24, 8);
	if (get_be(h + 32, 4))
		return image_refuse(err, "it is encrypted");
	if (get_be(h + 60, 4))
		return image_refuse(err, "it has %" PRIu64 " internal snapshots",
				    get_be(h + 60, 4));
	if (q->r->info->disk_bytes % 512 || q->r->info->disk_bytes > READ_DISK_MAX)
		return image_refuse(err,
				    "a disk of %" PRIu64
				    " bytes: whole sectors and at most 64 TiB expected",
				    q->r->info->disk_bytes);
	q->header_bytes = V2_HEADER;
	if (q->version == 3) {
		r = view_read(&q->r->view, h, V3_HEADER, 0, err);
		if (r == 0)
			r = check_features(q, h, err);
	}
	if (r == 0)
		r = check_extensions(q, err);
	return r < 0 ? r : check_tables(q, h, err);
}

/* ---- Clusters ------------------------------------------------------------------------------ */

static int compressed(struct qcow2_image *q, uint64_t disk, uint64_t entry, struct err *err)
{
	unsigned shift = 62 - (q->cluster_bits - 8);
	uint64_t at = entry & (((uint64_t) 1 << shift) - 1);
	uint64_t sectors = (entry & (L2_COMPRESSED - 1)) >> shift;
	uint64_t n = (sectors + 1) * 512 - at % 512;
	struct image_piece p = {q->zstd ? PIECE_ZSTD : PIECE_DEFLATE, disk, q->cluster, at, n};

	if (at >= q->r->view.bytes)
		return image_refuse(
			err, "compressed cluster at byte %" PRIu64 " is not in the file", at);
	if (p.stored > q->r->view.bytes - at)
		p.stored = q->r->view.bytes - at; /* the last sector need not be whole */
	if (usage_share(&q->used, at, p.stored, "compressed cluster", err) < 0)
		return -EINVAL;
	return reading_piece(q->r, &p, err);
}

static int plain(struct qcow2_image *q, uint64_t disk, uint64_t entry, struct err *err)
{
	uint64_t at = entry & OFFSET_MASK;
	struct image_piece p = {PIECE_PLAIN, disk, q->cluster, at, q->cluster};

	if (entry & L2_RESERVED || (q->version < 3 && entry & L2_ZERO))
		return image_refuse(err, "L2 entry 0x%016" PRIx64 " has reserved bits", entry);
	if (at == 0)
		return 0;
	if (at % q->cluster || !range_ok(at, q->cluster, q->r->view.bytes))
		return image_refuse(err, "cluster at byte %" PRIu64 " is not in the file", at);
	if (usage_take(&q->used, at, q->cluster, "cluster", err) < 0)
		return -EINVAL;
	return entry & L2_ZERO ? 0 : reading_piece(q->r, &p, err);
}

static int read_l2(struct qcow2_image *q, uint64_t disk, uint64_t at, struct err *err)
{
	auto_free uint8_t *l2 = NULL;
	int r = view_table(&q->r->view, at, q->cluster, "L2 table", &l2, err);

	if (r == 0)
		r = usage_take(&q->used, at, q->cluster, "L2 table", err);
	for (uint64_t i = 0; r == 0 && i < q->cluster / 8; i++) {
		uint64_t entry = get_be(l2 + i * 8, 8);

		if (entry & L2_COMPRESSED)
			r = compressed(q, disk + i * q->cluster, entry, err);
		else
			r = plain(q, disk + i * q->cluster, entry, err);
	}
	return r;
}

/* Refcounts are not needed to read, but what they occupy is no one else's. */
static int take_refcounts(struct qcow2_image *q, struct err *err)
{
	auto_free uint8_t *t = NULL;
	int r = view_table(&q->r->view, q->reftable_at, q->reftable_bytes, "refcount table", &t,
			   err);

	if (r == 0)
		r = usage_take(&q->used, q->reftable_at, q->reftable_bytes, "refcount table", err);
	for (uint64_t i = 0; r == 0 && i < q->reftable_bytes / 8; i++) {
		uint64_t at = get_be(t + i * 8, 8);

		if (at == 0)
			continue;
		if (at % q->cluster || !range_ok(at, q->cluster, q->r->view.bytes))
			r = image_refuse(
				err, "refcount block at byte %" PRIu64 " is not in the file", at);
		else
			r = usage_take(&q->used, at, q->cluster, "refcount block", err);
	}
	return r;
}

static int read_l1(struct qcow2_image *q, struct err *err)
{
	auto_free uint8_t *l1 = NULL;
	uint64_t span = q->cluster * (q->cluster / 8);
	int r = view_table(&q->r->view, q->l1_at, (uint64_t) q->l1_size * 8, "L1 table", &l1, err);

	if (r == 0)
		r = usage_take(&q->used, q->l1_at, (uint64_t) q->l1_size * 8, "L1 table", err);
	for (uint32_t i = 0; r == 0 && i < q->l1_size; i++) {
		uint64_t entry = get_be(l1 + (size_t) i * 8, 8), at = entry & OFFSET_MASK;

		if (entry & L1_RESERVED)
			return image_refuse(err, "L1 entry 0x%016" PRIx64 " has reserved bits",
					    entry);
		if (at == 0)
			continue;
		if (at % q->cluster)
			return image_refuse(err,
					    "L2 table at byte %" PRIu64
					    " is not at the start of a cluster",
					    at);
		r = read_l2(q, i * span, at, err);
	}
	return r;
}

static int qcow2_read(const struct reading *rd, struct err *err)
{
	struct qcow2_image q = {.r = rd};
	int r = check_header(&q, err);

	if (r == 0)
		r = usage_init(&q.used, rd->view.bytes, q.cluster, err);
	if (r == 0)
		r = usage_take(&q.used, 0, q.header_bytes, "header", err);
	if (r == 0)
		r = take_refcounts(&q, err);
	if (r == 0)
		r = read_l1(&q, err);
	usage_done(&q.used);
	return r;
}

extern const struct image_reader read_qcow2;
const struct image_reader read_qcow2 = {"qcow2", "a qcow2 image", qcow2_probe, qcow2_read, NULL};

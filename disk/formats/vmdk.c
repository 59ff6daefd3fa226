/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMDK, subformat streamOptimized ("Virtual Disk Format 5.0", "Stream-Optimized Compressed Sparse
 * Extents"): header, descriptor, then grains of 64 KiB as zlib streams, after each 512 of them that
 * have data their table, at the end the directory and the header again, which is the one that says
 * where the directory is. Grains are compressed on every core; the file is written in order.
 */
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "disk/formats/internal.h"

#define SECTOR      512u
#define GRAIN       BLOCK_BYTES
#define TABLE       512u /* grains of one table */
#define SPAN        ((uint64_t) GRAIN * TABLE)
#define DESCRIPTOR  20u  /* sectors, from sector 1 */
#define OVERHEAD    128u /* sectors before the first grain */
#define GRAIN_MAX   (GRAIN + 1024 + SECTOR)
#define MARK_GT     1u
#define MARK_GD     2u
#define MARK_FOOTER 3u

struct vmdk {
	const struct format_job *job;
	struct sink *sink;
	uint32_t table[TABLE]; /* sectors of the current one's grains */
	uint64_t current;      /* number of the current table; UINT64_MAX = none */
	uint8_t *directory;    /* le32 sectors of the tables */
	uint64_t tables;
};

static void header(uint8_t h[SECTOR], uint64_t disk_bytes, uint64_t directory_at)
{
	memset(h, 0, SECTOR);
	memcpy(h, "KDMV", 4);
	put_le32(h + 4, 3);
	put_le32(h + 8, 1 | 1 << 16 | 1 << 17); /* line ends are right, compressed, markers */
	put_le64(h + 12, disk_bytes / SECTOR);
	put_le64(h + 20, GRAIN / SECTOR);
	put_le64(h + 28, 1);
	put_le64(h + 36, DESCRIPTOR);
	put_le32(h + 44, TABLE);
	put_le64(h + 56, directory_at);
	put_le64(h + 64, OVERHEAD);
	memcpy(h + 73, "\n \r\n", 4);
	put_le16(h + 77, 1); /* deflate */
}

static int descriptor(struct buf *b, uint64_t disk_bytes, const uint8_t id[16])
{
	uint64_t cylinders = disk_bytes / SECTOR / (255 * 63);
	uint32_t cid =
		((uint32_t) id[0] << 24 | (uint32_t) id[1] << 16 | (uint32_t) id[2] << 8 | id[3]) &
		0xfffffffe; /* ffffffff means none */

	return buf_addf(b,
			"# Disk DescriptorFile\n"
			"version=1\n"
			"CID=%08" PRIx32 "\n"
			"parentCID=ffffffff\n"
			"createType=\"streamOptimized\"\n"
			"\n"
			"# Extent description\n"
			"RW %" PRIu64 " SPARSE \"disk.vmdk\"\n"
			"\n"
			"# The Disk Data Base\n"
			"#DDB\n"
			"\n"
			"ddb.virtualHWVersion = \"13\"\n"
			"ddb.geometry.cylinders = \"%" PRIu64 "\"\n"
			"ddb.geometry.heads = \"255\"\n"
			"ddb.geometry.sectors = \"63\"\n"
			"ddb.adapterType = \"lsilogic\"\n"
			"ddb.toolsVersion = \"2147483647\"\n",
			cid, disk_bytes / SECTOR, cylinders < 65535 ? cylinders : 65535);
}

static int put_marker(struct sink *s, uint64_t sectors, uint32_t type, struct err *err)
{
	uint8_t m[SECTOR] = {0};

	put_le64(m, sectors);
	put_le32(m + 12, type);
	return sink_put(s, m, sizeof(m), err);
}

/* Grain tables are numbered in 32 bits of sectors. */
static int sector_now(const struct vmdk *v, uint32_t *ret, struct err *err)
{
	if (v->sink->at / SECTOR > UINT32_MAX)
		return err_set(err, -EFBIG, "a VMDK of more than 2 TiB of compressed data");
	*ret = (uint32_t) (v->sink->at / SECTOR);
	return 0;
}

static int put_table(struct vmdk *v, struct err *err)
{
	uint8_t t[TABLE * 4];
	uint32_t at = 0;
	int r;

	if (v->current == UINT64_MAX)
		return 0;
	for (unsigned i = 0; i < TABLE; i++)
		put_le32(t + 4 * i, v->table[i]);
	r = put_marker(v->sink, sizeof(t) / SECTOR, MARK_GT, err);
	if (r == 0)
		r = sector_now(v, &at, err);
	if (r == 0)
		r = sink_put(v->sink, t, sizeof(t), err);
	put_le32(v->directory + v->current * 4, at);
	memset(v->table, 0, sizeof(v->table));
	return r;
}

static void *vmdk_tool(void *arg)
{
	return deflate_new(MAX_WBITS);
}

/* Each grain with its marker, filled up to whole sectors. */
static int vmdk_work(void *arg, struct batch *b, struct err *err)
{
	size_t at = 0;

	for (unsigned i = 0; i < b->blocks; i++) {
		uint8_t *out = b->out + at;
		size_t n = deflate_all(b->tool, b->in + (size_t) i * GRAIN, GRAIN, out + 12,
				       GRAIN + 1024);
		size_t whole = (size_t) round_up(12 + n, SECTOR);

		if (n == 0)
			return err_set(err, -EIO, "cannot compress");
		put_le64(out, (b->offset + (uint64_t) i * GRAIN) / SECTOR);
		put_le32(out + 8, (uint32_t) n);
		memset(out + 12 + n, 0, whole - 12 - n);
		b->out_at[i] = at;
		at += whole;
	}
	b->out_at[b->blocks] = at;
	return 0;
}

static int vmdk_emit(void *arg, const struct batch *b, struct err *err)
{
	struct vmdk *v = arg;
	int r = 0;

	for (unsigned i = 0; i < b->blocks && r == 0; i++) {
		uint64_t grain = b->offset / GRAIN + i;

		if (grain / TABLE != v->current) {
			r = put_table(v, err);
			v->current = grain / TABLE;
		}
		if (r == 0)
			r = sector_now(v, &v->table[grain % TABLE], err);
		if (r == 0)
			r = sink_put(v->sink, b->out + b->out_at[i],
				     b->out_at[i + 1] - b->out_at[i], err);
	}
	return r;
}

static int put_front(const struct vmdk *v, uint64_t disk_bytes, struct err *err)
{
	static const uint8_t zeros[OVERHEAD * SECTOR];
	struct buf text = BUF_INIT((size_t) DESCRIPTOR * SECTOR);
	uint8_t h[SECTOR];
	int r;

	header(h, disk_bytes, UINT64_MAX); /* the directory is at the end */
	r = descriptor(&text, disk_bytes, v->job->facts->id);
	if (r < 0)
		err_set(err, r, "descriptor: %s", strerror(-r));
	if (r == 0)
		r = sink_put(v->sink, h, sizeof(h), err);
	if (r == 0)
		r = sink_put(v->sink, text.data, text.len, err);
	if (r == 0)
		r = sink_put(v->sink, zeros, sizeof(zeros) - SECTOR - text.len, err);
	buf_done(&text);
	return r;
}

static int put_end(struct vmdk *v, uint64_t disk_bytes, struct err *err)
{
	size_t n = (size_t) round_up(v->tables * 4, SECTOR);
	uint8_t h[SECTOR];
	uint32_t at = 0;
	int r = put_table(v, err);

	if (r == 0)
		r = put_marker(v->sink, n / SECTOR, MARK_GD, err);
	if (r == 0)
		r = sector_now(v, &at, err);
	if (r == 0)
		r = sink_put(v->sink, v->directory, n, err);
	if (r == 0)
		r = put_marker(v->sink, 1, MARK_FOOTER, err);
	header(h, disk_bytes, at);
	if (r == 0)
		r = sink_put(v->sink, h, sizeof(h), err);
	return r < 0 ? r : put_marker(v->sink, 0, 0, err);
}

int vmdk_write(const struct format_job *job, uint64_t padded_bytes, struct sink *s, struct err *err)
{
	struct vmdk v = {.job = job,
			 .sink = s,
			 .current = UINT64_MAX,
			 .tables = round_up(padded_bytes, SPAN) / SPAN};
	struct pipeline p = {.job = job,
			     .out_bytes = (size_t) BATCH_BLOCKS * GRAIN_MAX,
			     .arg = &v,
			     .tool_new = vmdk_tool,
			     .tool_free = deflate_free,
			     .work = vmdk_work,
			     .emit = vmdk_emit};
	int r;

	v.directory = calloc(1, (size_t) round_up((v.tables ? v.tables : 1) * 4, SECTOR));
	if (!v.directory)
		return err_set(err, -ENOMEM, "out of memory");
	r = put_front(&v, padded_bytes, err);
	if (r == 0)
		r = pipeline_run(&p, err);
	if (r == 0)
		r = put_end(&v, padded_bytes, err);
	free(v.directory);
	return r;
}

static int write_file(const struct format_job *job, uint64_t padded_bytes, struct err *err)
{
	struct sink s = {.fd = job->fd, .random = job->random};

	return vmdk_write(job, padded_bytes, &s, err);
}

const struct format format_vmdk = {
	.name = "vmdk",
	.extension = "vmdk",
	.about = "VMDK streamOptimized, as vSphere and VirtualBox import it",
	.max_bytes = 62 * TIB, /* vSphere 5.5 and later */
	.unit_bytes = 1 << 20,
	.write = write_file,
};

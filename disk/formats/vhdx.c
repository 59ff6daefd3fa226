/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHDX ([MS-VHDX] version 8): two headers and two region tables, an empty log, the metadata, the
 * table of blocks, the blocks, all at whole MiB. All numbers are little-endian.
 */
#include <string.h>

#include "base/mem.h"
#include "disk/formats/internal.h"
#include "disk/formats/vhdx.h"

#define LOG_AT  (1 * MIB)
#define META_AT (2 * MIB)
#define BAT_AT  (3 * MIB)
#define SECTOR  512u

uint32_t vhdx_crc(const void *p, size_t n)
{
	/* CRC-32C, four bits at a time */
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const uint8_t *b = p;
	uint32_t c = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		c ^= b[i];
		c = c >> 4 ^ table[c & 15];
		c = c >> 4 ^ table[c & 15];
	}
	return ~c;
}

/* Small blocks keep zero areas out of the file; a big disk needs bigger ones for the table. */
static uint32_t block_bytes(uint64_t disk_bytes)
{
	uint32_t b = 1u << 20;

	while (disk_bytes / b > (2u << 20))
		b *= 2;
	return b;
}

static int add_header(struct layout *l, uint64_t at, uint64_t sequence, const uint8_t id[16],
		      struct err *err)
{
	uint8_t h[VHDX_HEADER] = "head";

	put_le64(h + 8, sequence);
	memcpy(h + 16, id, 16); /* FileWriteGuid, DataWriteGuid; no LogGuid: the log is empty */
	memcpy(h + 32, id, 16);
	put_le16(h + 66, 1);
	put_le32(h + 68, (uint32_t) MIB);
	put_le64(h + 72, LOG_AT);
	put_le32(h + 4, vhdx_crc(h, sizeof(h)));
	return layout_add_bytes(l, at, h, sizeof(h), err);
}

static int add_regions(struct layout *l, uint32_t bat_bytes, struct err *err)
{
	auto_free uint8_t *t = calloc(1, VHDX_REGIONS);
	int r;

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(t, "regi", 4);
	put_le32(t + 8, 2);
	memcpy(t + 16, vhdx_guid_bat, 16);
	put_le64(t + 32, BAT_AT);
	put_le32(t + 40, bat_bytes);
	put_le32(t + 44, 1); /* required */
	memcpy(t + 48, vhdx_guid_meta, 16);
	put_le64(t + 64, META_AT);
	put_le32(t + 72, (uint32_t) MIB);
	put_le32(t + 76, 1);
	put_le32(t + 4, vhdx_crc(t, VHDX_REGIONS));
	r = layout_add_bytes(l, VHDX_REGIONS_AT, t, VHDX_REGIONS, err);
	return r < 0 ? r
		     : layout_add_bytes(l, VHDX_REGIONS_AT + VHDX_REGIONS, t, VHDX_REGIONS, err);
}

static int add_metadata(struct layout *l, uint64_t disk_bytes, uint32_t block, const uint8_t id[16],
			struct err *err)
{
	static const uint32_t length[VHDX_ITEMS] = {8, 8, 16, 4, 4};
	uint8_t table[32 + 32 * VHDX_ITEMS] = "metadata", items[40];
	uint32_t at = 0;
	int r;

	put_le16(table + 10, VHDX_ITEMS);
	put_le32(items, block);
	put_le32(items + 4, 0); /* grows, no parent */
	put_le64(items + 8, disk_bytes);
	memcpy(items + 16, id, 16);
	put_le32(items + 32, SECTOR);
	put_le32(items + 36, 4096);
	for (unsigned i = 0; i < VHDX_ITEMS; i++) {
		uint8_t *e = table + 32 + 32 * i;

		memcpy(e, vhdx_guid_item[i], 16);
		put_le32(e + 16, VHDX_ITEMS_AT + at);
		put_le32(e + 20, length[i]);
		put_le32(e + 24, i == 0 ? 4 : 6); /* required; of the virtual disk */
		at += length[i];
	}
	r = layout_add_bytes(l, META_AT, table, sizeof(table), err);
	return r < 0 ? r : layout_add_bytes(l, META_AT + VHDX_ITEMS_AT, items, sizeof(items), err);
}

static int add_blocks(const struct disk_source *disk, struct layout *l, uint32_t block,
		      uint8_t *bat, uint64_t at, uint64_t *ret_end, struct err *err)
{
	uint64_t from = 0, off, len, current = UINT64_MAX, ratio = VHDX_RATIO(block, SECTOR);
	int r;

	while ((r = source_next(disk, &from, BLOCK_BYTES, block, &off, &len, err)) > 0) {
		if (off % block + len > block) {
			len = block - off % block;
			from = off + len;
		}
		if (off / block != current) {
			current = off / block;
			/* After every chunk of @ratio blocks is the entry of its bitmap, unused. */
			put_le64(bat + (current + current / ratio) * 8, at | VHDX_PRESENT);
			at += block;
		}
		if (layout_add_disk(l, at - block + off % block, off, len, err) < 0)
			return -ENOMEM;
	}
	*ret_end = at;
	return r;
}

static int vhdx_layout(const struct disk_source *disk, const struct format_facts *facts,
		       uint64_t padded_bytes, struct layout *l, struct err *err)
{
	uint32_t block = block_bytes(padded_bytes);
	uint64_t n = round_up(padded_bytes, block) / block, ratio = VHDX_RATIO(block, SECTOR);
	uint64_t entries = n == 0 ? 0 : n + (n - 1) / ratio;
	uint64_t bat_bytes = round_up(entries ? entries * 8 : 1, MIB), end = 0;
	auto_free uint8_t *bat = calloc(1, bat_bytes);
	uint8_t creator[24] = "vhdxfile";
	int r;

	if (!bat)
		return err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < 4; i++)
		put_le16(creator + 8 + 2 * i, (uint16_t) "kiln"[i]);
	r = add_blocks(disk, l, block, bat, BAT_AT + bat_bytes, &end, err);
	if (r == 0)
		r = layout_add_bytes(l, 0, creator, sizeof(creator), err);
	if (r == 0)
		r = add_header(l, VHDX_HEADER_AT, 1, facts->id, err);
	if (r == 0)
		r = add_header(l, 2 * VHDX_HEADER_AT, 2, facts->id, err);
	if (r == 0)
		r = add_regions(l, (uint32_t) bat_bytes, err);
	if (r == 0)
		r = add_metadata(l, padded_bytes, block, facts->id, err);
	if (r == 0)
		r = layout_add_bytes(l, BAT_AT, bat, entries ? entries * 8 : 8, err);
	layout_end(l, end);
	return r;
}

const struct format format_vhdx = {
	.name = "vhdx",
	.extension = "vhdx",
	.about = "VHDX of Hyper-V, grows with its data",
	.max_bytes = 64 * TIB,
	.unit_bytes = 4096, /* its physical sectors */
	.layout = vhdx_layout,
};

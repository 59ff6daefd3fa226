/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dynamic VHD ("Virtual Hard Disk Image Format Specification" 1.0, "Dynamic Disk Header Format",
 * "Block Allocation Table and Data Blocks"): copy of the footer, header, table of blocks of 2 MiB,
 * each block behind a bitmap of its sectors, footer.
 */
#include <string.h>

#include "base/mem.h"
#include "disk/formats/internal.h"
#include "disk/vhd.h"

#define HEADER   1024u
#define BAT_AT   1536u
#define BLOCK    (2u << 20)
#define BITMAP   512u /* one bit for each of its 4096 sectors */
#define NO_BLOCK 0xffffffffu

static void dynamic_header(uint32_t entries, uint8_t ret[HEADER])
{
	memset(ret, 0, HEADER);
	memcpy(ret, "cxsparse", 8);
	put_be64(ret + 8, UINT64_MAX);
	put_be64(ret + 16, BAT_AT);
	put_be32(ret + 24, 0x00010000);
	put_be32(ret + 28, entries);
	put_be32(ret + 32, BLOCK);
	put_be32(ret + 36, vhd_checksum(ret, HEADER, 36));
}

/* The blocks that hold data, each behind its bitmap, from @at on; *@ret_end is behind the last. */
static int add_blocks(const struct disk_source *disk, struct layout *l, uint8_t *bat, uint64_t at,
		      uint64_t *ret_end, struct err *err)
{
	uint64_t from = 0, off, len, block = UINT64_MAX;
	uint8_t bitmap[BITMAP];
	int r;

	memset(bitmap, 0xff, sizeof(bitmap));
	while ((r = source_next(disk, &from, BLOCK_BYTES, BLOCK - from % BLOCK, &off, &len, err)) >
	       0) {
		/* A stretch found behind a gap may cross the end of its block. */
		if (off % BLOCK + len > BLOCK) {
			len = BLOCK - off % BLOCK;
			from = off + len;
		}
		if (off / BLOCK != block) {
			block = off / BLOCK;
			put_be32(bat + block * 4, (uint32_t) (at / 512));
			if (layout_add_bytes(l, at, bitmap, sizeof(bitmap), err) < 0)
				return -ENOMEM;
			at += BITMAP + BLOCK;
		}
		if (layout_add_disk(l, at - BLOCK + off % BLOCK, off, len, err) < 0)
			return -ENOMEM;
	}
	*ret_end = at;
	return r;
}

static int vhd_dynamic_layout(const struct disk_source *disk, const struct format_facts *facts,
			      uint64_t padded_bytes, struct layout *l, struct err *err)
{
	uint32_t entries = (uint32_t) (round_up(padded_bytes, BLOCK) / BLOCK);
	size_t bat_bytes = (size_t) round_up((uint64_t) entries * 4, 512);
	auto_free uint8_t *bat = malloc(bat_bytes ? bat_bytes : 512);
	uint8_t footer[VHD_FOOTER], header[HEADER];
	uint64_t end = 0;
	int r;

	if (!bat)
		return err_set(err, -ENOMEM, "out of memory");
	memset(bat, 0xff, bat_bytes);
	vhd_footer_dynamic(padded_bytes, facts->id, footer);
	dynamic_header(entries, header);
	r = add_blocks(disk, l, bat, BAT_AT + bat_bytes, &end, err);
	if (r == 0)
		r = layout_add_bytes(l, 0, footer, sizeof(footer), err);
	if (r == 0)
		r = layout_add_bytes(l, VHD_FOOTER, header, sizeof(header), err);
	if (r == 0)
		r = layout_add_bytes(l, BAT_AT, bat, bat_bytes, err);
	if (r == 0)
		r = layout_add_bytes(l, end, footer, sizeof(footer), err);
	layout_end(l, end + sizeof(footer));
	return r;
}

const struct format format_vhd_dynamic = {
	.name = "vhd-dynamic",
	.extension = "vhd",
	.about = "dynamic VHD: grows with its data",
	.max_bytes = 2040 * GIB, /* sectors are 32-bit numbers */
	.unit_bytes = 1 << 20,
	.layout = vhd_dynamic_layout,
};

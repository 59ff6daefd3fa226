/* SPDX-License-Identifier: Apache-2.0 */
/* Reads fixed and dynamic VHDs that stand alone. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "disk/formats/read.h"
#include "disk/vhd.h"

#define HEADER    1024u
#define BLOCK_MAX (256u << 20)
#define NO_BLOCK  0xffffffffu
#define TYPE_AT   60
#define SIZE_AT   48

static bool vhd_probe(const uint8_t *head, const uint8_t *tail, uint64_t file_bytes)
{
	return memcmp(head, "conectix", 8) == 0 || memcmp(tail, "conectix", 8) == 0;
}

static int read_fixed(const struct reading *r, const uint8_t *footer, struct err *err)
{
	struct image_piece p = {0};
	int e = vhd_check(NULL, 0, footer, r->view.bytes, &r->info->disk_bytes, err);

	if (e < 0) {
		err_arm(err, "ImageRefused");
		return e;
	}
	p.length = p.stored = r->info->disk_bytes;
	return reading_piece(r, &p, err);
}

/* Both copies of the footer and the header behind the first. */
static int check_dynamic(const struct reading *r, const uint8_t *footer, uint8_t h[HEADER],
			 struct err *err)
{
	uint8_t copy[VHD_FOOTER];
	uint64_t at = get_be(footer + 16, 8);
	int e = view_read(&r->view, copy, sizeof(copy), 0, err);

	if (e < 0)
		return e;
	if (get_be(footer + 64, 4) != vhd_checksum(footer, VHD_FOOTER, 64))
		return image_refuse(err, "footer: wrong checksum");
	if (memcmp(copy, footer, VHD_FOOTER) != 0)
		return image_refuse(err, "the footer and its copy differ");
	if (get_be(footer + 12, 4) != 0x00010000)
		return image_refuse(err, "footer: version 0x%08" PRIx64, get_be(footer + 12, 4));
	if (at < VHD_FOOTER || at % 512 != 0)
		return image_refuse(err, "header at byte %" PRIu64, at);
	e = view_read(&r->view, h, HEADER, at, err);
	if (e < 0)
		return e;
	if (memcmp(h, "cxsparse", 8) != 0)
		return image_refuse(err, "no dynamic header (\"cxsparse\") at byte %" PRIu64, at);
	if (get_be(h + 36, 4) != vhd_checksum(h, HEADER, 36))
		return image_refuse(err, "header: wrong checksum");
	if (get_be(h + 24, 4) != 0x00010000)
		return image_refuse(err, "header: version 0x%08" PRIx64, get_be(h + 24, 4));
	if (!all_zero(h + 40, 16) || !all_zero(h + 64, HEADER - 64))
		return image_refuse(err, "it names a parent or has reserved bytes set");
	return 0;
}

static int read_blocks(const struct reading *r, const uint8_t *bat, uint32_t entries,
		       uint64_t block, struct spans *used, struct err *err)
{
	uint64_t bitmap = (block / 512 / 8 + 511) / 512 * 512, end = r->view.bytes - VHD_FOOTER;
	int e = 0;

	for (uint32_t i = 0; i < entries && e == 0; i++) {
		uint64_t at = get_be(bat + (size_t) i * 4, 4) * 512;
		struct image_piece p = {PIECE_PLAIN, i * block, block, at + bitmap, block};

		if (at == (uint64_t) NO_BLOCK * 512)
			continue;
		if (!range_ok(at, bitmap + block, end))
			return image_refuse(err, "block %u at byte %" PRIu64 " is not in the file",
					    i, at);
		if (p.disk >= r->info->disk_bytes)
			return image_refuse(err, "block %u is past the disk's end", i);
		e = spans_add(used, at / 512, (bitmap + block) / 512, err);
		if (e == 0)
			e = reading_piece(r, &p, err);
	}
	return e;
}

static int read_dynamic(const struct reading *r, const uint8_t *footer, struct err *err)
{
	uint8_t h[HEADER];
	auto_free uint8_t *bat = NULL;
	struct spans used = {0};
	uint64_t at, block, entries;
	int e = check_dynamic(r, footer, h, err);

	if (e < 0)
		return e;
	r->info->disk_bytes = get_be(footer + SIZE_AT, 8);
	at = get_be(h + 16, 8);
	entries = get_be(h + 28, 4);
	block = get_be(h + 32, 4);
	if (r->info->disk_bytes % 512 || r->info->disk_bytes > READ_DISK_MAX)
		return image_refuse(err, "a disk of %" PRIu64 " bytes", r->info->disk_bytes);
	if (!power_of_two(block) || block < 4096 || block > BLOCK_MAX)
		return image_refuse(err, "blocks of %" PRIu64 " bytes", block);
	if (entries < (r->info->disk_bytes + block - 1) / block)
		return image_refuse(err,
				    "%" PRIu64 " blocks of %" PRIu64
				    " bytes do not make a disk of %" PRIu64,
				    entries, block, r->info->disk_bytes);
	if (at % 512)
		return image_refuse(err, "table of blocks at byte %" PRIu64, at);
	e = view_table(&r->view, at, entries * 4, "table of blocks", &bat, err);
	if (e == 0)
		e = spans_add(&used, 0, 1, err);
	if (e == 0)
		e = spans_add(&used, get_be(footer + 16, 8) / 512, HEADER / 512, err);
	if (e == 0)
		e = spans_add(&used, at / 512, (entries * 4 + 511) / 512, err);
	if (e == 0)
		e = read_blocks(r, bat, (uint32_t) entries, block, &used, err);
	if (e == 0)
		e = spans_check(&used, err);
	free(used.v);
	return e;
}

static int vhd_read(const struct reading *r, struct err *err)
{
	uint8_t footer[VHD_FOOTER];
	int e;

	if (r->view.bytes < 2 * VHD_FOOTER)
		return image_refuse(err, "%" PRIu64 " bytes cannot be a VHD", r->view.bytes);
	e = view_read(&r->view, footer, sizeof(footer), r->view.bytes - VHD_FOOTER, err);
	if (e < 0)
		return e;
	if (memcmp(footer, "conectix", 8) != 0)
		return image_refuse(err, "no footer at its end: the file is cut off");
	switch (get_be(footer + TYPE_AT, 4)) {
	case 2:
		return read_fixed(r, footer, err);
	case 3:
		return read_dynamic(r, footer, err);
	case 4:
		return image_refuse(err, "it is a differencing disk: its parent has the rest");
	default:
		return image_refuse(err, "unknown type %" PRIu64, get_be(footer + TYPE_AT, 4));
	}
}

extern const struct image_reader read_vhd;
const struct image_reader read_vhd = {"vhd", "a VHD", vhd_probe, vhd_read, NULL};

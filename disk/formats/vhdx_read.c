/* SPDX-License-Identifier: Apache-2.0 */
/* Reads VHDX files that stand alone and were closed: no parent, an empty log. */
#include "disk/formats/vhdx.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "disk/formats/read.h"

#define MIB       ((uint64_t) 1 << 20)
#define GUID      16u
#define REGIONS_N 2047u
#define META_MAX  (16u * MIB)
#define BLOCK_MAX (256u * MIB)
#define REQUIRED  1u

struct vhdx_image {
	const struct reading *r;
	uint64_t bat_at, bat_bytes, meta_at, meta_bytes, block, sector;
	struct usage used;
};

static bool vhdx_probe(const uint8_t *head, const uint8_t *tail, uint64_t file_bytes)
{
	return memcmp(head, "vhdxfile", 8) == 0;
}

/* The valid header with the higher sequence number counts. */
static int check_headers(struct vhdx_image *x, struct err *err)
{
	uint8_t h[VHDX_HEADER], best[VHDX_HEADER];
	bool found = false;

	for (unsigned i = 1; i <= 2; i++) {
		uint32_t sum;
		int r = view_read(&x->r->view, h, sizeof(h), (uint64_t) i * VHDX_HEADER_AT, err);

		if (r < 0)
			return r;
		sum = (uint32_t) get_le(h + 4, 4);
		memset(h + 4, 0, 4);
		if (memcmp(h, "head", 4) != 0 || vhdx_crc(h, sizeof(h)) != sum)
			continue;
		if (found && get_le(h + 8, 8) == get_le(best + 8, 8))
			return image_refuse(err, "both headers have sequence number %" PRIu64,
					    get_le(h + 8, 8));
		if (!found || get_le(h + 8, 8) > get_le(best + 8, 8))
			memcpy(best, h, sizeof(best));
		found = true;
	}
	if (!found)
		return image_refuse(err, "neither header is valid");
	if (get_le(best + 66, 2) != 1)
		return image_refuse(err, "version %" PRIu64 ", 1 expected", get_le(best + 66, 2));
	if (!all_zero(best + 48, GUID))
		return image_refuse(err, "its log is not empty: it was not closed");
	if (get_le(best + 72, 8) < MIB || get_le(best + 72, 8) % MIB || get_le(best + 68, 4) % MIB)
		return image_refuse(err, "log at byte %" PRIu64, get_le(best + 72, 8));
	if (!range_ok(get_le(best + 72, 8), get_le(best + 68, 4), x->r->view.bytes))
		return image_refuse(err, "its log is not in the file");
	return usage_take(&x->used, get_le(best + 72, 8), get_le(best + 68, 4), "log", err);
}

static int take_region(struct vhdx_image *x, const uint8_t *e, struct err *err)
{
	uint64_t at = get_le(e + 16, 8), n = get_le(e + 24, 4);
	bool bat = memcmp(e, vhdx_guid_bat, GUID) == 0;

	if (!bat && memcmp(e, vhdx_guid_meta, GUID) != 0)
		return get_le(e + 28, 4) & REQUIRED
			       ? image_refuse(err, "a required region of unknown kind")
			       : 0;
	if (at < MIB || at % MIB || n == 0 || n % MIB || !range_ok(at, n, x->r->view.bytes))
		return image_refuse(err, "%s of %" PRIu64 " bytes at %" PRIu64,
				    bat ? "table of blocks" : "metadata", n, at);
	if (bat ? x->bat_bytes : x->meta_bytes)
		return image_refuse(err, "two regions of one kind");
	if (bat) {
		x->bat_at = at;
		x->bat_bytes = n;
	} else {
		x->meta_at = at;
		x->meta_bytes = n;
	}
	return usage_take(&x->used, at, n, "region", err);
}

static int check_regions(struct vhdx_image *x, struct err *err)
{
	auto_free uint8_t *t = NULL;
	uint32_t sum = 0, n;
	int r = 0;

	for (unsigned i = 0; i < 2; i++) {
		free(t);
		t = NULL;
		r = view_table(&x->r->view, VHDX_REGIONS_AT + (uint64_t) i * VHDX_REGIONS,
			       VHDX_REGIONS, "region table", &t, err);
		if (r < 0)
			return r;
		sum = (uint32_t) get_le(t + 4, 4);
		memset(t + 4, 0, 4);
		if (memcmp(t, "regi", 4) == 0 && vhdx_crc(t, VHDX_REGIONS) == sum)
			break;
		if (i == 1)
			return image_refuse(err, "neither region table is valid");
	}
	n = (uint32_t) get_le(t + 8, 4);
	if (n > REGIONS_N)
		return image_refuse(err, "%u regions, at most %u", n, REGIONS_N);
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = take_region(x, t + 16 + (size_t) i * 32, err);
	if (r == 0 && (!x->bat_bytes || !x->meta_bytes))
		r = image_refuse(err, "no table of blocks or no metadata");
	return r;
}

/* ---- Metadata ------------------------------------------------------------------------------ */

static int take_item(struct vhdx_image *x, const uint8_t *e, unsigned *seen, struct err *err)
{
	static const uint32_t length[VHDX_ITEMS] = {8, 8, 16, 4, 4};
	uint64_t at = get_le(e + 16, 4), n = get_le(e + 20, 4);
	uint8_t v[16];
	unsigned i = 0;
	int r;

	while (i < VHDX_ITEMS && memcmp(e, vhdx_guid_item[i], GUID) != 0)
		i++;
	if (i == VHDX_ITEMS)
		return get_le(e + 24, 4) & 4 ? image_refuse(err, "unknown required metadata, "
								 "perhaps of a parent")
					     : 0;
	if (*seen & 1u << i)
		return image_refuse(err, "metadata item twice");
	*seen |= 1u << i;
	if (n != length[i] || at < VHDX_ITEMS_AT || !range_ok(at, n, x->meta_bytes))
		return image_refuse(err, "metadata item %u: %" PRIu64 " bytes at %" PRIu64, i, n,
				    at);
	r = view_read(&x->r->view, v, n, x->meta_at + at, err);
	if (r < 0)
		return r;
	if (i == 0) {
		x->block = get_le(v, 4);
		if (get_le(v + 4, 4) & 2)
			return image_refuse(err, "it has a parent");
		if (get_le(v + 4, 4) & ~1ull)
			return image_refuse(err, "unknown parameters 0x%" PRIx64, get_le(v + 4, 4));
	} else if (i == 1) {
		x->r->info->disk_bytes = get_le(v, 8);
	} else if (i == 3) {
		x->sector = get_le(v, 4);
	}
	return 0;
}

static int check_metadata(struct vhdx_image *x, struct err *err)
{
	auto_free uint8_t *t = NULL;
	unsigned seen = 0;
	uint64_t n;
	int r;

	if (x->meta_bytes > META_MAX)
		return image_refuse(err, "metadata of %" PRIu64 " bytes", x->meta_bytes);
	r = view_table(&x->r->view, x->meta_at, VHDX_ITEMS_AT, "metadata", &t, err);
	if (r < 0)
		return r;
	n = get_le(t + 10, 2);
	if (memcmp(t, "metadata", 8) != 0 || n > REGIONS_N)
		return image_refuse(err, "no metadata table");
	for (uint64_t i = 0; i < n && r == 0; i++)
		r = take_item(x, t + 32 + i * 32, &seen, err);
	if (r < 0)
		return r;
	if ((seen & 0xb) != 0xb)
		return image_refuse(err, "parameters, size or sector size are missing");
	if (x->sector != 512)
		return image_refuse(err, "sectors of %" PRIu64 " bytes, 512 expected", x->sector);
	if (!power_of_two(x->block) || x->block < MIB || x->block > BLOCK_MAX)
		return image_refuse(err, "blocks of %" PRIu64 " bytes", x->block);
	if (x->r->info->disk_bytes % 512 || x->r->info->disk_bytes > READ_DISK_MAX)
		return image_refuse(err, "a disk of %" PRIu64 " bytes", x->r->info->disk_bytes);
	return 0;
}

/* ---- Blocks -------------------------------------------------------------------------------- */

static int take_block(struct vhdx_image *x, uint64_t number, uint64_t entry, struct err *err)
{
	uint64_t state = entry & 7, at = entry >> 20 << 20;
	struct image_piece p = {PIECE_PLAIN, number * x->block, x->block, at, x->block};

	if (entry & 0xffff8)
		return image_refuse(err, "block %" PRIu64 ": reserved bits", number);
	if (state < 4) /* absent, undefined, zero, unmapped */
		return 0;
	if (state == 7)
		return image_refuse(err, "block %" PRIu64 " is partly in a parent", number);
	if (state != VHDX_PRESENT)
		return image_refuse(err, "block %" PRIu64 ": unknown state %" PRIu64, number,
				    state);
	if (at < MIB || !range_ok(at, x->block, x->r->view.bytes))
		return image_refuse(err, "block %" PRIu64 " at byte %" PRIu64 " is not in the file",
				    number, at);
	if (usage_take(&x->used, at, x->block, "block", err) < 0)
		return -EINVAL;
	return reading_piece(x->r, &p, err);
}

static int read_blocks(struct vhdx_image *x, struct err *err)
{
	uint64_t disk = x->r->info->disk_bytes, ratio = VHDX_RATIO(x->block, x->sector);
	uint64_t blocks = disk / x->block + (disk % x->block != 0);
	uint64_t entries = blocks ? blocks + (blocks - 1) / ratio : 0;
	auto_free uint8_t *bat = NULL;
	int r;

	if (entries * 8 > x->bat_bytes)
		return image_refuse(
			err, "table of blocks: %" PRIu64 " entries do not fit %" PRIu64 " bytes",
			entries, x->bat_bytes);
	r = view_table(&x->r->view, x->bat_at, entries * 8, "table of blocks", &bat, err);
	for (uint64_t i = 0; i < entries && r == 0; i++) {
		uint64_t entry = get_le(bat + i * 8, 8);

		/* Every so often the entry of a bitmap, which only a child needs. */
		if (i % (ratio + 1) == ratio)
			r = (entry & 7) == 0 ? 0 : image_refuse(err, "a bitmap of sectors");
		else
			r = take_block(x, i - i / (ratio + 1), entry, err);
	}
	return r;
}

static int vhdx_read(const struct reading *rd, struct err *err)
{
	struct vhdx_image x = {.r = rd};
	int r = usage_init(&x.used, rd->view.bytes, MIB, err);

	if (r == 0)
		r = usage_take(&x.used, 0, MIB, "headers", err);
	if (r == 0)
		r = check_headers(&x, err);
	if (r == 0)
		r = check_regions(&x, err);
	if (r == 0)
		r = check_metadata(&x, err);
	if (r == 0)
		r = read_blocks(&x, err);
	usage_done(&x.used);
	return r;
}

extern const struct image_reader read_vhdx;
const struct image_reader read_vhdx = {"vhdx", "a VHDX", vhdx_probe, vhdx_read, NULL};

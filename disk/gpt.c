/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/gpt.h"

#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"

#define SECTOR        512u
#define ENTRY_BYTES   128u
#define HEADER_BYTES  92u
#define TABLE_BYTES   (GPT_MAX_ENTRIES * ENTRY_BYTES)
#define HEAD_BYTES    (2 * SECTOR + TABLE_BYTES)
#define TAIL_BYTES    (TABLE_BYTES + SECTOR)
#define TABLE_SECTORS (TABLE_BYTES / SECTOR)
#define NAME_UNITS    36

static const uint8_t signature[8] = {'E', 'F', 'I', ' ', 'P', 'A', 'R', 'T'};

/* On-disk order: the first three groups are little-endian. */
const uint8_t gpt_type_esp[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
				  0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};
const uint8_t gpt_type_bios_boot[16] = {0x48, 0x61, 0x68, 0x21, 0x49, 0x64, 0x6f, 0x6e,
					0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49};
const uint8_t gpt_type_linux[16] = {0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
				    0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4};
const uint8_t gpt_type_root_x64[16] = {0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d,
				       0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09};

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffffffu;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (unsigned k = 0; k < 8; k++)
			crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
	}
	return ~crc;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

int gpt_uuid_parse(const char *s, uint8_t ret[16])
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	char hex[33];
	uint8_t raw[16];
	size_t n = 0;

	if (!s || strlen(s) != 36)
		return -EINVAL;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (s[i] == '-'))
			return -EINVAL;
		if (!dash)
			hex[n++] = s[i];
	}
	hex[n] = '\0';
	if (hex_decode(hex, raw, sizeof(raw)) < 0)
		return -EINVAL;
	for (size_t i = 0; i < 16; i++)
		ret[i] = raw[order[i]];
	return 0;
}

static size_t utf8_put(char *dst, uint32_t cp)
{
	if (cp < 0x80) {
		dst[0] = (char) cp;
		return 1;
	}
	if (cp < 0x800) {
		dst[0] = (char) (0xc0 | cp >> 6);
		dst[1] = (char) (0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		dst[0] = (char) (0xe0 | cp >> 12);
		dst[1] = (char) (0x80 | (cp >> 6 & 0x3f));
		dst[2] = (char) (0x80 | (cp & 0x3f));
		return 3;
	}
	dst[0] = (char) (0xf0 | cp >> 18);
	dst[1] = (char) (0x80 | (cp >> 12 & 0x3f));
	dst[2] = (char) (0x80 | (cp >> 6 & 0x3f));
	dst[3] = (char) (0x80 | (cp & 0x3f));
	return 4;
}

/* At most 36 units of at most 3 bytes each (a surrogate pair is 2 units and 4 bytes): 108 bytes. */
static bool name_decode(const uint8_t *p, char ret[109])
{
	size_t n = 0;

	for (size_t i = 0; i < NAME_UNITS; i++) {
		uint32_t u = (uint32_t) (p[2 * i] | p[2 * i + 1] << 8);

		if (u == 0)
			break;
		if (u >= 0xdc00 && u < 0xe000)
			return false;
		if (u >= 0xd800 && u < 0xdc00) {
			uint32_t lo;

			if (++i >= NAME_UNITS)
				return false;
			lo = (uint32_t) (p[2 * i] | p[2 * i + 1] << 8);
			if (lo < 0xdc00 || lo >= 0xe000)
				return false;
			u = 0x10000 + ((u - 0xd800) << 10) + (lo - 0xdc00);
		}
		n += utf8_put(ret + n, u);
	}
	ret[n] = '\0';
	return true;
}

/* Decodes one code point of NUL-terminated text; 0 bytes taken means malformed. */
static size_t utf8_get(const uint8_t *s, uint32_t *ret)
{
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	uint32_t cp;

	if (n == 0 || s[0] > 0xf4)
		return 0;
	cp = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3f);
	}
	if (cp < least[n] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	*ret = cp;
	return n;
}

static int name_encode(const char *name, uint8_t *p, struct err *err)
{
	const uint8_t *s = (const uint8_t *) name;
	size_t unit = 0;

	while (*s) {
		uint32_t cp;
		size_t n = utf8_get(s, &cp);

		if (n == 0)
			return err_set(err, -EINVAL, "partition name: not UTF-8 at byte %zu",
				       (size_t) (s - (const uint8_t *) name));
		if (unit + (cp > 0xffff ? 2 : 1) > NAME_UNITS)
			return err_set(err, -EINVAL,
				       "partition name '%s': longer than %d UTF-16 units", name,
				       NAME_UNITS);
		if (cp > 0xffff) {
			put_le16(p + 2 * unit++, (uint16_t) (0xd800 + ((cp - 0x10000) >> 10)));
			put_le16(p + 2 * unit++, (uint16_t) (0xdc00 + ((cp - 0x10000) & 0x3ff)));
		} else {
			put_le16(p + 2 * unit++, (uint16_t) cp);
		}
		s += n;
	}
	return 0;
}

/* Used by both directions: what a table must be to be accepted. */
static int check_parts(const struct gpt *g, uint64_t first_usable, uint64_t last_usable,
		       struct err *err)
{
	for (unsigned i = 0; i < g->n; i++) {
		const struct gpt_part *a = &g->part[i];

		if (a->first_lba > a->last_lba || a->first_lba < first_usable ||
		    a->last_lba > last_usable)
			return err_set(
				err, -EINVAL,
				"partition %u: sectors %llu to %llu lie outside %llu to %llu",
				i + 1, (unsigned long long) a->first_lba,
				(unsigned long long) a->last_lba, (unsigned long long) first_usable,
				(unsigned long long) last_usable);
		for (unsigned k = 0; k < i; k++) {
			const struct gpt_part *b = &g->part[k];

			if (a->first_lba <= b->last_lba && b->first_lba <= a->last_lba)
				return err_set(err, -EINVAL, "partitions %u and %u overlap", k + 1,
					       i + 1);
		}
	}
	return 0;
}

struct header {
	uint32_t revision, size, crc, n_entries, entry_bytes, table_crc;
	uint64_t my_lba, alternate_lba, first_usable, last_usable, table_lba;
	uint8_t disk_uuid[16];
};

static int parse_header(const uint8_t *p, struct header *h, struct err *err)
{
	struct cursor c = {p, HEADER_BYTES};
	uint8_t sig[8], copy[HEADER_BYTES];
	uint32_t reserved;

	if (!cursor_bytes(&c, sig, sizeof(sig)) || memcmp(sig, signature, sizeof(sig)) != 0)
		return err_set(err, -EINVAL, "no GPT: sector 1 lacks the signature 'EFI PART'");
	if (!cursor_le32(&c, &h->revision) || !cursor_le32(&c, &h->size) ||
	    !cursor_le32(&c, &h->crc) || !cursor_le32(&c, &reserved) ||
	    !cursor_le64(&c, &h->my_lba) || !cursor_le64(&c, &h->alternate_lba) ||
	    !cursor_le64(&c, &h->first_usable) || !cursor_le64(&c, &h->last_usable) ||
	    !cursor_bytes(&c, h->disk_uuid, 16) || !cursor_le64(&c, &h->table_lba) ||
	    !cursor_le32(&c, &h->n_entries) || !cursor_le32(&c, &h->entry_bytes) ||
	    !cursor_le32(&c, &h->table_crc))
		return err_set(err, -EINVAL, "GPT header: ends early");
	if (h->revision != 0x00010000)
		return err_set(err, -EINVAL, "GPT header: revision %#x, expected 0x10000",
			       h->revision);
	if (h->size != HEADER_BYTES)
		return err_set(err, -EINVAL, "GPT header: size %u, expected %u", h->size,
			       HEADER_BYTES);
	memcpy(copy, p, sizeof(copy));
	memset(copy + 16, 0, 4);
	if (crc32_of(copy, sizeof(copy)) != h->crc)
		return err_set(err, -EBADMSG, "GPT header: checksum differs");
	if (h->my_lba != 1 || h->table_lba != 2)
		return err_set(
			err, -EINVAL,
			"GPT header: at sector %llu with its table at %llu, expected 1 and 2",
			(unsigned long long) h->my_lba, (unsigned long long) h->table_lba);
	if (h->n_entries == 0 || h->n_entries > GPT_MAX_ENTRIES || h->entry_bytes != ENTRY_BYTES)
		return err_set(err, -EINVAL,
			       "GPT header: %u entries of %u bytes, expected at most %u of %u",
			       h->n_entries, h->entry_bytes, GPT_MAX_ENTRIES, ENTRY_BYTES);
	return 0;
}

static int parse_entry(const uint8_t *p, unsigned index, struct gpt_part *ret, struct err *err)
{
	struct cursor c = {p, ENTRY_BYTES};

	if (!cursor_bytes(&c, ret->type, 16) || !cursor_bytes(&c, ret->uuid, 16) ||
	    !cursor_le64(&c, &ret->first_lba) || !cursor_le64(&c, &ret->last_lba) ||
	    !cursor_le64(&c, &ret->attrs))
		return err_set(err, -EINVAL, "partition entry %u: ends early", index + 1);
	if (!name_decode(c.p, ret->name))
		return err_set(err, -EINVAL, "partition entry %u: name is not UTF-16", index + 1);
	return 0;
}

int gpt_parse(const uint8_t *head, size_t n, uint64_t disk_bytes, struct gpt *ret, struct err *err)
{
	uint64_t sectors = disk_bytes / SECTOR;
	struct header h = {0};
	struct gpt g = {.disk_bytes = disk_bytes};
	int r;

	if (n < HEAD_BYTES || disk_bytes < HEAD_BYTES + TAIL_BYTES)
		return err_set(err, -EINVAL,
			       "no GPT: %zu bytes of a disk of %llu, expected at least %u of %u", n,
			       (unsigned long long) disk_bytes, HEAD_BYTES,
			       HEAD_BYTES + TAIL_BYTES);
	r = parse_header(head + SECTOR, &h, err);
	if (r < 0)
		return r;
	if (crc32_of(head + 2 * SECTOR, (size_t) h.n_entries * ENTRY_BYTES) != h.table_crc)
		return err_set(err, -EBADMSG, "GPT entries: checksum differs");
	/* A grown disk keeps its old last usable sector: only what lies past the end is wrong. */
	if (h.first_usable < 2 + TABLE_SECTORS || h.last_usable < h.first_usable ||
	    h.last_usable >= sectors || h.alternate_lba >= sectors)
		return err_set(err, -EINVAL,
			       "GPT header: usable sectors %llu to %llu, backup at %llu, but the "
			       "disk has %llu",
			       (unsigned long long) h.first_usable,
			       (unsigned long long) h.last_usable,
			       (unsigned long long) h.alternate_lba, (unsigned long long) sectors);
	memcpy(g.disk_uuid, h.disk_uuid, 16);
	for (unsigned i = 0; i < h.n_entries; i++) {
		const uint8_t *e = head + 2 * SECTOR + (size_t) i * ENTRY_BYTES;

		if (is_zero(e, 16))
			continue;
		r = parse_entry(e, i, &g.part[g.n], err);
		if (r < 0)
			return r;
		g.n++;
	}
	r = check_parts(&g, h.first_usable, h.last_usable, err);
	if (r < 0)
		return r;
	*ret = g;
	return 0;
}

static int build_table(const struct gpt *g, uint8_t *table, struct err *err)
{
	memset(table, 0, TABLE_BYTES);
	for (unsigned i = 0; i < g->n; i++) {
		const struct gpt_part *a = &g->part[i];
		uint8_t *e = table + (size_t) i * ENTRY_BYTES;
		int r;

		if (is_zero(a->type, 16))
			return err_set(err, -EINVAL, "partition %u: no type", i + 1);
		memcpy(e, a->type, 16);
		memcpy(e + 16, a->uuid, 16);
		put_le64(e + 32, a->first_lba);
		put_le64(e + 40, a->last_lba);
		put_le64(e + 48, a->attrs);
		r = name_encode(a->name, e + 56, err);
		if (r < 0)
			return err_ctx(err, r, "partition %u", i + 1);
	}
	return 0;
}

static void build_header(const struct gpt *g, const uint8_t *table, bool backup, uint8_t *p)
{
	uint64_t sectors = g->disk_bytes / SECTOR, last = sectors - 1;

	memset(p, 0, SECTOR);
	memcpy(p, signature, sizeof(signature));
	put_le32(p + 8, 0x00010000);
	put_le32(p + 12, HEADER_BYTES);
	put_le64(p + 24, backup ? last : 1);
	put_le64(p + 32, backup ? 1 : last);
	put_le64(p + 40, 2 + TABLE_SECTORS);
	put_le64(p + 48, last - TABLE_SECTORS - 1);
	memcpy(p + 56, g->disk_uuid, 16);
	put_le64(p + 72, backup ? last - TABLE_SECTORS : 2);
	put_le32(p + 80, GPT_MAX_ENTRIES);
	put_le32(p + 84, ENTRY_BYTES);
	put_le32(p + 88, crc32_of(table, TABLE_BYTES));
	put_le32(p + 16, crc32_of(p, HEADER_BYTES));
}

static void build_mbr(uint64_t sectors, uint8_t *mbr)
{
	uint8_t *e = mbr + 446;

	memset(mbr + 440, 0, SECTOR - 440);
	e[2] = 0x02; /* CHS of sector 1 */
	e[4] = 0xee;
	e[5] = e[6] = e[7] = 0xff;
	put_le32(e + 8, 1);
	put_le32(e + 12, sectors - 1 > 0xffffffffu ? 0xffffffffu : (uint32_t) (sectors - 1));
	mbr[510] = 0x55;
	mbr[511] = 0xaa;
}

int gpt_build(const struct gpt *g, uint8_t *head, uint8_t *tail, struct err *err)
{
	uint8_t *table = head + 2 * SECTOR;
	uint64_t sectors = g->disk_bytes / SECTOR;
	int r;

	if (g->disk_bytes % SECTOR || g->disk_bytes < HEAD_BYTES + TAIL_BYTES + SECTOR)
		return err_set(err, -EINVAL,
			       "disk size %llu: expected a multiple of %u bytes, at least %u",
			       (unsigned long long) g->disk_bytes, SECTOR,
			       HEAD_BYTES + TAIL_BYTES + SECTOR);
	if (g->n > GPT_MAX_ENTRIES)
		return err_set(err, -EINVAL, "%u partitions, at most %u", g->n, GPT_MAX_ENTRIES);
	r = check_parts(g, 2 + TABLE_SECTORS, sectors - TABLE_SECTORS - 2, err);
	if (r < 0)
		return r;
	r = build_table(g, table, err);
	if (r < 0)
		return r;
	build_mbr(sectors, head);
	build_header(g, table, false, head + SECTOR);
	memcpy(tail, table, TABLE_BYTES);
	build_header(g, table, true, tail + TABLE_BYTES);
	return 0;
}

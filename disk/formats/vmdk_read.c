/* SPDX-License-Identifier: Apache-2.0 */
/* Reads VMDKs whose data is in the one file: monolithicSparse and streamOptimized. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "disk/formats/read.h"

#define SECTOR        512u
#define TABLE         512u /* entries of a grain table */
#define COMPRESSED    (1u << 16)
#define MARKERS       (1u << 17)
#define GD_AT_END     UINT64_MAX
#define LINE_MAX_BYTE 1024u

struct vmdk_image {
	const struct reading *r;
	bool stream;
	uint64_t grain, directory; /* bytes */
	uint64_t capacity;         /* sectors */
	struct spans used;
};

static bool vmdk_probe(const uint8_t *head, const uint8_t *tail, uint64_t file_bytes)
{
	return memcmp(head, "KDMV", 4) == 0;
}

/* ---- The descriptor ------------------------------------------------------------------------ */

struct descriptor {
	bool type, parent, extent;
	const char *want_type;
	uint64_t sectors;
};

/* RW SECTORS SPARSE "NAME"; the name is of this very file and means nothing here. */
static int extent_line(struct descriptor *d, const char *line, struct err *err)
{
	static const char kind[] = " SPARSE \"";
	char *end = NULL;
	size_t name;

	if (d->extent)
		return image_refuse(err, "descriptor: more than one extent");
	errno = 0;
	if (str_starts(line, "RW ") && line[3] >= '0' && line[3] <= '9')
		d->sectors = strtoull(line + 3, &end, 10);
	if (!end || errno || !str_starts(end, kind))
		return image_refuse(err, "descriptor: extent '%.80s', one RW SPARSE expected",
				    line);
	name = strcspn(end + sizeof(kind) - 1, "\"");
	if (strcmp(end + sizeof(kind) - 1 + name, "\"") != 0)
		return image_refuse(err, "descriptor: extent '%.80s', one RW SPARSE expected",
				    line);
	d->extent = true;
	return 0;
}

static int descriptor_line(struct descriptor *d, const char *line, struct err *err)
{
	static const char *const plain[] = {"version=1",
					    "version=2",
					    "version=3",
					    "encoding=\"UTF-8\"",
					    "encoding=\"windows-1252\"",
					    "isNativeSnapshot=\"no\""};

	if (*line == '\0' || *line == '#')
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (strcmp(line, plain[i]) == 0)
			return 0;
	if (str_starts(line, "CID=") &&
	    strspn(line + 4, "0123456789abcdefABCDEF") == strlen(line) - 4)
		return 0;
	if (str_starts(line, "parentCID=")) {
		d->parent = strcasecmp(line, "parentCID=ffffffff") == 0;
		return d->parent ? 0
				 : image_refuse(err, "descriptor: it has a parent (%.40s)", line);
	}
	if (str_starts(line, "createType=")) {
		d->type = strcmp(line + 11, d->want_type) == 0;
		return d->type ? 0
			       : image_refuse(err, "descriptor: %.60s, %s expected", line,
					      d->want_type);
	}
	if (str_starts(line, "RW ") || str_starts(line, "RDONLY ") || str_starts(line, "NOACCESS "))
		return extent_line(d, line, err);
	if (str_starts(line, "ddb.") && strchr(line, '='))
		return 0;
	return image_refuse(err, "descriptor: unknown line '%.80s'", line);
}

static int check_descriptor(struct vmdk_image *v, uint64_t at, uint64_t n, struct err *err)
{
	struct descriptor d = {.want_type =
				       v->stream ? "\"streamOptimized\"" : "\"monolithicSparse\""};
	auto_free uint8_t *text = NULL;
	size_t end, i = 0;
	int r;

	if (n > READ_TEXT_MAX)
		return image_refuse(err, "descriptor of %" PRIu64 " bytes", n);
	r = view_table(&v->r->view, at, n, "descriptor", &text, err);
	if (r < 0)
		return r;
	end = strnlen((const char *) text, n);
	if (!all_zero(text + end, n - end))
		return image_refuse(err, "descriptor: bytes behind its end");
	while (r == 0 && i < end) {
		char line[LINE_MAX_BYTE];
		size_t k = 0;

		while (i + k < end && text[i + k] != '\n')
			k++;
		if (k >= sizeof(line))
			return image_refuse(err, "descriptor: a line of %zu bytes", k);
		memcpy(line, text + i, k);
		i += k + 1;
		while (k > 0 && (line[k - 1] == '\r' || line[k - 1] == ' '))
			k--;
		line[k] = '\0';
		r = descriptor_line(&d, line, err);
	}
	if (r == 0 && (!d.type || !d.parent || !d.extent))
		r = image_refuse(err, "descriptor: createType, parentCID or extent is missing");
	if (r == 0 && d.sectors != v->capacity)
		r = image_refuse(err, "descriptor: %" PRIu64 " sectors, the header has %" PRIu64,
				 d.sectors, v->capacity);
	return r;
}

/* ---- The header ---------------------------------------------------------------------------- */

static int check_header(const uint8_t *h, struct err *err)
{
	uint64_t version = get_le(h + 4, 4), grain = get_le(h + 20, 8);

	if (version < 1 || version > 3)
		return image_refuse(err, "version %" PRIu64 ", 1 to 3 expected", version);
	if (get_le(h + 8, 4) & ~(uint64_t) (1 | 2 | COMPRESSED | MARKERS))
		return image_refuse(err, "unknown flags 0x%" PRIx64, get_le(h + 8, 4));
	if (!(get_le(h + 8, 4) & 1) || memcmp(h + 73, "\n \r\n", 4) != 0)
		return image_refuse(err, "its line ends were changed on the way");
	if (((get_le(h + 8, 4) & COMPRESSED) != 0) != (get_le(h + 77, 2) == 1) ||
	    get_le(h + 77, 2) > 1)
		return image_refuse(err, "compression %" PRIu64 " and its flag disagree",
				    get_le(h + 77, 2));
	if (h[72] != 0)
		return image_refuse(err, "it was not closed");
	if (!power_of_two(grain) || grain < 8 || grain > READ_UNIT_MAX / SECTOR)
		return image_refuse(err, "grains of %" PRIu64 " sectors", grain);
	if (get_le(h + 44, 4) != TABLE)
		return image_refuse(err, "tables of %" PRIu64 " grains, 512 expected",
				    get_le(h + 44, 4));
	if (get_le(h + 12, 8) > READ_DISK_MAX / SECTOR)
		return image_refuse(err, "a disk of %" PRIu64 " sectors", get_le(h + 12, 8));
	return 0;
}

/* A stream ends with a marker, the header again, and a marker of the end. */
static int read_footer(const struct vmdk_image *v, uint8_t h[SECTOR], struct err *err)
{
	uint8_t end[3 * SECTOR], want[SECTOR];
	int r;

	if (v->r->view.bytes < sizeof(end) + SECTOR || v->r->view.bytes % SECTOR)
		return image_refuse(err, "the file is cut off");
	r = view_read(&v->r->view, end, sizeof(end), v->r->view.bytes - sizeof(end), err);
	if (r < 0)
		return r;
	if (get_le(end, 8) != 1 || get_le(end + 8, 4) != 0 || get_le(end + 12, 4) != 3 ||
	    !all_zero(end + 2 * SECTOR, SECTOR))
		return image_refuse(err, "no footer at its end: the file is cut off");
	memcpy(want, end + SECTOR, SECTOR);
	memcpy(want + 56, h + 56, 8);
	if (memcmp(want, h, SECTOR) != 0)
		return image_refuse(err, "header and footer differ");
	memcpy(h, end + SECTOR, SECTOR);
	return get_le(h + 56, 8) == GD_AT_END ? image_refuse(err, "no grain directory") : 0;
}

/* ---- Grains -------------------------------------------------------------------------------- */

static int take_stream_grain(struct vmdk_image *v, uint64_t disk, uint64_t at, struct err *err)
{
	struct image_piece p = {PIECE_ZLIB, disk, v->grain, at + 12, 0};
	uint8_t m[12];
	int r = view_read(&v->r->view, m, sizeof(m), at, err);

	if (r < 0)
		return r;
	p.stored = get_le(m + 8, 4);
	if (get_le(m, 8) != disk / SECTOR)
		return image_refuse(err,
				    "grain at byte %" PRIu64 " is marked as sector %" PRIu64
				    ", not %" PRIu64,
				    at, get_le(m, 8), disk / SECTOR);
	if (p.stored == 0 || p.stored > 2 * v->grain ||
	    !range_ok(p.file, p.stored, v->r->view.bytes))
		return image_refuse(err, "grain at byte %" PRIu64 " has %" PRIu64 " bytes", at,
				    p.stored);
	r = spans_add(&v->used, at / SECTOR, (12 + p.stored + SECTOR - 1) / SECTOR, err);
	return r < 0 ? r : reading_piece(v->r, &p, err);
}

static int take_grain(struct vmdk_image *v, uint64_t disk, uint64_t at, struct err *err)
{
	struct image_piece p = {PIECE_PLAIN, disk, v->grain, at, v->grain};
	int r;

	if (disk >= v->capacity * SECTOR)
		return image_refuse(err, "a grain past the disk's end");
	if (v->stream)
		return take_stream_grain(v, disk, at, err);
	if (!range_ok(at, v->grain, v->r->view.bytes))
		return image_refuse(err, "grain at byte %" PRIu64 " is not in the file", at);
	r = spans_add(&v->used, at / SECTOR, v->grain / SECTOR, err);
	return r < 0 ? r : reading_piece(v->r, &p, err);
}

static int read_tables(struct vmdk_image *v, struct err *err)
{
	uint64_t span = v->grain * TABLE, bytes = v->capacity * SECTOR;
	uint64_t tables = bytes / span + (bytes % span != 0);
	auto_free uint8_t *gd = NULL;
	uint8_t gt[TABLE * 4];
	int r = view_table(&v->r->view, v->directory, tables * 4, "grain directory", &gd, err);

	if (r == 0)
		r = spans_add(&v->used, v->directory / SECTOR, (tables * 4 + 511) / SECTOR, err);
	for (uint64_t i = 0; i < tables && r == 0; i++) {
		uint64_t at = get_le(gd + i * 4, 4) * SECTOR;

		if (at == 0)
			continue;
		r = view_read(&v->r->view, gt, sizeof(gt), at, err);
		if (r == 0)
			r = spans_add(&v->used, at / SECTOR, sizeof(gt) / SECTOR, err);
		for (uint64_t k = 0; k < TABLE && r == 0; k++) {
			uint64_t grain = get_le(gt + k * 4, 4);

			if (grain > 1) /* 0 is absent, 1 is zeros */
				r = take_grain(v, i * span + k * v->grain, grain * SECTOR, err);
		}
	}
	return r;
}

static int read_all(struct vmdk_image *v, const uint8_t *h, struct err *err)
{
	uint64_t text_at = get_le(h + 28, 8), text = get_le(h + 36, 8);
	uint64_t directory = get_le(h + 56, 8);
	int r;

	if (text == 0 || text_at == 0)
		return image_refuse(err, "no descriptor: its data is in other files");
	if (text > READ_TEXT_MAX / SECTOR || text_at > v->r->view.bytes / SECTOR)
		return image_refuse(err, "descriptor of %" PRIu64 " sectors at %" PRIu64, text,
				    text_at);
	if (directory == 0 || directory > v->r->view.bytes / SECTOR)
		return image_refuse(err, "grain directory at sector %" PRIu64, directory);
	v->directory = directory * SECTOR;
	r = spans_add(&v->used, 0, 1, err);
	if (r == 0)
		r = spans_add(&v->used, text_at, text, err);
	if (r == 0)
		r = check_descriptor(v, text_at * SECTOR, text * SECTOR, err);
	if (r == 0)
		r = read_tables(v, err);
	return r < 0 ? r : spans_check(&v->used, err);
}

int vmdk_read(const struct reading *rd, struct err *err)
{
	struct vmdk_image v = {.r = rd};
	uint8_t h[SECTOR];
	int r = view_read(&rd->view, h, sizeof(h), 0, err);

	if (r == 0 && memcmp(h, "KDMV", 4) != 0)
		r = image_refuse(err, "no VMDK (\"KDMV\") at its start");
	if (r == 0)
		r = check_header(h, err);
	if (r < 0)
		return r;
	v.stream = get_le(h + 8, 4) & COMPRESSED;
	v.grain = get_le(h + 20, 8) * SECTOR;
	v.capacity = get_le(h + 12, 8);
	rd->info->disk_bytes = v.capacity * SECTOR;
	if (get_le(h + 56, 8) == GD_AT_END)
		r = v.stream ? read_footer(&v, h, err) : image_refuse(err, "no grain directory");
	if (r == 0)
		r = read_all(&v, h, err);
	free(v.used.v);
	return r;
}

extern const struct image_reader read_vmdk;
const struct image_reader read_vmdk = {"vmdk", "a VMDK", vmdk_probe, vmdk_read, NULL};

/* SPDX-License-Identifier: Apache-2.0 */
/* Which format it is, and what readers share. */
#include "disk/formats/read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"

int image_refuse(struct err *err, const char *fmt, ...)
{
	va_list ap;
	auto_free char *text = NULL;

	va_start(ap, fmt);
	text = vstrf(fmt, ap);
	va_end(ap);
	err_set(err, -EINVAL, "%s", text ? text : "refused");
	err_arm(err, "ImageRefused");
	return -EINVAL;
}

int view_read(const struct image_view *v, void *dst, size_t n, uint64_t offset, struct err *err)
{
	if (!range_ok(offset, n, v->bytes))
		return image_refuse(err,
				    "the file is cut off: %zu bytes at %" PRIu64
				    " expected, it has %" PRIu64,
				    n, offset, v->bytes);
	return n == 0 ? 0 : v->read(v->arg, dst, n, v->base + offset, err);
}

int view_table(const struct image_view *v, uint64_t offset, uint64_t n, const char *what,
	       uint8_t **ret, struct err *err)
{
	auto_free uint8_t *p = NULL;
	int r;

	if (n > READ_TABLES_MAX)
		return image_refuse(err, "%s: %" PRIu64 " bytes, at most %u", what, n,
				    READ_TABLES_MAX);
	if (!range_ok(offset, n, v->bytes))
		return image_refuse(err,
				    "%s: %" PRIu64 " bytes at %" PRIu64
				    " are not in the file of %" PRIu64 " bytes",
				    what, n, offset, v->bytes);
	p = malloc(n ? n : 1);
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	r = view_read(v, p, n, offset, err);
	if (r == 0)
		*ret = take_ptr(p);
	return r;
}

bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

int reading_piece(const struct reading *r, const struct image_piece *p, struct err *err)
{
	struct image_piece own = *p;

	if (!r->piece || p->disk >= r->info->disk_bytes)
		return 0;
	own.file += r->view.base;
	if (own.kind == PIECE_PLAIN && own.length > r->info->disk_bytes - own.disk) {
		own.length = r->info->disk_bytes - own.disk;
		own.stored = own.length;
	}
	return r->piece(r->arg, &own, err);
}

/* ---- What is used -------------------------------------------------------------------------- */

int usage_init(struct usage *u, uint64_t file_bytes, uint64_t unit, struct err *err)
{
	*u = (struct usage){.unit = unit, .n = file_bytes / unit + 1};
	if (u->n / 4 > READ_TABLES_MAX)
		return image_refuse(
			err, "a file of %" PRIu64 " bytes in units of %" PRIu64 " is too big",
			file_bytes, unit);
	u->bits = calloc(1, (size_t) (u->n / 4 + 1));
	return u->bits ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void usage_done(struct usage *u)
{
	free(u->bits);
	u->bits = NULL;
}

static int mark(struct usage *u, uint64_t offset, uint64_t n, const char *what, unsigned as,
		struct err *err)
{
	for (uint64_t i = offset / u->unit; n > 0 && i <= (offset + n - 1) / u->unit; i++) {
		unsigned shift = (unsigned) (i % 4) * 2, was;

		if (i >= u->n)
			return image_refuse(err, "%s at byte %" PRIu64 " is not in the file", what,
					    offset);
		was = u->bits[i / 4] >> shift & 3u;
		if (was && (was != 2 || as != 2))
			return image_refuse(
				err, "%s at byte %" PRIu64 " overlaps something else in the file",
				what, offset);
		u->bits[i / 4] = (uint8_t) (u->bits[i / 4] | as << shift);
	}
	return 0;
}

int usage_take(struct usage *u, uint64_t offset, uint64_t n, const char *what, struct err *err)
{
	return mark(u, offset, n, what, 1, err);
}

int usage_share(struct usage *u, uint64_t offset, uint64_t n, const char *what, struct err *err)
{
	return mark(u, offset, n, what, 2, err);
}

int spans_add(struct spans *s, uint64_t sector, uint64_t sectors, struct err *err)
{
	if (sector > UINT32_MAX || sectors > UINT32_MAX)
		return image_refuse(err, "sector %" PRIu64 " is past 2 TiB", sector);
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 1024;
		uint64_t *v;

		if (cap * sizeof(*v) > READ_TABLES_MAX)
			return image_refuse(err, "more than %zu pieces", s->n);
		v = reallocarray(s->v, cap, sizeof(*v));
		if (!v)
			return err_set(err, -ENOMEM, "out of memory");
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = sector << 32 | sectors;
	return 0;
}

static void sift(uint64_t *v, size_t from, size_t n)
{
	for (size_t i = from, k; (k = 2 * i + 1) < n; i = k) {
		uint64_t was = v[i];

		if (k + 1 < n && v[k + 1] > v[k])
			k++;
		if (v[k] <= was)
			return;
		v[i] = v[k];
		v[k] = was;
	}
}

/* Heap sort: qsort() asks the system how much memory there is, which a confined process may not. */
static void sort(uint64_t *v, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(v, i, n);
	for (size_t i = n; i-- > 1;) {
		uint64_t top = v[0];

		v[0] = v[i];
		v[i] = top;
		sift(v, 0, i);
	}
}

int spans_check(struct spans *s, struct err *err)
{
	sort(s->v, s->n);
	for (size_t i = 1; i < s->n; i++)
		if ((s->v[i - 1] >> 32) + (uint32_t) s->v[i - 1] > s->v[i] >> 32)
			return image_refuse(err,
					    "what is at sector %" PRIu64
					    " overlaps something else in the file",
					    s->v[i] >> 32);
	return 0;
}

/* ---- Formats ------------------------------------------------------------------------------- */

#define MAGIC(name, at, bytes)                                                                     \
	static bool is_##name(const uint8_t *head, const uint8_t *tail, uint64_t file_bytes)       \
	{                                                                                          \
		return memcmp(head + (at), bytes, sizeof(bytes) - 1) == 0;                         \
	}

MAGIC(gzip, 0, "\x1f\x8b")
MAGIC(xz, 0,
      "\xfd"
      "7zXZ\0")
MAGIC(zstd, 0, "\x28\xb5\x2f\xfd")
MAGIC(bzip2, 0, "BZh")
MAGIC(zip, 0, "PK\x03\x04")
MAGIC(seven, 0, "7z\xbc\xaf\x27\x1c")
MAGIC(vdi, 64, "\x7f\x10\xda\xbe")
MAGIC(qed, 0, "QED\0")
MAGIC(cowd, 0, "COWD")
MAGIC(vmdk_text, 0, "# Disk DescriptorFile")
MAGIC(luks, 0, "LUKS\xba\xbe")
MAGIC(parallels, 0, "WithoutFreeSpace")
MAGIC(cloop, 0, "#!/bin/sh\n#V2.0 Format\n")
MAGIC(asif, 0, "shdw")
MAGIC(dmg, 0, "koly")

static bool is_dmg_tail(const uint8_t *head, const uint8_t *tail, uint64_t file_bytes)
{
	return is_dmg(tail, tail, file_bytes);
}

static const struct image_reader read_gzip = {"gzip", "gzip data", is_gzip, NULL, "gzip"},
				 read_xz = {"xz", "xz data", is_xz, NULL, "xz"},
				 read_zstd = {"zstd", "zstd data", is_zstd, NULL, "zstd"},
				 read_bzip2 = {"bzip2", "bzip2 data", is_bzip2, NULL, NULL},
				 read_zip = {"zip", "a ZIP archive", is_zip, NULL, NULL},
				 read_seven = {"7z", "a 7-Zip archive", is_seven, NULL, NULL},
				 read_vdi = {"vdi", "a VDI of VirtualBox", is_vdi, NULL, NULL},
				 read_qed = {"qed", "a QED image", is_qed, NULL, NULL},
				 read_cowd = {"cowd", "a VMDK of an ESX server (COWD)", is_cowd,
					      NULL, NULL},
				 read_text = {"vmdk-text", "a VMDK whose data is in other files",
					      is_vmdk_text, NULL, NULL},
				 read_luks = {"luks", "an encrypted disk (LUKS)", is_luks, NULL,
					      NULL},
				 read_parallels = {"parallels", "a Parallels image", is_parallels,
						   NULL, NULL},
				 read_cloop = {"cloop", "a cloop image", is_cloop, NULL, NULL},
				 read_asif = {"asif", "an ASIF image", is_asif, NULL, NULL},
				 read_dmg = {"dmg", "a DMG image", is_dmg_tail, NULL, NULL};
extern const struct image_reader read_qcow2, read_vhd, read_vhdx, read_vmdk, read_ova;

/* clang-format off: one a line, so that additions merge */
const struct image_reader *const image_readers[] = {
	&read_qcow2, &read_vhd,   &read_vhdx,      &read_vmdk,  &read_ova,  &read_gzip, &read_xz,
	&read_zstd,  &read_bzip2, &read_zip,       &read_seven, &read_vdi,  &read_qed,  &read_cowd,
	&read_text,  &read_luks,  &read_parallels, &read_cloop, &read_asif, &read_dmg,  NULL,
};
/* clang-format on */

/* The front and the end, zeros past them. */
static int marks(const struct image_view *v, uint8_t head[READ_HEAD], uint8_t tail[READ_TAIL],
		 struct err *err)
{
	size_t n = v->bytes < READ_HEAD ? (size_t) v->bytes : READ_HEAD;
	int r;

	memset(head, 0, READ_HEAD);
	memset(tail, 0, READ_TAIL);
	r = view_read(v, head, n, 0, err);
	if (r == 0 && v->bytes >= READ_TAIL)
		r = view_read(v, tail, READ_TAIL, v->bytes - READ_TAIL, err);
	return r;
}

static int read_raw(const struct reading *r, struct err *err)
{
	struct image_piece p = {.length = r->view.bytes, .stored = r->view.bytes};

	if (r->view.bytes % 512 != 0)
		return image_refuse(err,
				    "%" PRIu64 " bytes of no known format: a raw disk has whole "
				    "sectors of 512 bytes",
				    r->view.bytes);
	r->info->format = "raw";
	r->info->disk_bytes = r->view.bytes;
	return reading_piece(r, &p, err);
}

int image_read(const struct image_view *v, struct image_info *ret, image_piece_fn *piece, void *arg,
	       struct err *err)
{
	struct reading r = {.view = *v, .info = ret, .piece = piece, .arg = arg};
	const struct image_reader *is = NULL;
	uint8_t head[READ_HEAD], tail[READ_TAIL];
	int e;

	*ret = (struct image_info){.format = "raw"};
	if (v->bytes == 0)
		return image_refuse(err, "the file is empty");
	e = marks(v, head, tail, err);
	for (size_t i = 0; e == 0 && image_readers[i]; i++) {
		if (!image_readers[i]->probe(head, tail, v->bytes))
			continue;
		if (is)
			return image_refuse(err, "the file has the marks of %s and of %s",
					    is->about, image_readers[i]->about);
		is = image_readers[i];
	}
	if (e < 0)
		return e;
	if (!is)
		return read_raw(&r, err);
	ret->format = is->name;
	ret->packed = is->packed;
	if (is->packed)
		return 0;
	if (!is->read)
		return image_refuse(err,
				    "this is %s, which is not taken: convert it to qcow2, VHD, "
				    "VHDX, VMDK or raw first",
				    is->about);
	e = is->read(&r, err);
	return e < 0 ? err_ctx(err, e, "%s", is->name) : 0;
}

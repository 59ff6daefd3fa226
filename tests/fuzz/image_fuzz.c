/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign images. The input is pages of a file: byte 0 is the file's size in 64 KiB (plus one),
 * byte 1 says whether checksums are made right; then page after page: le16 number of 512 bytes,
 * le16 length, the bytes. So a small input reaches the tables that lie megabytes apart in a VHDX.
 * Whatever is accepted lies inside the file and the disk.
 */
#include <stdlib.h>
#include <string.h>

#include "disk/formats/read.h"
#include "disk/formats/vhdx.h"
#include "disk/vhd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct file {
	uint8_t *p;
	size_t n;
};

static int file_read(void *arg, void *dst, size_t n, uint64_t offset, struct err *err)
{
	const struct file *f = arg;

	if (offset > f->n || n > f->n - offset)
		abort();
	memcpy(dst, f->p + offset, n);
	return 0;
}

static int on_piece(void *arg, const struct image_piece *p, struct err *err)
{
	const struct file *f = arg;

	if (p->file > f->n || p->stored > f->n - p->file)
		abort();
	if (p->kind == PIECE_PLAIN && p->length != p->stored)
		abort();
	if (p->kind != PIECE_PLAIN && p->length > READ_UNIT_MAX)
		abort();
	return 0;
}

static void put_be(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t) (v >> (24 - 8 * i));
}

static void seal(struct file *f, size_t at, size_t n)
{
	uint32_t sum;

	if (at + n > f->n)
		return;
	memset(f->p + at + 4, 0, 4);
	sum = vhdx_crc(f->p + at, n);
	for (unsigned i = 0; i < 4; i++)
		f->p[at + 4 + i] = (uint8_t) (sum >> (8 * i));
}

/* What a mutation breaks at once and no fuzzer finds again: sums, and copies of the footer. */
static void repair(struct file *f)
{
	uint8_t *end = f->p + f->n - VHD_FOOTER;

	if (memcmp(f->p, "vhdxfile", 8) == 0) {
		for (unsigned i = 1; i <= 2; i++)
			seal(f, (size_t) i * VHDX_HEADER_AT, VHDX_HEADER);
		for (unsigned i = 0; i < 2; i++)
			seal(f, VHDX_REGIONS_AT + (size_t) i * VHDX_REGIONS, VHDX_REGIONS);
	} else if (memcmp(f->p, "conectix", 8) == 0) {
		put_be(f->p + 64, vhd_checksum(f->p, VHD_FOOTER, 64));
		memcpy(end, f->p, VHD_FOOTER);
		put_be(f->p + 512 + 36, vhd_checksum(f->p + 512, 1024, 36));
	} else if (memcmp(end, "conectix", 8) == 0) {
		put_be(end + 64, vhd_checksum(end, VHD_FOOTER, 64));
	} else if (memcmp(f->p + 257, "ustar", 5) == 0) {
		unsigned sum = 0;

		memset(f->p + 148, ' ', 8);
		for (unsigned i = 0; i < 512; i++)
			sum += f->p[i];
		for (unsigned i = 0; i < 6; i++)
			f->p[148 + i] = (uint8_t) ('0' + (sum >> (15 - 3 * i) & 7));
		f->p[154] = 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct file f = {.n = 0};
	struct image_info info;
	struct image_view v;

	if (n < 2)
		return 0;
	f.n = ((size_t) data[0] + 1) << 16;
	f.p = calloc(1, f.n);
	if (!f.p)
		return 0;
	for (size_t at = 2; at + 4 <= n;) {
		size_t to = (size_t) (data[at] | data[at + 1] << 8) * 512;
		size_t len = (size_t) (data[at + 2] | data[at + 3] << 8);

		at += 4;
		if (len > n - at)
			len = n - at;
		if (to < f.n)
			memcpy(f.p + to, data + at, len < f.n - to ? len : f.n - to);
		at += len;
	}
	if (data[1] & 1)
		repair(&f);
	v = (struct image_view){.bytes = f.n, .read = file_read, .arg = &f};
	if (image_read(&v, &info, on_piece, &f, NULL) == 0 && !info.packed &&
	    (info.disk_bytes % 512 != 0 || info.disk_bytes > READ_DISK_MAX))
		abort();
	free(f.p);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/vhd.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

enum {
	AT_FEATURES = 8,
	AT_VERSION = 12,
	AT_DATA_OFFSET = 16,
	AT_CREATOR = 28,
	AT_CREATOR_VERSION = 32,
	AT_CREATOR_OS = 36,
	AT_ORIGINAL_SIZE = 40,
	AT_CURRENT_SIZE = 48,
	AT_GEOMETRY = 56,
	AT_TYPE = 60,
	AT_CHECKSUM = 64,
	AT_ID = 68,
};
#define COOKIE       "conectix"
#define VERSION      0x00010000u
#define TYPE_FIXED   2u
#define TYPE_DYNAMIC 3u

static uint64_t be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static void put_be(uint8_t *p, unsigned n, uint64_t v)
{
	for (unsigned i = n; i-- > 0; v >>= 8)
		p[i] = (uint8_t) v;
}

uint32_t vhd_checksum(const uint8_t *p, size_t n, size_t at)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		if (i < at || i >= at + 4)
			sum += p[i];
	return ~sum;
}

static uint32_t checksum(const uint8_t f[VHD_FOOTER])
{
	return vhd_checksum(f, VHD_FOOTER, AT_CHECKSUM);
}

/* Formats that people take for a fixed VHD. */
static const char *other_format(const uint8_t *head, size_t n)
{
	static const struct {
		const char *magic;
		size_t n;
		const char *name;
	} known[] = {
		{"vhdxfile", 8, "a VHDX"},
		{"QFI\xfb", 4, "a qcow2 image"},
		{"KDMV", 4, "a VMDK"},
		{"COWD", 4, "a VMDK"},
		{"\x1f\x8b", 2, "gzip data"},
		{"\xfd"
		 "7zXZ",
		 5, "xz data"},
		{"\x28\xb5\x2f\xfd", 4, "zstd data"},
		{"PK\x03\x04", 4, "a ZIP archive"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (n >= known[i].n && memcmp(head, known[i].magic, known[i].n) == 0)
			return known[i].name;
	return NULL;
}

static int no_footer(const uint8_t *head, size_t n_head, uint64_t file_bytes, struct err *err)
{
	const char *other = other_format(head, n_head);

	return err_set(err, -EINVAL,
		       "this is %s, not a fixed VHD: no footer (\"" COOKIE "\") at byte %" PRIu64
		       " of %" PRIu64 ". Convert it with: qemu-img convert -O vpc -o "
		       "subformat=fixed,force_size",
		       other ? other : "something else", file_bytes - VHD_FOOTER, file_bytes);
}

static int wrong_type(uint64_t type, struct err *err)
{
	const char *what = type == 3   ? "a dynamic VHD"
			   : type == 4 ? "a differencing VHD"
				       : "a VHD of unknown type";

	return err_set(err, -EINVAL,
		       "this is %s (type %" PRIu64 " in its footer): only fixed VHDs (type 2) can "
		       "be read. Convert it with: qemu-img convert -O vpc -o "
		       "subformat=fixed,force_size",
		       what, type);
}

int vhd_check(const uint8_t *head, size_t n_head, const uint8_t footer[VHD_FOOTER],
	      uint64_t file_bytes, uint64_t *ret_disk_bytes, struct err *err)
{
	uint64_t size = be(footer + AT_CURRENT_SIZE, 8);
	uint32_t sum = (uint32_t) be(footer + AT_CHECKSUM, 4);

	if (file_bytes < 2 * VHD_FOOTER || file_bytes % 512 != 0)
		return err_set(err, -EINVAL,
			       "%" PRIu64 " bytes cannot be a fixed VHD: a disk of whole sectors "
			       "and a footer of 512 bytes expected",
			       file_bytes);
	if (memcmp(footer, COOKIE, 8) != 0)
		return no_footer(head, n_head, file_bytes, err);
	if (sum != checksum(footer))
		return err_set(err, -EINVAL,
			       "VHD footer: checksum 0x%08x does not match its bytes (0x%08x)", sum,
			       checksum(footer));
	if (be(footer + AT_VERSION, 4) != VERSION)
		return err_set(err, -EINVAL, "VHD footer: version 0x%08x, 0x%08x expected",
			       (unsigned) be(footer + AT_VERSION, 4), VERSION);
	if (be(footer + AT_TYPE, 4) != TYPE_FIXED)
		return wrong_type(be(footer + AT_TYPE, 4), err);
	if (size != file_bytes - VHD_FOOTER)
		return err_set(err, -EINVAL,
			       "VHD footer: the disk has %" PRIu64 " bytes, but %" PRIu64
			       " are before the footer",
			       size, file_bytes - VHD_FOOTER);
	*ret_disk_bytes = size;
	return 0;
}

/* The specification's appendix "CHS Calculation". */
static void geometry(uint64_t disk_bytes, uint8_t ret[4])
{
	uint64_t sectors = disk_bytes / 512, by_heads;
	unsigned heads, per_track;

	if (sectors > 65535ull * 16 * 255)
		sectors = 65535ull * 16 * 255;
	if (sectors >= 65535ull * 16 * 63) {
		per_track = 255;
		heads = 16;
		by_heads = sectors / per_track;
	} else {
		per_track = 17;
		by_heads = sectors / per_track;
		heads = (unsigned) ((by_heads + 1023) / 1024);
		if (heads < 4)
			heads = 4;
		if (by_heads >= heads * 1024ull || heads > 16) {
			per_track = 31;
			heads = 16;
			by_heads = sectors / per_track;
		}
		if (by_heads >= heads * 1024ull) {
			per_track = 63;
			heads = 16;
			by_heads = sectors / per_track;
		}
	}
	put_be(ret, 2, by_heads / heads);
	ret[2] = (uint8_t) heads;
	ret[3] = (uint8_t) per_track;
}

void vhd_footer(uint64_t disk_bytes, const uint8_t id[16], uint8_t ret[VHD_FOOTER])
{
	memset(ret, 0, VHD_FOOTER);
	memcpy(ret, COOKIE, 8);
	put_be(ret + AT_FEATURES, 4, 2); /* "reserved", always set */
	put_be(ret + AT_VERSION, 4, VERSION);
	put_be(ret + AT_DATA_OFFSET, 8, UINT64_MAX);
	/* Readers such as QEMU's take the size from the geometry, which is smaller, unless they
	 * know the creator as one that means the size field. */
	memcpy(ret + AT_CREATOR, "win ", 4);
	put_be(ret + AT_CREATOR_VERSION, 4, 0x000a0000);
	memcpy(ret + AT_CREATOR_OS, "Wi2k", 4);
	put_be(ret + AT_ORIGINAL_SIZE, 8, disk_bytes);
	put_be(ret + AT_CURRENT_SIZE, 8, disk_bytes);
	geometry(disk_bytes, ret + AT_GEOMETRY);
	put_be(ret + AT_TYPE, 4, TYPE_FIXED);
	memcpy(ret + AT_ID, id, 16);
	put_be(ret + AT_CHECKSUM, 4, checksum(ret));
}

void vhd_footer_dynamic(uint64_t disk_bytes, const uint8_t id[16], uint8_t ret[VHD_FOOTER])
{
	vhd_footer(disk_bytes, id, ret);
	put_be(ret + AT_DATA_OFFSET, 8, VHD_FOOTER);
	put_be(ret + AT_TYPE, 4, TYPE_DYNAMIC);
	put_be(ret + AT_CHECKSUM, 4, checksum(ret));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* GUID partition tables: pure parser and builder (UEFI specification 2.10, chapter 5). No I/O. */
#ifndef KILN_DISK_GPT_H
#define KILN_DISK_GPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define GPT_MAX_ENTRIES 128

struct gpt_part {
	uint8_t type[16], uuid[16]; /* as on disk (mixed-endian) */
	uint64_t first_lba, last_lba, attrs;
	char name[109]; /* UTF-8 of 36 UTF-16 units */
};
struct gpt {
	uint8_t disk_uuid[16];
	uint64_t disk_bytes;
	unsigned n;
	struct gpt_part part[GPT_MAX_ENTRIES];
};
extern const uint8_t gpt_type_esp[16], gpt_type_bios_boot[16], gpt_type_linux[16],
	gpt_type_root_x64[16];

/** gpt_uuid_parse() - "8-4-4-4-12" to on-disk order. 0 or -EINVAL. */
int gpt_uuid_parse(const char *s, uint8_t ret[16]);

/** gpt_parse() - @head: the disk's first 34 sectors (17408 bytes) at least. Verifies both CRCs,
 *  bounds, overlaps. 0, -EBADMSG, -EINVAL. 512-byte sectors. */
int gpt_parse(const uint8_t *head, size_t n, uint64_t disk_bytes, struct gpt *ret, struct err *err);

/** gpt_build() - protective MBR + primary header and entries into @head (17408 bytes, boot code of
 *  its first 440 bytes kept), backup into @tail (the disk's last 33 sectors, 16896 bytes). */
int gpt_build(const struct gpt *g, uint8_t *head, uint8_t *tail, struct err *err);

#endif

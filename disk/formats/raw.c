/* SPDX-License-Identifier: Apache-2.0 */
/* The disk's bytes and nothing else. */
#include "disk/formats/internal.h"

static int raw_layout(const struct disk_source *disk, const struct format_facts *facts,
		      uint64_t padded_bytes, struct layout *l, struct err *err)
{
	uint64_t at = 0, off, len;
	int r;

	do {
		r = source_next(disk, &at, BLOCK_BYTES, UINT64_MAX - BLOCK_BYTES, &off, &len, err);
		if (r > 0 && layout_add_disk(l, off, off, len, err) < 0)
			return -ENOMEM;
	} while (r > 0);
	layout_end(l, padded_bytes);
	return r;
}

const struct format format_raw = {
	.name = "raw",
	.extension = "raw",
	.about = "the disk's bytes, sparse in a file",
	.max_bytes = INT64_MAX - 4096, /* of a file */
	.unit_bytes = 512,
	.layout = raw_layout,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed VHD as Azure and Azure Stack Hub demand it: whole MiB, then the footer (disk/vhd.h). */
#include "disk/formats/internal.h"
#include "disk/vhd.h"

static int vhd_layout(const struct disk_source *disk, const struct format_facts *facts,
		      uint64_t padded_bytes, struct layout *l, struct err *err)
{
	uint8_t footer[VHD_FOOTER];
	int r = format_raw.layout(disk, facts, padded_bytes, l, err);

	vhd_footer(padded_bytes, facts->id, footer);
	if (r == 0)
		r = layout_add_bytes(l, padded_bytes, footer, sizeof(footer), err);
	layout_end(l, padded_bytes + sizeof(footer));
	return r;
}

const struct format format_vhd = {
	.name = "vhd",
	.extension = "vhd",
	.about = "fixed VHD of whole MiB, as Azure takes it",
	.max_bytes = 8 * TIB, /* of a page blob */
	.unit_bytes = 1 << 20,
	.layout = vhd_layout,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The front and the footer of a file that is said to be a VHD. The first byte chooses whether the
 * checksum is made right and the size is the file's; what is accepted has a footer of its own that
 * says the same. */
#include <stdlib.h>
#include <string.h>

#include "disk/vhd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void repair(uint8_t f[VHD_FOOTER], uint64_t disk_bytes)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 8; i++)
		f[48 + i] = (uint8_t) (disk_bytes >> (56 - 8 * i));
	for (unsigned i = 0; i < VHD_FOOTER; i++)
		sum += i < 64 || i >= 68 ? f[i] : 0;
	for (unsigned i = 0; i < 4; i++)
		f[64 + i] = (uint8_t) (~sum >> (24 - 8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t id[16];
	uint8_t footer[VHD_FOOTER] = {0}, own[VHD_FOOTER];
	uint64_t file, disk = 0, again = 0;

	if (n < 3)
		return 0;
	file = (uint64_t) (data[1] | data[2] << 8) * 512 + (data[0] >> 1);
	memcpy(footer, data + 3, n - 3 < VHD_FOOTER ? n - 3 : VHD_FOOTER);
	if (data[0] & 1)
		repair(footer, file - VHD_FOOTER);
	if (vhd_check(data, n < VHD_HEAD ? n : VHD_HEAD, footer, file, &disk, NULL) < 0)
		return 0;
	vhd_footer(disk, id, own);
	if (disk % 512 != 0 || disk + VHD_FOOTER != file ||
	    vhd_check(data, 0, own, file, &again, NULL) < 0 || again != disk)
		abort();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Boot programs that an image's EFI system partition has copies of. */
#ifndef KILN_BAKE_PLATFORM_BOOT_H
#define KILN_BAKE_PLATFORM_BOOT_H

struct platform_boot_file {
	const char *from, *to; /* in the root and on the partition, without a leading slash */
};
#define PLATFORM_BOOT_FILES 6
extern const struct platform_boot_file platform_boot_files[]; /* ends with from NULL */

#endif

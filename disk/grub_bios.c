/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets: grub/include/grub/i386/pc/boot.h and the comments in boot.S and diskboot.S. */
#include "disk/grub_bios.h"

#include "base/buf.h"
#include "base/mem.h"

#define SECTOR        512u
#define BOOT_CODE     440u
#define KERNEL_SECTOR 0x5cu /* boot.img: sector of the core's first sector, 8 bytes */
#define BOOT_DRIVE    0x64u /* boot.img: 0xff = the drive that the BIOS booted */
#define DRIVE_CHECK                                                                                \
	0x66u               /* boot.img: a jump over the work-around for BIOSes that give no drive \
			     */
#define LIST         0x1f4u /* diskboot: last of the block lists that grow downwards */
#define LIST_SEGMENT 0x820u /* where the second sector is loaded: 0x8200 */

/* A jump in the given slot tells GRUB's images from others. */
static bool looks_like_boot(const uint8_t *b, size_t n)
{
	return n == SECTOR && b[0] == 0xeb && b[510] == 0x55 && b[511] == 0xaa &&
	       b[BOOT_DRIVE] == 0xff && b[DRIVE_CHECK] == 0xeb;
}

static bool looks_like_core(const uint8_t *c, size_t n)
{
	struct cursor at;
	uint64_t start;
	uint16_t length, segment;

	if (n <= SECTOR)
		return false;
	at = (struct cursor){c + LIST, 12};
	return cursor_le64(&at, &start) && cursor_le16(&at, &length) &&
	       cursor_le16(&at, &segment) && segment == LIST_SEGMENT && length > 0;
}

int grub_bios_embed(const uint8_t *boot, size_t boot_n, uint8_t *core, size_t core_n,
		    uint64_t core_lba, uint64_t space, uint8_t mbr[512], struct err *err)
{
	uint64_t sectors = (core_n + SECTOR - 1) / SECTOR;

	if (!looks_like_boot(boot, boot_n))
		return err_set(err, -EINVAL, "boot.img: %zu bytes that are not GRUB's first stage",
			       boot_n);
	if (!looks_like_core(core, core_n))
		return err_set(err, -EINVAL,
			       "core.img: %zu bytes that are not GRUB's core for i386-pc", core_n);
	if (core_n > space || sectors - 1 > UINT16_MAX)
		return err_set(err, -ENOSPC, "core.img: %zu bytes, but the partition has %llu",
			       core_n, (unsigned long long) space);
	memcpy(mbr, boot, BOOT_CODE);
	put_le64(mbr + KERNEL_SECTOR, core_lba);
	/* As for every disk: two NOPs let the check for a drive number run. */
	mbr[DRIVE_CHECK] = mbr[DRIVE_CHECK + 1] = 0x90;

	put_le64(core + LIST, core_lba + 1);
	put_le16(core + LIST + 8, (uint16_t) (sectors - 1));
	put_le16(core + LIST + 10, LIST_SEGMENT);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB's boot code for BIOS machines, put into a GPT disk: boot.img into the first sector's boot
 * code area, core.img into the BIOS boot partition, each patched with where the next part lies
 * (what grub-install does on a mounted disk). Pure: bytes in, bytes out.
 */
#ifndef KILN_DISK_GRUB_BIOS_H
#define KILN_DISK_GRUB_BIOS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/**
 * grub_bios_embed() - patch both images for a core at sector @core_lba
 * @boot:  boot.img, exactly 512 bytes; its first 440 bytes are copied to @mbr
 * @core:  core.img of grub-mkimage -O i386-pc; patched in place
 * @space: bytes of the BIOS boot partition
 *
 * The rest of @mbr (disk signature, partition entries) is left as it is. Return: 0, -EINVAL
 * (not GRUB's images, as far as their fixed parts tell), -ENOSPC.
 */
int grub_bios_embed(const uint8_t *boot, size_t boot_n, uint8_t *core, size_t core_n,
		    uint64_t core_lba, uint64_t space, uint8_t mbr[512], struct err *err);

#endif

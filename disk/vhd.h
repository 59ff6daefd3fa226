/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed VHD: the disk's bytes, then one footer of 512 bytes ("Virtual Hard Disk Image Format
 * Specification", version 1.0, October 2006, chapter "Hard Disk Footer Format"; all numbers are
 * big-endian). Pure; no I/O. Dynamic and differencing VHDs and other formats are told apart, so
 * that the message can say what the file is.
 */
#ifndef KILN_DISK_VHD_H
#define KILN_DISK_VHD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define VHD_FOOTER 512
#define VHD_HEAD   512 /* bytes at the front that tell other formats apart */

/**
 * vhd_check() - is this a fixed VHD?
 * @head: the file's first @n_head bytes (VHD_HEAD when it has so many), for the message
 * @footer: the file's last 512 bytes
 * @file_bytes: size of the file
 * @ret_disk_bytes: size of the disk: a multiple of 512, @file_bytes - 512
 *
 * Checks cookie, version, type, checksum and that the footer's size is the file's.
 * Return: 0, or -EINVAL (the message names byte and field, or the format found instead).
 */
int vhd_check(const uint8_t *head, size_t n_head, const uint8_t footer[VHD_FOOTER],
	      uint64_t file_bytes, uint64_t *ret_disk_bytes, struct err *err);

/** vhd_footer() - the footer of a fixed VHD of @disk_bytes (a multiple of 512) with unique id @id;
 *  the same input gives the same bytes: its time stamp is zero. */
void vhd_footer(uint64_t disk_bytes, const uint8_t id[16], uint8_t ret[VHD_FOOTER]);

/** vhd_footer_dynamic() - the same of a dynamic VHD whose header follows the copy of the footer. */
void vhd_footer_dynamic(uint64_t disk_bytes, const uint8_t id[16], uint8_t ret[VHD_FOOTER]);

/** vhd_checksum() - one's complement of the sum of @n bytes but the four at @at. */
uint32_t vhd_checksum(const uint8_t *p, size_t n, size_t at);

#endif

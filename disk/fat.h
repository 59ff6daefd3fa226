/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FAT32 written by kiln itself: equal arguments give equal bits. Made for EFI system partitions:
 * names are 8.3, all of one case per half (kept by the case bits that Linux, Windows and firmware
 * honour), which is all that boot files need.
 */
#ifndef KILN_DISK_FAT_H
#define KILN_DISK_FAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define FAT32_MIN_BYTES (64ull << 20)
#define FAT32_MAX_BYTES (32ull << 30)
#define FAT_MAX_FILES   4096u

struct fat_file {
	const char *path; /* "EFI/BOOT/BOOTX64.EFI"; directories on the way are made */
	const void *data;
	size_t n;
};
struct fat_spec {
	uint64_t size_bytes; /* multiple of 1 MiB in FAT32_MIN_BYTES..FAT32_MAX_BYTES */
	uint32_t volume_id;
	const char *label;       /* at most 11 bytes of A-Z 0-9 _ - and space; NULL = none */
	int64_t time_s;          /* of everything; before 1980 becomes 1980 */
	uint32_t hidden_sectors; /* 512-byte sectors before the partition */
};

/**
 * fat32_write() - make a file system in [offset, offset+size) of @fd, which reads as zeros there
 * @files: in any order
 *
 * Return: 0, -EINVAL (name, size, a path twice), -ENOSPC, or -errno of a write.
 */
int fat32_write(int fd, uint64_t offset, const struct fat_spec *spec, const struct fat_file *files,
		size_t n, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes of an ext4 file system hold nothing: free blocks, and the blocks of a flushed
 * journal. A commit zeroes them in the overlay, because discarding frees whole clusters only and
 * would leave deleted data in the rest of a cluster that is still in use.
 */
#ifndef KILN_BAKE_FSMAP_H
#define KILN_BAKE_FSMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

struct fsmap {
	uint64_t offset;     /* of the file system in the disk, bytes */
	uint64_t unit_bytes; /* one bit stands for this much */
	uint64_t units;
	uint8_t *empty; /* bit set = holds nothing; owned */
};

/**
 * fsmap_read() - read the block bitmaps of a frozen or unmounted ext4
 * @fd: the disk (not only the partition), readable at any offset
 * @offset: where the file system begins, bytes
 * @size_bytes: of the partition
 *
 * Groups that were never written (BLOCK_UNINIT) count as holding something: there is nothing to
 * clean in them. Return: 0, -EINVAL (not ext4), -EOPNOTSUPP (a layout not known here), -ENOMEM,
 * or a read error.
 */
int fsmap_read(int fd, uint64_t offset, uint64_t size_bytes, struct fsmap *ret, struct err *err);
void fsmap_done(struct fsmap *m); /* safe twice */

/** fsmap_empty() - is the unit that holds disk byte @pos empty? False outside. */
bool fsmap_empty(const struct fsmap *m, uint64_t pos);

/** fsmap_copy() - Return: 0 or -ENOMEM. */
int fsmap_copy(const struct fsmap *m, struct fsmap *ret);

/**
 * fsmap_zero_freed() - write zeros where something lay @before and nothing lies @now
 * @fd: the disk itself, writable; its file system is frozen
 *
 * A file that came with the base and was deleted since leaves its bytes in clusters that other
 * files still use: a discard does not reach them, and the overlay does not hold them. Costs what
 * was freed. Return: 0, -EINVAL (maps of different file systems), or an I/O error.
 */
int fsmap_zero_freed(const struct fsmap *before, const struct fsmap *now, int fd, struct err *err);

/**
 * fsmap_scrub() - zero in a sealed overlay what holds nothing
 * @fd: the overlay file, writable; @extents: its allocation map (store_overlay_extents)
 * @ret_bytes: bytes zeroed; may be NULL
 */
int fsmap_scrub(const struct fsmap *m, int fd, const struct store_extent *extents, size_t n,
		uint64_t *ret_bytes, struct err *err);

#endif

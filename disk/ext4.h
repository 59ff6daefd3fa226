/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4 written and read by kiln itself through libext2fs, so that equal inputs give equal bits:
 * every time, UUID and hash seed is set from the arguments, never from the clock or the host.
 */
#ifndef KILN_DISK_EXT4_H
#define KILN_DISK_EXT4_H

#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/event.h"
#include "disk/fstree.h"

#define EXT4_MIN_BYTES (16u << 20)
#define EXT4_MAX_TIME  (1ll << 34) /* seconds; what an inode's 34 bits hold */

struct ext4_spec {
	uint64_t size_bytes; /* multiple of 4096 */
	uint8_t uuid[16], hash_seed[16];
	const char *label;
	int64_t time_s; /* over 0; used for the superblock, and clamps every file time above it */
};

/**
 * ext4_write_tar() - make a file system in [offset, offset+size) of @fd from an uncompressed tar
 *
 * That range must read as zeros (a new file), which saves writing empty inode tables.
 * Keeps type, mode, owner, links (hard too), devices, xattrs (file capabilities); times are the
 * tar's, clamped. Entries are sorted by path first, so a tar in another order gives the same
 * bits. Free space stays unwritten (zero). lost+found is made.
 */
int ext4_write_tar(int fd, uint64_t offset, const struct ext4_spec *spec, const char *tar_path,
		   struct cancel *cancel, const struct progress *p, struct err *err);

/** ext4_write_tree() - the same from a tree, which may be used again afterwards; a time of 0
 *  becomes @spec->time_s. -EINVAL (bad spec), -ENOSPC or another -errno when it does not fit. */
int ext4_write_tree(int fd, uint64_t offset, const struct ext4_spec *spec, struct fstree *tree,
		    struct cancel *cancel, const struct progress *p, struct err *err);

/* Random bytes of a disk, for reading a file system that is not a plain file. */
struct ext4_io {
	int (*read)(void *arg, void *dst, size_t n, uint64_t offset, struct err *err);
	void *arg;
	uint64_t offset, size_bytes; /* the partition */
};
struct ext4_fs;
int ext4_open(const struct ext4_io *io, struct ext4_fs **ret, struct err *err);
void ext4_close(struct ext4_fs *fs);

struct ext4_stat {
	uint32_t ino, mode, uid, gid, nlink;
	uint64_t size;
	int64_t mtime, ctime;
};
/** ext4_lookup() - absolute path, links in the middle followed inside the image (at most 40), the
 *  last one not. 0, -ENOENT. */
int ext4_lookup(struct ext4_fs *fs, const char *path, struct ext4_stat *ret, struct err *err);
/** ext4_read_file() - whole content, at most @max. Caller frees. */
int ext4_read_file(struct ext4_fs *fs, const char *path, uint64_t max, char **ret, size_t *ret_n,
		   struct err *err);
/** ext4_list() - calls @fn for each entry of a directory ("." and ".." left out). */
typedef int ext4_list_fn(void *arg, const char *name, const struct ext4_stat *st);
int ext4_list(struct ext4_fs *fs, const char *path, ext4_list_fn *fn, void *arg, struct err *err);

#endif

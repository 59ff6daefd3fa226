/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file tree in memory: what a file system shall hold, from tar files and single entries. File
 * contents stay in the mapped tar files and are not copied. Nothing is ever made on the host.
 *
 *	fstree_new -> fstree_add_tar / fstree_add_file / fstree_remove ... -> ext4_write_tree ->
 *fstree_free
 *
 * Paths are relative to the tree's root ("etc/fstab"; a leading "/" or "./" is allowed); ".."
 * is refused, links are never followed. Missing parents are made, mode 0755, owner 0:0. One
 * thread at a time.
 */
#ifndef KILN_DISK_FSTREE_H
#define KILN_DISK_FSTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"

#define FSTREE_MAX_ENTRIES 1000000u
#define FSTREE_MAX_PATH    4096u /* bytes with the NUL */
#define FSTREE_MAX_NAME    255u
#define FSTREE_MAX_DEPTH   128u
#define FSTREE_MAX_XATTRS  64u

/* A run of a file's content; the bytes between runs are zero. */
struct fstree_run {
	uint64_t offset, length;
	const uint8_t *data; /* in a mapped tar or owned by the inode */
};
struct fstree_xattr {
	char *name; /* with its namespace, e.g. "security.capability" */
	uint8_t *value;
	size_t n;
};
/* What hard links share. */
struct fstree_inode {
	uint32_t mode, uid, gid, rdev_major, rdev_minor;
	int64_t mtime;
	uint32_t nlink; /* names that refer to it */
	uint64_t size;  /* regular files */
	struct fstree_run *runs;
	size_t n_runs;
	uint8_t *own; /* content given by fstree_add_file() */
	char *target; /* symbolic links */
	struct fstree_xattr *xattrs;
	size_t n_xattrs;
	uint32_t ino; /* free for the writer of a file system */
};
struct fstree_node {
	char *name;
	struct fstree_inode *inode;
	struct fstree_node **child; /* sorted by name, bytewise */
	size_t n, cap;
};
struct fstree;

/** fstree_new() - a root directory, mode 0755. 0 or -ENOMEM. */
int fstree_new(struct fstree **ret);
void fstree_free(struct fstree *t); /* NULL is fine */
/** fstree_root() - borrowed. */
struct fstree_node *fstree_root(struct fstree *t);

/**
 * fstree_add_tar() - add every entry of an uncompressed tar (ustar, pax, GNU)
 *
 * A later entry of a path replaces an earlier one; a directory keeps its children. The file must
 * not change until fstree_free(). Return: 0, -EINVAL (bad entry), -EBADMSG (damaged tar), -EFBIG
 * (a limit above), the cancel reason, or -errno.
 */
int fstree_add_tar(struct fstree *t, const char *path, struct cancel *cancel, struct err *err);

/* The time of these is 0 until ext4_write_tree() sets it to the file system's. All replace. */
int fstree_add_dir(struct fstree *t, const char *path, uint32_t mode, struct err *err);
/** fstree_add_file() - copies @data. */
int fstree_add_file(struct fstree *t, const char *path, uint32_t mode, const void *data, size_t n,
		    struct err *err);
int fstree_add_symlink(struct fstree *t, const char *path, const char *target, struct err *err);

/** fstree_find() - borrowed, or NULL. Links are not followed. */
struct fstree_node *fstree_find(struct fstree *t, const char *path);
/** fstree_remove() - with all below; absent is success. */
void fstree_remove(struct fstree *t, const char *path);
/** fstree_empty() - remove what a directory holds, keep it; absent is success. */
void fstree_empty(struct fstree *t, const char *path);
/** fstree_read() - append a regular file's content to @out. 0, -ENOENT, or the buffer's error. */
int fstree_read(struct fstree *t, const char *path, struct buf *out, struct err *err);
/** fstree_copy() - content of @ino from @offset, holes as zeros, all @n bytes inside the file. */
void fstree_copy(const struct fstree_inode *ino, uint64_t offset, uint8_t *dst, size_t n);

#endif

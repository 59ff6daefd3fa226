/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of disk/ share. */
#ifndef KILN_DISK_INTERNAL_H
#define KILN_DISK_INTERNAL_H

#include "disk/fstree.h"

/* A tar file in memory; a list, newest first. */
struct fstree_map {
	struct fstree_map *next;
	void *p;
	size_t n;
};
void fstree_maps_free(struct fstree_map *m);
struct fstree_map **fstree_maps(struct fstree *t);

/** fstree_set() - put @inode (one reference taken, also on failure) at @path. */
int fstree_set(struct fstree *t, const char *path, struct fstree_inode *inode, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of disk/ share. */
#ifndef KILN_DISK_INTERNAL_H
#define KILN_DISK_INTERNAL_H

#include "disk/tree.h"

/* A tar file in memory; a list, newest first. */
struct tree_map {
	struct tree_map *next;
	void *p;
	size_t n;
};
void tree_maps_free(struct tree_map *m);
struct tree_map **tree_maps(struct tree *t);

/** tree_set() - put @inode (one reference taken, also on failure) at @path. */
int tree_set(struct tree *t, const char *path, struct tree_inode *inode, struct err *err);

#endif

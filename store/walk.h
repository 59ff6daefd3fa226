/* SPDX-License-Identifier: Apache-2.0 */
/* Whole trees, and sets and maps by digest for those who walk them. Private to store/. */
#ifndef KILN_STORE_WALK_H
#define KILN_STORE_WALK_H

#include "store/internal.h"

struct walk_ops {
	/* A node, before its names are read. 1 = descend, 0 = skip it, < 0 ends the walk. */
	int (*node)(void *arg, const struct digest *name, unsigned level, struct err *err);
	/* A chunk's name; never zero. < 0 ends the walk. */
	int (*chunk)(void *arg, const struct digest *name, struct err *err);
	void *arg;
};
/** tree_walk() - depth first, in order; zero subtrees are skipped. */
int tree_walk(struct store *s, unsigned region, const struct disk_ref *disk,
	      const struct walk_ops *ops, struct cancel *cancel, struct err *err);

/* A map from digests to small values; open addressing; grows. */
struct dmap_slot {
	struct digest name; /* zero = free */
	uint32_t a, b, c;
};
struct dmap {
	struct dmap_slot *slots;
	size_t cap, n;
};
/** dmap_get() - the slot of @name, made (zeroed values) when absent; *@ret_new tells. NULL on
 *  ENOMEM. Valid until the next dmap_get(). */
struct dmap_slot *dmap_get(struct dmap *m, const struct digest *name, bool *ret_new);
/** dmap_find() - the slot of @name, or NULL. */
const struct dmap_slot *dmap_find(const struct dmap *m, const struct digest *name);
void dmap_done(struct dmap *m);
#define auto_dmap __attribute__((cleanup(dmap_done)))

/* All roots of a region, copied out, so that no statement is open while trees are walked. */
struct root_list {
	struct root_copy {
		char *kind, *id;
		struct disk_ref disk;
		int64_t created_us; /* 0 = not known */
	} * v;
	size_t n, cap;
};
int roots_load(struct store *s, unsigned region, struct root_list *ret, struct err *err);
void roots_done(struct root_list *l);
#define auto_roots __attribute__((cleanup(roots_done)))

/* All rows of packs of a region. */
struct row_list {
	struct pack_row *v;
	size_t n, cap;
};
int rows_load(struct store *s, unsigned region, struct row_list *ret, struct err *err);
void rows_done(struct row_list *l);
#define auto_rows __attribute__((cleanup(rows_done)))
/** rows_find() - by id, or NULL. */
const struct pack_row *rows_find(const struct row_list *l, const struct pack_id *id);

#endif

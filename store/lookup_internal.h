/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the lookup share. */
#ifndef KILN_STORE_LOOKUP_INTERNAL_H
#define KILN_STORE_LOOKUP_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>

#include "store/lookup.h"

#define VALUE_BYTES 32
#define PACK_KEY    (1 + PACK_ID_BYTES)
#define COPY_KEY    (DIGEST_BYTES + PACK_ID_BYTES)

struct lookup {
	char *dir; /* owned */
	unsigned refs;
	bool read_only;
	struct lookup *next;

	/* Readers and writers of the map hold it shared; growing the map needs it alone. */
	pthread_rwlock_t map_lock;
	MDB_env *env; /* NULL: not there (read-only), memory only */
	MDB_dbi dbi;

	pthread_rwlock_t mem_lock; /* guards the in-memory supplement */
	struct mem_slot *mem;      /* open addressing by name; NULL while empty */
	size_t mem_cap, mem_n;
	struct pack_id *mem_packs;
	size_t mem_packs_n;
};

struct mem_slot {
	struct digest name; /* zero = free */
	struct frame_loc loc;
};

struct found {
	struct pack_entry *e; /* owned; by index in the pack, the zero name where it is not known */
	uint32_t n, cap;
};

/** lookup_fail() - an error of LMDB, @r, as an errno with a message; positive values are errnos. */
int lookup_fail(struct lookup *l, int r, const char *what, struct err *err);

/** lookup_txn_begin() - begin a transaction, adopting a bigger map when another process grew it.
 *  Holds the map lock shared on success. Return: 0 or an error of LMDB. */
int lookup_txn_begin(struct lookup *l, bool write, MDB_txn **ret);

/** lookup_visit() - every frame that has a place in the pack, by visiting all names. @f->e is the
 *  caller's to free, on failure too. Return: 0 or an error of LMDB. */
int lookup_visit(struct lookup *l, MDB_txn *t, const struct pack_id *id, struct found *f);

/** lookup_mem_add() - the frames of a pack, to the supplement in memory. 0 or -ENOMEM. */
int lookup_mem_add(struct lookup *l, const struct pack_id *id, const struct pack_entry *e,
		   uint32_t n);

/** lookup_number() - the value of "seq" or "age"; 0 when absent. */
uint64_t lookup_number(struct lookup *l, MDB_txn *t, const char *key);

bool lookup_points_to(const MDB_val *v, const struct pack_id *id);
void lookup_pack_key(const struct pack_id *id, uint8_t dst[PACK_KEY]);
void lookup_loc_of(const struct pack_id *id, const struct pack_entry *e, uint32_t index,
		   struct frame_loc *ret);

#endif

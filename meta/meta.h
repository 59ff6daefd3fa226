/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata: resources, operations, jobs, audit, idempotency keys, counters; SQLite (WAL,
 * synchronous=FULL) or PostgreSQL. Nobody outside meta/ sees SQL. Pack rows, pins and roots of
 * store/ are in meta/packs.h.
 */
#ifndef KILN_META_META_H
#define KILN_META_META_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct meta;

/** meta_open() - @url: "sqlite:/abs/path" or "postgres://USER@HOST/DATABASE". Makes and migrates
 *  the schema (SQLite: a backup is made before a migration; a newer schema is refused with
 *  -EPROTO). Waits some seconds for a server that does not answer, then fails with -EBUSY. */
int meta_open(const char *url, struct meta **ret, struct err *err);
/** meta_limit() - database connections of this process at most: those that read (SQLite) or all
 *  (PostgreSQL). 8 unless called. */
void meta_limit(struct meta *m, unsigned connections);
void meta_close(struct meta *m);
struct db *meta_db(struct meta *m);

/** meta_begin() - a write transaction of this thread (nests). meta_commit() is durable on return.
 */
int meta_begin(struct meta *m, struct err *err);
int meta_commit(struct meta *m, struct err *err);
void meta_rollback(struct meta *m);

/** counter_next() - raise a named counter in the caller's transaction; starts at 1. */
int counter_next(struct meta *m, const char *name, int64_t *ret, struct err *err);
/** counter_get() - 0 in *@ret when it was never raised. */
int counter_get(struct meta *m, const char *name, int64_t *ret, struct err *err);
/** stamp_renew() - give a counter a random value in the caller's transaction: readers of another
 *  process see that something changed, and a value that was rolled back never comes again. */
int stamp_renew(struct meta *m, const char *name, struct err *err);
/** meta_watch() - every write to resources of these types (lower-cased, ends with NULL; borrowed)
 *  renews the stamp (borrowed) in its transaction. Before other threads use @m. */
void meta_watch(struct meta *m, const char *const *types, const char *stamp);
/** counter_raise() - to at least @least, after its row was lost. */
int counter_raise(struct meta *m, const char *name, int64_t least, struct err *err);

#endif

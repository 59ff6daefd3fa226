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

/** meta_open() - @url: "sqlite:/abs/path". Makes and migrates the schema (a backup is made
 *  before a migration; a newer schema is refused with -EPROTO). */
int meta_open(const char *url, struct meta **ret, struct err *err);
void meta_close(struct meta *m);
struct db *meta_db(struct meta *m);

/** meta_begin() - a write transaction of this thread (nests). meta_commit() is durable on return.
 */
int meta_begin(struct meta *m, struct err *err);
int meta_commit(struct meta *m, struct err *err);
void meta_rollback(struct meta *m);

/** counter_next() - raise a named counter in the caller's transaction; starts at 1. */
int counter_next(struct meta *m, const char *name, int64_t *ret, struct err *err);
/** counter_get() - its value; 0 when it was never raised. */
int counter_get(struct meta *m, const char *name, int64_t *ret, struct err *err);
/** counter_raise() - to at least @least, after its row was lost. */
int counter_raise(struct meta *m, const char *name, int64_t least, struct err *err);

#endif

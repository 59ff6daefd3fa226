/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL driver under meta/: one file per database (db_sqlite.c; db_pg.c later). Statements are
 * written once in the dialect both share ("?" parameters, ON CONFLICT, RETURNING). Only meta/ and
 * files in it include this.
 *
 * A struct db is one connection behind a recursive mutex: a transaction belongs to the thread
 * that began it and other threads wait. Nested db_begin() joins the outer transaction; only the
 * outermost db_commit() commits; a db_rollback() anywhere dooms the whole.
 */
#ifndef KILN_META_DB_H
#define KILN_META_DB_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct db;

enum db_kind { DB_NULL, DB_INT, DB_TEXT, DB_BLOB };
struct db_value {
	enum db_kind kind;
	int64_t i;
	const void *p; /* TEXT, BLOB: borrowed */
	size_t n;
};
#define DBI(x)    ((struct db_value){.kind = DB_INT, .i = (int64_t) (x)})
#define DBT(s)    db_text(s)
#define DBB(q, m) ((struct db_value){.kind = DB_BLOB, .p = (q), .n = (m)})
struct db_value db_text(const char *s); /* NULL gives DB_NULL */

struct db_row; /* valid only inside the callback */
int64_t db_col_int(const struct db_row *r, int i);
const char *db_col_text(const struct db_row *r, int i); /* NULL for SQL NULL */
const void *db_col_blob(const struct db_row *r, int i, size_t *ret_n);

/* A non-zero return ends the query and is returned by db_query(). */
typedef int db_row_fn(void *arg, const struct db_row *row);

/** db_query() - run one statement; @row may be NULL.
 *  Return: 0, what @row returned, -EEXIST (unique or primary key), -EBUSY (lock wait ran out),
 *  -ENOSPC, or -EIO. @ret_changes (may be NULL): rows changed. */
int db_query(struct db *db, const char *sql, const struct db_value *params, size_t n,
	     db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err);
/** db_begin() - write transaction at once (BEGIN IMMEDIATE). */
int db_begin(struct db *db, struct err *err);
int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL driver under meta/: one file per database (db_sqlite.c, db_pg.c). Statements are written
 * once in the dialect both share ("?" parameters, ON CONFLICT, RETURNING). Only meta/ and files in
 * it include this.
 *
 * A struct db is a bounded pool of connections, safe from many threads. A transaction belongs to
 * the thread that began it and keeps one connection; a statement outside of one takes any. Nested
 * begins join the outer transaction; only the outermost db_commit() commits; a db_rollback()
 * anywhere dooms the whole, and so does a statement that fails otherwise than with -EEXIST.
 *
 * A row callback may query again (on the same connection), but not begin a transaction.
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

#define DB_PARAMS_MAX 32 /* values that one statement may take */

struct db_row; /* valid only inside the callback */
int64_t db_col_int(const struct db_row *r, int i);
const char *db_col_text(const struct db_row *r, int i); /* NULL for SQL NULL */
const void *db_col_blob(const struct db_row *r, int i, size_t *ret_n);

/* A non-zero return ends the query and is returned by db_query(). */
typedef int db_row_fn(void *arg, const struct db_row *row);

/** db_query() - run one statement; @row may be NULL. Outside of a transaction one that does not
 *  begin with SELECT is a db_begin() ... db_commit() of its own.
 *  Return: 0, what @row returned, -EEXIST (an INSERT met a unique or primary key; the transaction
 *  stays usable), -EBUSY (the lock wait ran out or the server was lost: nothing was changed and
 *  the same may succeed later), -ENOSPC, or -EIO. @ret_changes (may be NULL): rows changed. */
int db_query(struct db *db, const char *sql, const struct db_value *params, size_t n,
	     db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err);

/** db_begin() - write transaction. One at a time over all processes and hosts that share the
 *  database, so that what it reads stays as read until its end. */
int db_begin(struct db *db, struct err *err);
/** db_begin_rows() - write transaction that may run beside others where the database can do that.
 *  The caller relies on nothing but rows that it has itself changed or locked in it. */
int db_begin_rows(struct db *db, struct err *err);
/** db_begin_read() - all reads up to the matching end are of one moment; joins any transaction. */
int db_begin_read(struct db *db, struct err *err);
/** db_commit() - durable on return. -ETIMEDOUT: the server was lost in between and for a minute
 *  nobody could tell what became of the transaction. Any other failure: it was rolled back. */
int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);
enum db_lock { DB_LOCK_WAIT, DB_LOCK_SKIP };
/** db_lock() - what a SELECT ends with to lock the rows it returns up to the transaction's end,
 *  waiting for or leaving out those that others have locked; "" where transactions exclude each
 *  other anyway. */
const char *db_lock(const struct db *db, enum db_lock lock);

#endif

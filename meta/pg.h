/* SPDX-License-Identifier: Apache-2.0 */
/* What the PostgreSQL driver's files share. Private to meta/. */
#ifndef KILN_META_PG_H
#define KILN_META_PG_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "meta/driver.h"

/** pg_sql() - a statement of the common dialect as PostgreSQL wants it: "?" becomes $1, $2, ...,
 *  TEXT columns compare by bytes, and an INSERT of values that meets a unique key changes no row
 *  rather than ending the transaction (*@ret_unique: no row means -EEXIST). 0 or -ENOMEM. */
int pg_sql(const char *sql, struct buf *out, bool *ret_unique);

/** pg_fail() - the error of a failed statement; marks the connection doomed and, when it is lost,
 *  broken. @res may be NULL. */
int pg_fail(struct db_conn *c, PGconn *h, const PGresult *res, const char *what, struct err *err);

/** pg_dial() - a connection for @url, waiting at most @wait_ms for a server that does not answer
 *  or is starting. */
int pg_dial(const char *url, int64_t wait_ms, PGconn **ret, struct err *err);

/** pg_url_check() - is it a connection URL of libpq without a password? */
int pg_url_check(const char *url, struct err *err);

/** pg_resolve() - what became of transaction @xid, whose connection was lost during COMMIT? 0 =
 *  committed, -EBUSY = rolled back, -ETIMEDOUT = nobody could tell in time. */
int pg_resolve(const char *url, const char *xid, struct err *err);

#endif

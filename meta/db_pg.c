/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL through libpq: a pool of connections, prepared statements kept for each.
 *
 * Write transactions exclude each other by an advisory lock, as SQLite's do by its file lock: what
 * a hook reads stays true until its commit, on either database, without rules about who locks which
 * row. The lock is taken in the statement after BEGIN, so that in READ COMMITTED the next statement
 * sees everything that the holder before committed. Job claims and renewals run beside it
 * (DB_TX_ROWS) and lock the rows that they rely on.
 *
 * Each writing transaction notes its number before it does anything. When the connection is lost
 * during COMMIT, the server is asked for that transaction's fate.
 */
#include <endian.h>

#include "base/mem.h"
#include "meta/pg.h"

#define CACHE_SLOTS   128 /* prepared statements kept; direct-mapped by hash of their text */
#define DIAL_MS       10000
#define LOST_MAX      8 /* new connections lost before they were of use */
#define OID_INT8      20
#define OID_TEXT      25
#define OID_BYTEA     17
#define XID_MAX       24
#define LOCK_CLASS    "1802070126" /* first half of the advisory lock's key: "kiln" */
#define SQLSTATE_PLAN "0A000"      /* a cached plan that no longer fits */

struct cached {
	char *sql; /* owned; NULL = empty */
	char name[24];
	bool unique; /* no row changed means -EEXIST */
};

struct db_pg {
	struct db base;
	char *url; /* without a password */
};

struct conn {
	struct db_conn base;
	PGconn *h;
	char xid[XID_MAX]; /* of the open transaction; "" = it cannot have written */
	unsigned names;    /* statements prepared so far */
	struct cached cache[CACHE_SLOTS];
};

static struct conn *of(struct db_conn *c)
{
	return (struct conn *) c;
}

static const char *url_of(struct db *db)
{
	return ((struct db_pg *) db)->url;
}

/* ---- Rows --------------------------------------------------------------------------------- */

struct pg_row {
	const PGresult *res;
	int at;
	unsigned char *blob; /* decoded column of the row, owned */
};

static int64_t row_int_at(void *p, int i)
{
	const struct pg_row *r = p;

	return strtoll(PQgetvalue(r->res, r->at, i), NULL, 10);
}

static const char *row_text_at(void *p, int i)
{
	const struct pg_row *r = p;

	return PQgetisnull(r->res, r->at, i) ? NULL : PQgetvalue(r->res, r->at, i);
}

static const void *row_blob_at(void *p, int i, size_t *ret_n)
{
	struct pg_row *r = p;

	*ret_n = 0;
	PQfreemem(take_ptr(r->blob));
	if (PQgetisnull(r->res, r->at, i))
		return NULL;
	r->blob = PQunescapeBytea((const unsigned char *) PQgetvalue(r->res, r->at, i), ret_n);
	return r->blob;
}

static const struct db_row_ops row_ops = {row_int_at, row_text_at, row_blob_at};

/* The whole result is here already: callbacks may use the connection. */
static int each_row(const PGresult *res, db_row_fn *row, void *arg)
{
	struct pg_row pr = {.res = res};
	struct db_row rr = {&row_ops, &pr};
	int n = PQntuples(res), r = 0;

	for (pr.at = 0; pr.at < n && r == 0; pr.at++)
		r = row(arg, &rr);
	PQfreemem(pr.blob);
	return r;
}

/* ---- Statements --------------------------------------------------------------------------- */

struct args {
	Oid types[DB_PARAMS_MAX];
	const char *values[DB_PARAMS_MAX];
	int lengths[DB_PARAMS_MAX], formats[DB_PARAMS_MAX];
	uint64_t ints[DB_PARAMS_MAX];
};

static int fill_args(struct args *a, const struct db_value *v, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		a->values[i] = v[i].p;
		a->lengths[i] = (int) v[i].n;
		a->formats[i] = v[i].kind != DB_TEXT;
		a->types[i] = v[i].kind == DB_INT    ? OID_INT8
			      : v[i].kind == DB_TEXT ? OID_TEXT
			      : v[i].kind == DB_BLOB ? OID_BYTEA
						     : 0;
		if (v[i].n > INT32_MAX)
			return err_set(err, -EFBIG, "database: a value of %zu bytes", v[i].n);
		if (v[i].kind == DB_INT) {
			a->ints[i] = htobe64((uint64_t) v[i].i);
			a->values[i] = (const char *) &a->ints[i];
			a->lengths[i] = sizeof(a->ints[i]);
		} else if (v[i].kind == DB_BLOB && v[i].n == 0) {
			a->values[i] = ""; /* empty is not NULL */
		}
	}
	return 0;
}

static void forget(struct conn *c, struct cached *k)
{
	char sql[64];

	if (!k->sql)
		return;
	(void) snprintf(sql, sizeof(sql), "DEALLOCATE %s", k->name);
	PQclear(PQexec(c->h, sql));
	free(take_ptr(k->sql));
}

static int prepare(struct conn *c, const char *sql, const struct args *a, size_t n,
		   struct cached **ret, struct err *err)
{
	struct cached *k = &c->cache[sql_hash(sql) % CACHE_SLOTS];
	auto_buf struct buf text = BUF_INIT(64 << 10);
	PGresult *res;
	int r;

	*ret = k;
	if (k->sql && strcmp(k->sql, sql) == 0)
		return 0;
	r = pg_sql(sql, &text, &k->unique);
	if (r < 0)
		return err_set(err, r, "database: statement: %s", strerrordesc_np(-r));
	forget(c, k);
	(void) snprintf(k->name, sizeof(k->name), "s%u", c->names++);
	res = PQprepare(c->h, k->name, buf_str(&text), (int) n, a->types);
	r = PQresultStatus(res) == PGRES_COMMAND_OK ? 0
						    : pg_fail(&c->base, c->h, res, "prepare", err);
	PQclear(res);
	if (r < 0)
		return r;
	k->sql = strdup(sql);
	return k->sql ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int take_result(struct conn *c, const PGresult *res, bool unique, db_row_fn *row, void *arg,
		       int64_t *ret_changes, bool read, struct err *err)
{
	ExecStatusType st = PQresultStatus(res);
	int64_t n;

	if (st != PGRES_TUPLES_OK && st != PGRES_COMMAND_OK)
		return pg_fail(&c->base, c->h, res, "query", err);
	n = read ? 0 : strtoll(PQcmdTuples((PGresult *) (uintptr_t) res), NULL, 10);
	if (unique && n == 0)
		return err_set(err, -EEXIST, "database: a row with this key exists");
	if (ret_changes)
		*ret_changes = n;
	return row ? each_row(res, row, arg) : 0;
}

static int query(struct db_conn *base, const char *sql, const struct db_value *params, size_t n,
		 db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err)
{
	struct conn *c = of(base);
	struct cached *k;
	struct args a;
	PGresult *res;
	int r = fill_args(&a, params, n, err);

	if (r >= 0)
		r = prepare(c, sql, &a, n, &k, err);
	if (r < 0)
		return r;
	res = PQexecPrepared(c->h, k->name, (int) n, a.values, a.lengths, a.formats, 0);
	/* After a migration of the tables by another process; outside of a transaction it can be
	 * had anew at once, inside of one the caller tries again. */
	if (PQresultStatus(res) == PGRES_FATAL_ERROR &&
	    str_eq(PQresultErrorField(res, PG_DIAG_SQLSTATE), SQLSTATE_PLAN))
		base->broken = true;
	r = take_result(c, res, k->unique, row, arg, ret_changes, sql_is_read(sql), err);
	PQclear(res);
	return r;
}

/* ---- Transactions ------------------------------------------------------------------------- */

static int command(struct conn *c, const char *sql, const char *what, char *value, size_t size,
		   struct err *err)
{
	PGresult *res = PQexec(c->h, sql);
	ExecStatusType st = PQresultStatus(res);
	int r = 0;

	if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK)
		r = pg_fail(&c->base, c->h, res, what, err);
	else if (value)
		(void) snprintf(value, size, "%s",
				PQntuples(res) == 1 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	return r;
}

static void rollback(struct db_conn *base)
{
	struct conn *c = of(base);

	if (!base->broken && PQtransactionStatus(c->h) != PQTRANS_IDLE)
		(void) command(c, "ROLLBACK", "rollback", NULL, 0, NULL);
	if (PQtransactionStatus(c->h) != PQTRANS_IDLE)
		base->broken = true;
}

static int begin(struct db_conn *base, enum db_tx tx, struct err *err)
{
	static const char *const sql[] = {
		[DB_TX_READ] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		[DB_TX_ROWS] = "BEGIN; SELECT pg_current_xact_id()",
		[DB_TX_WRITE] = "BEGIN; SELECT pg_advisory_xact_lock(" LOCK_CLASS
				", hashtext(current_schema())); SELECT pg_current_xact_id()",
	};
	struct conn *c = of(base);
	bool writes = tx != DB_TX_READ;
	int r;

	c->xid[0] = '\0';
	r = command(c, sql[tx], "begin", writes ? c->xid : NULL, sizeof(c->xid), err);
	if (r < 0)
		rollback(base);
	return r;
}

static int commit(struct db_conn *base, struct err *err)
{
	struct conn *c = of(base);
	PGresult *res = PQexec(c->h, "COMMIT");
	/* The COMMIT of a transaction that failed says ROLLBACK, and that it is done. */
	bool done = PQresultStatus(res) == PGRES_COMMAND_OK && str_eq(PQcmdStatus(res), "COMMIT");
	int r = 0;

	if (!done) {
		r = pg_fail(base, c->h, res, "commit", err);
		if (base->broken && c->xid[0]) {
			err_done(err);
			r = pg_resolve(url_of(base->db), c->xid, err);
		} else {
			rollback(base);
		}
	}
	PQclear(res);
	return r;
}

/* ---- Connections -------------------------------------------------------------------------- */

static void disconnect(struct db_conn *base)
{
	struct conn *c = of(base);

	PQfinish(c->h);
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		free(c->cache[i].sql);
	free(c);
}

/* An administrator's stronger synchronous_commit (remote_apply) stays. */
static int configure(struct conn *c, struct err *err)
{
	char schema[8];
	int r = command(c,
			"SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s';"
			" SET default_transaction_isolation = 'read committed';"
			" SET client_min_messages = error; SET standard_conforming_strings = on;"
			" SELECT set_config('synchronous_commit', 'on', false)"
			" WHERE current_setting('synchronous_commit') <> 'remote_apply';"
			" SELECT CASE WHEN current_schema() IS NULL THEN 'none' ELSE 'some' END",
			"settings", schema, sizeof(schema), err);

	if (r >= 0 && str_eq(schema, "none"))
		return err_set(err, -EINVAL,
			       "database: no schema of the search_path exists, so that tables"
			       " cannot be made");
	return r;
}

static int connect_to(struct db *db, bool writer, struct db_conn **ret, struct err *err)
{
	struct conn *c = calloc(1, sizeof(*c));
	unsigned lost = 0;
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->base.db = db;
	do {
		PQfinish(take_ptr(c->h));
		err_done(err);
		c->base.broken = false;
		r = pg_dial(url_of(db), DIAL_MS, &c->h, err);
		if (r >= 0)
			r = configure(c, err);
	} while (r < 0 && c->base.broken && lost++ < LOST_MAX);
	if (r < 0) {
		disconnect(&c->base);
		return r;
	}
	*ret = &c->base;
	return 0;
}

static void pg_free(struct db *db)
{
	struct db_pg *s = (struct db_pg *) db;

	db_fini(db);
	free(s->url);
	free(s);
}

static const struct db_ops pg_ops = {
	.scheme = "postgres",
	.lock = {" FOR UPDATE", " FOR UPDATE SKIP LOCKED"},
	.connect = connect_to,
	.disconnect = disconnect,
	.query = query,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.free = pg_free,
};

int db_pg_open(const char *url, struct db **ret, struct err *err)
{
	struct db_pg *s = NULL;
	int r = pg_url_check(url, err);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	r = db_init(&s->base, &pg_ops, 0);
	if (r < 0) {
		free(s);
		return err_set(err, r, "database: cannot make a lock");
	}
	s->url = strdup(url);
	r = s->url ? db_try(&s->base, err) : err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		pg_free(&s->base);
		return r;
	}
	*ret = &s->base;
	return 0;
}

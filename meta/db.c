/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of connections, nesting of transactions, and what to do when a connection was lost. */
#include "meta/driver.h"

#include "base/mem.h"

#define CONNECTIONS 8 /* unless db_limit() says otherwise */
#define LOST_MAX    8 /* connections that may be lost before anything was done */

int db_init(struct db *db, const struct db_ops *ops, unsigned max)
{
	int r = pthread_mutex_init(&db->mutex, NULL);

	if (r != 0)
		return -r;
	(void) pthread_cond_init(&db->turn, NULL); /* neither fails on Linux */
	(void) pthread_cond_init(&db->freed, NULL);
	r = pthread_key_create(&db->held, NULL);
	if (r != 0) {
		(void) pthread_cond_destroy(&db->turn);
		(void) pthread_cond_destroy(&db->freed);
		(void) pthread_mutex_destroy(&db->mutex);
		return -r;
	}
	db->ops = ops;
	db->max = max ? max : CONNECTIONS;
	return 0;
}

static void drop_idle(struct db *db)
{
	struct db_conn *gone[2];

	(void) pthread_mutex_lock(&db->mutex);
	for (int i = 0; i < 2; i++) {
		gone[i] = take_ptr(db->idle[i]);
		for (struct db_conn *c = gone[i]; c && i == 0; c = c->next)
			db->open--;
	}
	(void) pthread_mutex_unlock(&db->mutex);
	for (int i = 0; i < 2; i++)
		while (gone[i]) {
			struct db_conn *next = gone[i]->next;

			db->ops->disconnect(gone[i]);
			gone[i] = next;
		}
}

void db_fini(struct db *db)
{
	drop_idle(db);
	(void) pthread_key_delete(db->held);
	(void) pthread_cond_destroy(&db->turn);
	(void) pthread_cond_destroy(&db->freed);
	(void) pthread_mutex_destroy(&db->mutex);
}

int db_open(const char *url, struct db **ret, struct err *err)
{
	static const char sqlite[] = "sqlite:";

	if (str_starts(url, sqlite) && url[sizeof(sqlite) - 1] == '/')
		return db_sqlite_open(url + sizeof(sqlite) - 1, ret, err);
	if (str_starts(url, "postgres://") || str_starts(url, "postgresql://"))
		return db_pg_open(url, ret, err);
	/* The URL itself stays out of the message: somebody may have put a password in it. */
	(void) err_set(err, -EINVAL, "database URL: unknown scheme or relative path");
	err_hint(err, "Use sqlite:/absolute/path or postgres://USER@HOST/DATABASE.");
	return -EINVAL;
}

void db_close(struct db *db)
{
	if (db)
		db->ops->free(db);
}

void db_limit(struct db *db, unsigned max)
{
	(void) pthread_mutex_lock(&db->mutex);
	db->max = max ? max : 1;
	(void) pthread_mutex_unlock(&db->mutex);
}

int db_exclude(struct db *db, int *ret_fd, struct err *err)
{
	*ret_fd = -1;
	return db->ops->exclude ? db->ops->exclude(db, ret_fd, err) : 0;
}

const char *db_lock(const struct db *db, enum db_lock lock)
{
	return db->ops->lock[lock];
}

/* ---- Values, rows, statements ------------------------------------------------------------- */

struct db_value db_text(const char *s)
{
	struct db_value v = {.kind = s ? DB_TEXT : DB_NULL, .p = s, .n = s ? strlen(s) : 0};

	return v;
}

int64_t db_col_int(const struct db_row *r, int i)
{
	return r->ops->int_at(r->p, i);
}

const char *db_col_text(const struct db_row *r, int i)
{
	return r->ops->text_at(r->p, i);
}

const void *db_col_blob(const struct db_row *r, int i, size_t *ret_n)
{
	return r->ops->blob_at(r->p, i, ret_n);
}

bool sql_is_read(const char *sql)
{
	return strncmp(sql, "SELECT", 6) == 0;
}

uint32_t sql_hash(const char *sql)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (const char *p = sql; *p; p++)
		h = (h ^ (unsigned char) *p) * 16777619u;
	return h;
}

/* ---- The pool ----------------------------------------------------------------------------- */

static struct db_conn *mine(struct db *db)
{
	return pthread_getspecific(db->held);
}

/* Waits for a free connection, and for the turn to write. Return: one, or NULL with a place
 * reserved for a new one. */
static struct db_conn *reserve(struct db *db, bool writer)
{
	bool own = writer && db->ops->one_writer;
	struct db_conn *c;

	(void) pthread_mutex_lock(&db->mutex);
	for (;;) {
		if (writer && db->writing) {
			(void) pthread_cond_wait(&db->turn, &db->mutex);
			continue;
		}
		if (db->idle[own] || own || db->open < db->max)
			break;
		/* Who has the turn but no connection leaves it to whoever comes; the next to give
		 * it back wakes another. */
		db->waiting++;
		(void) pthread_cond_wait(&db->freed, &db->mutex);
		db->waiting--;
	}
	c = db->idle[own];
	if (c)
		db->idle[own] = c->next;
	else if (!own)
		db->open++;
	if (writer)
		db->writing = true;
	(void) pthread_mutex_unlock(&db->mutex);
	return c;
}

/* @c NULL: the place that was reserved for it. */
static void give_back(struct db *db, struct db_conn *c, bool writer)
{
	bool own = writer && db->ops->one_writer, keep = c && !c->broken;

	(void) pthread_mutex_lock(&db->mutex);
	if (keep) {
		c->next = db->idle[own];
		db->idle[own] = c;
	} else if (!own) {
		db->open--;
	}
	if (writer) {
		db->writing = false;
		(void) pthread_cond_signal(&db->turn);
	}
	if (db->waiting > 0)
		(void) pthread_cond_broadcast(&db->freed);
	(void) pthread_mutex_unlock(&db->mutex);
	if (c && !keep)
		db->ops->disconnect(c);
}

static void release(struct db_conn *c)
{
	struct db *db = c->db;
	bool broken = c->broken;

	(void) pthread_setspecific(db->held, NULL); /* takes no memory */
	give_back(db, c, c->writer);
	if (broken)
		drop_idle(db); /* what lost one has most likely lost all */
}

static int acquire(struct db *db, bool writer, struct db_conn **ret, struct err *err)
{
	struct db_conn *c = reserve(db, writer);
	int r = 0;

	if (!c)
		r = db->ops->connect(db, writer && db->ops->one_writer, &c, err);
	if (r >= 0) {
		c->db = db;
		c->depth = 0;
		c->doomed = false;
		c->writer = writer;
		r = -pthread_setspecific(db->held, c);
		if (r < 0)
			(void) err_set(err, r, "out of memory");
	}
	if (r < 0) {
		give_back(db, c, writer);
		return r;
	}
	*ret = c;
	return 0;
}

int db_try(struct db *db, struct err *err)
{
	struct db_conn *c;
	int r = acquire(db, true, &c, err);

	if (r >= 0)
		release(c);
	return r;
}

/* ---- Statements and transactions ---------------------------------------------------------- */

static int read_alone(struct db *db, const char *sql, const struct db_value *params, size_t n,
		      db_row_fn *row, void *arg, struct err *err)
{
	/* A server that was restarted has cut every idle connection; the first to notice connects
	 * anew, which waits for the server. */
	for (unsigned lost = 0;; lost++) {
		struct db_conn *c;
		bool broken;
		int r = acquire(db, false, &c, err);

		if (r < 0)
			return r;
		r = db->ops->query(c, sql, params, n, row, arg, NULL, err);
		broken = c->broken;
		release(c);
		if (!broken || lost == LOST_MAX)
			return r;
		err_done(err);
	}
}

static int write_alone(struct db *db, const char *sql, const struct db_value *params, size_t n,
		       db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err)
{
	int r = db_begin(db, err), e;

	if (r < 0)
		return r;
	r = db->ops->query(mine(db), sql, params, n, row, arg, ret_changes, err);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	e = db_commit(db, err);
	return e < 0 ? e : r;
}

int db_query(struct db *db, const char *sql, const struct db_value *params, size_t n,
	     db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err)
{
	struct db_conn *c = mine(db);

	if (n > DB_PARAMS_MAX)
		return err_set(err, -EINVAL, "database: %zu values, %d are possible", n,
			       DB_PARAMS_MAX);
	if (!c && sql_is_read(sql)) {
		if (ret_changes)
			*ret_changes = 0;
		return read_alone(db, sql, params, n, row, arg, err);
	}
	if (!c)
		return write_alone(db, sql, params, n, row, arg, ret_changes, err);
	if (c->depth == 0 && !sql_is_read(sql))
		return err_set(err, -EINVAL, "database: a change inside a query");
	if (c->depth > 0 && (c->doomed || c->broken))
		return err_set(err, -ECANCELED, "the transaction was rolled back already");
	return db->ops->query(c, sql, params, n, row, arg, ret_changes, err);
}

static int begin(struct db *db, enum db_tx tx, struct err *err)
{
	struct db_conn *c = mine(db);

	if (c && (c->depth == 0 || c->tx < tx))
		return err_set(err, -EINVAL, "database: a transaction begun inside a %s",
			       c->depth == 0 ? "query" : "weaker one");
	if (c) {
		c->depth++;
		return 0;
	}
	for (unsigned lost = 0;; lost++) {
		bool broken;
		int r = acquire(db, tx == DB_TX_WRITE || (tx == DB_TX_ROWS && db->ops->one_writer),
				&c, err);

		if (r < 0)
			return r;
		r = db->ops->begin(c, tx, err);
		if (r >= 0) {
			c->depth = 1;
			c->tx = tx;
			return 0;
		}
		broken = c->broken;
		release(c);
		if (!broken || lost == LOST_MAX)
			return r;
		err_done(err);
	}
}

int db_begin(struct db *db, struct err *err)
{
	return begin(db, DB_TX_WRITE, err);
}

int db_begin_rows(struct db *db, struct err *err)
{
	return begin(db, DB_TX_ROWS, err);
}

int db_begin_read(struct db *db, struct err *err)
{
	return begin(db, DB_TX_READ, err);
}

int db_commit(struct db *db, struct err *err)
{
	struct db_conn *c = mine(db);
	int r = 0;

	if (--c->depth > 0)
		return 0;
	if (c->doomed || c->broken) {
		db->ops->rollback(c);
		r = err_set(err, -ECANCELED, "a part of the transaction was rolled back");
	} else {
		r = db->ops->commit(c, err);
	}
	release(c);
	return r;
}

void db_rollback(struct db *db)
{
	struct db_conn *c = mine(db);
	int saved = errno;

	c->doomed = true;
	if (--c->depth == 0) {
		db->ops->rollback(c);
		release(c);
	}
	errno = saved;
}

int db_backup(struct db *db, const char *tag, struct err *err)
{
	struct db_conn *c;
	int r;

	if (!db->ops->backup)
		return 0;
	if (mine(db))
		return err_set(err, -EINVAL, "backup inside a transaction");
	r = acquire(db, true, &c, err);
	if (r < 0)
		return r;
	r = db->ops->backup(c, tag, err);
	release(c);
	return r;
}

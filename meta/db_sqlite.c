/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite in WAL mode with synchronous=FULL, so that a commit that returned is on disk: one
 * connection that writes, and some that read beside it. Other processes use the same file; SQLite's
 * locks arbitrate, waiting BUSY_MS at most.
 */
#include <fcntl.h>
#include <sqlite3.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/mem.h"
#include "meta/driver.h"

#define BUSY_MS     60000
#define CACHE_KIB   16384 /* of pages, for each connection: the inner ones of a million rows */
#define CACHE_SLOTS 128   /* prepared statements kept; direct-mapped by hash of their text */

struct cached {
	char *sql; /* owned; NULL = empty */
	sqlite3_stmt *stmt;
	bool used; /* a query runs it right now (a callback may query again) */
};

struct db_sqlite {
	struct db base;
	char *path;
};

struct conn {
	struct db_conn base;
	sqlite3 *h;
	struct cached cache[CACHE_SLOTS];
};

static struct conn *of(struct db_conn *c)
{
	return (struct conn *) c;
}

static const char *path_of(struct db *db)
{
	return ((struct db_sqlite *) db)->path;
}

/* SQLite's message may hold the file name; the request handler never sends -EIO texts out. */
static int fail(struct conn *s, int rc, const char *what, struct err *err)
{
	const char *msg = s->h ? sqlite3_errmsg(s->h) : sqlite3_errstr(rc);
	int code;

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = -EBUSY;
		break;
	case SQLITE_FULL:
		code = -ENOSPC;
		break;
	case SQLITE_NOMEM:
		code = -ENOMEM;
		break;
	case SQLITE_CONSTRAINT:
		code = rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE ||
				       rc == SQLITE_CONSTRAINT_ROWID
			       ? -EEXIST
			       : -EIO;
		break;
	default:
		code = -EIO;
	}
	if (code != -EEXIST)
		s->base.doomed = true; /* SQLite may have ended the transaction by itself */
	(void) err_set(err, code, "database: %s: %s", what, msg);
	if (code == -EBUSY)
		err_arm(err, "ServerBusy"); /* no fault of the one who asks */
	return code;
}

static int64_t row_int_at(void *p, int i)
{
	return sqlite3_column_int64(p, i);
}

static const char *row_text_at(void *p, int i)
{
	return (const char *) sqlite3_column_text(p, i);
}

static const void *row_blob_at(void *p, int i, size_t *ret_n)
{
	const void *v = sqlite3_column_blob(p, i);

	*ret_n = (size_t) sqlite3_column_bytes(p, i);
	return v;
}

static const struct db_row_ops row_ops = {row_int_at, row_text_at, row_blob_at};

static struct cached *slot_of(struct conn *s, const char *sql)
{
	return &s->cache[sql_hash(sql) % CACHE_SLOTS];
}

/* A statement ready to be bound. *@ret_slot is NULL when the caller finalizes it itself. */
static int take_stmt(struct conn *s, const char *sql, struct cached **ret_slot, sqlite3_stmt **ret,
		     struct err *err)
{
	struct cached *c = slot_of(s, sql);
	sqlite3_stmt *stmt = NULL;
	const char *tail = NULL;
	char *copy;
	int rc;

	*ret_slot = NULL;
	if (!c->used && c->sql && strcmp(c->sql, sql) == 0) {
		c->used = true;
		*ret_slot = c;
		*ret = c->stmt;
		return 0;
	}
	rc = sqlite3_prepare_v3(s->h, sql, -1, c->used ? 0 : SQLITE_PREPARE_PERSISTENT, &stmt,
				&tail);
	if (rc != SQLITE_OK)
		return fail(s, rc, "prepare", err);
	*ret = stmt;
	if (c->used)
		return 0;
	copy = strdup(sql);
	if (!copy)
		return 0; /* not kept, still usable */
	free(c->sql);
	(void) sqlite3_finalize(c->stmt);
	*c = (struct cached){.sql = copy, .stmt = stmt, .used = true};
	*ret_slot = c;
	return 0;
}

static void give_stmt(struct cached *slot, sqlite3_stmt *stmt)
{
	if (!slot) {
		(void) sqlite3_finalize(stmt);
		return;
	}
	(void) sqlite3_reset(stmt); /* repeats the step's error, which was handled */
	(void) sqlite3_clear_bindings(stmt);
	slot->used = false;
}

static int bind(struct conn *s, sqlite3_stmt *stmt, const struct db_value *v, size_t n,
		struct err *err)
{
	if ((size_t) sqlite3_bind_parameter_count(stmt) != n)
		return err_set(err, -EINVAL, "database: statement takes %d values, %zu given",
			       sqlite3_bind_parameter_count(stmt), n);
	for (size_t i = 0; i < n; i++) {
		int at = (int) i + 1, rc = SQLITE_OK;

		switch (v[i].kind) {
		case DB_NULL:
			rc = sqlite3_bind_null(stmt, at);
			break;
		case DB_INT:
			rc = sqlite3_bind_int64(stmt, at, v[i].i);
			break;
		case DB_TEXT:
			rc = sqlite3_bind_text64(stmt, at, v[i].p, v[i].n, SQLITE_STATIC,
						 SQLITE_UTF8);
			break;
		case DB_BLOB:
			rc = v[i].n == 0
				     ? sqlite3_bind_zeroblob(stmt, at, 0)
				     : sqlite3_bind_blob64(stmt, at, v[i].p, v[i].n, SQLITE_STATIC);
			break;
		}
		if (rc != SQLITE_OK)
			return fail(s, rc, "bind", err);
	}
	return 0;
}

static int step_all(struct conn *s, sqlite3_stmt *stmt, db_row_fn *row, void *arg, struct err *err)
{
	struct db_row rr = {&row_ops, stmt};

	for (;;) {
		int rc = sqlite3_step(stmt);
		int r;

		if (rc == SQLITE_DONE)
			return 0;
		if (rc != SQLITE_ROW)
			return fail(s, rc, "step", err);
		r = row ? row(arg, &rr) : 0;
		if (r != 0)
			return r;
	}
}

static int query(struct db_conn *base, const char *sql, const struct db_value *params, size_t n,
		 db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err)
{
	struct conn *s = of(base);
	struct cached *slot = NULL;
	sqlite3_stmt *stmt = NULL;
	int r = take_stmt(s, sql, &slot, &stmt, err);

	if (r < 0)
		return r;
	r = bind(s, stmt, params, n, err);
	if (r >= 0)
		r = step_all(s, stmt, row, arg, err);
	if (r >= 0 && ret_changes)
		*ret_changes = sqlite3_stmt_readonly(stmt) ? 0 : sqlite3_changes64(s->h);
	give_stmt(slot, stmt);
	return r;
}

static int exec(struct conn *s, const char *sql, struct err *err)
{
	return query(&s->base, sql, NULL, 0, NULL, NULL, NULL, err);
}

/* A reader's snapshot is that of its first statement. */
static int begin(struct db_conn *c, enum db_tx tx, struct err *err)
{
	return exec(of(c), tx == DB_TX_READ ? "BEGIN" : "BEGIN IMMEDIATE", err);
}

static void rollback(struct db_conn *c)
{
	/* After some failures (disk full) SQLite has rolled back by itself already. */
	if (!sqlite3_get_autocommit(of(c)->h))
		(void) exec(of(c), "ROLLBACK", NULL);
	/* What cannot even be rolled back is not used again: closing it does that. */
	if (!sqlite3_get_autocommit(of(c)->h))
		c->broken = true;
}

static int commit(struct db_conn *c, struct err *err)
{
	int r = exec(of(c), "COMMIT", err);

	if (r < 0)
		rollback(c);
	return r;
}

static int exclude(struct db *db, int *ret_fd, struct err *err)
{
	auto_free char *path = strf("%s.lock", path_of(db));

	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	return lock_file(path, LOCK_EXCLUSIVE, ret_fd, err);
}

static int sync_and_rename(const char *tmp, const char *path, struct err *err)
{
	auto_free char *dir = path_dirname(path);
	auto_fd int fd = -1;
	int r;

	if (!dir)
		return err_set(err, -ENOMEM, "out of memory");
	r = file_open_regular(AT_FDCWD, tmp, &fd);
	if (r >= 0 && sys_get()->fsync(fd) < 0)
		r = -errno;
	if (r >= 0 && sys_get()->renameat2(AT_FDCWD, tmp, AT_FDCWD, path, 0) < 0)
		r = -errno;
	if (r >= 0)
		r = file_fsync_dir(dir);
	return r < 0 ? err_set(err, r, "database backup: %s", strerrordesc_np(-r)) : 0;
}

/* VACUUM INTO gives a consistent copy but does not sync it. */
static int backup(struct db_conn *base, const char *tag, struct err *err)
{
	struct conn *s = of(base);
	auto_free char *path = strf("%s.backup-%s", path_of(base->db), tag);
	auto_free char *tmp = strf("%s.backup-%s.tmp", path_of(base->db), tag);
	struct db_value p[1];
	int r;

	if (!path || !tmp)
		return err_set(err, -ENOMEM, "out of memory");
	(void) sys_get()->unlinkat(AT_FDCWD, tmp, 0); /* left by a crash */
	p[0] = DBT(tmp);
	r = query(&s->base, "VACUUM INTO ?", p, 1, NULL, NULL, NULL, err);
	if (r >= 0)
		r = sync_and_rename(tmp, path, err);
	if (r < 0)
		(void) sys_get()->unlinkat(AT_FDCWD, tmp, 0);
	return r;
}

static void disconnect(struct db_conn *c)
{
	struct conn *s = of(c);

	for (size_t i = 0; i < CACHE_SLOTS; i++) {
		(void) sqlite3_finalize(s->cache[i].stmt);
		free(s->cache[i].sql);
	}
	(void) sqlite3_close(s->h);
	free(s);
}

static void sqlite_free(struct db *db)
{
	struct db_sqlite *s = (struct db_sqlite *) db;

	db_fini(db);
	free(s->path);
	free(s);
}

static int row_is_wal(void *arg, const struct db_row *row)
{
	const char *s = db_col_text(row, 0);

	return s && str_eq_nocase(s, "wal") ? 1 : 0;
}

/* Only the first opener of all changes anything; the lock that db_sqlite_open() holds keeps others
 * away meanwhile. */
static int configure(struct conn *s, bool writer, struct err *err)
{
	char cache[64];
	int r = 1;

	(void) sqlite3_extended_result_codes(s->h, 1);
	(void) sqlite3_busy_timeout(s->h, BUSY_MS);
	if (writer)
		r = query(&s->base, "PRAGMA journal_mode=WAL", NULL, 0, row_is_wal, NULL, NULL,
			  err);
	if (r == 0)
		return err_set(err, -EIO, "database: this file system cannot hold a WAL");
	if (r >= 0)
		r = exec(s, writer ? "PRAGMA synchronous=FULL" : "PRAGMA query_only=ON", err);
	if (r >= 0)
		r = exec(s, "PRAGMA foreign_keys=ON", err);
	if (r >= 0)
		r = exec(s, "PRAGMA trusted_schema=OFF", err);
	(void) snprintf(cache, sizeof(cache), "PRAGMA cache_size=-%d", CACHE_KIB);
	if (r >= 0)
		r = exec(s, cache, err);
	return r < 0 ? r : 0;
}

static int connect_to(struct db *db, bool writer, struct db_conn **ret, struct err *err)
{
	struct conn *s = calloc(1, sizeof(*s));
	int rc, r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->base.db = db;
	/* One thread at a time uses a connection: no mutex of its own. */
	rc = sqlite3_open_v2(path_of(db), &s->h,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			     NULL);
	r = rc == SQLITE_OK ? configure(s, writer, err) : fail(s, rc, "open", err);
	if (r < 0) {
		disconnect(&s->base);
		return r;
	}
	*ret = &s->base;
	return 0;
}

static const struct db_ops sqlite_ops = {
	.scheme = "sqlite",
	.one_writer = true,
	.lock = {"", ""},
	.connect = connect_to,
	.disconnect = disconnect,
	.query = query,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.exclude = exclude,
	.backup = backup,
	.free = sqlite_free,
};

/* SQLite would make the file with the umask's mode. Only a file that did not exist is opened here:
 * closing a descriptor of a database in use would drop its locks. */
static int make_private(const char *path, struct err *err)
{
	int fd = sys_get()->openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno != EEXIST)
		return err_set(err, -errno, "database %s: %s", path, strerrordesc_np(errno));
	closep(&fd);
	return 0;
}

int db_sqlite_open(const char *path, struct db **ret, struct err *err)
{
	struct db_sqlite *s = calloc(1, sizeof(*s));
	auto_fd int lock = -1;
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	r = db_init(&s->base, &sqlite_ops, 0);
	if (r < 0) {
		free(s);
		return err_set(err, r, "database: cannot make a lock");
	}
	s->path = strdup(path);
	r = s->path ? exclude(&s->base, &lock, err) : err_set(err, -ENOMEM, "out of memory");
	if (r >= 0)
		r = make_private(path, err);
	if (r >= 0)
		r = db_try(&s->base, err);
	if (r < 0) {
		sqlite_free(&s->base);
		return err_ctx(err, r, "database %s", path);
	}
	*ret = &s->base;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/driver.h"

#include "base/mem.h"

int db_init(struct db *db, const struct db_ops *ops)
{
	pthread_mutexattr_t at;
	int r = pthread_mutexattr_init(&at);

	if (r != 0)
		return -r;
	(void) pthread_mutexattr_settype(&at, PTHREAD_MUTEX_RECURSIVE);
	r = pthread_mutex_init(&db->mutex, &at);
	(void) pthread_mutexattr_destroy(&at);
	if (r != 0)
		return -r;
	db->ops = ops;
	db->depth = 0;
	db->doomed = false;
	return 0;
}

void db_fini(struct db *db)
{
	(void) pthread_mutex_destroy(&db->mutex);
}

int db_open(const char *url, struct db **ret, struct err *err)
{
	static const char sqlite[] = "sqlite:";

	if (str_starts(url, sqlite) && url[sizeof(sqlite) - 1] == '/')
		return db_sqlite_open(url + sizeof(sqlite) - 1, ret, err);
	(void) err_set(err, -EINVAL, "database URL \"%.200s\": unknown scheme or relative path",
		       url);
	err_hint(err, "Use sqlite:/absolute/path.");
	return -EINVAL;
}

void db_close(struct db *db)
{
	if (db)
		db->ops->free(db);
}

int db_exclude(struct db *db, int *ret_fd, struct err *err)
{
	return db->ops->exclude(db, ret_fd, err);
}

int db_backup(struct db *db, const char *tag, struct err *err)
{
	int r;

	(void) pthread_mutex_lock(&db->mutex);
	r = db->depth > 0 ? err_set(err, -EINVAL, "backup inside a transaction")
			  : db->ops->backup(db, tag, err);
	(void) pthread_mutex_unlock(&db->mutex);
	return r;
}

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

int db_query(struct db *db, const char *sql, const struct db_value *params, size_t n,
	     db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err)
{
	int r;

	(void) pthread_mutex_lock(&db->mutex);
	if (db->depth > 0 && db->doomed)
		r = err_set(err, -ECANCELED, "the transaction was rolled back already");
	else
		r = db->ops->query(db, sql, params, n, row, arg, ret_changes, err);
	(void) pthread_mutex_unlock(&db->mutex);
	return r;
}

/* The mutex stays locked, once per level, until the matching commit or rollback. */
int db_begin(struct db *db, struct err *err)
{
	int r;

	(void) pthread_mutex_lock(&db->mutex);
	if (db->depth == 0) {
		r = db->ops->begin(db, err);
		if (r < 0) {
			(void) pthread_mutex_unlock(&db->mutex);
			return r;
		}
		db->doomed = false;
	}
	db->depth++;
	return 0;
}

int db_commit(struct db *db, struct err *err)
{
	int r = 0;

	if (--db->depth == 0) {
		if (db->doomed) {
			db->ops->rollback(db);
			r = err_set(err, -ECANCELED, "a part of the transaction was rolled back");
		} else {
			r = db->ops->commit(db, err);
		}
	}
	(void) pthread_mutex_unlock(&db->mutex);
	return r;
}

void db_rollback(struct db *db)
{
	int saved = errno;

	db->doomed = true;
	if (--db->depth == 0)
		db->ops->rollback(db);
	(void) pthread_mutex_unlock(&db->mutex);
	errno = saved;
}

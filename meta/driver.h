/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one database driver provides to meta/db.c, which adds locking, nesting and argument checks.
 * Private to meta/.
 */
#ifndef KILN_META_DRIVER_H
#define KILN_META_DRIVER_H

#include <pthread.h>
#include <stdbool.h>

#include "meta/db.h"

struct db_ops {
	const char *scheme; /* "sqlite": the part of the URL before the colon */
	/* Required. All are called with the connection's mutex held. */
	int (*query)(struct db *db, const char *sql, const struct db_value *params, size_t n,
		     db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err);
	int (*begin)(struct db *db, struct err *err);
	int (*commit)(struct db *db, struct err *err); /* on failure nothing was committed */
	void (*rollback)(struct db *db);
	/* Required. Excludes every other process that opens the same database, until the returned
	 * descriptor is closed; used while the schema is looked at and changed. */
	int (*exclude)(struct db *db, int *ret_fd, struct err *err);
	/* Required. A consistent durable copy beside the database, tagged @tag. */
	int (*backup)(struct db *db, const char *tag, struct err *err);
	/* Required. Releases the driver's part and the struct itself. */
	void (*free)(struct db *db);
};

struct db {
	const struct db_ops *ops;
	pthread_mutex_t mutex; /* recursive; guards all below and the connection */
	unsigned depth;        /* nested begins */
	bool doomed;           /* a nested rollback happened: the whole will be rolled back */
};

/** db_init() - the driver's struct starts with struct db. 0 or -errno. */
int db_init(struct db *db, const struct db_ops *ops);
void db_fini(struct db *db);

/** db_open() - by the URL's scheme. db_close() accepts NULL. */
int db_open(const char *url, struct db **ret, struct err *err);
void db_close(struct db *db);
int db_exclude(struct db *db, int *ret_fd, struct err *err);
int db_backup(struct db *db, const char *tag, struct err *err);

int db_sqlite_open(const char *path, struct db **ret, struct err *err);

/* What every driver hands to a row callback. */
struct db_row {
	const struct db_row_ops *ops;
	void *p;
};
struct db_row_ops {
	int64_t (*int_at)(void *p, int i);
	const char *(*text_at)(void *p, int i);
	const void *(*blob_at)(void *p, int i, size_t *ret_n);
};

#endif

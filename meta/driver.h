/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one database driver provides to meta/db.c, which adds the pool, nesting and argument checks.
 * Private to meta/.
 */
#ifndef KILN_META_DRIVER_H
#define KILN_META_DRIVER_H

#include <pthread.h>
#include <stdbool.h>

#include "meta/db.h"

enum db_tx { DB_TX_READ, DB_TX_ROWS, DB_TX_WRITE }; /* each may nest in one that is as strong */

/* One connection; a driver's struct starts with it. Used by one thread at a time. */
struct db_conn {
	struct db *db;
	struct db_conn *next; /* in an idle list */
	unsigned depth;       /* nested begins; 0 = a single statement has the connection */
	enum db_tx tx;        /* of the outermost begin */
	bool writer;          /* has the process's turn to write */
	bool doomed;          /* what is committed is a rollback; a driver sets it too */
	bool broken;          /* set by the driver: of no further use */
};

struct db_ops {
	const char *scheme;  /* "sqlite": the part of the URL before the colon */
	bool one_writer;     /* all writes go through one connection, which is kept for them */
	const char *lock[2]; /* by enum db_lock */
	/* Required. A usable connection; blocks, for a while also for a server that is not there.
	 */
	int (*connect)(struct db *db, bool writer, struct db_conn **ret, struct err *err);
	void (*disconnect)(struct db_conn *c); /* releases the struct */
	/* Required. Rows are handed out only by a statement that will not be repeated: a driver
	 * that sets @broken has called @row for none. */
	int (*query)(struct db_conn *c, const char *sql, const struct db_value *params, size_t n,
		     db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err);
	int (*begin)(struct db_conn *c, enum db_tx tx, struct err *err);
	int (*commit)(struct db_conn *c, struct err *err); /* as db_commit() */
	void (*rollback)(struct db_conn *c);
	/* Optional: schema steps are transactions, and whoever writes excludes all others. Excludes
	 * every other process that opens the same database, until the descriptor is closed. */
	int (*exclude)(struct db *db, int *ret_fd, struct err *err);
	/* Optional: the database's own tools see to copies. A consistent durable copy beside the
	 * database, tagged @tag. */
	int (*backup)(struct db_conn *c, const char *tag, struct err *err);
	/* Required. Releases the driver's part and the struct itself. */
	void (*free)(struct db *db);
};

struct db {
	const struct db_ops *ops;
	pthread_mutex_t mutex;   /* guards all below; never held while a statement runs */
	pthread_cond_t turn;     /* to write became free: for one of those who wait */
	pthread_cond_t freed;    /* a connection became free: for all who wait */
	struct db_conn *idle[2]; /* [1]: the writer of a one_writer driver */
	unsigned open, max;      /* connections of [0] */
	unsigned waiting;        /* threads at @freed */
	bool writing;            /* some thread has the turn to write */
	pthread_key_t held;      /* the calling thread's struct db_conn, NULL = none */
};

/** db_init() - the driver's struct starts with struct db. 0 or -errno. */
int db_init(struct db *db, const struct db_ops *ops, unsigned max);
void db_fini(struct db *db);

/** db_try() - make the first connection, which later writes use; for the end of a driver's open. */
int db_try(struct db *db, struct err *err);

/** db_open() - by the URL's scheme. db_close() accepts NULL. */
int db_open(const char *url, struct db **ret, struct err *err);
void db_close(struct db *db);
/** db_limit() - connections for reading (PostgreSQL: for everything), at least 1. */
void db_limit(struct db *db, unsigned max);
/** db_exclude() - *@ret_fd is -1 where nothing needs to be held. */
int db_exclude(struct db *db, int *ret_fd, struct err *err);
int db_backup(struct db *db, const char *tag, struct err *err);

int db_sqlite_open(const char *path, struct db **ret, struct err *err);
int db_pg_open(const char *url, struct db **ret, struct err *err);

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

/** sql_is_read() - does a statement begin with SELECT? */
bool sql_is_read(const char *sql);
/** sql_hash() - of a statement's text, for caches. */
uint32_t sql_hash(const char *sql);

#endif

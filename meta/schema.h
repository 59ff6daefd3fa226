/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema as numbered steps. A module of meta/ declares its statements here and adds a line to
 * the table in schema.c; a step that was released never changes, later ones alter what it made.
 * Private to meta/.
 *
 * Dialect: what SQLite and PostgreSQL share. TEXT, BIGINT, DOUBLE PRECISION; no AUTOINCREMENT.
 */
#ifndef KILN_META_SCHEMA_H
#define KILN_META_SCHEMA_H

#include "meta/db.h"

struct schema_step {
	const char *what;
	const char *const *sql; /* ends with NULL */
};

/** schema_migrate() - bring the database to the newest step, each in its own transaction. A copy
 *  is made first when it holds an older schema. -EPROTO: newer than this program knows. */
int schema_migrate(struct db *db, struct err *err);
/** schema_migrate_to() - the same with other steps (tests). */
int schema_migrate_to(struct db *db, const struct schema_step *steps, size_t n, struct err *err);

/** schema_steps() - the steps of this program, schema_newest() of them. */
const struct schema_step *schema_steps(void);
size_t schema_newest(void);

extern const char *const schema_resources[];
extern const char *const schema_operations[];
extern const char *const schema_leases[];
extern const char *const schema_queues[];
extern const char *const schema_audit[];
extern const char *const schema_store[];
extern const char *const schema_root_age[];
extern const char *const schema_root_use[];
extern const char *const schema_identity[];
extern const char *const schema_names[];

#endif

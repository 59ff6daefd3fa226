/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/schema.h"

#include "base/mem.h"
#include "meta/driver.h"

/* A step's number is its place, from 1. Append only. */
static const struct schema_step steps[] = {
	{"resources", schema_resources},
	{"operations, jobs, idempotency keys", schema_operations},
	{"audit", schema_audit},
	{"image store", schema_store},
	{"principals, groups, token keys", schema_identity},
	{"leases", schema_leases},
	{"age of roots", schema_root_age},
	{"names of resources", schema_names},
	{"queues", schema_queues},
	{"use of roots", schema_root_use},
};

static int row_int(void *arg, const struct db_row *row)
{
	int64_t *v = arg;

	*v = db_col_int(row, 0);
	return 0;
}

static int current(struct db *db, int64_t *ret, struct err *err)
{
	*ret = 0;
	return db_query(db, "SELECT COALESCE(MAX(step), 0) FROM meta_schema", NULL, 0, row_int, ret,
			NULL, err);
}

static int make_table(struct db *db, struct err *err)
{
	return db_query(db,
			"CREATE TABLE IF NOT EXISTS meta_schema ("
			" step BIGINT PRIMARY KEY, what TEXT NOT NULL)",
			NULL, 0, NULL, NULL, NULL, err);
}

/* In the transaction that excludes every other writer: another process may have done it. */
static int apply(struct db *db, const struct schema_step *s, int64_t number, struct err *err)
{
	struct db_value p[] = {DBI(number), DBT(s->what)};
	int64_t have;
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	r = current(db, &have, err);
	if (r >= 0 && have >= number)
		return db_commit(db, err);
	for (size_t i = 0; s->sql[i] && r >= 0; i++)
		r = db_query(db, s->sql[i], NULL, 0, NULL, NULL, NULL, err);
	if (r >= 0)
		r = db_query(db, "INSERT INTO meta_schema (step, what) VALUES (?, ?)", p, 2, NULL,
			     NULL, NULL, err);
	if (r < 0) {
		db_rollback(db);
		return err_ctx(err, r, "schema step %lld (%s)", (long long) number, s->what);
	}
	return db_commit(db, err);
}

int schema_migrate_to(struct db *db, const struct schema_step *list, size_t n, struct err *err)
{
	auto_fd int lock = -1;
	char tag[32];
	int64_t have;
	int r = db_exclude(db, &lock, err);

	if (r < 0)
		return r;
	r = make_table(db, err);
	if (r >= 0)
		r = current(db, &have, err);
	if (r < 0)
		return r;
	if (have > (int64_t) n) {
		(void) err_set(err, -EPROTO,
			       "the database has schema %lld, this program knows up to %zu",
			       (long long) have, n);
		err_hint(err, "Use a newer kiln, or restore the copy made before it was migrated.");
		return -EPROTO;
	}
	if (have > 0 && have < (int64_t) n) {
		(void) snprintf(tag, sizeof(tag), "schema-%lld", (long long) have);
		r = db_backup(db, tag, err);
	}
	for (int64_t i = have; i < (int64_t) n && r >= 0; i++)
		r = apply(db, &list[i], i + 1, err);
	return r;
}

const struct schema_step *schema_steps(void)
{
	return steps;
}

size_t schema_newest(void)
{
	return ARRAY_SIZE(steps);
}

int schema_migrate(struct db *db, struct err *err)
{
	return schema_migrate_to(db, steps, ARRAY_SIZE(steps), err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/operations.h"

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/row.h"
#include "meta/schema.h"

const char *const schema_operations[] = {
	"CREATE TABLE operation ("
	" id TEXT PRIMARY KEY, key TEXT NOT NULL, resource TEXT NOT NULL, type TEXT NOT NULL,"
	" kind TEXT NOT NULL, method TEXT NOT NULL, api_version TEXT NOT NULL,"
	" principal TEXT NOT NULL, state BIGINT NOT NULL, percent BIGINT NOT NULL,"
	" created_us BIGINT NOT NULL, started_us BIGINT NOT NULL, ended_us BIGINT NOT NULL,"
	" error TEXT, result TEXT, cancel BIGINT NOT NULL)",
	"CREATE UNIQUE INDEX operation_active ON operation (key) WHERE state = 0",
	"CREATE INDEX operation_ended ON operation (ended_us)",
	"CREATE TABLE job ("
	" id TEXT PRIMARY KEY REFERENCES operation (id) ON DELETE CASCADE,"
	" seq BIGINT NOT NULL UNIQUE, parent TEXT, params TEXT, checkpoint TEXT,"
	" token BIGINT NOT NULL, owner TEXT, lease_us BIGINT NOT NULL)",
	"CREATE TABLE idempotency ("
	" principal TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,"
	" created_us BIGINT NOT NULL, response TEXT NOT NULL, PRIMARY KEY (principal, key))",
	"CREATE INDEX idempotency_created ON idempotency (created_us)",
	NULL,
};

const char *const schema_queues[] = {
	"ALTER TABLE operation ADD COLUMN queue BIGINT NOT NULL DEFAULT 0",
	"DROP INDEX operation_active",
	"CREATE UNIQUE INDEX operation_active ON operation (key, queue) WHERE state = 0",
	"ALTER TABLE job ADD COLUMN share TEXT",
	"ALTER TABLE job ADD COLUMN cpus BIGINT NOT NULL DEFAULT 0",
	"ALTER TABLE job ADD COLUMN memory_bytes BIGINT NOT NULL DEFAULT 0",
	"ALTER TABLE job ADD COLUMN disk_bytes BIGINT NOT NULL DEFAULT 0",
	"ALTER TABLE job ADD COLUMN waiter TEXT",
	"CREATE INDEX job_share ON job (seq) WHERE share IS NOT NULL",
	NULL,
};

const char *const schema_leases[] = {
	"CREATE INDEX job_lease ON job (lease_us)",
	NULL,
};

#define COLUMNS                                                                                    \
	"id, key, resource, type, kind, method, api_version, principal, state, percent,"           \
	" created_us, started_us, ended_us, error, result, cancel, queue"

void operation_done(struct operation *o)
{
	free(o->id);
	free(o->key);
	free(o->resource);
	free(o->type);
	free(o->kind);
	free(o->method);
	free(o->api_version);
	json_decref(o->principal);
	json_decref(o->error);
	json_decref(o->result);
	*o = (struct operation){0};
}

static int row_operation(void *arg, const struct db_row *row)
{
	struct operation *o = arg;
	char **const text[] = {&o->id,   &o->key,    &o->resource,   &o->type,
			       &o->kind, &o->method, &o->api_version};
	int r = 0;

	for (int i = 0; i < (int) ARRAY_SIZE(text) && r >= 0; i++)
		r = row_str(row, i, text[i]);
	if (r >= 0)
		r = row_json(row, 7, &o->principal);
	o->state = (enum operation_state) db_col_int(row, 8);
	o->percent = db_col_int(row, 9);
	o->created_us = db_col_int(row, 10);
	o->started_us = db_col_int(row, 11);
	o->ended_us = db_col_int(row, 12);
	if (r >= 0)
		r = row_json(row, 13, &o->error);
	if (r >= 0)
		r = row_json(row, 14, &o->result);
	o->cancel = db_col_int(row, 15) != 0;
	o->queue = db_col_int(row, 16);
	return r;
}

/* Within the caller's transaction, or the index decides. */
static int last_place(struct meta *m, const char *key, int64_t *ret, struct err *err)
{
	struct db_value p[] = {DBT(key)};

	return db_query(meta_db(m),
			"SELECT COALESCE(MAX(queue) + 1, 0) FROM operation"
			" WHERE key = ? AND state = 0",
			p, 1, row_int, ret, NULL, err);
}

int operation_create(struct meta *m, const struct operation *o, struct err *err)
{
	auto_free char *principal = NULL;
	int64_t place = 0;
	int r = o->queue ? last_place(m, o->key, &place, err) : 0;

	if (r < 0)
		return r;

	if (json_column(o->principal, &principal) < 0)
		return err_set(err, -ENOMEM, "out of memory");

	struct db_value p[] = {DBT(o->id),          DBT(o->key),    DBT(o->resource),
			       DBT(o->type),        DBT(o->kind),   DBT(o->method),
			       DBT(o->api_version), DBT(principal), DBI(OPERATION_RUNNING),
			       DBI(time_now_us()),  DBI(place)};

	return exec_sql(m,
			"INSERT INTO operation (id, key, resource, type, kind, method, api_version,"
			" principal, state, percent, created_us, started_us, ended_us, cancel,"
			" queue) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, 0, 0, ?)",
			p, ARRAY_SIZE(p), NULL, err);
}

static int get_by(struct meta *m, const char *sql, const char *value, struct operation *ret,
		  struct err *err)
{
	struct db_value p[] = {DBT(value)};
	struct operation o = {0};
	int r = db_query(meta_db(m), sql, p, 1, row_operation, &o, NULL, err);

	if (r >= 0 && !o.id)
		r = err_set(err, -ENOENT, "no operation \"%.300s\"", value);
	if (r < 0) {
		operation_done(&o);
		return r == -ENOENT ? r : err_ctx(err, r, "operation \"%.300s\"", value);
	}
	*ret = o;
	return 0;
}

int operation_get(struct meta *m, const char *id, struct operation *ret, struct err *err)
{
	return get_by(m, "SELECT " COLUMNS " FROM operation WHERE id = ?", id, ret, err);
}

int operation_active(struct meta *m, const char *key, struct operation *ret, struct err *err)
{
	return get_by(m,
		      "SELECT " COLUMNS " FROM operation WHERE key = ? AND state = 0 AND queue = 0",
		      key, ret, err);
}

struct lister {
	operation_fn *fn;
	void *arg;
};

static int row_listed(void *arg, const struct db_row *row)
{
	const struct lister *l = arg;
	auto_operation struct operation o = {0};
	int r = row_operation(&o, row);

	return r < 0 ? r : l->fn(l->arg, &o);
}

int operation_each(struct meta *m, const char *key, operation_fn *fn, void *arg, struct err *err)
{
	struct lister l = {fn, arg};
	struct db_value p[] = {DBT(key)};

	return db_query(meta_db(m),
			"SELECT " COLUMNS " FROM operation WHERE key = ? AND state = 0"
			" ORDER BY queue",
			p, 1, row_listed, &l, NULL, err);
}

int operation_list(struct meta *m, const char *prefix, unsigned limit, operation_fn *fn, void *arg,
		   struct err *err)
{
	struct lister l = {fn, arg};
	struct db_value p[] = {DBT(prefix), DBT(prefix), DBI(limit)};

	return db_query(meta_db(m),
			"SELECT " COLUMNS " FROM operation"
			" WHERE substr(key, 1, length(?)) = ? ORDER BY created_us DESC, id LIMIT ?",
			p, ARRAY_SIZE(p), row_listed, &l, NULL, err);
}

int operation_cancel(struct meta *m, const char *id, struct err *err)
{
	struct db_value p[] = {DBT(id)};
	int64_t n = 0;
	int r = exec_sql(m, "UPDATE operation SET cancel = 1 WHERE id = ? AND state = 0", p, 1, &n,
			 err);

	if (r >= 0 && n == 0)
		return err_set(err, -ENOENT, "operation \"%.100s\" is not running", id);
	return r;
}

/* Whoever is first in the queue of the resource is the active one now. */
static int promote(struct meta *m, const char *id, struct err *err)
{
	struct db_value p[] = {DBT(id)};

	return exec_sql(m,
			"UPDATE operation SET queue = 0 WHERE id = (SELECT o.id FROM operation o"
			" WHERE o.state = 0 AND o.key = (SELECT e.key FROM operation e WHERE e.id ="
			" ?) ORDER BY o.queue LIMIT 1)",
			p, 1, NULL, err);
}

int operation_end(struct meta *m, const char *id, enum operation_state state, const json_t *error,
		  const json_t *result, struct err *err)
{
	auto_free char *e = NULL, *res = NULL;
	int64_t n = 0;
	int r;

	if (json_column(error, &e) < 0 || json_column(result, &res) < 0)
		return err_set(err, -ENOMEM, "out of memory");

	struct db_value p[] = {DBI(state),
			       DBT(e),
			       DBT(res),
			       DBI(time_now_us()),
			       DBI(state == OPERATION_SUCCEEDED ? 1 : 0),
			       DBT(id)};

	r = meta_begin(m, err);
	if (r < 0)
		return r;
	r = exec_sql(m,
		     "UPDATE operation SET state = ?, error = ?, result = ?, ended_us = ?,"
		     " percent = CASE WHEN ? = 1 THEN 100 ELSE percent END"
		     " WHERE id = ? AND state = 0",
		     p, ARRAY_SIZE(p), &n, err);
	if (r >= 0 && n == 0)
		r = err_set(err, -ENOENT, "operation \"%.100s\" is not running", id);
	if (r >= 0)
		r = promote(m, id, err);
	return tx_end(m, r, err);
}

int operation_expire(struct meta *m, int64_t before_us, unsigned limit, struct err *err)
{
	struct db_value p[] = {DBI(before_us), DBI(limit)};

	return exec_sql(m,
			"DELETE FROM operation WHERE id IN (SELECT id FROM operation"
			" WHERE state <> 0 AND ended_us > 0 AND ended_us < ?"
			" ORDER BY ended_us LIMIT ?)",
			p, ARRAY_SIZE(p), NULL, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Databases that older programs left, and what the indexes are for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>

#include "base/mem.h"
#include "meta/audit.h"
#include "meta/driver.h"
#include "meta/jobs.h"
#include "meta/operations.h"
#include "meta/packs.h"
#include "meta/resources.h"
#include "meta/schema.h"
#include "support/dbs.h"

static int row_number(void *arg, const struct db_row *row)
{
	*(int64_t *) arg = db_col_int(row, 0);
	return 0;
}

static int64_t number(struct db *db, const char *sql)
{
	int64_t n = -1;

	assert_int_equal(db_query(db, sql, NULL, 0, row_number, &n, NULL, NULL), 0);
	return n;
}

static void run(struct db *db, const char *sql)
{
	auto_err struct err err = ERR_INIT;

	if (db_query(db, sql, NULL, 0, NULL, NULL, NULL, &err) < 0)
		fail_msg("%s: %s", sql, err_str(&err));
}

/* Rows as a program of step 4 wrote them. */
static void old_rows(struct db *db)
{
	run(db, "INSERT INTO meta_counter (name, value) VALUES ('revision', 7)");
	run(db, "INSERT INTO resource (key, id, type, sort, api_version, revision, changes, doc)"
		" VALUES ('/a', '/A', 't', '/a', '2023-01-01', 7, 1, '{\"k\":1}')");
	run(db, "INSERT INTO operation (id, key, resource, type, kind, method, api_version,"
		" principal, state, percent, created_us, started_us, ended_us, cancel)"
		" VALUES ('o', '/a', '/A', 't', 'create', 'PUT', '2023-01-01', '{}', 0, 0, 1, 0, 0,"
		" 0)");
	run(db, "INSERT INTO job (id, seq, token, lease_us) VALUES ('o', 1, 0, 0)");
	run(db, "INSERT INTO store_root (kind, id, region, root, digest, size_bytes)"
		" VALUES ('version', '/a', 'eastus',"
		" '00000000000000000000000000000000000000000000000000000000000000aa',"
		" '00000000000000000000000000000000000000000000000000000000000000bb', 512)");
}

static bool nobody(void *arg, const char *owner)
{
	return false;
}

static void assert_new(struct meta *m)
{
	const struct job_claim c = {.owner = "me", .lease_us = 1000000, .alive = nobody};
	struct root_row root = {.region = "eastus", .kind = "version", .id = "/a"};
	auto_resource struct resource r = {0}, other = {0};
	auto_json json_t *record = json_object();
	auto_job_row struct job_row j = {0};

	assert_int_equal(resource_get(m, "/a", &r, NULL), 0);
	assert_int_equal(json_int_at(r.doc, "k", 0), 1);
	assert_int_equal(resource_update(m, &r, true, NULL), 0);
	assert_true(r.revision > 7);
	assert_int_equal(job_lease(m, &c, &j, NULL), 0);
	assert_string_equal(j.id, "o");
	assert_int_equal(packs_root_get(m, &root, NULL), 0);
	assert_int_equal(root.size_bytes, 512);
	assert_int_equal(audit_add(m, record, NULL), 0);
	assert_int_equal(resource_get(m, "/b", &other, NULL), -ENOENT);
}

/* From every earlier step to the newest. */
static void older_databases_are_taken_forward(void **state)
{
	const struct dbs *d = *state;
	size_t newest;

	for (size_t from = 4;; from++) {
		char url[PG_URL_MAX], name[32];
		struct meta *m;
		struct db *db;

		(void) snprintf(name, sizeof(name), "step%zu", from);
		if (d->pg)
			pg_url(d->pg, NULL, name, url);
		else
			(void) snprintf(url, sizeof(url), "sqlite:%s/%s.db", d->dir, name);
		assert_int_equal(db_open(url, &db, NULL), 0);
		newest = schema_newest();
		assert_int_equal(schema_migrate_to(db, schema_steps(), from, NULL), 0);
		assert_int_equal(number(db, "SELECT MAX(step) FROM meta_schema"), from);
		old_rows(db);
		db_close(db);
		assert_int_equal(meta_open(url, &m, NULL), 0);
		assert_int_equal(number(meta_db(m), "SELECT MAX(step) FROM meta_schema"), newest);
		assert_new(m);
		/* and a program that knows less refuses it */
		assert_int_equal(schema_migrate_to(meta_db(m), schema_steps(), newest - 1, NULL),
				 -EPROTO);
		meta_close(m);
		if (from == newest)
			break;
	}
	assert_true(newest > 4);
}

static void *open_it(void *arg)
{
	struct meta *m = NULL;
	int r = meta_open(arg, &m, NULL);

	meta_close(m);
	return r == 0 ? NULL : arg;
}

/* Everybody opens the new database at once; each step is applied once. */
static void many_first_openers(void **state)
{
	struct dbs *d = *state;
	pthread_t t[6];
	void *failed;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, open_it, d->url), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(pthread_join(t[i], &failed), 0);
		assert_null(failed);
	}
}

/* ---- Plans --------------------------------------------------------------------------------- */

static int row_plan(void *arg, const struct db_row *row)
{
	const struct dbs *const *d = arg;
	struct buf *b = ((struct buf **) arg)[1];

	(void) buf_addf(b, "%s\n", db_col_text(row, (*d)->pg ? 0 : 3));
	return 0;
}

/* The statement searches an index and sorts nothing. */
static void assert_indexed(const struct dbs *d, struct db *db, const char *sql)
{
	auto_buf struct buf plan = BUF_INIT(1 << 16);
	const void *arg[] = {d, &plan};
	static const char *const off[] = {"SET enable_seqscan = off", "SET enable_bitmapscan = off",
					  "SET enable_sort = off"};
	auto_free char *explain = strf("EXPLAIN %s%s", d->pg ? "" : "QUERY PLAN ", sql);
	bool good;

	/* An empty table is quicker read whole and sorted: now only where no index helps. */
	for (size_t i = 0; d->pg && i < ARRAY_SIZE(off); i++)
		run(db, off[i]);
	assert_int_equal(db_query(db, explain, NULL, 0, row_plan, arg, NULL, NULL), 0);
	good = !strstr(buf_str(&plan), "Seq Scan") && !strstr(buf_str(&plan), "SCAN") &&
	       !strstr(buf_str(&plan), "Sort") && !strstr(buf_str(&plan), "TEMP B-TREE");
	if (!good)
		print_error("%s\n%s", sql, buf_str(&plan));
	assert_true(good);
}

static void what_is_asked_often_is_indexed(void **state)
{
	static const char *const sql[] = {
		"SELECT doc FROM resource WHERE key = '/a'",
		"SELECT doc FROM resource WHERE type = 't' AND sort > '/a' AND sort < '/b'"
		" ORDER BY sort LIMIT 100",
		"SELECT doc FROM resource WHERE type = 't' AND sort > '/a' AND sort < '/b'"
		" ORDER BY sort DESC LIMIT 16",
		"SELECT doc FROM resource WHERE key > '/a' AND key < '/b' ORDER BY key DESC LIMIT "
		"9",
		"SELECT id FROM operation WHERE key = '/a' AND state = 0",
		"SELECT id FROM operation WHERE id = 'o'",
		"SELECT id FROM job WHERE lease_us > 5",
		"SELECT token FROM job WHERE id = 'o' AND token = 1",
		"SELECT record FROM audit WHERE seq > 5 ORDER BY seq LIMIT 100",
		"SELECT id FROM store_pack WHERE region = 'r' AND seq > 5 ORDER BY seq LIMIT 9",
		"SELECT id FROM store_root WHERE (kind, id, region) > ('a', 'b', 'c')"
		" ORDER BY kind, id, region LIMIT 9",
		"SELECT response FROM idempotency WHERE principal = 'p' AND key = 'k'",
	};
	const struct dbs *d = *state;
	struct meta *m;

	assert_int_equal(meta_open(d->url, &m, NULL), 0);
	/* on one connection, which keeps the setting */
	db_limit(meta_db(m), 1);
	assert_int_equal(meta_begin(m, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sql); i++)
		assert_indexed(d, meta_db(m), sql[i]);
	assert_int_equal(meta_commit(m, NULL), 0);
	meta_close(m);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(older_databases_are_taken_forward),
		DBS_TEST(many_first_openers),
		DBS_TEST(what_is_asked_often_is_indexed),
	};

	return dbs_run("meta/schema", tests, ARRAY_SIZE(tests));
}

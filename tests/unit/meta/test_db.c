/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "meta/db.h"
#include "meta/driver.h"
#include "meta/meta.h"
#include "meta/schema.h"
#include "support/dbs.h"

static int row_number(void *arg, const struct db_row *row)
{
	int64_t *v = arg;

	*v = db_col_int(row, 0);
	return 0;
}

static int64_t count(struct db *db)
{
	int64_t n = -1;

	assert_int_equal(
		db_query(db, "SELECT COUNT(*) FROM t", NULL, 0, row_number, &n, NULL, NULL), 0);
	return n;
}

static int insert(struct db *db, int64_t id, const char *text)
{
	struct db_value p[] = {DBI(id), DBT(text)};

	return db_query(db, "INSERT INTO t (id, v) VALUES (?, ?)", p, 2, NULL, NULL, NULL, NULL);
}

static struct db *open_with_table(const struct dbs *f)
{
	struct db *db;

	assert_int_equal(db_open(f->url, &db, NULL), 0);
	assert_int_equal(db_query(db,
				  "CREATE TABLE IF NOT EXISTS t (id BIGINT PRIMARY KEY, v TEXT)",
				  NULL, 0, NULL, NULL, NULL, NULL),
			 0);
	return db;
}

static void urls(void **state)
{
	auto_err struct err err = ERR_INIT;
	struct db *db;

	assert_int_equal(db_open("sqlite:relative", &db, &err), -EINVAL);
	assert_int_equal(db_open("mysql:/x", &db, &err), -EINVAL);
	assert_non_null(err.hint);
	assert_true(db_open("sqlite:/nonexistent-dir/x.db", &db, &err) < 0);
}

static void file_is_private(void **state)
{
	struct dbs *f = *state;
	struct db *db = open_with_table(f);
	struct stat st;

	if (!f->pg) {
		assert_int_equal(stat(tmp_path(f->dir, "kiln.db"), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	db_close(db);
}

static int row_values(void *arg, const struct db_row *row)
{
	size_t n;
	const char *blob;

	assert_int_equal(db_col_int(row, 0), INT64_MIN);
	assert_string_equal(db_col_text(row, 1), "it's \xc3\xa9");
	assert_null(db_col_text(row, 2));
	blob = db_col_blob(row, 3, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(blob, "a\0b", 3);
	*(int *) arg += 1;
	return 0;
}

static void values_round_trip(void **state)
{
	struct db *db = open_with_table(*state);
	struct db_value p[] = {DBI(INT64_MIN), DBT("it's \xc3\xa9"), DBT(NULL), DBB("a\0b", 3)};
	int rows = 0;

	assert_int_equal(db_query(db, "SELECT ?, ?, ?, ?", p, 4, row_values, &rows, NULL, NULL), 0);
	assert_int_equal(rows, 1);
	/* the number of values must be right */
	assert_true(db_query(db, "SELECT ?, ?", p, 1, NULL, NULL, NULL, NULL) < 0);
	db_close(db);
}

static void unique_is_eexist(void **state)
{
	struct db *db = open_with_table(*state);
	int64_t changes = -1;

	assert_int_equal(insert(db, 1, "a"), 0);
	assert_int_equal(insert(db, 1, "b"), -EEXIST);
	assert_int_equal(db_query(db, "UPDATE t SET v = 'z'", NULL, 0, NULL, NULL, &changes, NULL),
			 0);
	assert_int_equal(changes, 1);
	assert_int_equal(count(db), 1);
	db_close(db);
}

static void nesting(void **state)
{
	struct db *db = open_with_table(*state);

	assert_int_equal(db_begin(db, NULL), 0);
	assert_int_equal(insert(db, 1, "a"), 0);
	assert_int_equal(db_begin(db, NULL), 0);
	assert_int_equal(insert(db, 2, "b"), 0);
	assert_int_equal(db_commit(db, NULL), 0);
	db_rollback(db);
	assert_int_equal(count(db), 0);

	/* an inner rollback dooms the outer transaction */
	assert_int_equal(db_begin(db, NULL), 0);
	assert_int_equal(insert(db, 1, "a"), 0);
	assert_int_equal(db_begin(db, NULL), 0);
	db_rollback(db);
	assert_int_equal(insert(db, 3, "c"), -ECANCELED);
	assert_int_equal(db_commit(db, NULL), -ECANCELED);
	assert_int_equal(count(db), 0);

	assert_int_equal(db_begin(db, NULL), 0);
	assert_int_equal(insert(db, 1, "a"), 0);
	assert_int_equal(db_commit(db, NULL), 0);
	assert_int_equal(count(db), 1);
	db_close(db);
}

static int row_query_again(void *arg, const struct db_row *row)
{
	int64_t n = -1;

	assert_int_equal(db_query(arg, "SELECT id FROM t ORDER BY id DESC", NULL, 0, row_number, &n,
				  NULL, NULL),
			 0);
	assert_int_equal(n, 1);
	return 7;
}

static void callback_may_query_and_stop(void **state)
{
	struct db *db = open_with_table(*state);

	assert_int_equal(insert(db, 1, "a"), 0);
	assert_int_equal(insert(db, 2, "b"), 0);
	/* the same text twice at once: the cached statement is in use */
	assert_int_equal(db_query(db, "SELECT id FROM t ORDER BY id DESC", NULL, 0, row_query_again,
				  db, NULL, NULL),
			 7);
	db_close(db);
}

#define THREADS 4
#define ROUNDS  25

static void *add_rows(void *arg)
{
	struct db *db = arg;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t n;

		if (db_begin(db, NULL) < 0)
			return db;
		n = count(db); /* lost updates would make ids collide */
		if (insert(db, n, "x") < 0 || db_commit(db, NULL) < 0)
			return db;
	}
	return NULL;
}

/* Threads share one connection, and a second connection stands for another process. */
static void transactions_exclude_each_other(void **state)
{
	struct db *db = open_with_table(*state), *other = open_with_table(*state);
	pthread_t t[THREADS];
	void *failed;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, add_rows, i % 2 == 0 ? db : other), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(count(db), THREADS * ROUNDS);
	db_close(db);
	db_close(other);
}

static void migrations(void **state)
{
	static const char *const one[] = {"CREATE TABLE a (x BIGINT)", "INSERT INTO a VALUES (1)",
					  NULL};
	static const char *const two[] = {"ALTER TABLE a ADD COLUMN y BIGINT", NULL};
	static const char *const bad[] = {"CREATE TABLE b (x BIGINT)", "NONSENSE", NULL};
	const struct schema_step steps[] = {{"one", one}, {"two", two}, {"bad", bad}};
	struct dbs *f = *state;
	auto_err struct err err = ERR_INIT;
	char backup[128];
	struct db *db;
	int64_t n = 0;

	(void) snprintf(backup, sizeof(backup), "%s/kiln.db.backup-schema-1", f->dir);
	assert_int_equal(db_open(f->url, &db, NULL), 0);
	assert_int_equal(schema_migrate_to(db, steps, 1, NULL), 0);
	assert_false(file_exists(backup)); /* nothing to keep yet */
	assert_int_equal(schema_migrate_to(db, steps, 1, NULL), 0);
	assert_int_equal(schema_migrate_to(db, steps, 2, NULL), 0);
	assert_int_equal(file_exists(backup), !f->pg);
	assert_int_equal(db_query(db, "SELECT x FROM a WHERE y IS NULL", NULL, 0, row_number, &n,
				  NULL, NULL),
			 0);
	assert_int_equal(n, 1);

	/* a step that fails leaves nothing of itself */
	assert_true(schema_migrate_to(db, steps, 3, &err) < 0);
	assert_non_null(strstr(err_str(&err), "bad"));
	assert_int_not_equal(db_query(db, "SELECT x FROM b", NULL, 0, NULL, NULL, NULL, NULL), 0);
	/* an older program refuses a newer schema */
	assert_int_equal(schema_migrate_to(db, steps, 1, &err), -EPROTO);
	db_close(db);
	if (f->pg)
		return; /* copies are the administrator's, and a step is whole or absent */

	/* the copy is a whole database with the older schema */
	(void) snprintf(f->url, sizeof(f->url), "sqlite:%s", backup);
	assert_int_equal(db_open(f->url, &db, NULL), 0);
	assert_int_equal(schema_migrate_to(db, steps, 1, NULL), 0);
	db_close(db);
}

static void meta_opens_twice(void **state)
{
	struct dbs *f = *state;
	struct meta *a, *b;

	assert_int_equal(meta_open(f->url, &a, NULL), 0);
	assert_int_equal(meta_open(f->url, &b, NULL), 0);
	assert_int_equal(meta_begin(a, NULL), 0);
	assert_int_equal(meta_commit(a, NULL), 0);
	meta_close(a);
	meta_close(b);
	meta_close(NULL);
}

static void not_a_database(void **state)
{
	static const char junk[] =
		"this is no database, but long enough to have a header: "
		"...............................................................";
	struct dbs *f = *state;
	auto_err struct err err = ERR_INIT;
	struct meta *m;

	if (f->pg) {
		(void) snprintf(f->url, sizeof(f->url), "postgres://kiln@/none?host=%.*s",
				(int) (strrchr(pg_socket(f->pg), '/') - pg_socket(f->pg)),
				pg_socket(f->pg));
		assert_true(meta_open(f->url, &m, &err) < 0);
		return;
	}
	assert_int_equal(
		file_write_atomic(tmp_path(f->dir, "kiln.db"), junk, sizeof(junk), 0600, NULL), 0);
	assert_int_equal(meta_open(f->url, &m, &err), -EIO);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(urls),
		DBS_TEST(file_is_private),
		DBS_TEST(values_round_trip),
		DBS_TEST(unique_is_eexist),
		DBS_TEST(nesting),
		DBS_TEST(callback_may_query_and_stop),
		DBS_TEST(transactions_exclude_each_other),
		DBS_TEST(migrations),
		DBS_TEST(meta_opens_twice),
		DBS_TEST(not_a_database),
	};

	return dbs_run("meta/db", tests, ARRAY_SIZE(tests));
}

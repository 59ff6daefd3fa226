/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads and two pools on one database, as threads of several hosts are: what a write
 * transaction has read stays true, jobs are taken once, snapshots do not move.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>

#include "base/mem.h"
#include "meta/audit.h"
#include "meta/driver.h"
#include "meta/jobs.h"
#include "meta/operations.h"
#include "meta/resources.h"
#include "support/dbs.h"

#define THREADS  8
#define ROUNDS   40
#define JOBS     (200 * rounds())
#define ACCOUNTS 10

/* KILN_LONG=N: N times as many jobs. */
static unsigned rounds(void)
{
	const char *s = getenv("KILN_LONG");
	long n = s ? strtol(s, NULL, 10) : 1;

	return n > 0 && n < 100000 ? (unsigned) n : 1;
}

struct shared {
	struct meta *pool[2];
	atomic_uint done, refused, wrong;
	atomic_bool stop;
};

static int row_number(void *arg, const struct db_row *row)
{
	*(int64_t *) arg = db_col_int(row, 0);
	return 0;
}

static int64_t number(struct meta *m, const char *sql)
{
	int64_t n = -1;

	return db_query(meta_db(m), sql, NULL, 0, row_number, &n, NULL, NULL) < 0 ? -1 : n;
}

static int run(struct meta *m, const char *sql, int64_t a, int64_t b)
{
	struct db_value p[] = {DBI(a), DBI(b)};

	return db_query(meta_db(m), sql, p, 2, NULL, NULL, NULL, NULL);
}

static void open_pools(struct shared *s, const struct dbs *d)
{
	*s = (struct shared){0};
	for (size_t i = 0; i < ARRAY_SIZE(s->pool); i++)
		assert_int_equal(meta_open(d->url, &s->pool[i], NULL), 0);
}

static void close_pools(struct shared *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->pool); i++)
		meta_close(s->pool[i]);
}

struct thread {
	struct shared *s;
	struct meta *m;
	unsigned n;
	pthread_t id;
};

static void in_threads(struct shared *s, struct thread *t, unsigned n, void *(*fn)(void *) )
{
	for (unsigned i = 0; i < n; i++) {
		t[i] = (struct thread){.s = s, .m = s->pool[i % 2], .n = i};
		assert_int_equal(pthread_create(&t[i].id, NULL, fn, &t[i]), 0);
	}
}

static void join(const struct thread *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(t[i].id, NULL), 0);
}

/* ---- Changes ------------------------------------------------------------------------------ */

/* Reads, decides by what was read, and writes something else: the shape of a hook. */
static int change(struct meta *m, unsigned thread, unsigned round)
{
	auto_json json_t *record =
		json_pack("{s:i, s:i}", "thread", (int) thread, "round", (int) round);
	int64_t n = number(m, "SELECT COUNT(*) FROM thing"), revision;
	int r = run(m, "INSERT INTO thing (id, thread) VALUES (?, ?)", n, thread);

	if (r >= 0)
		r = counter_next(m, "revision", &revision, NULL);
	if (r >= 0 && revision != n + 1)
		r = -EPROTO;
	return r < 0 ? r : audit_add(m, record, NULL);
}

static void *changes(void *arg)
{
	struct thread *t = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		bool drop = (i + t->n) % 5 == 0;

		if (meta_begin(t->m, NULL) < 0 || change(t->m, t->n, i) < 0) {
			atomic_fetch_add(&t->s->wrong, 1);
			return NULL;
		}
		if (drop)
			meta_rollback(t->m);
		else if (meta_commit(t->m, NULL) < 0)
			atomic_fetch_add(&t->s->wrong, 1);
		else
			atomic_fetch_add(&t->s->done, 1);
	}
	return NULL;
}

static void writers_do_not_interleave(void **state)
{
	struct thread t[THREADS];
	struct shared s;
	int64_t rows = 0;

	open_pools(&s, *state);
	assert_int_equal(db_query(meta_db(s.pool[0]),
				  "CREATE TABLE thing (id BIGINT PRIMARY KEY, thread BIGINT)", NULL,
				  0, NULL, NULL, NULL, NULL),
			 0);
	in_threads(&s, t, THREADS, changes);
	join(t, THREADS);
	assert_int_equal(s.wrong, 0);
	assert_true(s.done > 0);
	assert_int_equal(number(s.pool[1], "SELECT COUNT(*) FROM thing"), s.done);
	assert_int_equal(number(s.pool[1], "SELECT value FROM meta_counter"), s.done);
	assert_int_equal(audit_verify(s.pool[0], NULL, 0, &rows, NULL), 0);
	assert_int_equal(rows, s.done);
	close_pools(&s);
}

/* ---- Compare and swap --------------------------------------------------------------------- */

static void *updates(void *arg)
{
	struct thread *t = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		auto_resource struct resource r = {0};
		int rc = resource_get(t->m, "/a", &r, NULL);

		if (rc >= 0 &&
		    json_object_set_new(r.doc, "n", json_integer(json_int_at(r.doc, "n", 0) + 1)) >=
			    0)
			rc = resource_update(t->m, &r, i % 2 == 0, NULL);
		atomic_fetch_add(rc == 0         ? &t->s->done
				 : rc == -ESTALE ? &t->s->refused
						 : &t->s->wrong,
				 1);
	}
	return NULL;
}

static void swaps_lose_no_update(void **state)
{
	struct resource a = {.key = (char *) (uintptr_t) "/a",
			     .id = (char *) (uintptr_t) "/a",
			     .type = (char *) (uintptr_t) "t",
			     .sort = (char *) (uintptr_t) "/a",
			     .api_version = (char *) (uintptr_t) "2023-01-01"};
	auto_resource struct resource r = {0};
	struct thread t[THREADS];
	struct shared s;

	open_pools(&s, *state);
	a.doc = json_pack("{s:i}", "n", 0);
	assert_int_equal(resource_create(s.pool[0], &a, NULL), 0);
	json_decref(a.doc);
	in_threads(&s, t, THREADS, updates);
	join(t, THREADS);
	assert_int_equal(s.wrong, 0);
	assert_int_equal(s.done + s.refused, THREADS * ROUNDS);
	assert_int_equal(resource_get(s.pool[1], "/a", &r, NULL), 0);
	assert_int_equal(json_int_at(r.doc, "n", -1), s.done);
	assert_int_equal(r.changes, s.done + 1);
	close_pools(&s);
}

/* ---- Snapshots ---------------------------------------------------------------------------- */

static void *transfers(void *arg)
{
	struct thread *t = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		int r = meta_begin(t->m, NULL);

		if (r >= 0)
			r = run(t->m, "UPDATE account SET value = value - ? WHERE id = ?", 1,
				(i + t->n) % ACCOUNTS);
		if (r >= 0)
			r = run(t->m, "UPDATE account SET value = value + ? WHERE id = ?", 1,
				(i * 7 + 3) % ACCOUNTS);
		if (r < 0 || meta_commit(t->m, NULL) < 0)
			atomic_fetch_add(&t->s->wrong, 1);
	}
	return NULL;
}

static void *sums(void *arg)
{
	struct thread *t = arg;

	while (!atomic_load(&t->s->stop)) {
		int64_t sum = 0, whole = -1;

		if (db_begin_read(meta_db(t->m), NULL) < 0) {
			atomic_fetch_add(&t->s->wrong, 1);
			return NULL;
		}
		for (int64_t i = 0; i < ACCOUNTS; i++) {
			struct db_value p[] = {DBI(i)};
			int64_t v = 0;

			(void) db_query(meta_db(t->m), "SELECT value FROM account WHERE id = ?", p,
					1, row_number, &v, NULL, NULL);
			sum += v;
		}
		whole = number(t->m, "SELECT SUM(value) FROM account");
		/* a change is refused in here, and so is a transaction that could make one */
		if (db_begin(meta_db(t->m), NULL) != -EINVAL)
			atomic_fetch_add(&t->s->wrong, 1);
		(void) db_commit(meta_db(t->m), NULL);
		if (sum != ACCOUNTS * 100 || whole != sum)
			atomic_fetch_add(&t->s->wrong, 1);
		atomic_fetch_add(&t->s->done, 1);
	}
	return NULL;
}

static void snapshots_stand_still(void **state)
{
	struct thread w[THREADS], r[THREADS];
	struct shared s;

	open_pools(&s, *state);
	assert_int_equal(db_query(meta_db(s.pool[0]),
				  "CREATE TABLE account (id BIGINT PRIMARY KEY, value BIGINT)",
				  NULL, 0, NULL, NULL, NULL, NULL),
			 0);
	for (int64_t i = 0; i < ACCOUNTS; i++)
		assert_int_equal(
			run(s.pool[0], "INSERT INTO account (id, value) VALUES (?, ?)", i, 100), 0);
	/* fewer connections than threads: they take turns */
	db_limit(meta_db(s.pool[0]), 2);
	in_threads(&s, r, THREADS, sums);
	in_threads(&s, w, THREADS, transfers);
	join(w, THREADS);
	while (atomic_load(&s.done) == 0)
		(void) sched_yield();
	atomic_store(&s.stop, true);
	join(r, THREADS);
	assert_int_equal(s.wrong, 0);
	close_pools(&s);
}

/* ---- Jobs --------------------------------------------------------------------------------- */

static void queue(struct meta *m, unsigned i)
{
	auto_free char *id = strf("job-%u", i), *key = strf("/r%u", i);
	auto_json json_t *who = json_object();
	const struct operation o = {
		.id = id,
		.key = key,
		.resource = key,
		.type = (char *) (uintptr_t) "t",
		.kind = (char *) (uintptr_t) "create",
		.method = (char *) (uintptr_t) "PUT",
		.api_version = (char *) (uintptr_t) "2023-01-01",
		.principal = who,
	};

	assert_int_equal(meta_begin(m, NULL), 0);
	assert_int_equal(operation_create(m, &o, NULL), 0);
	assert_int_equal(job_create(m, id, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(meta_commit(m, NULL), 0);
}

/* Some owners are known to have died; the leases of all others last. */
static bool alive(void *arg, const char *owner)
{
	return !str_eq(owner, "dead");
}

/* The end of a job, as a worker records it: fence, what it made, the operation's end, the row. */
static int finish_job(struct meta *m, const struct job_row *j)
{
	struct db_value p[] = {DBT(j->id)};
	int r = meta_begin(m, NULL);

	if (r < 0)
		return r;
	r = job_fence(m, j->id, j->token, NULL);
	if (r >= 0)
		r = db_query(meta_db(m), "INSERT INTO result (id) VALUES (?)", p, 1, NULL, NULL,
			     NULL, NULL);
	if (r >= 0)
		r = operation_end(m, j->id, OPERATION_SUCCEEDED, NULL, NULL, NULL);
	if (r >= 0)
		r = job_remove(m, j->id, j->token, NULL);
	if (r < 0) {
		meta_rollback(m);
		return r;
	}
	return meta_commit(m, NULL);
}

static void *work(void *arg)
{
	struct thread *t = arg;

	for (unsigned i = 0; atomic_load(&t->s->done) < JOBS; i++) {
		/* A third of the claims are of workers that die at once, and some of those write
		 * their result all the same. */
		bool dies = (i + t->n) % 3 == 0;
		const struct job_claim c = {.owner = dies ? "dead" : "alive",
					    .lease_us = INT64_C(3600000000),
					    .alive = alive};
		auto_job_row struct job_row j = {0};
		bool cancel;
		int r = job_lease(t->m, &c, &j, NULL);

		if (r == -EAGAIN) {
			(void) sched_yield();
			continue;
		}
		if (r >= 0 && !dies)
			r = job_renew(t->m, j.id, j.token, c.lease_us, 50, &cancel, NULL);
		if (r >= 0 && (!dies || i % 2 == 0))
			r = finish_job(t->m, &j);
		else if (r >= 0)
			continue;
		atomic_fetch_add(r == 0         ? &t->s->done
				 : r == -ESTALE ? &t->s->refused
						: &t->s->wrong,
				 1);
	}
	return NULL;
}

static void each_job_ends_once(void **state)
{
	struct thread t[THREADS];
	struct shared s;

	open_pools(&s, *state);
	assert_int_equal(db_query(meta_db(s.pool[0]), "CREATE TABLE result (id TEXT PRIMARY KEY)",
				  NULL, 0, NULL, NULL, NULL, NULL),
			 0);
	for (unsigned i = 0; i < JOBS; i++)
		queue(s.pool[0], i);
	in_threads(&s, t, THREADS, work);
	join(t, THREADS);
	assert_int_equal(s.wrong, 0);
	assert_int_equal(s.done, JOBS);
	assert_int_equal(number(s.pool[1], "SELECT COUNT(*) FROM result"), JOBS);
	assert_int_equal(number(s.pool[1], "SELECT COUNT(*) FROM job"), 0);
	assert_int_equal(number(s.pool[1], "SELECT COUNT(*) FROM operation WHERE state = 1"), JOBS);
	close_pools(&s);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(writers_do_not_interleave),
		DBS_TEST(swaps_lose_no_update),
		DBS_TEST(snapshots_stand_still),
		DBS_TEST(each_job_ends_once),
	};

	return dbs_run("meta/concurrent", tests, ARRAY_SIZE(tests));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL that goes away: connections cut at every message, backends terminated, the whole
 * server killed. What was reported as done is there once, what was reported as failed is not.
 * With KILN_LONG=N everything is done N times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

#include "base/mem.h"
#include "meta/audit.h"
#include "meta/db.h"
#include "meta/jobs.h"
#include "meta/operations.h"
#include "meta/resources.h"
#include "support/dbs.h"
#include "support/pg_proxy.h"

struct world {
	struct dbs *d;
	struct pg_proxy *proxy;
	struct meta *near; /* straight to the server: tells what is true */
	struct meta *far;  /* through the proxy: what is tested */
	char url[PG_URL_MAX];
	int64_t committed; /* changes that were acknowledged */
	unsigned injected;
};

static unsigned rounds(void)
{
	const char *s = getenv("KILN_LONG");
	long n = s ? strtol(s, NULL, 10) : 1;

	return n > 0 && n < 100000 ? (unsigned) n : 1;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *at;

	if (!w || dbs_setup(state) < 0)
		return -1;
	w->d = *state;
	if (w->d->pg) {
		w->proxy = pg_proxy_start(w->d->dir, pg_socket(w->d->pg));
		at = strstr(w->d->url, "host=") + 5;
		(void) snprintf(w->url, sizeof(w->url), "%.*s%s%s", (int) (at - w->d->url),
				w->d->url, w->d->dir, strchr(at, '&'));
		assert_int_equal(meta_open(w->d->url, &w->near, NULL), 0);
		assert_int_equal(meta_open(w->url, &w->far, NULL), 0);
	}
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	void *d = w->d;

	meta_close(w->far);
	meta_close(w->near);
	if (w->proxy)
		pg_proxy_stop(w->proxy);
	free(w);
	return dbs_teardown(&d);
}

static int row_number(void *arg, const struct db_row *row)
{
	*(int64_t *) arg = db_col_int(row, 0);
	return 0;
}

static int64_t number(struct meta *m, const char *sql)
{
	int64_t n = -1;

	assert_int_equal(db_query(meta_db(m), sql, NULL, 0, row_number, &n, NULL, NULL), 0);
	return n;
}

static bool there(struct meta *m, const char *key)
{
	auto_resource struct resource r = {0};
	int rc = resource_get(m, key, &r, NULL);

	assert_true(rc == 0 || rc == -ENOENT);
	return rc == 0;
}

static void assert_whole(struct world *w)
{
	int64_t rows = -1;

	assert_int_equal(audit_verify(w->near, NULL, 0, &rows, NULL), 0);
	assert_int_equal(rows, w->committed);
	assert_int_equal(number(w->near, "SELECT COUNT(*) FROM resource"), w->committed);
}

/* ---- A change of several statements -------------------------------------------------------- */

static int write_all(struct meta *m, const char *key, struct err *err)
{
	auto_json json_t *record = json_pack("{s:s}", "resourceId", key);
	struct resource r = {.key = (char *) (uintptr_t) key,
			     .id = (char *) (uintptr_t) key,
			     .type = (char *) (uintptr_t) "t",
			     .sort = (char *) (uintptr_t) key,
			     .api_version = (char *) (uintptr_t) "2023-01-01",
			     .doc = record};
	int rc = resource_create(m, &r, err);

	return rc < 0 ? rc : audit_add(m, record, err);
}

static int change(struct meta *m, const char *key, struct err *err)
{
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	r = write_all(m, key, err);
	if (r < 0) {
		meta_rollback(m);
		return r;
	}
	return meta_commit(m, err);
}

static void judge(struct world *w, const char *key, int r, const struct err *err)
{
	bool is = there(w->near, key);

	if ((r == 0) != is || (r < 0 && r != -EBUSY && r != -ECANCELED))
		print_error("%s: %d (%s), %s\n", key, r, err_str(err), is ? "there" : "absent");
	assert_int_equal(r == 0, is);
	assert_true(r == 0 || r == -EBUSY || r == -ECANCELED);
	w->committed += r == 0;
}

static void sweep(struct world *w, enum pg_cut how, unsigned round)
{
	for (unsigned n = 1;; n++) {
		auto_free char *key = strf("/%d-%u-%u", how, round, n);
		auto_err struct err err = ERR_INIT;
		int r;

		pg_proxy_cut(w->proxy, how, n);
		r = change(w->far, key, &err);
		if (!pg_proxy_did(w->proxy)) {
			pg_proxy_cut(w->proxy, how, 0);
			assert_int_equal(r, 0);
			judge(w, key, r, &err);
			return;
		}
		w->injected++;
		judge(w, key, r, &err);
	}
}

static void cut_at_every_message(void **state)
{
	struct world *w = *state;

	if (!w->d->pg)
		return;
	for (unsigned i = 0; i < 8 * rounds(); i++) {
		for (int how = 0; how < PG_CUT_MAX; how++)
			sweep(w, (enum pg_cut) how, i);
		/* with new connections, whose statements are yet to be prepared */
		meta_close(w->far);
		assert_int_equal(meta_open(w->url, &w->far, NULL), 0);
	}
	assert_whole(w);
	assert_true(w->injected > 1000 * rounds());
}

/* Reads are repeated: nobody notices. */
static void reads_go_on(void **state)
{
	struct world *w = *state;

	if (!w->d->pg)
		return;
	assert_int_equal(change(w->far, "/a", NULL), 0);
	for (int how = 0; how < PG_CUT_MAX; how++)
		for (unsigned n = 1;; n++) {
			auto_resource struct resource r = {0};

			pg_proxy_cut(w->proxy, (enum pg_cut) how, n);
			assert_int_equal(resource_get(w->far, "/a", &r, NULL), 0);
			assert_string_equal(r.key, "/a");
			if (!pg_proxy_did(w->proxy))
				break;
		}
	pg_proxy_cut(w->proxy, PG_CUT_BEFORE, 0);
}

/* ---- Jobs --------------------------------------------------------------------------------- */

static bool alive(void *arg, const char *owner)
{
	return true;
}

static void queue(struct meta *m, const char *id)
{
	auto_json json_t *who = json_object();
	const struct operation o = {
		.id = (char *) (uintptr_t) id,
		.key = (char *) (uintptr_t) id,
		.resource = (char *) (uintptr_t) id,
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

/* A claim that failed has not taken the job; one that succeeded has. */
static void leases_are_exact(void **state)
{
	struct world *w = *state;

	if (!w->d->pg)
		return;
	for (int how = 0; how < PG_CUT_MAX; how++)
		for (unsigned n = 1;; n++) {
			auto_free char *id = strf("%d-%u", how, n);
			const struct job_claim c = {.id = id,
						    .owner = "far",
						    .lease_us = INT64_C(3600000000),
						    .alive = alive};
			auto_job_row struct job_row j = {0}, other = {0};
			auto_json json_t *state_json = json_pack("{s:i}", "n", (int) n);
			bool did;
			int r, k = -1;

			queue(w->near, id);
			pg_proxy_cut(w->proxy, (enum pg_cut) how, n);
			r = job_lease(w->far, &c, &j, NULL);
			if (r == 0)
				k = job_checkpoint(w->far, id, j.token, state_json, NULL);
			did = pg_proxy_did(w->proxy);
			pg_proxy_cut(w->proxy, PG_CUT_BEFORE, 0);
			assert_int_equal(job_lease(w->near, &c, &other, NULL),
					 r == 0 ? -EAGAIN : 0);
			if (r == 0) {
				assert_int_equal(job_release(w->near, id, j.token, NULL), 0);
				assert_int_equal(job_lease(w->near, &c, &other, NULL), 0);
				assert_int_equal(other.checkpoint != NULL, k == 0);
			}
			if (!did)
				break;
		}
}

/* ---- The server ---------------------------------------------------------------------------- */

struct storm {
	struct world *w;
	atomic_bool stop;
	atomic_uint done, failed, wrong;
	sem_t each; /* posted for each that is done */
};

static void *storm(void *arg)
{
	struct storm *s = arg;

	for (unsigned i = 0; !atomic_load(&s->stop); i++) {
		auto_free char *key = strf("/%lu-%u", (unsigned long) pthread_self(), i);
		auto_err struct err err = ERR_INIT;
		auto_resource struct resource r = {0};
		int rc = change(s->w->far, key, &err), is;

		/* read back by the same pool: it too finds the server again */
		is = resource_get(s->w->far, key, &r, &err);
		if (is != (rc == 0 ? 0 : -ENOENT))
			print_error("%s: %d, then %d: %s\n", key, rc, is, err_str(&err));
		atomic_fetch_add(is != (rc == 0 ? 0 : -ENOENT) ? &s->wrong
				 : rc == 0                     ? &s->done
							       : &s->failed,
				 1);
		if (rc == 0)
			(void) sem_post(&s->each);
	}
	return NULL;
}

#define THREADS 3

static void in_a_storm(struct world *w, void (*harm)(struct world *w, unsigned i), unsigned n)
{
	struct storm s = {.w = w};
	pthread_t t[THREADS];

	assert_int_equal(sem_init(&s.each, 0, 0), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, storm, &s), 0);
	for (unsigned i = 0; i < n; i++) {
		harm(w, i);
		while (sem_trywait(&s.each) == 0)
			;
		for (int k = 0; k < THREADS; k++)
			while (sem_wait(&s.each) < 0)
				;
	}
	atomic_store(&s.stop, true);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	(void) sem_destroy(&s.each);
	assert_int_equal(s.wrong, 0);
	w->committed = s.done;
	meta_close(w->near);
	assert_int_equal(meta_open(w->d->url, &w->near, NULL), 0);
	assert_whole(w);
}

static void terminate_all(struct world *w, unsigned i)
{
	pg_sql_run(w->d->pg,
		   "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity"
		   " WHERE application_name = 'kiln'",
		   NULL, 0);
}

static void terminated_backends(void **state)
{
	struct world *w = *state;

	if (w->d->pg)
		in_a_storm(w, terminate_all, 40 * rounds());
}

static void kill_server(struct world *w, unsigned i)
{
	pg_kill(w->d->pg);
	pg_again(w->d->pg);
}

static void killed_server(void **state)
{
	struct world *w = *state;

	if (w->d->pg)
		in_a_storm(w, kill_server, 4 * rounds());
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(cut_at_every_message), DBS_TEST(reads_go_on),   DBS_TEST(leases_are_exact),
		DBS_TEST(terminated_backends),  DBS_TEST(killed_server),
	};

	return dbs_run_with("meta/pg_faults", tests, ARRAY_SIZE(tests), setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of many threads at once, and of two servers on one database: each is whole, none is
 * lost, and what was answered is what is stored.
 */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#include "meta/audit.h"
#include "meta/jobs.h"

#define THREADS 6
#define ROUNDS  25

struct shared {
	struct world *w[2];
	atomic_uint changes, ended, wrong, created, jobs;
};

struct thread {
	struct shared *s;
	struct world *w;
	unsigned n;
	pthread_t id;
};

static struct arm_response one(struct thread *t, const char *method, const char *name,
			       const char *body, const char *etag)
{
	char target[256];
	struct arm_request req = {.method = method,
				  .target = target,
				  .body = body,
				  .body_bytes = body ? strlen(body) : 0,
				  .if_match = etag};
	struct arm_response res;

	(void) snprintf(target, sizeof(target), BOXES "/%s?" V, name);
	res = ask_req(t->w, &req);
	if (res.status >= 500) {
		print_error("%s %s: %d %s\n", method, name, res.status,
			    res.detail ? res.detail : "");
		atomic_fetch_add(&t->s->wrong, 1);
	}
	if (res.status < 300 && !str_eq(method, "GET") && res.status != 204)
		atomic_fetch_add(&t->s->changes, 1);
	return res;
}

/* Everybody wants the same box, of which one creates it. */
static void race(struct thread *t, unsigned i)
{
	char name[32], body[160];
	struct arm_response res;

	(void) snprintf(name, sizeof(name), "race%u", i);
	(void) snprintf(body, sizeof(body), "{\"location\":\"eastus\",\"tags\":{\"by\":\"%u\"}}",
			t->n);
	res = one(t, "PUT", name, body, NULL);
	if (res.status == 201)
		atomic_fetch_add(&t->s->created, 1);
	else if (res.status != 200)
		atomic_fetch_add(&t->s->wrong, 1);
	arm_response_done(&res);
}

/* Adds one to a number by read, change, and If-Match. */
static bool increment(struct thread *t)
{
	struct arm_response res = one(t, "GET", "sum", NULL, NULL), put;
	char body[256];
	bool done;

	(void) snprintf(body, sizeof(body), "{\"location\":\"eastus\",\"tags\":{\"n\":\"%ld\"}}",
			strtol(json_str_at(res.body, "tags.n"), NULL, 10) + 1);
	put = one(t, "PUT", "sum", body, res.etag);
	done = put.status == 200;
	if (!done && put.status != 412)
		atomic_fetch_add(&t->s->wrong, 1);
	arm_response_done(&res);
	arm_response_done(&put);
	return done;
}

static void with_a_job(struct thread *t, unsigned i)
{
	char name[32];
	struct arm_response res;

	(void) snprintf(name, sizeof(name), "job%u-%u", t->n, i);
	res = one(t, "PUT", name, "{\"location\":\"eastus\",\"properties\":{\"slow\":true}}", NULL);
	if (res.status != 201)
		atomic_fetch_add(&t->s->wrong, 1);
	else
		atomic_fetch_add(&t->s->jobs, 1);
	arm_response_done(&res);
	if (i % 3 == 0 && arm_work(t->w->arm, NULL, NULL, NULL, NULL) < 0)
		atomic_fetch_add(&t->s->wrong, 1);
}

static void *requests(void *arg)
{
	struct thread *t = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		race(t, i);
		while (!increment(t))
			;
		with_a_job(t, i);
	}
	return NULL;
}

static int job(struct arm_job *j, struct err *err)
{
	return 0;
}

static int count_change(void *arg, int64_t seq, const json_t *record)
{
	unsigned *n = arg;

	*n += !str_eq(json_str_at(record, "result"), "Failed");
	return 0;
}

static void threads_of_two_servers(void **state)
{
	struct world *w = *state;
	struct shared s = {.w = {w, world_open(w->url)}};
	struct thread t[THREADS];
	struct audit_head before;
	unsigned changes = 0;
	char n[16];

	s.w[0]->job = s.w[1]->job = job;
	expect_drop(w, "PUT", BOXES "/sum?" V, "{\"location\":\"eastus\",\"tags\":{\"n\":\"0\"}}",
		    201, NULL);
	assert_int_equal(audit_head(w->meta, &before, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		t[i] = (struct thread){.s = &s, .w = s.w[i % 2], .n = i};
		assert_int_equal(pthread_create(&t[i].id, NULL, requests, &t[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(t[i].id, NULL), 0);
	assert_int_equal(arm_work(w->arm, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(s.wrong, 0);
	assert_int_equal(s.created, ROUNDS);
	(void) snprintf(n, sizeof(n), "%d", THREADS * ROUNDS);
	{
		auto_json json_t *sum = expect(w, "GET", BOXES "/sum?" V, NULL, 200, NULL);

		assert_string_equal(json_str_at(sum, "tags.n"), n);
	}
	/* each job ran once, on whichever server took it */
	assert_int_equal(s.w[0]->job_calls + s.w[1]->job_calls, s.jobs);
	assert_int_equal(audit_verify(w->meta, NULL, 0, NULL, NULL), 0);
	/* a row for each change that was answered and for each job's end, and no other */
	assert_int_equal(audit_each(w->meta, before.seq, 100000, count_change, &changes, NULL), 0);
	assert_int_equal(changes, s.changes + s.jobs);
	world_close(s.w[1]);
}

int main(void)
{
	static const struct dbs_test tests[] = {DBS_TEST(threads_of_two_servers)};

	return dbs_run_with("arm/threads", tests, ARRAY_SIZE(tests), world_setup, world_teardown);
}

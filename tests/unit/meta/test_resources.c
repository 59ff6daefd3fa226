/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "meta/db.h"
#include "meta/idempotency.h"
#include "meta/jobs.h"
#include "meta/operations.h"
#include "meta/resources.h"
#include "support/dbs.h"

static struct meta *open_meta(void **state)
{
	const struct dbs *d = *state;
	struct meta *m;

	assert_int_equal(meta_open(d->url, &m, NULL), 0);
	return m;
}

static int add(struct meta *m, const char *key, const char *type, const char *sort)
{
	auto_resource struct resource r = {
		.key = strdup(key),
		.id = strdup(key),
		.type = strdup(type),
		.sort = strdup(sort),
		.api_version = strdup("2023-01-01"),
		.doc = json_pack("{s:s}", "k", key),
	};
	int rc = resource_create(m, &r, NULL);

	if (rc >= 0) {
		assert_true(r.revision > 0);
		assert_int_equal(r.changes, 1);
	}
	return rc;
}

static void create_get_delete(void **state)
{
	struct meta *m = open_meta(state);
	auto_resource struct resource r = {0};
	bool any = true;

	assert_int_equal(resource_get(m, "/a", &r, NULL), -ENOENT);
	assert_int_equal(add(m, "/a", "t", "/a"), 0);
	assert_int_equal(add(m, "/a", "t", "/b"), -EEXIST);
	assert_int_equal(add(m, "/c", "t", "/a"), -EEXIST); /* two names that sort alike */
	assert_int_equal(resource_any_under(m, "/a", &any, NULL), 0);
	assert_false(any);
	assert_int_equal(add(m, "/ab", "t", "/ab"), 0); /* not below */
	assert_int_equal(resource_any_under(m, "/a", &any, NULL), 0);
	assert_false(any);
	assert_int_equal(add(m, "/a/b", "t", "/a/b"), 0);
	assert_int_equal(resource_any_under(m, "/a", &any, NULL), 0);
	assert_true(any);
	assert_int_equal(resource_get(m, "/a", &r, NULL), 0);
	assert_string_equal(json_str_at(r.doc, "k"), "/a");
	assert_string_equal(r.api_version, "2023-01-01");
	assert_int_equal(resource_delete(m, "/a", NULL), 0);
	assert_int_equal(resource_delete(m, "/a", NULL), 0);
	meta_close(m);
}

static void updates_compare_and_swap(void **state)
{
	struct meta *m = open_meta(state);
	auto_resource struct resource a = {0}, b = {0};
	int64_t first;

	assert_int_equal(add(m, "/a", "t", "/a"), 0);
	assert_int_equal(resource_get(m, "/a", &a, NULL), 0);
	assert_int_equal(resource_get(m, "/a", &b, NULL), 0);
	first = a.revision;
	assert_int_equal(resource_update(m, &a, false, NULL), 0);
	assert_int_equal(a.revision, first); /* progress is no revision */
	assert_int_equal(resource_update(m, &b, true, NULL), -ESTALE);
	assert_int_equal(resource_update(m, &a, true, NULL), 0);
	assert_true(a.revision > first);
	/* revisions are never used again */
	assert_int_equal(resource_delete(m, "/a", NULL), 0);
	assert_int_equal(resource_update(m, &a, true, NULL), -ESTALE);
	assert_int_equal(add(m, "/a", "t", "/a"), 0);
	resource_done(&b);
	assert_int_equal(resource_get(m, "/a", &b, NULL), 0);
	assert_true(b.revision > a.revision);
	meta_close(m);
}

static void assert_page(struct meta *m, const struct resource_query *q, const char *keys)
{
	auto_buf struct buf got = BUF_INIT(4096);
	struct resource *rows = NULL;
	size_t n = 0;

	assert_int_equal(resource_list(m, q, &rows, &n, NULL), 0);
	for (size_t i = 0; i < n; i++)
		(void) buf_addf(&got, "%s%s", i > 0 ? " " : "", rows[i].key);
	assert_string_equal(buf_str(&got), keys);
	resources_free(rows, n);
}

static void lists(void **state)
{
	struct meta *m = open_meta(state);
	struct resource_query bad = {.limit = 0};
	struct resource *rows;
	size_t n;

	assert_int_equal(add(m, "/g", "group", "/g"), 0);
	assert_int_equal(add(m, "/g/x", "t", "/g/2"), 0);
	assert_int_equal(add(m, "/g/y", "t", "/g/1"), 0);
	assert_int_equal(add(m, "/g/y/z", "u", "/g/y/z"), 0);
	assert_int_equal(add(m, "/g-2/x", "t", "/g-2/x"), 0);
	assert_page(m, &(struct resource_query){.type = "t", .limit = 9}, "/g-2/x /g/y /g/x");
	assert_page(m, &(struct resource_query){.type = "t", .under = "/g", .limit = 9},
		    "/g/y /g/x");
	assert_page(m, &(struct resource_query){.type = "t", .under = "/g", .limit = 1}, "/g/y");
	assert_page(
		m,
		&(struct resource_query){.type = "t", .under = "/g", .after = "/g/1", .limit = 9},
		"/g/x");
	assert_page(m,
		    &(struct resource_query){
			    .under = "/g", .by_key = true, .descending = true, .limit = 9},
		    "/g/y/z /g/y /g/x");
	assert_page(m,
		    &(struct resource_query){.under = "/g",
					     .by_key = true,
					     .descending = true,
					     .after = "/g/y/z",
					     .limit = 9},
		    "/g/y /g/x");
	assert_page(m, &(struct resource_query){.by_key = true, .limit = 2}, "/g /g-2/x");
	assert_int_equal(resource_list(m, &bad, &rows, &n, NULL), -EINVAL);
	bad.limit = RESOURCE_PAGE_MAX + 1;
	assert_int_equal(resource_list(m, &bad, &rows, &n, NULL), -EINVAL);
	meta_close(m);
}

static void bad_rows_are_told(void **state)
{
	struct meta *m = open_meta(state);
	struct resource r;

	assert_int_equal(add(m, "/a", "t", "/a"), 0);
	assert_int_equal(db_query(meta_db(m), "UPDATE resource SET doc = '{nonsense'", NULL, 0,
				  NULL, NULL, NULL, NULL),
			 0);
	assert_int_equal(resource_get(m, "/a", &r, NULL), -EBADMSG);
	meta_close(m);
}

static int operation(struct meta *m, const char *id, const char *key)
{
	auto_operation struct operation o = {
		.id = strdup(id),
		.key = strdup(key),
		.resource = strdup(key),
		.type = strdup("t"),
		.kind = strdup("create"),
		.method = strdup("PUT"),
		.api_version = strdup("2023-01-01"),
		.principal = json_object(),
	};

	return operation_create(m, &o, NULL);
}

static void one_operation_at_a_time(void **state)
{
	struct meta *m = open_meta(state);
	auto_operation struct operation o = {0};
	auto_json json_t *e = json_pack("{s:s}", "code", "X");

	assert_int_equal(operation(m, "1", "/a"), 0);
	assert_int_equal(operation(m, "2", "/a"), -EEXIST);
	assert_int_equal(operation(m, "3", "/b"), 0);
	assert_int_equal(operation_active(m, "/a", &o, NULL), 0);
	assert_string_equal(o.id, "1");
	assert_int_equal(operation_cancel(m, "1", NULL), 0);
	assert_int_equal(operation_end(m, "1", OPERATION_FAILED, e, NULL, NULL), 0);
	assert_int_equal(operation_end(m, "1", OPERATION_SUCCEEDED, NULL, NULL, NULL), -ENOENT);
	assert_int_equal(operation_cancel(m, "1", NULL), -ENOENT);
	assert_int_equal(operation_cancel(m, "none", NULL), -ENOENT);
	operation_done(&o);
	assert_int_equal(operation_get(m, "1", &o, NULL), 0);
	assert_int_equal(o.state, OPERATION_FAILED);
	assert_true(o.cancel);
	assert_string_equal(json_str_at(o.error, "code"), "X");
	assert_true(o.ended_us > 0);
	assert_int_equal(operation(m, "2", "/a"), 0);
	/* only what has ended is forgotten */
	assert_int_equal(operation_expire(m, INT64_MAX, 10, NULL), 0);
	operation_done(&o);
	assert_int_equal(operation_get(m, "1", &o, NULL), -ENOENT);
	assert_int_equal(operation_get(m, "2", &o, NULL), 0);
	meta_close(m);
}

static bool alive(void *arg, const char *owner)
{
	return str_eq(owner, "alive");
}

static void oldest_job_first_children_last(void **state)
{
	struct meta *m = open_meta(state);
	struct job_claim c = {.owner = "alive", .lease_us = INT64_C(3600000000), .alive = alive};
	struct job_row j = {0};
	bool child = false;

	assert_int_equal(operation(m, "1", "/a"), 0);
	assert_int_equal(operation(m, "2", "/b"), 0);
	assert_int_equal(operation(m, "3", "/c"), 0);
	assert_int_equal(job_create(m, "2", "1", NULL, NULL, NULL), 0);
	assert_int_equal(job_create(m, "3", NULL, NULL, NULL, NULL), 0);
	assert_int_equal(job_create(m, "1", NULL, NULL, NULL, NULL), 0);
	assert_int_equal(job_is_child(m, "2", "1", &child, NULL), 0);
	assert_true(child);
	assert_int_equal(job_is_child(m, "3", "1", &child, NULL), 0);
	assert_false(child);
	/* 2 belongs to the worker of 1 */
	assert_int_equal(job_lease(m, &c, &j, NULL), 0);
	assert_string_equal(j.id, "3");
	job_row_done(&j);
	assert_int_equal(job_lease(m, &c, &j, NULL), 0);
	assert_string_equal(j.id, "1");
	assert_int_equal(job_lease(m, &c, &j, NULL), -EAGAIN);
	/* once 1 has ended, 2 is an orphan that anybody takes */
	assert_int_equal(operation_end(m, "1", OPERATION_FAILED, NULL, NULL, NULL), 0);
	job_row_done(&j);
	assert_int_equal(job_lease(m, &c, &j, NULL), 0);
	assert_string_equal(j.id, "2");
	job_row_done(&j);
	/* the holder is gone: no need to wait for its lease */
	c.owner = "dead";
	assert_int_equal(job_release(m, "2", 1, NULL), 0);
	assert_int_equal(job_lease(m, &c, &j, NULL), 0);
	assert_int_equal(j.token, 2);
	job_row_done(&j);
	assert_int_equal(job_lease(m, &c, &j, NULL), 0);
	assert_string_equal(j.id, "2");
	assert_int_equal(j.token, 3);
	job_row_done(&j);
	meta_close(m);
}

static void idempotency(void **state)
{
	struct meta *m = open_meta(state);
	auto_json json_t *a = json_pack("{s:i}", "status", 201), *b = NULL;

	assert_int_equal(idempotency_get(m, "p", "k", "d", &b, NULL), -ENOENT);
	assert_int_equal(idempotency_put(m, "p", "k", "d", a, NULL), 0);
	assert_int_equal(idempotency_put(m, "p", "k", "e", a, NULL), -EEXIST);
	assert_int_equal(idempotency_get(m, "p", "k", "e", &b, NULL), -EEXIST);
	assert_int_equal(idempotency_get(m, "q", "k", "d", &b, NULL), -ENOENT);
	assert_int_equal(idempotency_get(m, "p", "k", "d", &b, NULL), 0);
	assert_true(json_equal(a, b));
	assert_int_equal(idempotency_expire(m, 1, 10, NULL), 0);
	json_decref(b);
	assert_int_equal(idempotency_get(m, "p", "k", "d", &b, NULL), 0);
	assert_int_equal(idempotency_expire(m, INT64_MAX, 10, NULL), 0);
	json_decref(take_ptr(b));
	assert_int_equal(idempotency_get(m, "p", "k", "d", &b, NULL), -ENOENT);
	meta_close(m);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(create_get_delete),
		DBS_TEST(updates_compare_and_swap),
		DBS_TEST(lists),
		DBS_TEST(bad_rows_are_told),
		DBS_TEST(one_operation_at_a_time),
		DBS_TEST(oldest_job_first_children_last),
		DBS_TEST(idempotency),
	};

	return dbs_run("meta/resources", tests, ARRAY_SIZE(tests));
}

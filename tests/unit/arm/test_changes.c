/* SPDX-License-Identifier: Apache-2.0 */
/* What every change leaves: audit rows, answers for repeated requests. */
#include "support.h"

#include "meta/audit.h"

#define BOX      BOXES "/b1?" V
#define SLOW_BOX "{\"location\":\"eastus\",\"properties\":{\"slow\":true}}"

static struct arm_response start(struct world *w)
{
	struct arm_response res = ask(w, "PUT", BOX, SLOW_BOX);

	assert_int_equal(res.status, 201);
	assert_int_equal(strlen(res.operation_id), UUID_STR_LEN - 1);
	return res;
}

static int find_result(void *arg, int64_t seq, const json_t *record)
{
	const char *want = arg;

	return str_eq(json_str_at(record, "result"), want) ? 1 : 0;
}

static bool audited(struct world *w, const char *result)
{
	return audit_each(w->meta, 0, 1000, find_result, (void *) (uintptr_t) result, NULL) == 1;
}

static void audit_follows_changes(void **state)
{
	struct world *w = *state;
	struct arm_request denied = {.method = "DELETE", .target = BOX, .who = &w->guest};
	struct arm_response res;
	struct audit_head before, after;
	int64_t rows = 0;

	assert_int_equal(audit_head(w->meta, &before, NULL), 0);
	expect_drop(w, "GET", BOX, NULL, 404, NULL);
	assert_int_equal(audit_head(w->meta, &after, NULL), 0);
	assert_int_equal(after.seq, before.seq); /* no reads */
	res = start(w);
	assert_true(audited(w, "Accepted"));
	finish(w, &res);
	assert_true(audited(w, "Success"));
	arm_response_done(&res);
	assert_false(audited(w, "Denied"));
	res = ask_req(w, &denied);
	assert_int_equal(res.status, 403);
	arm_response_done(&res);
	assert_true(audited(w, "Denied"));
	assert_int_equal(audit_verify(w->meta, &before, 1, &rows, NULL), 0);
	assert_true(rows >= before.seq + 3);
}

struct found {
	const char *method, *result, *code;
	int status;
	unsigned n;
};

static int find_failure(void *arg, int64_t seq, const json_t *record)
{
	struct found *f = arg;

	if (str_eq(json_str_at(record, "method"), f->method) &&
	    str_eq(json_str_at(record, "result"), f->result) &&
	    str_eq(json_str_at(record, "code"), f->code) &&
	    json_int_at(record, "status", 0) == f->status)
		f->n++;
	return 0;
}

static unsigned failures(struct world *w, struct found f)
{
	assert_int_equal(audit_each(w->meta, 0, 10000, find_failure, &f, NULL), 0);
	return f.n;
}

static void failed_changes_are_recorded(void **state)
{
	struct world *w = *state;
	struct arm_request stale = {.method = "PUT",
				    .target = BOX,
				    .body = "{\"location\":\"eastus\"}",
				    .body_bytes = 21,
				    .if_match = "\"7\""};
	struct arm_response res;
	struct audit_head before, after;

	expect_drop(w, "PUT", BOX, "{}", 400, "LocationRequired");
	assert_int_equal(failures(w, (struct found){"PUT", "Failed", "LocationRequired", 400, 0}),
			 1);
	expect_drop(w, "POST", BOXES "/none/run?" V, NULL, 404, "ResourceNotFound");
	assert_int_equal(failures(w, (struct found){"POST", "Failed", "ResourceNotFound", 404, 0}),
			 1);
	res = ask_req(w, &stale);
	assert_int_equal(res.status, 412);
	arm_response_done(&res);
	assert_int_equal(failures(w, (struct found){"PUT", "Failed", "PreconditionFailed", 412, 0}),
			 1);
	expect_drop(w, "PUT", "/nothing/like/this?" V, "{}", 404, NULL);
	expect_drop(w, "PUT", BOXES "/b9", "{}", 400, "MissingApiVersionParameter");
	assert_int_equal(
		failures(w, (struct found){"PUT", "Failed", "MissingApiVersionParameter", 400, 0}),
		1);
	assert_int_equal(audit_head(w->meta, &before, NULL), 0);
	expect_drop(w, "GET", BOXES "/b9?api-version=x", NULL, 400, NULL);
	assert_int_equal(audit_head(w->meta, &after, NULL), 0);
	assert_int_equal(after.seq, before.seq);
}

static int sum_omitted(void *arg, int64_t seq, const json_t *record)
{
	int64_t *sum = arg;

	*sum += json_int_at(record, "omitted", 0);
	return 0;
}

/* Who does nothing but fail writes a bounded number of records; how many more there were is told
 * at the latest when the process ends. */
static void a_flood_of_failures_is_counted(void **state)
{
	struct world *w = *state, *other = world_open(w->url);
	struct arm_request req = {.method = "DELETE", .target = BOX, .who = &other->guest};
	struct audit_head before, after;
	int64_t omitted = 0, n = 3000;

	assert_int_equal(audit_head(w->meta, &before, NULL), 0);
	for (int64_t i = 0; i < n; i++) {
		struct arm_response res = ask_req(other, &req);

		assert_int_equal(res.status, 403);
		arm_response_done(&res);
	}
	assert_int_equal(audit_head(w->meta, &after, NULL), 0);
	assert_true(after.seq - before.seq >= 100 && after.seq - before.seq < 1000);
	world_close(other);
	assert_int_equal(audit_each(w->meta, before.seq, 10000, sum_omitted, &omitted, NULL), 0);
	assert_int_equal(after.seq - before.seq + omitted, n);
	assert_int_equal(audit_verify(w->meta, &after, 1, NULL, NULL), 0);
}

static void idempotency_keys(void **state)
{
	struct world *w = *state;
	struct arm_request req = {
		.method = "POST", .target = BOXES "/b1/run?" V, .idempotency_key = "key-1"};
	struct arm_response a, b, c;
	char id[UUID_STR_LEN];

	expect_drop(w, "PUT", BOX, "{\"location\":\"eastus\"}", 201, NULL);
	a = ask_req(w, &req);
	assert_int_equal(a.status, 202);
	b = ask_req(w, &req); /* would be 409 without the key */
	assert_int_equal(b.status, 202);
	assert_string_equal(a.operation_id, b.operation_id);
	assert_string_equal(a.async_operation, b.async_operation);
	assert_string_equal(a.location, b.location);
	assert_string_not_equal(a.request_id, b.request_id);
	finish(w, &a);
	arm_response_done(&b);
	b = ask_req(w, &req); /* and after its end still starts nothing */
	assert_string_equal(a.operation_id, b.operation_id);
	assert_int_equal(arm_running(w->arm, BOXES "/b1", id, NULL), 0);
	assert_string_equal(id, "");

	req.target = BOXES "/b1/run?api-version=2024-01-01";
	c = ask_req(w, &req);
	assert_int_equal(c.status, 409);
	assert_string_equal(json_str_at(c.body, "error.code"), "IdempotencyKeyReused");
	arm_response_done(&c);
	/* a failed request does not use its key up */
	req = (struct arm_request){.method = "PUT",
				   .target = BOXES "/b2?" V,
				   .idempotency_key = "key-2",
				   .body = "{}",
				   .body_bytes = 2};
	c = ask_req(w, &req);
	assert_int_equal(c.status, 400);
	arm_response_done(&c);
	req.body = "{\"location\":\"eastus\"}";
	req.body_bytes = strlen(req.body);
	c = ask_req(w, &req);
	assert_int_equal(c.status, 201);
	arm_response_done(&c);
	arm_response_done(&a);
	arm_response_done(&b);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(audit_follows_changes),
		DBS_TEST(failed_changes_are_recorded),
		DBS_TEST(a_flood_of_failures_is_counted),
		DBS_TEST(idempotency_keys),
	};

	return dbs_run_with("arm/changes", tests, ARRAY_SIZE(tests), world_setup, world_teardown);
}

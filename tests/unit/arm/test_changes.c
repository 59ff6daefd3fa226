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
	expect_drop(w, "PUT", BOX, "{}", 400, "LocationRequired");
	assert_int_equal(audit_head(w->meta, &after, NULL), 0);
	assert_int_equal(after.seq, before.seq); /* neither reads nor what was refused */
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
	assert_int_equal(audit_verify(w->meta, &before, &rows, NULL), 0);
	assert_true(rows >= before.seq + 3);
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
		DBS_TEST(idempotency_keys),
	};

	return dbs_run_with("arm/changes", tests, ARRAY_SIZE(tests), world_setup, world_teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a request fails once: the answer is an error or the change is whole. */
#include "support.h"

#include "meta/audit.h"
#include "support/fault.h"

#define BOX BOXES "/b1?" V
#define BODY                                                                                       \
	"{\"location\":\"East US\",\"tags\":{\"a\":\"b\"},\"plan\":\"p\",\"properties\":{"         \
	"\"description\":\"d\",\"size\":{\"width\":2},\"regions\":[{\"name\":\"eastus\"}],"        \
	"\"parts\":[{\"type\":\"wood\",\"tree\":\"oak\"}],\"twin\":\"" BOXES "/x\"%s}}"

static void assert_whole(struct world *w, const char *target, bool must_be)
{
	struct arm_response res = ask(w, "GET", target, NULL);

	if (res.status >= 500)
		print_error("%s: %s\n", target, res.detail ? res.detail : "?");
	if (must_be)
		assert_int_equal(res.status, 200);
	if (res.status == 200) {
		assert_int_equal(json_int_at(res.body, "properties.size.width", 0), 2);
		assert_string_equal(json_str_at(res.body, "properties.parts.0.tree"), "oak");
		assert_string_equal(json_str_at(res.body, "properties.size.serial"), "S-1");
	} else {
		assert_int_equal(res.status, 404);
	}
	arm_response_done(&res);
}

static void sweep(struct world *w, const char *method, const char *more, int created)
{
	auto_free char *body = NULL;
	unsigned n;

	body = strf(BODY, more);
	for (n = 1; n < 20000; n++) {
		bool armed = true;
		char target[256];
		struct arm_request req = {.method = method,
					  .target = target,
					  .body = body,
					  .body_bytes = strlen(body),
					  .idempotency_key = target};
		struct arm_response res;

		(void) snprintf(target, sizeof(target), BOXES "/f%u?" V, n);
		fault_alloc_nth(n, &armed);
		res = ask_req(w, &req);
		fault_alloc_off();
		assert_true(res.status == created || res.status >= 500);
		if (res.status < 300)
			assert_int_equal(strlen(res.request_id), UUID_STR_LEN - 1);
		assert_whole(w, target, res.status == created);
		arm_response_done(&res);
		if (armed)
			break;
	}
	assert_true(n > 20 && n < 20000);
	assert_int_equal(audit_verify(w->meta, NULL, 0, NULL, NULL), 0);
}

static void put_without_a_job(void **state)
{
	sweep(*state, "PUT", "", 201);
}

static void put_with_a_job(void **state)
{
	struct world *w = *state;

	sweep(w, "PUT", ",\"slow\":true", 201);
	assert_int_equal(arm_work(w->arm, NULL, NULL, NULL, NULL), 0);
}

/* A worker that runs out of memory leaves the job to be finished, or its failure recorded. */
static void work(void **state)
{
	struct world *w = *state;
	auto_free char *body = strf(BODY, ",\"slow\":true");

	for (unsigned n = 1; n < 20000; n++) {
		bool armed = true;
		char target[256], id[UUID_STR_LEN];
		struct arm_response res;
		const char *status;

		(void) snprintf(target, sizeof(target), BOXES "/w%u?" V, n);
		res = ask(w, "PUT", target, body);
		assert_int_equal(res.status, 201);
		fault_alloc_nth(n, &armed);
		(void) arm_work(w->arm, res.operation_id, NULL, NULL, NULL);
		fault_alloc_off();
		(void) arm_work(w->arm, NULL, NULL, NULL, NULL);
		target[strlen(target) - strlen("?" V)] = '\0';
		assert_int_equal(arm_running(w->arm, target, id, NULL), 0);
		assert_string_equal(id, "");
		{
			auto_json json_t *op =
				expect(w, "GET", res.async_operation, NULL, 200, NULL);

			status = json_str_at(op, "status");
			assert_true(str_eq(status, "Succeeded") || str_eq(status, "Failed"));
		}
		arm_response_done(&res);
		if (armed)
			break;
	}
	assert_int_equal(audit_verify(w->meta, NULL, 0, NULL, NULL), 0);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(put_without_a_job),
		DBS_TEST(put_with_a_job),
		DBS_TEST(work),
	};
	return dbs_run_with("arm/fault", tests, ARRAY_SIZE(tests), world_setup, world_teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, byte streams and ports of the request path. */
#include "support.h"

#define BOX BOXES "/b1?" V

static const char *answer(void *arg, const char *name)
{
	return str_eq_nocase(name, "X-Test-Name") ? arg : NULL;
}

static const char *header_of(const struct arm_response *res, const char *name)
{
	for (size_t i = 0; i < res->n_headers; i++)
		if (str_eq_nocase(res->headers[i].name, name))
			return res->headers[i].value;
	return NULL;
}

static void streams(void **state)
{
	struct world *w = *state;
	char name[] = "somebody";
	struct arm_request req = {.method = "GET",
				  .target = BOXES "/b1/digits?" V,
				  .header = answer,
				  .header_arg = name};
	auto_err struct err err = ERR_INIT;
	struct arm_response res;
	char text[8];

	expect_drop(w, "PUT", BOX, "{\"location\":\"eastus\"}", 201, NULL);
	res = ask_req(w, &req);
	assert_int_equal(res.status, 200);
	assert_null(res.body);
	assert_string_equal(header_of(&res, "x-test-answer"), "somebody");
	assert_int_equal(res.stream.bytes, 25);
	assert_int_equal(res.stream.read(res.stream.arg, text, 7, 8, &err), 7);
	assert_memory_equal(text, "8901234", 7);
	assert_int_equal(w->streams_open, 1);
	arm_response_done(&res);
	assert_int_equal(w->streams_open, 0);

	req.header = NULL;
	req.method = "POST";
	req.target = BOXES "/b1/digest?" V;
	res = ask_req(w, &req);
	assert_int_equal(res.status, 200);
	assert_string_equal(header_of(&res, "x-test-answer"), "nobody");
	arm_response_done(&res);
	assert_int_equal(w->streams_open, 0);
}

/* A refused request closes the stream that its hook had opened and drops its headers. */
static void refused(void **state)
{
	struct world *w = *state;
	char name[] = "line\nend";
	struct arm_request req = {.method = "POST",
				  .target = BOXES "/b1/digest?" V,
				  .header = answer,
				  .header_arg = name};
	struct arm_response res;

	expect_drop(w, "PUT", BOX, "{\"location\":\"eastus\"}", 201, NULL);
	res = ask_req(w, &req);
	assert_int_equal(res.status, 400);
	assert_null(res.stream.read);
	assert_int_equal(res.n_headers, 0);
	arm_response_done(&res);
	assert_int_equal(w->streams_open, 0);

	req.header = NULL;
	req.idempotency_key = "k";
	res = ask_req(w, &req);
	assert_int_equal(res.status, 400);
	assert_int_equal(w->streams_open, 0);
	arm_response_done(&res);
}

static void headers(void **state)
{
	struct arm_response res = {0};

	(void) state;
	assert_int_equal(arm_response_header(&res, "x-ms-version", "2021-12-02"), 0);
	assert_int_equal(arm_response_header(&res, "x ms", "1"), -EINVAL);
	assert_int_equal(arm_response_header(&res, "", "1"), -EINVAL);
	assert_int_equal(arm_response_header(&res, "x:", "1"), -EINVAL);
	assert_int_equal(arm_response_header(&res, "x", "a\r\nb"), -EINVAL);
	assert_int_equal(res.n_headers, 1);
	arm_response_done(&res);
}

/* A port answers without a principal and knows no api-version; everything else needs somebody. */
static void ports(void **state)
{
	struct world *w = *state;
	struct arm_request req = {.method = "HEAD", .target = "/port/x?sig=1"};
	struct arm_response res;

	arm_handle(w->arm, &req, &res);
	assert_int_equal(res.status, 206);
	assert_int_equal(res.stream.bytes, 7);
	assert_string_equal(res.stream.content_type, "application/xml");
	arm_response_done(&res);

	req.target = "/port/broken";
	arm_handle(w->arm, &req, &res);
	assert_int_equal(res.status, 404);
	assert_string_equal(json_str_at(res.body, "error.code"), "ResourceNotFound");
	arm_response_done(&res);

	assert_null(arm_port(w->arm, BOX));
	req.target = BOX;
	arm_handle(w->arm, &req, &res);
	assert_int_equal(res.status, 401);
	arm_response_done(&res);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {T(streams), T(refused), T(headers), T(ports)};

	return cmocka_run_group_tests_name("arm/stream", tests, NULL, NULL);
}

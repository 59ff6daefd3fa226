/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#define BOX       BOXES "/b1?" V
#define EMPTY_BOX "{\"location\":\"eastus\"}"

static void life_cycle(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL, *k = NULL;

	expect_drop(w, "GET", BOX, NULL, 404, "ResourceNotFound");
	expect_drop(w, "HEAD", BOX, NULL, 404, NULL);
	expect_drop(w, "DELETE", BOX, NULL, 204, NULL);
	j = expect(w, "PUT", BOX,
		   "{\"location\":\"West Europe\",\"tags\":{\"a\":\"1\"},\"plan\":\"p\","
		   "\"properties\":{\"description\":\"hello\",\"colour\":\"GREEN\"}}",
		   201, NULL);
	assert_string_equal(json_str_at(j, "id"), BOXES "/b1");
	assert_string_equal(json_str_at(j, "name"), "b1");
	assert_string_equal(json_str_at(j, "type"), "Test.Kiln/boxes");
	assert_string_equal(json_str_at(j, "location"), "westeurope");
	assert_string_equal(json_str_at(j, "tags.a"), "1");
	assert_string_equal(json_str_at(j, "plan"), "p");
	assert_string_equal(json_str_at(j, "properties.colour"), "Green");
	assert_string_equal(json_str_at(j, "properties.provisioningState"), "Succeeded");
	assert_string_equal(json_str_at(j, "properties.size.serial"), "S-1");
	assert_string_equal(json_str_at(j, "systemData.createdBy"), "root");
	k = expect(w, "GET", BOX, NULL, 200, NULL);
	assert_true(json_equal(j, k));
	expect_drop(w, "HEAD", BOX, NULL, 204, NULL);
	expect_drop(w, "DELETE", BOX, NULL, 200, NULL);
	expect_drop(w, "GET", BOX, NULL, 404, "ResourceNotFound");
}

static void case_is_kept_and_ignored(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL;

	expect_drop(w, "PUT", BOXES "/MyBox?" V, EMPTY_BOX, 201, NULL);
	j = expect(
		w, "GET",
		"/SUBSCRIPTIONS/11111111-2222-3333-4444-555555555555/resourcegroups/RG/Providers/"
		"test.kiln/BOXES/mybox/?API-version=2023-01-01",
		NULL, 200, NULL);
	assert_string_equal(json_str_at(j, "id"), BOXES "/MyBox");
	assert_string_equal(json_str_at(j, "name"), "MyBox");
	/* a child made through another spelling gets the parent's stored one */
	json_decref(j);
	j = expect(w, "PUT",
		   SUB "/RESOURCEGROUPS/RG/providers/TEST.kiln/boxes/MYBOX/ITEMS/1.0.0?" V, "{}",
		   201, NULL);
	assert_string_equal(json_str_at(j, "id"), BOXES "/MyBox/items/1.0.0");
	assert_string_equal(json_str_at(j, "type"), "Test.Kiln/boxes/items");
	expect_drop(w, "PUT", BOXES "/mybox?" V, EMPTY_BOX, 200, NULL);
}

static void parents(void **state)
{
	struct world *w = *state;

	expect_drop(w, "PUT", BOXES "/none/items/1.0.0?" V, "{}", 404, "ParentResourceNotFound");
	expect_drop(w, "GET", BOXES "/none/items?" V, NULL, 404, "ParentResourceNotFound");
	expect_drop(w, "PUT", SUB "/resourceGroups/no/providers/Test.Kiln/boxes/b?" V, EMPTY_BOX,
		    404, "ResourceGroupNotFound");
	expect_drop(w, "GET", SUB "/resourceGroups/no/providers/Test.Kiln/boxes?" V, NULL, 404,
		    "ResourceGroupNotFound");
	expect_drop(w, "GET", SUB "/resourceGroups/no?" V, NULL, 404, "ResourceGroupNotFound");
	expect_drop(w, "GET",
		    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg?" V,
		    NULL, 404, "SubscriptionNotFound");
	expect_drop(w, "PUT", BOX, EMPTY_BOX, 201, NULL);
	expect_drop(w, "PUT", BOXES "/b1/items/1.0.0?" V, "{}", 201, NULL);
	expect_drop(w, "DELETE", BOX, NULL, 409, "CannotDeleteResource");
	expect_drop(w, "DELETE", BOXES "/b1/items/1.0.0?" V, NULL, 200, NULL);
	expect_drop(w, "DELETE", BOX, NULL, 200, NULL);
}

static void versions(void **state)
{
	struct world *w = *state;

	expect_drop(w, "GET", BOXES, NULL, 400, "MissingApiVersionParameter");
	expect_drop(w, "GET", BOXES "?api-version=", NULL, 400, "MissingApiVersionParameter");
	expect_drop(w, "GET", BOXES "?api-version=now", NULL, 400, "InvalidApiVersionParameter");
	expect_drop(w, "GET", BOXES "?api-version=2023-13-01", NULL, 400,
		    "InvalidApiVersionParameter");
	expect_drop(w, "GET", BOXES "?api-version=2023-1-01", NULL, 400,
		    "InvalidApiVersionParameter");
	expect_drop(w, "GET", BOXES "?api-version=2023-01-01-", NULL, 400,
		    "InvalidApiVersionParameter");
	expect_drop(w, "GET", BOXES "?api-version=2019-12-31", NULL, 400,
		    "NoRegisteredProviderFound");
	expect_drop(w, "GET", BOXES "?api-version=2020-01-01-preview", NULL, 400,
		    "NoRegisteredProviderFound");
	expect_drop(w, "GET", BOXES "/b/items?api-version=2019-12-31", NULL, 404,
		    "InvalidResourceType");
	expect_drop(w, "GET", BOXES "?api-version=2020-01-01", NULL, 200, NULL);
	expect_drop(w, "GET", BOXES "?api-version=2031-01-01-preview", NULL, 200, NULL);
	expect_drop(w, "GET", GROUP "/providers/Nobody.Here/x?" V, NULL, 404,
		    "InvalidResourceNamespace");
	expect_drop(w, "GET", GROUP "/providers/Test.Kiln/crates?" V, NULL, 404,
		    "InvalidResourceType");
}

static void routes(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL, *k = NULL, *l = NULL;

	expect_drop(w, "PUT", BOX, EMPTY_BOX, 201, NULL);
	expect_drop(w, "GET", "/subscriptions?" V, NULL, 200, NULL);
	expect_drop(w, "GET", SUB "?" V, NULL, 200, NULL);
	expect_drop(w, "GET", SUB "/locations?" V, NULL, 200, NULL);
	expect_drop(w, "GET", SUB "/locations/eastus?" V, NULL, 200, NULL);
	expect_drop(w, "GET", SUB "/locations/mars?" V, NULL, 404, "ResourceNotFound");
	expect_drop(w, "GET", SUB "/resourceGroups?" V, NULL, 200, NULL);
	j = expect(w, "GET", SUB "/providers/Test.Kiln/boxes?" V, NULL, 200, NULL);
	assert_int_equal(json_array_size(json_at(j, "value")), 1);
	k = expect(w, "GET", SUB "/providers/Test.Kiln?" V, NULL, 200, NULL);
	assert_string_equal(json_str_at(k, "namespace"), "Test.Kiln");
	assert_false(json_bool_at(k, "tenant", true));
	l = expect(w, "GET", "/providers/Test.Kiln?" V, NULL, 200, NULL);
	assert_true(json_bool_at(l, "tenant", false));
	expect_drop(w, "POST", SUB "/providers/Test.Kiln/register?" V, NULL, 200, NULL);
	/* a box does not live in a subscription */
	expect_drop(w, "GET", SUB "/providers/Test.Kiln/boxes/b1?" V, NULL, 404,
		    "InvalidResourceType");
	expect_drop(w, "PUT", SUB "/locations/eastus?" V, "{}", 405, "MethodNotAllowed");
	expect_drop(w, "POST", BOX, "{}", 405, "MethodNotAllowed");
	expect_drop(w, "PUT", BOXES "?" V, "{}", 405, "MethodNotAllowed");
	expect_drop(w, "BREW", BOX, "{}", 405, "MethodNotAllowed");
	expect_drop(w, "GET", BOXES "/b1/run?" V, NULL, 405, "MethodNotAllowed");
}

static void bad_targets(void **state)
{
	static const char *const bad[] = {
		"",
		"relative",
		"/",
		"/?" V,
		BOXES "/a%2Fb?" V,
		BOXES "/a%00?" V,
		BOXES "/a%zz?" V,
		BOXES "/..?" V,
		BOXES "//b?" V,
		BOXES "/b%0a?" V,
		BOXES "/%ff?" V,
		BOXES "/b\\c?" V,
		BOXES "/b?" V "#x",
		BOXES "/b?" V "&" V,
		BOXES "/b?x=%0",
		"https://host-only",
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_drop(w, "GET", bad[i], NULL, 400, NULL);
	expect_drop(w, "GET", "https://elsewhere:1" BOXES "?" V, NULL, 200, NULL);
}

static void names(void **state)
{
	struct world *w = *state;

	expect_drop(w, "PUT", BOXES "/12345678901234567890?" V, EMPTY_BOX, 201, NULL);
	expect_drop(w, "PUT", BOXES "/123456789012345678901?" V, EMPTY_BOX, 400,
		    "InvalidResourceName");
	expect_drop(w, "PUT", BOXES "/with%20space?" V, EMPTY_BOX, 400, "InvalidResourceName");
	expect_drop(w, "PUT", BOXES "/12345678901234567890/items/1.0?" V, "{}", 400,
		    "InvalidResourceName");
	expect_drop(w, "PUT", SUB "/resourceGroups/dot.?" V, EMPTY_BOX, 400, "InvalidResourceName");
}

static void bodies(void **state)
{
	struct world *w = *state;
	auto_free char *deep = malloc(2000001);
	auto_json json_t *j = NULL;
	struct arm_request req = {.method = "PUT", .target = BOX, .body = deep};
	struct arm_response res;

	expect_drop(w, "PUT", BOX, NULL, 400, "InvalidRequestContent");
	expect_drop(w, "PUT", BOX, "[]", 400, "InvalidRequestContent");
	j = expect(w, "PUT", BOX, "{\n  \"location\": eastus\n}", 400, "InvalidRequestContent");
	assert_non_null(strstr(json_str_at(j, "error.message"), "line 2"));
	assert_non_null(deep);
	(void) memset(deep, '[', 2000000);
	req.body_bytes = 2000000;
	res = ask_req(w, &req);
	assert_int_equal(res.status, 400);
	assert_string_equal(json_str_at(res.body, "error.code"), "InvalidRequestContent");
	assert_non_null(strstr(json_str_at(res.body, "error.message"), "line 1 column 65"));
	arm_response_done(&res);
	(void) memset(deep, ' ', 2000000);
	req.body_bytes = JSON_MAX_BYTES + 1; /* refused by its length alone */
	res = ask_req(w, &req);
	assert_int_equal(res.status, 413);
	arm_response_done(&res);
}

static void errors(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL;
	struct arm_request req = {.method = "PUT", .target = BOX};
	struct arm_response res;

	j = expect(w, "PUT", BOX,
		   "{\"location\":\"eastus\",\"properties\":{\"description\":\"refuse me\"}}", 400,
		   "InvalidParameter");
	assert_string_equal(json_str_at(j, "error.message"), "this box does not want to be");
	/* nothing of a refused write stays */
	expect_drop(w, "GET", BOX, NULL, 404, NULL);
	/* the owner of the host sees what broke; nobody else may, but guests come no further than
	 * authorization, so the response's own fields are what tells */
	req.body = "{\"location\":\"eastus\",\"properties\":{\"description\":\"break\"}}";
	req.body_bytes = strlen(req.body);
	res = ask_req(w, &req);
	assert_int_equal(res.status, 500);
	assert_string_equal(json_str_at(res.body, "error.code"), "InternalServerError");
	assert_non_null(strstr(res.detail, "/var/lib/kiln/secret/place"));
	assert_int_equal(strlen(res.request_id), UUID_STR_LEN - 1);
	arm_response_done(&res);
}

static void guests_are_denied(void **state)
{
	static const char *const methods[] = {"GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		struct arm_request req = {.method = methods[i],
					  .target = BOX,
					  .body = EMPTY_BOX,
					  .body_bytes = strlen(EMPTY_BOX),
					  .who = &w->guest};
		struct arm_response res = ask_req(w, &req);

		assert_int_equal(res.status, 403);
		arm_response_done(&res);
	}
	assert_int_equal(w->hook_calls, 0);
}

static void etags(void **state)
{
	struct world *w = *state;
	struct arm_request put = {.method = "PUT",
				  .target = BOX,
				  .body = EMPTY_BOX,
				  .body_bytes = strlen(EMPTY_BOX),
				  .if_none_match = "*"};
	struct arm_request get = {.method = "GET", .target = BOX};
	struct arm_response res = ask_req(w, &put), again;
	auto_free char *first = NULL;

	assert_int_equal(res.status, 201);
	first = take_ptr(res.etag);
	arm_response_done(&res);
	assert_int_equal(first[0], '"');

	res = ask_req(w, &put);
	assert_int_equal(res.status, 412);
	arm_response_done(&res);

	get.if_none_match = first;
	res = ask_req(w, &get);
	assert_int_equal(res.status, 304);
	assert_null(res.body);
	arm_response_done(&res);

	put.if_none_match = NULL;
	put.if_match = first;
	res = ask_req(w, &put);
	again = ask(w, "GET", BOX, NULL);
	assert_int_equal(res.status, 200);
	assert_string_equal(again.etag, first); /* nothing was changed */
	arm_response_done(&again);
	arm_response_done(&res);

	put.body = "{\"location\":\"eastus\",\"tags\":{\"x\":\"y\"}}";
	put.body_bytes = strlen(put.body);
	res = ask_req(w, &put);
	assert_int_equal(res.status, 200);
	assert_string_not_equal(res.etag, first);
	arm_response_done(&res);
	res = ask_req(w, &put); /* the etag is old now */
	assert_int_equal(res.status, 412);
	arm_response_done(&res);
	put.if_match = "\"0\", *";
	res = ask_req(w, &put);
	assert_int_equal(res.status, 200);
	arm_response_done(&res);

	/* a new incarnation never has an etag of an old one */
	expect_drop(w, "DELETE", BOX, NULL, 200, NULL);
	put.if_match = first;
	res = ask_req(w, &put);
	assert_int_equal(res.status, 412);
	arm_response_done(&res);
	expect_drop(w, "PUT", BOX, EMPTY_BOX, 201, NULL);
	res = ask_req(w, &put);
	assert_int_equal(res.status, 412);
	arm_response_done(&res);
}

static void paging(void **state)
{
	struct world *w = *state;
	char target[256];
	auto_free char *next = strdup(BOXES "/b1/items?$top=4&" V);
	int seen = 0, pages = 0;

	expect_drop(w, "PUT", BOX, EMPTY_BOX, 201, NULL);
	/* made in an order that is neither that of names nor that of numbers */
	for (int i = 10; i >= 0; i--) {
		(void) snprintf(target, sizeof(target), BOXES "/b1/items/1.%d.0?" V, i);
		expect_drop(w, "PUT", target, "{}", 201, NULL);
	}
	while (next) {
		auto_json json_t *j = expect(w, "GET", next, NULL, 200, NULL);
		json_t *value = json_at(j, "value");
		const char *link = json_str_at(j, "nextLink");

		for (size_t i = 0; i < json_array_size(value); i++, seen++) {
			(void) snprintf(target, sizeof(target), "1.%d.0", seen);
			assert_string_equal(json_str_at(json_array_get(value, i), "name"), target);
		}
		pages++;
		free(next);
		next = link ? strdup(link) : NULL;
		if (next)
			assert_true(str_starts(next, "https://kiln.test:8443/subscriptions/"));
	}
	assert_int_equal(seen, 11);
	assert_int_equal(pages, 3);
	expect_drop(w, "GET", BOXES "?$top=0&" V, NULL, 400, "InvalidParameter");
	expect_drop(w, "GET", BOXES "?$top=-1&" V, NULL, 400, "InvalidParameter");
	expect_drop(w, "GET", BOXES "?$top=x&" V, NULL, 400, "InvalidParameter");
	expect_drop(w, "GET", BOXES "?$filter=&" V, NULL, 200, NULL);
	expect_drop(w, "GET", BOXES "?$filter=name%20eq%20'x'&" V, NULL, 400,
		    "InvalidFilterInQueryString");
	expect_drop(w, "GET", BOXES "?$skiptoken=xyz&" V, NULL, 400, "InvalidParameter");
	expect_drop(w, "GET", BOXES "?$skiptoken=00&" V, NULL, 400, "InvalidParameter");
}

static void views(void **state)
{
	struct world *w = *state;
	auto_json json_t *a = NULL, *b = NULL, *c = NULL, *d = NULL;

	/* a default belongs to the version that created the resource */
	a = expect(w, "PUT", BOXES "/old?api-version=2021-01-01", EMPTY_BOX, 201, NULL);
	assert_string_equal(json_str_at(a, "properties.colour"), "Red");
	b = expect(w, "GET", BOXES "/old?$expand=All&api-version=2024-06-01", NULL, 200, NULL);
	assert_string_equal(json_str_at(b, "properties.colour"), "Red");
	assert_string_equal(json_str_at(b, "expanded"), "All");
	/* and echoing it back is no change */
	expect_drop(w, "PUT", BOXES "/old?api-version=2024-06-01",
		    "{\"location\":\"eastus\",\"properties\":{\"colour\":\"Red\"}}", 200, NULL);
	/* secrets never come back, and newer fields only to those who know them */
	c = expect(w, "PUT", BOXES "/new?api-version=2024-06-01",
		   "{\"location\":\"eastus\",\"properties\":{\"password\":\"hidden\","
		   "\"modern\":\"m\"}}",
		   201, NULL);
	assert_null(json_at(c, "properties.password"));
	assert_string_equal(json_str_at(c, "properties.modern"), "m");
	d = expect(w, "GET", BOXES "/new?" V, NULL, 200, NULL);
	assert_null(json_at(d, "properties.modern"));
}

static void actions(void **state)
{
	struct world *w = *state;
	auto_json json_t *j = NULL, *k = NULL;

	expect_drop(w, "POST", BOXES "/b1/paint?" V, "{\"to\":\"red\"}", 404, "ResourceNotFound");
	expect_drop(w, "PUT", BOX, EMPTY_BOX, 201, NULL);
	expect_drop(w, "POST", BOXES "/b1/paint?" V, NULL, 400, "InvalidParameter");
	expect_drop(w, "POST", BOXES "/b1/paint?" V, "{\"to\":\"blue\"}", 400, "InvalidParameter");
	j = expect(w, "POST", BOXES "/B1/PAINT?" V, "{\"to\":\"red\"}", 200, NULL);
	assert_string_equal(json_str_at(j, "painted"), "Red");
	k = expect(w, "GET", BOX, NULL, 200, NULL);
	assert_string_equal(json_str_at(k, "properties.colour"), "Red");
	expect_drop(w, "POST", BOXES "/b1/dance?" V, NULL, 404, "InvalidResourceType");
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(life_cycle), DBS_TEST(case_is_kept_and_ignored),
		DBS_TEST(parents),    DBS_TEST(versions),
		DBS_TEST(routes),     DBS_TEST(bad_targets),
		DBS_TEST(names),      DBS_TEST(bodies),
		DBS_TEST(errors),     DBS_TEST(guests_are_denied),
		DBS_TEST(etags),      DBS_TEST(paging),
		DBS_TEST(views),      DBS_TEST(actions),
	};
	return dbs_run_with("arm/request", tests, ARRAY_SIZE(tests), world_setup, world_teardown);
}

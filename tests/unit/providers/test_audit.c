/* SPDX-License-Identifier: Apache-2.0 */
/* The activity log, made from the audit log. */
#include "harness.h"

#define R   "2021-04-01"
#define LOG "/providers/Microsoft.Insights/eventtypes/management/values"
#define V   "2015-04-01"
#define ALL "eventTimestamp%20ge%20'2020-01-01'"

static size_t count(struct harness *h, const char *path)
{
	expect_ok(h, "GET", path, V, NULL);
	return json_array_size(json_object_get(h->body, "value"));
}

static void changes_and_denials_are_events(void **state)
{
	static const struct arm_principal eve = {
		.object_id = "00000000-0000-4000-8000-0000000000e1", .name = "eve", .kind = "User"};
	struct harness *h = *state;

	h->who = &eve;
	expect_error(h, "DELETE", "~", R, NULL, 403, "AuthorizationFailed", NULL);
	h->who = NULL;
	assert_int_equal(count(h, "$" LOG "?$filter=" ALL), 2); /* the group's PUT, eve's DELETE */
	assert_string_equal(text_at(h, "value.0.caller"), "eve");
	assert_string_equal(text_at(h, "value.0.authorization.action"),
			    "Microsoft.Resources/subscriptions/resourceGroups/delete");
	assert_string_equal(text_at(h, "value.0.status.value"), "Failed");
	assert_string_equal(text_at(h, "value.0.subStatus.value"), "Forbidden");
	assert_string_equal(text_at(h, "value.1.subStatus.value"), "Created");
	assert_string_equal(text_at(h, "value.1.resourceGroupName"), "g");
	assert_string_equal(text_at(h, "value.1.resourceProviderName.value"),
			    "Microsoft.Resources");
	assert_int_equal(count(h, "$" LOG "?$filter=" ALL "%20and%20caller%20eq%20'eve'"), 1);
	assert_int_equal(count(h, "$" LOG "?$filter=" ALL "%20and%20resourceGroupName%20eq%20'G'"),
			 2);
	assert_int_equal(count(h, "$" LOG "?$filter=" ALL "%20and%20eventTimestamp%20le"
				  "%20'2020-02-01'"),
			 0);
	assert_int_equal(count(h,
			       "$" LOG "?$filter=eventTimestamp%20ge%202020-01-01T00:00:00.123456"
			       "%20and%20eventTimestamp%20le%202020-02-01T00:00:00"),
			 0);
	assert_int_equal(
		count(h, "$" LOG "?$filter=eventTimestamp%20ge%202020-01-01T00:00:00.123456"), 2);
	assert_int_equal(count(h, "$" LOG "?$select=caller,level&$filter=" ALL), 2);
	assert_int_equal(json_object_size(json_at(h->body, "value.0")), 2);
	expect_ok(h, "GET", LOG "?$filter=" ALL, V, NULL); /* the administrator and its role */
	assert_true(json_array_size(json_object_get(h->body, "value")) >= 2);
}

static void failed_changes_are_events(void **state)
{
	struct harness *h = *state;

	expect_error(h, "PUT", "~", R, "{'location':'westeurope'}", 409, "InvalidResourceLocation",
		     "location");
	assert_int_equal(count(h, "$" LOG "?$filter=" ALL "%20and%20status%20eq%20'Failed'"), 1);
	assert_string_equal(text_at(h, "value.0.status.value"), "Failed");
	assert_string_equal(text_at(h, "value.0.subStatus.value"), "Conflict");
	assert_string_equal(text_at(h, "value.0.level"), "Error");
	assert_string_equal(text_at(h, "value.0.properties.statusCode"), "Conflict");
	assert_string_equal(text_at(h, "value.0.properties.statusMessage"),
			    "{\"error\":{\"code\":\"InvalidResourceLocation\"}}");
	assert_string_equal(text_at(h, "value.0.httpRequest.method"), "PUT");
}

static void a_range_is_needed(void **state)
{
	struct harness *h = *state;

	expect_error(h, "GET", "$" LOG, V, NULL, 400, "BadRequest", "$filter");
	expect_error(h, "GET", "$" LOG "?$filter=eventTimestamp%20ge%20'soon'", V, NULL, 400,
		     "BadRequest", "$filter");
	expect_error(h, "GET", "$" LOG "?$filter=" ALL "%20and%20colour%20eq%20'red'", V, NULL, 400,
		     "InvalidFilterInQueryString", "$filter");
}

static void pages(void **state)
{
	struct harness *h = *state;
	auto_free char *path = strdup("$" LOG "?$filter=" ALL);
	size_t all = 0;

	for (int i = 0; i < 250; i++) {
		auto_free char *body = strf("{'location':'eastus','tags':{'n':'%d'}}", i);

		expect_ok(h, "PUT", "~", R, body);
	}
	while (path) {
		const char *next;

		all += count(h, path);
		next = json_str_at(h->body, "nextLink");
		free(path);
		path = next ? strf("%s&$skiptoken=%s", "$" LOG "?$filter=" ALL,
				   strstr(next, "skiptoken=") + 10)
			    : NULL;
	}
	assert_int_equal(all, 251);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(changes_and_denials_are_events, harness_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(failed_changes_are_events, harness_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(a_range_is_needed, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(pages, harness_setup, harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

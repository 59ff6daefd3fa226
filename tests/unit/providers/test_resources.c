/* SPDX-License-Identifier: Apache-2.0 */
/* Resource groups and the computed types of Microsoft.Resources. */
#include "harness.h"

#define R "2021-04-01"

static void subscription_locations_providers(void **state)
{
	struct harness *h = *state;
	const char *sub = json_str_at(h->app->admin, "subscriptionId");
	char path[256];

	expect_ok(h, "GET", "/subscriptions", "2019-11-01", NULL);
	assert_string_equal(text_at(h, "value.0.subscriptionId"), sub);
	assert_string_equal(text_at(h, "value.0.state"), "Enabled");
	assert_true(json_is_array(json_at(h->body, "value.0.managedByTenants")));
	(void) snprintf(path, sizeof(path), "/subscriptions/%s", sub);
	expect_ok(h, "GET", path, "2019-11-01", NULL);
	assert_string_equal(text_at(h, "tenantId"), json_str_at(h->app->admin, "tenantId"));
	(void) snprintf(path, sizeof(path), "/subscriptions/%s/locations", sub);
	expect_ok(h, "GET", path, "2019-11-01", NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 2);
	assert_string_equal(text_at(h, "value.1.name"), "westeurope");
	assert_string_equal(text_at(h, "value.1.regionalDisplayName"), "West Europe");
	assert_string_equal(text_at(h, "value.1.metadata.regionType"), "Physical");
	(void) snprintf(path, sizeof(path), "/subscriptions/%s/providers/microsoft.compute", sub);
	expect_ok(h, "GET", path, R, NULL);
	assert_string_equal(text_at(h, "namespace"), "Microsoft.Compute");
	assert_string_equal(text_at(h, "registrationState"), "Registered");
	assert_string_equal(text_at(h, "resourceTypes.0.resourceType"), "galleries");
	assert_string_equal(text_at(h, "resourceTypes.0.apiVersions.0"), "2025-12-03");
	assert_string_equal(text_at(h, "resourceTypes.0.locations.0"), "East US");
	(void) snprintf(path, sizeof(path), "/subscriptions/%s/providers/Microsoft.Nothing", sub);
	expect_error(h, "GET", path, R, NULL, 404, "InvalidResourceNamespace", NULL);
	expect_ok(h, "GET", "/tenants", "2019-11-01", NULL);
	assert_string_equal(text_at(h, "value.0.tenantId"), json_str_at(h->app->admin, "tenantId"));
}

static void other_subscriptions_do_not_exist(void **state)
{
	expect_error(*state, "GET", "/subscriptions/00000000-0000-0000-0000-000000000000",
		     "2019-11-01", NULL, 404, "SubscriptionNotFound", NULL);
}

static void group_life(void **state)
{
	struct harness *h = *state;

	assert_int_equal(call(h, "HEAD", "~", R, NULL), 204);
	expect_ok(h, "PUT", "~", R, "{'location':'East US','tags':{'a':'b'}}");
	assert_int_equal(h->status, 200);
	assert_string_equal(text_at(h, "location"), "eastus");
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	expect_error(h, "PUT", "~", R, "{'location':'westeurope'}", 409, "InvalidResourceLocation",
		     NULL);
	expect_ok(h, "DELETE", "~", R, NULL);
	assert_int_equal(h->status, 202);
	assert_int_equal(call(h, "HEAD", "~", R, NULL), 404);
	expect_error(h, "GET", "~", R, NULL, 404, "ResourceGroupNotFound", NULL);
	expect_error(h, "DELETE", "~", R, NULL, 404, "ResourceGroupNotFound", NULL);
}

static void group_names(void **state)
{
	static const char *const wrong[] = {"dot.", "sp%20ace", "a%3Ab"};
	struct harness *h = *state;
	char path[256];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		(void) snprintf(path, sizeof(path), "/subscriptions/%s/resourceGroups/%s",
				json_str_at(h->app->admin, "subscriptionId"), wrong[i]);
		assert_int_equal(call(h, "PUT", path, R, "{'location':'eastus'}"), 400);
	}
}

static void deleting_a_group_deletes_what_is_in_it(void **state)
{
	struct harness *h = *state;

	make_gallery(h);
	make_version(h, "1.0.0", NULL);
	expect_ok(h, "DELETE", "~", R, NULL);
	expect_ok(h, "PUT", "~", R, "{'location':'eastus'}");
	expect_error(h, "GET", "@galleries/gal", V23, NULL, 404, "ResourceNotFound", NULL);
}

static int count_root(void *arg, unsigned region, const char *kind, const char *id,
		      const struct disk_ref *disk)
{
	(void) region;
	(void) kind;
	(void) id;
	(void) disk;
	++*(unsigned *) arg;
	return 0;
}

static void deleting_a_group_lets_go_of_content(void **state)
{
	struct harness *h = *state;
	unsigned roots = 0;

	make_gallery(h);
	make_version(h, "1.0.0", NULL);
	assert_int_equal(store_root_list(h->app->store, NULL, count_root, &roots, NULL), 0);
	assert_int_equal(roots, 2); /* version and run */
	expect_ok(h, "DELETE", "~", R, NULL);
	roots = 0;
	assert_int_equal(store_root_list(h->app->store, NULL, count_root, &roots, NULL), 0);
	assert_int_equal(roots, 0);
}

static void requests_need_a_version(void **state)
{
	struct harness *h = *state;
	struct arm_request q = {.method = "GET", .target = "/subscriptions", .who = &h->app->owner};
	struct arm_response res = {0};

	arm_handle(h->app->arm, &q, &res);
	assert_int_equal(res.status, 400);
	assert_string_equal(json_str_at(res.body, "error.code"), "MissingApiVersionParameter");
	arm_response_done(&res);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(subscription_locations_providers),
		T(other_subscriptions_do_not_exist),
		T(group_life),
		T(group_names),
		T(deleting_a_group_deletes_what_is_in_it),
		T(deleting_a_group_lets_go_of_content),
		T(requests_need_a_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Tags, lists across types, subscriptions and tenants. */
#include "harness.h"

#define R      "2021-04-01"
#define S      "2021-10-01"
#define TENANT "99999999-0000-4000-8000-000000000000"
#define TAGS   "/providers/Microsoft.Resources/tags/default"

static size_t count(struct harness *h, const char *path)
{
	expect_ok(h, "GET", path, R, NULL);
	return json_array_size(json_object_get(h->body, "value"));
}

static void tags(void **state)
{
	struct harness *h = *state;

	make_gallery(h);
	expect_ok(h, "GET", "@galleries/gal" TAGS, R, NULL);
	assert_int_equal(json_object_size(json_at(h->body, "properties.tags")), 0);
	expect_ok(h, "PUT", "@galleries/gal" TAGS, R, "{'properties':{'tags':{'a':'1','B':'2'}}}");
	expect_ok(h, "PATCH", "@galleries/gal" TAGS, R,
		  "{'operation':'Merge','properties':{'tags':{'b':'3','c':'4'}}}");
	assert_string_equal(text_at(h, "properties.tags.B"), "3");
	assert_int_equal(json_object_size(json_at(h->body, "properties.tags")), 3);
	expect_ok(h, "PATCH", "@galleries/gal" TAGS, R,
		  "{'operation':'Delete','properties':{'tags':{'A':'1','c':'no'}}}");
	assert_int_equal(json_object_size(json_at(h->body, "properties.tags")), 2);
	expect_ok(h, "GET", "@galleries/gal", V25, NULL);
	assert_string_equal(text_at(h, "tags.c"), "4");
	expect_error(h, "PATCH", "@galleries/gal" TAGS, R, "{'properties':{'tags':{}}}", 400,
		     "InvalidParameter", "operation");
	expect_error(h, "PUT", "@galleries/gal" TAGS, R,
		     "{'properties':{'tags':{'with/slash':'1'}}}", 400, "InvalidTagName", NULL);
	expect_error(h, "GET", "@galleries/gal/providers/Microsoft.Resources/tags/other", R, NULL,
		     400, "InvalidTagsName", NULL);
	expect_ok(h, "DELETE", "@galleries/gal" TAGS, R, NULL);
	expect_ok(h, "GET", "@galleries/gal" TAGS, R, NULL);
	assert_int_equal(json_object_size(json_at(h->body, "properties.tags")), 0);
	expect_ok(h, "PUT", "$" TAGS, R, "{'properties':{'tags':{'team':'x'}}}");
	expect_ok(h, "GET", "$", R, NULL);
	assert_string_equal(text_at(h, "tags.team"), "x");
}

static void too_many_tags(void **state)
{
	struct harness *h = *state;
	struct buf b = BUF_INIT(16384);

	(void) buf_addstr(&b, "{'operation':'Merge','properties':{'tags':{");
	for (int i = 0; i < 50; i++)
		(void) buf_addf(&b, "%s't%d':''", i ? "," : "", i);
	(void) buf_addstr(&b, "}}}");
	expect_ok(h, "PATCH", "~" TAGS, R, buf_str(&b));
	expect_error(h, "PATCH", "~" TAGS, R,
		     "{'operation':'Merge','properties':{'tags':{'one':'more'}}}", 400,
		     "TooManyTags", NULL);
	buf_done(&b);
}

static void resource_lists(void **state)
{
	struct harness *h = *state;

	make_gallery(h);
	expect_ok(h, "PUT", "$/resourceGroups/h", R, "{'location':'eastus','tags':{'env':'p'}}");
	expect_ok(h, "PUT", "$/resourceGroups/h/providers/Microsoft.Compute/galleries/two", V25,
		  "{'location':'westeurope','tags':{'Env':'prod','x':'y'}}");
	assert_int_equal(count(h, "$/resources"), 3); /* with the definition */
	assert_int_equal(count(h, "~/resources"), 2);
	assert_int_equal(count(h, "$/resources?$filter="), 3);
	assert_int_equal(count(h, "$/resources?$filter=resourceType%20eq%20'microsoft.compute/"
				  "GALLERIES'"),
			 2);
	assert_int_equal(count(h, "$/resources?$filter=tagName%20eq%20'env'%20and%20tagValue%20eq"
				  "%20'prod'"),
			 1);
	assert_int_equal(count(h, "$/resources?$filter=tagName%20eq%20'env'%20and%20tagValue%20eq"
				  "%20'y'"),
			 0);
	assert_int_equal(count(h, "$/resources?$filter=location%20eq%20'West%20Europe'"), 1);
	assert_int_equal(count(h, "$/resources?$filter=resourceGroup%20eq%20'H'"), 1);
	assert_int_equal(count(h, "$/resources?$filter=substringof('wo',name)"), 1);
	assert_int_equal(count(h, "$/resources?$filter=name%20eq%20'two'%20or%20name%20eq%20'gal'"),
			 2);
	assert_int_equal(count(h, "$/resources?$top=1"), 1);
	assert_non_null(json_object_get(h->body, "nextLink"));
	expect_error(h, "GET", "$/resources?$filter=colour%20eq%20'x'", R, NULL, 400,
		     "InvalidFilterInQueryString", "$filter");
	assert_int_equal(count(h, "$/resourcegroups?$filter=tagName%20eq%20'env'"), 1);
	expect_ok(h, "GET", "$/resources?$expand=createdTime%2CprovisioningState", R, NULL);
	(void) text_at(h, "value.0.createdTime");
	assert_string_equal(text_at(h, "value.0.provisioningState"), "Succeeded");
	expect_ok(h, "GET", "$/tagNames", R, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 2);
	assert_int_equal(json_int_at(h->body, "value.0.count.value", 0), 2);
}

static char *new_subscription(struct harness *h, const char *alias, const char *more)
{
	auto_free char *path = strf("/providers/Microsoft.Subscription/aliases/%s", alias);
	auto_free char *body =
		strf("{'properties':{'displayName':'Second','workload':'Production'%s}}", more);

	expect_ok(h, "PUT", path, S, body);
	assert_int_equal(h->status, 201);
	return strf("/subscriptions/%s", text_at(h, "properties.subscriptionId"));
}

static void subscriptions(void **state)
{
	struct harness *h = *state;
	auto_free char *second = new_subscription(h, "second", "");
	auto_free char *group = strf("%s/resourceGroups/g", second);
	auto_free char *act = NULL;

	assert_int_equal(count(h, "/subscriptions"), 2);
	expect_ok(h, "PUT", group, R, "{'location':'eastus'}");
	act = strf("%s/providers/Microsoft.Subscription/rename", second);
	expect_ok(h, "POST", act, S, "{'subscriptionName':'Other'}");
	expect_ok(h, "GET", second, R, NULL);
	assert_string_equal(text_at(h, "displayName"), "Other");
	free(act);
	act = strf("%s/providers/Microsoft.Subscription/cancel", second);
	expect_ok(h, "POST", act, S, NULL);
	expect_error(h, "PUT", group, R, "{'location':'eastus','tags':{'a':'b'}}", 409,
		     "ReadOnlyDisabledSubscription", NULL);
	expect_ok(h, "GET", group, R, NULL);
	free(act);
	act = strf("%s/providers/Microsoft.Subscription/enable", second);
	expect_ok(h, "POST", act, S, NULL);
	expect_ok(h, "PUT", group, R, "{'location':'eastus','tags':{'a':'b'}}");
	expect_error(h, "POST", "$/providers/Microsoft.Subscription/cancel", S, NULL, 409,
		     "SubscriptionCannotBeCancelled", NULL);
}

static void tenants_see_their_own(void **state)
{
	static const struct arm_principal zoe = {.object_id =
							 "00000000-0000-4000-8000-00000000002e",
						 .name = "zoe",
						 .kind = "Application",
						 .tenant_id = TENANT};
	struct harness *h = *state;
	auto_free char *foreign = NULL, *group = NULL;

	expect_error(h, "PUT", "/providers/Microsoft.Subscription/aliases/x", S,
		     "{'properties':{'additionalProperties':{'subscriptionTenantId':'" TENANT
		     "'}}}",
		     400, "TenantNotFound", NULL);
	expect_ok(h, "PUT", "/providers/Kiln.Identity/tenants/" TENANT, "2026-11-01",
		  "{'properties':{'displayName':'Zoe and Sons'}}");
	expect_ok(h, "PUT", "/providers/Kiln.Identity/servicePrincipals/zoe", "2026-11-01",
		  "{'properties':{'objectId':'00000000-0000-4000-8000-00000000002e','tenantId':"
		  "'" TENANT "'}}");
	foreign = new_subscription(h, "theirs",
				   ",'additionalProperties':{'subscriptionTenantId':'" TENANT
				   "','subscriptionOwnerId':'00000000-0000-4000-8000-00000000002e'"
				   "}");
	group = strf("%s/resourceGroups/z", foreign);
	h->who = &zoe;
	assert_int_equal(count(h, "/subscriptions"), 1);
	assert_string_equal(text_at(h, "value.0.tenantId"), TENANT);
	assert_int_equal(count(h, "/tenants"), 1);
	assert_string_equal(text_at(h, "value.0.displayName"), "Zoe and Sons");
	expect_ok(h, "PUT", group, R, "{'location':'eastus'}");
	expect_error(h, "GET", "~", R, NULL, 403, "AuthorizationFailed", NULL);
	expect_error(h, "GET", "/providers/Kiln.Identity/servicePrincipals/zoe", "2026-11-01", NULL,
		     403, "AuthorizationFailed", NULL);
	h->who = NULL;
	/* nor can somebody here give zoe a role */
	expect_error(h, "PUT",
		     "~/providers/Microsoft.Authorization/roleAssignments/"
		     "00000000-0000-4000-8000-000000000001",
		     "2022-04-01",
		     "{'properties':{'roleDefinitionId':'acdd72a7-3385-48ef-bd42-f606fba81ae7',"
		     "'principalId':'00000000-0000-4000-8000-00000000002e'}}",
		     400, "PrincipalNotFound", NULL);
	expect_error(h, "DELETE", "/providers/Kiln.Identity/tenants/" TENANT, "2026-11-01", NULL,
		     409, "TenantInUse", NULL);
	assert_int_equal(count(h, "/tenants"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tags, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(too_many_tags, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(resource_lists, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(subscriptions, harness_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(tenants_see_their_own, harness_setup,
						harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <ctype.h>

static void life(void **state)
{
	struct harness *h = *state;
	char want[128];

	expect_ok(h, "PUT", "@galleries/Gal_1.x", V23,
		  "{'location':'East US','properties':{'description':'d'},'tags':{'k':'v'}}");
	assert_int_equal(h->status, 201);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Creating");
	expect_ok(h, "GET", "@galleries/gal_1.X", V23, NULL);
	assert_string_equal(text_at(h, "name"), "Gal_1.x");
	assert_string_equal(text_at(h, "location"), "eastus");
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	(void) snprintf(want, sizeof(want), "%s-GAL_1.X",
			json_str_at(h->app->admin, "subscriptionId"));
	assert_string_equal(text_at(h, "properties.identifier.uniqueName"), want);
	expect_ok(h, "GET", "@galleries", V23, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	expect_ok(h, "DELETE", "@galleries/Gal_1.x", V23, NULL);
	assert_int_equal(h->status, 202);
	assert_int_equal(call(h, "DELETE", "@galleries/Gal_1.x", V23, NULL), 204);
}

/* What az sends on update: everything it read, without what it knows to be read-only. */
static void update_by_put(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", "@galleries/g1", "2021-10-01",
		  "{'location':'eastus','tags':{},'properties':{'description':'a'}}");
	expect_ok(h, "PUT", "@galleries/g1", "2021-10-01",
		  "{'location':'East US','tags':{'x':'y'},'properties':{'description':'b',"
		  "'identifier':{}}}");
	assert_int_equal(h->status, 200);
	expect_ok(h, "GET", "@galleries/g1", "2021-10-01", NULL);
	assert_string_equal(text_at(h, "properties.description"), "b");
	assert_non_null(json_str_at(h->body, "properties.identifier.uniqueName"));
	expect_ok(h, "PATCH", "@galleries/g1", "2021-10-01", "{'tags':{'z':'1'}}");
	expect_ok(h, "GET", "@galleries/g1", "2021-10-01", NULL);
	assert_int_equal(json_object_size(json_object_get(h->body, "tags")), 1);
	assert_string_equal(text_at(h, "properties.description"), "b");
	expect_error(h, "PUT", "@galleries/g1", V23, "{'location':'westeurope'}", 409,
		     "InvalidResourceLocation", NULL);
}

static void names(void **state)
{
	static const char *const wrong[] = {"with-dash", "_a", "a_", ".a", "a.", "%C3%A4"};
	struct harness *h = *state;
	char path[256], longest[81];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		(void) snprintf(path, sizeof(path), "@galleries/%s", wrong[i]);
		assert_int_equal(call(h, "PUT", path, V23, "{'location':'eastus'}"), 400);
	}
	memset(longest, 'a', 80);
	longest[80] = '\0';
	(void) snprintf(path, sizeof(path), "@galleries/%s", longest);
	expect_ok(h, "PUT", path, V23, "{'location':'eastus'}");
	(void) snprintf(path, sizeof(path), "@galleries/%sa", longest);
	assert_int_equal(call(h, "PUT", path, V23, "{'location':'eastus'}"), 400);
}

static void name_is_unique_in_the_subscription(void **state)
{
	struct harness *h = *state;
	const char *sub = json_str_at(h->app->admin, "subscriptionId");
	char path[256];

	expect_ok(h, "PUT", "@galleries/same", V23, "{'location':'eastus'}");
	(void) snprintf(path, sizeof(path), "/subscriptions/%s/resourceGroups/other", sub);
	expect_ok(h, "PUT", path, "2021-04-01", "{'location':'eastus'}");
	(void) snprintf(path, sizeof(path),
			"/subscriptions/%s/resourceGroups/other/providers/Microsoft.Compute/"
			"galleries/SAME",
			sub);
	expect_error(h, "PUT", path, V23, "{'location':'eastus'}", 409, "Conflict", "name");
	(void) snprintf(path, sizeof(path),
			"/subscriptions/%s/resourceGroups/other/providers/Microsoft.Compute/"
			"galleries/other",
			sub);
	expect_ok(h, "PUT", path, V23, "{'location':'eastus'}");
	(void) snprintf(path, sizeof(path),
			"/subscriptions/%s/providers/Microsoft.Compute/galleries", sub);
	expect_ok(h, "GET", path, V23, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 2);
}

static void bad_bodies(void **state)
{
	struct harness *h = *state;

	expect_error(h, "PUT", "@galleries/g1", V23, "{'properties':{}}", 400, "LocationRequired",
		     NULL);
	assert_int_equal(call(h, "PUT", "@galleries/g1", V23, "{'location':'moon'}"), 400);
	expect_error(h, "PUT", "@galleries/g1", V23,
		     "{'location':'eastus','properties':{'description':7}}", 400,
		     "InvalidParameter", "properties.description");
	expect_error(h, "PUT", "@galleries/g1", V23,
		     "{'location':'eastus','properties':{'sharingProfile':{'permissions':'All'}}}",
		     400, "InvalidParameter", "properties.sharingProfile.permissions");
	expect_ok(h, "PUT", "@galleries/g1", V23,
		  "{'location':'eastus','properties':{'softDeletePolicy':"
		  "{'isSoftDeleteEnabled':false},'sharingProfile':{'permissions':'Private'}}}");
	expect_error(h, "PUT", "@galleries/g2", V23,
		     "{'location':'eastus','properties':{'sharingProfile':"
		     "{'permissions':'Community','communityGalleryInfo':{}}}}",
		     400, "InvalidParameter",
		     "properties.sharingProfile.communityGalleryInfo.publicNamePrefix");
}

static void not_deleted_while_it_holds_images(void **state)
{
	struct harness *h = *state;

	make_gallery(h);
	expect_error(h, "DELETE", "@galleries/gal", V23, NULL, 409, "CannotDeleteResource", NULL);
	expect_ok(h, "DELETE", "@galleries/gal/images/def", V23, NULL);
	expect_ok(h, "DELETE", "@galleries/gal", V23, NULL);
}

/* ---- Catalog -------------------------------------------------------------------------------- */

struct seen {
	const char *part; /* of the id */
	uint64_t revision;
	bool deleted;
	unsigned n;
};

static int see(void *arg, const char *id, uint64_t revision, const json_t *record)
{
	struct seen *s = arg;

	if (!strstr(id, s->part))
		return 0;
	s->n++;
	s->revision = revision;
	s->deleted = json_bool_at(record, "deleted", false);
	return 0;
}

static struct seen catalog(struct harness *h, unsigned region, const char *part)
{
	struct seen s = {.part = part};

	assert_int_equal(store_catalog_list(h->app->store, region, see, &s, NULL), 0);
	return s;
}

static void changes_are_in_the_home_regions_catalog(void **state)
{
	struct harness *h = *state;
	struct seen a, b, c;

	expect_ok(h, "PUT", "@galleries/gg", V23, "{'location':'westeurope'}");
	assert_int_equal(catalog(h, 0, "/galleries/gg").n, 0);
	a = catalog(h, 1, "/galleries/gg");
	assert_int_equal(a.n, 1);
	assert_false(a.deleted);
	expect_ok(h, "PUT", "@galleries/gg", V23,
		  "{'location':'westeurope','properties':{'description':'new'}}");
	b = catalog(h, 1, "/galleries/gg");
	assert_true(b.revision > a.revision);
	expect_ok(h, "DELETE", "@galleries/gg", V23, NULL);
	c = catalog(h, 1, "/galleries/gg");
	assert_true(c.revision > b.revision);
	assert_true(c.deleted);
}

static void groups_and_parents_must_exist(void **state)
{
	struct harness *h = *state;
	const char *sub = json_str_at(h->app->admin, "subscriptionId");
	char path[256];

	(void) snprintf(
		path, sizeof(path),
		"/subscriptions/%s/resourceGroups/none/providers/Microsoft.Compute/galleries/a",
		sub);
	expect_error(h, "PUT", path, V23, "{'location':'eastus'}", 404, "ResourceGroupNotFound",
		     NULL);
	expect_error(h, "PUT", "@galleries/none/images/i", V23,
		     "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		     "'identifier':{'publisher':'p','offer':'o','sku':'s'}}}",
		     404, "ParentResourceNotFound", NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(life),
		T(update_by_put),
		T(names),
		T(name_is_unique_in_the_subscription),
		T(bad_bodies),
		T(not_deleted_while_it_holds_images),
		T(changes_are_in_the_home_regions_catalog),
		T(groups_and_parents_must_exist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Managed images, runs, and the catalog of platform images. */
#include "harness.h"

#include "base/file.h"

#define I   "@images/img"
#define API "2022-11-01"

static char *from_run(const char *location, const char *run, const char *more)
{
	char *s = strf("{'location':'%s','properties':{'kiln':{'sourceRun':'%s'}%s}}", location,
		       run, more);

	assert_non_null(s);
	return s;
}

static void image_from_a_run(void **state)
{
	struct harness *h = *state;
	char *body = from_run("westeurope", make_run(h, 'i'), "");
	struct disk_ref d;
	char *key;

	expect_ok(h, "PUT", I, API, body);
	assert_int_equal(h->status, 201);
	expect_ok(h, "GET", I, API, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.storageProfile.osDisk.osType"), "Linux");
	assert_string_equal(text_at(h, "properties.storageProfile.osDisk.osState"), "Generalized");
	assert_string_equal(text_at(h, "properties.hyperVGeneration"), "V2");
	assert_int_equal(json_int_at(h->body, "properties.storageProfile.osDisk.diskSizeGB", 0), 1);
	assert_null(json_object_get(h->body, "facts"));
	key = str_lower(text_at(h, "id"));
	assert_int_equal(store_root_get(h->app->store, 1, "managedImage", key, &d, NULL), 0);
	expect_ok(h, "PATCH", I, API, "{'tags':{'a':'b'}}");
	expect_ok(h, "PUT", I, API, body); /* the same again */
	expect_ok(h, "DELETE", I, API, NULL);
	assert_int_equal(store_root_get(h->app->store, 1, "managedImage", key, &d, NULL), -ENOENT);
	free(key);
	free(body);
}

static void image_is_a_source(void **state)
{
	struct harness *h = *state;
	char *body = from_run("eastus", make_run(h, 'i'), ""), *version;

	make_gallery(h);
	expect_ok(h, "PUT", I, API, body);
	expect_ok(h, "GET", I, API, NULL);
	version =
		strf("{'location':'eastus','properties':{'storageProfile':{'source':{'id':'%s'}}}}",
		     text_at(h, "id"));
	expect_ok(h, "PUT", "@galleries/gal/images/def/versions/1.0.0", V23, version);
	free(version);
	version = strf("{'location':'westeurope','properties':{'storageProfile':{'source':{'id':"
		       "'%s/providers/Microsoft.Compute/images/img'}}}}",
		       "/subscriptions/x/resourceGroups/g");
	expect_error(h, "PUT", "@galleries/gal/images/def/versions/1.0.1", V23, version, 404,
		     "ResourceNotFound", NULL);
	free(version);
	free(body);
}

static void image_of_another_region_is_no_source(void **state)
{
	struct harness *h = *state;
	char *body = from_run("westeurope", make_run(h, 'i'), ""), *version;

	make_gallery(h);
	expect_ok(h, "PUT", I, API, body);
	expect_ok(h, "GET", I, API, NULL);
	version =
		strf("{'location':'eastus','properties':{'storageProfile':{'source':{'id':'%s'}}}}",
		     text_at(h, "id"));
	expect_error(h, "PUT", "@galleries/gal/images/def/versions/1.0.0", V23, version, 400,
		     "InvalidParameter", "properties.storageProfile.source.id");
	free(version);
	free(body);
}

static void other_sources_are_refused_by_name(void **state)
{
	static const struct {
		const char *properties, *target;
	} bad[] = {
		{"{}", "properties.storageProfile.osDisk"},
		{"{'sourceVirtualMachine':{'id':'/x/y'}}", "properties.sourceVirtualMachine"},
		{"{'storageProfile':{'osDisk':{'osType':'Linux','osState':'Generalized','blobUri':"
		 "'ftp://x/y.vhd'}}}",
		 "properties.storageProfile.osDisk.blobUri"},
		{"{'storageProfile':{'osDisk':{'osType':'Linux','osState':'Generalized','blobUri':"
		 "'https://x/y.vhd','snapshot':{'id':'/x/y'}}}}",
		 "properties.storageProfile.osDisk"},
		{"{'storageProfile':{'osDisk':{'snapshot':{'id':'/x'}}}}",
		 "properties.storageProfile.osDisk.snapshot.id"},
		{"{'storageProfile':{'osDisk':{'osState':'Generalized','blobUri':'https://x/y'}}}",
		 "properties.storageProfile.osDisk.osType"},
	};
	struct harness *h = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *body = strf("{'location':'eastus','properties':%s}", bad[i].properties);

		expect_error(h, "PUT", I, API, body, 400, "InvalidParameter", bad[i].target);
		free(body);
	}
}

static void facts_cannot_be_denied(void **state)
{
	struct harness *h = *state;
	char *body = from_run("eastus", make_run(h, 'i'), ",'hyperVGeneration':'V1'");

	expect_error(h, "PUT", I, API, body, 400, "InvalidParameter",
		     "properties.hyperVGeneration");
	free(body);
	body = from_run("eastus",
			"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d",
			"");
	expect_error(h, "PUT", I, API, body, 400, "InvalidParameter", "properties.kiln.sourceRun");
	free(body);
}

/* ---- Runs ----------------------------------------------------------------------------------- */

static void runs_are_not_made_by_hand(void **state)
{
	assert_int_equal(call(*state, "PUT",
			      "~/providers/Kiln.Images/runs/11111111-2222-3333-4444-555555555555",
			      "2026-11-01", "{'location':'eastus'}"),
			 405);
}

static void deleting_a_run_lets_go_of_its_disk(void **state)
{
	struct harness *h = *state;
	char *id = strdup(make_run(h, 'q')), *dir;
	struct disk_ref d;

	dir = strf("%s/runs/%s", h->dir, strrchr(id, '/') + 1);
	assert_int_equal(file_mkdir_p(dir, 0755, NULL), 0);
	assert_int_equal(store_root_get(h->app->store, 0, "run", strrchr(id, '/') + 1, &d, NULL),
			 0);
	expect_ok(h, "GET", id, "2026-11-01", NULL);
	expect_ok(h, "DELETE", id, "2026-11-01", NULL);
	assert_int_equal(store_root_get(h->app->store, 0, "run", strrchr(id, '/') + 1, &d, NULL),
			 -ENOENT);
	assert_false(file_exists(dir));
	free(dir);
	free(id);
}

/* ---- Catalog -------------------------------------------------------------------------------- */

static int list_length(struct harness *h, const char *location, const char *rest)
{
	char *path = strf("/subscriptions/%s/providers/Microsoft.Compute/locations/%s/publishers%s",
			  json_str_at(h->app->admin, "subscriptionId"), location, rest);
	int status = call(h, "GET", path, API, NULL);

	free(path);
	if (status != 200)
		return -status;
	assert_true(json_is_array(h->body)); /* bare, not a "value" list */
	return (int) json_array_size(h->body);
}

static void catalog_is_bare_arrays(void **state)
{
	struct harness *h = *state;

	assert_true(list_length(h, "eastus", "") >= 1);
	assert_string_equal(text_at(h, "0.name"), "Debian");
	assert_string_equal(text_at(h, "0.location"), "eastus");
	assert_true(list_length(h, "eastus", "/debian/artifacttypes/vmimage/offers") >= 1);
	assert_string_equal(text_at(h, "0.name"), "debian-12");
	assert_int_equal(
		list_length(h, "eastus", "/Debian/artifacttypes/vmimage/offers/debian-12/skus"), 2);
	assert_int_equal(list_length(h, "eastus",
				     "/Debian/artifacttypes/vmimage/offers/debian-12/skus/"
				     "12-gen2/versions"),
			 0);
	assert_int_equal(list_length(h, "eastus", "/Nobody/artifacttypes/vmimage/offers"), -404);
	assert_int_equal(list_length(h, "mars", ""), -400);
	assert_int_equal(list_length(h, "eastus",
				     "/Debian/artifacttypes/vmimage/offers/debian-12/skus/"
				     "12-gen2/versions/1.0.0"),
			 -404);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(image_from_a_run),
		T(image_is_a_source),
		T(image_of_another_region_is_no_source),
		T(other_sources_are_refused_by_name),
		T(facts_cannot_be_denied),
		T(runs_are_not_made_by_hand),
		T(deleting_a_run_lets_go_of_its_disk),
		T(catalog_is_bare_arrays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

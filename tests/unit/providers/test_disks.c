/* SPDX-License-Identifier: Apache-2.0 */
/* Disks and snapshots: creating, growing, copying, deleting. What signed URLs speak: test_blob.c.
 */
#include "harness.h"

#define D   "@disks/d"
#define API "2022-07-02"

static bool has_root(struct harness *h, unsigned region, const char *kind, const char *path)
{
	struct disk_ref d;
	char *key;
	int r;

	expect_ok(h, "GET", path, API, NULL);
	key = str_lower(text_at(h, "id"));
	r = store_root_get(h->app->store, region, kind, key, &d, NULL);
	free(key);
	return r == 0;
}

static void empty_disk(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", D, API,
		  "{'location':'East US','sku':{'name':'premium_lrs'},'properties':{'creationData':"
		  "{'createOption':'empty'},'diskSizeGB':8}}");
	assert_int_equal(h->status, 202);
	assert_true(has_root(h, 0, "disk", D));
	assert_string_equal(text_at(h, "properties.diskState"), "Unattached");
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "sku.name"), "Premium_LRS");
	assert_string_equal(text_at(h, "sku.tier"), "Premium");
	assert_int_equal(json_int_at(h->body, "properties.diskSizeBytes", 0), INT64_C(8) << 30);
	assert_int_equal(strlen(text_at(h, "properties.uniqueId")), 36);
	assert_null(json_object_get(h->body, "facts"));
	expect_ok(h, "DELETE", D, API, NULL);
	assert_int_equal(call(h, "GET", D, API, NULL), 404);
	assert_int_equal(call(h, "DELETE", D, API, NULL), 204);
}

static void disks_only_grow(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "PUT", D, API,
		  "{'location':'eastus','properties':{'creationData':{'createOption':'Empty'},"
		  "'diskSizeGB':2}}");
	expect_ok(h, "PATCH", D, API, "{'properties':{'diskSizeGB':4},'tags':{'a':'b'}}");
	expect_ok(h, "GET", D, API, NULL);
	assert_int_equal(json_int_at(h->body, "properties.diskSizeBytes", 0), INT64_C(4) << 30);
	assert_string_equal(text_at(h, "tags.a"), "b");
	expect_error(h, "PATCH", D, API, "{'properties':{'diskSizeGB':3}}", 409,
		     "OperationNotAllowed", "properties.diskSizeGB");
	expect_error(
		h, "PUT", D, API,
		"{'location':'eastus','properties':{'creationData':{'createOption':'Upload'}}}",
		409, "PropertyChangeNotAllowed", NULL);
	/* The same again, and without what is known. */
	expect_ok(h, "PUT", D, API,
		  "{'location':'eastus','properties':{'creationData':{'createOption':'Empty'}}}");
	expect_ok(h, "GET", D, API, NULL);
	assert_int_equal(json_int_at(h->body, "properties.diskSizeGB", 0), 4);
}

static void refused_by_name(void **state)
{
	static const struct {
		const char *properties, *target;
	} bad[] = {
		{"'creationData':{'createOption':'Empty'}", "properties.diskSizeGB"},
		{"'creationData':{'createOption':'Attach'}",
		 "properties.creationData.createOption"},
		{"'creationData':{'createOption':'Upload'}",
		 "properties.creationData.uploadSizeBytes"},
		{"'creationData':{'createOption':'Upload','uploadSizeBytes':1025}",
		 "properties.creationData.uploadSizeBytes"},
		{"'creationData':{'createOption':'Upload','uploadSizeBytes':1048576},"
		 "'diskSizeGB':4",
		 "properties.diskSizeGB"},
		{"'creationData':{'createOption':'Import','sourceUri':'http://x/y.vhd'}",
		 "properties.creationData.sourceUri"},
		{"'creationData':{'createOption':'Copy'}",
		 "properties.creationData.sourceResourceId"},
		{"'creationData':{'createOption':'Copy','sourceResourceId':'/subscriptions/x/"
		 "resourceGroups/g/providers/Microsoft.Compute/images/i'}",
		 "properties.creationData.sourceResourceId"},
		{"'creationData':{'createOption':'FromImage'}",
		 "properties.creationData.galleryImageReference"},
		{"'creationData':{'createOption':'Empty','sourceUri':'https://x/y'},'diskSizeGB':1",
		 "properties.creationData.sourceUri"},
		{"'creationData':{'createOption':'Empty'},'diskSizeGB':1,'encryption':"
		 "{'diskEncryptionSetId':'/x'}",
		 "properties.encryption"},
		{"'creationData':{'createOption':'Empty'},'diskSizeGB':1,'maxShares':2",
		 "properties.maxShares"},
	};
	struct harness *h = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *body = strf("{'location':'eastus','properties':{%s}}", bad[i].properties);

		expect_error(h, "PUT", D, API, body, 400, "InvalidParameter", bad[i].target);
		free(body);
	}
	assert_int_equal(call(h, "GET", D, API, NULL), 404);
}

/* version -> disk -> snapshot -> disk -> version */
static void content_goes_round(void **state)
{
	struct harness *h = *state;
	char *version, *body, *id, *digest;

	make_gallery(h);
	make_version(h, "1.0.0", NULL);
	expect_ok(h, "GET", "@galleries/gal/images/def/versions/1.0.0", V23, NULL);
	version = strdup(text_at(h, "id"));
	digest = strdup(text_at(h, "properties.kiln.disk.digest"));
	body = strf("{'location':'eastus','properties':{'hyperVGeneration':'V1'," /* az's default */
		    "'creationData':{'createOption':'FromImage',"
		    "'galleryImageReference':{'id':'%s'}}}}",
		    version);
	expect_ok(h, "PUT", D, API, body);
	free(body);
	assert_true(has_root(h, 0, "disk", D));
	assert_string_equal(text_at(h, "properties.kiln.disk.digest"), digest);
	assert_string_equal(text_at(h, "properties.osType"), "Linux");
	assert_string_equal(text_at(h, "properties.hyperVGeneration"), "V2");
	body = strf("{'location':'eastus','properties':{'incremental':true,'creationData':"
		    "{'createOption':'Copy','sourceResourceId':'%s'}}}",
		    text_at(h, "id"));
	expect_ok(h, "PUT", "@snapshots/s", API, body);
	free(body);
	assert_true(has_root(h, 0, "snapshot", "@snapshots/s"));
	assert_string_equal(text_at(h, "properties.kiln.disk.digest"), digest);
	id = strdup(text_at(h, "id"));
	body = strf("{'location':'eastus','properties':{'diskSizeGB':2,'creationData':"
		    "{'createOption':'Copy','sourceResourceId':'%s'}}}",
		    id);
	expect_ok(h, "PUT", "@disks/e", API, body);
	free(body);
	assert_true(has_root(h, 0, "disk", "@disks/e"));
	assert_int_equal(json_int_at(h->body, "properties.diskSizeBytes", 0), INT64_C(2) << 30);
	/* A disk or snapshot of another region is none. */
	body = strf("{'location':'westeurope','properties':{'creationData':{'createOption':'Copy',"
		    "'sourceResourceId':'%s'}}}",
		    id);
	expect_error(h, "PUT", "@disks/f", API, body, 400, "InvalidParameter",
		     "properties.creationData.sourceResourceId");
	free(body);
	/* What a disk was made from may go. */
	expect_ok(h, "DELETE", D, API, NULL);
	assert_true(has_root(h, 0, "snapshot", "@snapshots/s"));
	free(id);
	free(digest);
	free(version);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(empty_disk),
		T(disks_only_grow),
		T(refused_by_name),
		T(content_goes_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

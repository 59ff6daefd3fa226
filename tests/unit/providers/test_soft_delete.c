/* SPDX-License-Identifier: Apache-2.0 */
/* Soft-deleted versions: kept, listed, restored, and gone when their time has passed. */
#include "harness.h"

#include "meta/resources.h"
#include "providers/chores.h"

#define G   "@galleries/gal"
#define V1  G "/images/def/versions/1.0.0"
#define OLD G "/softDeletedArtifactTypes/Images/artifacts/def/versions"

static void make(struct harness *h)
{
	make_gallery(h);
	expect_ok(h, "PATCH", G, V25,
		  "{'properties':{'softDeletePolicy':{'isSoftDeleteEnabled':true,"
		  "'retentionPeriodInDays':3}}}");
	make_version(h, "1.0.0", NULL);
	make_version(h, "2.0.0", NULL);
}

static char *key_of(struct harness *h)
{
	expect_ok(h, "GET", V1, V23, NULL);
	return str_lower(text_at(h, "id"));
}

static bool has_root(struct harness *h, const char *key)
{
	struct disk_ref d;

	return store_root_get(h->app->store, 0, "version", key, &d, NULL) == 0;
}

static void deleted_and_restored(void **state)
{
	struct harness *h = *state;
	char *key, *digest;

	make(h);
	key = key_of(h);
	digest = strdup(text_at(h, "properties.kiln.disk.digest"));
	expect_ok(h, "DELETE", V1, V25, NULL);
	assert_int_equal(call(h, "GET", V1, V25, NULL), 404);
	assert_true(has_root(h, key));
	expect_ok(h, "GET", OLD, V25, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	assert_string_equal(text_at(h, "value.0.name"), "1.0.0");
	assert_string_equal(text_at(h, "value.0.properties.softDeletedArtifactType"), "Images");
	assert_non_null(strstr(text_at(h, "value.0.properties.resourceArmId"), "/versions/1.0.0"));
	assert_null(json_at(h->body, "value.0.version"));
	/* Its name is taken; definition and gallery stay as long. */
	expect_error(h, "PUT", V1, V25, "{'location':'eastus'}", 409, "Conflict", NULL);
	expect_ok(h, "DELETE", G "/images/def/versions/2.0.0", V25, NULL);
	expect_error(h, "DELETE", G "/images/def", V25, NULL, 409, "CannotDeleteResource", NULL);
	expect_error(h, "DELETE", G, V25, NULL, 409, "CannotDeleteResource", NULL);
	expect_error(h, "PUT", V1, V25, "{'location':'westeurope','properties':{'restore':true}}",
		     409, "InvalidResourceLocation", "location");
	expect_ok(h, "PUT", V1, V25, "{'location':'eastus','properties':{'restore':true}}");
	expect_ok(h, "GET", V1, V25, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	assert_string_equal(text_at(h, "properties.kiln.disk.digest"), digest);
	assert_true(has_root(h, key));
	expect_ok(h, "GET", OLD, V25, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	expect_error(h, "PUT", V1, V25, "{'location':'eastus','properties':{'restore':true}}", 400,
		     "InvalidParameter", "properties.restore");
	free(digest);
	free(key);
}

static void deleted_for_good(void **state)
{
	struct harness *h = *state;
	char *key;

	make(h);
	key = key_of(h);
	expect_ok(h, "DELETE", V1, V25, NULL);
	expect_ok(h, "DELETE", OLD "/1.0.0", V25, NULL);
	assert_false(has_root(h, key));
	expect_error(h, "PUT", V1, V25, "{'location':'eastus','properties':{'restore':true}}", 400,
		     "InvalidParameter", "properties.restore");
	free(key);
}

/* The clock is moved by moving what it is compared with. */
static void expire(struct harness *h)
{
	struct resource row = {0};
	char *key;

	expect_ok(h, "GET", OLD "/1.0.0", V25, NULL);
	key = str_lower(text_at(h, "id"));
	assert_int_equal(resource_get(h->app->meta, key, &row, NULL), 0);
	assert_int_equal(json_object_set_new(row.doc, "purge", json_integer(1)), 0);
	assert_int_equal(resource_update(h->app->meta, &row, true, NULL), 0);
	resource_done(&row);
	free(key);
}

static void gone_when_its_time_has_passed(void **state)
{
	struct harness *h = *state;
	char *key;

	make(h);
	key = key_of(h);
	expect_ok(h, "DELETE", V1, V25, NULL);
	app_chores(h->app);
	assert_int_equal(arm_work(h->app->arm, NULL, NULL, NULL, NULL), 0);
	assert_true(has_root(h, key));
	expire(h);
	app_chores(h->app);
	assert_int_equal(arm_work(h->app->arm, NULL, NULL, NULL, NULL), 0);
	assert_int_equal(call(h, "GET", OLD "/1.0.0", V25, NULL), 404);
	assert_false(has_root(h, key));
	free(key);
}

static void a_group_goes_with_all(void **state)
{
	struct harness *h = *state;
	char *key;

	make(h);
	key = key_of(h);
	expect_ok(h, "DELETE", G "/images/def/versions/2.0.0", V25, NULL);
	expect_ok(h, "PUT", "@disks/d", "2022-07-02",
		  "{'location':'eastus','properties':{'creationData':{'createOption':'Empty'},"
		  "'diskSizeGB':1}}");
	expect_ok(h, "DELETE", "~", "2021-04-01", NULL);
	assert_int_equal(call(h, "GET", "~", "2021-04-01", NULL), 404);
	assert_false(has_root(h, key));
	free(key);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(deleted_and_restored),
		T(deleted_for_good),
		T(gone_when_its_time_has_passed),
		T(a_group_goes_with_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

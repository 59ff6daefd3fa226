/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that come, are drained and go, while versions are there. */
#include "harness.h"

#include "base/file.h"
#include "providers/region_admin.h"

#define V "@galleries/gal/images/def/versions/1.0.0"
#define ONE                                                                                        \
	"{'location':'eastus','properties':{'publishingProfile':{'targetRegions':[{'name':"        \
	"'eastus'}]},'storageProfile':{}}}"
#define TO(region)                                                                                 \
	"{'location':'eastus','properties':{'publishingProfile':{'targetRegions':[{'name':"        \
	"'eastus'},{'name':'" region "'}]},'safetyProfile':{"                                      \
	"'allowDeletionOfReplicatedLocations':true},'storageProfile':{}}}"

static int with_gallery(void **state)
{
	harness_setup(state);
	make_gallery(*state);
	return 0;
}

static void add(struct harness *h, const char *name, int want)
{
	auto_json json_t *j = json_pack("{s:s}", "name", name);
	auto_err struct err e = ERR_INIT;
	int r = app_region_add(h->app, j, &e);

	if (r != want)
		fail_msg("%s", err_str(&e));
}

static unsigned at(const struct harness *h, const char *name)
{
	int i = app_region_index(h->app, name);

	assert_true(i >= 0);
	return (unsigned) i;
}

static unsigned roots_in(const struct harness *h, unsigned region)
{
	json_t *list = NULL;
	auto_err struct err e = ERR_INIT;
	unsigned n;

	assert_int_equal(store_root_stats(h->app->store, region, NULL, &list, &e), 0);
	n = (unsigned) json_array_size(list);
	json_decref(list);
	return n;
}

static void a_region_is_added_and_used(void **state)
{
	struct harness *h = *state;
	auto_free char *dir = NULL;

	add(h, "northeurope", 0);
	add(h, "North Europe", -EEXIST);
	add(h, "eastus", -EEXIST);
	add(h, "no/such", -EINVAL);
	harness_reopen(h);
	assert_int_equal(h->app->n_regions, 3);
	assert_string_equal(h->app->regions[2].display, "North Europe");
	dir = strf("%s/regions/northeurope/packs", h->dir);
	assert_true(file_exists(dir));
	make_version(h, "1.0.0", NULL);
	expect_ok(h, "PUT", V, V25, TO("northeurope"));
	assert_true(roots_in(h, at(h, "northeurope")) > 0);
}

/* Something that only this region has. */
static void only_there(struct harness *h, unsigned region, struct disk_ref *ret)
{
	char path[] = "/tmp/kiln-test-drain-XXXXXX";
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	auto_fd int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(file_pwrite_full(fd, "only here", 9, 70000), 0);
	assert_int_equal(store_session_begin(h->app->store, "test", &ss, &e), 0);
	assert_int_equal(store_ingest(ss, region, fd, 0, NULL, NULL, ret, NULL, &e), 0);
	assert_int_equal(store_root_add(ss, region, "run", "r1", ret, &e), 0);
	store_session_end(ss);
}

/* What only the draining region had goes to another, once. */
static void drain_it(struct harness *h, unsigned north, const struct disk_ref *disk)
{
	auto_err struct err e = ERR_INIT;
	struct store_session *ss = NULL;
	struct store_drain_result d;
	struct disk_ref got;

	assert_true(h->app->regions[north].draining);
	assert_int_equal(store_session_begin(h->app->store, "test", &ss, &e), 0);
	assert_int_equal(
		store_replicate(ss, at(h, "eastus"), north, disk, 0, NULL, NULL, NULL, &e) < 0, 1);
	store_session_end(ss);
	assert_int_equal(
		store_drain(h->app->store, north, at(h, "westeurope"), 0, NULL, NULL, &d, &e), 0);
	assert_int_equal(d.roots, 1);
	assert_int_equal(d.moved, 1);
	assert_int_equal(
		store_drain(h->app->store, north, at(h, "westeurope"), 0, NULL, NULL, &d, &e), 0);
	assert_int_equal(d.elsewhere, 1);
	assert_int_equal(store_root_get(h->app->store, at(h, "westeurope"), "run", "r1", &got, &e),
			 0);
	assert_true(digest_eq(&got.digest, &disk->digest));
}

static void a_region_is_drained_and_removed(void **state)
{
	struct harness *h = *state;
	auto_err struct err e = ERR_INIT;
	auto_free char *packs = strf("%s/regions/northeurope/packs", h->dir);
	struct store_session *ss = NULL;
	struct disk_ref disk;
	unsigned north;

	add(h, "northeurope", 0);
	harness_reopen(h);
	north = at(h, "northeurope");
	make_version(h, "1.0.0", NULL);
	expect_ok(h, "PUT", V, V25, TO("northeurope"));

	only_there(h, north, &disk);
	assert_int_equal(app_region_remove(h->app, north, true, &e),
			 -EBUSY); /* a version is there */
	assert_non_null(strstr(err_str(&e), "1.0.0"));
	assert_int_equal(app_region_drain_mark(h->app, north, true, &e), 0);
	expect_ok(h, "PUT", V, V25, ONE);
	expect_error(h, "PUT", V, V25, TO("northeurope"), 400, "InvalidParameter",
		     "properties.publishingProfile.targetRegions[1].name");
	assert_int_equal(store_session_begin(h->app->store, "test", &ss, &e), 0);
	assert_int_equal(
		store_replicate(ss, north, at(h, "westeurope"), &disk, 0, NULL, NULL, NULL, &e), 0);
	store_session_end(ss);
	assert_int_equal(app_region_remove(h->app, north, true, &e), -ENOTEMPTY);

	harness_reopen(h); /* the mark lasts */
	drain_it(h, north, &disk);
	assert_int_equal(app_region_remove(h->app, north, true, &e), 0);
	harness_reopen(h);
	assert_int_equal(h->app->n_regions, 2);
	assert_int_equal(app_region_index(h->app, "northeurope"), -ENOENT);
	{
		auto_json json_t *usage = NULL;

		assert_int_equal(store_usage(h->app->store, at(h, "westeurope"), &usage, &e), 0);
		assert_true(json_int_at(usage, "packs", 0) > 0);
	}
	expect_ok(h, "GET", V, V25, NULL);
	/* It may come again, empty. */
	add(h, "northeurope", 0);
	harness_reopen(h);
	assert_int_equal(roots_in(h, at(h, "northeurope")), 0);
	assert_true(file_exists(packs));
}

static void what_is_located_there_keeps_it(void **state)
{
	struct harness *h = *state;
	auto_err struct err e = ERR_INIT;

	assert_int_equal(app_region_remove(h->app, at(h, "eastus"), false, &e), -EBUSY);
	/* A default region that nobody uses may go, and does not come back by itself. */
	assert_int_equal(app_region_remove(h->app, at(h, "westeurope"), false, &e), 0);
	harness_reopen(h);
	assert_int_equal(h->app->n_regions, 1);
	assert_int_equal(app_region_remove(h->app, 0, false, &e) < 0, 1);
	add(h, "westeurope", 0);
	harness_reopen(h);
	assert_int_equal(h->app->n_regions, 2);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, with_gallery, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(a_region_is_added_and_used),
		T(a_region_is_drained_and_removed),
		T(what_is_located_there_keeps_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The database is lost; the regions bring back what their records say. */
#include "harness.h"

#include "base/file.h"
#include "providers/catalog_rebuild.h"
#include "store/maintain.h"

#define BOTH "'targetRegions':[{'name':'eastus'},{'name':'westeurope'}]"
#define VERS "@galleries/gal/images/def/versions/"
#define SOFT "@galleries/gal/softDeletedArtifactTypes/Images/artifacts/def/versions"
#define APP  "@galleries/gal/applications/app"

static int with_gallery(void **state)
{
	harness_setup(state);
	make_gallery(*state);
	return 0;
}

/* The database, and the lookup, which is only a hint. */
static void lose_database(struct harness *h)
{
	static const char *const files[] = {"meta.db", "meta.db-wal", "meta.db-shm"};
	char *dir = strdup(h->app->data_dir);
	char *lookup = strf("%s/store/lookup", dir);

	assert_non_null(dir);
	app_close(h->app);
	h->app = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char *path = path_join(dir, files[i]);

		if (unlink(path) < 0)
			assert_int_equal(errno, ENOENT);
		free(path);
	}
	assert_int_equal(file_rm_rf(lookup, NULL), 0);
	assert_int_equal(app_open(dir, &h->app, NULL), 0);
	free(lookup);
	free(dir);
}

static struct catalog_rebuilt rebuild(struct harness *h)
{
	struct catalog_rebuilt k;
	struct err e = ERR_INIT;

	if (catalog_rebuild(h->app, "eastus", NULL, NULL, NULL, &k, &e) < 0)
		fail_msg("%s", err_str(&e));
	return k;
}

static void collect(struct harness *h)
{
	for (int i = 0; i < 4; i++)
		for (unsigned region = 0; region < 2; region++) {
			struct store_gc_result g;
			struct err e = ERR_INIT;

			if (store_gc(h->app->store, region, false, NULL, &g, &e) < 0)
				fail_msg("%s", err_str(&e));
		}
}

/* Every byte of a version's disk in a region. */
static void readable(struct harness *h, const char *name, unsigned region, uint8_t fill)
{
	char *path = strf(VERS "%s", name);
	struct store_reader *rd;
	struct disk_ref d, root;
	uint8_t b[4096];
	char *key;

	expect_ok(h, "GET", path, V23, NULL);
	assert_int_equal(disk_ref_from_json(json_at(h->body, "properties.kiln.disk"), &d, NULL), 0);
	key = str_lower(text_at(h, "id"));
	assert_int_equal(store_root_get(h->app->store, region, "version", key, &root, NULL), 0);
	assert_memory_equal(&d.digest, &root.digest, sizeof(d.digest));
	assert_int_equal(store_reader_open(h->app->store, region, &d, &rd, NULL), 0);
	assert_int_equal(store_reader_read(rd, b, sizeof(b), 4096, NULL), 0);
	for (size_t i = 0; i < sizeof(b); i++)
		assert_int_equal(b[i], fill);
	store_reader_close(rd);
	free(key);
	free(path);
}

static void everything_comes_back(void **state)
{
	struct harness *h = *state;
	struct catalog_rebuilt k;
	json_t *was;

	make_version(h, "1.0.0", BOTH);
	make_version(h, "2.0.0", BOTH);
	make_version(h, "3.0.0", NULL);
	expect_ok(h, "DELETE", VERS "2.0.0", V23, NULL);
	expect_ok(h, "PATCH", "@galleries/gal", V23, "{'tags':{'team':'x'}}");
	collect(h);
	expect_ok(h, "GET", VERS "1.0.0?$expand=ReplicationStatus", V23, NULL);
	was = json_incref(h->body);
	lose_database(h);
	assert_int_equal(call(h, "GET", "@galleries/gal", V23, NULL), 404);
	k = rebuild(h);
	assert_int_equal(k.restored, 4);
	assert_int_equal(k.tombstones, 1);
	assert_int_equal(k.refused + k.incomplete + k.kept, 0);
	assert_int_equal(k.roots, 3);
	assert_true(k.packs > 0);
	expect_ok(h, "GET", VERS "1.0.0?$expand=ReplicationStatus", V23, NULL);
	assert_true(json_equal(json_object_get(was, "properties"),
			       json_object_get(h->body, "properties")));
	json_decref(was);
	assert_int_equal(call(h, "GET", VERS "2.0.0", V23, NULL), 404);
	expect_ok(h, "GET", "@galleries/gal", V23, NULL);
	assert_string_equal(text_at(h, "tags.team"), "x");
	/* Collection runs again, and takes nothing that lives. */
	collect(h);
	readable(h, "1.0.0", 0, '1');
	readable(h, "1.0.0", 1, '1');
	readable(h, "3.0.0", 0, '3');
	/* A second time changes nothing. */
	k = rebuild(h);
	assert_int_equal(k.restored, 0);
	assert_int_equal(k.kept, 4);
}

/* Records written after a rebuild must be newer than those before it. */
static void later_changes_win(void **state)
{
	struct harness *h = *state;

	for (int i = 0; i < 4; i++)
		expect_ok(h, "PATCH", "@galleries/gal", V23, "{'tags':{'n':'old'}}");
	make_version(h, "1.0.0", NULL);
	lose_database(h);
	(void) rebuild(h);
	expect_ok(h, "PATCH", "@galleries/gal", V23, "{'tags':{'n':'new'}}");
	expect_ok(h, "DELETE", VERS "1.0.0", V23, NULL);
	make_version(h, "1.0.1", BOTH);
	lose_database(h);
	(void) rebuild(h);
	expect_ok(h, "GET", "@galleries/gal", V23, NULL);
	assert_string_equal(text_at(h, "tags.n"), "new");
	assert_int_equal(call(h, "GET", VERS "1.0.0", V23, NULL), 404);
	readable(h, "1.0.1", 1, '1');
}

/* A database of yesterday: what was deleted today goes, what changed today is new. */
static void older_copy(void **state)
{
	struct harness *h = *state;
	char *db = strf("%s/meta.db", h->app->data_dir);
	char *copy = strf("%s/meta.db.yesterday", h->app->data_dir);
	struct buf b = BUF_INIT(64u << 20);
	struct catalog_rebuilt k;

	make_version(h, "1.0.0", NULL);
	harness_reopen(h);
	app_close(h->app); /* folds the write-ahead log in */
	assert_int_equal(file_read_all(db, &b, NULL), 0);
	assert_int_equal(file_write_atomic(copy, b.data, b.len, 0600, NULL), 0);
	buf_done(&b);
	*strrchr(db, '/') = '\0';
	assert_int_equal(app_open(db, &h->app, NULL), 0);
	expect_ok(h, "DELETE", VERS "1.0.0", V23, NULL);
	expect_ok(h, "PATCH", "@galleries/gal", V23, "{'tags':{'day':'today'}}");
	lose_database(h);
	app_close(h->app);
	db[strlen(db)] = '/';
	assert_int_equal(rename(copy, db), 0);
	*strrchr(db, '/') = '\0';
	assert_int_equal(app_open(db, &h->app, NULL), 0);
	expect_ok(h, "GET", VERS "1.0.0", V23, NULL);
	k = rebuild(h);
	assert_int_equal(k.tombstones, 1);
	assert_int_equal(call(h, "GET", VERS "1.0.0", V23, NULL), 404);
	expect_ok(h, "GET", "@galleries/gal", V23, NULL);
	assert_string_equal(text_at(h, "tags.day"), "today");
	free(db);
	free(copy);
}

static void turn_on_soft_delete(struct harness *h)
{
	expect_ok(h, "PATCH", "@galleries/gal", V25,
		  "{'properties':{'softDeletePolicy':{'isSoftDeleteEnabled':true}}}");
}

/* What was soft-deleted is so again, and can be restored; what was purged or restored is that. */
static void soft_deleted_versions(void **state)
{
	struct harness *h = *state;
	struct catalog_rebuilt k;

	turn_on_soft_delete(h);
	for (unsigned i = 1; i <= 4; i++) {
		auto_free char *name = strf("%u.0.0", i), *path = strf(VERS "%s", name);

		make_version(h, name, BOTH);
		if (i > 1)
			expect_ok(h, "DELETE", path, V25, NULL);
	}
	expect_ok(h, "PUT", VERS "3.0.0", V25,
		  "{'location':'eastus','properties':{'restore':true}}");
	expect_ok(h, "DELETE", SOFT "/4.0.0", V25, NULL);
	lose_database(h);
	k = rebuild(h);
	assert_int_equal(k.refused + k.incomplete, 0);
	assert_int_equal(k.restored, 2 + 2 + 1);
	readable(h, "1.0.0", 1, '1');
	readable(h, "3.0.0", 1, '3');
	assert_int_equal(call(h, "GET", VERS "2.0.0", V25, NULL), 404);
	assert_int_equal(call(h, "GET", VERS "4.0.0", V25, NULL), 404);
	expect_ok(h, "GET", SOFT, V25, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	assert_string_equal(text_at(h, "value.0.name"), "2.0.0");
	collect(h);
	expect_ok(h, "PUT", VERS "2.0.0", V25,
		  "{'location':'eastus','properties':{'restore':true}}");
	readable(h, "2.0.0", 0, '2');
	readable(h, "2.0.0", 1, '2');
}

static void applications(void **state)
{
	struct harness *h = *state;
	auto_free char *file = strf("%s/p.tar", h->dir), *body = NULL, *key = NULL;
	struct catalog_rebuilt k;
	struct disk_ref d;

	assert_int_equal(file_write_atomic(file, "the package", 11, 0600, NULL), 0);
	body = strf("{'location':'eastus','properties':{'publishingProfile':{'source':{'mediaLink':"
		    "'file://%s'},'manageActions':{'install':'i','remove':'r'}," BOTH "}}}",
		    file);
	expect_ok(h, "PUT", APP, V23,
		  "{'location':'eastus','properties':{'supportedOSType':'Linux'}}");
	expect_ok(h, "PUT", APP "gone", V23,
		  "{'location':'eastus','properties':{'supportedOSType':'Linux'}}");
	expect_ok(h, "PUT", APP "/versions/1.0.0", V23, body);
	expect_ok(h, "PUT", APP "/versions/2.0.0", V23, body);
	expect_ok(h, "DELETE", APP "/versions/2.0.0", V23, NULL);
	expect_ok(h, "DELETE", APP "gone", V23, NULL);
	lose_database(h);
	k = rebuild(h);
	assert_int_equal(k.refused + k.incomplete, 0);
	assert_int_equal(k.restored, 4);
	assert_int_equal(k.tombstones, 2);
	assert_int_equal(call(h, "GET", APP "gone", V23, NULL), 404);
	assert_int_equal(call(h, "GET", APP "/versions/2.0.0", V23, NULL), 404);
	collect(h);
	expect_ok(h, "GET", APP "/versions/1.0.0", V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Succeeded");
	key = str_lower(text_at(h, "id"));
	assert_int_equal(store_root_get(h->app->store, 1, "application", key, &d, NULL), 0);
}

/* A region that lost its packs: the version lives where it is whole, and says so. */
static void missing_packs(void **state)
{
	struct harness *h = *state;
	struct catalog_rebuilt k;
	struct disk_ref d;
	char *packs, *key;

	make_version(h, "1.0.0", BOTH);
	packs = strf("%s/regions/%s/packs", h->dir, h->app->regions[1].name);
	assert_true(file_exists(packs));
	lose_database(h);
	assert_int_equal(file_rm_rf(packs, NULL), 0);
	harness_reopen(h);
	k = rebuild(h);
	assert_int_equal(k.incomplete, 1);
	assert_int_equal(k.roots, 1);
	expect_ok(h, "GET", VERS "1.0.0?$expand=ReplicationStatus", V23, NULL);
	assert_string_equal(text_at(h, "properties.provisioningState"), "Failed");
	key = str_lower(text_at(h, "id"));
	assert_int_equal(store_root_get(h->app->store, 1, "version", key, &d, NULL), -ENOENT);
	readable(h, "1.0.0", 0, '1');
	free(key);
	free(packs);
}

/* A record that was tampered with, or is of another key, is not believed. */
static void wrong_records(void **state)
{
	static const char other[] =
		"{\"resource\":{\"id\":\"/subscriptions/x/resourceGroups/g/providers/"
		"Microsoft.Compute/galleries/other\",\"type\":\"Microsoft.Compute/galleries\"}}";
	static const char *const docs[] = {
		"{\"nothing\":1}",
		"{\"resource\":{}}",
		other,
	};
	struct harness *h = *state;
	struct catalog_rebuilt k;

	for (size_t i = 0; i < ARRAY_SIZE(docs); i++) {
		json_t *j = json_loads(docs[i], 0, NULL);
		char *id = strf("/subscriptions/x/resourceGroups/g/providers/Microsoft.Compute/"
				"galleries/wrong%zu",
				i);

		assert_int_equal(store_catalog_put(h->app->store, 0, id, 1000 + i, j, NULL), 0);
		json_decref(j);
		free(id);
	}
	lose_database(h);
	k = rebuild(h);
	assert_int_equal(k.refused, 3);
	assert_int_equal(k.restored, 2);
	assert_int_equal(call(h, "GET", "@galleries/other", V23, NULL), 404);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(everything_comes_back, with_gallery,
						harness_teardown),
		cmocka_unit_test_setup_teardown(later_changes_win, with_gallery, harness_teardown),
		cmocka_unit_test_setup_teardown(older_copy, with_gallery, harness_teardown),
		cmocka_unit_test_setup_teardown(soft_deleted_versions, with_gallery,
						harness_teardown),
		cmocka_unit_test_setup_teardown(applications, with_gallery, harness_teardown),
		cmocka_unit_test_setup_teardown(missing_packs, with_gallery, harness_teardown),
		cmocka_unit_test_setup_teardown(wrong_records, with_gallery, harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

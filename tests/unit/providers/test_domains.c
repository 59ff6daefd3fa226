/* SPDX-License-Identifier: Apache-2.0 */
/* A gallery with a key of its own: its content is apart from everything else in a region. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/file.h"
#include "providers/catalog_rebuild.h"
#include "providers/chores.h"
#include "store/maintain.h"

#define KEY    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OPEN   "@galleries/gal/images/def/versions/1.0.0"
#define SEC    "@galleries/sec"
#define SECRET SEC "/images/def/versions/1.0.0"
#define BOTH   "'targetRegions':[{'name':'eastus'},{'name':'westeurope'}]"
#define FILL   'q'

static void write_file(const struct harness *h, const char *name, const char *text)
{
	auto_free char *path = strf("%s/%s", h->dir, name);

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

static int with_key(void **state)
{
	auto_free char *yaml = NULL;
	struct harness *h;

	harness_setup(state);
	h = *state;
	yaml = strf("galleryKeys:\n  - name: gold\n    key: file:%s/gold.key\n", h->dir);
	write_file(h, "gold.key", KEY "\n");
	write_file(h, "kiln.yaml", yaml);
	harness_reopen(h);
	make_gallery(h);
	expect_ok(h, "PUT", SEC, V23,
		  "{'location':'eastus','properties':{'kiln':{'encryption':{'key':'gold'}}}}");
	expect_ok(h, "PUT", SEC "/images/def", V23,
		  "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		  "'hyperVGeneration':'V2','identifier':{'publisher':'p','offer':'o','sku':'t'}}}");
	return 0;
}

/* The same run in both galleries. */
static void publish(struct harness *h, const char *path, const char *run)
{
	auto_free char *body =
		strf("{'location':'eastus','properties':{'publishingProfile':{" BOTH "},"
		     "'storageProfile':{'source':{'id':'%s'}}}}",
		     run);

	expect_ok(h, "PUT", path, V23, body);
}

static void publish_both(struct harness *h)
{
	auto_free char *run = strdup(make_run(h, FILL));

	publish(h, OPEN, run);
	publish(h, SECRET, run);
}

static unsigned place(const struct harness *h, const char *name)
{
	int at = app_region_index(h->app, name);

	assert_true(at >= 0);
	return (unsigned) at;
}

static bool rooted(struct harness *h, const char *path, const char *where, struct disk_ref *ret)
{
	auto_free char *key = NULL;

	expect_ok(h, "GET", path, V23, NULL);
	key = str_lower(text_at(h, "id"));
	return store_root_get(h->app->store, place(h, where), "version", key, ret, NULL) == 0;
}

static int64_t usage(const struct harness *h, const char *where, const char *what)
{
	auto_json json_t *j = NULL;

	assert_int_equal(store_usage(h->app->store, place(h, where), &j, NULL), 0);
	return json_int_at(j, what, -1);
}

static void readable(struct harness *h, const char *where)
{
	struct store_reader *rd = NULL;
	struct disk_ref d;
	char b[4096];

	assert_true(rooted(h, SECRET, where, &d));
	assert_int_equal(store_reader_open(h->app->store, place(h, where), &d, &rd, NULL), 0);
	assert_int_equal(store_reader_read(rd, b, sizeof(b), 4096, NULL), 0);
	for (size_t i = 0; i < sizeof(b); i++)
		assert_int_equal(b[i], FILL);
	store_reader_close(rd);
}

/* One of the packs of a place. */
static char *a_pack(const struct harness *h, const char *below)
{
	auto_free char *dir = strf("%s/regions/%s/packs", h->dir, below);
	char *found = NULL;
	DIR *d = opendir(dir);
	struct dirent *e;

	assert_non_null(d);
	while (!found && (e = readdir(d))) {
		auto_free char *sub = strf("%s/%s", dir, e->d_name);
		DIR *s = e->d_name[0] == '.' ? NULL : opendir(sub);
		struct dirent *f;

		while (s && !found && (f = readdir(s)))
			if (f->d_name[0] != '.')
				found = strf("%s/%s", sub, f->d_name);
		if (s)
			(void) closedir(s);
	}
	(void) closedir(d);
	assert_non_null(found);
	return found;
}

static void check_place(struct harness *h, const char *where, unsigned flags, uint64_t damaged)
{
	struct store_check_result k;

	assert_int_equal(store_check(h->app->store, place(h, where), flags, NULL, 0, NULL, NULL,
				     NULL, &k, NULL),
			 0);
	assert_int_equal(k.damaged_packs, damaged);
	assert_int_equal(k.lost, 0);
}

/* Nothing is shared: each place has all of it, under its own key. */
static void content_is_apart(void **state)
{
	static const char *const sec[] = {"eastus-gold", "westeurope-gold"};
	static const char *const pub[] = {"eastus", "westeurope"};
	struct harness *h = *state;
	struct disk_ref d;

	publish_both(h);
	for (size_t i = 0; i < 2; i++) {
		assert_true(rooted(h, OPEN, pub[i], &d));
		assert_false(rooted(h, OPEN, sec[i], &d));
		assert_true(rooted(h, SECRET, sec[i], &d));
		assert_false(rooted(h, SECRET, pub[i], &d));
		assert_true(usage(h, sec[i], "frames") >= 2); /* a chunk and a node at least */
		assert_true(store_region_encrypted(h->app->store, place(h, sec[i]), NULL));
		check_place(h, sec[i], STORE_CHECK_READ_DATA, 0);
		readable(h, sec[i]);
	}
	assert_string_equal(text_at(h, "properties.kiln.domain"), "gold");
}

/* What kiln does to a region it does to a place. */
static void places_are_kept(void **state)
{
	struct harness *h = *state;
	struct store_recompress_result rc;
	struct store_gc_result g;
	auto_free char *pack = NULL;
	auto_fd int fd = -1;
	unsigned at;
	uint64_t n;

	publish_both(h);
	at = place(h, "eastus-gold");
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_gc(h->app->store, at, false, NULL, &g, NULL), 0);
	readable(h, "eastus-gold");
	assert_int_equal(store_rebuild_index(h->app->store, at, &n, NULL), 0);
	assert_true(n > 0);
	assert_int_equal(store_recompress(h->app->store, at, 9, NULL, NULL, NULL, &rc, NULL), 0);
	assert_true(rc.packs > 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_gc(h->app->store, at, false, NULL, &g, NULL), 0);
	pack = a_pack(h, "eastus/domains/gold");
	fd = open(pack, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(file_pwrite_full(fd, "damage", 6, 200), 0);
	check_place(h, "eastus-gold", STORE_CHECK_READ_DATA | STORE_CHECK_HEAL, 1);
	check_place(h, "eastus-gold", STORE_CHECK_READ_DATA, 0);
	readable(h, "eastus-gold");
	expect_ok(h, "DELETE", SECRET, V23, NULL);
	for (int i = 0; i < 4; i++)
		assert_int_equal(store_gc(h->app->store, at, false, NULL, &g, NULL), 0);
	assert_int_equal(usage(h, "eastus-gold", "packs"), 0);
	assert_true(usage(h, "eastus", "packs") > 0);
}

/* The idle worker's slices, until it asks to be left alone for an hour. */
static void idle_compresses_harder(void **state)
{
	struct harness *h = *state;
	struct cancel stop = {.event_fd = -1};
	struct store_recompress_result rc;
	static const char *const places[] = {"eastus", "westeurope", "eastus-gold",
					     "westeurope-gold"};
	unsigned calls = 0;

	publish_both(h);
	assert_int_equal(cancel_init(&stop), 0);
	while (app_idle(h->app, &stop) < 3600000)
		assert_true(calls++ < 100);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		assert_int_equal(store_recompress(h->app->store, place(h, places[i]), 15, NULL,
						  NULL, NULL, &rc, NULL),
				 0);
		assert_int_equal(rc.packs, 0); /* all were done */
		assert_true(rc.kept > 0);
		check_place(h, places[i], STORE_CHECK_READ_DATA, 0);
	}
	readable(h, "eastus-gold");
	cancel_done(&stop);
}

static void a_lost_database(void **state)
{
	struct harness *h = *state;
	auto_free char *dir = NULL, *db = NULL, *lookup = NULL;
	struct catalog_rebuilt k;

	publish_both(h);
	dir = strdup(h->app->data_dir);
	db = strf("%s/meta.db", dir);
	lookup = strf("%s/store/lookup", dir);
	app_close(h->app);
	h->app = NULL;
	assert_int_equal(unlink(db), 0);
	assert_int_equal(file_rm_rf(lookup, NULL), 0);
	assert_int_equal(app_open(dir, &h->app, NULL), 0);
	assert_int_equal(catalog_rebuild(h->app, "eastus", NULL, NULL, NULL, &k, NULL), 0);
	assert_int_equal(k.refused + k.incomplete, 0);
	expect_ok(h, "GET", SEC, V23, NULL);
	assert_string_equal(text_at(h, "properties.kiln.encryption.key"), "gold");
	readable(h, "eastus-gold");
	readable(h, "westeurope-gold");
}

static void what_is_refused(void **state)
{
	struct harness *h = *state;
	auto_free char *body = NULL;

	expect_error(h, "PUT", "@galleries/third", V23,
		     "{'location':'eastus','properties':{'kiln':{'encryption':{'key':'lead'}}}}",
		     400, "InvalidParameter", "properties.kiln.encryption.key");
	expect_error(h, "PUT", "@galleries/gal", V23,
		     "{'location':'eastus','properties':{'kiln':{'encryption':{'key':'gold'}}}}",
		     409, "PropertyChangeNotAllowed", NULL);
	/* Who knows nothing of keys leaves it as it is. */
	expect_ok(h, "PUT", SEC, V23, "{'location':'eastus','tags':{'a':'b'}}");
	assert_string_equal(text_at(h, "properties.kiln.encryption.key"), "gold");
	publish_both(h);
	body = strf("{'location':'eastus','properties':{'publishingProfile':{'replicationMode':"
		    "'Shallow'},'storageProfile':{'source':{'id':'/subscriptions/%s/resourceGroups/"
		    "g/providers/Microsoft.Compute/galleries/gal/images/def/versions/1.0.0'}}}}",
		    json_str_at(h->app->admin, "subscriptionId"));
	expect_error(h, "PUT", SEC "/images/def/versions/2.0.0", V23, body, 400, "InvalidParameter",
		     "properties.publishingProfile.replicationMode");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(content_is_apart, with_key, harness_teardown),
		cmocka_unit_test_setup_teardown(places_are_kept, with_key, harness_teardown),
		cmocka_unit_test_setup_teardown(idle_compresses_harder, with_key, harness_teardown),
		cmocka_unit_test_setup_teardown(a_lost_database, with_key, harness_teardown),
		cmocka_unit_test_setup_teardown(what_is_refused, with_key, harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

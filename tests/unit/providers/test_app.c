/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <pthread.h>
#include <sys/stat.h>

#include "base/file.h"

static void write_file(const struct harness *h, const char *name, const char *text)
{
	char *path = path_join(h->dir, name);

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0644, NULL), 0);
	free(path);
}

/* Opening must fail with @code and name @part. */
static void refused(struct harness *h, int code, const char *part)
{
	struct err e = ERR_INIT;
	struct app *a = NULL;

	assert_int_equal(app_open(h->dir, &a, &e), code);
	assert_null(a);
	if (!strstr(err_str(&e), part))
		fail_msg("'%s' is not in '%s'", part, err_str(&e));
	err_done(&e);
}

static void directory_is_complete(void **state)
{
	static const char *const keys[] = {"endpoint", "tenantId",     "subscriptionId",
					   "clientId", "clientSecret", "caFile"};
	struct harness *h = *state;
	char *path = path_join(h->dir, "admin.json");
	struct stat st;
	json_t *admin = NULL;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(json_read_file(path, &admin, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		assert_non_null(json_str_at(admin, keys[i]));
	assert_string_equal(json_str_at(admin, "endpoint"), "https://127.0.0.1:8443");
	assert_int_equal(strlen(json_str_at(admin, "clientSecret")), 64);
	assert_int_equal(h->app->n_regions, 2);
	assert_string_equal(h->app->regions[1].display, "West Europe");
	assert_true(strlen(h->app->run_dir) < 60);
	json_decref(admin);
	free(path);
}

static void opening_again_keeps_everything(void **state)
{
	struct harness *h = *state;
	char *before = strdup(json_str_at(h->app->admin, "clientSecret"));

	assert_true(h->app->created);
	harness_reopen(h);
	assert_false(h->app->created);
	assert_string_equal(before, json_str_at(h->app->admin, "clientSecret"));
	expect_ok(h, "GET", "~", "2021-04-01", NULL);
	assert_string_equal(text_at(h, "name"), "g");
	free(before);
}

static void newer_format_is_refused(void **state)
{
	struct harness *h = *state;

	app_close(h->app);
	h->app = NULL;
	write_file(h, "format", "2\n");
	write_file(h, "kiln.yaml", "keyOfTheFuture: 1\n"); /* is not even read */
	refused(h, -EPROTO, "newer than this program");
	write_file(h, "format", "one\n");
	refused(h, -EPROTO, "not a format number");
	write_file(h, "format", "0\n");
	refused(h, -EPROTO, "not a format number");
}

static void bad_files_are_named(void **state)
{
	struct harness *h = *state;

	app_close(h->app);
	h->app = NULL;
	write_file(h, "kiln.yaml", "regions: [{name: a}, {name: A}]\n");
	refused(h, -EINVAL, "region 'A' is given twice");
	write_file(h, "kiln.yaml", "regions: [{name: ../x}]\n");
	refused(h, -EINVAL, "region name '../x'");
	write_file(h, "kiln.yaml", "regions: []\n");
	refused(h, -EINVAL, "1 to 64 expected");
	write_file(h, "kiln.yaml", "\n");
	write_file(h, "admin.json", "{\"endpoint\": \"x\"}");
	refused(h, -EINVAL, "\"tenantId\" is missing");
	write_file(h, "admin.json", "{");
	refused(h, -EINVAL, "admin.json");
}

struct opener {
	const char *dir;
	char secret[80];
};

static void *open_one(void *arg)
{
	struct opener *o = arg;
	struct app *a = NULL;

	if (app_open(o->dir, &a, NULL) == 0) {
		(void) snprintf(o->secret, sizeof(o->secret), "%s",
				json_str_at(a->admin, "clientSecret"));
		app_close(a);
	}
	return NULL;
}

/* Two first commands at once make one directory with one set of credentials. */
static void first_use_happens_once(void **state)
{
	char dir[] = "/tmp/kiln-unit-XXXXXX";
	struct opener o[4];
	pthread_t t[4];
	struct app *a = NULL;

	(void) state;
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
		o[i] = (struct opener){.dir = dir};
		assert_int_equal(pthread_create(&t[i], NULL, open_one, &o[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
		assert_int_equal(strlen(o[i].secret), 64);
		assert_string_equal(o[i].secret, o[0].secret);
	}
	assert_int_equal(app_open(dir, &a, NULL), 0);
	assert_int_equal(file_rm_rf(a->run_dir, NULL), 0);
	app_close(a);
	assert_int_equal(file_rm_rf(dir, NULL), 0);
}

static void regions_by_any_spelling(void **state)
{
	struct harness *h = *state;

	assert_int_equal(app_region_index(h->app, "West Europe"), 1);
	assert_int_equal(app_region_index(h->app, "WESTEUROPE"), 1);
	assert_int_equal(app_region_index(h->app, "marsnorth"), -ENOENT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T(directory_is_complete),
		T(opening_again_keeps_everything),
		T(newer_format_is_refused),
		T(bad_files_are_named),
		cmocka_unit_test(first_use_happens_once),
		T(regions_by_any_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

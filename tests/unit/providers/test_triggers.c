/* SPDX-License-Identifier: Apache-2.0 */
/* Triggers of image templates. The runs that they start are looked at, not run. */
#include "harness.h"

#include "providers/triggers.h"

#define T   "%imageTemplates/t"
#define API "2022-07-01"

static void make_template(struct harness *h, const char *source, const char *target)
{
	char *body =
		strf("{'location':'eastus','identity':{'type':'None'},'properties':{'source':"
		     "{'type':'SharedImageVersion','imageVersionId':'%s'},'customize':[{'type':"
		     "'Shell','name':'a','inline':['true']}],'distribute':[{'type':"
		     "'SharedImage','runOutputName':'o','galleryImageId':'%s','targetRegions':"
		     "[{'name':'eastus'}]}]}}",
		     source, target);

	expect_ok(h, "PUT", T, API, body);
	free(body);
}

static char *definition(struct harness *h, const char *name)
{
	char *path = strf("@galleries/gal/images/%s", name), *id;

	expect_ok(h, "GET", path, V23, NULL);
	id = strdup(text_at(h, "id"));
	free(path);
	return id;
}

static void setup(struct harness *h, const char *suffix, const char *target_suffix)
{
	char *id, *out, *source, *target;

	make_gallery(h);
	expect_ok(h, "PUT", "@galleries/gal/images/out", V23,
		  "{'location':'eastus','properties':{'osType':'Linux','osState':'Generalized',"
		  "'hyperVGeneration':'V2','identifier':{'publisher':'p','offer':'o','sku':'t'}}}");
	make_version(h, "1.0.0", NULL);
	id = definition(h, "def");
	out = definition(h, "out");
	source = strf("%s%s", id, suffix);
	target = strf("%s%s", out, target_suffix);
	make_template(h, source, target);
	free(id);
	free(out);
	free(source);
	free(target);
}

static bool runs(struct harness *h)
{
	char active[UUID_STR_LEN] = "";

	expect_ok(h, "GET", T, API, NULL);
	assert_int_equal(arm_running(h->app->arm, text_at(h, "id"), active, NULL), 0);
	return active[0];
}

static void a_newer_source_starts_a_run(void **state)
{
	struct harness *h = *state;

	setup(h, "/versions/latest", "");
	expect_ok(h, "PUT", T "/triggers/source", API, "{'properties':{'kind':'SourceImage'}}");
	assert_string_equal(text_at(h, "properties.kind"), "SourceImage");
	assert_null(json_object_get(h->body, "who"));
	assert_int_equal(triggers_look(h->app, NULL), 0);
	assert_false(runs(h));
	make_version(h, "1.0.1", "'excludeFromLatest':true");
	assert_int_equal(triggers_look(h->app, NULL), 0);
	assert_false(runs(h));
	make_version(h, "1.1.0", NULL);
	assert_int_equal(triggers_look(h->app, NULL), 0);
	assert_true(runs(h));
	expect_ok(h, "GET", T "/triggers/source", API, NULL);
	assert_string_equal(text_at(h, "properties.status.code"), "Triggered");
	/* It is running: another look starts nothing. */
	assert_int_equal(triggers_look(h->app, NULL), 0);
	expect_ok(h, "POST", T "/cancel", API, NULL);
	(void) arm_work(h->app->arm, NULL, NULL, NULL, NULL);
	assert_false(runs(h));
	assert_int_equal(triggers_look(h->app, NULL), 0);
	assert_false(runs(h)); /* the same source again is no news */
	assert_int_equal(call(h, "DELETE", T "/triggers/source", API, NULL), 204);
	make_version(h, "1.2.0", NULL);
	assert_int_equal(triggers_look(h->app, NULL), 0);
	assert_false(runs(h));
}

static void three_failures_switch_it_off(void **state)
{
	static const char *const versions[] = {"2.0.0", "3.0.0", "4.0.0", "5.0.0"};
	struct harness *h = *state;

	setup(h, "/versions/latest", "");
	expect_ok(h, "PUT", T "/triggers/source", API, "{'properties':{'kind':'SourceImage'}}");
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		make_version(h, versions[i], NULL);
		assert_int_equal(triggers_look(h->app, NULL), 0);
		assert_int_equal(runs(h), i < 3);
		if (i < 3)
			expect_ok(h, "POST", T "/cancel", API, NULL);
		(void) arm_work(h->app->arm, NULL, NULL, NULL, NULL);
	}
	expect_ok(h, "GET", T "/triggers/source", API, NULL);
	assert_string_equal(text_at(h, "properties.status.code"), "Disabled");
}

static void what_cannot_be_triggered(void **state)
{
	struct harness *h = *state;

	setup(h, "/versions/1.0.0", "");
	expect_error(h, "PUT", T "/triggers/source", API, "{'properties':{'kind':'SourceImage'}}",
		     400, "InvalidParameter", "properties.kind");
	expect_error(h, "PUT", T "/triggers/source", API, "{'properties':{'kind':'Weather'}}", 400,
		     "InvalidParameter", "properties.kind");
}

static void fixed_targets_cannot_be_triggered(void **state)
{
	struct harness *h = *state;

	setup(h, "/versions/latest", "/versions/1.0.0");
	expect_error(h, "PUT", T "/triggers/source", API, "{'properties':{'kind':'SourceImage'}}",
		     400, "InvalidParameter", "properties.kind");
}

static void one_of_a_template(void **state)
{
	struct harness *h = *state;

	setup(h, "/versions/latest", "");
	expect_ok(h, "PUT", T "/triggers/a", API, "{'properties':{'kind':'SourceImage'}}");
	expect_error(h, "PUT", T "/triggers/b", API, "{'properties':{'kind':'SourceImage'}}", 409,
		     "Conflict", NULL);
	expect_ok(h, "PUT", T "/triggers/a", API, "{'properties':{'kind':'SourceImage'}}");
	expect_ok(h, "GET", T "/triggers", API, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	/* Old api-versions have errors without an envelope. */
	assert_int_equal(call(h, "GET", "%imageTemplates/none", "2020-02-14", NULL), 404);
	assert_string_equal(text_at(h, "code"), "ResourceNotFound");
	assert_int_equal(call(h, "GET", "%imageTemplates/none", "2021-10-01", NULL), 404);
	assert_string_equal(text_at(h, "error.code"), "ResourceNotFound");
}

int main(void)
{
#define T_(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
	const struct CMUnitTest tests[] = {
		T_(a_newer_source_starts_a_run), T_(three_failures_switch_it_off),
		T_(what_cannot_be_triggered),    T_(fixed_targets_cannot_be_triggered),
		T_(one_of_a_template),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/bake_input.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct err err = ERR_INIT;

	if (json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("%s: %s", text, err_str(&err));
	return j;
}

static void expands(const char *doc, const char *values, const char *want)
{
	auto_json json_t *d = parse(doc), *v = parse(values), *w = parse(want);
	struct err err = ERR_INIT;

	if (bake_expand(d, v, &err) < 0)
		fail_msg("%s: %s", doc, err_str(&err));
	if (!json_equal(d, w)) {
		auto_free char *got = json_compact(d);

		fail_msg("%s gives %s", doc, got);
	}
}

static void refuses(const char *doc, const char *values, const char *field)
{
	auto_json json_t *d = parse(doc), *v = parse(values);
	struct err err = ERR_INIT;

	assert_int_equal(bake_expand(d, v, &err), -EINVAL);
	assert_string_equal(err.target, field);
	err_done(&err);
}

static void expressions(void **state)
{
	expands("{\"a\":\"[parameters('x')]\"}", "{\"x\":7}", "{\"a\":7}");
	expands("{\"a\":[1,\"[PARAMETERS( 'X' )]\"]}", "{\"x\":[true]}", "{\"a\":[1,[true]]}");
}

static void joined(void **state)
{
	expands("{\"a\":\"[concat('it''s ', parameters('x'), '/', parameters('n'))]\"}",
		"{\"x\":\"1\",\"n\":2}", "{\"a\":\"it's 1/2\"}");
	/* A value is data: what looks like an expression in it stays. */
	expands("{\"a\":\"[parameters('x')]\"}", "{\"x\":\"[parameters('y')]\"}",
		"{\"a\":\"[parameters('y')]\"}");
}

static void shell_tests_are_no_expressions(void **state)
{
	expands("{\"a\":\"[ -f /etc/x ] && [ -d /y ]\"}", "{}",
		"{\"a\":\"[ -f /etc/x ] && [ -d /y ]\"}");
	expands("{\"a\":\"[[ -n $x ]]\"}", "{}", "{\"a\":\"[[ -n $x ]]\"}");
	expands("{\"a\":\"[[parameters('x')]\"}", "{}", "{\"a\":\"[parameters('x')]\"}");
	expands("{\"a\":\"[]\"}", "{}", "{\"a\":\"[]\"}");
}

static void bad_expressions(void **state)
{
	refuses("{\"a\":\"[parameters('x')]\"}", "{}", "a");
	refuses("{\"a\":{\"b\":[\"[nope('x')]\"]}}", "{}", "a.b[0]");
	refuses("{\"a\":\"[parameters('x]\"}", "{}", "a");
	refuses("{\"a\":\"[parameters(x)]\"}", "{}", "a");
	refuses("{\"a\":\"[concat('x',)]\"}", "{}", "a");
	refuses("{\"a\":\"[concat(parameters('x'))]\"}", "{\"x\":{}}", "a");
	refuses("{\"a\":\"[concat('x') 'y')]\"}", "{}", "a");
}

struct place {
	char dir[64];
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	snprintf(p->dir, sizeof(p->dir), "/tmp/kiln-input-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	file_rm_rf(p->dir, NULL);
	free(p);
	return 0;
}

static char *put(const struct place *p, const char *name, const char *text)
{
	char *path = path_join(p->dir, name);
	auto_free char *dir = path_dirname(path);

	assert_int_equal(file_mkdir_p(dir, 0700, NULL), 0);
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
	return path;
}

static void a_template_file(void **state)
{
	struct place *p = *state;
	auto_free char *script = put(p, "web/a b.sh", "true");
	auto_free char *path = put(
		p, "web/template.json",
		"{\"type\":\"Microsoft.VirtualMachineImages/imageTemplates\",\"apiVersion\":\"2024-"
		"02-01\",\"parameters\":{\"n\":{\"type\":\"int\",\"defaultValue\":3},\"s\":{"
		"\"type\":"
		"\"string\"}},\"properties\":{\"buildTimeoutInMinutes\":\"[parameters('n')]\","
		"\"customize\":[{\"type\":\"Shell\",\"name\":\"[parameters('s')]\",\"scriptUri\":"
		"\"file:a b.sh\"}]}}");
	const char *params[] = {"s=x=y", "n=5"};
	struct bake_input in = {0};
	struct err err = ERR_INIT;
	auto_free char *want = strf("file://%s/web/a%%20b.sh", p->dir);

	assert_non_null(script);
	if (bake_input_read(path, NULL, params, 2, &in, &err) < 0)
		fail_msg("%s", err_str(&err));
	assert_string_equal(in.name, "web"); /* the folder's, for template.json */
	assert_string_equal(in.api_version, "2024-02-01");
	assert_string_equal(json_str_at(in.body, "properties.customize.0.scriptUri"), want);
	assert_string_equal(json_str_at(in.body, "properties.customize.0.name"), "x=y");
	assert_int_equal(json_int_at(in.body, "properties.buildTimeoutInMinutes", 0), 5);
	assert_string_equal(json_str_at(in.body, "identity.type"), "None");
	assert_null(json_object_get(in.body, "parameters"));
	assert_null(json_object_get(in.body, "type"));
	bake_input_done(&in);
	params[1] = "n=five";
	assert_int_equal(bake_input_read(path, NULL, params, 2, &in, NULL), -EINVAL);
	params[1] = "other=1";
	assert_int_equal(bake_input_read(path, NULL, params, 2, &in, NULL), -EINVAL);
	assert_int_equal(bake_input_read(path, NULL, NULL, 0, &in, NULL), -EINVAL);
}

static void bad_files(void **state)
{
	struct place *p = *state;
	auto_free char *array = put(p, "a.json", "[]"), *broken = put(p, "b.json", "{");
	auto_free char *other = put(p, "c.json", "{\"type\":\"Microsoft.Compute/images\"}");
	auto_free char *missing = put(p, "d.json",
				      "{\"properties\":{\"customize\":[{\"scriptUri\":"
				      "\"file:none.sh\"}]}}");
	struct bake_input in = {0};
	struct err err = ERR_INIT;

	assert_int_equal(bake_input_read(array, NULL, NULL, 0, &in, NULL), -EINVAL);
	assert_int_equal(bake_input_read(broken, NULL, NULL, 0, &in, NULL), -EINVAL);
	assert_int_equal(bake_input_read(other, NULL, NULL, 0, &in, NULL), -EINVAL);
	assert_int_equal(bake_input_read(missing, NULL, NULL, 0, &in, &err), -ENOENT);
	assert_non_null(strstr(err_str(&err), "none.sh"));
	err_done(&err);
	assert_int_equal(bake_input_read("/nowhere.json", NULL, NULL, 0, &in, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joined),
		cmocka_unit_test(shell_tests_are_no_expressions),
		cmocka_unit_test(bad_expressions),
		cmocka_unit_test(expressions),
		cmocka_unit_test_setup_teardown(a_template_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_files, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

static json_t *good(const char *text)
{
	struct err e = ERR_INIT;
	json_t *j = NULL;

	if (config_parse("kiln.yaml", text, strlen(text), &j, &e) < 0)
		fail_msg("%s", err_str(&e));
	return j;
}

/* @part must be in the message, and the line's number. */
static void bad(const char *text, const char *part)
{
	struct err e = ERR_INIT;
	json_t *j = NULL;

	assert_int_equal(config_parse("kiln.yaml", text, strlen(text), &j, &e), -EINVAL);
	assert_null(j);
	if (!strstr(err_str(&e), part))
		fail_msg("'%s' is not in '%s'", part, err_str(&e));
	err_done(&e);
}

static void everything_is_read(void **state)
{
	json_t *j = good("regions:\n"
			 "  - name: North 1\n"
			 "    url: /srv/north\n"
			 "    displayName: Up North\n"
			 "  - {name: south}\n"
			 "database: sqlite:/srv/kiln.db\n"
			 "listen: 0.0.0.0:443\n"
			 "limits: {cacheMegabytes: 64, threads: 2, compressionLevel: 3,\n"
			 " databaseConnections: 3,\n"
			 "  replicationMegabytesPerSecond: 10}\n"
			 "platform:\n"
			 "  sources:\n"
			 "    - deb http://mirror.example/debian bookworm main\n");

	(void) state;
	assert_int_equal(json_array_size(json_object_get(j, "regions")), 2);
	assert_string_equal(json_str_at(j, "regions.0.displayName"), "Up North");
	assert_string_equal(json_str_at(j, "database"), "sqlite:/srv/kiln.db");
	assert_int_equal(json_int_at(j, "limits.cacheMegabytes", 0), 64);
	assert_string_equal(json_str_at(j, "platform.sources.0"),
			    "deb http://mirror.example/debian bookworm main");
	json_decref(j);
}

static void nothing_is_fine(void **state)
{
	static const char *const texts[] = {"", "\n", "# only a comment\n", "---\n"};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *j = good(texts[i]);

		assert_int_equal(json_object_size(j), 0);
		json_decref(j);
	}
}

static void complaints_name_the_line(void **state)
{
	(void) state;
	bad("database: x\nregionz: []\n", "kiln.yaml:2: unknown key 'regionz'");
	bad("regions:\n  - name: a\n    uri: /x\n", "kiln.yaml:3: unknown key 'uri'");
	bad("regions:\n  - url: /x\n", "'name' is missing");
	bad("regions: eastus\n", "expected a list");
	bad("fetch:\n  allowPrivate: maybe\n", "kiln.yaml:2: 'allowPrivate' must be true or false");
	bad("limits:\n  threads: many\n", "kiln.yaml:2: 'threads' must be a whole number");
	bad("limits:\n  threads: 0\n", "whole number from 1 to 256");
	bad("limits:\n  threads: 99999999999999999999\n", "whole number");
	bad("database: a\ndatabase: b\n", "kiln.yaml:2: key 'database' is given twice");
	bad("database:\n", "'database' needs a value");
	bad("- a\n- b\n", "expected 'key: value'");
	bad("platform: [a]\n", "expected 'key: value'");
	bad("database: [\n", "kiln.yaml:");
	bad("a: &x [*x]\n", "unknown key 'a'");
}

/* A list that contains itself must end in an error, not in a hang. */
static void loops_end(void **state)
{
	(void) state;
	bad("platform: &p\n  sources: [*p]\n", "needs a value");
	bad("regions: &r\n  - *r\n", "expected 'key: value'");
}

static void display_names(void **state)
{
	(void) state;
	assert_string_equal(region_display("eastus"), "East US");
	assert_string_equal(region_display("westeurope"), "West Europe");
	assert_string_equal(region_display("nowhere"), "nowhere");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_read),
		cmocka_unit_test(nothing_is_fine),
		cmocka_unit_test(complaints_name_the_line),
		cmocka_unit_test(loops_end),
		cmocka_unit_test(display_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

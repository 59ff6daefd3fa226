/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/output.h"

static void width_counts_columns(void **state)
{
	(void) state;
	assert_int_equal(cli_width(""), 0);
	assert_int_equal(cli_width("abc"), 3);
	assert_int_equal(cli_width("\xc3\xa4\xc3\xb6"), 2);     /* two letters, four bytes */
	assert_int_equal(cli_width("\xe6\xbc\xa2"), 2);         /* wide */
	assert_int_equal(cli_width("e\xcc\x81"), 1);            /* combining accent */
	assert_int_equal(cli_width("\033[1;31mred\033[0m"), 3); /* colour takes no room */
	assert_int_equal(cli_width("\xff"), 1);
}

static char *safe(const char *text, size_t n)
{
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	assert_non_null(f);
	cli_print_safe(f, text, n);
	assert_int_equal(fclose(f), 0);
	return out;
}

/* What a script prints must not reach the terminal as commands to it. */
static void untrusted_text_is_made_visible(void **state)
{
	static const struct {
		const char *in, *out;
		size_t n;
	} cases[] = {
		{"plain\ttext", "plain\ttext", 10},
		{"\033[2Jx", "\\x1b[2Jx", 5},
		{"a\0b", "a\\x00b", 3},
		{"\xc3\xa4", "\xc3\xa4", 2},
		{"\xc3", "\\xc3", 1},
		{"\xc2\x9b"
		 "1m",
		 "\\xc2\\x9b1m", 4}, /* an escape in one character */
		{"\r\x7f", "\\x0d\\x7f", 2},
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *s = safe(cases[i].in, cases[i].n);

		assert_string_equal(s, cases[i].out);
		free(s);
	}
}

static void bar_shows_what_is_known(void **state)
{
	char b[CLI_BAR_MAX];

	(void) state;
	assert_string_equal(cli_bar(b, 10, 0, 100, 0), "[..........]   0%  0 B/100 B");
	assert_string_equal(cli_bar(b, 10, 50, 100, 0), "[#####.....]  50%  50 B/100 B");
	assert_non_null(strstr(cli_bar(b, 10, 50, 100, 25), "25 B/s  2.0s left"));
	assert_non_null(strstr(cli_bar(b, 10, 100, 100, 25), "[##########] 100%"));
	assert_non_null(strstr(cli_bar(b, 10, 999, 1000, 0), " 99%")); /* not done is not 100 */
	assert_string_equal(cli_bar(b, 10, 50, 0, 0), "50 B");
	assert_non_null(strstr(cli_bar(b, 1000, 1, 2, 0), "50%")); /* too wide is cut */
}

static void exit_status_of_errors(void **state)
{
	(void) state;
	assert_int_equal(cli_status_of(-ECANCELED), EXIT_CANCELLED);
	assert_int_equal(cli_status_of(-EINVAL), EXIT_REFUSED);
	assert_int_equal(cli_status_of(-EBUSY), EXIT_REFUSED);
	assert_int_equal(cli_status_of(-EPROTO), EXIT_REFUSED);
	assert_int_equal(cli_status_of(-EIO), EXIT_FAILED);
	assert_int_equal(cli_status_of(-ENOENT), EXIT_FAILED);
	for (int s = 200; s < 300; s++)
		assert_int_equal(cli_status_of_http(s), EXIT_DONE);
	assert_int_equal(cli_status_of_http(400), EXIT_REFUSED);
	assert_int_equal(cli_status_of_http(403), EXIT_REFUSED);
	assert_int_equal(cli_status_of_http(409), EXIT_REFUSED);
	assert_int_equal(cli_status_of_http(412), EXIT_REFUSED);
	assert_int_equal(cli_status_of_http(401), EXIT_FAILED);
	assert_int_equal(cli_status_of_http(404), EXIT_FAILED);
	assert_int_equal(cli_status_of_http(429), EXIT_FAILED);
	assert_int_equal(cli_status_of_http(500), EXIT_FAILED);
}

static void error_documents(void **state)
{
	struct err e = ERR_INIT;
	json_t *j;

	(void) state;
	err_set(&e, -EBUSY, "it runs");
	j = cli_error_json(&e);
	assert_string_equal(json_str_at(j, "error.code"), "Conflict");
	assert_string_equal(json_str_at(j, "error.message"), "it runs");
	assert_null(json_at(j, "error.target"));
	json_decref(j);
	err_arm(&e, "OperationNotAllowed");
	err_target(&e, "name");
	err_hint(&e, "wait");
	j = cli_error_json(&e);
	assert_string_equal(json_str_at(j, "error.code"), "OperationNotAllowed");
	assert_string_equal(json_str_at(j, "error.target"), "name");
	assert_string_equal(json_str_at(j, "error.hint"), "wait");
	json_decref(j);
	err_done(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(width_counts_columns),
		cmocka_unit_test(untrusted_text_is_made_visible),
		cmocka_unit_test(bar_shows_what_is_known),
		cmocka_unit_test(exit_status_of_errors),
		cmocka_unit_test(error_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The man page, --help and the tables list the same commands and options. Resource commands are in
 * kiln-resources(1), which is made from their table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/help.h"
#include "cli/parse.h"

static char *man_page(void)
{
	struct buf b = BUF_INIT(1 << 20);
	struct err e = ERR_INIT;

	if (file_read_all(KILN_MAN, &b, &e) < 0)
		fail_msg("%s", err_str(&e));
	return buf_take(&b);
}

/* The part of the page below ".Ss @title", up to the next heading; caller frees. */
static char *section(const char *page, const char *title)
{
	char *head = strf("\n.Ss %s\n", title);
	const char *at = strstr(page, head), *end, *other;

	if (!at)
		fail_msg("man page: '.Ss %s' is missing", title);
	at += strlen(head);
	end = strstr(at, "\n.Ss ");
	other = strstr(at, "\n.Sh ");
	if (!end || (other && other < end))
		end = other;
	free(head);
	return strndup(at, end ? (size_t) (end - at) + 1 : strlen(at));
}

/* Options appear as ".It Fl g , -group Ar GROUP", ".It Fl -wait". */
static char *option_item(const struct cli_option *o)
{
	char letter[16] = "";

	if (o->letter)
		(void) snprintf(letter, sizeof(letter), "%c , ", o->letter);
	return strf(".It Fl %s%s%s%s\n", letter, o->name + 1, o->arg ? " Ar " : "",
		    o->arg ? o->arg : "");
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (text = strstr(text, part); text; text = strstr(text + 1, part))
		n++;
	return n;
}

static void check_options(const char *text, const struct cli_option *o, const char *what)
{
	size_t n = 0;

	for (; o && o->name; o++, n++) {
		char *item = option_item(o);

		if (!strstr(text, item))
			fail_msg("man page: %s: no line '%.*s'", what, (int) strlen(item) - 1,
				 item);
		free(item);
	}
	if (count(text, ".It Fl ") != n)
		fail_msg("man page: %s: %zu options, the table has %zu", what,
			 count(text, ".It Fl "), n);
}

static void man_page_lists_every_option(void **state)
{
	char *page = man_page(), *common;

	(void) state;
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		char *text;

		if ((*c)->hidden || (*c)->noun)
			continue;
		text = section(page, (*c)->name);
		check_options(text, (*c)->options, (*c)->name);
		free(text);
	}
	common = section(page, "Options of every command");
	check_options(common, cli_common, "common options");
	free(common);
	free(page);
}

static void man_page_has_no_other_command(void **state)
{
	char *page = man_page();
	const char *commands = strstr(page, "\n.Sh COMMANDS\n"), *end;
	size_t n = 0, listed = 0;

	(void) state;
	assert_non_null(commands);
	end = strstr(commands + 1, "\n.Sh ");
	for (const char *at = strstr(commands, "\n.Ss "); at && at < end;
	     at = strstr(at + 1, "\n.Ss "))
		n++;
	for (const struct cli_command *const *c = cli_commands; *c; c++)
		listed += !(*c)->hidden && !(*c)->noun;
	assert_int_equal(n, listed);
	free(page);
}

static char *help_of(const struct cli_command *cmd)
{
	const struct cli cli = {0};
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	assert_non_null(f);
	cli_help_command(&cli, f, cmd);
	assert_int_equal(fclose(f), 0);
	return out;
}

static void help_lists_every_option_and_an_example(void **state)
{
	(void) state;
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		char *text;

		if ((*c)->hidden)
			continue;
		text = help_of(*c);
		for (const struct cli_option *o = (*c)->options; o && o->name; o++)
			if (!strstr(text, o->name))
				fail_msg("%s --help: %s is missing", (*c)->name, o->name);
		for (const struct cli_option *o = cli_common; o->name; o++)
			if (!strstr(text, o->name))
				fail_msg("%s --help: %s is missing", (*c)->name, o->name);
		if (!strstr(text, "Example"))
			fail_msg("%s --help: no example", (*c)->name);
		free(text);
	}
}

/* Rules of the table itself: names in use twice would hide each other. */
static void tables_are_sound(void **state)
{
	(void) state;
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		assert_ptr_equal(cli_find(cli_commands, (*c)->name), *c);
		assert_non_null((*c)->run);
		assert_non_null((*c)->summary);
		for (const struct cli_option *o = (*c)->options; o && o->name; o++) {
			assert_int_equal(strncmp(o->name, "--", 2), 0);
			assert_non_null(o->help);
			for (const struct cli_option *x = (*c)->options; x < o; x++) {
				assert_string_not_equal(x->name, o->name);
				assert_false(o->letter && x->letter == o->letter);
			}
			for (const struct cli_option *x = cli_common; x->name; x++) {
				assert_string_not_equal(x->name, o->name);
				assert_false(o->letter && x->letter == o->letter);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(man_page_lists_every_option),
		cmocka_unit_test(man_page_has_no_other_command),
		cmocka_unit_test(help_lists_every_option_and_an_example),
		cmocka_unit_test(tables_are_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

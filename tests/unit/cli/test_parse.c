/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/parse.h"

static int run_nothing(struct cli *cli, const struct cli_args *args)
{
	(void) cli;
	(void) args;
	return EXIT_DONE;
}

static const struct cli_option options[] = {
	{"--group", 'g', "GROUP", "g"},
	{"--param", 'p', "K=V", "p"},
	{"--force", 'f', NULL, "f"},
	{"--quiet", 'q', NULL, "q"},
	{NULL},
};
static const struct cli_command bake = {.name = "bake",
					.args = "TEMPLATE [MORE...]",
					.summary = "s",
					.options = options,
					.run = run_nothing};
static const struct cli_command show = {
	.name = "version show", .args = "VERSION", .summary = "s", .run = run_nothing};
static const struct cli_command list = {.name = "version list", .summary = "s", .run = run_nothing};
static const struct cli_command shell = {
	.name = "shell", .args = "REF [-- COMMAND...]", .summary = "s", .run = run_nothing};
static const struct cli_command add = {.name = "region add", .summary = "s", .run = run_nothing};
static const struct cli_command *const commands[] = {&bake, &show, &list, &shell, &add, NULL};

#define ARGV(...) ((char *[]){(char *) "kiln", __VA_ARGS__, NULL})
#define S(s)      ((char *) s)

static struct cli_parsed good(char **argv)
{
	struct cli_parsed p;
	struct err e = ERR_INIT;

	if (cli_parse((int) strv_len(argv), argv, commands, &p, &e) < 0)
		fail_msg("%s", err_str(&e));
	return p;
}

static void bad(char **argv, const char *message, const char *hint)
{
	struct cli_parsed p;
	struct err e = ERR_INIT;

	assert_int_equal(cli_parse((int) strv_len(argv), argv, commands, &p, &e), -EINVAL);
	assert_string_equal(err_str(&e), message);
	assert_non_null(e.hint);
	if (hint)
		assert_string_equal(e.hint, hint);
	err_done(&e);
	cli_parsed_done(&p);
}

static void options_in_every_spelling(void **state)
{
	struct cli_parsed p = good(ARGV(S("bake"), S("-g"), S("one"), S("t.json"), S("--param=a=b"),
					S("-pc=d"), S("--group"), S("two"), S("-fq")));
	int i = 0;

	(void) state;
	assert_ptr_equal(p.args.cmd, &bake);
	assert_int_equal(p.args.n_pos, 1);
	assert_string_equal(p.args.pos[0], "t.json");
	assert_string_equal(cli_opt(&p.args, "--group"), "two"); /* the last one counts */
	assert_string_equal(cli_opt_next(&p.args, "--param", &i), "a=b");
	assert_string_equal(cli_opt_next(&p.args, "--param", &i), "c=d");
	assert_null(cli_opt_next(&p.args, "--param", &i));
	assert_true(cli_flag(&p.args, "--force"));
	assert_true(cli_flag(&p.args, "--quiet"));
	assert_null(cli_opt(&p.args, "--missing"));
	cli_parsed_done(&p);
}

static void two_words_and_common_options(void **state)
{
	struct cli_parsed p =
		good(ARGV(S("--data"), S("/d"), S("version"), S("show"), S("--json"), S("x")));

	(void) state;
	assert_ptr_equal(p.args.cmd, &show);
	assert_string_equal(p.data_dir, "/d");
	assert_true(p.json);
	assert_string_equal(p.args.pos[0], "x");
	cli_parsed_done(&p);
}

static void dashes_end_options(void **state)
{
	struct cli_parsed p =
		good(ARGV(S("shell"), S("ref"), S("--"), S("ls"), S("-l"), S("--all")));

	(void) state;
	assert_int_equal(p.args.n_pos, 4);
	assert_string_equal(p.args.pos[2], "-l");
	cli_parsed_done(&p);
	p = good(ARGV(S("bake"), S("-")));
	assert_string_equal(p.args.pos[0], "-");
	cli_parsed_done(&p);
}

static void help_needs_no_arguments(void **state)
{
	struct cli_parsed p = good(ARGV(S("bake"), S("-h")));

	(void) state;
	assert_true(p.help);
	cli_parsed_done(&p);
	p = good(ARGV(S("--version")));
	assert_true(p.version);
	cli_parsed_done(&p);
	p = good((char *[]){S("kiln"), NULL});
	assert_null(p.args.cmd);
	cli_parsed_done(&p);
}

static void a_noun_alone_lists(void **state)
{
	struct cli_parsed p = good(ARGV(S("version")));

	(void) state;
	assert_ptr_equal(p.args.cmd, &list);
	cli_parsed_done(&p);
	p = good(ARGV(S("version"), S("--json")));
	assert_ptr_equal(p.args.cmd, &list);
	assert_true(p.json);
	cli_parsed_done(&p);
}

static void mistakes_get_one_specific_line(void **state)
{
	(void) state;
	bad(ARGV(S("bkae")), "unknown command 'bkae'", "did you mean 'bake'?");
	bad(ARGV(S("zzzzzzzz")), "unknown command 'zzzzzzzz'", "see 'kiln --help'");
	bad(ARGV(S("region")), "'region' needs one of: add", NULL);
	bad(ARGV(S("version"), S("shwo")), "unknown command 'version shwo'",
	    "did you mean 'version show'?");
	bad(ARGV(S("bake"), S("--gruop"), S("x")), "unknown option '--gruop'",
	    "did you mean '--group'?");
	bad(ARGV(S("bake"), S("-x")), "unknown option '-x'", "see 'kiln bake --help'");
	bad(ARGV(S("bake"), S("--group")), "option '--group' needs a value (GROUP)", NULL);
	bad(ARGV(S("bake"), S("-g")), "option '-g' needs a value (GROUP)", NULL);
	bad(ARGV(S("bake"), S("--force=yes")), "option '--force' takes no value", NULL);
	bad(ARGV(S("bake")), "TEMPLATE is missing", NULL);
	bad(ARGV(S("version"), S("show"), S("a"), S("b")), "unexpected argument 'b'", NULL);
	bad(ARGV(S("version"), S("list"), S("a")), "unexpected argument 'a'", NULL);
}

/* --json behind the mistake still decides how the mistake is printed. */
static void json_is_seen_behind_a_mistake(void **state)
{
	struct cli_parsed p;

	(void) state;
	assert_int_equal(
		cli_parse(4, ARGV(S("bake"), S("--nonsense"), S("--json")), commands, &p, NULL),
		-EINVAL);
	assert_true(p.json);
	cli_parsed_done(&p);
}

static void counts(void **state)
{
	static const struct {
		const char *args;
		int min, max;
	} cases[] = {
		{NULL, 0, 0},
		{"", 0, 0},
		{"A", 1, 1},
		{"A B", 2, 2},
		{"A [B]", 1, 2},
		{"[A]", 0, 1},
		{"A...", 1, -1},
		{"[A...]", 0, -1},
		{"A [-- COMMAND...]", 1, -1},
		{"[COMMAND [WORD]]", 0, 2},
	};
	int min, max;

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cli_counts(cases[i].args, &min, &max);
		assert_int_equal(min, cases[i].min);
		assert_int_equal(max, cases[i].max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_in_every_spelling),
		cmocka_unit_test(two_words_and_common_options),
		cmocka_unit_test(dashes_end_options),
		cmocka_unit_test(help_needs_no_arguments),
		cmocka_unit_test(a_noun_alone_lists),
		cmocka_unit_test(mistakes_get_one_specific_line),
		cmocka_unit_test(json_is_seen_behind_a_mistake),
		cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

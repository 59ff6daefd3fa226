/* SPDX-License-Identifier: Apache-2.0 */
/* $filter, and patterns of actions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arm/filter.h"
#include "arm/roles.h"
#include "base/mem.h"

/* Fields: a = "1", b = "Two", d = a date; yes() and no(). */
static int judge(void *arg, const struct filter_term *t)
{
	(void) arg;
	if (t->op == FILTER_CALL)
		return str_eq(t->name, "yes");
	if (str_eq(t->name, "a"))
		return filter_compare(t, "1");
	if (str_eq(t->name, "b"))
		return filter_compare(t, "Two");
	return filter_compare(t, str_eq(t->name, "d") ? "2026-05-01T00:00:00Z" : NULL);
}

static int match(const char *text)
{
	auto_filter struct filter *f = NULL;
	struct err e = ERR_INIT;

	if (filter_parse(text, &f, &e) < 0)
		fail_msg("%s: %s", text, err_str(&e));
	return filter_match(f, judge, NULL);
}

static void terms_and_words(void **state)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{"a eq '1'", 1},
		{"a eq 1", 1},
		{"A eq 2 or b eq 'two'", 1},
		{"a ne '1'", 0},
		{"b ge 'two' and b le 'TWO'", 1},
		{"c eq null", 1},
		{"c ne null", 0},
		{"c ne 1", 1},
		{"a ne null", 1},
		{"yes()", 1},
		{"yes() eq false", 0},
		{"no() EQ FALSE", 1},
		{"not yes()", 0},
		{"not (a eq 2) and yes()", 1},
		{"yes() or no() and no()", 1},
		{"(yes() or no()) and no()", 0},
		{"d gt 2026-01-01T00:00:00Z and d lt datetime'2027-01-01'", 1},
		{"b eq 'T''wo'", 0},
		{"  yes( 'x' , y/z )  ", 1},
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (match(cases[i].text) != cases[i].want)
			fail_msg("%s: expected %d", cases[i].text, cases[i].want);
}

static void refusals(void **state)
{
	static const char *const texts[] = {
		"",
		"a",
		"a eq",
		"a eq 'x",
		"a is 1",
		"(yes()",
		"yes())",
		"yes() yes()",
		"eq eq",
		"a eq 1 and",
		"yes() eq maybe",
		"f(a,b,c,d)",
		"((((((((((((((((((yes()))))))))))))))))))",
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct filter *f = NULL;
		struct err e = ERR_INIT;

		if (filter_parse(texts[i], &f, &e) != -EINVAL)
			fail_msg("\"%s\" was taken", texts[i]);
		assert_string_equal(e.arm, "InvalidFilterInQueryString");
		err_done(&e);
	}
}

static void bounds(void **state)
{
	struct buf b = BUF_INIT(8192);
	struct filter *f = NULL;

	(void) state;
	for (int i = 0; i < FILTER_TERMS; i++)
		(void) buf_addf(&b, "%sa eq 1", i ? " and " : "");
	assert_int_equal(filter_parse(buf_str(&b), &f, NULL), 0);
	filter_free(f);
	(void) buf_addstr(&b, " and a eq 1");
	assert_int_equal(filter_parse(buf_str(&b), &f, NULL), -EINVAL);
	buf_done(&b);
}

static void what_must_hold(void **state)
{
	auto_filter struct filter *f = NULL;

	(void) state;
	assert_int_equal(filter_parse("a eq 1 and (b eq 2 or c eq 3) and at('x')", &f, NULL), 0);
	assert_string_equal(filter_needs(f, "A", FILTER_EQ), "1");
	assert_string_equal(filter_needs(f, "at", FILTER_CALL), "x");
	assert_null(filter_needs(f, "b", FILTER_EQ));
	assert_null(filter_needs(f, "a", FILTER_NE));
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern, *action;
		bool want;
	} cases[] = {
		{"*", "a/b/read", true},
		{"*/read", "a/b/read", true},
		{"*/read", "a/b/write", false},
		{"*/read", "read", false},
		{"a/*/c/*", "a/x/y/c/d", true},
		{"a/*/c", "a/c", false},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxbyyd", false},
		{"a/b", "a/b", true},
		{"a/b", "a/b/c", false},
		{"", "a", false},
		{"**", "", true},
		{"*aab", "aaaaaaab", true},
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (pattern_matches(cases[i].pattern, cases[i].action) != cases[i].want)
			fail_msg("%s on %s", cases[i].pattern, cases[i].action);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(terms_and_words), cmocka_unit_test(refusals),
		cmocka_unit_test(bounds),          cmocka_unit_test(what_must_hold),
		cmocka_unit_test(patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

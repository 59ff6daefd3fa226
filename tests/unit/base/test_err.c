/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "support/fault.h"

static void set_and_context(void **state)
{
	auto_err struct err e = ERR_INIT;

	assert_int_equal(err_set(&e, -ENOENT, "open %s: %s", "f", "gone"), -ENOENT);
	assert_int_equal(err_ctx(&e, -ENOENT, "load %d", 7), -ENOENT);
	assert_int_equal(err_ctx(&e, -EIO, "start"), -EIO);
	assert_string_equal(err_str(&e), "start: load 7: open f: gone");
	assert_int_equal(e.code, -ENOENT); /* the first failure decides */
}

static void context_without_failure(void **state)
{
	auto_err struct err e = ERR_INIT;

	assert_int_equal(err_ctx(&e, -EACCES, "read x"), -EACCES);
	assert_int_equal(e.code, -EACCES);
	assert_string_equal(err_str(&e), "read x: Permission denied");
}

static void set_replaces_everything(void **state)
{
	auto_err struct err e = ERR_INIT;

	(void) err_set(&e, -EIO, "first");
	err_target(&e, "a.%d", 1);
	err_target(&e, "b");
	err_hint(&e, "do this");
	err_hint(&e, "do that");
	err_arm(&e, "BadA");
	err_arm(&e, "BadB");
	assert_string_equal(e.target, "a.1"); /* the first one stays */
	assert_string_equal(e.hint, "do this");
	assert_string_equal(e.arm, "BadB"); /* the last one counts */
	/* The arguments may point into what is replaced. */
	assert_int_equal(err_set(&e, -EINVAL, "then %s (%s)", e.msg, e.target), -EINVAL);
	assert_string_equal(e.msg, "then first (a.1)");
	assert_null(e.target);
	assert_null(e.hint);
	assert_null(e.arm);
}

static void null_is_fine(void **state)
{
	struct err from = ERR_INIT;

	assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_ctx(NULL, -EIO, "x"), -EIO);
	err_target(NULL, "x");
	err_hint(NULL, "x");
	err_arm(NULL, "x");
	assert_non_null(err_str(NULL));
	err_done(NULL);
	(void) err_set(&from, -EIO, "x");
	err_move(NULL, &from);
	assert_null(from.msg);
	assert_int_equal(from.code, 0);
}

static void move_and_done(void **state)
{
	struct err a = ERR_INIT, b = ERR_INIT;

	(void) err_set(&a, -EIO, "a");
	(void) err_set(&b, -EPERM, "b");
	err_hint(&b, "hint");
	err_move(&a, &b);
	assert_string_equal(a.msg, "b");
	assert_string_equal(a.hint, "hint");
	assert_int_equal(a.code, -EPERM);
	assert_null(b.msg);
	assert_int_equal(b.code, 0);
	err_move(&a, &a);
	assert_string_equal(a.msg, "b");
	errno = ERANGE;
	err_done(&a);
	err_done(&a);
	assert_int_equal(errno, ERANGE);
	assert_string_equal(err_str(&a), "Success");
}

static void text_of_codes(void **state)
{
	struct err e = {.code = -ENOSPC};

	assert_string_equal(err_str(&e), "No space left on device");
	e.code = -123456;
	assert_string_equal(err_str(&e), "Unknown error");
}

/* Without memory the code survives, and there is always a text. */
static void no_memory(void **state)
{
	for (unsigned n = 1;; n++) {
		struct err e = ERR_INIT;
		bool armed = true;
		int r;

		fault_alloc_nth(n, &armed);
		r = err_set(&e, -EIO, "first %d", 1);
		assert_int_equal(r, -EIO);
		r = err_ctx(&e, -EIO, "second %d", 2);
		err_target(&e, "t%d", 3);
		err_hint(&e, "h");
		err_arm(&e, "A");
		fault_alloc_off();
		assert_int_equal(r, -EIO);
		assert_int_equal(e.code, -EIO);
		assert_true(strstr(err_str(&e), "first 1") ||
			    strstr(err_str(&e), "Input/output error"));
		assert_true(!armed || (e.msg && e.target && e.hint && e.arm));
		err_done(&e);
		if (armed) {
			assert_true(n > 5);
			return;
		}
	}
}

static void string_vectors(void **state)
{
	auto_strv char **v = NULL;

	assert_int_equal(strv_len(NULL), 0);
	strv_free(NULL);
	for (unsigned n = 1;; n++) {
		bool armed = true;
		size_t len = strv_len(v);
		int r;

		fault_alloc_nth(n, &armed);
		r = strv_push(&v, "word");
		fault_alloc_off();
		assert_int_equal(r, armed ? 0 : -ENOMEM);
		assert_int_equal(strv_len(v), armed ? len + 1 : len);
		if (armed)
			break;
	}
	assert_int_equal(strv_push(&v, ""), 0);
	assert_string_equal(v[0], "word");
	assert_string_equal(v[1], "");
	assert_null(v[2]);
}

static void strings(void **state)
{
	auto_free char *s = str_lower("AzZ@[\xc4");

	assert_string_equal(s, "azz@[\xc4");
	assert_true(str_eq_nocase("aB", "Ab"));
	assert_false(str_eq_nocase("a", "ab"));
	assert_false(str_eq_nocase("ab", "a"));
	assert_false(str_eq_nocase("@", "`")); /* 0x20 apart, but no letters */
	assert_true(str_eq_nocase(NULL, NULL));
	assert_false(str_eq_nocase(NULL, ""));
	assert_true(str_eq(NULL, NULL));
	assert_false(str_eq(NULL, ""));
	assert_true(str_starts("abc", "ab"));
	assert_false(str_starts("a", "ab"));
	assert_true(str_ends("abc", "bc"));
	assert_true(str_ends("abc", ""));
	assert_false(str_ends("c", "bc"));
	assert_false(str_ends(NULL, "x"));
	assert_true(range_ok(0, 10, 10));
	assert_false(range_ok(1, 10, 10));
	assert_true(range_ok(10, 0, 10));
	assert_false(range_ok(11, 0, 10));
	assert_false(range_ok(UINT64_MAX, 2, 10));
	assert_false(range_ok(2, UINT64_MAX, 10));
}

static void wiped(void **state)
{
	char secret[] = "secret";

	mem_wipe(secret, 3);
	assert_memory_equal(secret, "\0\0\0ret", 7);
	mem_wipe(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_and_context),
		cmocka_unit_test(context_without_failure),
		cmocka_unit_test(set_replaces_everything),
		cmocka_unit_test(null_is_fine),
		cmocka_unit_test(move_and_done),
		cmocka_unit_test(text_of_codes),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(string_vectors),
		cmocka_unit_test(strings),
		cmocka_unit_test(wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

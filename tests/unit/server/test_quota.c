/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/quota.h"

static void counts_down(void **state)
{
	struct quota *q = NULL;
	unsigned retry = 0;

	(void) state;
	assert_int_equal(quota_new(3, 1, &q, NULL), 0);
	assert_int_equal(quota_take(q, "a", false, &retry), 2);
	assert_int_equal(quota_take(q, "a", false, &retry), 1);
	assert_int_equal(quota_take(q, "a", false, &retry), 0);
	assert_int_equal(quota_take(q, "a", false, &retry), -1);
	assert_in_range(retry, 1, 101);
	/* writes and other principals have their own */
	assert_int_equal(quota_take(q, "a", true, &retry), 0);
	assert_int_equal(quota_take(q, "a", true, &retry), -1);
	assert_in_range(retry, 1, 301);
	assert_int_equal(quota_take(q, "b", false, &retry), 2);
	quota_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(counts_down)};

	return cmocka_run_group_tests_name("server/quota", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "vm/boot.h"

static void facts_of_a_system(void **state)
{
	static const char text[] = "hostName\tweb\nkernel\t6.1.0-1-cloud-amd64\n"
				   "osRelease\tDebian GNU/Linux 12 (bookworm)\n"
				   "machineId\t0123\nsystemState\tdegraded\nsecureBoot\t1\n"
				   "hostKey\tSHA256:abc\nfailedUnit\ta.service\n"
				   "failedUnit\tb.mount\n";
	auto_json json_t *j = NULL;

	assert_int_equal(vm_boot_parse_facts(text, &j, NULL), 0);
	assert_string_equal(json_str_at(j, "hostName"), "web");
	assert_string_equal(json_str_at(j, "osRelease"), "Debian GNU/Linux 12 (bookworm)");
	assert_string_equal(json_str_at(j, "systemState"), "degraded");
	assert_string_equal(json_str_at(j, "hostKey"), "SHA256:abc");
	assert_true(json_bool_at(j, "secureBoot", false));
	assert_false(json_bool_at(j, "vTpm", true));
	assert_int_equal(json_array_size(json_at(j, "failedUnits")), 2);
	assert_string_equal(json_string_value(json_at(j, "failedUnits.1")), "b.mount");
}

static void facts_of_nothing(void **state)
{
	auto_json json_t *j = NULL;

	assert_int_equal(vm_boot_parse_facts("", &j, NULL), 0);
	assert_true(json_is_null(json_at(j, "hostName")));
	assert_string_equal(json_str_at(j, "systemState"), "unknown");
	assert_false(json_bool_at(j, "secureBoot", true));
	assert_int_equal(json_array_size(json_at(j, "failedUnits")), 0);
}

/* What a guest answers is a stranger's text. */
static void facts_of_a_liar(void **state)
{
	auto_buf struct buf many = BUF_INIT(1 << 20);
	auto_json json_t *j = NULL, *k = NULL;

	assert_int_equal(vm_boot_parse_facts("no tab\nseconds\t0\nstages\t1\nfailedUnits\tx\n"
					     "secureBoot\tyes\nhostName\ta\tb\n\t\n",
					     &j, NULL),
			 0);
	assert_null(json_object_get(j, "seconds"));
	assert_null(json_object_get(j, "stages"));
	assert_true(json_is_array(json_at(j, "failedUnits")));
	assert_false(json_bool_at(j, "secureBoot", true));
	assert_string_equal(json_str_at(j, "hostName"), "a\tb");
	assert_int_equal(vm_boot_parse_facts("hostName\t\xff\n", &k, NULL), -EPROTO);
	for (int i = 0; i < 10000; i++)
		buf_addf(&many, "failedUnit\tu%d\n", i);
	assert_int_equal(vm_boot_parse_facts(buf_str(&many), &k, NULL), 0);
	assert_int_equal(json_array_size(json_at(k, "failedUnits")), 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_of_a_system),
		cmocka_unit_test(facts_of_nothing),
		cmocka_unit_test(facts_of_a_liar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

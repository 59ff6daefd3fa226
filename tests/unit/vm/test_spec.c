/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "vm/internal.h"

static struct vm_spec good(void)
{
	return (struct vm_spec){.name = "web-1",
				.firmware = VM_UEFI,
				.secure_boot = true,
				.overlay = "/o",
				.nbd_socket = "/s"};
}

static void accepts_a_good_one(void **state)
{
	const char *const forwards[] = {"tcp:127.0.0.1:2222-:22", "udp::53-10.0.2.15:53", NULL};
	struct vm_spec s = good();

	assert_int_equal(vm_spec_check(&s, NULL), 0);
	s.network = true;
	s.forwards = forwards;
	s.http_proxy_sock = "/p";
	s.cpus = 64;
	s.memory_mib = 128;
	assert_int_equal(vm_spec_check(&s, NULL), 0);
}

static void names_are_bounded(void **state)
{
	static const char *const bad[] = {NULL, "", "1234567890123", "a/b", "-a", "a b", "a'"};
	struct vm_spec s = good();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		s.name = bad[i];
		assert_int_equal(vm_spec_check(&s, NULL), -EINVAL);
	}
	s.name = "123456789012";
	assert_int_equal(vm_spec_check(&s, NULL), 0);
}

static void limits(void **state)
{
	char path[VM_SOCKET_MAX + 2];
	struct vm_spec s = good();

	s.cpus = 65;
	assert_int_equal(vm_spec_check(&s, NULL), -EINVAL);
	s = good();
	s.memory_mib = 127;
	assert_int_equal(vm_spec_check(&s, NULL), -EINVAL);
	s = good();
	s.firmware = VM_BIOS;
	assert_int_equal(vm_spec_check(&s, NULL), -EINVAL);
	s = good();
	s.overlay = "relative";
	assert_int_equal(vm_spec_check(&s, NULL), -EINVAL);
	s = good();
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[VM_SOCKET_MAX] = '\0';
	s.nbd_socket = path;
	assert_int_equal(vm_spec_check(&s, NULL), 0);
	path[VM_SOCKET_MAX] = 'x';
	path[VM_SOCKET_MAX + 1] = '\0';
	assert_int_equal(vm_spec_check(&s, NULL), -ENAMETOOLONG);
}

static void forwards_need_a_network(void **state)
{
	const char *const forwards[] = {"tcp:127.0.0.1:2222-:22", NULL};
	struct vm_spec s = good();

	s.forwards = forwards;
	assert_int_equal(vm_spec_check(&s, NULL), -EINVAL);
	s.forwards = NULL;
	s.http_proxy_sock = "/p";
	assert_int_equal(vm_spec_check(&s, NULL), -EINVAL);
}

static void forwards_cannot_smuggle_options(void **state)
{
	static const char *const bad[] = {"tcp:1-:2,guestfwd=tcp:1.2.3.4:5-cmd:x",
					  "tcp:22",
					  "22:22",
					  "tcp:a-:22",
					  "tcp:1-:",
					  "tcp:1--:2",
					  ""};
	auto_err struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(vm_forward_check(bad[i], NULL), -EINVAL);
	assert_int_equal(vm_forward_check("nonsense", &err), -EINVAL);
	assert_non_null(err.hint);
}

static void travels_as_json(void **state)
{
	const char *const forwards[] = {"tcp::1-:2", NULL};
	struct vm_spec s = good();
	auto_json json_t *j = NULL;

	s.network = s.isolated = true;
	s.forwards = forwards;
	s.memory_mib = 2048;
	j = vm_spec_to_json(&s);
	assert_non_null(j);
	assert_string_equal(json_str_at(j, "firmware"), "uefi");
	assert_true(json_bool_at(j, "secureBoot", false));
	assert_true(json_bool_at(j, "isolated", false));
	assert_int_equal(json_int_at(j, "memoryMiB", 0), 2048);
	assert_string_equal(json_string_value(json_at(j, "forwards.0")), "tcp::1-:2");
	assert_null(json_object_get(j, "seed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_a_good_one),
		cmocka_unit_test(names_are_bounded),
		cmocka_unit_test(limits),
		cmocka_unit_test(forwards_need_a_network),
		cmocka_unit_test(forwards_cannot_smuggle_options),
		cmocka_unit_test(travels_as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

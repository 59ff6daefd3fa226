/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>

#include "base/mem.h"
#include "vm/internal.h"

static void pair(struct wire *a, struct wire *b)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	wire_init(a, fds[0]);
	wire_init(b, fds[1]);
}

static void messages_arrive_in_order(void **state)
{
	struct wire a, b;

	pair(&a, &b);
	for (int i = 0; i < 50; i++) {
		auto_json json_t *j = json_pack("{s:i, s:s}", "n", i, "text", "line\nbreak");

		assert_int_equal(wire_send(a.fd, j, false), 0);
	}
	for (int i = 0; i < 50; i++) {
		auto_json json_t *j = NULL;

		assert_int_equal(wire_recv(&b, 0, NULL, &j, NULL), 0);
		assert_int_equal(json_int_at(j, "n", -1), i);
		assert_string_equal(json_str_at(j, "text"), "line\nbreak");
	}
	wire_done(&a);
	wire_done(&b);
}

static void bytes_one_by_one(void **state)
{
	static const char text[] = "{\"a\":1}\n{\"a\":2}\n";
	auto_json json_t *one = NULL, *two = NULL;
	struct wire a, b;

	pair(&a, &b);
	for (size_t i = 0; i < strlen(text); i++) {
		assert_int_equal(send(a.fd, text + i, 1, 0), 1);
		assert_int_equal(wire_fill(&b), 1);
		if (text[i] == '\n')
			assert_int_equal(wire_next(&b, one ? &two : &one, NULL), 1);
		else
			assert_int_equal(wire_next(&b, &one, NULL), 0);
	}
	assert_int_equal(json_int_at(two, "a", 0), 2);
	assert_int_equal(wire_fill(&b), 0);
	wire_done(&a);
	wire_done(&b);
}

static void garbage_is_an_error(void **state)
{
	auto_json json_t *j = NULL;
	struct wire a, b;

	pair(&a, &b);
	assert_int_equal(send(a.fd, "not json\n", 9, 0), 9);
	assert_int_equal(wire_recv(&b, 0, NULL, &j, NULL), -EINVAL);
	assert_null(j);
	wire_done(&a);
	assert_int_equal(wire_recv(&b, 0, NULL, &j, NULL), -ECONNRESET);
	wire_done(&b);
}

static void a_line_has_a_limit(void **state)
{
	static char text[65536];
	struct wire a, b;
	int r = 1;

	pair(&a, &b);
	memset(text, ' ', sizeof(text));
	for (size_t i = 0; r > 0 && i <= VM_WIRE_MAX / 4096; i++) {
		assert_int_equal(send(a.fd, text, 4096, 0), 4096);
		r = wire_fill(&b);
	}
	assert_int_equal(r, -EFBIG);
	wire_done(&a);
	wire_done(&b);
}

static void waiting_ends(void **state)
{
	auto_json json_t *j = NULL;
	struct cancel c;
	struct wire a, b;

	pair(&a, &b);
	assert_int_equal(wire_recv(&b, vm_deadline(0), NULL, &j, NULL), -ETIME);
	assert_int_equal(cancel_init(&c), 0);
	cancel_set(&c, -ECANCELED);
	assert_int_equal(wire_recv(&b, 0, &c, &j, NULL), -ECANCELED);
	cancel_done(&c);
	wire_done(&a);
	wire_done(&b);
}

static void a_full_socket_does_not_block(void **state)
{
	auto_json json_t *j = json_pack("{s:s}", "event", "agent");
	struct wire a, b;
	int r;

	pair(&a, &b);
	while ((r = wire_send(a.fd, j, true)) == 0)
		;
	assert_int_equal(r, -EAGAIN);
	wire_done(&b);
	assert_int_equal(wire_send(a.fd, j, false), -EPIPE);
	wire_done(&a);
}

static void errors_travel(void **state)
{
	auto_err struct err e = ERR_INIT, back = ERR_INIT;
	auto_json json_t *j = NULL, *odd = json_pack("{s:i}", "code", 7);

	err_set(&e, -ENOSPC, "disk %d", 1);
	err_hint(&e, "make room");
	j = wire_error(&e);
	assert_int_equal(wire_to_err(j, &back), -ENOSPC);
	assert_string_equal(err_str(&back), "disk 1");
	assert_string_equal(back.hint, "make room");
	assert_int_equal(wire_to_err(odd, NULL), -EIO);
	assert_int_equal(wire_to_err(NULL, NULL), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_arrive_in_order),
		cmocka_unit_test(bytes_one_by_one),
		cmocka_unit_test(garbage_is_an_error),
		cmocka_unit_test(a_line_has_a_limit),
		cmocka_unit_test(waiting_ends),
		cmocka_unit_test(a_full_socket_does_not_block),
		cmocka_unit_test(errors_travel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

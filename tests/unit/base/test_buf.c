/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "support/fault.h"

static void at_the_limit(void **state)
{
	auto_buf struct buf b = BUF_INIT(8);

	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_addstr(&b, "1234567"), 0); /* 7 and the NUL */
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	assert_int_equal(buf_addch(&b, '8'), -EFBIG);
	assert_int_equal(buf_err(&b), -EFBIG);
	assert_string_equal(buf_str(&b), "1234567");
	/* The error sticks, also for what would fit. */
	assert_int_equal(buf_add(&b, "", 0), -EFBIG);
	assert_int_equal(buf_addf(&b, "%s", ""), -EFBIG);
	assert_int_equal(buf_reserve(&b, 0), -EFBIG);
	assert_null(buf_take(&b));
	buf_clear(&b);
	assert_int_equal(buf_err(&b), 0);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_addf(&b, "%d-%s", 12, "3456"), 0);
	assert_string_equal(buf_str(&b), "12-3456");
	assert_int_equal(buf_addf(&b, "%c", 'x'), -EFBIG);
	assert_int_equal(b.len, 7);
}

static void no_room_at_all(void **state)
{
	auto_buf struct buf none = BUF_INIT(0);
	auto_buf struct buf one = BUF_INIT(1);

	assert_int_equal(buf_add(&none, "", 0), -EFBIG);
	assert_int_equal(buf_add(&one, "", 0), 0);
	assert_int_equal(buf_addch(&one, 'x'), -EFBIG);
	assert_string_equal(buf_str(&one), "");
}

static void sizes_that_overflow(void **state)
{
	auto_buf struct buf b = BUF_INIT(SIZE_MAX);

	assert_int_equal(buf_addstr(&b, "ab"), 0);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -EFBIG);
	buf_clear(&b);
	assert_int_equal(buf_addstr(&b, "ab"), 0);
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 2), -EFBIG);
	assert_string_equal(buf_str(&b), "ab");
}

static void grows_byte_by_byte(void **state)
{
	auto_buf struct buf b = BUF_INIT(10001);

	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(buf_addch(&b, (char) ('a' + i % 26)), 0);
	assert_true(b.cap <= b.max);
	for (unsigned i = 0; i < 10000; i++)
		assert_int_equal(b.data[i], 'a' + i % 26);
	assert_int_equal(b.data[10000], 0);
	assert_int_equal(buf_addch(&b, 'x'), -EFBIG);
}

static void reserve_then_fill(void **state)
{
	auto_buf struct buf b = BUF_INIT(100);

	assert_int_equal(buf_reserve(&b, 99), 0);
	assert_string_equal(buf_str(&b), "");
	memset(b.data, 'x', 99);
	b.len += 99;
	assert_int_equal(buf_reserve(&b, 0), 0);
	assert_int_equal(buf_reserve(&b, 1), -EFBIG);
}

static void bytes_with_nul(void **state)
{
	auto_buf struct buf b = BUF_INIT(100);

	assert_int_equal(buf_add(&b, "a\0b", 3), 0);
	assert_int_equal(buf_addch(&b, '\0'), 0);
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "a\0b\0", 5);
}

static void taken(void **state)
{
	auto_buf struct buf b = BUF_INIT(100);
	auto_free char *empty = buf_take(&b), *full = NULL;

	assert_string_equal(empty, "");
	assert_int_equal(buf_addstr(&b, "text"), 0);
	full = buf_take(&b);
	assert_string_equal(full, "text");
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_addstr(&b, "again"), 0); /* still usable */
	assert_string_equal(buf_str(&b), "again");
	errno = ERANGE;
	buf_done(&b);
	buf_done(&b);
	buf_done(NULL);
	assert_int_equal(errno, ERANGE);
}

static void no_memory(void **state)
{
	for (unsigned n = 1;; n++) {
		struct buf b = BUF_INIT(1000);
		bool armed = true;
		char *s;

		fault_alloc_nth(n, &armed);
		(void) buf_addstr(&b, "head ");
		for (unsigned i = 0; i < 50; i++)
			(void) buf_addf(&b, "%u,", i);
		s = buf_take(&b);
		fault_alloc_off();
		assert_true((s != NULL) == armed);
		assert_int_equal(buf_err(&b), armed ? 0 : -ENOMEM);
		assert_true(!s || str_ends(s, "48,49,"));
		free(s);
		buf_done(&b);
		if (armed) {
			assert_true(n > 3);
			break;
		}
	}
	for (unsigned n = 1; n < 3; n++) {
		struct buf b = BUF_INIT(10);
		bool armed = true;
		char *s;

		fault_alloc_nth(n, &armed);
		s = buf_take(&b); /* even an empty text needs a byte */
		fault_alloc_off();
		assert_true((s != NULL) == armed);
		assert_int_equal(armed, n > 1);
		free(s);
	}
}

static void cursors(void **state)
{
	const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xfe};
	struct cursor c = {bytes, sizeof(bytes)};
	uint8_t two[2];
	uint16_t v16;
	uint32_t v32;
	uint64_t v64 = 99;

	assert_true(cursor_le64(&c, &v64));
	assert_true(v64 == 0x0807060504030201);
	assert_false(cursor_le64(&c, &v64));
	assert_false(cursor_be32(&c, &v32));
	assert_false(cursor_skip(&c, 3));
	assert_false(cursor_skip(&c, SIZE_MAX));
	assert_false(cursor_bytes(&c, two, 3));
	assert_int_equal(c.left, 2); /* a refusal takes nothing */
	assert_true(cursor_le16(&c, &v16));
	assert_int_equal(v16, 0xfeff);
	assert_int_equal(c.left, 0);
	assert_false(cursor_be16(&c, &v16));
	assert_true(cursor_bytes(&c, NULL, 0));
	assert_true(cursor_skip(&c, 0));

	c = (struct cursor){bytes, sizeof(bytes)};
	assert_true(cursor_be16(&c, &v16));
	assert_int_equal(v16, 0x0102);
	assert_true(cursor_le32(&c, &v32));
	assert_int_equal(v32, 0x06050403);
	assert_true(cursor_be32(&c, &v32));
	assert_int_equal(v32, 0x0708fffe);
	c = (struct cursor){bytes, sizeof(bytes)};
	assert_true(cursor_be64(&c, &v64));
	assert_true(v64 == 0x0102030405060708);
	assert_true(cursor_bytes(&c, two, 2));
	assert_int_equal(two[1], 0xfe);
}

static void stores(void **state)
{
	uint8_t p[27] = {0};
	const uint8_t want[] = {0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 0x08, 0x07, 0x06,
				0x05, 0x04, 0x03, 0x02, 0x01, 0x12, 0x34, 0x56, 0x78,
				0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x00};

	put_le16(p, 0x1234);
	put_le32(p + 2, 0x12345678);
	put_le64(p + 6, 0x0102030405060708);
	put_be32(p + 14, 0x12345678);
	put_be64(p + 18, 0x0102030405060708);
	assert_memory_equal(p, want, sizeof(want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_the_limit),
		cmocka_unit_test(no_room_at_all),
		cmocka_unit_test(sizes_that_overflow),
		cmocka_unit_test(grows_byte_by_byte),
		cmocka_unit_test(reserve_then_fill),
		cmocka_unit_test(bytes_with_nul),
		cmocka_unit_test(taken),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(cursors),
		cmocka_unit_test(stores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

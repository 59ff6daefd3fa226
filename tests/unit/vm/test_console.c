/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"
#include "vm/internal.h"

static const char boot[] = "\033[2JBdsDxe: starting Boot0001\r\nWelcome to GRUB!\r\n\n"
			   "[    0.000000] Linux version 6.1.0\r\n"
			   "[    5.1] systemd[1]: Detected architecture x86-64.\r\n";

#define BIT(s) (1u << (s))
#define ALL                                                                                        \
	(BIT(VM_STAGE_FIRMWARE) | BIT(VM_STAGE_BOOTLOADER) | BIT(VM_STAGE_KERNEL) |                \
	 BIT(VM_STAGE_INIT))

static void stages_in_pieces_of_any_size(void **state)
{
	for (size_t piece = 1; piece < sizeof(boot); piece++) {
		struct stage_scan s = {0};

		for (size_t at = 0; at < strlen(boot); at += piece)
			stage_scan(&s, boot + at,
				   strlen(boot) - at < piece ? strlen(boot) - at : piece);
		assert_int_equal(s.stage, VM_STAGE_INIT);
		assert_int_equal(s.seen, ALL);
	}
}

static void a_greeting_is_not_an_init_system(void **state)
{
	struct stage_scan s = {0};

	stage_scan(&s, "Welcome to ", 11);
	assert_int_equal(s.stage, VM_STAGE_FIRMWARE);
	stage_scan(&s, "GRUB!\n", 6);
	assert_int_equal(s.stage, VM_STAGE_BOOTLOADER);
}

static void a_silent_loader_is_not_made_up(void **state)
{
	struct stage_scan s = {0};

	stage_scan(&s, "x\nLinux version 6", 17);
	assert_int_equal(s.stage, VM_STAGE_KERNEL);
	assert_int_equal(s.seen, BIT(VM_STAGE_FIRMWARE) | BIT(VM_STAGE_KERNEL));
}

static void lines_without_end(void **state)
{
	struct stage_scan s = {0};
	char text[4096];

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 100; i++)
		stage_scan(&s, text, sizeof(text));
	assert_int_equal(s.stage, VM_STAGE_FIRMWARE);
	stage_scan(&s, "\nLinux version 6\n", 17);
	assert_int_equal(s.stage, VM_STAGE_KERNEL);
}

static void tail_of(const char *text, size_t n, unsigned lines, struct buf *out)
{
	char path[] = "/tmp/kiln-tail-XXXXXX";
	auto_fd int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(file_pwrite_full(fd, text, n, 0), 0);
	vm_console_tail(path, lines, out);
	(void) unlink(path);
}

static void tail_is_clean_text(void **state)
{
	static const char text[] = "one\r\n\033[1;31mtwo\033[0m \007\r\n\r\n\nthree\xff\033]0;x\n";
	auto_buf struct buf out = BUF_INIT(65536);

	tail_of(text, strlen(text), 2, &out);
	assert_string_equal(buf_str(&out), "two\nthree0;x");
	buf_clear(&out);
	tail_of(text, strlen(text), 100, &out);
	assert_string_equal(buf_str(&out), "one\ntwo\nthree0;x");
}

static void tail_of_little(void **state)
{
	auto_buf struct buf out = BUF_INIT(65536);

	tail_of("", 0, 5, &out);
	assert_int_equal(out.len, 0);
	tail_of("\033[", 2, 5, &out);
	assert_int_equal(out.len, 0);
	vm_console_tail("/nonexistent/console", 5, &out);
	vm_console_tail(NULL, 5, &out);
	assert_int_equal(out.len, 0);
}

static void tail_of_much(void **state)
{
	auto_buf struct buf text = BUF_INIT(1 << 20), out = BUF_INIT(65536);

	for (int i = 0; i < 20000; i++)
		buf_addf(&text, "line %d\n", i);
	assert_int_equal(buf_err(&text), 0);
	tail_of(text.data, text.len, 3, &out);
	assert_string_equal(buf_str(&out), "line 19997\nline 19998\nline 19999");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stages_in_pieces_of_any_size),
		cmocka_unit_test(a_greeting_is_not_an_init_system),
		cmocka_unit_test(a_silent_loader_is_not_made_up),
		cmocka_unit_test(lines_without_end),
		cmocka_unit_test(tail_is_clean_text),
		cmocka_unit_test(tail_of_little),
		cmocka_unit_test(tail_of_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "support/tmp.h"

static void assert_escaped(const char *src, size_t n, size_t size, const char *want)
{
	char dst[64];

	memset(dst, '#', sizeof(dst));
	assert_int_equal(log_escape(src, n, dst, size), strlen(want));
	assert_string_equal(dst, want);
	assert_int_equal(dst[size], '#'); /* nothing behind */
}

static void escaped(void **state)
{
	char none = '#';

	assert_escaped("plain text", 10, 63, "plain text");
	assert_escaped("", 0, 63, "");
	assert_escaped("a\nb\tc\r\x1b[0m\x7f\0z", 13, 63, "a\\x0ab\\x09c\\x0d\\x1b[0m\\x7f\\x00z");
	assert_escaped("back\\slash", 10, 63, "back\\\\slash");
	assert_escaped("\xc3\xa4\xf0\x9f\x98\x80", 6, 63, "\xc3\xa4\xf0\x9f\x98\x80");
	assert_escaped("\xc2\x9b"
		       "0m",
		       4, 63, "\\xc2\\x9b0m"); /* a C1 control */
	assert_escaped("\xff\xc3", 2, 63, "\\xff\\xc3");
	/* What does not fit is cut, never in the middle of an escape or a character. */
	assert_escaped("abcdef", 6, 4, "abc");
	assert_escaped("ab\n", 3, 6, "ab");
	assert_escaped("ab\n", 3, 7, "ab\\x0a");
	assert_escaped("ab\xc3\xa4", 4, 4, "ab");
	assert_escaped("ab\\", 3, 4, "ab");
	assert_escaped("abc", 3, 1, "");
	assert_int_equal(log_escape("abc", 3, &none, 0), 0);
	assert_int_equal(none, '#');
}

/* All pairs of bytes: what comes out is printable UTF-8, and says what went in. */
static void escaping_is_unambiguous(void **state)
{
	for (unsigned i = 0; i < 65536; i++) {
		const char src[2] = {(char) (i >> 8), (char) (i & 255)};
		char dst[16], back[2];
		size_t n = log_escape(src, 2, dst, sizeof(dst)), k = 0;

		for (size_t at = 0; at < n;) {
			size_t seq = utf8_seq((const unsigned char *) dst + at, n - at);

			assert_true(seq > 0 && (unsigned char) dst[at] >= 0x20 && dst[at] != 0x7f);
			if (dst[at] != '\\') {
				assert_true(k + seq <= 2);
				memcpy(back + k, dst + at, seq);
				k += seq;
				at += seq;
			} else if (dst[at + 1] == '\\') {
				back[k++] = '\\';
				at += 2;
			} else {
				const char digits[] = {dst[at + 2], dst[at + 3], '\0'};

				back[k++] = (char) strtol(digits, NULL, 16);
				at += 4;
			}
		}
		assert_int_equal(k, 2);
		assert_memory_equal(back, src, 2);
	}
}

static void sequences(void **state)
{
	assert_int_equal(utf8_seq(NULL, 0), 0);
	assert_int_equal(utf8_seq((const unsigned char *) "\xed\x9f\xbf", 3), 3);
	assert_int_equal(utf8_seq((const unsigned char *) "\xed\xa0\x80", 3), 0);
	assert_int_equal(utf8_seq((const unsigned char *) "\xe0\x9f\xbf", 3), 0);
	assert_int_equal(utf8_seq((const unsigned char *) "\xf0\x8f\xbf\xbf", 4), 0);
	assert_int_equal(utf8_seq((const unsigned char *) "\xf4\x8f\xbf\xbf", 4), 4);
	assert_int_equal(utf8_seq((const unsigned char *) "\xf4\x90\x80\x80", 4), 0);
	assert_int_equal(utf8_seq((const unsigned char *) "\xf4\x8f\xbf\xbf", 3), 0);
	assert_int_equal(utf8_seq((const unsigned char *) "\xe2\x82\x28", 3), 0);
	assert_int_equal(utf8_seq((const unsigned char *) "\xc1\x81", 2), 0);
	assert_int_equal(utf8_seq((const unsigned char *) "\x80", 1), 0);
}

static void say_three_lines(void)
{
	char big[6000];

	memset(big, '\n', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	errno = ERANGE;
	log_debug("hidden.event", "a=%d", 1);
	log_warn("shown.event", "a=%d b=\"%s\"", 1, "x\ny");
	log_event(LOG_LVL_ERROR, "bare", "%s", "");
	log_event(LOG_LVL_ERROR, "big", "%s", big);
	assert_int_equal(errno, ERANGE);
}

/* What the lines look like on standard error. */
static void lines(void **state)
{
	const char *path = tmp_path(*state, "log");
	auto_fd int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	auto_fd int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	auto_buf struct buf b = BUF_INIT(65536);
	char *one, *two, *three;

	log_set_level(LOG_LVL_WARN);
	assert_int_equal(dup2(log, STDERR_FILENO), STDERR_FILENO);
	say_three_lines();
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(file_read_all(path, &b, NULL), 0);
	one = b.data;
	two = strchr(one, '\n');
	assert_non_null(two);
	*two++ = '\0';
	three = strchr(two, '\n');
	assert_non_null(three);
	*three++ = '\0';
	assert_true(str_starts(one, "time=20"));
	assert_true(str_ends(one, "Z level=warn event=shown.event a=1 b=\"x\\x0ay\""));
	assert_true(str_ends(two, " level=error event=bare"));
	assert_non_null(strstr(three, " level=error event=big \\x0a\\x0a"));
	assert_true(strlen(three) <= 4096); /* one piece, even in a pipe */
	assert_ptr_equal(strchr(three, '\n'), three + strlen(three) - 1);
}

static void levels(void **state)
{
	static const struct {
		const char *text;
		enum log_level level;
	} rows[] = {{"debug", LOG_LVL_DEBUG}, {"info", LOG_LVL_INFO},     {"warn", LOG_LVL_WARN},
		    {"error", LOG_LVL_ERROR}, {"nonsense", LOG_LVL_WARN}, {"", LOG_LVL_WARN}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(setenv("KILN_LOG", rows[i].text, 1), 0);
		assert_int_equal(log_level_from_env(), rows[i].level);
	}
	assert_int_equal(unsetenv("KILN_LOG"), 0);
	assert_int_equal(log_level_from_env(), LOG_LVL_WARN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escaped),
		cmocka_unit_test(escaping_is_unambiguous),
		cmocka_unit_test(sequences),
		cmocka_unit_test_setup_teardown(lines, tmp_dir_setup, tmp_dir_teardown),
		cmocka_unit_test(levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

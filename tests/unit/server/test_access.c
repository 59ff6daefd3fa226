/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "server/access.h"
#include "support/tmp.h"

static const struct access_entry entry = {
	.peer = "192.0.2.1",
	.method = "PUT",
	.target = "/blob/a\"b\\c\x01\xff?sv=1&sig=SECRET&x&se=2030",
	.status = 201,
	.ns = 1500000,
	.bytes_in = 7,
	.bytes_out = 9,
	.request_id = "r-1",
};

static char *text_of(const char *path)
{
	struct buf b = BUF_INIT(1 << 20);

	assert_int_equal(file_read_all(path, &b, NULL), 0);
	return buf_take(&b);
}

static void lines(void **state)
{
	auto_free char *path = path_join(*state, "log/access.log"), *text = NULL;
	auto_json json_t *j = NULL;
	struct access_log *l = NULL;

	assert_int_equal(access_open(path, 1 << 20, &l, NULL), 0);
	access_write(l, &entry);
	access_close(l);
	text = text_of(path);
	assert_null(strstr(text, "SECRET"));
	assert_int_equal(json_parse(text, strlen(text) - 1, &j, NULL), 0);
	assert_string_equal(json_str_at(j, "query"), "sv,sig,x,se");
	assert_string_equal(json_str_at(j, "path"), "/blob/a\"b\\c\x01\xc3\xbf");
	assert_int_equal(json_int_at(j, "status", 0), 201);
	assert_int_equal(json_int_at(j, "in", 0), 7);
	assert_string_equal(json_str_at(j, "requestId"), "r-1");
	assert_null(json_object_get(j, "principal"));
}

static void rotates(void **state)
{
	auto_free char *dir = path_join(*state, "log"), *path = path_join(dir, "access.log");
	auto_free char *aside = path_join(dir, "access.log.1");
	struct access_log *l = NULL;
	struct stat st;

	assert_int_equal(access_open(path, 1000, &l, NULL), 0);
	for (int i = 0; i < 200; i++)
		access_write(l, &entry);
	assert_int_equal(access_lost(l), 0);
	access_close(l);
	assert_int_equal(tmp_names(dir), 5);
	assert_int_equal(stat(aside, &st), 0);
	assert_in_range(st.st_size, 500, 1000);
	assert_int_equal(st.st_mode & 07777, 0600);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)
	const struct CMUnitTest tests[] = {T(lines), T(rotates)};

	return cmocka_run_group_tests_name("server/access", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "server/tls.h"
#include "support/tmp.h"

static struct tls *load(const char *dir)
{
	auto_free char *cert = path_join(dir, "server.pem"), *key = path_join(dir, "server.key");
	auto_err struct err e = ERR_INIT;
	struct tls *t = NULL;

	if (tls_load(cert, key, &t, &e) < 0)
		fail_msg("%s", err_str(&e));
	return t;
}

static char *text_of(const char *dir, const char *name)
{
	auto_free char *path = path_join(dir, name);
	struct buf b = BUF_INIT(1 << 16);

	assert_int_equal(file_read_all(path, &b, NULL), 0);
	return buf_take(&b);
}

static void makes_once(void **state)
{
	auto_free char *dir = path_join(*state, "tls"), *key = path_join(dir, "server.key");
	auto_free char *ca = NULL, *ca2 = NULL, *one = NULL, *two = NULL, *three = NULL;
	static const char *const names[] = {"images.example", "192.0.2.7", NULL};
	struct stat st;
	struct tls *t;

	assert_int_equal(tls_ensure(dir, NULL, NULL), 0);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	t = load(dir);
	assert_true(tls_covers(t, "127.0.0.1"));
	assert_true(tls_covers(t, "localhost"));
	assert_true(tls_covers(t, "LOCALHOST"));
	assert_true(tls_covers(t, "[::1]"));
	assert_false(tls_covers(t, "images.example"));
	assert_false(tls_covers(t, "127.0.0.2"));
	assert_false(tls_covers(t, ""));
	tls_free(t);
	ca = text_of(dir, "ca.pem");
	one = text_of(dir, "server.pem");
	assert_int_equal(tls_ensure(dir, NULL, NULL), 0);
	two = text_of(dir, "server.pem");
	assert_string_equal(one, two);

	assert_int_equal(tls_ensure(dir, names, NULL), 0);
	three = text_of(dir, "server.pem");
	assert_string_not_equal(one, three);
	ca2 = text_of(dir, "ca.pem");
	assert_string_equal(ca, ca2);
	t = load(dir);
	assert_true(tls_covers(t, "images.example"));
	assert_true(tls_covers(t, "192.0.2.7"));
	tls_free(t);
}

/* Another authority, a lost key, a damaged file: made anew, and what is there matches again. */
static void heals(void **state)
{
	auto_free char *dir = path_join(*state, "tls"), *key = path_join(dir, "server.key");
	auto_free char *ca = path_join(dir, "ca.key"), *before = NULL, *after = NULL;

	assert_int_equal(tls_ensure(dir, NULL, NULL), 0);
	assert_int_equal(unlink(key), 0);
	assert_int_equal(tls_ensure(dir, NULL, NULL), 0);
	tls_free(load(dir));
	before = text_of(dir, "server.pem");
	assert_int_equal(file_write_atomic(ca, "x", 1, 0600, NULL), 0);
	assert_int_equal(tls_ensure(dir, NULL, NULL), 0);
	after = text_of(dir, "server.pem");
	assert_string_not_equal(before, after);
	tls_free(load(dir));
}

static void refuses(void **state)
{
	auto_free char *dir = path_join(*state, "tls"), *other = path_join(*state, "other");
	auto_free char *cert = path_join(dir, "server.pem"), *key = path_join(other, "server.key");
	static const char *const bad[] = {"a,IP:1.2.3.4", NULL};
	struct tls *t = NULL;

	assert_int_equal(tls_ensure(dir, NULL, NULL), 0);
	assert_int_equal(tls_ensure(other, NULL, NULL), 0);
	assert_int_equal(tls_load(cert, key, &t, NULL), -EINVAL);
	assert_int_equal(tls_load(key, key, &t, NULL), -EINVAL);
	assert_int_equal(tls_load("/none", key, &t, NULL), -ENOENT);
	assert_int_equal(tls_ensure(dir, bad, NULL), -EINVAL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)
	const struct CMUnitTest tests[] = {T(makes_once), T(heals), T(refuses)};

	return cmocka_run_group_tests_name("server/tls", tests, NULL, NULL);
}

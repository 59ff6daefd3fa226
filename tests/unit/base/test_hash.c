/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "support/fault.h"
#include "support/tmp.h"

#define OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define OF_NIL "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* FIPS 180-2, appendix B.3 */
#define OF_MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void known_digests(void **state)
{
	struct sha256_ctx *c;
	struct digest d;
	char hex[DIGEST_HEX], a[1000];

	sha256("abc", 3, &d);
	assert_string_equal(digest_hex(&d, hex), OF_ABC);
	sha256(NULL, 0, &d);
	assert_string_equal(digest_hex(&d, hex), OF_NIL);
	memset(a, 'a', sizeof(a));
	c = sha256_new();
	assert_non_null(c);
	for (unsigned i = 0; i < 1000; i++)
		sha256_add(c, a, sizeof(a));
	sha256_add(c, NULL, 0);
	sha256_end(c, &d);
	assert_string_equal(digest_hex(&d, hex), OF_MILLION_A);
	sha256_free(NULL);
	sha256_free(sha256_new());
}

static void no_memory(void **state)
{
	bool armed = true;
	struct sha256_ctx *c;

	fault_alloc_nth(1, &armed);
	c = sha256_new();
	fault_alloc_off();
	assert_null(c);
	assert_false(armed);
}

static void digests_as_text(void **state)
{
	struct digest d, zero = {{0}};

	assert_int_equal(digest_parse(OF_ABC, &d), 0);
	assert_int_equal(d.b[0], 0xba);
	assert_int_equal(d.b[31], 0xad);
	assert_int_equal(digest_parse("sha256:" OF_ABC, &d), 0);
	assert_int_equal(digest_parse(OF_ABC "0", &d), -EINVAL);
	assert_int_equal(digest_parse(&OF_ABC[1], &d), -EINVAL);
	assert_int_equal(digest_parse("sha512:" OF_ABC, &d), -EINVAL);
	assert_int_equal(digest_parse("sha256:sha256:" OF_ABC, &d), -EINVAL);
	assert_int_equal(digest_parse("", &d), -EINVAL);
	assert_int_equal(digest_parse(NULL, &d), -EINVAL);
	assert_int_equal(d.b[0], 0xba); /* untouched by failures */
	assert_false(digest_is_zero(&d));
	assert_true(digest_is_zero(&zero));
	zero.b[31] = 1;
	assert_false(digest_is_zero(&zero));
	assert_false(digest_eq(&d, &zero));
}

static void of_files(void **state)
{
	const char *path = tmp_file(*state, "f", "abc"), *link = tmp_path(*state, "l");
	char hex[DIGEST_HEX];
	struct digest d;
	uint64_t n = 0;

	assert_int_equal(sha256_file(path, &d, &n), 0);
	assert_string_equal(digest_hex(&d, hex), OF_ABC);
	assert_int_equal(n, 3);
	assert_int_equal(sha256_file(tmp_file(*state, "e", ""), &d, NULL), 0);
	assert_string_equal(digest_hex(&d, hex), OF_NIL);
	assert_int_equal(sha256_file(tmp_path(*state, "none"), &d, NULL), -ENOENT);
	assert_int_equal(sha256_file(*state, &d, NULL), -EINVAL);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(sha256_file(link, &d, NULL), -ELOOP);
	sys_use(fault_short(1));
	assert_int_equal(sha256_file(path, &d, &n), 0);
	sys_use(NULL);
	assert_string_equal(digest_hex(&d, hex), OF_ABC);
}

static void of_files_with_faults(void **state)
{
	const char *path = tmp_file(*state, "f", "abc");
	unsigned fds = tmp_fds();

	for (unsigned n = 1;; n++) {
		bool armed = true;
		struct digest d;
		int r;

		sys_use(fault_nth(n, EIO, &armed));
		r = sha256_file(path, &d, NULL);
		sys_use(NULL);
		assert_int_equal(r, armed ? 0 : -EIO);
		assert_int_equal(tmp_fds(), fds);
		if (armed) {
			assert_int_equal(n, 4); /* open and two reads can fail */
			return;
		}
	}
}

static void hex_digits(void **state)
{
	uint8_t b[3];
	char s[7];

	hex_encode("\x00\xab\xff", 3, s);
	assert_string_equal(s, "00abff");
	assert_int_equal(hex_decode("00ABfF", b, 3), 0);
	assert_memory_equal(b, "\x00\xab\xff", 3);
	assert_int_equal(hex_decode("", b, 0), 0);
	assert_int_equal(hex_decode("00abf", b, 3), -EINVAL);
	assert_int_equal(hex_decode("00abff0", b, 3), -EINVAL);
	assert_int_equal(hex_decode("00abfg", b, 3), -EINVAL);
	assert_int_equal(hex_decode("", b, 1), -EINVAL);
}

static void base64(void **state)
{
	/* RFC 4648, section 10 */
	static const char *const rows[][2] = {{"", ""},
					      {"f", "Zg=="},
					      {"fo", "Zm8="},
					      {"foo", "Zm9v"},
					      {"foob", "Zm9vYg=="},
					      {"fooba", "Zm9vYmE="},
					      {"foobar", "Zm9vYmFy"},
					      {"\xfb\xff\xfe", "+//+"}};
	static const char *const bad[] = {"Z",    "Zg",   "Zg=",     "Zg==Zg==", "====",
					  "Z===", "=g==", "Zh==",    "Zm9=",     "Zm9v\n",
					  "Zm 9", "Zm-_", "Zm9vYmF", "Zg==\n"};
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *text = base64_encode(rows[i][0], strlen(rows[i][0]));
		auto_free char *back = base64_decode(rows[i][1], &n);

		assert_string_equal(text, rows[i][1]);
		assert_string_equal(back, rows[i][0]);
		assert_int_equal(n, strlen(rows[i][0]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (base64_decode(bad[i], &n))
			fail_msg("accepted: %s", bad[i]);
	assert_null(base64_encode("", SIZE_MAX));
}

static void base64_of_all_lengths(void **state)
{
	uint8_t b[64];

	assert_int_equal(random_bytes(b, sizeof(b)), 0);
	for (size_t i = 0; i <= sizeof(b); i++) {
		auto_free char *text = base64_encode(b, i);
		size_t n = 99;
		auto_free uint8_t *back = base64_decode(text, &n);

		assert_int_equal(n, i);
		assert_memory_equal(back, b, i);
	}
}

static void randomness(void **state)
{
	uint8_t a[1000] = {0}, b[1000] = {0};
	char u[UUID_STR], v[UUID_STR];

	assert_int_equal(random_bytes(a, sizeof(a)), 0);
	assert_int_equal(random_bytes(b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_not_equal(a + 900, b + 900, 100); /* filled to the end */
	assert_int_equal(random_bytes(NULL, 0), 0);
	assert_int_equal(uuid_random(u), 0);
	assert_int_equal(uuid_random(v), 0);
	assert_string_not_equal(u, v);
	assert_int_equal(strlen(u), 36);
	assert_int_equal(strspn(u, "0123456789abcdef-"), 36);
	assert_int_equal(u[14], '4');
	assert_non_null(strchr("89ab", u[19]));
	assert_true(u[8] == '-' && u[13] == '-' && u[18] == '-' && u[23] == '-');
}

static void uuids_from_inputs(void **state)
{
	char u[UUID_STR];
	struct digest d;

	sha256("abc", 3, &d);
	uuid_from_digest(&d, u);
	assert_string_equal(u, "ba7816bf-8f01-8fea-8141-40de5dae2223");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_digests),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(digests_as_text),
		cmocka_unit_test_setup_teardown(of_files, tmp_dir_setup, tmp_dir_teardown),
		cmocka_unit_test_setup_teardown(of_files_with_faults, tmp_dir_setup,
						tmp_dir_teardown),
		cmocka_unit_test(hex_digits),
		cmocka_unit_test(base64),
		cmocka_unit_test(base64_of_all_lengths),
		cmocka_unit_test(randomness),
		cmocka_unit_test(uuids_from_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

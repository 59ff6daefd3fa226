/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "login/secret.h"

static void a_secret_fits_its_hash_alone(void **state)
{
	char secret[SECRET_TEXT], other[SECRET_TEXT];
	auto_free char *a = NULL, *b = NULL;

	(void) state;
	assert_int_equal(secret_new(secret, NULL), 0);
	assert_int_equal(secret_new(other, NULL), 0);
	assert_int_equal(strlen(secret), SECRET_TEXT - 1);
	assert_string_not_equal(secret, other);
	assert_int_equal(secret_hash(secret, SECRET_MADE, &a, NULL), 0);
	assert_int_equal(secret_hash(secret, SECRET_MADE, &b, NULL), 0);
	assert_string_not_equal(a, b); /* salted */
	assert_null(strstr(a, secret));
	assert_int_equal(secret_check(secret, a, NULL), 0);
	assert_int_equal(secret_check(other, a, NULL), -EACCES);
	secret[10] ^= 1;
	assert_int_equal(secret_check(secret, a, NULL), -EACCES);
	assert_int_equal(secret_check("", a, NULL), -EACCES);
}

static void passwords_cost_more(void **state)
{
	auto_free char *h = NULL;

	(void) state;
	assert_int_equal(secret_hash("correct horse", SECRET_CHOSEN, &h, NULL), 0);
	assert_true(str_starts(h, "$scrypt$ln=16,r=8,p=1$"));
	assert_int_equal(secret_check("correct horse", h, NULL), 0);
	assert_int_equal(secret_check("correct horsf", h, NULL), -EACCES);
}

/* RFC 7914 section 12 has this for "pleaseletmein" and N=16384, r=8, p=1, with 64 bytes: the first
 * 32 of a longer key are the key of 32. */
static void rfc_vector(void **state)
{
	(void) state;
	assert_int_equal(secret_check("pleaseletmein",
				      "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU=$"
				      "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI=",
				      NULL),
			 0);
}

static void what_is_no_hash_is_said(void **state)
{
	static const char *const bad[] = {
		"",
		"plain",
		"$scrypt$ln=14,r=8,p=1$AAAA",
		"$scrypt$ln=30,r=8,p=1$AAAA$AAAA",
		"$scrypt$ln=14,r=9,p=1$AAAA$AAAA",
		"$scrypt$ln=14,r=8,p=1$AAAA$AAAA",
		"$scrypt$ln=14,r=8,p=1$!$!",
	};
	char *h = NULL, *text = malloc(SECRET_BYTES_MAX + 2);

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(secret_check("x", bad[i], NULL), -EBADMSG);
	assert_non_null(text);
	memset(text, 'a', SECRET_BYTES_MAX + 1);
	text[SECRET_BYTES_MAX + 1] = '\0';
	assert_int_equal(secret_hash(text, SECRET_MADE, &h, NULL), -EINVAL);
	assert_int_equal(secret_hash("", SECRET_MADE, &h, NULL), -EINVAL);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_fits_its_hash_alone),
		cmocka_unit_test(passwords_cost_more),
		cmocka_unit_test(rfc_vector),
		cmocka_unit_test(what_is_no_hash_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: the vectors of RFC 7515, and forgeries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "base/mem.h"
#include "login/jwt.h"
#include "support/fault.h"

/* ---- RFC 7515, appendix A ------------------------------------------------------------------- */

#define RFC_CLAIMS                                                                                 \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0" \
	"cnVlfQ"

static const char rs256_key[] =
	"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
	"Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
	"7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
	"UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3"
	"qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW"
	"yuXpoQ\",\"e\":\"AQAB\"}";
static const char rs256_token[] =
	"eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS
	".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2"
	"Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
	"nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQB"
	"MHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
	"eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI"
	"2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
static const char es256_key[] =
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
static const char es256_token[] =
	"eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

static EVP_PKEY *key_of(const char *jwk, unsigned *algs)
{
	auto_json json_t *j = json_loads(jwk, 0, NULL);
	EVP_PKEY *key = NULL;

	assert_int_equal(jwk_parse(j, &key, algs, NULL), 0);
	return key;
}

static int verify(const char *token, EVP_PKEY *key, unsigned algs)
{
	auto_jwt struct jwt j = {0};
	int r = jwt_parse(token, strlen(token), &j, NULL);

	return r < 0 ? r : jwt_verify(&j, key, algs, NULL);
}

static void rfc_vectors_verify(void **state)
{
	static const char *const vectors[][2] = {{rs256_key, rs256_token},
						 {es256_key, es256_token}};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		unsigned algs = 0;
		EVP_PKEY *key = key_of(vectors[i][0], &algs);
		char *bad = strdup(vectors[i][1]);

		assert_int_equal(verify(bad, key, algs), 0);
		assert_int_equal(verify(bad, key, algs ^ 7u), -EACCES); /* not this key's */
		for (char *p = bad; *p; p++) { /* each bit that is flipped is seen */
			char was = *p;

			*p = was == 'A' ? 'B' : 'A';
			assert_true(verify(bad, key, algs) < 0);
			*p = was;
		}
		free(bad);
		EVP_PKEY_free(key);
	}
}

/* ---- Forgeries ------------------------------------------------------------------------------ */

static EVP_PKEY *new_key(enum jwt_alg alg)
{
	EVP_PKEY *k = alg == JWT_ES256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);

	assert_non_null(k);
	return k;
}

static char *raw_token(const char *header, const char *claims, const void *sig, size_t n)
{
	char *h = b64url_encode(header, strlen(header)), *c = b64url_encode(claims, strlen(claims));
	char *s = b64url_encode(sig, n), *t = strf("%s.%s.%s", h, c, s);

	free(h);
	free(c);
	free(s);
	assert_non_null(t);
	return t;
}

static void every_algorithm_signs(void **state)
{
	auto_json json_t *claims = json_pack("{s:s, s:i}", "sub", "x", "exp", 2000000000);

	(void) state;
	for (unsigned a = 0; a < JWT_ALG_MAX; a++) {
		EVP_PKEY *key = new_key((enum jwt_alg) a), *other = new_key((enum jwt_alg) a);
		auto_json json_t *jwk = NULL;
		auto_free char *token = NULL;
		EVP_PKEY *public = NULL;
		unsigned algs = 0;

		assert_int_equal(jwt_sign(claims, key, (enum jwt_alg) a, "k1", NULL, &token, NULL),
				 0);
		assert_int_equal(jwk_public(key, (enum jwt_alg) a, "k1", &jwk, NULL), 0);
		assert_null(json_object_get(jwk, "d"));
		assert_int_equal(jwk_parse(jwk, &public, &algs, NULL), 0);
		assert_int_equal(algs, 1u << a);
		assert_int_equal(verify(token, public, algs), 0);
		assert_int_equal(verify(token, other, algs), -EACCES);
		EVP_PKEY_free(key);
		EVP_PKEY_free(other);
		EVP_PKEY_free(public);
	}
}

static void expect_refused(const char *header, const char *claims)
{
	auto_free char *t = raw_token(header, claims, "0123456789abcdef0123456789abcdef", 32);
	struct jwt j = {0};

	if (jwt_parse(t, strlen(t), &j, NULL) != -EINVAL)
		fail_msg("%s %s was taken", header, claims);
}

static void headers_that_lie_are_refused(void **state)
{
	static const char *const headers[] = {
		"{\"alg\":\"none\"}",
		"{\"alg\":\"None\"}",
		"{\"alg\":\"HS256\"}",
		"{\"alg\":\"rs256\"}",
		"{\"alg\":\"RS1\"}",
		"{\"alg\":1}",
		"{}",
		"[]",
		"{\"alg\":\"RS256\",\"alg\":\"none\"}",
		"{\"alg\":\"RS256\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"RS256\",\"typ\":\"JWE\"}",
		"{\"alg\":\"RS256\",\"typ\":7}",
		"{\"alg\":\"RS256\",\"kid\":7}",
		"{\"alg\":\"RS256\"} x",
		"not json",
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		expect_refused(headers[i], "{\"exp\":2000000000}");
	expect_refused("{\"alg\":\"RS256\"}", "{\"exp\":1,\"exp\":2000000000}");
	expect_refused("{\"alg\":\"RS256\"}", "\"text\"");
}

static void hmac_with_the_public_key_is_refused(void **state)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	uint8_t mac[32] = {0};
	unsigned n = sizeof(mac);
	auto_free char *token = NULL;
	struct jwt j = {0};

	(void) state;
	assert_non_null(HMAC(EVP_sha256(), rs256_key, (int) strlen(rs256_key),
			     (const uint8_t *) "x", 1, mac, &n));
	token = raw_token(header, "{\"exp\":2000000000}", mac, n);
	assert_int_equal(jwt_parse(token, strlen(token), &j, NULL), -EINVAL);
}

static void damaged_texts_are_refused(void **state)
{
	static const char *const texts[] = {
		"",
		".",
		"..",
		"...",
		"a.b.c",
		"eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS,
		"eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS ".",
		"eyJhbGciOiJSUzI1NiJ9=." RFC_CLAIMS ".AAAA",
		"eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS ".AAAA.AAAA",
		"eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS ".AA+A",
		"eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS ".AAB", /* bits left over */
		" eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS ".AAAA",
	};
	char *huge = malloc(JWT_BYTES_MAX + 2);
	struct jwt j = {0};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (jwt_parse(texts[i], strlen(texts[i]), &j, NULL) != -EINVAL)
			fail_msg("'%s' was taken", texts[i]);
	for (size_t n = 0; n < strlen(es256_token); n++) { /* cut off anywhere */
		auto_free char *cut = strndup(es256_token, n);
		unsigned algs = 0;
		EVP_PKEY *key = key_of(es256_key, &algs);

		assert_true(verify(cut, key, algs) < 0);
		EVP_PKEY_free(key);
	}
	assert_non_null(huge);
	memset(huge, 'A', JWT_BYTES_MAX + 1);
	assert_int_equal(jwt_parse(huge, JWT_BYTES_MAX + 1, &j, NULL), -EFBIG);
	assert_int_equal(jwt_parse(huge, JWT_BYTES_MAX, &j, NULL), -EINVAL);
	free(huge);
}

static int times(const char *claims, int64_t now)
{
	struct jwt j = {.claims = json_loads(claims, 0, NULL)};
	int r;

	assert_non_null(j.claims);
	r = jwt_times(&j, now, NULL);
	jwt_done(&j);
	return r;
}

static void times_have_five_minutes(void **state)
{
	(void) state;
	assert_int_equal(times("{\"exp\":1000}", 1000 + JWT_SKEW_S - 1), 0);
	assert_int_equal(times("{\"exp\":1000}", 1000 + JWT_SKEW_S), -ETIME);
	assert_int_equal(times("{\"exp\":1000.5}", 900), 0);
	assert_int_equal(times("{\"exp\":9000,\"nbf\":1000}", 1000 - JWT_SKEW_S), 0);
	assert_int_equal(times("{\"exp\":9000,\"nbf\":1000}", 999 - JWT_SKEW_S), -EINVAL);
	assert_int_equal(times("{\"exp\":9000,\"iat\":1000}", 999 - JWT_SKEW_S), -EINVAL);
	assert_int_equal(times("{}", 0), -EINVAL);
	assert_int_equal(times("{\"exp\":\"9000\"}", 0), -EINVAL);
	assert_int_equal(times("{\"exp\":-1}", 0), -EINVAL);
	assert_int_equal(times("{\"exp\":1e300}", 0), -EINVAL);
	assert_int_equal(times("{\"exp\":9000,\"nbf\":true}", 0), -EINVAL);
}

static void audiences(void **state)
{
	struct jwt j = {.claims = json_loads("{\"aud\":[\"a\",\"b\",3]}", 0, NULL)};

	(void) state;
	assert_true(jwt_audience(&j, "a"));
	assert_true(jwt_audience(&j, "b"));
	assert_false(jwt_audience(&j, "c"));
	json_object_set_new(j.claims, "aud", json_string("c"));
	assert_true(jwt_audience(&j, "c"));
	assert_false(jwt_audience(&j, "a"));
	json_object_del(j.claims, "aud");
	assert_false(jwt_audience(&j, "a"));
	jwt_done(&j);
}

static void weak_keys_are_refused(void **state)
{
	static const char *const keys[] = {
		"{\"kty\":\"oct\",\"k\":\"AAAA\"}",
		"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
		/* not on the curve */
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
		"\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
		"\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
		"{}",
	};
	EVP_PKEY *weak = EVP_RSA_gen(1024);
	unsigned algs = 0;

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		auto_json json_t *j = json_loads(keys[i], 0, NULL);
		EVP_PKEY *key = NULL;

		if (jwk_parse(j, &key, &algs, NULL) != -EINVAL)
			fail_msg("%s was taken", keys[i]);
	}
	assert_int_equal(key_algs(weak, &algs, NULL), -EINVAL);
	EVP_PKEY_free(weak);
}

/* Each allocation fails once: an error, nothing half done. */
static void memory_runs_out(void **state)
{
	auto_json json_t *claims = json_pack("{s:s, s:i}", "sub", "x", "exp", 2000000000);
	EVP_PKEY *key = new_key(JWT_ES256);

	(void) state;
	for (unsigned n = 1;; n++) {
		auto_free char *token = NULL;
		struct jwt j = {0};
		bool armed = true;
		int r;

		fault_alloc_nth(n, &armed);
		r = jwt_sign(claims, key, JWT_ES256, "k1", NULL, &token, NULL);
		if (r == 0)
			r = jwt_parse(token, strlen(token), &j, NULL);
		if (r == 0)
			r = jwt_verify(&j, key, 1u << JWT_ES256, NULL);
		fault_alloc_off();
		jwt_done(&j);
		if (armed) {
			assert_int_equal(r, 0);
			break;
		}
		assert_true(r < 0);
	}
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_vectors_verify),
		cmocka_unit_test(every_algorithm_signs),
		cmocka_unit_test(headers_that_lie_are_refused),
		cmocka_unit_test(hmac_with_the_public_key_is_refused),
		cmocka_unit_test(damaged_texts_are_refused),
		cmocka_unit_test(times_have_five_minutes),
		cmocka_unit_test(audiences),
		cmocka_unit_test(weak_keys_are_refused),
		cmocka_unit_test(memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

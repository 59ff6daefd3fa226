/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a token, as its parts (a header, a claims and a signature line, which are encoded
 * first), and as a key: refused, or what the checks promise holds; no key ever says yes.
 */
#include <assert.h>
#include <openssl/evp.h>
#include <stdint.h>

#include "base/mem.h"
#include "login/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const keys[] = {
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
	"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-"
	"Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_"
	"7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
	"UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3"
	"qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW"
	"yuXpoQ\",\"e\":\"AQAB\"}",
};
/* The claims of the example in RFC 7515, whose signatures these keys do verify. */
static const char known[] = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
			    "\"http://example.com/is_root\":true}";

static int signed_by(const struct jwt *j, const char *jwk)
{
	auto_json json_t *doc = json_loads(jwk, 0, NULL);
	EVP_PKEY *key = NULL;
	unsigned algs = 0;
	int r;

	assert(doc && jwk_parse(doc, &key, &algs, NULL) == 0 && algs != 0);
	r = jwt_verify(j, key, algs, NULL);
	EVP_PKEY_free(key);
	return r;
}

static void judge(const struct jwt *j, const char *text, size_t n)
{
	auto_json json_t *example = json_loads(known, 0, NULL);
	int r;

	assert(json_is_object(j->header) && json_is_object(j->claims));
	assert(j->alg < JWT_ALG_MAX && strcmp(json_string_value(json_object_get(j->header, "alg")),
					      jwt_alg_name(j->alg)) == 0);
	assert(!json_object_get(j->header, "crit"));
	assert(j->signed_text == text && j->signed_bytes < n && j->signature_bytes > 0);
	assert(!j->kid || strlen(j->kid) <= JWT_KID_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		assert(signed_by(j, keys[i]) == -EACCES || json_equal(j->claims, example));
	r = jwt_times(j, 1000000000, NULL);
	assert(r == 0 || r == -EINVAL || r == -ETIME);
	(void) jwt_audience(j, "a");
}

static void token(const char *text, size_t n)
{
	struct err err = ERR_INIT;
	struct jwt j = {0};
	int r = jwt_parse(text, n, &j, &err);

	assert(r == 0 || ((r == -EINVAL || r == -EFBIG) && err.msg && !j.header && !j.signature));
	if (r == 0)
		judge(&j, text, n);
	err_done(&err);
	jwt_done(&j);
}

static char *encoded(const uint8_t *p, size_t n)
{
	char *text = b64url_encode(p, n);
	uint8_t *back = NULL;
	size_t m = 0;

	if (!text)
		return NULL;
	assert(b64url_decode(text, strlen(text), &back, &m) == 0);
	assert(m == n && (n == 0 || memcmp(back, p, n) == 0));
	free(back);
	return text;
}

static void parts(const uint8_t *data, size_t size)
{
	const uint8_t *a = memchr(data, '\n', size), *b;
	auto_free char *h = NULL, *c = NULL, *s = NULL, *text = NULL;

	b = a ? memchr(a + 1, '\n', (size_t) (data + size - a - 1)) : NULL;
	if (!b)
		return;
	h = encoded(data, (size_t) (a - data));
	c = encoded(a + 1, (size_t) (b - a - 1));
	s = encoded(b + 1, (size_t) (data + size - b - 1));
	text = h && c && s ? strf("%s.%s.%s", h, c, s) : NULL;
	if (text)
		token(text, strlen(text));
}

static void key(const uint8_t *data, size_t size)
{
	auto_json json_t *doc = NULL, *again = NULL;
	struct err err = ERR_INIT;
	EVP_PKEY *k = NULL, *twin = NULL;
	unsigned algs = 0, same = 0;
	int r;

	if (json_parse((const char *) data, size, &doc, NULL) < 0)
		return;
	r = jwk_parse(doc, &k, &algs, &err);
	assert(r == 0 ? algs != 0 && k : r == -EINVAL && err.msg && !k);
	if (r == 0) {
		enum jwt_alg alg = algs & JWT_ALG_RSA ? JWT_RS256 : JWT_ES256;

		assert(jwk_public(k, alg, "k", &again, NULL) == 0);
		assert(jwk_parse(again, &twin, &same, NULL) == 0 && EVP_PKEY_eq(k, twin) == 1);
	}
	err_done(&err);
	EVP_PKEY_free(k);
	EVP_PKEY_free(twin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	token(text, size);
	parts((const uint8_t *) text, size);
	key((const uint8_t *) text, size);
	return 0;
}

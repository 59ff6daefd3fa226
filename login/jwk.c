/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Keys: RSA (2048 to 8192 bits) and EC P-256, public halves only. */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/mem.h"
#include "login/jwt.h"

#define P256_HALF 32

static inline void bn_freep(BIGNUM **b)
{
	BN_free(*b);
}
#define auto_bn __attribute__((cleanup(bn_freep)))

int key_algs(EVP_PKEY *key, unsigned *ret, struct err *err)
{
	char group[32] = "";
	int bits = EVP_PKEY_get_bits(key);

	if (EVP_PKEY_is_a(key, "RSA")) {
		if (bits < JWT_RSA_BITS_MIN || bits > JWT_RSA_BITS_MAX)
			return err_set(err, -EINVAL, "an RSA key has %d bits, %d to %d expected",
				       bits, JWT_RSA_BITS_MIN, JWT_RSA_BITS_MAX);
		*ret = JWT_ALG_RSA;
		return 0;
	}
	if (EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	    (str_eq(group, "prime256v1") || str_eq(group, "P-256"))) {
		*ret = 1u << JWT_ES256;
		return 0;
	}
	ERR_clear_error();
	return err_set(err, -EINVAL, "a key is neither RSA nor EC on the curve P-256");
}

static int number(const json_t *jwk, const char *name, uint8_t **ret, size_t *ret_n,
		  struct err *err)
{
	const char *s = json_str_at(jwk, name);
	int r = s ? b64url_decode(s, strlen(s), ret, ret_n) : -EINVAL;

	if (r == -ENOMEM)
		return err_set(err, r, "out of memory");
	if (r < 0 || *ret_n == 0 || *ret_n > JWT_RSA_BITS_MAX / 8 + 1)
		return err_set(err, -EINVAL, "the key's \"%s\" is no base64url number", name);
	return 0;
}

static int build(const char *kind, OSSL_PARAM_BLD *b, EVP_PKEY **ret)
{
	OSSL_PARAM *p = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY_CTX *c = p ? EVP_PKEY_CTX_new_from_name(NULL, kind, NULL) : NULL;
	EVP_PKEY *key = NULL;
	int r = -EINVAL;

	if (c && EVP_PKEY_fromdata_init(c) == 1 &&
	    EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, p) == 1) {
		*ret = key;
		r = 0;
	}
	EVP_PKEY_CTX_free(c);
	OSSL_PARAM_free(p);
	ERR_clear_error();
	return r;
}

static int parse_rsa(const json_t *jwk, EVP_PKEY **ret, struct err *err)
{
	auto_free uint8_t *n = NULL, *e = NULL;
	auto_bn BIGNUM *bn_n = NULL, *bn_e = NULL;
	size_t n_bytes = 0, e_bytes = 0;
	OSSL_PARAM_BLD *b;
	int r = number(jwk, "n", &n, &n_bytes, err);

	if (r >= 0)
		r = number(jwk, "e", &e, &e_bytes, err);
	if (r < 0)
		return r;
	if (e_bytes > 8) /* bounds the work of a check */
		return err_set(err, -EINVAL, "the key's exponent has more than 64 bits");
	bn_n = BN_bin2bn(n, (int) n_bytes, NULL);
	bn_e = BN_bin2bn(e, (int) e_bytes, NULL);
	b = OSSL_PARAM_BLD_new();
	if (!bn_n || !bn_e || !b || OSSL_PARAM_BLD_push_BN(b, "n", bn_n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(b, "e", bn_e) != 1)
		r = -ENOMEM;
	if (r >= 0)
		r = build("RSA", b, ret);
	OSSL_PARAM_BLD_free(b);
	return r;
}

static int parse_ec(const json_t *jwk, EVP_PKEY **ret, struct err *err)
{
	auto_free uint8_t *x = NULL, *y = NULL;
	uint8_t point[1 + 2 * P256_HALF] = {4}; /* uncompressed */
	size_t x_bytes = 0, y_bytes = 0;
	OSSL_PARAM_BLD *b;
	int r;

	if (!str_eq(json_str_at(jwk, "crv"), "P-256"))
		return err_set(err, -EINVAL, "the key's curve is not P-256");
	r = number(jwk, "x", &x, &x_bytes, err);
	if (r >= 0)
		r = number(jwk, "y", &y, &y_bytes, err);
	if (r < 0)
		return r;
	if (x_bytes != P256_HALF || y_bytes != P256_HALF)
		return err_set(err, -EINVAL, "the key's coordinates do not have 32 bytes");
	memcpy(point + 1, x, P256_HALF);
	memcpy(point + 1 + P256_HALF, y, P256_HALF);
	b = OSSL_PARAM_BLD_new();
	if (!b || OSSL_PARAM_BLD_push_utf8_string(b, "group", "prime256v1", 0) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(b, "pub", point, sizeof(point)) != 1)
		r = -ENOMEM;
	if (r >= 0)
		r = build("EC", b, ret);
	OSSL_PARAM_BLD_free(b);
	return r;
}

int jwk_parse(const json_t *jwk, EVP_PKEY **ret, unsigned *ret_algs, struct err *err)
{
	const char *kty = json_str_at(jwk, "kty"), *use = json_str_at(jwk, "use");
	const char *alg = json_str_at(jwk, "alg");
	EVP_PKEY *key = NULL;
	int r;

	if (use && !str_eq(use, "sig"))
		return err_set(err, -EINVAL, "the key is not for signatures");
	if (str_eq(kty, "RSA"))
		r = parse_rsa(jwk, &key, err);
	else if (str_eq(kty, "EC"))
		r = parse_ec(jwk, &key, err);
	else
		return err_set(err, -EINVAL, "the key's type '%.20s' is not RSA or EC",
			       kty ? kty : "");
	if (r < 0)
		return err && err->code ? r : err_set(err, r, "the key is no valid public key");
	r = key_algs(key, ret_algs, err);
	if (r >= 0 && alg) {
		enum jwt_alg one = jwt_alg_find(alg);

		*ret_algs &= one == JWT_ALG_MAX ? 0 : 1u << one;
		if (*ret_algs == 0)
			r = err_set(err, -EINVAL,
				    "the key's algorithm '%.20s' is none that is"
				    " taken here",
				    alg);
	}
	if (r < 0) {
		EVP_PKEY_free(key);
		return r;
	}
	*ret = key;
	return 0;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static int set_number(json_t *j, const char *name, EVP_PKEY *key, const char *param, size_t pad)
{
	auto_bn BIGNUM *bn = NULL;
	uint8_t bytes[JWT_RSA_BITS_MAX / 8];
	auto_free char *text = NULL;
	size_t n;

	if (EVP_PKEY_get_bn_param(key, param, &bn) != 1)
		return -EIO;
	n = pad ? pad : (size_t) BN_num_bytes(bn);
	if (n > sizeof(bytes) || BN_bn2binpad(bn, bytes, (int) n) < 0)
		return -EIO;
	text = b64url_encode(bytes, n);
	return text && json_object_set_new(j, name, json_string(text)) >= 0 ? 0 : -ENOMEM;
}

int jwk_public(EVP_PKEY *key, enum jwt_alg alg, const char *kid, json_t **ret, struct err *err)
{
	bool rsa = EVP_PKEY_is_a(key, "RSA") == 1;
	auto_json json_t *j = json_pack("{s:s, s:s, s:s}", "kty", rsa ? "RSA" : "EC", "use", "sig",
					"alg", jwt_alg_name(alg));
	int r = j ? 0 : -ENOMEM;

	if (r >= 0 && kid)
		r = json_object_set_new(j, "kid", json_string(kid)) < 0 ? -ENOMEM : 0;
	if (r >= 0 && rsa) {
		r = set_number(j, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
		if (r >= 0)
			r = set_number(j, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
	} else if (r >= 0) {
		r = json_object_set_new(j, "crv", json_string("P-256"));
		if (r >= 0)
			r = set_number(j, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, P256_HALF);
		if (r >= 0)
			r = set_number(j, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, P256_HALF);
	}
	if (r < 0)
		return err_set(err, r, "the key cannot be written as a JWK");
	*ret = take_ptr(j);
	return 0;
}

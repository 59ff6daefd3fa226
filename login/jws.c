/* SPDX-License-Identifier: Apache-2.0 */
/* Signing and verifying. The algorithm comes from the key, a token can only fail to match it. */
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/mem.h"
#include "login/jwt.h"

#define ES256_HALF    32 /* bytes of r and of s */
#define SIGNATURE_MAX (JWT_RSA_BITS_MAX / 8)

static inline void md_ctx_freep(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}
static inline void ecdsa_freep(ECDSA_SIG **s)
{
	ECDSA_SIG_free(*s);
}

static bool set_padding(EVP_PKEY_CTX *p, enum jwt_alg alg)
{
	if (alg == JWT_ES256)
		return true;
	if (alg == JWT_RS256)
		return EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PADDING) > 0;
	return EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) > 0 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST) > 0;
}

/* r || s as RFC 7518 has it, to the DER that OpenSSL wants. */
static int to_der(const struct jwt *j, uint8_t *der, size_t *ret_n)
{
	__attribute__((cleanup(ecdsa_freep))) ECDSA_SIG *s = NULL;
	BIGNUM *a, *b;
	uint8_t *p = der;
	int n;

	if (j->signature_bytes != 2 * (size_t) ES256_HALF)
		return -EACCES;
	s = ECDSA_SIG_new();
	a = BN_bin2bn(j->signature, ES256_HALF, NULL);
	b = BN_bin2bn(j->signature + ES256_HALF, ES256_HALF, NULL);
	if (!s || !a || !b || ECDSA_SIG_set0(s, a, b) != 1) {
		BN_free(a);
		BN_free(b);
		return -ENOMEM;
	}
	n = i2d_ECDSA_SIG(s, NULL);
	if (n <= 0 || n > SIGNATURE_MAX)
		return -EACCES;
	*ret_n = (size_t) i2d_ECDSA_SIG(s, &p);
	return 0;
}

int jwt_verify(const struct jwt *j, EVP_PKEY *key, unsigned algs, struct err *err)
{
	__attribute__((cleanup(md_ctx_freep))) EVP_MD_CTX *c = NULL;
	const uint8_t *sig = j->signature;
	size_t n = j->signature_bytes;
	uint8_t der[SIGNATURE_MAX];
	EVP_PKEY_CTX *p = NULL;
	int r = 0;

	if (!(algs & 1u << j->alg))
		return err_set(err, -EACCES, "the token's algorithm %s is not the key's",
			       jwt_alg_name(j->alg));
	if (j->alg == JWT_ES256) {
		r = to_der(j, der, &n);
		sig = der;
	}
	if (r == 0)
		c = EVP_MD_CTX_new();
	if (r == -ENOMEM || (r == 0 && !c))
		return err_set(err, -ENOMEM, "out of memory");
	if (r == 0 &&
	    (EVP_DigestVerifyInit(c, &p, EVP_sha256(), NULL, key) != 1 || !set_padding(p, j->alg) ||
	     EVP_DigestVerify(c, sig, n, (const uint8_t *) j->signed_text, j->signed_bytes) != 1))
		r = -EACCES;
	ERR_clear_error();
	return r < 0 ? err_set(err, r, "the token's signature is wrong") : 0;
}

/* ---- Signing -------------------------------------------------------------------------------- */

static int sign_bytes(EVP_PKEY *key, enum jwt_alg alg, const char *text, size_t n, uint8_t *sig,
		      size_t *ret_n)
{
	__attribute__((cleanup(md_ctx_freep))) EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p = NULL;

	if (!c)
		return -ENOMEM;
	if (EVP_DigestSignInit(c, &p, EVP_sha256(), NULL, key) != 1 || !set_padding(p, alg) ||
	    EVP_DigestSign(c, sig, ret_n, (const uint8_t *) text, n) != 1)
		return -EIO;
	return 0;
}

static int from_der(uint8_t *sig, size_t *n)
{
	const uint8_t *p = sig;
	__attribute__((cleanup(ecdsa_freep))) ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long) *n);

	if (!s || BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, ES256_HALF) != ES256_HALF ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + ES256_HALF, ES256_HALF) != ES256_HALF)
		return -EIO;
	*n = 2 * (size_t) ES256_HALF;
	return 0;
}

static int add_part(struct buf *b, const json_t *j)
{
	auto_free char *text = json_compact(j);
	auto_free char *part = text ? b64url_encode(text, strlen(text)) : NULL;

	return part ? buf_addstr(b, part) : -ENOMEM;
}

int jwt_sign(const json_t *claims, EVP_PKEY *key, enum jwt_alg alg, const char *kid,
	     const char *typ, char **ret, struct err *err)
{
	auto_json json_t *header =
		json_pack("{s:s, s:s}", "typ", typ ? typ : "JWT", "alg", jwt_alg_name(alg));
	auto_buf struct buf b = BUF_INIT(JWT_BYTES_MAX);
	auto_free char *part = NULL;
	uint8_t sig[SIGNATURE_MAX];
	size_t n = sizeof(sig);
	int r = header ? 0 : -ENOMEM;

	/* Not by "s*" of json_pack(), which takes lack of memory for a NULL. */
	if (r >= 0 && kid)
		r = json_object_set_new(header, "kid", json_string(kid)) < 0 ? -ENOMEM : 0;
	if (r >= 0)
		r = add_part(&b, header);
	if (r >= 0)
		r = buf_addch(&b, '.');
	if (r >= 0)
		r = add_part(&b, claims);
	if (r >= 0)
		r = sign_bytes(key, alg, b.data, b.len, sig, &n);
	if (r >= 0 && alg == JWT_ES256)
		r = from_der(sig, &n);
	ERR_clear_error();
	if (r >= 0) {
		part = b64url_encode(sig, n);
		r = part ? buf_addf(&b, ".%s", part) : -ENOMEM;
	}
	if (r >= 0) {
		*ret = buf_take(&b);
		r = *ret ? 0 : -ENOMEM;
	}
	return r < 0 ? err_set(err, r, "the token could not be signed") : 0;
}

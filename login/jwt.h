/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed tokens: RFC 7515 (JWS, compact), 7517 (JWK), 7518 (algorithms), 7519 (JWT). Strict: what a
 * producer of tokens has no reason to write is refused. Parsing is pure; nothing here believes a
 * token, jwt_verify() says whether a key signed it.
 */
#ifndef KILN_LOGIN_JWT_H
#define KILN_LOGIN_JWT_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

#define JWT_BYTES_MAX    (16u << 10)
#define JWT_KID_MAX      256  /* bytes of "kid" */
#define JWT_RSA_BITS_MIN 2048 /* of keys that are believed */
#define JWT_RSA_BITS_MAX 8192 /* bounds the work of one check */
#define JWT_SKEW_S       300  /* clocks may differ by so much */

/* The only ones: no "none", and nothing symmetric, which a public key could be taken for. */
enum jwt_alg { JWT_RS256, JWT_PS256, JWT_ES256, JWT_ALG_MAX };
#define JWT_ALG_RSA ((1u << JWT_RS256) | (1u << JWT_PS256))

const char *jwt_alg_name(enum jwt_alg alg);
/** jwt_alg_find() - by name; JWT_ALG_MAX when it is none of these. */
enum jwt_alg jwt_alg_find(const char *name);

struct jwt {
	json_t *header, *claims; /* owned; objects */
	enum jwt_alg alg;
	const char *kid;         /* in @header; NULL when absent */
	const char *signed_text; /* in the token's text, which must outlive this */
	size_t signed_bytes;
	uint8_t *signature; /* owned */
	size_t signature_bytes;
};
void jwt_done(struct jwt *j);
#define auto_jwt __attribute__((cleanup(jwt_done)))

/**
 * jwt_parse() - three parts of unpadded base64url, two JSON objects without duplicate names
 *
 * Refuses more than JWT_BYTES_MAX, algorithms but the above, "crit", and a "typ" that is no JWT.
 * Return: 0, -EINVAL (the message says what is wrong, without the token), -EFBIG, -ENOMEM.
 */
int jwt_parse(const char *text, size_t n, struct jwt *ret, struct err *err);

/** jwt_verify() - did @key sign it? @algs: bit set of the algorithms this key may be used with.
 *  Return: 0, -EACCES, -ENOMEM. */
int jwt_verify(const struct jwt *j, EVP_PKEY *key, unsigned algs, struct err *err);

/** jwt_times() - "exp" (required), "nbf" and "iat" (when present) against @now_s, with JWT_SKEW_S.
 *  Return: 0, -ETIME (expired), -EINVAL (not yet valid, or no numbers). */
int jwt_times(const struct jwt *j, int64_t now_s, struct err *err);

/** jwt_audience() - is @aud "aud", or one of it? */
bool jwt_audience(const struct jwt *j, const char *aud);

/** jwt_sign() - the compact form; caller frees. @typ may be NULL ("JWT"). */
int jwt_sign(const json_t *claims, EVP_PKEY *key, enum jwt_alg alg, const char *kid,
	     const char *typ, char **ret, struct err *err);

/* ---- Keys ----------------------------------------------------------------------------------- */

/** jwk_parse() - a public key of kind RSA or EC P-256. @ret_algs: what "alg" and "use" allow.
 *  Return: 0, -EINVAL (the message says why), -ENOMEM. EVP_PKEY_free() the key. */
int jwk_parse(const json_t *jwk, EVP_PKEY **ret, unsigned *ret_algs, struct err *err);
/** jwk_public() - the public half, with "kid" (may be NULL), "use" and "alg". */
int jwk_public(EVP_PKEY *key, enum jwt_alg alg, const char *kid, json_t **ret, struct err *err);
/** key_algs() - the algorithms that fit a key; -EINVAL with a reason when kiln takes none. */
int key_algs(EVP_PKEY *key, unsigned *ret, struct err *err);

/* ---- base64url without padding -------------------------------------------------------------- */

/** b64url_encode() - caller frees; NULL on ENOMEM. */
char *b64url_encode(const void *p, size_t n);
/** b64url_decode() - strict: no padding, no bits left over; has a NUL behind it that *@ret_n does
 *  not count. 0, -EINVAL, -ENOMEM. */
int b64url_decode(const char *s, size_t n, uint8_t **ret, size_t *ret_n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "login/secret.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/hash.h"
#include "base/mem.h"

#define SALT_BYTES 16
#define KEY_BYTES  32
#define LN_MAX     17 /* of a stored hash: 128 MiB */
#define R          8

static const unsigned cost_ln[] = {[SECRET_MADE] = 14, [SECRET_CHOSEN] = 16};

int secret_new(char *dst, struct err *err)
{
	uint8_t key[32];
	int r = random_bytes(key, sizeof(key));

	if (r < 0)
		return err_set(err, r, "no random numbers from the kernel");
	hex_encode(key, sizeof(key), dst);
	mem_wipe(key, sizeof(key));
	return 0;
}

static int derive(const char *secret, const uint8_t *salt, size_t n, unsigned ln, uint8_t *key,
		  struct err *err)
{
	uint64_t cost = UINT64_C(1) << ln;
	/* OpenSSL refuses above its own limit of 32 MiB; this is what the parameters need. */
	uint64_t memory = 128 * R * (cost + 4) + (1u << 20);

	if (EVP_PBE_scrypt(secret, strlen(secret), salt, n, cost, R, 1, memory, key, KEY_BYTES) ==
	    1)
		return 0;
	ERR_clear_error();
	return err_set(err, -ENOMEM, "a secret could not be hashed");
}

int secret_hash(const char *secret, enum secret_kind kind, char **ret, struct err *err)
{
	uint8_t salt[SALT_BYTES], key[KEY_BYTES];
	auto_free char *salt_text = NULL, *key_text = NULL;
	size_t n = strlen(secret);
	int r;

	if (n == 0 || n > SECRET_BYTES_MAX)
		return err_set(err, -EINVAL, "a secret has %zu bytes, 1 to %d expected", n,
			       SECRET_BYTES_MAX);
	r = random_bytes(salt, sizeof(salt));
	if (r < 0)
		return err_set(err, r, "no random numbers from the kernel");
	r = derive(secret, salt, sizeof(salt), cost_ln[kind], key, err);
	if (r < 0)
		return r;
	salt_text = base64_encode(salt, sizeof(salt));
	key_text = base64_encode(key, sizeof(key));
	mem_wipe(key, sizeof(key));
	*ret = salt_text && key_text
		       ? strf("$scrypt$ln=%u,r=%d,p=1$%s$%s", cost_ln[kind], R, salt_text, key_text)
		       : NULL;
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int split(const char *hash, unsigned *ln, char **ret_salt, const char **ret_key)
{
	const char *p = hash, *dollar;
	char *end;

	if (!str_starts(p, "$scrypt$ln="))
		return -EBADMSG;
	p += strlen("$scrypt$ln=");
	*ln = (unsigned) strtoul(p, &end, 10);
	if (end == p || *ln == 0 || *ln > LN_MAX || !str_starts(end, ",r=8,p=1$"))
		return -EBADMSG;
	p = end + strlen(",r=8,p=1$");
	dollar = strchr(p, '$');
	if (!dollar)
		return -EBADMSG;
	*ret_salt = strndup(p, (size_t) (dollar - p));
	*ret_key = dollar + 1;
	return *ret_salt ? 0 : -ENOMEM;
}

int secret_check(const char *secret, const char *hash, struct err *err)
{
	auto_free char *salt_text = NULL;
	auto_free uint8_t *salt = NULL, *want = NULL;
	const char *key_text = NULL;
	size_t salt_bytes = 0, want_bytes = 0;
	uint8_t key[KEY_BYTES];
	unsigned ln = 0;
	int r = split(hash, &ln, &salt_text, &key_text);

	if (r >= 0) {
		salt = base64_decode(salt_text, &salt_bytes);
		want = base64_decode(key_text, &want_bytes);
		if (!salt || !want || want_bytes != KEY_BYTES)
			r = -EBADMSG;
	}
	if (r < 0)
		return err_set(err, r, "the stored hash of a secret is not one");
	if (strlen(secret) > SECRET_BYTES_MAX)
		return err_set(err, -EACCES, "the secret is wrong");
	r = derive(secret, salt, salt_bytes, ln, key, err);
	if (r < 0)
		return r;
	r = CRYPTO_memcmp(key, want, KEY_BYTES) == 0 ? 0 : -EACCES;
	mem_wipe(key, sizeof(key));
	return r < 0 ? err_set(err, r, "the secret is wrong") : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/aead.h"

#include <openssl/evp.h>

#include "base/mem.h"

#define LEN_MAX (1u << 30) /* OpenSSL counts in int */

static void ctx_freep(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

int aead_seal(const uint8_t key[AEAD_KEY_BYTES], const uint8_t nonce[AEAD_NONCE_BYTES],
	      const void *aad, size_t aad_n, const void *plain, size_t n, void *dst)
{
	EVP_CIPHER_CTX *c __attribute__((cleanup(ctx_freep))) = EVP_CIPHER_CTX_new();
	uint8_t *out = dst;
	int k, last = 0;

	if (!c || n > LEN_MAX || aad_n > LEN_MAX)
		return -ENOMEM;
	if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
	    EVP_EncryptUpdate(c, NULL, &k, aad, (int) aad_n) != 1 ||
	    EVP_EncryptUpdate(c, out, &k, plain, (int) n) != 1 ||
	    EVP_EncryptFinal_ex(c, out + k, &last) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, out + n) != 1)
		return -ENOMEM; /* nothing but memory can be missing */
	return 0;
}

int aead_open(const uint8_t key[AEAD_KEY_BYTES], const uint8_t nonce[AEAD_NONCE_BYTES],
	      const void *aad, size_t aad_n, const void *src, size_t n, void *dst)
{
	EVP_CIPHER_CTX *c __attribute__((cleanup(ctx_freep))) = EVP_CIPHER_CTX_new();
	uint8_t tag[AEAD_TAG_BYTES], *out = dst;
	int k, last = 0;

	if (n < AEAD_TAG_BYTES)
		return -EBADMSG;
	n -= AEAD_TAG_BYTES;
	if (!c || n > LEN_MAX || aad_n > LEN_MAX)
		return -ENOMEM;
	memcpy(tag, (const uint8_t *) src + n, sizeof(tag));
	if (EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
	    EVP_DecryptUpdate(c, NULL, &k, aad, (int) aad_n) != 1 ||
	    EVP_DecryptUpdate(c, out, &k, src, (int) n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES, tag) != 1)
		return -ENOMEM;
	if (EVP_DecryptFinal_ex(c, out + k, &last) != 1) {
		memset(out, 0, n); /* nobody sees what was not proven */
		return -EBADMSG;
	}
	return 0;
}

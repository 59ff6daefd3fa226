/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM (NIST SP 800-38D): bytes that only the holder of a key can read, and that nobody can
 * change unseen. A nonce must never come twice under one key.
 */
#ifndef KILN_BASE_AEAD_H
#define KILN_BASE_AEAD_H

#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_BYTES   32
#define AEAD_NONCE_BYTES 12
#define AEAD_TAG_BYTES   16

/** aead_seal() - @n bytes of @plain to @n + AEAD_TAG_BYTES at @dst, which may be @plain.
 *  @aad: bytes that are proven with it, not stored. Thread-safe. Return: 0 or -ENOMEM. */
int aead_seal(const uint8_t key[AEAD_KEY_BYTES], const uint8_t nonce[AEAD_NONCE_BYTES],
	      const void *aad, size_t aad_n, const void *plain, size_t n, void *dst);

/** aead_open() - the other way: @n stored bytes, tag included, to @n - AEAD_TAG_BYTES at @dst,
 *  which may be @src. Return: 0; -EBADMSG when key, nonce, @aad or bytes are others (then @dst
 *  holds zeros); or -ENOMEM. */
int aead_open(const uint8_t key[AEAD_KEY_BYTES], const uint8_t nonce[AEAD_NONCE_BYTES],
	      const void *aad, size_t aad_n, const void *src, size_t n, void *dst);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (OpenSSL), hex, random bytes, UUIDs. */
#ifndef KILN_BASE_HASH_H
#define KILN_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGEST_BYTES 32
#define DIGEST_HEX   65 /* bytes with the NUL */
#define UUID_STR     37 /* bytes with the NUL */

struct digest {
	uint8_t b[DIGEST_BYTES];
};

static inline bool digest_eq(const struct digest *a, const struct digest *b)
{
	return memcmp(a->b, b->b, DIGEST_BYTES) == 0;
}
/** digest_is_zero() - the all-zero name that stands for a zero chunk or subtree. */
bool digest_is_zero(const struct digest *d);
/** digest_hex() - 64 lower-case digits into @dst[DIGEST_HEX]; returns @dst. */
char *digest_hex(const struct digest *d, char *dst);
/** digest_parse() - exactly 64 hex digits, an optional "sha256:" before. 0 or -EINVAL. */
int digest_parse(const char *s, struct digest *ret);

/** sha256() - one shot; thread-safe; cannot fail. */
void sha256(const void *p, size_t n, struct digest *ret);

/* Incremental; heap state. */
struct sha256_ctx;
struct sha256_ctx *sha256_new(void); /* NULL on ENOMEM */
void sha256_add(struct sha256_ctx *c, const void *p, size_t n);
/** sha256_end() - result into *@ret and frees @c. */
void sha256_end(struct sha256_ctx *c, struct digest *ret);
void sha256_free(struct sha256_ctx *c); /* NULL is fine */
/** sha256_file() - digest of a regular file's content. 0 or -errno. */
int sha256_file(const char *path, struct digest *ret, uint64_t *ret_bytes);

void hex_encode(const void *src, size_t n, char *dst); /* 2n+1 bytes */
int hex_decode(const char *src, void *dst, size_t n);  /* exactly 2n digits; 0 or -EINVAL */
/** base64_encode() / base64_decode() - standard alphabet, padded; caller frees; NULL on ENOMEM or
 *  bad input. What is decoded has a NUL behind it that *@ret_n does not count. */
char *base64_encode(const void *p, size_t n);
void *base64_decode(const char *s, size_t *ret_n);

/** random_bytes() - from the kernel; never fails short. 0 or -errno. */
int random_bytes(void *p, size_t n);
/** uuid_random() - version 4, lower case, into @dst[UUID_STR]. */
int uuid_random(char *dst);
/** uuid_of() - the same from bits that the caller made. */
void uuid_of(const uint64_t bits[2], char *dst);
/** uuid_from_digest() - version 8 form of the digest's first 16 bytes: names made from inputs. */
void uuid_from_digest(const struct digest *d, char *dst);

#endif

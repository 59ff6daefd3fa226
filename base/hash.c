/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the low-level interface allocate nothing and cannot fail, which those of the
 * EVP interface can; a content name must never be wrong because memory ran out. Both run the same
 * assembly.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"

#include <openssl/sha.h>
#include <fcntl.h>
#include <sys/random.h>

#include "base/file.h"
#include "base/mem.h"

#define FILE_STEP (256u << 10)

struct sha256_ctx {
	SHA256_CTX c;
};

bool digest_is_zero(const struct digest *d)
{
	static const struct digest zero;

	return digest_eq(d, &zero);
}

char *digest_hex(const struct digest *d, char *dst)
{
	hex_encode(d->b, DIGEST_BYTES, dst);
	return dst;
}

int digest_parse(const char *s, struct digest *ret)
{
	struct digest d = {{0}};

	if (str_starts(s, "sha256:"))
		s += strlen("sha256:");
	if (!s || hex_decode(s, d.b, DIGEST_BYTES) < 0)
		return -EINVAL;
	*ret = d;
	return 0;
}

void sha256(const void *p, size_t n, struct digest *ret)
{
	SHA256_CTX c;

	(void) SHA256_Init(&c);
	if (n > 0)
		(void) SHA256_Update(&c, p, n);
	(void) SHA256_Final(ret->b, &c);
}

struct sha256_ctx *sha256_new(void)
{
	struct sha256_ctx *c = malloc(sizeof(*c));

	if (c)
		(void) SHA256_Init(&c->c);
	return c;
}

void sha256_add(struct sha256_ctx *c, const void *p, size_t n)
{
	if (n > 0)
		(void) SHA256_Update(&c->c, p, n);
}

void sha256_end(struct sha256_ctx *c, struct digest *ret)
{
	(void) SHA256_Final(ret->b, &c->c);
	sha256_free(c);
}

void sha256_free(struct sha256_ctx *c)
{
	free(c);
}

int sha256_file(const char *path, struct digest *ret, uint64_t *ret_bytes)
{
	auto_free uint8_t *p = malloc(FILE_STEP);
	auto_fd int fd = -1;
	uint64_t at = 0;
	SHA256_CTX c;
	int r;

	if (!p)
		return -ENOMEM;
	r = file_open_regular(AT_FDCWD, path, &fd);
	if (r < 0)
		return r;
	(void) SHA256_Init(&c);
	for (;;) {
		ssize_t n = sys_get()->pread(fd, p, FILE_STEP, (off_t) at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		(void) SHA256_Update(&c, p, (size_t) n);
		at += (uint64_t) n;
	}
	(void) SHA256_Final(ret->b, &c);
	if (ret_bytes)
		*ret_bytes = at;
	return 0;
}

void hex_encode(const void *src, size_t n, char *dst)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = src;

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[p[i] >> 4];
		dst[2 * i + 1] = digits[p[i] & 15];
	}
	dst[2 * n] = '\0';
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(const char *src, void *dst, size_t n)
{
	uint8_t *p = dst;

	for (size_t i = 0; i < n; i++) {
		int hi = nibble(src[2 * i]);
		int lo = hi < 0 ? -1 : nibble(src[2 * i + 1]);

		if (lo < 0)
			return -EINVAL;
		p[i] = (uint8_t) (hi << 4 | lo);
	}
	return src[2 * n] ? -EINVAL : 0;
}

static const char base64_letters[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *src, size_t n)
{
	const uint8_t *p = src;
	char *s, *d;

	if (n > SIZE_MAX / 4 * 3 - 3)
		return NULL;
	s = d = malloc((n + 2) / 3 * 4 + 1);
	if (!s)
		return NULL;
	for (size_t i = 0; i < n; i += 3) {
		size_t left = n - i;
		uint32_t v = (uint32_t) p[i] << 16;

		if (left > 1)
			v |= (uint32_t) p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		/* cppcheck-suppress uninitdata ; being written */
		*d++ = base64_letters[v >> 18];
		*d++ = base64_letters[v >> 12 & 63];
		*d++ = left > 1 ? base64_letters[v >> 6 & 63] : '=';
		*d++ = left > 2 ? base64_letters[v & 63] : '=';
	}
	*d = '\0';
	return s;
}

static int base64_value(char c)
{
	const char *p = c ? strchr(base64_letters, c) : NULL;

	return p ? (int) (p - base64_letters) : -1;
}

void *base64_decode(const char *s, size_t *ret_n)
{
	size_t n = strlen(s), pad = 0;
	auto_free uint8_t *out = NULL;
	uint8_t *d;

	if (n % 4 != 0)
		return NULL;
	if (n > 0)
		pad = s[n - 1] != '=' ? 0 : s[n - 2] != '=' ? 1 : 2;
	d = out = malloc(n / 4 * 3 + 1);
	if (!out)
		return NULL;
	for (size_t i = 0; i < n; i += 4) {
		size_t letters = i + 4 == n ? 4 - pad : 4;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int x = k < letters ? base64_value(s[i + k]) : 0;

			if (x < 0)
				return NULL;
			v = v << 6 | (uint32_t) x;
		}
		/* Bits that the padding cuts off must be zero: one text per content. */
		if ((letters < 4 && (v & 0xff) != 0) || (letters < 3 && (v & 0xffff) != 0))
			return NULL;
		*d++ = (uint8_t) (v >> 16);
		if (letters > 2)
			*d++ = (uint8_t) (v >> 8);
		if (letters > 3)
			*d++ = (uint8_t) v;
	}
	*d = '\0';
	*ret_n = (size_t) (d - out);
	return take_ptr(out);
}

int random_bytes(void *p, size_t n)
{
	uint8_t *d = p;

	while (n > 0) {
		ssize_t k = getrandom(d, n, 0);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		d += k;
		n -= (size_t) k;
	}
	return 0;
}

static void uuid_format(uint8_t b[16], unsigned version, char *dst)
{
	static const unsigned parts[] = {4, 2, 2, 2, 6};
	const uint8_t *from = b;

	b[6] = (uint8_t) ((b[6] & 0x0f) | version << 4);
	b[8] = (uint8_t) ((b[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		hex_encode(from, parts[i], dst);
		from += parts[i];
		dst += 2 * parts[i];
		*dst++ = '-';
	}
	dst[-1] = '\0';
}

void uuid_of(const uint64_t bits[2], char *dst)
{
	uint8_t b[16];

	memcpy(b, bits, sizeof(b));
	uuid_format(b, 4, dst);
}

int uuid_random(char *dst)
{
	uint8_t b[16];
	int r = random_bytes(b, sizeof(b));

	if (r < 0)
		return r;
	uuid_format(b, 4, dst);
	return 0;
}

void uuid_from_digest(const struct digest *d, char *dst)
{
	uint8_t b[16];

	memcpy(b, d->b, sizeof(b));
	uuid_format(b, 8, dst);
}

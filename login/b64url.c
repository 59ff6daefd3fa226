/* SPDX-License-Identifier: Apache-2.0 */
/* base64url, RFC 4648 section 5, as RFC 7515 uses it: unpadded. */
#include "base/mem.h"
#include "login/jwt.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *b64url_encode(const void *p, size_t n)
{
	const uint8_t *b = p;
	size_t len;
	size_t w = 0;
	char *s;

	if (__builtin_mul_overflow(n, (size_t) 4, &len) || len > SIZE_MAX - 8)
		return NULL;
	s = calloc(1, len / 3 + 4);
	if (!s)
		return NULL;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t) b[i] << 16;

		if (i + 1 < n)
			v |= (uint32_t) b[i + 1] << 8;
		if (i + 2 < n)
			v |= b[i + 2];
		s[w++] = alphabet[v >> 18];
		s[w++] = alphabet[v >> 12 & 63];
		if (i + 1 < n)
			s[w++] = alphabet[v >> 6 & 63];
		if (i + 2 < n)
			s[w++] = alphabet[v & 63];
	}
	return s;
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int b64url_decode(const char *s, size_t n, uint8_t **ret, size_t *ret_n)
{
	auto_free uint8_t *out = NULL;
	uint32_t bits = 0;
	unsigned have = 0;
	size_t w = 0;

	if (n % 4 == 1)
		return -EINVAL;
	out = malloc(n / 4 * 3 + 4);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int v = value_of(s[i]);

		if (v < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t) v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[w++] = (uint8_t) (bits >> have);
			bits &= (1u << have) - 1;
		}
	}
	if (bits != 0) /* two texts for the same bytes: one of them was tampered with */
		return -EINVAL;
	out[w] = '\0';
	*ret = take_ptr(out);
	*ret_n = w;
	return 0;
}

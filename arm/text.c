/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/text.h"

#include "base/mem.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int percent_decode(char *s, bool query)
{
	char *d = s;

	while (*s) {
		int hi, lo;

		if (*s != '%') {
			*d++ = query && *s == '+' ? ' ' : *s;
			s++;
			continue;
		}
		hi = digit(s[1]);
		lo = hi < 0 ? -1 : digit(s[2]);
		if (lo < 0 || (hi == 0 && lo == 0) || (!query && hi == 2 && lo == 15))
			return -EINVAL;
		*d++ = (char) (hi << 4 | lo);
		s += 3;
	}
	*d = '\0';
	return 0;
}

static bool unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

int percent_encode(struct buf *out, const char *s, const char *keep)
{
	for (; *s; s++) {
		if (unreserved(*s) || strchr(keep, *s))
			(void) buf_addch(out, *s);
		else
			(void) buf_addf(out, "%%%02X", (unsigned) (unsigned char) *s);
	}
	return buf_err(out);
}

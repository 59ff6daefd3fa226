/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int buf_reserve(struct buf *b, size_t n)
{
	size_t need; /* bytes after the append, NUL included */
	size_t cap;
	char *p;

	if (b->err < 0)
		return b->err;
	if (__builtin_add_overflow(b->len, n, &need) || __builtin_add_overflow(need, 1, &need) ||
	    need > b->max)
		return b->err = -EFBIG;
	if (need <= b->cap)
		return 0;
	cap = need > b->max / 2 ? b->max : need * 2;
	p = realloc(b->data, cap);
	if (!p)
		return b->err = -ENOMEM;
	if (!b->data)
		p[0] = '\0';
	b->data = p;
	b->cap = cap;
	return 0;
}

int buf_add(struct buf *b, const void *src, size_t n)
{
	int r = buf_reserve(b, n);

	if (r < 0)
		return r;
	if (n > 0)
		memcpy(b->data + b->len, src, n);
	b->len += n;
	b->data[b->len] = '\0';
	return 0;
}

int buf_addstr(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int buf_addch(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->data ? b->cap - b->len : 0;
	va_list again;
	int n, r;

	if (b->err < 0)
		return b->err;
	/* Mostly there is room already, and once is enough. */
	va_copy(again, ap);
	n = vsnprintf(b->data ? b->data + b->len : NULL, room, fmt, ap);
	r = n < 0 ? (b->err = -EINVAL) : buf_reserve(b, (size_t) n);
	if (r == 0 && (size_t) n >= room)
		(void) vsnprintf(b->data + b->len, (size_t) n + 1, fmt, again);
	if (r == 0)
		b->len += (size_t) n;
	else if (b->data)
		b->data[b->len] = '\0';
	va_end(again);
	return r;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vaddf(b, fmt, ap);
	va_end(ap);
	return r;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->err = 0;
	if (b->data)
		b->data[0] = '\0';
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
	char *s;

	if (b->err < 0)
		return NULL;
	s = b->data ? b->data : calloc(1, 1);
	b->data = NULL;
	b->len = b->cap = 0;
	return s;
}

void buf_done(struct buf *b)
{
	int saved = errno;

	if (!b)
		return;
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
	b->err = 0;
	errno = saved;
}

_Bool cursor_bytes(struct cursor *c, void *dst, size_t n)
{
	if (c->left < n)
		return 0;
	if (n > 0)
		memcpy(dst, c->p, n);
	c->p += n;
	c->left -= n;
	return 1;
}

_Bool cursor_skip(struct cursor *c, size_t n)
{
	if (c->left < n)
		return 0;
	c->p += n;
	c->left -= n;
	return 1;
}

static _Bool cursor_uint(struct cursor *c, size_t n, _Bool big, uint64_t *ret)
{
	uint64_t v = 0;

	if (c->left < n)
		return 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t) c->p[i] << (8 * (big ? n - 1 - i : i));
	*ret = v;
	return cursor_skip(c, n);
}

#define CURSOR_INT(name, type, big)                                                                \
	_Bool name(struct cursor *c, type *ret) /* NOLINT(bugprone-macro-parentheses) */           \
	{                                                                                          \
		uint64_t v;                                                                        \
                                                                                                   \
		if (!cursor_uint(c, sizeof(type), big, &v))                                        \
			return 0;                                                                  \
		*ret = (type) v;                                                                   \
		return 1;                                                                          \
	}

CURSOR_INT(cursor_le16, uint16_t, 0)
CURSOR_INT(cursor_le32, uint32_t, 0)
CURSOR_INT(cursor_le64, uint64_t, 0)
CURSOR_INT(cursor_be16, uint16_t, 1)
CURSOR_INT(cursor_be32, uint32_t, 1)
CURSOR_INT(cursor_be64, uint64_t, 1)

static void put_uint(uint8_t *p, uint64_t v, size_t n, _Bool big)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t) (v >> (8 * (big ? n - 1 - i : i)));
}

void put_le16(uint8_t *p, uint16_t v)
{
	put_uint(p, v, 2, 0);
}

void put_le32(uint8_t *p, uint32_t v)
{
	put_uint(p, v, 4, 0);
}

void put_le64(uint8_t *p, uint64_t v)
{
	put_uint(p, v, 8, 0);
}

void put_be32(uint8_t *p, uint32_t v)
{
	put_uint(p, v, 4, 1);
}

void put_be64(uint8_t *p, uint64_t v)
{
	put_uint(p, v, 8, 1);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable byte buffer with a maximum stated when created and a sticky error, so that callers
 * check once at the end (buf_err()).
 */
#ifndef KILN_BASE_BUF_H
#define KILN_BASE_BUF_H

#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>

struct buf {
	char *data;           /* owned, always NUL-terminated once set */
	size_t len, cap, max; /* bytes; max includes the NUL */
	int err;              /* first failure (-EFBIG, -ENOMEM), 0 if none */
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})

/** buf_add() - append @n bytes; @src must not point into @b. Return: 0 or the sticky error. */
int buf_add(struct buf *b, const void *src, size_t n);
int buf_addstr(struct buf *b, const char *s);
int buf_addch(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vaddf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/** buf_reserve() - room for @n more bytes at @b->data + @b->len; the caller then raises len. */
int buf_reserve(struct buf *b, size_t n);
/** buf_clear() - empty, keep the memory, clear the error. */
void buf_clear(struct buf *b);
/** buf_str() - the text, "" when empty; valid until @b changes. */
const char *buf_str(const struct buf *b);
/** buf_take() - move the text out (caller frees); NULL on a sticky error. Never NULL for an
 *  empty healthy buffer unless memory ran out. */
char *buf_take(struct buf *b);
static inline int buf_err(const struct buf *b)
{
	return b->err;
}
/** buf_done() - release; safe twice. */
void buf_done(struct buf *b);
#define auto_buf __attribute__((cleanup(buf_done)))

/* A cursor over untrusted bytes that cannot leave them. All return false at the end. */
struct cursor {
	const uint8_t *p;
	size_t left;
};
_Bool cursor_le16(struct cursor *c, uint16_t *ret);
_Bool cursor_le32(struct cursor *c, uint32_t *ret);
_Bool cursor_le64(struct cursor *c, uint64_t *ret);
_Bool cursor_be16(struct cursor *c, uint16_t *ret);
_Bool cursor_be32(struct cursor *c, uint32_t *ret);
_Bool cursor_be64(struct cursor *c, uint64_t *ret);
_Bool cursor_bytes(struct cursor *c, void *dst, size_t n);
_Bool cursor_skip(struct cursor *c, size_t n);
/* Stores for building binary records; @p has room. */
void put_le16(uint8_t *p, uint16_t v);
void put_le32(uint8_t *p, uint32_t v);
void put_le64(uint8_t *p, uint64_t v);
void put_be32(uint8_t *p, uint32_t v);
void put_be64(uint8_t *p, uint64_t v);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict parser of RFC 8259. Not jansson's: that one loses bytes of long strings when memory runs
 * out, and passes over a NUL byte behind a number; a path or digest read so would be another one.
 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

struct parser {
	const unsigned char *text, *p, *end;
	struct err *err;
	unsigned depth;
	struct buf token; /* of a string or number */
};

static int mistake(const struct parser *s, const unsigned char *at, const char *what)
{
	size_t line = 1, column = 1;

	for (const unsigned char *p = s->text; p < at; p++) {
		column++;
		if (*p == '\n') {
			line++;
			column = 1;
		}
	}
	return err_set(s->err, -EINVAL, "line %zu column %zu: %s", line, column, what);
}

static int no_memory(const struct parser *s)
{
	return err_set(s->err, -ENOMEM, "out of memory while reading JSON");
}

/* The next byte, or -1 at the end. */
static int peek(const struct parser *s)
{
	return s->p < s->end ? *s->p : -1;
}

static bool skip(struct parser *s, char c)
{
	if (peek(s) != (unsigned char) c)
		return false;
	s->p++;
	return true;
}

static int peek_word(struct parser *s)
{
	while (s->p < s->end && *s->p <= ' ' &&
	       (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
	return peek(s);
}

static bool take_hex(struct parser *s, uint32_t *ret)
{
	*ret = 0;
	for (unsigned i = 0; i < 4; i++) {
		int c = peek(s);

		if (c >= '0' && c <= '9')
			c -= '0';
		else if (c >= 'a' && c <= 'f')
			c -= 'a' - 10;
		else if (c >= 'A' && c <= 'F')
			c -= 'A' - 10;
		else
			return false;
		*ret = *ret << 4 | (uint32_t) c;
		s->p++;
	}
	return true;
}

/* Behind "\u". @at: the backslash. */
static int take_code(struct parser *s, const unsigned char *at)
{
	uint32_t c, low;
	char out[4];
	size_t n = 0;

	if (!take_hex(s, &c))
		return mistake(s, at, "four hex digits are expected after \\u");
	if (c == 0)
		return mistake(s, at, "\\u0000 is not accepted");
	if (c >= 0xd800 && c < 0xe000) {
		if (c >= 0xdc00 || !skip(s, '\\') || !skip(s, 'u') || !take_hex(s, &low) ||
		    low < 0xdc00 || low >= 0xe000)
			return mistake(s, at, "half of a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	if (c < 0x80) {
		out[n++] = (char) c;
	} else if (c < 0x800) {
		out[n++] = (char) (0xc0 | c >> 6);
	} else if (c < 0x10000) {
		out[n++] = (char) (0xe0 | c >> 12);
		out[n++] = (char) (0x80 | (c >> 6 & 0x3f));
	} else {
		out[n++] = (char) (0xf0 | c >> 18);
		out[n++] = (char) (0x80 | (c >> 12 & 0x3f));
		out[n++] = (char) (0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		out[n++] = (char) (0x80 | (c & 0x3f));
	return buf_add(&s->token, out, n) < 0 ? no_memory(s) : 0;
}

static int take_escape(struct parser *s)
{
	static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const unsigned char *at = s->p++;
	const char *l = peek(s) > 0 ? strchr(letters, peek(s)) : NULL;

	if (skip(s, 'u'))
		return take_code(s, at);
	if (!l)
		return mistake(s, at, "unknown escape in a string");
	s->p++;
	return buf_addch(&s->token, bytes[l - letters]) < 0 ? no_memory(s) : 0;
}

/* Bytes that a string may hold as they are and that are characters by themselves. */
static bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The rest of a string that is more than plain bytes, into the token; *@s is behind its opening
 * quote. */
static int take_token(struct parser *s, const unsigned char *start)
{
	buf_clear(&s->token);
	while (!skip(s, '"')) {
		const unsigned char *run = s->p;
		size_t n;
		int r;

		while (s->p < s->end && plain(*s->p))
			s->p++;
		if (s->p > run && buf_add(&s->token, run, (size_t) (s->p - run)) < 0)
			return no_memory(s);
		if (s->p == s->end)
			return mistake(s, start, "this string does not end");
		if (*s->p == '"')
			continue;
		n = utf8_seq(s->p, (size_t) (s->end - s->p));
		if (n == 0)
			return mistake(s, s->p, "this byte is not UTF-8");
		if (*s->p < 0x20)
			return mistake(s, s->p, "control characters in strings must be escaped");
		if (*s->p == '\\') {
			r = take_escape(s);
			if (r < 0)
				return r;
			continue;
		}
		if (buf_add(&s->token, s->p, n) < 0)
			return no_memory(s);
		s->p += n;
	}
	return 0;
}

/* A string's bytes: in the text itself where they are plain, else in the token, where they stay to
 * the next string. */
static int take_string(struct parser *s, const char **ret, size_t *ret_n)
{
	const unsigned char *start = s->p++, *p = s->p;
	int r;

	while (p < s->end && plain(*p))
		p++;
	if (p < s->end && *p == '"') {
		*ret = (const char *) s->p;
		*ret_n = (size_t) (p - s->p);
		s->p = p + 1;
		return 0;
	}
	r = take_token(s, start);
	*ret = buf_str(&s->token);
	*ret_n = s->token.len;
	return r;
}

static int parse_string(struct parser *s, json_t **ret)
{
	const char *text;
	size_t n;
	int r = take_string(s, &text, &n);

	if (r < 0)
		return r;
	*ret = json_stringn_nocheck(text, n);
	return *ret ? 0 : no_memory(s);
}

/* Moves past digits. Return: how many. */
static size_t digits(struct parser *s)
{
	const unsigned char *start = s->p;

	while (peek(s) >= '0' && peek(s) <= '9')
		s->p++;
	return (size_t) (s->p - start);
}

static int make_real(struct parser *s, const unsigned char *start, json_t **ret)
{
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t) 0); /* no locale's decimal comma */
	double v;

	buf_clear(&s->token);
	if (!c || buf_add(&s->token, start, (size_t) (s->p - start)) < 0) {
		if (c)
			freelocale(c);
		return no_memory(s);
	}
	v = strtod_l(buf_str(&s->token), NULL, c);
	freelocale(c);
	if (!isfinite(v))
		return mistake(s, start, "this number is too big");
	*ret = json_real(v);
	return *ret ? 0 : no_memory(s);
}

static int parse_number(struct parser *s, json_t **ret)
{
	const unsigned char *start = s->p, *first;
	bool minus = skip(s, '-'), real = false;
	int64_t v = 0;

	first = s->p;
	if (!skip(s, '0') && digits(s) == 0)
		return mistake(s, s->p, "a digit is expected");
	if (*first == '0' && digits(s) > 0)
		return mistake(s, start, "a number must not begin with 0");
	if (skip(s, '.')) {
		real = true;
		if (digits(s) == 0)
			return mistake(s, s->p, "a digit is expected");
	}
	if (skip(s, 'e') || skip(s, 'E')) {
		real = true;
		if (!skip(s, '-'))
			(void) skip(s, '+');
		if (digits(s) == 0)
			return mistake(s, s->p, "a digit is expected");
	}
	if (real)
		return make_real(s, start, ret);
	for (const unsigned char *p = first; p < s->p; p++) {
		int64_t digit = minus ? '0' - *p : *p - '0';

		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			return mistake(s, start, "this integer is over 64 bits");
	}
	*ret = json_integer(v);
	return *ret ? 0 : no_memory(s);
}

static int parse_value(struct parser *s, json_t **ret);

static int parse_array(struct parser *s, json_t *array)
{
	s->p++;
	if (peek_word(s) == ']') {
		s->p++;
		return 0;
	}
	for (;;) {
		json_t *value = NULL;
		int r = parse_value(s, &value);

		if (r < 0)
			return r;
		if (json_array_append_new(array, value) < 0)
			return no_memory(s);
		(void) peek_word(s);
		if (skip(s, ']'))
			return 0;
		if (!skip(s, ','))
			return mistake(s, s->p, "\",\" or \"]\" is expected");
	}
}

static int parse_member(struct parser *s, json_t *object)
{
	auto_free char *copy = NULL;
	const unsigned char *at;
	const char *key = NULL;
	json_t *value = NULL;
	size_t n = 0;
	int r;

	if (peek_word(s) != '"')
		return mistake(s, s->p, "the name of a member is expected, in quotes");
	at = s->p;
	r = take_string(s, &key, &n);
	if (r < 0)
		return r;
	if (json_object_getn(object, key, n))
		return mistake(s, at, "this name is there twice");
	if (key == s->token.data) { /* the value's strings go there too */
		copy = strndup(key, n);
		if (!copy)
			return no_memory(s);
		key = copy;
	}
	(void) peek_word(s);
	if (!skip(s, ':'))
		return mistake(s, s->p, "\":\" is expected");
	r = parse_value(s, &value);
	if (r == 0 && json_object_setn_new_nocheck(object, key, n, value) < 0)
		r = no_memory(s);
	return r;
}

static int parse_object(struct parser *s, json_t *object)
{
	s->p++;
	if (peek_word(s) == '}') {
		s->p++;
		return 0;
	}
	for (;;) {
		int r = parse_member(s, object);

		if (r < 0)
			return r;
		(void) peek_word(s);
		if (skip(s, '}'))
			return 0;
		if (!skip(s, ','))
			return mistake(s, s->p, "\",\" or \"}\" is expected");
	}
}

static int parse_container(struct parser *s, json_t **ret)
{
	bool object = peek(s) == '{';
	auto_json json_t *j = NULL;
	char what[64];
	int r;

	if (s->depth >= JSON_MAX_DEPTH) {
		(void) snprintf(what, sizeof(what), "nested deeper than %d levels", JSON_MAX_DEPTH);
		return mistake(s, s->p, what);
	}
	j = object ? json_object() : json_array();
	if (!j)
		return no_memory(s);
	s->depth++;
	r = object ? parse_object(s, j) : parse_array(s, j);
	s->depth--;
	if (r == 0)
		*ret = take_ptr(j);
	return r;
}

static int parse_value(struct parser *s, json_t **ret)
{
	static const struct {
		const char *word;
		json_t *(*make)(void);
	} words[] = {{"true", json_true}, {"false", json_false}, {"null", json_null}};
	int c = peek_word(s);

	if (c == '{' || c == '[')
		return parse_container(s, ret);
	if (c == '"')
		return parse_string(s, ret);
	if (c == '-' || (c >= '0' && c <= '9'))
		return parse_number(s, ret);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i].word);

		if ((size_t) (s->end - s->p) >= n && memcmp(s->p, words[i].word, n) == 0) {
			s->p += n;
			*ret = words[i].make();
			return 0;
		}
	}
	return mistake(s, s->p,
		       c < 0 ? "the text ends, a value is expected" : "a value is expected");
}

int json_parse(const char *text, size_t n, json_t **ret, struct err *err)
{
	struct parser s = {.err = err, .token = BUF_INIT(JSON_MAX_BYTES + 1)};
	auto_json json_t *j = NULL;
	int r;

	if (n > JSON_MAX_BYTES)
		return err_set(err, -EFBIG, "JSON text of %zu bytes, at most %u are accepted", n,
			       JSON_MAX_BYTES);
	if (n == 0)
		return err_set(err, -EINVAL, "line 1 column 1: empty, JSON expected");
	s.text = s.p = (const unsigned char *) text;
	s.end = s.text + n;
	r = parse_value(&s, &j);
	if (r == 0 && peek_word(&s) >= 0)
		r = mistake(&s, s.p, "more text behind the end of the document");
	buf_done(&s.token);
	if (r == 0)
		*ret = take_ptr(j);
	return r;
}

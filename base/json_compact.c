/* SPDX-License-Identifier: Apache-2.0 */
/* One line of JSON. Every answer of the API goes through here, so it does no more than it must:
 * jansson's own writer hands over its text piece by piece and looks at each character thrice. */
#include "base/json.h"

#include <math.h>

#include "base/mem.h"

#define FIRST_BYTES 2048 /* most documents fit */

static int write_escape(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";
	const char text[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
	static const struct {
		unsigned char c;
		char as;
	} known[] = {{'"', '"'},  {'\\', '\\'}, {'\b', 'b'}, {'\f', 'f'},
		     {'\n', 'n'}, {'\r', 'r'},  {'\t', 't'}};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].c == c)
			return buf_add(b, (const char[]){'\\', known[i].as}, 2);
	return buf_add(b, text, sizeof(text));
}

/* jansson's strings are UTF-8 already. */
static int write_string(struct buf *b, const char *s, size_t n)
{
	size_t from = 0;

	(void) buf_addch(b, '"');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char) s[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		(void) buf_add(b, s + from, i - from);
		(void) write_escape(b, c);
		from = i + 1;
	}
	(void) buf_add(b, s + from, n - from);
	return buf_addch(b, '"');
}

static int write_integer(struct buf *b, int64_t v)
{
	uint64_t u = v < 0 ? -(uint64_t) v : (uint64_t) v;
	char text[24];
	size_t at = sizeof(text);

	do
		text[--at] = (char) ('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		text[--at] = '-';
	return buf_add(b, text + at, sizeof(text) - at);
}

/* A real stays one when it is read again. */
static int write_real(struct buf *b, double v)
{
	char text[40];

	if (!isfinite(v))
		return -EINVAL;
	(void) snprintf(text, sizeof(text), "%.17g", v);
	(void) buf_addstr(b, text);
	return strpbrk(text, ".eE") ? buf_err(b) : buf_addstr(b, ".0");
}

static int write_value(struct buf *b, json_t *j, unsigned depth);

static int write_array(struct buf *b, json_t *j, unsigned depth)
{
	int r = buf_addch(b, '[');

	for (size_t i = 0; i < json_array_size(j) && r >= 0; i++) {
		if (i > 0)
			(void) buf_addch(b, ',');
		r = write_value(b, json_array_get(j, i), depth);
	}
	return r < 0 ? r : buf_addch(b, ']');
}

static int write_object(struct buf *b, json_t *j, unsigned depth)
{
	int r = buf_addch(b, '{');
	bool more = false;

	for (void *it = json_object_iter(j); it && r >= 0; it = json_object_iter_next(j, it)) {
		if (more)
			(void) buf_addch(b, ',');
		more = true;
		(void) write_string(b, json_object_iter_key(it), json_object_iter_key_len(it));
		(void) buf_addch(b, ':');
		r = write_value(b, json_object_iter_value(it), depth);
	}
	return r < 0 ? r : buf_addch(b, '}');
}

static int write_value(struct buf *b, json_t *j, unsigned depth)
{
	if (!j || depth == 0)
		return -EINVAL;
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return write_object(b, j, depth - 1);
	case JSON_ARRAY:
		return write_array(b, j, depth - 1);
	case JSON_STRING:
		return write_string(b, json_string_value(j), json_string_length(j));
	case JSON_INTEGER:
		return write_integer(b, json_integer_value(j));
	case JSON_REAL:
		return write_real(b, json_real_value(j));
	case JSON_TRUE:
		return buf_addstr(b, "true");
	case JSON_FALSE:
		return buf_addstr(b, "false");
	case JSON_NULL:
		return buf_addstr(b, "null");
	}
	return -EINVAL;
}

char *json_compact(const json_t *j)
{
	auto_buf struct buf b = BUF_INIT(SIZE_MAX / 4);

	if (buf_reserve(&b, FIRST_BYTES) < 0 ||
	    write_value(&b, (json_t *) (uintptr_t) j, JSON_WRITE_DEPTH) < 0)
		return NULL;
	return buf_take(&b);
}

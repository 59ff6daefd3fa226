/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define CANONICAL_MAX_DEPTH 256 /* documents that we made ourselves may pass JSON_MAX_DEPTH */

struct member {
	const char *key;
	size_t n;
	const json_t *value;
};

static int by_key(const void *x, const void *y)
{
	const struct member *a = x, *b = y;
	int r = memcmp(a->key, b->key, a->n < b->n ? a->n : b->n);

	return r != 0 ? r : (a->n > b->n) - (a->n < b->n);
}

static void add_string(const char *s, size_t n, struct buf *out)
{
	static const char shorts[] = "\b\f\n\r\t\"\\";
	static const char letters[] = "bfnrt\"\\";

	(void) buf_addch(out, '"');
	for (size_t i = 0; i < n; i++) {
		const char *p = s[i] ? strchr(shorts, s[i]) : NULL;

		if (p)
			(void) buf_addf(out, "\\%c", letters[p - shorts]);
		else if ((unsigned char) s[i] < 0x20)
			(void) buf_addf(out, "\\u%04x", (unsigned) s[i]);
		else
			(void) buf_addch(out, s[i]);
	}
	(void) buf_addch(out, '"');
}

static void add_real(const json_t *j, struct buf *out)
{
	char text[64]; /* jansson writes no locale's decimal comma, and ".0" where needed */
	size_t n = json_dumpb(j, text, sizeof(text), JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));

	if (n == 0 || n > sizeof(text))
		out->err = out->err < 0 ? out->err : -ENOMEM;
	else
		(void) buf_add(out, text, n);
}

static void add_value(const json_t *j, struct buf *out, unsigned depth);

static void add_object(const json_t *j, struct buf *out, unsigned depth)
{
	json_t *obj = (json_t *) (uintptr_t) j;
	size_t n = json_object_size(j), i = 0;
	auto_free struct member *v = calloc(n + 1, sizeof(*v));

	if (!v) {
		out->err = out->err < 0 ? out->err : -ENOMEM;
		return;
	}
	for (void *it = json_object_iter(obj); it && i < n; it = json_object_iter_next(obj, it))
		v[i++] = (struct member){json_object_iter_key(it), json_object_iter_key_len(it),
					 json_object_iter_value(it)};
	qsort(v, n, sizeof(*v), by_key);
	(void) buf_addch(out, '{');
	for (i = 0; i < n; i++) {
		if (i > 0)
			(void) buf_addch(out, ',');
		add_string(v[i].key, v[i].n, out);
		(void) buf_addch(out, ':');
		add_value(v[i].value, out, depth + 1);
	}
	(void) buf_addch(out, '}');
}

static void add_value(const json_t *j, struct buf *out, unsigned depth)
{
	if (buf_err(out) < 0)
		return;
	if (!j || depth > CANONICAL_MAX_DEPTH) {
		out->err = j ? -ELOOP : -EINVAL;
		return;
	}
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		add_object(j, out, depth);
		break;
	case JSON_ARRAY:
		(void) buf_addch(out, '[');
		for (size_t i = 0; i < json_array_size(j); i++) {
			if (i > 0)
				(void) buf_addch(out, ',');
			add_value(json_array_get(j, i), out, depth + 1);
		}
		(void) buf_addch(out, ']');
		break;
	case JSON_STRING:
		add_string(json_string_value(j), json_string_length(j), out);
		break;
	case JSON_INTEGER:
		(void) buf_addf(out, "%" PRId64, (int64_t) json_integer_value(j));
		break;
	case JSON_REAL:
		add_real(j, out);
		break;
	case JSON_TRUE:
		(void) buf_addstr(out, "true");
		break;
	case JSON_FALSE:
		(void) buf_addstr(out, "false");
		break;
	case JSON_NULL:
		(void) buf_addstr(out, "null");
		break;
	}
}

int json_canonical(const json_t *j, struct buf *out)
{
	add_value(j, out, 0);
	return buf_err(out);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"

int json_read_file(const char *path, json_t **ret, struct err *err)
{
	auto_buf struct buf text = BUF_INIT(JSON_MAX_BYTES + 1);
	int r = file_read_all(path, &text, err);

	if (r < 0)
		return r;
	r = json_parse(buf_str(&text), text.len, ret, err);
	if (r < 0) {
		err_target(err, "%s", path);
		return err_ctx(err, r, "%s", path);
	}
	return 0;
}

static int dump_piece(const char *s, size_t n, void *arg)
{
	return buf_add(arg, s, n) < 0 ? -1 : 0;
}

/* Not json_dumps(): it goes on when memory runs out inside a key and returns text with a hole. The
 * buffer's error is sticky, so it is not missed here. */
char *json_pretty(const json_t *j)
{
	auto_buf struct buf b = BUF_INIT(SIZE_MAX / 4);

	if (json_dump_callback(j, dump_piece, &b, JSON_INDENT(2) | JSON_ENCODE_ANY) < 0)
		return NULL;
	return buf_take(&b);
}

/* One step of a path; *@path moves to the next component or becomes NULL. */
static json_t *step(const json_t *j, const char **path, const char **ret_key, size_t *ret_n)
{
	const char *key = *path, *dot = strchr(key, '.');
	size_t n = dot ? (size_t) (dot - key) : strlen(key);

	*path = dot ? dot + 1 : NULL;
	*ret_key = key;
	*ret_n = n;
	if (json_is_object(j))
		return json_object_getn(j, key, n);
	if (json_is_array(j) && n > 0 && n < 10) {
		size_t i = 0;

		for (size_t k = 0; k < n; k++) {
			if (key[k] < '0' || key[k] > '9')
				return NULL;
			i = i * 10 + (size_t) (key[k] - '0');
		}
		return json_array_get(j, i);
	}
	return NULL;
}

json_t *json_at(const json_t *j, const char *path)
{
	const char *key;
	size_t n;

	if (!*path)
		path = NULL;
	while (j && path)
		j = step(j, &path, &key, &n);
	return (json_t *) (uintptr_t) j; /* jansson's getters drop const likewise */
}

const char *json_str_at(const json_t *j, const char *path)
{
	return json_string_value(json_at(j, path));
}

bool json_bool_at(const json_t *j, const char *path, bool dflt)
{
	const json_t *v = json_at(j, path);

	return json_is_boolean(v) ? json_is_true(v) : dflt;
}

int64_t json_int_at(const json_t *j, const char *path, int64_t dflt)
{
	const json_t *v = json_at(j, path);

	return json_is_integer(v) ? json_integer_value(v) : dflt;
}

json_t *json_get_nocase(const json_t *obj, const char *key)
{
	void *it = json_object_iter((json_t *) (uintptr_t) obj);

	for (; it; it = json_object_iter_next((json_t *) (uintptr_t) obj, it))
		if (str_eq_nocase(json_object_iter_key(it), key))
			return json_object_iter_value(it);
	return NULL;
}

/* Puts @value (stolen) at the one component @key of @at. */
static int put(json_t *at, const char *key, size_t n, json_t *value)
{
	if (json_is_object(at))
		return json_object_setn_new(at, key, n, value) < 0 ? -ENOMEM : 0;
	for (size_t i = 0; json_is_array(at) && i <= json_array_size(at); i++) {
		char digits[24];

		(void) snprintf(digits, sizeof(digits), "%zu", i);
		if (strlen(digits) != n || memcmp(digits, key, n) != 0)
			continue;
		if (i < json_array_size(at))
			return json_array_set_new(at, i, value) < 0 ? -ENOMEM : 0;
		return json_array_append_new(at, value) < 0 ? -ENOMEM : 0;
	}
	json_decref(value);
	return -EINVAL;
}

int json_set_at(json_t *obj, const char *path, json_t *value)
{
	json_t *at = obj;

	if (!value)
		return -ENOMEM; /* a builder that failed */
	for (;;) {
		const char *key;
		size_t n;
		json_t *next = step(at, &path, &key, &n);
		int r;

		if (!path)
			return put(at, key, n, value);
		if (!next) {
			next = json_object();
			r = next ? put(at, key, n, next) : -ENOMEM;
			if (r < 0) {
				json_decref(value);
				return r;
			}
		}
		at = next;
	}
}

int json_merge_patch(json_t *target, const json_t *patch)
{
	json_t *from = (json_t *) (uintptr_t) patch;

	if (!json_is_object(target) || !json_is_object(patch))
		return -EINVAL;
	for (void *it = json_object_iter(from); it; it = json_object_iter_next(from, it)) {
		const char *key = json_object_iter_key(it);
		json_t *value = json_object_iter_value(it);
		json_t *old = json_object_get(target, key);
		int r;

		if (json_is_null(value)) {
			(void) json_object_del(target, key); /* absent is fine */
			continue;
		}
		if (!json_is_object(value)) {
			if (json_object_set_new(target, key, json_deep_copy(value)) < 0)
				return -ENOMEM;
			continue;
		}
		if (!json_is_object(old)) {
			/* The patch's nulls must not stay as values, so no plain copy. */
			old = json_object();
			if (json_object_set_new(target, key, old) < 0)
				return -ENOMEM;
		}
		r = json_merge_patch(old, value);
		if (r < 0)
			return r;
	}
	return 0;
}

json_t *json_text(const char *s, size_t n)
{
	static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
	auto_buf struct buf b = BUF_INIT(SIZE_MAX / 4);
	json_t *j;

	for (size_t i = 0; i < n;) {
		size_t seq = utf8_seq((const unsigned char *) s + i, n - i);

		if (seq == 0 || s[i] == '\0')
			(void) buf_add(&b, replacement, sizeof(replacement) - 1);
		else
			(void) buf_add(&b, s + i, seq);
		i += seq > 0 ? seq : 1;
	}
	if (buf_err(&b) < 0)
		return NULL;
	j = json_stringn(buf_str(&b), b.len);
	return j;
}

json_t *json_strf(const char *fmt, ...)
{
	auto_free char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	s = vstrf(fmt, ap);
	va_end(ap);
	return s ? json_text(s, strlen(s)) : NULL;
}

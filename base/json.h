/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON on jansson: bounded strict parsing, canonical output, path access.
 * Include this instead of <jansson.h>.
 */
#ifndef KILN_BASE_JSON_H
#define KILN_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_MAX_DEPTH 64
#define JSON_MAX_BYTES (4u << 20)

/* Owned reference, released at the end of the scope by jansson's own helper. */
#define auto_json __attribute__((cleanup(json_decrefp)))

/**
 * json_parse() - parse untrusted text
 *
 * Refuses duplicate keys, NUL characters, trailing bytes, nesting over JSON_MAX_DEPTH, invalid
 * UTF-8, integers over 64 bits and more than JSON_MAX_BYTES. Any JSON value may be the whole text.
 * The message names line and column.
 * Return: 0, -EINVAL, -EFBIG, -ENOMEM. *@ret is a new reference, set only on success.
 */
int json_parse(const char *text, size_t n, json_t **ret, struct err *err);

/** json_read_file() - json_parse() of a regular file; errors name the path. */
int json_read_file(const char *path, json_t **ret, struct err *err);

/**
 * json_canonical() - the canonical text of a document, appended to @out
 *
 * Keys sorted by bytes, no white space, integers only in shortest form (a real is written with
 * 17 significant digits), strings escaped as little as JSON allows. Equal documents give equal
 * bytes. Return: 0 or the buffer's sticky error (-ELOOP: nested over 256 levels).
 */
int json_canonical(const json_t *j, struct buf *out);

/** json_pretty() - two-space indented text with insertion order kept; caller frees; NULL on ENOMEM.
 */
char *json_pretty(const json_t *j);
/** json_compact() - one line; caller frees; NULL on ENOMEM and when nested over JSON_WRITE_DEPTH.
 */
#define JSON_WRITE_DEPTH 512
char *json_compact(const json_t *j);

/* Path access: "properties.source.type"; borrowed results, NULL when a member is missing or
 * has another type. Array elements: "a.0.b". */
json_t *json_at(const json_t *j, const char *path);
const char *json_str_at(const json_t *j, const char *path);
bool json_bool_at(const json_t *j, const char *path, bool dflt);
int64_t json_int_at(const json_t *j, const char *path, int64_t dflt);

/** json_get_nocase() - member whose key equals @key without ASCII case; borrowed or NULL. */
json_t *json_get_nocase(const json_t *obj, const char *key);

/** json_set_at() - steal @value into the path, making objects on the way. An array's element is
 *  replaced, the one after its last is appended. A NULL @value counts as -ENOMEM.
 *  Return 0, -ENOMEM, or -EINVAL when something on the way is no object or has no such element. */
int json_set_at(json_t *obj, const char *path, json_t *value);

/** json_merge_patch() - RFC 7396: apply @patch to @target in place; both objects, else -EINVAL.
 *  Return 0 or -ENOMEM (@target is then half patched: work on a copy). */
int json_merge_patch(json_t *target, const json_t *patch);

/* Builders that survive ENOMEM by returning NULL. Bytes that are no UTF-8 (and NUL) become U+FFFD,
 * so output of foreign programs can be reported. */
json_t *json_text(const char *s, size_t n);
json_t *json_strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif

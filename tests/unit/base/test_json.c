/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "support/fault.h"
#include "support/tmp.h"

/* Canonical text of what was parsed, or NULL; the caller frees. */
static char *reparsed(const char *text)
{
	auto_buf struct buf b = BUF_INIT(1u << 20);
	auto_json json_t *j = NULL;

	if (json_parse(text, strlen(text), &j, NULL) < 0 || json_canonical(j, &b) < 0)
		return NULL;
	return buf_take(&b);
}

static void assert_canonical(const char *text, const char *want)
{
	auto_free char *got = reparsed(text);

	assert_non_null(got);
	assert_string_equal(got, want);
}

static int parse_bytes(const char *text, size_t n, struct err *err)
{
	auto_json json_t *j = NULL;
	int r = json_parse(text, n, &j, err);

	assert_true((r == 0) == (j != NULL));
	return r;
}

static int parse(const char *text)
{
	return parse_bytes(text, strlen(text), NULL);
}

static void nested(char *dst, size_t depth, const char *open, const char *close)
{
	size_t n = strlen(open), m = strlen(close);

	for (size_t i = 0; i < depth; i++) {
		memcpy(dst + i * n, open, n);
		memcpy(dst + depth * n + 1 + i * m, close, m);
	}
	dst[depth * n] = '1';
	dst[depth * (n + m) + 1] = '\0';
}

static void depth_64_and_65(void **state)
{
	auto_err struct err e = ERR_INIT;
	char text[2000];

	nested(text, 64, "[", "]");
	assert_int_equal(parse(text), 0);
	nested(text, 65, "[", "]");
	assert_int_equal(parse_bytes(text, strlen(text), &e), -EINVAL);
	assert_non_null(strstr(e.msg, "line 1 column 65: nested deeper than 64"));
	nested(text, 64, "{\"k\":", "}");
	assert_int_equal(parse(text), 0);
	nested(text, 65, "{\"k\":", "}");
	assert_int_equal(parse(text), -EINVAL);
	/* Brackets in strings do not nest, escaped quotes do not end a string. */
	memset(text, '[', 200);
	text[0] = text[198] = '"';
	text[100] = '\\';
	text[101] = '"';
	text[199] = '\0';
	assert_int_equal(parse(text), 0);
	/* Neighbours do not add up. */
	(void) snprintf(text, sizeof(text), "[");
	for (size_t i = 1; i < 400; i += 5)
		memcpy(text + i, "[],1,", 6);
	memcpy(text + 401, "1]", 3);
	assert_int_equal(parse(text), 0);
}

/* A hostile text that would make a recursive parser run out of stack. */
static void deep_garbage(void **state)
{
	size_t n = JSON_MAX_BYTES;
	auto_free char *text = malloc(n);

	assert_non_null(text);
	memset(text, '[', n);
	assert_int_equal(parse_bytes(text, n, NULL), -EINVAL);
	text[0] = '"'; /* a string that never ends */
	assert_int_equal(parse_bytes(text, n, NULL), -EINVAL);
}

static void size_limit(void **state)
{
	size_t n = JSON_MAX_BYTES + 1;
	auto_free char *text = malloc(n);

	assert_non_null(text);
	memset(text, ' ', n);
	text[0] = '1';
	assert_int_equal(parse_bytes(text, JSON_MAX_BYTES, NULL), 0);
	assert_int_equal(parse_bytes(text, JSON_MAX_BYTES + 1, NULL), -EFBIG);
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{\"a\":1,\"a\":1}",
		"{\"x\":{\"a\":1,\"b\":2,\"a\":3}}",
		"\"\\u0000\"",
		"{\"a\\u0000b\":1}",
		"1 2",
		"{}}",
		"[] x",
		"[1,]",
		"{\"a\":1,}",
		"[1",
		"nul",
		"'a'",
		"9223372036854775808",
		"-9223372036854775809",
		"1e999",
		"01",
		"+1",
		".5",
		"NaN",
		"\"\x01\"",
		"\"a\nb\"",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"\"\xed\xa0\x80\"",
		"\"\\ud800\"",
		"\xef\xbb\xbf{}",
		"/* */ 1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_err struct err e = ERR_INIT;

		if (parse_bytes(bad[i], strlen(bad[i]), &e) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(str_starts(e.msg, "line "));
	}
	assert_int_equal(parse_bytes("\"a\0b\"", 5, NULL), -EINVAL);
	assert_int_equal(parse_bytes("1\0", 2, NULL), -EINVAL);
	assert_int_equal(parse_bytes(NULL, 0, NULL), -EINVAL);
}

static void place_of_the_mistake(void **state)
{
	auto_err struct err e = ERR_INIT;
	const char *text = "{\n  \"a\": 1,\n  b\n}";

	assert_int_equal(parse_bytes(text, strlen(text), &e), -EINVAL);
	assert_true(str_starts(e.msg, "line 3 column 3"));
}

static void canonical_text(void **state)
{
	assert_canonical(" { \"b\" : [ 1 , 2.5 , true , false , null ] , \"a\" : { } } ",
			 "{\"a\":{},\"b\":[1,2.5,true,false,null]}");
	assert_canonical("{\"aa\":1,\"a\":2,\"B\":3,\"\xc3\xa4\":4,\"\":5}",
			 "{\"\":5,\"B\":3,\"a\":2,\"aa\":1,\"\xc3\xa4\":4}");
	assert_canonical("\"\\u0041\\/\\u00e4\\u001f\\b\\f\\n\\r\\t\\\"\\\\\\u007f\"",
			 "\"A/\xc3\xa4\\u001f\\b\\f\\n\\r\\t\\\"\\\\\x7f\"");
	assert_canonical("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"");
	assert_canonical("[9223372036854775807,-9223372036854775808,-0]",
			 "[9223372036854775807,-9223372036854775808,0]");
	assert_canonical("[1e2,1.0,-0.0,1e300]", "[100.0,1.0,-0.0,1.0000000000000001e300]");
	assert_canonical("\"\"", "\"\"");
}

/* Canonical text parses to the same document, whose canonical text it is. */
static void canonical_is_stable(void **state)
{
	static const char *const texts[] = {"0.1", "1e-7", "[123456789.123456789,5e-324]",
					    "{\"z\":[{\"y\":\"\\u0001\"}],\"a\":null}"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		auto_free char *once = reparsed(texts[i]);

		assert_non_null(once);
		assert_canonical(once, once);
	}
}

static void canonical_limits(void **state)
{
	auto_json json_t *top = json_array(), *self = json_string("x");
	auto_buf struct buf b = BUF_INIT(1u << 20), tiny = BUF_INIT(3);
	json_t *at = top;

	for (unsigned i = 0; i < 256; i++) {
		json_t *next = json_array();

		assert_int_equal(json_array_append_new(at, next), 0);
		at = next;
	}
	assert_int_equal(json_canonical(top, &b), 0);
	assert_int_equal(b.len, 2 * 257);
	assert_int_equal(json_array_append_new(at, json_null()), 0);
	buf_clear(&b);
	assert_int_equal(json_canonical(top, &b), -ELOOP);
	assert_int_equal(buf_err(&b), -ELOOP);
	assert_int_equal(json_canonical(self, &tiny), -EFBIG);
	buf_clear(&b);
	assert_int_equal(json_canonical(NULL, &b), -EINVAL);
	/* What was there stays in front. */
	buf_clear(&b);
	assert_int_equal(buf_addstr(&b, "x="), 0);
	assert_int_equal(json_canonical(self, &b), 0);
	assert_string_equal(buf_str(&b), "x=\"x\"");
}

static void printed(void **state)
{
	auto_json json_t *j = json_pack("{s:i, s:[s]}", "z", 1, "a", "b");
	auto_free char *pretty = json_pretty(j), *compact = json_compact(j);
	auto_free char *scalar = json_compact(json_null());

	assert_string_equal(pretty, "{\n  \"z\": 1,\n  \"a\": [\n    \"b\"\n  ]\n}");
	assert_string_equal(compact, "{\"z\":1,\"a\":[\"b\"]}");
	assert_string_equal(scalar, "null");
	assert_null(json_compact(NULL));
}

static void access_by_path(void **state)
{
	auto_json json_t *j = NULL;
	const char *text = "{\"a\":{\"b\":[{\"c\":\"x\"},7]},\"t\":true,\"n\":null,\"\":5}";

	assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
	assert_string_equal(json_str_at(j, "a.b.0.c"), "x");
	assert_int_equal(json_int_at(j, "a.b.1", -1), 7);
	assert_int_equal(json_int_at(j, "a.b.2", -1), -1);
	assert_int_equal(json_int_at(j, "a.b.x", -1), -1);
	assert_int_equal(json_int_at(j, "a.b.-1", -1), -1);
	assert_int_equal(json_int_at(j, "a.b.9999999999999999999", -1), -1);
	assert_int_equal(json_int_at(j, "t", -1), -1); /* another type */
	assert_null(json_str_at(j, "a.b"));
	assert_null(json_str_at(j, "a.b.0.c.d"));
	assert_null(json_str_at(NULL, "a"));
	assert_true(json_bool_at(j, "t", false));
	assert_true(json_bool_at(j, "n", true));
	assert_true(json_is_null(json_at(j, "n")));
	assert_null(json_at(j, "missing"));
	assert_null(json_at(j, "a..b"));
	assert_ptr_equal(json_at(j, ""), j);
	assert_int_equal(json_integer_value(json_get_nocase(j, "")), 5);
	assert_true(json_is_true(json_get_nocase(j, "T")));
	assert_null(json_get_nocase(j, "tt"));
	assert_null(json_get_nocase(NULL, "t"));
	assert_null(json_get_nocase(json_at(j, "t"), "t"));
}

static void set_by_path(void **state)
{
	auto_json json_t *j = json_object();
	auto_free char *text = NULL;

	assert_int_equal(json_set_at(j, "a.b.c", json_integer(1)), 0);
	assert_int_equal(json_set_at(j, "a.b.c", json_integer(2)), 0);
	assert_int_equal(json_set_at(j, "a.l", json_array()), 0);
	assert_int_equal(json_set_at(j, "a.l.0", json_integer(3)), 0);
	assert_int_equal(json_set_at(j, "a.l.1.x", json_integer(4)), 0);
	assert_int_equal(json_set_at(j, "a.l.0", json_integer(5)), 0);
	assert_int_equal(json_set_at(j, "a.l.3", json_integer(6)), -EINVAL);
	assert_int_equal(json_set_at(j, "a.l.x", json_integer(6)), -EINVAL);
	assert_int_equal(json_set_at(j, "a.b.c.d", json_integer(6)), -EINVAL);
	assert_int_equal(json_set_at(j, "q", NULL), -ENOMEM);
	text = json_compact(j);
	assert_string_equal(text, "{\"a\":{\"b\":{\"c\":2},\"l\":[5,{\"x\":4}]}}");
}

/* The examples of RFC 7396, appendix A, that have objects on both sides, and more. */
static void merge_patch(void **state)
{
	static const char *const rows[][3] = {
		{"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
		{"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
		{"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
		{"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		 "{\"a\":{\"b\":\"d\"}}"},
		{"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
		{"{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}"},
		{"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
		{"{\"a\":1}", "{}", "{\"a\":1}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *target = json_loads(rows[i][0], 0, NULL);
		auto_json json_t *patch = json_loads(rows[i][1], 0, NULL);
		auto_json json_t *want = json_loads(rows[i][2], 0, NULL);

		assert_int_equal(json_merge_patch(target, patch), 0);
		assert_true(json_equal(target, want));
	}
	assert_int_equal(json_merge_patch(json_null(), json_null()), -EINVAL);
}

/* What was patched in is a copy: changing it later leaves the patch alone. */
static void merge_patch_copies(void **state)
{
	auto_json json_t *target = json_object();
	auto_json json_t *patch = json_pack("{s:[i]}", "a", 1);

	assert_int_equal(json_merge_patch(target, patch), 0);
	assert_int_equal(json_set_at(target, "a.0", json_integer(2)), 0);
	assert_int_equal(json_int_at(patch, "a.0", 0), 1);
}

static void assert_text(const char *bytes, size_t n, const char *want)
{
	auto_json json_t *j = json_text(bytes, n);

	assert_string_equal(json_string_value(j), want);
}

static void text_of_foreign_bytes(void **state)
{
	auto_json json_t *j = json_strf("%s %d", "\xff", 5);

	assert_text("", 0, "");
	assert_text("a\0b", 3,
		    "a\xef\xbf\xbd"
		    "b");
	assert_text("\xc3\xa4", 2, "\xc3\xa4");
	assert_text("\xc3", 1, "\xef\xbf\xbd");
	assert_text("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_text("\xf4\x90\x80\x80", 1, "\xef\xbf\xbd");
	assert_text("\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf");
	assert_string_equal(json_string_value(j), "\xef\xbf\xbd 5");
}

static void read_from_a_file(void **state)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *j = NULL;
	const char *path = tmp_file(*state, "a.json", "{\"a\":1}");

	assert_int_equal(json_read_file(path, &j, NULL), 0);
	assert_int_equal(json_int_at(j, "a", 0), 1);
	path = tmp_file(*state, "bad.json", "{");
	assert_int_equal(json_read_file(path, &j, &e), -EINVAL);
	assert_true(str_starts(e.msg, path));
	assert_string_equal(e.target, path);
	assert_int_equal(json_read_file(tmp_path(*state, "none"), &j, NULL), -ENOENT);
	assert_int_equal(json_read_file(*state, &j, NULL), -EINVAL);
}

static int build_and_print(char **ret)
{
	static const char text[] =
		"{\"key that is longer than sixteen bytes\":\"and a value that is longer still\","
		"\"list\":[1,2.5,true,null,{\"k\":\"\\u00e4\"},[],[],[],[]],"
		"\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1}";
	auto_err struct err e = ERR_INIT;
	auto_buf struct buf b = BUF_INIT(4096);
	auto_json json_t *j = NULL;
	int r = json_parse(text, sizeof(text) - 1, &j, &e);

	if (r == 0)
		r = json_set_at(j, "x.y.z", json_strf("%s", "made"));
	if (r == 0)
		r = json_merge_patch(j, json_at(j, "x"));
	if (r == 0)
		r = json_canonical(j, &b);
	if (r == 0)
		*ret = buf_take(&b);
	return r == 0 && !*ret ? -ENOMEM : r;
}

static void no_memory(void **state)
{
	auto_free char *want = NULL;

	assert_int_equal(build_and_print(&want), 0);
	for (unsigned n = 1;; n++) {
		auto_free char *got = NULL;
		bool armed = true;
		int r;

		fault_alloc_nth(n, &armed);
		r = build_and_print(&got);
		fault_alloc_off();
		if (r != 0)
			assert_int_equal(r, -ENOMEM);
		else /* never a wrong document */
			assert_string_equal(got, want);
		if (armed) {
			assert_int_equal(r, 0);
			assert_true(n > 20);
			return;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(depth_64_and_65),
		cmocka_unit_test(deep_garbage),
		cmocka_unit_test(size_limit),
		cmocka_unit_test(refused),
		cmocka_unit_test(place_of_the_mistake),
		cmocka_unit_test(canonical_text),
		cmocka_unit_test(canonical_is_stable),
		cmocka_unit_test(canonical_limits),
		cmocka_unit_test(printed),
		cmocka_unit_test(access_by_path),
		cmocka_unit_test(set_by_path),
		cmocka_unit_test(merge_patch),
		cmocka_unit_test(merge_patch_copies),
		cmocka_unit_test(text_of_foreign_bytes),
		cmocka_unit_test_setup_teardown(read_from_a_file, tmp_dir_setup, tmp_dir_teardown),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "server/guard.h"

#define GET     "GET /a HTTP/1.1\r\nHost: x\r\n"
#define POST    "POST /a HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

struct sample {
	const char *bytes;
	size_t n;       /* 0 = strlen */
	uint64_t heads; /* complete ones, when it is fine */
};

static size_t length(const struct sample *s)
{
	return s->n ? s->n : strlen(s->bytes);
}

static const struct sample good[] = {
	{GET "\r\n", 0, 1},
	{"\r\n" GET "\r\n", 0, 1},
	{GET "\r\n" GET "\r\n", 0, 2},
	{"GET /a HTTP/1.0\r\n\r\n", 0, 1},
	{POST "Content-Length: 2\r\n\r\nab" GET "\r\n", 0, 2},
	{POST "Content-Length:0\r\n\r\n" GET "\r\n", 0, 2},
	{POST "Content-Length: 00002\r\n\r\n\r\n" GET "\r\n", 0, 2},
	{CHUNKED "2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n" GET "\r\n", 0, 2},
	{POST "TRANSFER-encoding: Chunked\r\n\r\n0\r\n\r\n" GET "\r\n", 0, 2},
	{GET "X-A: \xc3\xa4 \t b\r\nX-B:\r\nX-C:   \r\n\r\n", 0, 1},
	{"GET /a HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n", 0, 1},
	{"GET /a%2Fb?x=%00&y=1+2 HTTP/1.1\r\nHost: a.example:1\r\n\r\n", 0, 1},
	{"DELETE /a HTTP/1.1\r\nhost:x \r\n\r\n", 0, 1},
};

static const struct sample bad[] = {
	{POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"},
	{POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n"},
	{POST "Content-Length: 2\r\ncontent-length: 3\r\n\r\n"},
	{GET "Host: y\r\n\r\n"},
	{"GET /a HTTP/1.1\r\n\r\n"},
	{"GET /a HTTP/1.1\r\nHost:\r\n\r\n"},
	{"GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n"},
	{"GET /a HTTP/1.1\r\nHost: u@x\r\n\r\n"},
	{"GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n"},
	{"GET /a HTTP/1.1\r\nHost : x\r\n\r\n"},
	{POST "Content-Length : 2\r\n\r\n"},
	{POST "Transfer-Encoding\t: chunked\r\n\r\n"},
	{POST "Transfer-Encoding: gzip, chunked\r\n\r\n"},
	{POST "Transfer-Encoding: chunked, chunked\r\n\r\n"},
	{POST "Transfer-Encoding: xchunked\r\n\r\n"},
	{POST "Transfer-Encoding: \x0b"
	      "chunked\r\n\r\n"},
	{POST "Transfer-Encoding:\r\n\r\n"},
	{POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{POST "Transfer-Encoding: identity\r\n\r\n"},
	{POST "Transfer-Encoding:\r\n chunked\r\n\r\n"},
	{"GET /a HTTP/1.1\r\n Host: x\r\n\r\n"},
	{GET "X-A: b\r\n\tc\r\n\r\n"},
	{"GET /a HTTP/1.1\nHost: x\n\n"},
	{GET "X-A: b\nX-B: c\r\n\r\n"},
	{GET "X-A: b\rX-B: c\r\n\r\n"},
	{GET "\rX-B: c\r\n\r\n"},
	{GET "X\0A: b\r\n\r\n", sizeof(GET "X\0A: b\r\n\r\n") - 1},
	{GET "X-A: b\0c\r\n\r\n", sizeof(GET "X-A: b\0c\r\n\r\n") - 1},
	{POST "Transfer-Encoding: chunked\0x\r\n\r\n",
	 sizeof(POST "Transfer-Encoding: chunked\0x\r\n\r\n") - 1},
	{"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n",
	 sizeof("GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n") - 1},
	{GET "Blah\r\n\r\n"},
	{GET ": v\r\n\r\n"},
	{GET "X(A): v\r\n\r\n"},
	{GET "X-\xc3\xa4: v\r\n\r\n"},
	{GET "X-A: \x7f\r\n\r\n"},
	{POST "Content-Length: +2\r\n\r\n"},
	{POST "Content-Length: -2\r\n\r\n"},
	{POST "Content-Length: 2, 2\r\n\r\n"},
	{POST "Content-Length: 0x2\r\n\r\n"},
	{POST "Content-Length: 2 \r\n\r\n"},
	{POST "Content-Length: \r\n\r\n"},
	{POST "Content-Length: 2 2\r\n\r\n"},
	{POST "Content-Length: 99999999999999999999\r\n\r\n"},
	{CHUNKED "2;a=b\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "2;a\nb\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "2\nab\n0\n\n"},
	{CHUNKED "2 \r\nab\r\n0\r\n\r\n"},
	{CHUNKED " 2\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "0x2\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "+2\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "-1\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "000000002\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "10000000000000002\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "2\r\nabXX0\r\n\r\n"},
	{CHUNKED "2\r\nabc\r\n0\r\n\r\n"},
	{CHUNKED "\r\nab\r\n0\r\n\r\n"},
	{CHUNKED "0\r\nContent-Length: 3\r\n\r\n"},
	{CHUNKED "0\r\nX-A: 3\r\n\r\n"},
	{"POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"GET /a\r\n\r\n"},
	{"GET /a HTTP/1.2\r\nHost: x\r\n\r\n"},
	{"GET /a HTTP/2.0\r\nHost: x\r\n\r\n"},
	{"GET /a HTTP/1.1x\r\nHost: x\r\n\r\n"},
	{"GET /a http/1.1\r\nHost: x\r\n\r\n"},
	{"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"GET /a  HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"GET\t/a\tHTTP/1.1\r\nHost: x\r\n\r\n"},
	{"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"get /a HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"ABCDEFGHIJKLMNOPQ /a HTTP/1.1\r\nHost: x\r\n\r\n"},
	{"\r\n\r\n" GET "\r\n"},
	{"\n" GET "\r\n"},
	{" " GET "\r\n"},
	{"\x16\x03\x01"},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	{POST "Content-Length: 2\r\n\r\nabc" GET "\r\n"},
};

static void accepts(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct guard g;

		guard_init(&g);
		if (guard_feed(&g, good[i].bytes, length(&good[i])) != length(&good[i]))
			fail_msg("%s: %s", good[i].bytes, g.reason);
		assert_null(g.reason);
		assert_int_equal(g.heads, good[i].heads);
	}
}

static void refuses(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct guard g;

		guard_init(&g);
		if (guard_feed(&g, bad[i].bytes, length(&bad[i])) == length(&bad[i]) || !g.reason)
			fail_msg("accepted: %s", bad[i].bytes);
	}
}

/* However the bytes are cut, the verdict and its place are the same. */
static void pieces(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(bad) + ARRAY_SIZE(good); i++) {
		const struct sample *s = i < ARRAY_SIZE(bad) ? &bad[i] : &good[i - ARRAY_SIZE(bad)];
		struct guard whole, cut;
		size_t all, sum = 0;

		guard_init(&whole);
		guard_init(&cut);
		all = guard_feed(&whole, s->bytes, length(s));
		for (size_t k = 0; k < length(s) && !cut.reason; k++)
			sum += guard_feed(&cut, s->bytes + k, 1);
		assert_int_equal(sum, all);
		assert_ptr_equal(whole.reason, cut.reason);
		assert_int_equal(whole.heads, cut.heads);
	}
}

/* What goes on to libmicrohttpd after a wrong byte ends no head and fits its buffer. */
static void filter(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct guard g;
		char text[512], tight[512];
		size_t n = length(&bad[i]), ok, out;

		assert_true(n < 256);
		guard_init(&g);
		ok = guard_feed(&g, bad[i].bytes, n);
		guard_init(&g);
		memcpy(text, bad[i].bytes, n);
		out = guard_filter(&g, text, n, sizeof(text));
		assert_non_null(g.reason);
		assert_memory_equal(text, bad[i].bytes, ok);
		assert_true(out > ok && out <= ok + 8);
		assert_null(memmem(text + ok, out - ok, "\r\n\r\n", 4));
		assert_int_equal(guard_filter(&g, text, 1, sizeof(text)), 0);

		guard_init(&g);
		memcpy(tight, bad[i].bytes, n);
		out = guard_filter(&g, tight, n, n);
		assert_true(out <= n);
		while (out < sizeof(tight)) {
			size_t more = guard_filter(&g, tight + out, 1, 2);

			assert_true(more <= 2);
			if (more == 0)
				break;
			out += more;
		}
		assert_memory_equal(text, tight, out);
	}
}

static void targets(void **state)
{
	static const char *const fine[] = {"/", "/a/b%20c?x=%2F%00", "/subscriptions/1"};
	static const char *const wrong[] = {"",       "*",      "a:443", "http://x/", "/a%2Fb",
					    "/a%2fb", "/a%00b", "/a\\b", "/a%5cb"};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		assert_null(guard_target(fine[i]));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_non_null(guard_target(wrong[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts), cmocka_unit_test(refuses), cmocka_unit_test(pieces),
		cmocka_unit_test(filter),  cmocka_unit_test(targets),
	};

	return cmocka_run_group_tests_name("server/guard", tests, NULL, NULL);
}

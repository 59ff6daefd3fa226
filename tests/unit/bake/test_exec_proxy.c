/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "bake/proxy.h"
#include "base/mem.h"

static const char *const allow[] = {"mirror.example:80", "*.apt.example:443", "plain.example",
				    "[2001:db8::1]:8080", NULL};

static void names_and_ports(void **state)
{
	assert_true(proxy_allowed(allow, "mirror.example", 80));
	assert_true(proxy_allowed(allow, "MIRROR.Example.", 80));
	assert_false(proxy_allowed(allow, "mirror.example", 81));
	assert_false(proxy_allowed(allow, "xmirror.example", 80));
	assert_false(proxy_allowed(allow, "mirror.example.evil", 80));
	assert_true(proxy_allowed(allow, "a.apt.example", 443));
	assert_true(proxy_allowed(allow, "a.b.apt.example", 443));
	assert_false(proxy_allowed(allow, "apt.example", 443));
	assert_false(proxy_allowed(allow, "evilapt.example", 443));
	assert_true(proxy_allowed(allow, "plain.example", 80));
	assert_true(proxy_allowed(allow, "plain.example", 443));
	assert_false(proxy_allowed(allow, "plain.example", 22));
	assert_true(proxy_allowed(allow, "2001:db8::1", 8080));
	assert_false(proxy_allowed(NULL, "mirror.example", 80));
	assert_false(proxy_allowed(allow, "", 80));
}

static void entries(void **state)
{
	static const char *const good[] = {"a:1", "*.b.example:65535", "[::1]:80", "host"};
	static const char *const bad[] = {"",       ":80",  "a:0",      "a:65536", "a:b",
					  "a:",     "*:80", "a*:80",    "a.*:80",  "a b:80",
					  "a/b:80", "[::1", "*.*.x:80", "a:80:90"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(proxy_entry_check(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(proxy_entry_check(bad[i], &err), -EINVAL);
		assert_non_null(strstr(err_str(&err), "expected")
					?: strstr(err_str(&err), "unexpected"));
		err_done(&err);
	}
}

static bool ok(const char *text, enum proxy_trust trust)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return proxy_address_ok((struct sockaddr *) &in, trust);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return proxy_address_ok((struct sockaddr *) &in6, trust);
}

static void addresses(void **state)
{
	static const char *const never[] = {"0.0.0.0",
					    "169.254.169.254",
					    "224.0.0.1",
					    "255.255.255.255",
					    "168.63.129.16",
					    "::",
					    "fe80::1",
					    "ff02::1",
					    "::ffff:169.254.169.254",
					    "0.1.2.3",
					    "64:ff9b::a9fe:a9fe",
					    "::ffff:0.0.0.0"};
	static const char *const private[] = {"10.1.2.3",       "172.16.0.1", "192.168.1.1",
					      "100.64.0.1",     "fd00::1",    "203.0.113.80",
					      "::ffff:10.0.0.1"};
	static const char *const loopback[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"};
	static const char *const public[] = {"1.1.1.1", "151.101.2.132", "2606:4700::1111"};

	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		for (int t = PROXY_TRUST_NONE; t <= PROXY_TRUST_PORT; t++)
			assert_false(ok(never[i], (enum proxy_trust) t));
	for (size_t i = 0; i < ARRAY_SIZE(private); i++) {
		assert_false(ok(private[i], PROXY_TRUST_NONE));
		assert_true(ok(private[i], PROXY_TRUST_HOST));
	}
	for (size_t i = 0; i < ARRAY_SIZE(loopback); i++) {
		assert_false(ok(loopback[i], PROXY_TRUST_NONE));
		assert_false(ok(loopback[i], PROXY_TRUST_HOST));
		assert_true(ok(loopback[i], PROXY_TRUST_PORT));
	}
	for (size_t i = 0; i < ARRAY_SIZE(public); i++)
		assert_true(ok(public[i], PROXY_TRUST_NONE));
}

static void trust(void **state)
{
	static const char *const list[] = {"m.example", "cache.example:3142", NULL};

	assert_int_equal(proxy_trusted(list, "m.example", 80), PROXY_TRUST_HOST);
	assert_int_equal(proxy_trusted(list, "cache.example", 3142), PROXY_TRUST_PORT);
	assert_int_equal(proxy_trusted(list, "cache.example", 80), PROXY_TRUST_NONE);
	assert_int_equal(proxy_trusted(list, "other.example", 80), PROXY_TRUST_NONE);
}

static int parse(const char *text, struct proxy_request *r)
{
	return proxy_parse(text, strlen(text), r, NULL);
}

static void requests(void **state)
{
	struct proxy_request r;

	assert_int_equal(parse("GET http://Host.example:8080/a?b HTTP/1.1\r\nHost: other\r\n"
			       "X-A:  1\r\nProxy-Authorization: secret\r\n\r\n",
			       &r),
			 0);
	assert_string_equal(r.host, "Host.example");
	assert_int_equal(r.port, 8080);
	assert_false(r.connect);
	assert_string_equal(r.forward, "GET /a?b HTTP/1.1\r\nHost: Host.example:8080\r\n"
				       "Connection: close\r\nX-A:  1\r\n\r\n");
	proxy_request_done(&r);
	assert_int_equal(parse("GET http://h HTTP/1.0\r\n\r\n", &r), 0);
	assert_int_equal(r.port, 80);
	assert_non_null(strstr(r.forward, "GET / HTTP/1.1\r\n"));
	proxy_request_done(&r);
	assert_int_equal(parse("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n", &r), 0);
	assert_true(r.connect);
	assert_string_equal(r.host, "2001:db8::1");
	assert_int_equal(r.port, 443);
	proxy_request_done(&r);
	assert_int_equal(parse("POST http://h/ HTTP/1.1\r\nContent-Length: 12\r\n\r\n", &r), 0);
	assert_int_equal(r.body_bytes, 12);
	proxy_request_done(&r);
}

static void refused_requests(void **state)
{
	static const char *const bad[] = {
		"",
		"GET\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET https://h/ HTTP/1.1\r\n\r\n",
		"GET ftp://h/ HTTP/1.1\r\n\r\n",
		"GET http:///x HTTP/1.1\r\n\r\n",
		"GET http://u:p@h/ HTTP/1.1\r\n\r\n",
		"GET http://h:0/ HTTP/1.1\r\n\r\n",
		"GET http://h:99999/ HTTP/1.1\r\n\r\n",
		"GET http://h/ HTTP/2.0\r\n\r\n",
		"GET http://h/ HTTP/1.1 \r\n\r\n",
		"get http://h/ HTTP/1.1\r\n\r\n",
		"GET http://h/#f HTTP/1.1\r\n\r\n",
		"GET http://h/\t HTTP/1.1\r\n\r\n",
		"GET http://h/ HTTP/1.1\n\n",
		"GET http://h/ HTTP/1.1\r\nA\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\n folded: x\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nA : x\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nContent-Length: 1 2\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nA: 1\r\n\r\nmore",
		"CONNECT h HTTP/1.1\r\n\r\n",
		"CONNECT http://h:1/ HTTP/1.1\r\n\r\n",
		"CONNECT u@h:443 HTTP/1.1\r\n\r\n",
		"CONNECT *.h:443 HTTP/1.1\r\n\r\n",
		"GET http://h\x01/ HTTP/1.1\r\n\r\n",
	};
	struct proxy_request r;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i], &r), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_ports), cmocka_unit_test(entries),
		cmocka_unit_test(addresses),       cmocka_unit_test(trust),
		cmocka_unit_test(requests),        cmocka_unit_test(refused_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

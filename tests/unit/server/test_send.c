/* SPDX-License-Identifier: Apache-2.0 */
/* A head and the beginning of its body in one record, whatever the sender takes at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "server/conn.h"

#define AGAIN (-28) /* GNUTLS_E_AGAIN */

/* Whoever sends: takes @most bytes at a time, and each @busy-th time none. */
struct wire {
	struct buf got;
	size_t most, first; /* bytes; of the first that was sent */
	unsigned busy, calls, records;
};

static ssize_t put(void *session, const void *data, size_t n)
{
	struct wire *w = session;

	if (w->busy && ++w->calls % w->busy == 0)
		return AGAIN;
	n = n < w->most ? n : w->most;
	if (w->records++ == 0)
		w->first = n;
	assert_int_equal(buf_add(&w->got, data, n), 0);
	return (ssize_t) n;
}

/* As libmicrohttpd sends: the head, then the body from where it got to. */
static void send_all(struct conn *c, struct wire *w, const char *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = conn_send(c, put, w, p + at, n - at);

		assert_true(r == AGAIN || (r > 0 && (size_t) r <= n - at));
		at += r > 0 ? (size_t) r : 0;
	}
}

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char) ('a' + (i * 7 + seed) % 26);
}

static void answer(struct conn *c, struct wire *w, size_t head_n, size_t body_n)
{
	char *head = malloc(head_n), *body = malloc(body_n + 1);
	size_t before = w->got.len;

	assert_non_null(head);
	assert_non_null(body);
	fill(head, head_n, 3);
	fill(body, body_n, 11);
	conn_cork(c, body_n);
	send_all(c, w, head, head_n);
	send_all(c, w, body, body_n);
	assert_int_equal(w->got.len - before, head_n + body_n);
	assert_memory_equal(w->got.data + before, head, head_n);
	if (body_n > 0)
		assert_memory_equal(w->got.data + before + head_n, body, body_n);
	assert_null(c->packet);
	free(head);
	free(body);
}

static void whole(void **state)
{
	static const size_t sizes[] = {0, 1, 1200, 15683, 15684, 15685, 16384, 100000};
	static const size_t most[] = {1, 511, 700, 701, 16384};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (size_t k = 0; k < ARRAY_SIZE(most); k++)
			for (unsigned busy = 0; busy < 4; busy += busy ? 1 : 2) {
				struct wire w = {
					.got = BUF_INIT(1 << 22), .most = most[k], .busy = busy};
				struct conn c = {0};

				answer(&c, &w, 700, sizes[i]);
				answer(&c, &w, 8193, sizes[i]);
				answer(&c, &w, 8192, sizes[i]);
				buf_done(&w.got);
			}
}

static void together(void **state)
{
	struct wire w = {.got = BUF_INIT(1 << 22), .most = 16384};
	struct conn c = {0};

	(void) state;
	answer(&c, &w, 700, 1200);
	assert_int_equal(w.records, 1);
	w.records = 0;
	answer(&c, &w, 700, 100000);
	assert_int_equal(w.first, 16384);
	assert_int_equal(w.records, 7);
	buf_done(&w.got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(whole), cmocka_unit_test(together)};

	return cmocka_run_group_tests_name("server/send", tests, NULL, NULL);
}

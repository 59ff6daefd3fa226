/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a connection. However they are cut, the verdict is the same; what passes has nothing
 * that implementations of HTTP read differently; after a wrong byte nothing ends a head.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "server/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_in_pieces(const struct guard *whole, const char *p, size_t n, size_t ok)
{
	struct guard g;
	size_t sum = 0;

	guard_init(&g);
	for (size_t i = 0; i < n && !g.reason;) {
		size_t step = 1 + (unsigned char) p[i] % 7;

		if (step > n - i)
			step = n - i;
		sum += guard_feed(&g, p + i, step);
		i += step;
	}
	assert(sum == ok && g.reason == whole->reason && g.heads == whole->heads);
}

/* The first head, when one is complete, as bytes. */
static void head_is_plain(const struct guard *g, const char *p, size_t ok)
{
	const char *end = memmem(p, ok, "\r\n\r\n", 4);

	if (g->heads == 0 || !end)
		return;
	assert(!memchr(p, '\0', (size_t) (end - p)));
	for (const char *c = p; c < end; c++)
		if (*c == '\n' && c > p) {
			assert(c[-1] == '\r');
			assert(c + 1 == end || (c[1] != ' ' && c[1] != '\t'));
		}
}

static void poison_ends_nothing(const char *p, size_t n, size_t ok)
{
	size_t size = n + 32;
	auto_free char *copy = malloc(size);
	struct guard g;
	size_t out;

	if (!copy)
		return;
	guard_init(&g);
	if (n > 0)
		memcpy(copy, p, n);
	out = guard_filter(&g, copy, n, size);
	assert(out <= size && out >= ok && memcmp(copy, p, ok) == 0);
	if (g.reason)
		assert(out > ok && !memmem(copy + ok, out - ok, "\r\n\r\n", 4));
	else
		assert(out == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *) data;
	struct guard g;
	size_t ok;

	if (size == 0)
		return 0;
	guard_init(&g);
	ok = guard_feed(&g, p, size);
	assert(ok <= size && (ok == size) == !g.reason);
	same_in_pieces(&g, p, size, ok);
	head_is_plain(&g, p, ok);
	poison_ends_nothing(p, size, ok);
	return 0;
}

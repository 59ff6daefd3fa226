/* SPDX-License-Identifier: Apache-2.0 */
#include "server/guard.h"

#include <string.h>
#include <strings.h>

#define METHOD_MAX 16
#define DIGITS_MAX 8 /* of a chunk's size: nobody sends 4 GiB in one */

enum state {
	AT_START,    /* of a request; an empty line may come before it */
	AT_START_LF, /* the LF of that empty line */
	IN_METHOD,
	AT_TARGET, /* its first byte */
	IN_TARGET,
	IN_VERSION,
	AT_LINE_LF, /* the LF of the request line */
	AT_NAME,    /* start of a header line */
	IN_NAME,
	IN_VALUE,
	AT_VALUE_LF,
	AT_HEAD_LF, /* the LF that ends the head */
	IN_BODY,
	AT_SIZE, /* first digit of a chunk's size */
	IN_SIZE,
	AT_SIZE_LF,
	IN_CHUNK,
	AT_CHUNK_CR,
	AT_CHUNK_LF,
	AT_TRAILER,
	AT_TRAILER_LF,
};

void guard_init(struct guard *g)
{
	*g = (struct guard){.state = AT_START};
}

static bool is_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int bad(struct guard *g, const char *reason)
{
	g->reason = reason;
	return -1;
}

static int go(struct guard *g, int state)
{
	g->state = state;
	g->line = 0;
	return 0;
}

/* ---- What a head says --------------------------------------------------------------------- */

static bool name_is(const char *name, size_t n, const char *want)
{
	return n == strlen(want) && strncasecmp(name, want, n) == 0;
}

static const char *take_length(struct guard_head *h, const char *v, size_t n)
{
	uint64_t x = 0;

	if (h->n_length++)
		return "Content-Length is given twice";
	if (n == 0 || n > 19) /* 19 digits always fit */
		return "Content-Length is no number";
	for (size_t i = 0; i < n; i++) {
		if (v[i] < '0' || v[i] > '9')
			return "Content-Length is no number";
		x = x * 10 + (uint64_t) (v[i] - '0');
	}
	h->length = x;
	h->has_length = true;
	return NULL;
}

/* host, host:port or [address]:port; what a URL may hold besides (user, path) does not belong. */
static const char *take_host(struct guard_head *h, const char *v, size_t n)
{
	if (h->n_host++)
		return "Host is given twice";
	if (n == 0)
		return "Host is empty";
	for (size_t i = 0; i < n; i++)
		if (!((v[i] >= 'a' && v[i] <= 'z') || (v[i] >= 'A' && v[i] <= 'Z') ||
		      (v[i] >= '0' && v[i] <= '9') || (v[i] && strchr("-._:[]", v[i]))))
			return "Host is not a host";
	return NULL;
}

const char *guard_header(struct guard_head *h, const char *name, size_t name_n, const char *value,
			 size_t value_n)
{
	h->n_headers++;
	if (name_n == 0)
		return "a header has no name";
	for (size_t i = 0; i < name_n; i++)
		if (!is_token((unsigned char) name[i]))
			return "a header's name has a character that does not belong";
	for (size_t i = 0; i < value_n; i++)
		if (((unsigned char) value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
			return "a header's value has a control character";
	if (name_is(name, name_n, "content-length"))
		return take_length(h, value, value_n);
	if (name_is(name, name_n, "host"))
		return take_host(h, value, value_n);
	if (!name_is(name, name_n, "transfer-encoding"))
		return NULL;
	if (h->n_coding++)
		return "Transfer-Encoding is given twice";
	if (!name_is(value, value_n, "chunked"))
		return "Transfer-Encoding is not chunked";
	h->chunked = true;
	return NULL;
}

const char *guard_end(const struct guard_head *h)
{
	if (h->chunked && h->has_length)
		return "Transfer-Encoding and Content-Length exclude each other";
	if (h->chunked && h->v10)
		return "HTTP/1.0 has no Transfer-Encoding";
	if (!h->n_host && !h->v10)
		return "Host is missing";
	return NULL;
}

const char *guard_target(const char *target)
{
	if (target[0] != '/')
		return "the request target is no path";
	for (const char *p = target; *p && *p != '?'; p++) {
		if (*p == '\\')
			return "the request target has a backslash";
		if (*p != '%')
			continue;
		if (p[1] == '0' && p[2] == '0')
			return "the request target has an encoded NUL";
		if (p[1] == '2' && (p[2] == 'f' || p[2] == 'F'))
			return "the request target has an encoded slash";
		if (p[1] == '5' && (p[2] == 'c' || p[2] == 'C'))
			return "the request target has an encoded backslash";
	}
	return NULL;
}

/* ---- Bytes -------------------------------------------------------------------------------- */

static int end_line(struct guard *g)
{
	static const char *const versions[] = {"HTTP/1.1", "HTTP/1.0"};

	for (unsigned i = 0; i < 2; i++)
		if (g->name_n == 8 && memcmp(g->name, versions[i], 8) == 0) {
			g->head.v10 = i == 1;
			return go(g, AT_LINE_LF);
		}
	return bad(g, "the HTTP version is neither 1.1 nor 1.0");
}

static int end_value(struct guard *g)
{
	unsigned name_n = g->name_n, n = g->value_n;
	const char *why;

	/* libmicrohttpd takes no space behind a length; nobody sends one. */
	if (n < GUARD_WORD_MAX &&
	    !name_is(g->name, name_n, "content-length")) /* what is cut has no end to trim */
		while (n > 0 && (g->value[n - 1] == ' ' || g->value[n - 1] == '\t'))
			n--;
	if (n == GUARD_WORD_MAX && name_is(g->name, name_n, "host")) {
		/* Host names may be longer than what is kept; its bytes were seen to be printable.
		 */
		g->head.n_headers++;
		why = g->head.n_host++ ? "Host is given twice" : NULL;
	} else {
		why = guard_header(&g->head, g->name, name_n, g->value, n);
	}
	return why ? bad(g, why) : go(g, AT_VALUE_LF);
}

static int end_head(struct guard *g)
{
	const char *why = guard_end(&g->head);

	if (why)
		return bad(g, why);
	g->heads++;
	if (g->head.chunked)
		return go(g, AT_SIZE);
	g->left = g->head.length;
	return go(g, g->left > 0 ? IN_BODY : AT_START);
}

static int end_size(struct guard *g)
{
	return go(g, g->left > 0 ? IN_CHUNK : AT_TRAILER);
}

static void keep(char *word, unsigned *n, char c)
{
	if (*n < GUARD_WORD_MAX)
		word[(*n)++] = c;
}

static int start_byte(struct guard *g, char c)
{
	if (c == '\r' && g->line++ == 0)
		return go(g, AT_START_LF);
	if (c < 'A' || c > 'Z')
		return bad(g, "a request does not begin with a method");
	g->head = (struct guard_head){0};
	g->name_n = 0;
	g->state = IN_METHOD;
	g->line = 1;
	return 0;
}

static int line_byte(struct guard *g, char c)
{
	switch (g->state) {
	case IN_METHOD:
		if (c == ' ')
			return go(g, AT_TARGET);
		if (c < 'A' || c > 'Z' || ++g->line > METHOD_MAX)
			return bad(g, "the method is not one");
		return 0;
	case AT_TARGET:
		if (c == ' ')
			return bad(g, "two spaces in the request line");
		g->state = IN_TARGET;
		__attribute__((fallthrough));
	case IN_TARGET:
		if (c == ' ')
			return go(g, IN_VERSION);
		if (c <= 0x20 || c >= 0x7f) /* char is signed here: bytes from 0x80 are below */
			return bad(g, "the request target has a byte that does not belong");
		return 0;
	default:
		if (c == '\r')
			return end_line(g);
		keep(g->name, &g->name_n, c);
		return g->name_n > 8 ? bad(g, "the HTTP version is neither 1.1 nor 1.0") : 0;
	}
}

static int header_byte(struct guard *g, char c)
{
	switch (g->state) {
	case AT_NAME:
		if (c == '\r')
			return go(g, AT_HEAD_LF);
		if (c == ' ' || c == '\t')
			return bad(g, "a header is folded");
		g->name_n = 0;
		g->state = IN_NAME;
		__attribute__((fallthrough));
	case IN_NAME:
		if (c == ':') {
			g->value_n = 0;
			return g->name_n ? go(g, IN_VALUE) : bad(g, "a header has no name");
		}
		if (c == ' ' || c == '\t')
			return bad(g, "a header's name is followed by a space");
		if (!is_token((unsigned char) c))
			return bad(g, "a header's name has a character that does not belong");
		keep(g->name, &g->name_n, c);
		return 0;
	default:
		if (c == '\r')
			return end_value(g);
		if (((unsigned char) c < 0x20 && c != '\t') || c == 0x7f)
			return bad(g, "a header's value has a control character");
		if (g->value_n == 0 && (c == ' ' || c == '\t'))
			return 0;
		keep(g->value, &g->value_n, c);
		return 0;
	}
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int size_byte(struct guard *g, char c)
{
	int digit = hex_value(c);

	if (g->state == AT_SIZE) {
		if (digit < 0)
			return bad(g, "a chunk does not begin with its size");
		g->left = 0;
		g->line = 0;
		g->state = IN_SIZE;
	}
	if (c == '\r')
		return go(g, AT_SIZE_LF);
	if (digit < 0) /* extensions too: nobody sends them, and they are read differently */
		return bad(g, "a chunk's size is followed by something else");
	if (++g->line > DIGITS_MAX)
		return bad(g, "a chunk's size is too long");
	g->left = g->left * 16 + (uint64_t) digit;
	return 0;
}

/* One byte that must be this one, and what comes then. */
static int expect(struct guard *g, char c, char want, int then)
{
	if (c != want)
		return bad(g, want == '\n' ? "a CR is not followed by a LF"
					   : "a line or chunk does not end with CR LF");
	return go(g, then);
}

static int byte(struct guard *g, char c)
{
	switch (g->state) {
	case AT_START:
		return start_byte(g, c);
	case AT_START_LF:
		g->state = AT_START;
		g->line = 1; /* one empty line, no more */
		return c == '\n' ? 0 : bad(g, "a CR is not followed by a LF");
	case IN_METHOD:
	case AT_TARGET:
	case IN_TARGET:
	case IN_VERSION:
		return line_byte(g, c);
	case AT_LINE_LF:
	case AT_VALUE_LF:
		return expect(g, c, '\n', AT_NAME);
	case AT_NAME:
	case IN_NAME:
	case IN_VALUE:
		return header_byte(g, c);
	case AT_HEAD_LF:
		return c == '\n' ? end_head(g) : bad(g, "a CR is not followed by a LF");
	case AT_SIZE:
	case IN_SIZE:
		return size_byte(g, c);
	case AT_SIZE_LF:
		return c == '\n' ? end_size(g) : bad(g, "a CR is not followed by a LF");
	case AT_CHUNK_CR:
		return expect(g, c, '\r', AT_CHUNK_LF);
	case AT_CHUNK_LF:
		return expect(g, c, '\n', AT_SIZE);
	case AT_TRAILER: /* trailers could repeat what the head said */
		return expect(g, c, '\r', AT_TRAILER_LF);
	default:
		return expect(g, c, '\n', AT_START);
	}
}

/* Bytes at @p that a value whose kept part is full, or a target, just takes: most of all bytes. */
static size_t plain_bytes(const struct guard *g, const char *p, size_t n)
{
	size_t i = 0;

	if (g->state == IN_VALUE && g->value_n == GUARD_WORD_MAX)
		while (i < n && ((unsigned char) p[i] >= 0x20 && p[i] != 0x7f))
			i++;
	else if (g->state == IN_TARGET)
		while (i < n && (unsigned char) (p[i] - 0x21) < 0x7f - 0x21)
			i++;
	return i;
}

size_t guard_feed(struct guard *g, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && !g->reason) {
		if (g->state == IN_BODY || g->state == IN_CHUNK) {
			size_t step = g->left < n - i ? (size_t) g->left : n - i;

			i += step;
			g->left -= step;
			if (g->left == 0)
				(void) go(g, g->state == IN_BODY ? AT_START : AT_CHUNK_CR);
			continue;
		}
		i += plain_bytes(g, p + i, n - i);
		if (i == n || byte(g, p[i]) < 0)
			break;
		i++;
	}
	return i;
}

/* Bytes that libmicrohttpd answers with 400, whatever it has read of the current message. None of
 * them can end a head or a chunk's size. */
static const char *poison_of(const struct guard *g)
{
	switch (g->state) {
	case AT_START:
	case AT_START_LF:
		return "x z\r\n";
	case IN_METHOD:
	case AT_TARGET:
	case IN_TARGET:
	case IN_VERSION:
		return " z z\r\n";
	default:
		return "z\r\nz\r\n";
	}
}

size_t guard_filter(struct guard *g, char *p, size_t n, size_t size)
{
	size_t ok = 0;

	if (!g->reason) {
		ok = guard_feed(g, p, n);
		if (!g->reason)
			return n;
		g->poison = poison_of(g);
	}
	while (ok < size && *g->poison)
		p[ok++] = *g->poison++;
	return ok;
}

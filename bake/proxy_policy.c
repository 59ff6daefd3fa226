/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <netinet/in.h>
#include <strings.h>

#include "base/netaddr.h"
#include "bake/proxy.h"
#include "base/buf.h"
#include "base/mem.h"

#define MAX_HEADERS 100

struct view {
	const char *p;
	size_t n;
};

/* IPv4 address inside an IPv6 form that carries one, else false. */
static bool unmap(const struct sockaddr *sa, uint32_t *ret)
{
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	const uint8_t *b = in6.sin6_addr.s6_addr;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		*ret = ntohl(in.sin_addr.s_addr);
		return true;
	}
	memcpy(&in6, sa, sizeof(in6));
	*ret = (uint32_t) b[12] << 24 | (uint32_t) b[13] << 16 | (uint32_t) b[14] << 8 | b[15];
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) || memcmp(b, nat64, sizeof(nat64)) == 0)
		return true;
	return IN6_IS_ADDR_V4COMPAT(&in6.sin6_addr); /* neither :: nor ::1 */
}

/* What no host name may lead to, not even a trusted one. */
static bool never(const struct sockaddr *sa, bool loopback_ok)
{
	struct sockaddr_in6 in6;
	uint32_t a;

	if (unmap(sa, &a)) {
		if (a >> 24 == 127)
			return !loopback_ok;
		return a >> 24 == 0 || a >> 16 == 0xa9fe || a >> 28 >= 0xe || a == 0xa83f8110;
	}
	memcpy(&in6, sa, sizeof(in6));
	if (IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr))
		return !loopback_ok;
	return IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr) || IN6_IS_ADDR_MULTICAST(&in6.sin6_addr) ||
	       IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr);
}

bool proxy_address_ok(const struct sockaddr *sa, enum proxy_trust trust)
{
	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		return false;
	if (trust == PROXY_TRUST_NONE)
		return netaddr_public(sa);
	return !never(sa, trust == PROXY_TRUST_PORT);
}

/* Splits "host:port", "[v6]:port", "host". @port 0 = none given. */
static bool split_host(const char *s, size_t n, struct view *host, unsigned *port)
{
	const char *colon;

	*port = 0;
	if (n > 0 && s[0] == '[') {
		const char *end = memchr(s, ']', n);

		if (!end)
			return false;
		*host = (struct view){s + 1, (size_t) (end - s - 1)};
		n -= (size_t) (end + 1 - s);
		s = end + 1;
	} else {
		colon = memchr(s, ':', n);
		*host = (struct view){s, colon ? (size_t) (colon - s) : n};
		n -= host->n;
		s += host->n;
	}
	if (host->n == 0 || host->n >= PROXY_HOST_MAX)
		return false;
	if (n == 0)
		return true;
	if (*s != ':' || n < 2 || n > 6)
		return false;
	for (size_t i = 1; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*port = *port * 10 + (unsigned) (s[i] - '0');
	}
	return *port >= 1 && *port <= 65535;
}

static bool same_name(struct view entry, const char *host)
{
	size_t n = strlen(host);

	if (n > 1 && host[n - 1] == '.')
		n--;
	if (entry.n > 2 && entry.p[0] == '*' && entry.p[1] == '.')
		return n > entry.n - 1 &&
		       strncasecmp(host + n - (entry.n - 1), entry.p + 1, entry.n - 1) == 0;
	return n == entry.n && strncasecmp(host, entry.p, n) == 0;
}

bool proxy_allowed(const char *const *list, const char *host, unsigned port)
{
	for (; list && *list; list++) {
		struct view name;
		unsigned p;

		if (!split_host(*list, strlen(*list), &name, &p) || !same_name(name, host))
			continue;
		if (p == port || (p == 0 && (port == 80 || port == 443)))
			return true;
	}
	return false;
}

int proxy_entry_check(const char *entry, struct err *err)
{
	struct view name;
	unsigned port;
	const char *star = strchr(entry, '*');

	if (!split_host(entry, strlen(entry), &name, &port) || (star && star != entry) ||
	    (star && (entry[1] != '.' || strchr(entry + 1, '*'))))
		return err_set(err, -EINVAL,
			       "\"%s\": expected host:port, *.suffix:port or [IPv6]:port", entry);
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char) name.p[i]) && !strchr("-._:*", name.p[i]))
			return err_set(err, -EINVAL, "\"%s\": unexpected character '%c'", entry,
				       name.p[i]);
	return 0;
}

enum proxy_trust proxy_trusted(const char *const *list, const char *host, unsigned port)
{
	enum proxy_trust best = PROXY_TRUST_NONE;

	for (; list && *list; list++) {
		struct view name;
		unsigned p;

		if (!split_host(*list, strlen(*list), &name, &p) || !same_name(name, host))
			continue;
		if (p == port)
			return PROXY_TRUST_PORT;
		if (p == 0)
			best = PROXY_TRUST_HOST;
	}
	return best;
}

void proxy_request_done(struct proxy_request *r)
{
	free(r->forward);
	r->forward = NULL;
}

static bool is_name(struct view v, const char *name)
{
	return v.n == strlen(name) && strncasecmp(v.p, name, v.n) == 0;
}

static bool line_next(const char **p, const char *end, struct view *ret)
{
	const char *nl = *p < end ? memchr(*p, '\n', (size_t) (end - *p)) : NULL;

	if (!nl || nl == *p || nl[-1] != '\r')
		return false;
	*ret = (struct view){*p, (size_t) (nl - 1 - *p)};
	*p = nl + 1;
	return true;
}

static bool printable(struct view v, bool space_ok)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char) v.p[i];

		if (c == 127 || (c < 33 && !(space_ok && (c == ' ' || c == '\t'))))
			return false;
	}
	return true;
}

/* "METHOD TARGET HTTP/1.x" */
static bool split_request_line(struct view line, struct view *method, struct view *target)
{
	const char *sp = memchr(line.p, ' ', line.n), *sp2;

	if (!sp)
		return false;
	*method = (struct view){line.p, (size_t) (sp - line.p)};
	sp2 = memchr(sp + 1, ' ', line.n - method->n - 1);
	if (!sp2 || method->n == 0 || method->n > 16)
		return false;
	*target = (struct view){sp + 1, (size_t) (sp2 - sp - 1)};
	for (size_t i = 0; i < method->n; i++)
		if (method->p[i] < 'A' || method->p[i] > 'Z')
			return false;
	return target->n > 0 && printable(*target, false) && line.n - method->n - target->n == 10 &&
	       strncmp(sp2 + 1, "HTTP/1.", 7) == 0 && (sp2[8] == '0' || sp2[8] == '1');
}

static bool set_host(struct view authority, unsigned dflt, struct proxy_request *r)
{
	struct view host;

	if (memchr(authority.p, '@', authority.n) || memchr(authority.p, '*', authority.n) ||
	    !split_host(authority.p, authority.n, &host, &r->port))
		return false;
	for (size_t i = 0; i < host.n; i++)
		if (!isalnum((unsigned char) host.p[i]) && !strchr("-._:", host.p[i]))
			return false;
	memcpy(r->host, host.p, host.n);
	r->host[host.n] = '\0';
	if (r->port == 0)
		r->port = dflt;
	return r->port != 0;
}

/* Absolute URI: sets host and port, @path becomes the origin form. */
static bool split_uri(struct view target, struct proxy_request *r, struct view *authority,
		      struct view *path)
{
	size_t n;

	if (target.n < 8 || strncasecmp(target.p, "http://", 7) != 0)
		return false;
	target.p += 7;
	target.n -= 7;
	for (n = 0; n < target.n && !strchr("/?#", target.p[n]); n++)
		;
	*authority = (struct view){target.p, n};
	*path = (struct view){target.p + n, target.n - n};
	return !memchr(path->p, '#', path->n) && set_host(*authority, 80, r);
}

static bool parse_length(struct view v, uint64_t *ret)
{
	*ret = 0;
	if (v.n == 0 || v.n > 18)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		*ret = *ret * 10 + (uint64_t) (v.p[i] - '0');
	}
	return true;
}

/* One header line: NULL = forward it, "" = drop it, else what is wrong. */
static const char *judge_header(struct view name, struct view value, struct proxy_request *r,
				bool *have_length)
{
	static const char *const drop[] = {
		"Connection",          "Proxy-Connection", "Keep-Alive", "TE",
		"Proxy-Authorization", "Upgrade",          "Host",       "Trailer"};

	for (size_t i = 0; i < ARRAY_SIZE(drop); i++)
		if (is_name(name, drop[i]))
			return "";
	if (is_name(name, "Content-Length")) {
		if (*have_length || r->chunked || !parse_length(value, &r->body_bytes))
			return "ambiguous body length";
		*have_length = true;
	}
	if (is_name(name, "Transfer-Encoding")) {
		if (*have_length || r->chunked || !is_name(value, "chunked"))
			return "ambiguous body length";
		r->chunked = true;
	}
	return NULL;
}

static const char *copy_headers(const char *p, const char *end, struct proxy_request *r,
				struct buf *out)
{
	bool have_length = false;
	struct view line;

	for (unsigned i = 0; i <= MAX_HEADERS; i++) {
		struct view name, value;
		const char *colon, *bad;

		if (!line_next(&p, end, &line))
			return "header line without CRLF";
		if (line.n == 0)
			return p == end ? NULL : "bytes behind the headers";
		colon = memchr(line.p, ':', line.n);
		name = (struct view){line.p, colon ? (size_t) (colon - line.p) : 0};
		if (name.n == 0 || !printable(name, false) || !printable(line, true))
			return "malformed header";
		value = (struct view){colon + 1, line.n - name.n - 1};
		while (value.n > 0 && (*value.p == ' ' || *value.p == '\t')) {
			value.p++;
			value.n--;
		}
		while (value.n > 0 && strchr(" \t", value.p[value.n - 1]))
			value.n--;
		bad = judge_header(name, value, r, &have_length);
		if (bad && *bad)
			return bad;
		if (!bad) {
			(void) buf_add(out, line.p, line.n);
			(void) buf_addstr(out, "\r\n");
		}
	}
	return "too many headers";
}

int proxy_parse(const char *head, size_t n, struct proxy_request *ret, struct err *err)
{
	auto_buf struct buf out = BUF_INIT(2 * PROXY_HEAD_MAX);
	const char *p = head, *end = head + n, *bad;
	struct proxy_request r = {0};
	struct view line, method, target, authority = {"", 0}, path = {"", 0};
	bool ok;

	if (!line_next(&p, end, &line) || !split_request_line(line, &method, &target))
		return err_set(err, -EINVAL, "malformed request line");
	r.connect = is_name(method, "CONNECT");
	ok = r.connect ? set_host(target, 0, &r) : split_uri(target, &r, &authority, &path);
	if (!ok)
		return err_set(err, -EINVAL,
			       "expected an absolute http:// URI or CONNECT host:port");
	if (!r.connect) {
		(void) buf_add(&out, method.p, method.n);
		(void) buf_addstr(&out, path.n > 0 && *path.p == '/' ? " " : " /");
		(void) buf_add(&out, path.p, path.n);
		(void) buf_addstr(&out, " HTTP/1.1\r\nHost: ");
		(void) buf_add(&out, authority.p, authority.n);
		(void) buf_addstr(&out, "\r\nConnection: close\r\n");
	}
	bad = copy_headers(p, end, &r, &out);
	if (bad)
		return err_set(err, -EINVAL, "%s", bad);
	(void) buf_addstr(&out, "\r\n");
	r.forward_bytes = out.len;
	r.forward = buf_take(&out);
	if (!r.forward)
		return err_set(err, -ENOMEM, "request");
	*ret = r;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is decided from a request's head alone. */
#include "server/internal.h"

#include <strings.h>

#include "base/hash.h"
#include "base/mem.h"
#include "server/certificates.h"

void exchange_refuse(struct exchange *e, int status, const char *code, const char *message,
		     bool close)
{
	buf_clear(&e->text);
	(void) buf_addf(&e->text, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}", code,
			message);
	e->text_type = "application/json; charset=utf-8";
	e->kind = EXCHANGE_REFUSED;
	e->code = code;
	e->status = status;
	e->close = e->close || close;
	if (!e->request_id[0])
		(void) uuid_random(e->request_id);
}

/* ---- Framing ------------------------------------------------------------------------------ */

struct listing {
	struct guard_head head;
	const char *why;
	size_t bytes;
	bool seen; /* the guard has judged every byte: only what is needed here is looked at */
};

static enum MHD_Result one_header(void *arg, enum MHD_ValueKind kind, const char *name,
				  size_t name_n, const char *value, size_t value_n)
{
	struct listing *l = arg;

	(void) kind;
	if (l->seen && name_n != strlen("Content-Length") && name_n != strlen("Transfer-Encoding"))
		l->head.n_headers++;
	else
		l->why = guard_header(&l->head, name, name_n, value ? value : "", value_n);
	l->bytes += name_n + value_n + 4;
	return l->why ? MHD_NO : MHD_YES;
}

/* The guard has seen the bytes of a TLS connection, and must have seen this head end; of the Unix
 * socket only what libmicrohttpd shows can be checked. */
static const char *framing(struct exchange *e, struct listing *l)
{
	const struct guard *g = &e->conn->guard;

	e->conn->handled++;
	/* Wrong bytes may have come behind a good request: that one is answered first. */
	if (!e->conn->local && g->heads < e->conn->handled)
		return g->reason ? g->reason : "the request was not seen whole";
	l->seen = !e->conn->local;
	(void) MHD_get_connection_values_n(e->mhd, MHD_HEADER_KIND, one_header, l);
	if (l->why || l->seen)
		return l->why;
	return guard_end(&l->head);
}

static bool check_size(struct exchange *e, const struct listing *l)
{
	const char *expect = exchange_known(e, "Expect");

	if (strlen(e->raw) > SERVER_TARGET_MAX)
		exchange_refuse(e, 414, "RequestUriTooLong", "The request target is too long.",
				true);
	else if (l->bytes > SERVER_HEAD_MAX || l->head.n_headers > SERVER_HEADERS_MAX)
		exchange_refuse(e, 431, "RequestHeadersTooLarge",
				"The request has too many headers.", true);
	else if (l->head.length > SERVER_BODY_MAX)
		exchange_refuse(e, 413, "RequestTooLarge", "The request body is too large.", true);
	else if (expect && !str_eq_nocase(expect, "100-continue"))
		exchange_refuse(e, 417, "ExpectationFailed", "Only 100-continue can be expected.",
				true);
	return e->kind != EXCHANGE_REFUSED;
}

/* "https://host/path", as a proxy would send it: the host must be the one of Host. */
static bool check_target(struct exchange *e)
{
	const char *why;

	if (strncasecmp(e->raw, "https://", 8) == 0) {
		const char *path = strchr(e->raw + 8, '/');
		size_t n = path ? (size_t) (path - e->raw - 8) : 0;

		if (n == 0 || !e->host || strlen(e->host) != n ||
		    strncasecmp(e->host, e->raw + 8, n) != 0) {
			exchange_refuse(e, 400, "InvalidRequestUri",
					"The request target names another host than Host.", true);
			return false;
		}
		e->target = path;
	}
	why = guard_target(e->target);
	if (!why)
		return true;
	exchange_refuse(e, 400, "InvalidRequestUri", why, true);
	return false;
}

static bool covered(const struct server *s, const char *host)
{
	const char *colon = strrchr(host, ':');
	auto_free char *name = NULL;

	if (colon && strchr(colon, ']'))
		colon = NULL; /* within "[::1]" */
	if (colon && (!colon[1] || colon[1 + strspn(colon + 1, "0123456789")]))
		return false;
	name = colon ? strndup(host, (size_t) (colon - host)) : strdup(host);
	return name && certificates_cover(s->certs, name);
}

/* Links in answers name the host that the client used, if the certificate is good for it. A
 * connection asks for one host again and again. */
static void find_base(struct exchange *e)
{
	struct conn *c = e->conn;

	if (!e->host || c->local)
		return;
	if (!str_eq(c->host, e->host)) {
		free(c->host);
		free(c->base_url);
		c->host = strdup(e->host);
		c->base_url =
			c->host && covered(e->server, e->host) ? strf("https://%s", e->host) : NULL;
	}
	e->base_url = c->base_url;
}

/* ---- Who asks ----------------------------------------------------------------------------- */

static bool path_is(const char *target, const char *path)
{
	size_t n = strlen(path);

	return strncmp(target, path, n) == 0 && (!target[n] || target[n] == '?');
}

static void classify(struct exchange *e)
{
	if (path_is(e->target, "/healthz")) {
		e->kind = EXCHANGE_HEALTH;
		e->type = "healthz";
	} else if (path_is(e->target, "/metrics")) {
		e->kind = EXCHANGE_METRICS;
		e->type = "metrics";
	} else if (e->server->config.login && login_owns(e->target)) {
		e->kind = EXCHANGE_LOGIN;
		e->type = "login";
	} else if (arm_port(e->server->config.arm, e->target)) {
		e->kind = EXCHANGE_PORT;
		e->type = "blob";
	} else {
		e->kind = EXCHANGE_ARM;
	}
}

/* The kernel tells who is at the other end of the Unix socket. */
static bool local_owner(const struct exchange *e)
{
	return e->conn->local && (e->conn->uid == 0 || e->conn->uid == e->server->config.owner_uid);
}

static void unauthenticated(struct exchange *e, struct err *err)
{
	static const char *const said[][2] = {
		{"ExpiredAuthenticationToken", "The access token has expired."},
		{"InvalidAuthenticationToken", "The access token is invalid."},
		{"AuthenticationFailed",
		 "Authentication failed. The 'Authorization' header is missing or is no bearer "
		 "token."},
	};
	struct login *l = e->server->config.login;
	size_t i = 0;

	if (err->code != -EACCES) {
		exchange_refuse(e, 503, "ServerBusy", "The token could not be checked now.", false);
		e->retry_after_s = 1;
		e->res.detail = strdup(err_str(err));
		return;
	}
	while (i < ARRAY_SIZE(said) - 1 && !str_eq(said[i][0], err->arm))
		i++;
	exchange_refuse(e, 401, said[i][0], said[i][1], false);
	e->challenge = l ? login_challenge(l, e->base_url, err) : strdup("Bearer");
}

static bool authenticate(struct exchange *e)
{
	struct login *l = e->server->config.login;
	const char *token = exchange_known(e, "Authorization");
	auto_err struct err err = ERR_INIT;
	int r;

	if (!token && local_owner(e)) {
		e->who = e->server->config.owner;
		return true;
	}
	if (l) {
		r = login_authenticate(l, token, &e->identity, &err);
	} else {
		r = err_set(&err, -EACCES, "no tokens here");
		err_arm(&err, "AuthenticationFailed");
	}
	if (r < 0) {
		unauthenticated(e, &err);
		return false;
	}
	e->has_identity = true;
	e->who = &e->identity.who;
	return true;
}

static void count_quota(struct exchange *e)
{
	unsigned retry = 1;

	e->quota_left = quota_take(e->server->quota, e->who->object_id ? e->who->object_id : "",
				   !e->reads, &retry);
	if (e->quota_left >= 0)
		return;
	exchange_refuse(e, 429, "TooManyRequests",
			"The number of requests in five minutes is exceeded.", false);
	e->retry_after_s = retry;
}

static bool loopback(const struct conn *c)
{
	return c->local || strncmp(c->peer, "127.", 4) == 0 || str_eq(c->peer, "::1");
}

static void check_metrics(struct exchange *e)
{
	switch (e->server->settings->metrics) {
	case METRICS_PUBLIC:
		return;
	case METRICS_LOCAL:
		if (loopback(e->conn))
			return;
		break;
	case METRICS_OFF:
		break;
	}
	exchange_refuse(e, 404, "ResourceNotFound", "There is nothing here.", false);
}

/* ---- Bodies ------------------------------------------------------------------------------- */

static void reserve(struct exchange *e, const struct guard_head *h)
{
	uint64_t n = h->has_length ? h->length : 0;

	if (n > 0) {
		e->reserved = n;
		if (atomic_fetch_add(&e->server->body_bytes, n) + n >
		    e->server->settings->body_budget) {
			exchange_refuse(e, 503, "ServerBusy",
					"Too many requests with large bodies.", true);
			e->retry_after_s = 1;
			return;
		}
	}
	if (n > 0 || h->chunked)
		conn_phase(e->conn, CONN_BODY, n);
}

void check_request(struct exchange *e)
{
	struct listing l = {0};
	const char *why;

	if (!e->conn) {
		exchange_refuse(e, 503, "ServerBusy", "The server is out of memory.", true);
		return;
	}
	why = framing(e, &l);
	if (why) {
		exchange_refuse(e, 400, "BadRequest", why, true);
		return;
	}
	e->host = exchange_known(e, "Host");
	if (!check_size(e, &l) || !check_target(e))
		return;
	find_base(e);
	classify(e);
	if (e->kind == EXCHANGE_METRICS)
		check_metrics(e);
	else if (e->kind == EXCHANGE_ARM && authenticate(e))
		count_quota(e);
	/* With a body on its way the connection ends: the rest would be read for nothing. */
	if (e->kind == EXCHANGE_REFUSED)
		e->close = e->close || l.head.length > 0 || l.head.chunked;
	else
		reserve(e, &l.head);
}

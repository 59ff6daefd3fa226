/* SPDX-License-Identifier: Apache-2.0 */
/* Responses and errors, in the style of the endpoint. */
#include <stdarg.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "login/internal.h"

void login_response_done(struct login_response *r)
{
	json_decref(r->body);
	for (size_t i = 0; i < r->n_headers; i++) {
		free(r->headers[i].name);
		free(r->headers[i].value);
	}
	*r = (struct login_response){0};
}

int reply(struct login_call *c, int status, json_t *body)
{
	if (!body)
		return err_set(&c->err, -ENOMEM, "out of memory");
	json_decref(c->res->body);
	c->res->body = body;
	c->res->status = status;
	return 0;
}

int reply_header(struct login_call *c, const char *name, const char *value)
{
	struct login_header *h = &c->res->headers[c->res->n_headers];

	if (c->res->n_headers == LOGIN_HEADERS_MAX)
		return err_set(&c->err, -E2BIG, "too many headers");
	h->name = strdup(name);
	h->value = strdup(value);
	if (!h->name || !h->value) {
		free(h->name);
		free(h->value);
		return err_set(&c->err, -ENOMEM, "out of memory");
	}
	c->res->n_headers++;
	return 0;
}

int reply_refuse(struct login_call *c, int code, const char *arm, const char *fmt, ...)
{
	auto_free char *msg = NULL;
	va_list ap;

	va_start(ap, fmt);
	msg = vstrf(fmt, ap);
	va_end(ap);
	(void) err_set(&c->err, code, "%s", msg ? msg : "out of memory");
	err_arm(&c->err, arm);
	return code;
}

int oauth_refuse(struct login_call *c, int status, const char *error, int aadsts, const char *fmt,
		 ...)
{
	auto_free char *msg = NULL;
	va_list ap;

	va_start(ap, fmt);
	msg = vstrf(fmt, ap);
	va_end(ap);
	c->status = status;
	c->oauth = error;
	c->aadsts = aadsts;
	return err_set(&c->err, -EACCES, "%s", msg ? msg : "out of memory");
}

/* ---- Errors --------------------------------------------------------------------------------- */

static int status_of(const struct err *err, int code)
{
	static const struct {
		const char *arm;
		int status;
	} by_code[] = {
		{"MethodNotAllowed", 405},
		{"AuthenticationFailed", 401},
		{"InvalidAuthenticationToken", 401},
		{"ExpiredAuthenticationToken", 401},
	};

	for (size_t i = 0; err->arm && i < ARRAY_SIZE(by_code); i++)
		if (str_eq(by_code[i].arm, err->arm))
			return by_code[i].status;
	switch (code) {
	case -EINVAL:
		return 400;
	case -EACCES:
		return 403;
	case -ENOENT:
		return 404;
	case -EFBIG:
		return 413;
	case -EBUSY:
	case -EAGAIN:
	case -ENOMEM:
		return 503;
	default:
		return 500;
	}
}

static json_t *arm_error(const struct err *err, int status, const char *request_id)
{
	/* What broke inside stays on this host unless somebody chose the words. */
	if (status >= 500 && !err->arm)
		return json_pack("{s:{s:s, s:o}}", "error", "code",
				 status == 503 ? "ServerBusy" : "InternalServerError", "message",
				 json_strf("The service failed to do this; its log has the cause"
					   " under request %s.",
					   request_id));
	return json_pack("{s:{s:s, s:o}}", "error", "code", err->arm ? err->arm : "BadRequest",
			 "message", json_text(err_str(err), strlen(err_str(err))));
}

/* The client's own id of the request, when it is one. */
static const char *correlation(const struct login_call *c)
{
	const char *id =
		c->req->header ? c->req->header(c->req->header_arg, "client-request-id") : NULL;

	if (!id)
		id = target_query(&c->target, "client-request-id");
	if (!id || strlen(id) != UUID_STR_LEN - 1 ||
	    strspn(id, "0123456789abcdefABCDEF-") != UUID_STR_LEN - 1)
		return c->res->request_id;
	return id;
}

static json_t *oauth_error(struct login_call *c, int status)
{
	const char *error = c->oauth        ? c->oauth
			    : status == 503 ? "temporarily_unavailable"
			    : status >= 500 ? "server_error"
					    : "invalid_request";
	int number = c->aadsts ? c->aadsts : status >= 500 ? 90033 : 900023;
	const char *text = status >= 500 && !c->oauth ? "The service failed to do this for now."
						      : err_str(&c->err);
	char now[ISO_MAX];

	(void) time_iso(time_now_us(), now);
	return json_pack("{s:s, s:o, s:[i], s:s, s:s, s:s}", "error", error, "error_description",
			 json_strf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
				   number, text, c->res->request_id, correlation(c), now),
			 "error_codes", number, "timestamp", now, "trace_id", c->res->request_id,
			 "correlation_id", correlation(c));
}

void reply_error(struct login_call *c, int code)
{
	int status;

	if (c->err.code == 0)
		(void) err_set(&c->err, code, "%s", strerrordesc_np(-code));
	status = c->status ? c->status : status_of(&c->err, code);
	json_decref(c->res->body);
	/* Without memory for the body the status still tells. */
	c->res->body = c->style == REPLY_OAUTH ? oauth_error(c, status)
					       : arm_error(&c->err, status, c->res->request_id);
	c->res->status = status;
	if (status >= 500 || c->style == REPLY_OAUTH)
		(void) reply_header(c, "Cache-Control", "no-store");
	if (status == 503)
		(void) reply_header(c, "Retry-After", "1");
}

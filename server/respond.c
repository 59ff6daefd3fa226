/* SPDX-License-Identifier: Apache-2.0 */
/* From an answer to what libmicrohttpd sends. */
#include "server/internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define BLOCK     65536 /* bytes of a stream that are read at once */
#define ID_LENGTH 128   /* longest id of a client that is sent back */

/* ---- Bodies ------------------------------------------------------------------------------- */

/* A stream outlives the request's own memory: libmicrohttpd frees it with the response. */
struct pump {
	struct arm_stream stream;
	struct conn *conn;
};

static ssize_t pump_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct pump *p = cls;
	auto_err struct err err = ERR_INIT;
	int64_t n;

	if (pos >= p->stream.bytes)
		return MHD_CONTENT_READER_END_OF_STREAM;
	n = p->stream.read(p->stream.arg, buf, max, pos, &err);
	if (n <= 0) {
		log_warn("server.stream", "offset=%llu error=%s", (unsigned long long) pos,
			 err_str(&err));
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	conn_progress(p->conn, (uint64_t) n);
	return (ssize_t) n;
}

static void pump_done(void *cls)
{
	struct pump *p = cls;

	if (p->stream.done)
		p->stream.done(p->stream.arg);
	free(p);
}

static struct MHD_Response *from_stream(struct exchange *e)
{
	struct pump *p = malloc(sizeof(*p));
	struct MHD_Response *r;

	if (!p)
		return NULL;
	*p = (struct pump){e->res.stream, e->conn};
	e->bytes_out = p->stream.bytes;
	e->streams = true;
	e->text_type = p->stream.content_type;
	r = MHD_create_response_from_callback(p->stream.bytes, BLOCK, pump_read, p, pump_done);
	if (r)
		e->res.stream = (struct arm_stream){0}; /* pump_done() closes it */
	else
		free(p);
	return r;
}

static struct MHD_Response *from_json(struct exchange *e, const json_t *body)
{
	char *text = json_compact(body);
	struct MHD_Response *r;

	if (!text)
		return NULL;
	e->bytes_out = strlen(text);
	e->text_type = "application/json; charset=utf-8";
	r = MHD_create_response_from_buffer(e->bytes_out, text, MHD_RESPMEM_MUST_FREE);
	if (!r)
		free(text);
	return r;
}

static void text_done(void *cls)
{
	arm_text_unref(cls);
}

static struct MHD_Response *from_text(struct exchange *e)
{
	struct arm_text *t = e->res.text;
	struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback_cls(
		t->n, (void *) (uintptr_t) t->bytes, text_done, t);

	e->bytes_out = t->n;
	e->text_type = "application/json; charset=utf-8";
	if (r)
		e->res.text = NULL; /* text_done() releases it */
	return r;
}

static struct MHD_Response *make_response(struct exchange *e)
{
	if (e->kind != EXCHANGE_REFUSED) {
		if (e->res.text)
			return from_text(e);
		if (e->res.stream.read)
			return from_stream(e);
		if (e->res.body || e->login.body)
			return from_json(e, e->res.body ? e->res.body : e->login.body);
	}
	e->bytes_out = e->text.len;
	return MHD_create_response_from_buffer(e->text.len, (void *) (uintptr_t) buf_str(&e->text),
					       MHD_RESPMEM_MUST_COPY);
}

/* ---- Headers ------------------------------------------------------------------------------ */

static void add(struct MHD_Response *r, const char *name, const char *value)
{
	if (value && *value)
		(void) MHD_add_response_header(r, name, value); /* fails for want of memory */
}

static void add_number(struct MHD_Response *r, const char *name, int64_t value)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%lld", (long long) value);
	add(r, name, text);
}

/* An id that a client chose is sent back only when it can be nothing but an id. */
static const char *client_id(struct exchange *e, const char *name)
{
	const char *id = exchange_known(e, name);
	size_t n = id ? strlen(id) : 0;

	return n > 0 && n <= ID_LENGTH &&
			       strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
					  "rstuvwxyz0123456789-_.:{}") == n
		       ? id
		       : NULL;
}

static void add_ids(struct exchange *e, struct MHD_Response *r)
{
	const char *correlation = client_id(e, "x-ms-correlation-request-id");
	const char *echo = exchange_known(e, "x-ms-return-client-request-id");
	char iso[ISO_MAX], routing[96];

	add(r, "x-ms-request-id", e->request_id);
	add(r, "x-ms-correlation-request-id", correlation ? correlation : e->request_id);
	/* "2026-01-02T03:04:05.678901Z" gives "20260102T030405Z". */
	(void) time_iso(time_now_us(), iso);
	(void) snprintf(routing, sizeof(routing), "KILN:%.4s%.2s%.5s%.2s%.2sZ:%s", iso, iso + 5,
			iso + 8, iso + 14, iso + 17, e->request_id);
	add(r, "x-ms-routing-request-id", routing);
	if (echo && str_eq_nocase(echo, "true"))
		add(r, "x-ms-client-request-id", client_id(e, "x-ms-client-request-id"));
}

static void add_failure(struct exchange *e, struct MHD_Response *r)
{
	const char *code = e->code ? e->code : json_str_at(e->res.body, "error.code");

	if (e->status < 400)
		return;
	if (code)
		add(r, "x-ms-error-code", code);
	add(r, "x-ms-failure-cause", e->status >= 500 ? "service" : "gateway");
	add(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, e->challenge);
}

static void add_arm(struct exchange *e, struct MHD_Response *r)
{
	add(r, MHD_HTTP_HEADER_ETAG, e->res.etag);
	add(r, MHD_HTTP_HEADER_LOCATION, e->res.location);
	add(r, "Azure-AsyncOperation", e->res.async_operation);
	if (e->res.retry_after_s > 0)
		e->retry_after_s = (unsigned) e->res.retry_after_s;
	for (size_t i = 0; i < e->res.n_headers; i++)
		add(r, e->res.headers[i].name, e->res.headers[i].value);
	if (e->quota_left >= 0)
		add_number(r,
			   e->reads ? "x-ms-ratelimit-remaining-subscription-reads"
				    : "x-ms-ratelimit-remaining-subscription-writes",
			   e->quota_left);
}

static bool has_header(const struct exchange *e, const char *name)
{
	for (size_t i = 0; i < e->login.n_headers; i++)
		if (str_eq_nocase(e->login.headers[i].name, name))
			return true;
	for (size_t i = 0; i < e->res.n_headers; i++)
		if (str_eq_nocase(e->res.headers[i].name, name))
			return true;
	return false;
}

static void add_headers(struct exchange *e, struct MHD_Response *r)
{
	if (e->bytes_out > 0 || e->text_type)
		if (!has_header(e, MHD_HTTP_HEADER_CONTENT_TYPE) && e->status != 204 &&
		    e->status != 304)
			add(r, MHD_HTTP_HEADER_CONTENT_TYPE, e->text_type);
	if (!has_header(e, MHD_HTTP_HEADER_CACHE_CONTROL))
		add(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
	add(r, "X-Content-Type-Options", "nosniff");
	add(r, "Strict-Transport-Security", "max-age=31536000; includeSubDomains");
	if (!has_header(e, "x-ms-request-id"))
		add_ids(e, r);
	add_failure(e, r);
	add_arm(e, r);
	for (size_t i = 0; i < e->login.n_headers; i++)
		add(r, e->login.headers[i].name, e->login.headers[i].value);
	if (e->retry_after_s > 0)
		add_number(r, MHD_HTTP_HEADER_RETRY_AFTER, e->retry_after_s);
	if (e->close || atomic_load(&e->server->stopping))
		add(r, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* Does a body of known bytes follow the head? Of a stream nobody knows whether it can be read. */
static bool has_body(const struct exchange *e)
{
	return e->bytes_out > 0 && !e->streams && !str_eq(e->method, "HEAD") && e->status >= 200 &&
	       e->status != 204 && e->status != 304;
}

enum MHD_Result respond(struct exchange *e)
{
	struct MHD_Response *r = make_response(e);
	enum MHD_Result ok;

	if (!r)
		return MHD_NO;
	add_headers(e, r);
	if (e->conn)
		conn_phase(e->conn, CONN_SEND, e->bytes_out);
	if (e->conn && !e->conn->local && has_body(e))
		conn_cork(e->conn, e->bytes_out);
	ok = MHD_queue_response(e->mhd, (unsigned) e->status, r);
	MHD_destroy_response(r);
	return ok;
}

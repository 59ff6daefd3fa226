/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one request, as libmicrohttpd calls. */
#include "server/internal.h"

#include <malloc.h>

#include "base/mem.h"
#include "base/timeutil.h"

#define LARGE   (1u << 20) /* bytes of a body whose memory is given back to the system at once */
#define OVERRUN (1u << 20) /* bytes over the limit that are read and dropped before the answer */

void *exchange_begin(void *cls, const char *uri, struct MHD_Connection *c)
{
	struct exchange *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL; /* exchange_handle() then closes */
	e->server = cls;
	e->mhd = c;
	e->conn = conn_of_mhd(c);
	e->raw = strdup(uri);
	e->target = e->raw;
	e->body = BUF_INIT(SERVER_BODY_MAX + 1);
	e->text = BUF_INIT(4u << 20);
	e->start_ns = time_mono_ns();
	e->quota_left = -1;
	return e;
}

/* ---- The body ----------------------------------------------------------------------------- */

static void give_back(struct exchange *e)
{
	atomic_fetch_sub(&e->server->body_bytes, e->reserved);
	e->reserved = 0;
}

/* What arrives beyond a limit is dropped for a while, so that a client that sends first and reads
 * then gets to see the answer. */
static enum MHD_Result take_body(struct exchange *e, const char *data, size_t *n)
{
	size_t take = *n;

	*n = 0;
	if (!e->conn)
		return MHD_NO;
	conn_progress(e->conn, take);
	if (e->kind == EXCHANGE_REFUSED) {
		e->bytes_out += take; /* counts what was dropped, until the answer is made */
		return e->bytes_out > OVERRUN ? MHD_NO : MHD_YES;
	}
	if (e->body.len + take > e->reserved) {
		uint64_t more = e->body.len + take - e->reserved;
		uint64_t before = atomic_fetch_add(&e->server->body_bytes, more);

		e->reserved += more;
		if (before + more > e->server->settings->body_budget) {
			exchange_refuse(e, 503, "ServerBusy",
					"Too many requests with large bodies.", true);
			e->retry_after_s = 1;
			return MHD_YES;
		}
	}
	if (e->body.len + take > SERVER_BODY_MAX || buf_add(&e->body, data, take) < 0)
		exchange_refuse(e, 413, "RequestTooLarge", "The request body is too large.", true);
	return MHD_YES;
}

/* ---- Doing it ----------------------------------------------------------------------------- */

static void in_pool(void *arg)
{
	struct exchange *e = arg;

	answer_make(e);
	e->done = true;
	MHD_resume_connection(e->mhd);
}

static enum MHD_Result later(struct exchange *e)
{
	MHD_suspend_connection(e->mhd);
	if (pool_add(e->server->pool, in_pool, e) == 0)
		return MHD_YES;
	exchange_refuse(e, 503, "ServerBusy", "The server has more requests than it can keep.",
			false);
	e->retry_after_s = 1;
	e->done = true;
	MHD_resume_connection(e->mhd);
	return MHD_YES;
}

/* Whatever may wait for a disk, a lock or a slow hash does not happen in libmicrohttpd's threads.
 */
static bool may_wait(const struct exchange *e)
{
	switch (e->kind) {
	case EXCHANGE_ARM:
	case EXCHANGE_HEALTH:
	case EXCHANGE_METRICS:
		return !e->reads || e->server->config.reads_may_wait;
	case EXCHANGE_LOGIN:
		return !e->reads;
	case EXCHANGE_PORT:
		return true;
	case EXCHANGE_REFUSED:
		break;
	}
	return false;
}

static void begin(struct exchange *e, const char *method)
{
	e->begun = true;
	e->method = method;
	e->reads = str_eq(method, "GET") || str_eq(method, "HEAD");
	check_request(e);
}

enum MHD_Result exchange_handle(void *cls, struct MHD_Connection *c, const char *url,
				const char *method, const char *version, const char *data,
				size_t *data_bytes, void **ctx)
{
	struct exchange *e = *ctx;

	(void) cls, (void) c, (void) url, (void) version;
	if (!e || !e->raw)
		return MHD_NO;
	if (!e->begun) {
		begin(e, method);
		/* What ends the connection is said at once; the body is not waited for. */
		return e->kind == EXCHANGE_REFUSED && e->close ? respond(e) : MHD_YES;
	}
	if (*data_bytes > 0)
		return take_body(e, data, data_bytes);
	e->bytes_out = 0;
	if (e->conn && !e->done)
		conn_phase(e->conn, CONN_WORK, 0);
	if (e->done || e->kind == EXCHANGE_REFUSED)
		return respond(e);
	if (may_wait(e))
		return later(e);
	answer_make(e);
	return respond(e);
}

static void log_it(const struct exchange *e, int64_t ns)
{
	const struct access_entry entry = {
		.peer = e->conn ? e->conn->peer : NULL,
		.principal = e->who ? e->who->object_id : NULL,
		.method = e->method,
		.target = e->raw,
		.status = e->status,
		.ns = ns,
		.bytes_in = e->body.len,
		.bytes_out = e->bytes_out,
		.request_id = e->request_id,
		.correlation_id = exchange_known(e, "x-ms-correlation-request-id"),
		.operation_id = e->res.operation_id,
		.detail = e->res.detail,
	};

	access_write(e->server->log, &entry);
}

void exchange_end(void *cls, struct MHD_Connection *c, void **ctx,
		  enum MHD_RequestTerminationCode why)
{
	struct exchange *e = *ctx;
	bool large;

	(void) cls, (void) c, (void) why;
	*ctx = NULL;
	if (!e)
		return;
	if (e->status > 0) { /* libmicrohttpd's own refusals and what was cut off have none */
		int64_t ns = time_mono_ns() - e->start_ns;

		metrics_count(e->server->metrics, e->method, e->status, e->type, ns, e->body.len,
			      e->bytes_out);
		log_it(e, ns);
	}
	if (e->conn)
		conn_phase(e->conn, CONN_IDLE, 0);
	large = e->body.len >= LARGE;
	give_back(e);
	if (e->has_identity)
		login_identity_done(&e->identity);
	arm_response_done(&e->res);
	login_response_done(&e->login);
	buf_done(&e->body);
	buf_done(&e->text);
	free(e->challenge);
	free(e->raw);
	free(e);
	if (large) /* the allocator would keep what a few large documents took */
		(void) malloc_trim(0);
}

/* Proxies set headers of these names for servers behind them. This server believes a token or the
 * kernel, so nothing behind it may see them. */
const char *exchange_header(void *arg, const char *name)
{
	static const char *const never[] = {
		"forwarded",
		"x-real-ip",
		"x-ms-client-principal",
		"x-ms-client-principal-id",
		"x-ms-client-principal-name",
		"x-ms-client-principal-idp",
	};
	const struct exchange *e = arg;

	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (str_eq_nocase(name, never[i]))
			return NULL;
	if (strncasecmp(name, "x-forwarded-", 12) == 0 || strncasecmp(name, "x-arr-", 6) == 0)
		return NULL;
	return exchange_known(e, name);
}

const char *exchange_known(const struct exchange *e, const char *name)
{
	return MHD_lookup_connection_value(e->mhd, MHD_HEADER_KIND, name);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "server/internal.h"

#include <sys/socket.h>

#include "base/hash.h"
#include "base/mem.h"

/* ---- ARM ---------------------------------------------------------------------------------- */

/* A job waits: the worker need not find out by looking. It looks by itself within a second, so
 * nothing is lost when it cannot be told. */
static void wake_worker(struct server *s)
{
	if (s->wake_fd >= 0)
		(void) sendto(s->wake_fd, "w", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
			      (const struct sockaddr *) &s->wake, sizeof(s->wake));
}

/* Who was changed by this server is seen anew at once. */
static void see_identities(struct exchange *e)
{
	if (e->server->config.login && !e->reads && e->res.type &&
	    str_starts(e->res.type, "Kiln.Identity/"))
		login_refresh(e->server->config.login);
}

static void answer_arm(struct exchange *e)
{
	const char *key = exchange_known(e, "Idempotency-Key");
	const struct arm_request req = {
		.method = e->method,
		.target = e->target,
		.body = e->body.len > 0 ? e->body.data : NULL,
		.body_bytes = e->body.len,
		.who = e->who,
		.base_url = e->base_url,
		.if_match = exchange_known(e, "If-Match"),
		.if_none_match = exchange_known(e, "If-None-Match"),
		.idempotency_key = key ? key : exchange_known(e, "Repeatability-Request-ID"),
		.client_request_id = exchange_known(e, "x-ms-client-request-id"),
		.correlation_id = exchange_known(e, "x-ms-correlation-request-id"),
		.header = exchange_header,
		.header_arg = e,
		.takes_text = true,
	};

	arm_handle(e->server->config.arm, &req, &e->res);
	e->status = e->res.status;
	if (e->res.type)
		e->type = e->res.type;
	if (e->res.request_id[0])
		memcpy(e->request_id, e->res.request_id, sizeof(e->request_id));
	see_identities(e);
	if (!e->res.operation_id[0])
		return;
	metrics_operation(e->server->metrics);
	wake_worker(e->server);
}

/* ---- Login -------------------------------------------------------------------------------- */

static void answer_login(struct exchange *e)
{
	const struct login_request req = {
		.method = e->method,
		.target = e->target,
		.header = exchange_header,
		.header_arg = e,
		.body = e->body.len > 0 ? e->body.data : NULL,
		.body_bytes = e->body.len,
		.base_url = e->base_url,
		.peer = e->conn->local ? NULL : e->conn->peer,
	};

	if (!login_http(e->server->config.login, &req, &e->login)) {
		exchange_refuse(e, 404, "ResourceNotFound", "There is nothing here.", false);
		return;
	}
	e->status = e->login.status;
	if (e->login.request_id[0])
		memcpy(e->request_id, e->login.request_id, sizeof(e->request_id));
}

/* ---- The server itself -------------------------------------------------------------------- */

static bool answer_reads(struct exchange *e)
{
	if (e->reads)
		return true;
	exchange_refuse(e, 405, "MethodNotAllowed", "Only GET and HEAD are answered here.", false);
	return false;
}

/* Healthy is who can read the database and is not about to stop. */
static void answer_health(struct exchange *e)
{
	auto_err struct err err = ERR_INIT;
	uint64_t queued, running;

	if (!answer_reads(e))
		return;
	if (atomic_load(&e->server->stopping)) {
		exchange_refuse(e, 503, "ServerBusy", "The server is stopping.", false);
	} else if (arm_job_counts(e->server->config.arm, &queued, &running, &err) < 0) {
		exchange_refuse(e, 503, "ServerBusy", "The database does not answer.", false);
		e->res.detail = strdup(err_str(&err));
	} else {
		(void) buf_addstr(&e->text, "{\"status\":\"ok\"}");
		e->text_type = "application/json";
		e->status = 200;
	}
}

static void answer_metrics(struct exchange *e)
{
	struct server *s = e->server;
	uint64_t queued = 0, running = 0;

	if (!answer_reads(e))
		return;
	metrics_text(s->metrics, &e->text);
	if (arm_job_counts(s->config.arm, &queued, &running, NULL) >= 0) {
		metrics_value(&e->text, "kiln_jobs_queued", "gauge", "Jobs that no worker has.",
			      queued);
		metrics_value(&e->text, "kiln_jobs_running", "gauge", "Jobs that a worker has.",
			      running);
	}
	metrics_value(&e->text, "kiln_connections", "gauge", "Open connections.",
		      conns_count(s->conns));
	metrics_value(&e->text, "kiln_connections_refused_total", "counter",
		      "Connections over a limit.", conns_refused(s->conns));
	metrics_value(&e->text, "kiln_connections_late_total", "counter",
		      "Connections closed because they took too long.", conns_late(s->conns));
	metrics_value(&e->text, "kiln_body_bytes", "gauge", "Bytes of bodies in memory.",
		      atomic_load(&s->body_bytes));
	metrics_value(&e->text, "kiln_access_log_lost_total", "counter",
		      "Lines that the access log could not take.", access_lost(s->log));
	e->text_type = "text/plain; version=0.0.4; charset=utf-8";
	e->status = 200;
}

void answer_make(struct exchange *e)
{
	if (e->kind != EXCHANGE_ARM && e->kind != EXCHANGE_PORT && !e->request_id[0])
		(void) uuid_random(e->request_id);
	switch (e->kind) {
	case EXCHANGE_ARM:
	case EXCHANGE_PORT:
		answer_arm(e);
		break;
	case EXCHANGE_LOGIN:
		answer_login(e);
		break;
	case EXCHANGE_HEALTH:
		answer_health(e);
		break;
	case EXCHANGE_METRICS:
		answer_metrics(e);
		break;
	case EXCHANGE_REFUSED:
		break;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/audit.h"

#include "arm/flood.h"
#include "arm/internal.h"
#include "base/log.h"
#include "base/mem.h"
#include "meta/audit.h"

#define TEXT_MAX 2048 /* bytes of one member: an id's limit */

static int put(json_t *j, const char *key, const char *value)
{
	if (!value || !*value)
		return 0;
	return json_object_set_new(j, key, json_text(value, strnlen(value, TEXT_MAX))) < 0 ? -ENOMEM
											   : 0;
}

static int put_number(json_t *j, const char *key, uint64_t n)
{
	return n && json_object_set_new(j, key, json_integer((json_int_t) n)) < 0 ? -ENOMEM : 0;
}

/* Neither bodies nor query options: they may hold secrets and signatures. */
static int record(const struct audit_event *e, json_t *j)
{
	const struct {
		const char *key, *value;
	} fields[] = {
		{"principalId", e->who ? e->who->object_id : NULL},
		{"principalName", e->who ? e->who->name : NULL},
		{"principalType", e->who ? e->who->kind : NULL},
		{"tenantId", e->who ? e->who->tenant_id : NULL},
		{"action", e->action},
		{"resourceId", e->id},
		{"method", e->method},
		{"result", e->result},
		{"code", e->code},
		{"requestId", e->request_id},
		{"correlationId", e->correlation_id},
		{"operationId", e->operation_id},
		{"peer", e->peer},
		{"credentialId", e->credential},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields) && r >= 0; i++)
		r = put(j, fields[i].key, fields[i].value);
	return r < 0 ? r : put_number(j, "status", (uint64_t) e->status);
}

static const char *source_of(const struct audit_event *e)
{
	if (e->source)
		return e->source;
	return e->who && e->who->object_id ? e->who->object_id : "";
}

int audit_event(struct arm *arm, const struct audit_event *e, struct err *err)
{
	auto_json json_t *j = json_object();
	uint64_t omitted = 0;
	int r = j ? 0 : -ENOMEM;

	if (e->class != AUDIT_CHANGE &&
	    !flood_take(arm->flood, e->class, source_of(e), time_mono_ns(), &omitted))
		return 0;
	if (r >= 0)
		r = record(e, j);
	if (r >= 0)
		r = put_number(j, "omitted", omitted);
	if (r < 0)
		return err_set(err, r, "out of memory");
	return audit_add(arm->config.meta, j, err);
}

void audit_failure(struct request *rq)
{
	const struct arm_request *q = rq->req;
	bool reads = str_eq(q->method, "GET") || str_eq(q->method, "HEAD");
	struct audit_event e = {
		.class = AUDIT_FAILURE,
		.who = q->who,
		.method = q->method,
		.result = rq->res->status == 403 ? "Denied" : "Failed",
		.code = error_of(&rq->err).code,
		.request_id = rq->res->request_id,
		.correlation_id = q->correlation_id,
		.status = rq->res->status,
	};
	auto_err struct err own = ERR_INIT;
	auto_free char *path = NULL;

	if (reads || rq->port || !q->who || rq->audited)
		return;
	if (!rq->action && rq->route.id.text)
		rq->action = authorize_action(&rq->route, q->method);
	if (rq->action && str_ends(rq->action, "/read")) /* a POST that only asks */
		return;
	e.action = rq->action;
	path = rq->route.id.text ? NULL : strndup(q->target, strcspn(q->target, "?#"));
	e.id = path ? path : rq->route.id.text;
	if (audit_event(rq->arm, &e, &own) < 0)
		log_warn("audit.failed", "request=%s error=%s", e.request_id, err_str(&own));
}

void audit_omitted(struct arm *arm)
{
	static const char *const names[AUDIT_CLASSES] = {
		[AUDIT_FAILURE] = "Microsoft.Insights/eventtypes/failures/omit",
		[AUDIT_LOGIN_FAILED] = "Microsoft.Insights/eventtypes/failedLogins/omit",
		[AUDIT_LOGIN] = "Microsoft.Insights/eventtypes/logins/omit",
	};

	for (int i = AUDIT_CHANGE + 1; i < AUDIT_CLASSES; i++) {
		uint64_t n = flood_omitted(arm->flood, (enum audit_class) i);
		auto_err struct err e = ERR_INIT;
		auto_json json_t *j = n ? json_pack("{s:s, s:s, s:I}", "action", names[i], "result",
						    "Omitted", "omitted", (json_int_t) n)
					: NULL;

		if (n && (!j || audit_add(arm->config.meta, j, &e) < 0))
			log_warn("audit.failed", "omitted=%llu error=%s", (unsigned long long) n,
				 err_str(&e));
	}
}

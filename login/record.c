/* SPDX-License-Identifier: Apache-2.0 */
/* Logins in the audit log, within the rates of arm/flood.h. */
#include "arm/audit.h"

#include "base/log.h"
#include "base/mem.h"
#include "login/token.h"

#define LOGIN_ACTION "Kiln.Identity/tokens/issue/action"

/* Who was proven, else who somebody claimed to be. */
static struct arm_principal who_of(const struct grant *g)
{
	const char *claimed = g->client_id ? g->client_id : form(g, "username");

	if (!g->principal.object_id)
		return (struct arm_principal){.name = claimed};
	return (struct arm_principal){
		.object_id = g->principal.object_id,
		.name = g->principal.name,
		.kind = g->principal.app_id ? "Application" : "User",
		.tenant_id = g->principal.tenant_id,
	};
}

int login_record(struct grant *g, int r)
{
	struct login_call *c = g->call;
	const struct arm_principal who = who_of(g);
	struct audit_event e = {
		.class = r < 0 ? AUDIT_LOGIN_FAILED : AUDIT_LOGIN,
		.who = &who,
		.action = LOGIN_ACTION,
		.id = "/providers/Kiln.Identity",
		.method = c->req->method,
		.result = r < 0 ? "Failed" : "Success",
		.request_id = c->res->request_id,
		.peer = c->req->peer,
		.credential = g->credential.id,
		.status = 200,
	};
	auto_free char *code = NULL;
	auto_err struct err own = ERR_INIT;

	if (r >= 0)
		return audit_event(c->l->config.arm, &e, &c->err);
	if (!c->oauth) /* nobody was refused: the service failed, and the server's log has why */
		return r;
	code = strf("%s AADSTS%d", c->oauth, c->aadsts);
	e.code = code;
	e.source = c->req->peer ? c->req->peer : "";
	e.status = c->status;
	if (!code || audit_event(c->l->config.arm, &e, &own) < 0)
		log_warn("audit.failed", "request=%s error=%s", e.request_id, err_str(&own));
	return r;
}

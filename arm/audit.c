/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/audit.h"

#include "arm/internal.h"
#include "base/mem.h"

static int put(json_t *j, const char *key, const char *value)
{
	if (!value || !*value)
		return 0;
	return json_object_set_new(j, key, json_text(value, strlen(value))) < 0 ? -ENOMEM : 0;
}

/* Neither bodies nor query options: they may hold secrets and signatures. */
int audit_event(struct arm *arm, const struct audit_event *e, struct err *err)
{
	auto_json json_t *j = json_object();
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
	};
	int r = j ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(fields) && r >= 0; i++)
		r = put(j, fields[i].key, fields[i].value);
	if (r >= 0 && e->status > 0 &&
	    json_object_set_new(j, "status", json_integer(e->status)) < 0)
		r = -ENOMEM;
	if (r < 0)
		return err_set(err, r, "out of memory");
	return audit_add(arm->config.meta, j, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Authorization/permissions: what the caller may do at a scope. */
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/roles_common.h"

static int permission_list(struct arm_call *c, struct err *err)
{
	json_t *list = NULL;
	int r = arm_permissions(c->arm, c->who, c->id->parent, &list, err);

	if (r < 0)
		return r;
	c->result = json_pack("{s:o}", "value", list);
	return c->result ? 0 : no_memory(err);
}

const struct arm_type type_permissions = {
	.name = "Microsoft.Authorization/permissions",
	.scope = ARM_SCOPE_ANY,
	.first_version = "2015-07-01",
	.versions = authorization_versions,
	.list = permission_list,
};

/* Deny assignments are made by Azure itself only; there are none here. */
static int deny_list(struct arm_call *c, struct err *err)
{
	c->result = json_pack("{s:[]}", "value");
	return c->result ? 0 : no_memory(err);
}

static int deny_get(struct arm_call *c, struct err *err)
{
	(void) c; /* not found */
	(void) err;
	return 0;
}

const struct arm_type type_deny_assignments = {
	.name = "Microsoft.Authorization/denyAssignments",
	.scope = ARM_SCOPE_ANY,
	.first_version = "2018-07-01-preview",
	.versions = authorization_versions,
	.get = deny_get,
	.list = deny_list,
};

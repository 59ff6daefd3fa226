/* SPDX-License-Identifier: Apache-2.0 */
/* What role definitions and role assignments share. */
#ifndef KILN_PROVIDERS_ROLES_COMMON_H
#define KILN_PROVIDERS_ROLES_COMMON_H

#include "arm/arm.h"

#define GUID_PATTERN "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"

extern const char *const authorization_versions[];

/** role_guid() - the last segment of a role definition's id; never NULL. */
const char *role_guid(const char *id);
/** scope_within() - is @id at @scope or below? "/" and "" are the tenant. */
bool scope_within(const char *id, const char *scope);
/** role_load() - a built-in or custom role that the tenant of @scope knows, as {"id","name","type",
 *  "properties"}. New reference; 0 or -ENOENT. */
int role_load(struct arm *arm, const char *scope, const char *guid, json_t **ret, struct err *err);
/** role_assignable() - is @scope within the role's assignableScopes? */
bool role_assignable(const json_t *role, const char *scope);

/** principal_check() - the principal that the document names at @field exists in the tenant of the
 *  scope; its kind is set at @kind_field or must agree with it. */
int principal_check(struct arm_call *c, const char *field, const char *kind_field, struct err *err);
/** principal_includes() - is @holder the principal @who or a group that it is in? 1, 0 or -errno.
 */
int principal_includes(struct arm_call *c, const char *who, const char *holder, struct err *err);

#endif

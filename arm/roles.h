/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Role permissions: the built-in roles under their public ids, and how a permission is compared
 * with an action. An action is "Microsoft.Compute/galleries/images/versions/read"; in a pattern
 * "*" stands for any characters at any place; case does not count. Pure.
 */
#ifndef KILN_ARM_ROLES_H
#define KILN_ARM_ROLES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

#define ROLE_OWNER "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"

struct role_builtin {
	const char *id; /* GUID */
	const char *name, *description;
	const char *const *actions, *const *not_actions; /* end with NULL; NULL = none */
	const char *const *data_actions;
};
/** role_builtins() - ends with id NULL. */
const struct role_builtin *role_builtins(void);
/** role_builtin_json() - its "properties" as clients read them; new reference; NULL on ENOMEM. */
json_t *role_builtin_json(const struct role_builtin *b);

/* One element of a role's "permissions", ready to be compared. */
struct permission {
	char **actions, **not_actions;           /* owned, lower-cased, NULL-terminated */
	char **data_actions, **not_data_actions; /* NULL = none */
};
/** permission_init() - from {"actions":[],"notActions":[],...}. 0, -ENOMEM; what is not a list of
 *  strings counts as empty. */
int permission_init(struct permission *p, const json_t *from);
void permission_done(struct permission *p);
/** permission_allows() - @action lower-cased; @data: judge by the data actions. */
bool permission_allows(const struct permission *p, const char *action, bool data);
/** pattern_matches() - both lower-cased. */
bool pattern_matches(const char *pattern, const char *action);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What decisions read: role assignments, role definitions, locks and the tenants of subscriptions,
 * compiled into sorted arrays in memory. Each write to one of those rows renews a stamp in the
 * database, in its transaction; a snapshot whose stamp is no longer the database's is replaced. A
 * process sees its own commits at once and those of others within ARM_GRANTS_NS.
 *
 * Snapshots never change and are counted by reference. Safe from many threads.
 */
#ifndef KILN_ARM_GRANTS_H
#define KILN_ARM_GRANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arm/roles.h"
#include "base/err.h"

#define ARM_GRANTS_NS INT64_C(200000000) /* how old an unchecked snapshot may be */

struct arm;
struct arm_principal;
struct grants;
struct grants_cache; /* one per struct arm */

int grants_cache_new(struct grants_cache **ret, struct err *err);
void grants_cache_free(struct grants_cache *c);
/** grants_stale() - something was committed in this process: look at the stamp before next use. */
void grants_stale(struct arm *arm);
/** grants_watch() - have the database note changes. */
void grants_watch(struct arm *arm);

/** grants_ref() - the current snapshot. */
int grants_ref(struct arm *arm, struct grants **ret, struct err *err);
void grants_unref(struct grants *g);
static inline void grants_unrefp(struct grants **g)
{
	grants_unref(*g);
}
#define auto_grants __attribute__((cleanup(grants_unrefp)))

/* What to look for. Scopes are keys: lower-cased ids, "" = the tenant. */
struct grants_query {
	const struct arm_principal *who;
	const char *action; /* lower-cased; NULL = any role will do */
	bool data;          /* a data action */
	const char *key;
};
/** grants_allow() - does a grant at @key or above allow it? */
bool grants_allow(const struct grants *g, const struct grants_query *q);
/** grants_below() - does a grant anywhere below @key allow it? */
bool grants_below(const struct grants *g, const struct grants_query *q);
/** grants_permissions() - those at @key and above: {"actions":[],...} each; new reference. */
json_t *grants_permissions(const struct grants *g, const struct grants_query *q);
/** grants_tenant() - the tenant that @key belongs to; what has no subscription and what does not
 *  exist belongs to the home tenant. */
const char *grants_tenant(const struct grants *g, const char *key);

enum lock_level { LOCK_NONE, LOCK_DELETE, LOCK_READ_ONLY };
/** grants_lock() - the strongest lock at @key or above (*@ret_scope: where), or with @below also
 *  those below. */
enum lock_level grants_lock(const struct grants *g, const char *key, bool below,
			    const char **ret_scope);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource ids and request targets. Split first, then percent-decode; "%00" and "%2F" are refused.
 * Comparison is without ASCII case, the case first given is kept. Pure.
 */
#ifndef KILN_ARM_ID_H
#define KILN_ARM_ID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define UUID_STR_LEN 37
#define ARM_ID_MAX   2048 /* bytes of a path */
#define ARM_ID_PARTS 12   /* type/name pairs after the namespace */

struct arm_id {
	char *text;         /* owned: canonical "/subscriptions/..." with the case as given */
	char *key;          /* owned: lower-cased text: what is compared and stored as key */
	char *subscription; /* owned or NULL */
	char *group;        /* owned or NULL */
	char *ns;           /* owned: "Microsoft.Compute", or NULL */
	char *type;         /* owned: "Microsoft.Compute/galleries/images", type names as given */
	char *name;         /* owned: last name, or NULL for a collection */
	char *parent;       /* owned: id text of the parent resource (or group, subscription) */
	char *names[ARM_ID_PARTS]; /* owned: one per type segment */
	size_t n_names;
	char *scope;    /* owned: what the last "/providers/NAMESPACE" is on: "" = the tenant; NULL
			   without one */
	bool extension; /* @scope is itself a provider's resource */
	char *location; /* owned: the segment after ".../locations/", or NULL */
};

/** arm_id_parse() - @path without query, percent-encoded. A collection (odd number of segments)
 *  is accepted: name is NULL. 0, -EINVAL (err says which segment), -ENOMEM. */
int arm_id_parse(const char *path, struct arm_id *ret, struct err *err);
void arm_id_done(struct arm_id *id);
#define auto_arm_id __attribute__((cleanup(arm_id_done)))

/** arm_id_eq() - same resource: compares without case and without a trailing slash. */
int arm_id_eq(const char *a, const char *b);
/** location_normalize() - "East US" -> "eastus"; caller frees; NULL on ENOMEM. */
char *location_normalize(const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many records of the audit log somebody can cause without changing anything. Each source (a
 * principal, an address) and each class as a whole has a bucket that holds a burst and fills again
 * slowly; what finds one of the two empty is left out and counted. The figures are in flood.c;
 * docs/request-path.md states them.
 */
#ifndef KILN_ARM_FLOOD_H
#define KILN_ARM_FLOOD_H

#include "arm/audit.h"

struct flood;

int flood_new(struct flood **ret);
void flood_free(struct flood *f); /* NULL is fine */
/** flood_take() - may this be recorded, @now_ns by the monotonic clock? If so, *@ret_omitted is
 * what was left out of this class since its last record, and is forgotten. */
bool flood_take(struct flood *f, enum audit_class class, const char *source, int64_t now_ns,
		uint64_t *ret_omitted);
/** flood_omitted() - what was left out of a class and no record told of yet; is forgotten. */
uint64_t flood_omitted(struct flood *f, enum audit_class class);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_PROVIDERS_VERSION_REGIONS_H
#define KILN_PROVIDERS_VERSION_REGIONS_H

#include "arm/arm.h"

/** version_regions_check() - defaults and rules of targetRegions that hold always: own location
 *  among them, no region twice, counts, nothing that cannot be had. */
int version_regions_check(struct arm_call *c, struct err *err);
/** version_regions_update() - the same, and what an update may add, drop and change. */
int version_regions_update(struct arm_call *c, struct err *err);
/** version_region_find() - the entry of a region (normalized name); borrowed or NULL. */
const json_t *version_region_find(const json_t *targets, const char *name);

#endif

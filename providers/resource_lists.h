/* SPDX-License-Identifier: Apache-2.0 */
/* $filter of lists that speak of resources in general. */
#ifndef KILN_PROVIDERS_RESOURCE_LISTS_H
#define KILN_PROVIDERS_RESOURCE_LISTS_H

#include "arm/arm.h"

/* What such lists can be filtered by; every one goes to resource_test(). */
extern const struct arm_filter_field resource_fields[];
/** resource_test() - struct arm_list's test for them. */
int resource_test(struct arm_call *c, const struct filter *f, const struct filter_term *t,
		  const json_t *doc, struct err *err);

#endif

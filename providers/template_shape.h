/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of an image template. */
#ifndef KILN_PROVIDERS_TEMPLATE_SHAPE_H
#define KILN_PROVIDERS_TEMPLATE_SHAPE_H

#include "arm/arm.h"

extern const struct arm_field template_properties[], template_envelope[];

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation that a role can allow. */
#ifndef KILN_PROVIDERS_PROVIDER_OPERATIONS_H
#define KILN_PROVIDERS_PROVIDER_OPERATIONS_H

#include <stdbool.h>

/* Ends with NULL. "{name}" stands for each namespace. */
extern const char *const provider_operations[];
bool provider_operation_is_data(const char *name);

#endif

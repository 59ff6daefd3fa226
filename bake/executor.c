/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/executor.h"

#include "base/mem.h"

/* Adding an executor: its file, one row here, a row of the conformance suite. */
static const struct executor_ops *const executors[] = {
	&executor_container,
	&executor_vm,
};

const struct executor_ops *executor_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(executors); i++)
		if (str_eq(executors[i]->name, name))
			return executors[i];
	return NULL;
}

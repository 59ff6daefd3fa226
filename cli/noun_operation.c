/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: what runs, how far, how it ended. */
#include "cli/noun.h"
#include "cli/verbs.h"

static const struct cli_column operation_columns[] = {
	{"OPERATION", "name"},
	{"STATUS", "properties.status"},
	{">%", "properties.percentComplete"},
	{"KIND", "properties.kind"},
	{"RESOURCE", "properties.resourceId", CELL_LAST},
	{"STARTED", "properties.startTime", CELL_TIME},
	{"ENDED", "properties.endTime", CELL_TIME},
	{"RESOURCE ID", "properties.resourceId", .wide = true},
	{"BY", "properties.createdBy", .wide = true},
	{"ERROR", "properties.error.message", .wide = true},
	{NULL},
};
static const struct cli_noun noun_operation = {
	.path = "providers/Kiln.Resources/operations",
	.scope = NOUN_SUBSCRIPTION,
	.one = "operation",
	.columns = operation_columns,
};
static const struct cli_option operation_options[] = {
	CLI_RENDER_OPTIONS,
	{NULL},
};

const struct cli_command cmd_operation_list = {
	.name = "operation list",
	.summary = "list what runs and what ended lately",
	.help = "Example:\n  kiln operation list --jq '.[] | "
		"select(.properties.status == \"InProgress\") | .name'",
	.options = operation_options,
	.run = verb_list,
	.noun = &noun_operation,
};
const struct cli_command cmd_operation_show = {
	.name = "operation show",
	.args = "OPERATION",
	.summary = "show one operation, its progress and its error",
	.help = "Example:\n  kiln operation show 8d0f2b1e-...",
	.options = operation_options,
	.run = verb_show,
	.noun = &noun_operation,
};
const struct cli_command cmd_operation_cancel = {
	.name = "operation cancel",
	.args = "OPERATION",
	.summary = "ask an operation to stop",
	.help = "Its worker sees that within a second and ends the whole process tree of the step "
		"that\nruns.\n\nExample:\n  kiln operation cancel 8d0f2b1e-...",
	.options = operation_options,
	.run = verb_action,
	.noun = &noun_operation,
	.action = "cancel",
};

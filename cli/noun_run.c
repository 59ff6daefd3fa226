/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of image templates. */
#include "cli/noun.h"
#include "cli/verbs.h"

static const struct cli_column run_columns[] = {
	{"RUN", "name"},
	{"TEMPLATE", "properties.templateId", CELL_LAST},
	{"STATE", "properties.state"},
	{"STARTED", "properties.startTime", CELL_TIME},
	{">SECONDS", "properties.seconds"},
	{">STEPS", "properties.steps", CELL_COUNT},
	{">RAN", "properties.ran"},
	{"ENDED", "properties.endTime", CELL_TIME, .wide = true},
	{"SOURCE", "properties.source.id", .wide = true},
	{"DISK", "properties.artifact.disk.digest", .wide = true},
	{"OUTPUTS", "properties.outputs", CELL_LIST, .wide = true},
	{"ERROR", "properties.error.message", .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_run = {
	.type = "Kiln.Images/runs",
	.one = "run",
	.columns = run_columns,
	.newest = "properties.startTime",
};

/* What the steps took and left, of one run. */
static const struct cli_column step_columns[] = {
	{">#", "index"},
	{"STEP", "name"},
	{"KIND", "kind"},
	{"STATE", "state"},
	{">SECONDS", "seconds"},
	{">CHANGED", "changedBytes", CELL_SIZE},
	{">NEW", "newBytes", CELL_SIZE},
	{">STORED", "storedBytes", CELL_SIZE},
	{NULL},
};
static const struct cli_noun noun_step = {
	.type = "Kiln.Images/runs",
	.one = "run",
	.columns = step_columns,
	.part = "properties.steps",
};

const struct cli_command cmd_runs_list = {
	.name = "runs list",
	.summary = "list the runs of image templates, newest first",
	.help = "Example:\n  kiln runs",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_run,
};
const struct cli_command cmd_runs_show = {
	.name = "runs show",
	.args = "RUN",
	.summary = "show one run",
	.help = "Example:\n  kiln runs show 8d0f2b1e-...",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_run,
};
const struct cli_command cmd_runs_steps = {
	.name = "runs steps",
	.args = "RUN",
	.summary = "what each step of a run took and changed",
	.help = "Example:\n  kiln runs steps 8d0f2b1e-...",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_step,
};
const struct cli_command cmd_runs_delete = {
	.name = "runs delete",
	.args = "RUN",
	.summary = "delete the record of a run, and its artefact",
	.help = "What was published stays.\n\nExample:\n  kiln runs delete 8d0f2b1e-... --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_run,
};

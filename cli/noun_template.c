/* SPDX-License-Identifier: Apache-2.0 */
/* Image templates, their runs, and managed images. */
#include "cli/noun.h"
#include "cli/verbs.h"

#define TEMPLATE_TYPE "Microsoft.VirtualMachineImages/imageTemplates"

static const struct cli_column template_columns[] = {
	{"TEMPLATE", "name"},
	{"GROUP", "id", CELL_GROUP},
	{"LOCATION", "location"},
	{"SOURCE", "properties.source.type"},
	{"STEPS", "properties.customize", CELL_COUNT},
	{"LAST RUN", "properties.lastRunStatus.runState"},
	{"ENDED", "properties.lastRunStatus.endTime", CELL_TIME},
	{"MESSAGE", "properties.lastRunStatus.message", .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_template = {
	.type = TEMPLATE_TYPE,
	.one = "image template",
	.located = true,
	.columns = template_columns,
};
static const struct cli_option template_create[] = {
	NOUN_GROUP_OPTION,
	NOUN_CREATE_OPTIONS,
	{NULL},
};
static const struct cli_option template_action[] = {
	NOUN_GROUP_OPTION,
	{"--no-wait", 0, NULL, "do not wait for the operation's end"},
	CLI_RENDER_OPTIONS,
	{NULL},
};

const struct cli_command cmd_template_list = {
	.name = "template list",
	.summary = "list image templates and how their last runs ended",
	.help = "Examples:\n"
		"  kiln template list\n"
		"  kiln template list -g images --json",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_template,
};
const struct cli_command cmd_template_show = {
	.name = "template show",
	.args = "TEMPLATE",
	.summary = "show one image template",
	.help = "TEMPLATE is a name or a resource id. With --json, the document is one that an "
		"edited\n"
		"copy of can be baked from.\n\n"
		"Example:\n"
		"  kiln template show golden-debian --json > template.json",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_template,
};
const struct cli_command cmd_template_create = {
	.name = "template create",
	.args = "TEMPLATE",
	.summary = "keep an image template (kiln bake does that and runs it)",
	.help = "Example:\n  kiln template create golden-debian -g images --body template.json",
	.options = template_create,
	.run = verb_create,
	.noun = &noun_template,
};
const struct cli_command cmd_template_run = {
	.name = "template run",
	.args = "TEMPLATE",
	.summary = "run a kept image template",
	.help = "Example:\n  kiln template run golden-debian",
	.options = template_action,
	.run = verb_action,
	.noun = &noun_template,
	.action = "run",
};
const struct cli_command cmd_template_cancel = {
	.name = "template cancel",
	.args = "TEMPLATE",
	.summary = "stop the run of an image template",
	.help = "Example:\n  kiln template cancel golden-debian",
	.options = template_action,
	.run = verb_action,
	.noun = &noun_template,
	.action = "cancel",
};
const struct cli_command cmd_template_delete = {
	.name = "template delete",
	.args = "TEMPLATE",
	.summary = "delete an image template; what it made stays",
	.help = "Example:\n  kiln template delete golden-debian --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_template,
};

/* ---- Run outputs ---------------------------------------------------------------------------- */

static const struct cli_column output_columns[] = {
	{"OUTPUT", "name"},
	{"STATE", "properties.provisioningState"},
	{"ARTIFACT", "properties.artifactId"},
	{"URI", "properties.artifactUri"},
	{NULL},
};
static const struct cli_noun noun_output = {
	.type = TEMPLATE_TYPE "/runOutputs",
	.one = "run output",
	.columns = output_columns,
};

const struct cli_command cmd_template_outputs = {
	.name = "template outputs",
	.args = "TEMPLATE",
	.summary = "list what the last run of a template made",
	.help = "Example:\n  kiln template outputs golden-debian --jq '.[].properties.artifactId'",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_output,
};

/* ---- Managed images ------------------------------------------------------------------------- */

static const struct cli_column image_columns[] = {
	{"IMAGE", "name"},
	{"GROUP", "id", CELL_GROUP},
	{"LOCATION", "location"},
	{"OS", "properties.storageProfile.osDisk.osType"},
	{"GENERATION", "properties.hyperVGeneration"},
	{"STATE", "properties.provisioningState"},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_image = {
	.type = "Microsoft.Compute/images",
	.one = "managed image",
	.located = true,
	.columns = image_columns,
};

const struct cli_command cmd_image_list = {
	.name = "image list",
	.summary = "list managed images",
	.help = "Example:\n  kiln image list -g images",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_image,
};
const struct cli_command cmd_image_show = {
	.name = "image show",
	.args = "IMAGE",
	.summary = "show one managed image",
	.help = "Example:\n  kiln image show web",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_image,
};
const struct cli_command cmd_image_delete = {
	.name = "image delete",
	.args = "IMAGE",
	.summary = "delete a managed image",
	.help = "Example:\n  kiln image delete web --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_image,
};

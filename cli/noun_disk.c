/* SPDX-License-Identifier: Apache-2.0 */
/* Disks and snapshots. */
#include "cli/noun.h"
#include "cli/verbs.h"

static const struct cli_column disk_columns[] = {
	{"NAME", "name"},
	{"GROUP", "id", CELL_GROUP},
	{"LOCATION", "location"},
	{">SIZE", "properties.diskSizeBytes", CELL_SIZE},
	{"OS", "properties.osType"},
	{"GENERATION", "properties.hyperVGeneration"},
	{"FROM", "properties.creationData.createOption"},
	{"STATE", "properties.diskState"},
	{"SOURCE", "properties.creationData.sourceResourceId", .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_disk = {
	.type = "Microsoft.Compute/disks",
	.one = "disk",
	.located = true,
	.columns = disk_columns,
};
static const struct cli_noun noun_snapshot = {
	.type = "Microsoft.Compute/snapshots",
	.one = "snapshot",
	.located = true,
	.columns = disk_columns,
};

#define CREATE_OPTIONS                                                                             \
	NOUN_GROUP_OPTION,                                                                         \
		{"--from",                                                                         \
		 0,                                                                                \
		 "HOW",                                                                            \
		 "Empty, Copy, FromImage, Import or Upload",                                       \
		 .path = "properties.creationData.createOption",                                   \
		 .put = PUT_TEXT,                                                                  \
		 .required = true},                                                                \
		{"--source",                                                                       \
		 's',                                                                              \
		 "ID",                                                                             \
		 "disk or snapshot to copy",                                                       \
		 .path = "properties.creationData.sourceResourceId",                               \
		 .put = PUT_ID},                                                                   \
		{"--image",                                                                        \
		 0,                                                                                \
		 "ID",                                                                             \
		 "image version to start from",                                                    \
		 .path = "properties.creationData.galleryImageReference.id",                       \
		 .put = PUT_ID},                                                                   \
		{"--size-gb",   0, "N", "size in GiB", .path = "properties.diskSizeGB",            \
		 .put = PUT_INT},                                                                  \
		{"--upload-bytes",                                                                 \
		 0,                                                                                \
		 "N",                                                                              \
		 "size of the VHD file that will be uploaded",                                     \
		 .path = "properties.creationData.uploadSizeBytes",                                \
		 .put = PUT_INT},                                                                  \
		{"--os-type",    0, "OS", "Linux or Windows", .path = "properties.osType",         \
		 .put = PUT_TEXT},                                                                 \
		NOUN_CREATE_OPTIONS,                                                               \
	{                                                                                          \
		NULL                                                                               \
	}

static const struct cli_option disk_create[] = {CREATE_OPTIONS};
static const struct cli_option disk_grant[] = {
	NOUN_GROUP_OPTION,
	{"--access", 0, "WHAT", "Read or Write", .path = "access", .put = PUT_TEXT,
	 .required = true},
	{"--seconds", 0, "N", "how long the URL works", .path = "durationInSeconds", .put = PUT_INT,
	 .required = true},
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option disk_revoke[] = {
	NOUN_GROUP_OPTION,
	{"--no-wait", 0, NULL, "do not wait for the operation's end"},
	CLI_RENDER_OPTIONS,
	{NULL},
};

const struct cli_command cmd_disk_list = {
	.name = "disk list",
	.summary = "list disks",
	.help = "Example:\n  kiln disk list",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_disk,
};
const struct cli_command cmd_disk_show = {
	.name = "disk show",
	.args = "DISK",
	.summary = "show one disk",
	.help = "Example:\n  kiln disk show data-1",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_disk,
};
const struct cli_command cmd_disk_create = {
	.name = "disk create",
	.args = "DISK",
	.summary = "make a disk",
	.help = "Examples:\n"
		"  kiln disk create data-1 -g images --from Empty --size-gb 20\n"
		"  kiln disk create vendor -g images --from Upload --upload-bytes 2147484160 "
		"--os-type Linux",
	.options = disk_create,
	.run = verb_create,
	.noun = &noun_disk,
};
const struct cli_command cmd_disk_grant = {
	.name = "disk grant",
	.args = "DISK",
	.summary = "a signed URL to read a disk, or to upload one",
	.help = "Example:\n  kiln disk grant vendor --access Write --seconds 3600 --jq .accessSAS",
	.options = disk_grant,
	.run = verb_action,
	.noun = &noun_disk,
	.action = "beginGetAccess",
};
const struct cli_command cmd_disk_revoke = {
	.name = "disk revoke",
	.args = "DISK",
	.summary = "end access by a signed URL; an upload is taken in",
	.help = "Example:\n  kiln disk revoke vendor",
	.options = disk_revoke,
	.run = verb_action,
	.noun = &noun_disk,
	.action = "endGetAccess",
};
const struct cli_command cmd_disk_delete = {
	.name = "disk delete",
	.args = "DISK",
	.summary = "delete a disk",
	.help = "Example:\n  kiln disk delete data-1 --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_disk,
};
const struct cli_command cmd_snapshot_list = {
	.name = "snapshot list",
	.summary = "list snapshots",
	.help = "Example:\n  kiln snapshot list",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_snapshot,
};
const struct cli_command cmd_snapshot_show = {
	.name = "snapshot show",
	.args = "SNAPSHOT",
	.summary = "show one snapshot",
	.help = "Example:\n  kiln snapshot show before-upgrade",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_snapshot,
};
const struct cli_command cmd_snapshot_create = {
	.name = "snapshot create",
	.args = "SNAPSHOT",
	.summary = "make a snapshot",
	.help = "Example:\n"
		"  kiln snapshot create before-upgrade -g images --from Copy \\\n"
		"      --source /resourceGroups/images/providers/Microsoft.Compute/disks/data-1",
	.options = disk_create,
	.run = verb_create,
	.noun = &noun_snapshot,
};
const struct cli_command cmd_snapshot_delete = {
	.name = "snapshot delete",
	.args = "SNAPSHOT",
	.summary = "delete a snapshot",
	.help = "Example:\n  kiln snapshot delete before-upgrade --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_snapshot,
};

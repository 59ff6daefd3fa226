/* SPDX-License-Identifier: Apache-2.0 */
/* Groups and everything about images: the nouns and their commands. */
#include "cli/import.h"
#include "cli/noun.h"
#include "cli/verbs.h"

/* ---- Resource groups ------------------------------------------------------------------------ */

static const struct cli_column resource_columns[] = {
	{"NAME", "name"},           {"TYPE", "type"}, {"LOCATION", "location"},
	{"ID", "id", .wide = true}, {NULL},
};
static const struct cli_noun noun_resource = {
	.path = "resources",
	.scope = NOUN_SUBSCRIPTION,
	.one = "resource",
	.columns = resource_columns,
};
static const struct cli_column group_columns[] = {
	{"GROUP", "name"},
	{"LOCATION", "location"},
	{"STATE", "properties.provisioningState"},
	{"TAGS", "tags", CELL_MAP},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_group = {
	.path = "resourceGroups",
	.scope = NOUN_SUBSCRIPTION,
	.one = "resource group",
	.columns = group_columns,
	.below = &noun_resource,
};
static const struct cli_option group_list[] = {
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option group_update[] = {
	NOUN_WRITE_OPTIONS,
	{NULL},
};
static const struct cli_option group_delete[] = {
	NOUN_DELETE_OPTIONS,
	{NULL},
};
static const struct cli_option group_create[] = {
	{"--location", 'l', "REGION", "where its metadata belongs", .path = "location",
	 .put = PUT_TEXT, .required = true},
	NOUN_WRITE_OPTIONS,
	{NULL},
};

const struct cli_command cmd_group_list = {
	.name = "group list",
	.summary = "list resource groups",
	.help = "Example:\n  kiln group list",
	.options = group_list,
	.run = verb_list,
	.noun = &noun_group,
};
const struct cli_command cmd_group_show = {
	.name = "group show",
	.args = "GROUP",
	.summary = "show one resource group",
	.help = "Example:\n  kiln group show images -o yaml",
	.options = group_list,
	.run = verb_show,
	.noun = &noun_group,
};
const struct cli_command cmd_group_create = {
	.name = "group create",
	.args = "GROUP",
	.summary = "make a resource group",
	.help = "Example:\n  kiln group create images -l eastus --tag owner=platform",
	.options = group_create,
	.run = verb_create,
	.noun = &noun_group,
};
const struct cli_command cmd_group_update = {
	.name = "group update",
	.args = "GROUP",
	.summary = "change a resource group's tags",
	.help = "Example:\n  kiln group update images --tag owner=security",
	.options = group_update,
	.run = verb_update,
	.noun = &noun_group,
};
const struct cli_command cmd_group_delete = {
	.name = "group delete",
	.args = "GROUP",
	.summary = "delete a resource group and everything in it",
	.help = "Examples:\n"
		"  kiln group delete images --dry-run\n"
		"  kiln group delete images --yes",
	.options = group_delete,
	.run = verb_delete,
	.noun = &noun_group,
};
const struct cli_command cmd_resource_list = {
	.name = "resource list",
	.summary = "list every resource of the subscription",
	.help = "Example:\n  kiln resource list --jq '.[].id'",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_resource,
};

/* ---- Versions ------------------------------------------------------------------------------- */

static const struct cli_column version_columns[] = {
	{"VERSION", "id", CELL_NAMES},
	{"STATE", "properties.provisioningState"},
	{"PUBLISHED", "properties.publishingProfile.publishedDate", CELL_TIME},
	{">SIZE", "properties.kiln.disk.sizeBytes", CELL_SIZE},
	{"REPLICAS", "properties.replicationStatus.summary", CELL_REPLICAS},
	{"EXCLUDED", "properties.publishingProfile.excludeFromLatest"},
	{"END OF LIFE", "properties.publishingProfile.endOfLifeDate", .wide = true},
	{"DISK DIGEST", "properties.kiln.disk.digest", .wide = true},
	{"MANIFEST", "properties.kiln.manifest", .wide = true},
	{"SOURCE", "properties.storageProfile.source.id", .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_version = {
	.type = "Microsoft.Compute/galleries/images/versions",
	.one = "image version",
	.query = "$expand=ReplicationStatus",
	.query_each = true,
	.located = true,
	.columns = version_columns,
};
static const struct cli_option version_create[] = {
	NOUN_GROUP_OPTION,
	{"--source", 's', "ID", "image, version, disk or snapshot that it is made from",
	 .path = "properties.storageProfile.source.id", .put = PUT_ID, .required = true},
	{"--region", 'r', "REGION[=N]", "a region to keep it in, with N replicas; repeatable",
	 .path = "properties.publishingProfile.targetRegions", .put = PUT_REGION},
	{"--exclude-from-latest", 0, NULL, "'latest' does not mean it",
	 .path = "properties.publishingProfile.excludeFromLatest", .put = PUT_TRUE},
	{"--end-of-life", 0, "DATE", "ISO 8601",
	 .path = "properties.publishingProfile.endOfLifeDate", .put = PUT_TEXT},
	NOUN_CREATE_OPTIONS,
	{NULL},
};
static const struct cli_option version_import[] = {
	NOUN_GROUP_OPTION,
	{"--region", 'r', "REGION[=N]", "a region to keep it in, with N replicas; repeatable",
	 .path = "properties.publishingProfile.targetRegions", .put = PUT_REGION},
	{"--exclude-from-latest", 0, NULL, "'latest' does not mean it",
	 .path = "properties.publishingProfile.excludeFromLatest", .put = PUT_TRUE},
	NOUN_CREATE_OPTIONS,
	{NULL},
};
static const struct cli_option version_update[] = {
	NOUN_GROUP_OPTION,
	{"--region", 'r', "REGION[=N]", "all regions that it shall be in; repeatable",
	 .path = "properties.publishingProfile.targetRegions", .put = PUT_REGION},
	{"--end-of-life", 0, "DATE", "ISO 8601",
	 .path = "properties.publishingProfile.endOfLifeDate", .put = PUT_TEXT},
	NOUN_WRITE_OPTIONS,
	{NULL},
};

static int run_version_import(struct cli *cli, const struct cli_args *args)
{
	return import_file_as(cli, args, "properties.storageProfile.osDiskImage.source.uri");
}

const struct cli_command cmd_version_list = {
	.name = "version list",
	.args = "[GALLERY[/DEFINITION]]",
	.summary = "list image versions: of a definition, of a gallery, or all",
	.help = "Versions of a definition in ascending order with their state, size and "
		"replicas.\n\n"
		"Examples:\n"
		"  kiln version list\n"
		"  kiln version list golden/debian-12\n"
		"  kiln version list golden/debian-12 -g images --json",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_version,
};
const struct cli_command cmd_version_show = {
	.name = "version show",
	.args = "VERSION",
	.summary = "show one image version",
	.help = "VERSION is GALLERY/DEFINITION/X.Y.Z, GALLERY/DEFINITION/latest, or a resource "
		"id.\n\n"
		"Examples:\n"
		"  kiln version show golden/debian-12/1.0.0\n"
		"  kiln version show golden/debian-12/latest --json",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_version,
};
const struct cli_command cmd_version_create = {
	.name = "version create",
	.args = "GALLERY/DEFINITION/X.Y.Z",
	.summary = "publish an image version",
	.help = "Ready when it is whole in every region.\n\n"
		"Examples:\n"
		"  kiln version create golden/debian-12/1.0.1 --region eastus --region "
		"westeurope=2 "
		"\\\n      --source /resourceGroups/images/providers/Microsoft.Compute/images/web\n"
		"  kiln version create golden/debian-12/2.0.0 --body version.json",
	.options = version_create,
	.run = verb_create,
	.noun = &noun_version,
};
const struct cli_command cmd_version_import = {
	.name = "version import",
	.args = "FILE|URL GALLERY/DEFINITION/X.Y.Z",
	.summary = "publish an image version from a disk image",
	.help = "Any format that `kiln inspect` takes: raw, qcow2, VHD, VHDX, VMDK, OVA, also "
		"inside "
		"gzip,\n"
		"xz or zstd; - is standard input, a URL is https. The image is read by a confined "
		"process;\n"
		"what is published is marked as untrusted, as is everything baked from it.\n\n"
		"Examples:\n"
		"  kiln version import vendor.ova appliances/vendor/1.0.0\n"
		"  xzcat disk.raw.xz | kiln version import - golden/debian-12/3.0.0",
	.options = version_import,
	.run = run_version_import,
	.noun = &noun_version,
};
const struct cli_command cmd_version_update = {
	.name = "version update",
	.args = "VERSION",
	.summary = "change an image version's regions, dates or tags",
	.help = "Examples:\n"
		"  kiln version update golden/debian-12/1.0.0 --region eastus --region westeurope\n"
		"  kiln version update golden/debian-12/1.0.0 \\\n"
		"      --set properties.publishingProfile.excludeFromLatest=true",
	.options = version_update,
	.run = verb_update,
	.noun = &noun_version,
};
const struct cli_command cmd_version_delete = {
	.name = "version delete",
	.args = "VERSION",
	.summary = "delete an image version",
	.help = "Example:\n  kiln version delete golden/debian-12/1.0.0 --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_version,
};

/* ---- Definitions ---------------------------------------------------------------------------- */

static const struct cli_column definition_columns[] = {
	{"DEFINITION", "id", CELL_NAMES},
	{"OS", "properties.osType"},
	{"OS STATE", "properties.osState"},
	{"GENERATION", "properties.hyperVGeneration"},
	{"PUBLISHER", "properties.identifier.publisher"},
	{"OFFER", "properties.identifier.offer"},
	{"SKU", "properties.identifier.sku"},
	{"ARCHITECTURE", "properties.architecture", .wide = true},
	{"FEATURES", "properties.features", CELL_LIST, .wide = true},
	{"DESCRIPTION", "properties.description", .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_definition = {
	.type = "Microsoft.Compute/galleries/images",
	.one = "image definition",
	.located = true,
	.body = "{\"properties\":{\"osType\":\"Linux\",\"osState\":\"Generalized\","
		"\"hyperVGeneration\":\"V2\"}}",
	.columns = definition_columns,
	.below = &noun_version,
};
static const struct cli_option definition_create[] = {
	NOUN_GROUP_OPTION,
	{"--publisher", 0, "NAME", "of the identifier", .path = "properties.identifier.publisher",
	 .put = PUT_TEXT, .required = true},
	{"--offer", 0, "NAME", "of the identifier", .path = "properties.identifier.offer",
	 .put = PUT_TEXT, .required = true},
	{"--sku", 0, "NAME", "of the identifier", .path = "properties.identifier.sku",
	 .put = PUT_TEXT, .required = true},
	{"--os-type", 0, "OS", "Linux (default) or Windows", .path = "properties.osType",
	 .put = PUT_TEXT},
	{"--os-state", 0, "STATE", "Generalized (default) or Specialized",
	 .path = "properties.osState", .put = PUT_TEXT},
	{"--generation", 0, "GEN", "V2 (default, UEFI) or V1 (BIOS)",
	 .path = "properties.hyperVGeneration", .put = PUT_TEXT},
	{"--description", 0, "TEXT", "for people", .path = "properties.description",
	 .put = PUT_TEXT},
	NOUN_CREATE_OPTIONS,
	{NULL},
};

const struct cli_command cmd_definition_list = {
	.name = "definition list",
	.args = "[GALLERY]",
	.summary = "list image definitions, of one gallery or all",
	.help = "Examples:\n  kiln definition list\n  kiln definition list golden",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_definition,
};
const struct cli_command cmd_definition_show = {
	.name = "definition show",
	.args = "GALLERY/DEFINITION",
	.summary = "show one image definition",
	.help = "Example:\n  kiln definition show golden/debian-12",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_definition,
};
const struct cli_command cmd_definition_create = {
	.name = "definition create",
	.args = "GALLERY/DEFINITION",
	.summary = "make an image definition",
	.help = "Example:\n"
		"  kiln definition create golden/debian-12 --publisher contoso --offer debian "
		"--sku 12",
	.options = definition_create,
	.run = verb_create,
	.noun = &noun_definition,
};
const struct cli_command cmd_definition_update = {
	.name = "definition update",
	.args = "GALLERY/DEFINITION",
	.summary = "change an image definition",
	.help = "Example:\n"
		"  kiln definition update golden/debian-12 --set "
		"properties.endOfLifeDate=2028-06-30T00:00:00Z",
	.options = verb_update_options,
	.run = verb_update,
	.noun = &noun_definition,
};
const struct cli_command cmd_definition_delete = {
	.name = "definition delete",
	.args = "GALLERY/DEFINITION",
	.summary = "delete an image definition that has no versions",
	.help = "Example:\n  kiln definition delete golden/debian-12 --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_definition,
};

/* ---- Galleries ------------------------------------------------------------------------------ */

static const struct cli_column gallery_columns[] = {
	{"GALLERY", "name"},
	{"GROUP", "id", CELL_GROUP},
	{"LOCATION", "location"},
	{"STATE", "properties.provisioningState"},
	{"SHARING", "properties.sharingProfile.permissions"},
	{"DESCRIPTION", "properties.description", .wide = true},
	{"UNIQUE NAME", "properties.identifier.uniqueName", .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_gallery = {
	.type = "Microsoft.Compute/galleries",
	.one = "gallery",
	.located = true,
	.body = "{\"properties\":{}}",
	.columns = gallery_columns,
	.below = &noun_definition,
};
static const struct cli_option gallery_create[] = {
	NOUN_GROUP_OPTION,
	{"--description", 0, "TEXT", "for people", .path = "properties.description",
	 .put = PUT_TEXT},
	{"--permissions", 0, "HOW", "Private (default), Groups or Community",
	 .path = "properties.sharingProfile.permissions", .put = PUT_TEXT},
	NOUN_CREATE_OPTIONS,
	{NULL},
};

const struct cli_command cmd_gallery_list = {
	.name = "gallery list",
	.summary = "list galleries",
	.help = "Example:\n  kiln gallery list -g images",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_gallery,
};
const struct cli_command cmd_gallery_show = {
	.name = "gallery show",
	.args = "GALLERY",
	.summary = "show one gallery",
	.help = "Example:\n  kiln gallery show golden",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_gallery,
};
const struct cli_command cmd_gallery_create = {
	.name = "gallery create",
	.args = "GALLERY",
	.summary = "make a gallery",
	.help = "Example:\n  kiln gallery create golden -g images",
	.options = gallery_create,
	.run = verb_create,
	.noun = &noun_gallery,
};
const struct cli_command cmd_gallery_update = {
	.name = "gallery update",
	.args = "GALLERY",
	.summary = "change a gallery",
	.help = "Example:\n  kiln gallery update golden --set properties.description='Base images'",
	.options = verb_update_options,
	.run = verb_update,
	.noun = &noun_gallery,
};
const struct cli_command cmd_gallery_delete = {
	.name = "gallery delete",
	.args = "GALLERY",
	.summary = "delete a gallery that has no definitions",
	.help = "Example:\n  kiln gallery delete golden --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_gallery,
};

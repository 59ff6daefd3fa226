/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to choose from, and locks. */
#include "cli/noun.h"
#include "cli/verbs.h"

static const struct cli_option read_options[] = {
	CLI_RENDER_OPTIONS,
	{NULL},
};

static const struct cli_column subscription_columns[] = {
	{"SUBSCRIPTION", "subscriptionId"},
	{"NAME", "displayName"},
	{"STATE", "state"},
	{"TENANT", "tenantId"},
	{NULL},
};
static const struct cli_noun noun_subscription = {
	.path = "subscriptions",
	.scope = NOUN_TENANT,
	.one = "subscription",
	.columns = subscription_columns,
};
static const struct cli_column location_columns[] = {
	{"LOCATION", "name"},
	{"DISPLAY NAME", "displayName"},
	{NULL},
};
static const struct cli_noun noun_location = {
	.path = "locations",
	.scope = NOUN_SUBSCRIPTION,
	.one = "location",
	.columns = location_columns,
};

const struct cli_command cmd_subscription_list = {
	.name = "subscription list",
	.summary = "list subscriptions",
	.help = "Example:\n  kiln subscription list",
	.options = read_options,
	.run = verb_list,
	.noun = &noun_subscription,
};
const struct cli_command cmd_location_list = {
	.name = "location list",
	.summary = "list the regions that resources can be in",
	.help = "Example:\n  kiln location list",
	.options = read_options,
	.run = verb_list,
	.noun = &noun_location,
};

/* ---- Locks ---------------------------------------------------------------------------------- */

static const struct cli_column lock_columns[] = {
	{"LOCK", "name"},
	{"LEVEL", "properties.level"},
	{"NOTES", "properties.notes"},
	{"ID", "id"},
	{NULL},
};
static const struct cli_noun noun_lock = {
	.path = "providers/Microsoft.Authorization/locks",
	.scope = NOUN_ANY,
	.one = "lock",
	.columns = lock_columns,
};
static const struct cli_option lock_list[] = {
	NOUN_SCOPE_OPTION,
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option lock_create[] = {
	NOUN_SCOPE_OPTION,
	{"--level", 0, "LEVEL", "CanNotDelete or ReadOnly", .path = "properties.level",
	 .put = PUT_TEXT, .required = true},
	{"--notes", 0, "TEXT", "why", .path = "properties.notes", .put = PUT_TEXT},
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option lock_delete[] = {
	NOUN_SCOPE_OPTION,
	NOUN_DELETE_OPTIONS,
	{NULL},
};

const struct cli_command cmd_lock_list = {
	.name = "lock list",
	.summary = "list locks",
	.help = "Example:\n  kiln lock list",
	.options = lock_list,
	.run = verb_list,
	.noun = &noun_lock,
};
const struct cli_command cmd_lock_create = {
	.name = "lock create",
	.args = "LOCK",
	.summary = "keep what is below a scope from being deleted or changed",
	.help = "Example:\n  kiln lock create keep --level CanNotDelete --scope "
		"/resourceGroups/images",
	.options = lock_create,
	.run = verb_create,
	.noun = &noun_lock,
};
const struct cli_command cmd_lock_delete = {
	.name = "lock delete",
	.args = "LOCK",
	.summary = "remove a lock",
	.help = "Example:\n  kiln lock delete keep --scope /resourceGroups/images --yes",
	.options = lock_delete,
	.run = verb_delete,
	.noun = &noun_lock,
};

/* ---- Gallery applications ------------------------------------------------------------------- */

static const struct cli_column application_version_columns[] = {
	{"VERSION", "id", CELL_NAMES},
	{"STATE", "properties.provisioningState"},
	{"PUBLISHED", "properties.publishingProfile.publishedDate", CELL_TIME},
	{"REPLICAS", "properties.replicationStatus.summary", CELL_REPLICAS},
	{"SOURCE", "properties.publishingProfile.source.mediaLink", .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_application_version = {
	.type = "Microsoft.Compute/galleries/applications/versions",
	.one = "application version",
	.query = "$expand=ReplicationStatus",
	.query_each = true,
	.located = true,
	.columns = application_version_columns,
};
static const struct cli_column application_columns[] = {
	{"APPLICATION", "id", CELL_NAMES},
	{"OS", "properties.supportedOSType"},
	{"DESCRIPTION", "properties.description"},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_application = {
	.type = "Microsoft.Compute/galleries/applications",
	.one = "gallery application",
	.located = true,
	.columns = application_columns,
	.below = &noun_application_version,
};
static const struct cli_option application_create[] = {
	NOUN_GROUP_OPTION,
	{"--os-type", 0, "OS", "Linux or Windows", .path = "properties.supportedOSType",
	 .put = PUT_TEXT, .required = true},
	{"--description", 0, "TEXT", "for people", .path = "properties.description",
	 .put = PUT_TEXT},
	NOUN_CREATE_OPTIONS,
	{NULL},
};
static const struct cli_option application_version_create[] = {
	NOUN_GROUP_OPTION,
	{"--package", 0, "URL", "where the package is taken from",
	 .path = "properties.publishingProfile.source.mediaLink", .put = PUT_TEXT,
	 .required = true},
	{"--install", 0, "COMMAND", "installs it",
	 .path = "properties.publishingProfile.manageActions.install", .put = PUT_TEXT,
	 .required = true},
	{"--remove", 0, "COMMAND", "removes it",
	 .path = "properties.publishingProfile.manageActions.remove", .put = PUT_TEXT,
	 .required = true},
	{"--region", 'r', "REGION[=N]", "a region to keep it in; repeatable",
	 .path = "properties.publishingProfile.targetRegions", .put = PUT_REGION},
	NOUN_CREATE_OPTIONS,
	{NULL},
};

const struct cli_command cmd_application_list = {
	.name = "application list",
	.args = "[GALLERY]",
	.summary = "list gallery applications, of one gallery or all",
	.help = "Examples:\n  kiln application list\n  kiln application list golden",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_application,
};
const struct cli_command cmd_application_show = {
	.name = "application show",
	.args = "GALLERY/APPLICATION",
	.summary = "show one application",
	.help = "Example:\n  kiln application show golden/agent",
	.options = verb_show_options,
	.run = verb_show,
	.noun = &noun_application,
};
const struct cli_command cmd_application_create = {
	.name = "application create",
	.args = "GALLERY/APPLICATION",
	.summary = "make an application",
	.help = "Example:\n  kiln application create golden/agent --os-type Linux",
	.options = application_create,
	.run = verb_create,
	.noun = &noun_application,
};
const struct cli_command cmd_application_delete = {
	.name = "application delete",
	.args = "GALLERY/APPLICATION",
	.summary = "delete an application that has no versions",
	.help = "Example:\n  kiln application delete golden/agent --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_application,
};
const struct cli_command cmd_application_versions = {
	.name = "application versions",
	.args = "GALLERY/APPLICATION",
	.summary = "list the versions of an application",
	.help = "Example:\n  kiln application versions golden/agent",
	.options = verb_list_options,
	.run = verb_list,
	.noun = &noun_application_version,
};
const struct cli_command cmd_application_publish = {
	.name = "application publish",
	.args = "GALLERY/APPLICATION/X.Y.Z",
	.summary = "publish a version of an application",
	.help = "Example:\n"
		"  kiln application publish golden/agent/1.0.0 --package "
		"https://files.example/agent.tar \\\n"
		"      --install 'tar -xf agent' --remove 'rm -r agent'",
	.options = application_version_create,
	.run = verb_create,
	.noun = &noun_application_version,
};
const struct cli_command cmd_application_retire = {
	.name = "application retire",
	.args = "GALLERY/APPLICATION/X.Y.Z",
	.summary = "delete a version of an application",
	.help = "Example:\n  kiln application retire golden/agent/1.0.0 --yes",
	.options = verb_delete_options,
	.run = verb_delete,
	.noun = &noun_application_version,
};

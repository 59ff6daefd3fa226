/* SPDX-License-Identifier: Apache-2.0 */
/* Who may log in: service principals, users, groups of them. */
#include "cli/noun.h"
#include "cli/verbs.h"

static const struct cli_option identity_read[] = {
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option identity_delete[] = {
	NOUN_DELETE_OPTIONS,
	{NULL},
};
static const struct cli_option identity_update[] = {
	{"--display-name", 0, "TEXT", "for people", .path = "properties.displayName",
	 .put = PUT_TEXT},
	NOUN_WRITE_OPTIONS,
	{NULL},
};
static const struct cli_option identity_create[] = {
	{"--display-name", 0, "TEXT", "for people", .path = "properties.displayName",
	 .put = PUT_TEXT},
	{"--body", 'b', "FILE", "a whole document to start from; - for standard input"},
	NOUN_WRITE_OPTIONS,
	{NULL},
};

/* ---- Service principals --------------------------------------------------------------------- */

static const struct cli_column principal_columns[] = {
	{"PRINCIPAL", "name"},
	{"CLIENT ID", "properties.appId"},
	{"OBJECT ID", "properties.objectId"},
	{"DISPLAY NAME", "properties.displayName"},
	{">SECRETS", "properties.passwordCredentials", CELL_COUNT},
	{">KEYS", "properties.keyCredentials", CELL_COUNT},
	{"TRUSTS", "properties.federatedCredentials", CELL_LIST},
	{"DISABLED", "properties.disabled"},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_principal = {
	.path = "providers/Kiln.Identity/servicePrincipals",
	.scope = NOUN_TENANT,
	.one = "service principal",
	.body = "{\"properties\":{}}",
	.columns = principal_columns,
};
/* The one time that a secret is shown. */
static const struct cli_column secret_columns[] = {
	{"KEY ID", "keyId"},
	{"SECRET", "secretText"},
	{"ENDS", "endDateTime"},
	{NULL},
};
static const struct cli_noun noun_secret = {
	.path = "providers/Kiln.Identity/servicePrincipals",
	.scope = NOUN_TENANT,
	.one = "secret",
	.columns = secret_columns,
};
static const struct cli_option secret_add[] = {
	{"--display-name", 0, "TEXT", "what it is for", .path = "displayName", .put = PUT_TEXT},
	{"--ends", 0, "DATE", "ISO 8601", .path = "endDateTime", .put = PUT_TEXT},
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option key_add[] = {
	{"--key-file", 0, "FILE", "certificate or public key, PEM", .path = "key", .put = PUT_FILE,
	 .required = true},
	{"--display-name", 0, "TEXT", "what it is for", .path = "displayName", .put = PUT_TEXT},
	{"--ends", 0, "DATE", "ISO 8601", .path = "endDateTime", .put = PUT_TEXT},
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option key_remove[] = {
	{"--key-id", 0, "ID", "which one", .path = "keyId", .put = PUT_TEXT, .required = true},
	CLI_RENDER_OPTIONS,
	{NULL},
};

const struct cli_command cmd_principal_list = {
	.name = "principal list",
	.summary = "list service principals",
	.help = "Example:\n  kiln principal list",
	.options = identity_read,
	.run = verb_list,
	.noun = &noun_principal,
};
const struct cli_command cmd_principal_show = {
	.name = "principal show",
	.args = "PRINCIPAL",
	.summary = "show one service principal",
	.help = "Example:\n  kiln principal show ci",
	.options = identity_read,
	.run = verb_show,
	.noun = &noun_principal,
};
const struct cli_command cmd_principal_create = {
	.name = "principal create",
	.args = "PRINCIPAL",
	.summary = "make a service principal",
	.help = "It can log in once it has a secret or a key, or trusts another issuer's "
		"tokens.\n\n"
		"Examples:\n"
		"  kiln principal create ci\n"
		"  kiln principal create ci --set 'properties.federatedCredentials="
		"[{\"name\":\"main\",\"issuer\":\"https://token.example\","
		"\"subject\":\"repo:a/b\",\"audiences\":[\"api://kiln\"]}]'",
	.options = identity_create,
	.run = verb_create,
	.noun = &noun_principal,
};
const struct cli_command cmd_principal_update = {
	.name = "principal update",
	.args = "PRINCIPAL",
	.summary = "change a service principal",
	.help = "Example:\n  kiln principal update ci --set properties.disabled=true",
	.options = identity_update,
	.run = verb_update,
	.noun = &noun_principal,
};
const struct cli_command cmd_principal_add_secret = {
	.name = "principal add-secret",
	.args = "PRINCIPAL",
	.summary = "make a secret and show it, this once",
	.help = "Example:\n  kiln principal add-secret ci --jq .secretText > secret",
	.options = secret_add,
	.run = verb_action,
	.noun = &noun_secret,
	.action = "addPassword",
};
const struct cli_command cmd_principal_remove_secret = {
	.name = "principal remove-secret",
	.args = "PRINCIPAL",
	.summary = "end a secret and its tokens",
	.help = "Example:\n  kiln principal remove-secret ci --key-id 8d0f2b1e-...",
	.options = key_remove,
	.run = verb_action,
	.noun = &noun_principal,
	.action = "removePassword",
};
const struct cli_command cmd_principal_add_key = {
	.name = "principal add-key",
	.args = "PRINCIPAL",
	.summary = "let a principal log in with signed assertions",
	.help = "Example:\n  kiln principal add-key ci --key-file cert.pem",
	.options = key_add,
	.run = verb_action,
	.noun = &noun_principal,
	.action = "addKey",
};
const struct cli_command cmd_principal_remove_key = {
	.name = "principal remove-key",
	.args = "PRINCIPAL",
	.summary = "end a key and its tokens",
	.help = "Example:\n  kiln principal remove-key ci --key-id 8d0f2b1e-...",
	.options = key_remove,
	.run = verb_action,
	.noun = &noun_principal,
	.action = "removeKey",
};
const struct cli_command cmd_principal_delete = {
	.name = "principal delete",
	.args = "PRINCIPAL",
	.summary = "delete a service principal",
	.help = "Example:\n  kiln principal delete ci --yes",
	.options = identity_delete,
	.run = verb_delete,
	.noun = &noun_principal,
};

/* ---- Users ---------------------------------------------------------------------------------- */

static const struct cli_column user_columns[] = {
	{"USER", "name"},
	{"PRINCIPAL NAME", "properties.userPrincipalName"},
	{"OBJECT ID", "properties.objectId"},
	{"DISPLAY NAME", "properties.displayName"},
	{"DISABLED", "properties.disabled"},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_user = {
	.path = "providers/Kiln.Identity/users",
	.scope = NOUN_TENANT,
	.one = "user",
	.body = "{\"properties\":{}}",
	.columns = user_columns,
};
static const struct cli_option user_password[] = {
	{"--password-file", 0, "FILE", "the first line is the password; - for standard input",
	 .path = "password", .put = PUT_SECRET, .required = true},
	CLI_RENDER_OPTIONS,
	{NULL},
};

const struct cli_command cmd_user_list = {
	.name = "user list",
	.summary = "list users",
	.help = "Example:\n  kiln user list",
	.options = identity_read,
	.run = verb_list,
	.noun = &noun_user,
};
const struct cli_command cmd_user_show = {
	.name = "user show",
	.args = "USER",
	.summary = "show one user",
	.help = "Example:\n  kiln user show ada",
	.options = identity_read,
	.run = verb_show,
	.noun = &noun_user,
};
const struct cli_command cmd_user_create = {
	.name = "user create",
	.args = "USER",
	.summary = "make a user",
	.help = "Example:\n  kiln user create ada --display-name 'Ada L.'",
	.options = identity_create,
	.run = verb_create,
	.noun = &noun_user,
};
const struct cli_command cmd_user_update = {
	.name = "user update",
	.args = "USER",
	.summary = "change a user",
	.help = "Example:\n  kiln user update ada --set properties.disabled=true",
	.options = identity_update,
	.run = verb_update,
	.noun = &noun_user,
};
const struct cli_command cmd_user_password = {
	.name = "user set-password",
	.args = "USER",
	.summary = "set a user's password",
	.help = "Example:\n  kiln user set-password ada --password-file -",
	.options = user_password,
	.run = verb_action,
	.noun = &noun_user,
	.action = "setPassword",
};
const struct cli_command cmd_user_delete = {
	.name = "user delete",
	.args = "USER",
	.summary = "delete a user",
	.help = "Example:\n  kiln user delete ada --yes",
	.options = identity_delete,
	.run = verb_delete,
	.noun = &noun_user,
};

/* ---- Groups of principals ------------------------------------------------------------------- */

static const struct cli_column team_columns[] = {
	{"TEAM", "name"},
	{"OBJECT ID", "properties.objectId"},
	{"DISPLAY NAME", "properties.displayName"},
	{">MEMBERS", "properties.members", CELL_COUNT},
	{"MEMBER IDS", "properties.members", CELL_LIST, .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_team = {
	.path = "providers/Kiln.Identity/groups",
	.scope = NOUN_TENANT,
	.one = "team",
	.body = "{\"properties\":{}}",
	.columns = team_columns,
};
static const struct cli_option team_members[] = {
	{"--member", 'm', "OBJECT-ID", "a principal's, a user's or a team's; repeatable",
	 .path = "members", .put = PUT_LIST, .required = true},
	CLI_RENDER_OPTIONS,
	{NULL},
};

const struct cli_command cmd_team_list = {
	.name = "team list",
	.summary = "list groups of principals",
	.help = "Teams are the groups that roles can be given to (resource groups are 'kiln "
		"group').\n\nExample:\n  kiln team list",
	.options = identity_read,
	.run = verb_list,
	.noun = &noun_team,
};
const struct cli_command cmd_team_show = {
	.name = "team show",
	.args = "TEAM",
	.summary = "show one group of principals",
	.help = "Example:\n  kiln team show builders",
	.options = identity_read,
	.run = verb_show,
	.noun = &noun_team,
};
const struct cli_command cmd_team_create = {
	.name = "team create",
	.args = "TEAM",
	.summary = "make a group of principals",
	.help = "Example:\n  kiln team create builders",
	.options = identity_create,
	.run = verb_create,
	.noun = &noun_team,
};
const struct cli_command cmd_team_add = {
	.name = "team add",
	.args = "TEAM",
	.summary = "add members",
	.help = "Example:\n  kiln team add builders -m $(kiln principal show ci --jq "
		".properties.objectId)",
	.options = team_members,
	.run = verb_action,
	.noun = &noun_team,
	.action = "addMembers",
};
const struct cli_command cmd_team_remove = {
	.name = "team remove",
	.args = "TEAM",
	.summary = "take members out",
	.help = "Example:\n  kiln team remove builders -m 8d0f2b1e-...",
	.options = team_members,
	.run = verb_action,
	.noun = &noun_team,
	.action = "removeMembers",
};
const struct cli_command cmd_team_delete = {
	.name = "team delete",
	.args = "TEAM",
	.summary = "delete a group of principals; they stay",
	.help = "Example:\n  kiln team delete builders --yes",
	.options = identity_delete,
	.run = verb_delete,
	.noun = &noun_team,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what: role definitions and assignments. */
#include "base/hash.h"
#include "base/mem.h"
#include "cli/noun.h"
#include "cli/ref.h"
#include "cli/target.h"
#include "cli/verbs.h"

#define AUTHORIZATION "providers/Microsoft.Authorization"

static const struct cli_column role_columns[] = {
	{"ROLE", "properties.roleName"},
	{"KIND", "properties.type"},
	{"DESCRIPTION", "properties.description"},
	{"ACTIONS", "properties.permissions.0.actions", CELL_LIST, .wide = true},
	{"NOT ACTIONS", "properties.permissions.0.notActions", CELL_LIST, .wide = true},
	{"DATA ACTIONS", "properties.permissions.0.dataActions", CELL_LIST, .wide = true},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_role = {
	.path = AUTHORIZATION "/roleDefinitions",
	.scope = NOUN_ANY,
	.one = "role definition",
	.columns = role_columns,
};
static const struct cli_column assignment_columns[] = {
	{"ASSIGNMENT", "name"},
	{"PRINCIPAL", "properties.principalId"},
	{"KIND", "properties.principalType"},
	{"ROLE", "properties.roleDefinitionId", CELL_LAST},
	{"SCOPE", "properties.scope"},
	{"ID", "id", .wide = true},
	{NULL},
};
static const struct cli_noun noun_assignment = {
	.path = AUTHORIZATION "/roleAssignments",
	.scope = NOUN_ANY,
	.one = "role assignment",
	.columns = assignment_columns,
};
static const struct cli_option role_read[] = {
	NOUN_SCOPE_OPTION,
	CLI_RENDER_OPTIONS,
	{NULL},
};

/* ---- Names ---------------------------------------------------------------------------------- */

static bool is_guid(const char *s)
{
	return strlen(s) == 36 && strspn(s, "0123456789abcdefABCDEF-") == 36;
}

struct by_name {
	const char *name;
	json_t *found; /* owned */
};

static int match_role(void *arg, json_t *item)
{
	struct by_name *b = arg;
	const char *name = json_str_at(item, "properties.roleName");
	const char *guid = json_str_at(item, "name");

	if (!b->found &&
	    ((name && str_eq_nocase(name, b->name)) || (guid && str_eq_nocase(guid, b->name))))
		b->found = json_incref(item);
	return 0;
}

static int find_role(struct cli *cli, const char *scope, const char *name, json_t **ret,
		     struct err *err)
{
	auto_free char *list = strf("%s/%s", scope, noun_role.path);
	struct by_name b = {.name = name};
	int r = list ? target_each(cli, list, match_role, &b, err) : -ENOMEM;

	if (r == 0 && !b.found) {
		r = err_set(err, -ENOENT, "there is no role '%s'", name);
		err_hint(err, "kiln role list");
	}
	*ret = b.found;
	return r;
}

/* A principal goes by its object id, or by its name: service principals first. */
static int find_principal(struct cli *cli, const char *name, char **ret, struct err *err)
{
	static const char *const kinds[] = {"servicePrincipals", "users", "groups"};

	if (is_guid(name)) {
		*ret = strdup(name);
		return *ret ? 0 : err_set(err, -ENOMEM, "%s", name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		auto_free char *path = strf("/providers/Kiln.Identity/%s/%s", kinds[i], name);
		auto_json json_t *doc = NULL;
		const char *object;
		int r = path ? target_get(cli, path, &doc, err) : -ENOMEM;

		object = json_str_at(doc, "properties.objectId");
		if (r == 0 && object) {
			*ret = strdup(object);
			return *ret ? 0 : err_set(err, -ENOMEM, "%s", name);
		}
		if (r < 0 && r != -ENOENT)
			return r;
		err_done(err);
	}
	return err_set(err, -ENOENT, "no service principal, user or team is named '%s'", name);
}

/* ---- Commands ------------------------------------------------------------------------------- */

static int run_show(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *role = NULL;
	auto_free char *scope = NULL;
	struct target *t;
	int r = cli_render_check(cli, args);

	if (r != EXIT_DONE)
		return r;
	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = noun_scope(cli, args, &scope, &e);
	if (r == 0)
		r = find_role(cli, scope, args->pos[0], &role, &e);
	return r < 0 ? cli_fail(cli, &e) : cli_render(cli, args, role, role_columns);
}

static int assign(struct cli *cli, const struct cli_args *args, json_t **ret, struct err *err)
{
	auto_free char *scope = NULL, *principal = NULL, *path = NULL;
	auto_json json_t *role = NULL, *body = NULL;
	char name[UUID_STR];
	int r = noun_scope(cli, args, &scope, err);

	if (r == 0)
		r = find_role(cli, scope, args->pos[0], &role, err);
	if (r == 0)
		r = find_principal(cli, cli_opt(args, "--to"), &principal, err);
	if (r == 0)
		r = uuid_random(name);
	if (r < 0)
		return r;
	path = strf("%s/%s/%s", scope, noun_assignment.path, name);
	body = json_pack("{s:{s:s, s:s}}", "properties", "roleDefinitionId",
			 json_str_at(role, "id"), "principalId", principal);
	if (!path || !body)
		return err_set(err, -ENOMEM, "role assignment");
	return target_call(cli, "PUT", path, body, true, ret, err);
}

static int run_assign(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *doc = NULL;
	struct target *t;
	int r = cli_render_check(cli, args);

	if (r != EXIT_DONE)
		return r;
	if (!cli_opt(args, "--to"))
		return cli_usage(cli, "role assign: --to PRINCIPAL is missing");
	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = assign(cli, args, &doc, &e);
	return r < 0 ? cli_fail(cli, &e) : cli_render(cli, args, doc, assignment_columns);
}

static const struct cli_option assign_options[] = {
	{"--to", 0, "PRINCIPAL", "a principal's, user's or team's name or object id"},
	NOUN_SCOPE_OPTION,
	CLI_RENDER_OPTIONS,
	{NULL},
};
static const struct cli_option unassign_options[] = {
	NOUN_SCOPE_OPTION,
	NOUN_DELETE_OPTIONS,
	{NULL},
};
static const struct cli_option role_create[] = {
	NOUN_SCOPE_OPTION,
	{"--body", 'b', "FILE", "the definition; - for standard input", .required = true},
	CLI_RENDER_OPTIONS,
	{NULL},
};

const struct cli_command cmd_role_list = {
	.name = "role list",
	.summary = "list roles",
	.help = "Example:\n  kiln role list",
	.options = role_read,
	.run = verb_list,
	.noun = &noun_role,
};
const struct cli_command cmd_role_show = {
	.name = "role show",
	.args = "ROLE",
	.summary = "show what a role allows",
	.help = "Example:\n  kiln role show 'Compute Gallery Image Reader'",
	.options = role_read,
	.run = run_show,
	.noun = &noun_role,
};
const struct cli_command cmd_role_create = {
	.name = "role create",
	.args = "GUID",
	.summary = "make a role, or change one",
	.help = "Example:\n  kiln role create $(uuidgen) --body role.json",
	.options = role_create,
	.run = verb_create,
	.noun = &noun_role,
};
const struct cli_command cmd_role_delete = {
	.name = "role delete",
	.args = "GUID",
	.summary = "delete a role",
	.help = "Example:\n  kiln role delete 8d0f2b1e-... --yes",
	.options = unassign_options,
	.run = verb_delete,
	.noun = &noun_role,
};
const struct cli_command cmd_role_assignments = {
	.name = "role assignments",
	.summary = "list who has which role where",
	.help = "Example:\n  kiln role assignments --scope /resourceGroups/images",
	.options = role_read,
	.run = verb_list,
	.noun = &noun_assignment,
};
const struct cli_command cmd_role_assign = {
	.name = "role assign",
	.args = "ROLE",
	.summary = "give a role to a principal",
	.help = "Examples:\n"
		"  kiln role assign Reader --to ci\n"
		"  kiln role assign 'Compute Gallery Artifacts Publisher' --to builders \\\n"
		"      --scope /resourceGroups/images",
	.options = assign_options,
	.run = run_assign,
	.noun = &noun_assignment,
};
const struct cli_command cmd_role_unassign = {
	.name = "role unassign",
	.args = "ASSIGNMENT",
	.summary = "take a role back",
	.help = "ASSIGNMENT is an id, or a name with --scope.\n\nExample:\n  kiln role unassign "
		"8d0f2b1e-... --scope /resourceGroups/images --yes",
	.options = unassign_options,
	.run = verb_delete,
	.noun = &noun_assignment,
};

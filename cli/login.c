/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that this user works with: login, logout, contexts. */
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/context.h"
#include "cli/noun.h"
#include "cli/output.h"
#include "cli/target.h"
#include "cli/verbs.h"

/* ---- login ---------------------------------------------------------------------------------- */

static int ask_secret(char **ret, struct err *err)
{
	struct termios was, quiet;
	char line[1024] = "";
	bool read;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &was) < 0) {
		err_set(err, -EINVAL, "login: no secret is given");
		err_hint(err, "use --secret-file FILE (- for standard input), or "
			      "--federated-token-file FILE");
		return -EINVAL;
	}
	(void) fprintf(stderr, "Client secret: ");
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t) ECHO;
	(void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	read = fgets(line, sizeof(line), stdin) != NULL;
	(void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	(void) fputc('\n', stderr);
	line[strcspn(line, "\r\n")] = '\0';
	*ret = read && *line ? strdup(line) : NULL;
	explicit_bzero(line, sizeof(line));
	return *ret ? 0 : err_set(err, -EINVAL, "login: the secret is empty");
}

static int put_text(json_t *c, const char *key, const char *value)
{
	return !value || json_object_set_new(c, key, json_string(value)) == 0 ? 0 : -ENOMEM;
}

/* Paths in a context are used from any directory. */
static int put_path(json_t *c, const char *key, const char *path, struct err *err)
{
	auto_free char *whole = path ? realpath(path, NULL) : NULL;

	if (path && !whole)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	return put_text(c, key, whole);
}

/* What `kiln init` wrote on the server says all that a login needs. */
static int from_admin(const char *file, json_t *c, struct err *err)
{
	static const char *const keys[] = {"endpoint", "tenantId",     "subscriptionId",
					   "clientId", "clientSecret", "caFile"};
	auto_json json_t *admin = NULL;
	int r = json_read_file(file, &admin, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(keys); i++)
		r = put_text(c, keys[i], json_str_at(admin, keys[i]));
	return r;
}

static int login_context(const struct cli_args *args, json_t *c, struct err *err)
{
	const char *admin = cli_opt(args, "--admin-file");
	const char *file = cli_opt(args, "--secret-file");
	const char *token = cli_opt(args, "--federated-token-file");
	auto_free char *secret = NULL;
	int r = admin ? from_admin(admin, c, err) : 0;

	if (r == 0 && args->n_pos)
		r = put_text(c, "endpoint", args->pos[0]);
	if (r == 0)
		r = put_text(c, "clientId", cli_opt(args, "--client-id"));
	if (r == 0)
		r = put_text(c, "tenantId", cli_opt(args, "--tenant"));
	if (r == 0)
		r = put_text(c, "subscriptionId", cli_opt(args, "--subscription"));
	if (r == 0)
		r = put_path(c, "caFile", cli_opt(args, "--ca-file"), err);
	if (r == 0)
		r = put_path(c, "federatedTokenFile", token, err);
	if (r == 0 && file)
		r = context_read_secret(file, &secret, err);
	else if (r == 0 && !token && !json_object_get(c, "clientSecret"))
		r = ask_secret(&secret, err);
	if (r == 0)
		r = put_text(c, "clientSecret", secret);
	if (secret)
		explicit_bzero(secret, strlen(secret));
	return r;
}

static int keep_current(const char *name, struct err *err)
{
	auto_json json_t *all = NULL;
	int r = context_load(&all, err);

	if (r < 0)
		return r;
	if (json_object_set_new(all, "current", json_string(name)) < 0)
		return err_set(err, -ENOMEM, "contexts");
	return context_save(all, err);
}

static int run_login(struct cli *cli, const struct cli_args *args)
{
	const char *name = cli->context ? cli->context : "default";
	auto_json json_t *c = json_object();
	auto_err struct err e = ERR_INIT;
	int r;

	if (!args->n_pos && !cli_opt(args, "--admin-file"))
		return cli_usage(cli, "login: ENDPOINT is missing");
	r = c ? login_context(args, c, &e) : err_set(&e, -ENOMEM, "login");
	if (r == 0 && !json_str_at(c, "clientId"))
		return cli_usage(cli, "login: --client-id ID is missing");
	if (r == 0) /* kept only when the server says yes */
		r = target_open_http(c, NULL, &cli->target, &e);
	if (r == 0)
		r = put_text(c, "subscriptionId", cli->target->subscription_id);
	if (r == 0)
		r = put_text(c, "name", name);
	if (r == 0)
		r = context_keep(c, &e);
	if (r == 0)
		r = keep_current(name, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	cli_note(cli, "logged in to %s as %s; subscription %s; context '%s'", cli->target->name,
		 json_str_at(c, "clientId"), cli->target->subscription_id, name);
	return EXIT_DONE;
}

static const struct cli_option login_options[] = {
	{"--client-id", 'u', "ID", "the service principal's client id"},
	{"--secret-file", 0, "FILE", "its secret is the first line; - for standard input"},
	{"--federated-token-file", 0, "FILE", "log in with the token of another issuer in it"},
	{"--tenant", 't', "ID", "tenant id"},
	{"--subscription", 's', "ID", "subscription id (default: the first that is seen)"},
	{"--ca-file", 0, "FILE", "certificate that vouches for the server's"},
	{"--admin-file", 0, "FILE", "take all of these from a server's admin.json"},
	{NULL},
};

const struct cli_command cmd_login = {
	.name = "login",
	.args = "[ENDPOINT]",
	.summary = "log in to a server; further commands go there",
	.help = "Keeps what it takes under the name of --context (\"default\") in a file of the "
		"user's\n"
		"own. Commands use the context that was logged in to last, unless --context, "
		"--data,\n"
		"$KILN_CONTEXT or $KILN_DATA says another. Secrets are read from a file or the\n"
		"terminal, never from the command line.\n\n"
		"Examples:\n"
		"  kiln login https://images.example:8443 -u 11111111-2222-... --ca-file ca.pem\n"
		"  kiln login --admin-file /var/lib/kiln/admin.json --context local",
	.options = login_options,
	.run = run_login,
};

/* ---- contexts ------------------------------------------------------------------------------- */

static const struct cli_column context_columns[] = {
	{"CONTEXT", "name"},
	{"CURRENT", "current"},
	{"ENDPOINT", "endpoint"},
	{"CLIENT", "clientId"},
	{"SUBSCRIPTION", "subscriptionId"},
	{NULL},
};
static const struct cli_option context_options[] = {
	CLI_RENDER_OPTIONS,
	{NULL},
};

/* What may be shown of the contexts: no secrets, no tokens. */
static json_t *context_rows(const json_t *all)
{
	const char *current = json_str_at(all, "current"), *name;
	json_t *rows = json_array(), *c;

	json_object_foreach(json_object_get(all, "contexts"), name, c)(void) json_array_append_new(
		rows, json_pack("{s:s, s:b, s:s*, s:s*, s:s*}", "name", name, "current",
				current && strcmp(current, name) == 0, "endpoint",
				json_str_at(c, "endpoint"), "clientId", json_str_at(c, "clientId"),
				"subscriptionId", json_str_at(c, "subscriptionId")));
	return rows;
}

static int run_list(struct cli *cli, const struct cli_args *args)
{
	auto_json json_t *all = NULL, *rows = NULL;
	auto_err struct err e = ERR_INIT;

	if (cli_render_check(cli, args) != EXIT_DONE)
		return EXIT_USAGE;
	if (context_load(&all, &e) < 0)
		return cli_fail(cli, &e);
	rows = context_rows(all);
	return rows ? cli_render(cli, args, rows, context_columns) : EXIT_FAILED;
}

const struct cli_command cmd_context_list = {
	.name = "context list",
	.summary = "list the servers that were logged in to",
	.help = "Example:\n  kiln context list",
	.options = context_options,
	.run = run_list,
};

static int run_use(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *c = NULL;
	int r = context_find(args->pos[0], &c, &e);

	if (r == 0)
		r = keep_current(args->pos[0], &e);
	return r < 0 ? cli_fail(cli, &e) : EXIT_DONE;
}

const struct cli_command cmd_context_use = {
	.name = "context use",
	.args = "CONTEXT",
	.summary = "choose the server that commands go to",
	.help = "Example:\n  kiln context use production",
	.run = run_use,
};

static int run_logout(struct cli *cli, const struct cli_args *args)
{
	auto_json json_t *all = NULL, *c = NULL;
	auto_err struct err e = ERR_INIT;
	const char *current;
	int r = context_find(args->n_pos ? args->pos[0] : cli->context, &c, &e);

	if (r == 0 && !c)
		r = err_set(&e, -ENOENT, "not logged in anywhere");
	if (r == 0)
		r = context_load(&all, &e);
	if (r < 0)
		return cli_fail(cli, &e);
	(void) json_object_del(json_object_get(all, "contexts"), json_str_at(c, "name"));
	current = json_str_at(all, "current");
	if (current && str_eq(current, json_str_at(c, "name")))
		(void) json_object_del(all, "current");
	return context_save(all, &e) < 0 ? cli_fail(cli, &e) : EXIT_DONE;
}

const struct cli_command cmd_logout = {
	.name = "logout",
	.args = "[CONTEXT]",
	.summary = "forget a server and its credentials",
	.help = "Without CONTEXT: the current one. Afterwards commands go to this host's data\n"
		"directory.\n\n"
		"Example:\n  kiln logout production",
	.run = run_logout,
};

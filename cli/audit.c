/* SPDX-License-Identifier: Apache-2.0 */
/* kiln audit list|verify */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/target.h"
#include "cli/verbs.h"
#include "meta/audit.h"
#include "providers/app.h"

/* ---- list ----------------------------------------------------------------------------------- */

static const struct cli_column columns[] = {
	{"TIME", "eventTimestamp", CELL_TIME},
	{"CALLER", "caller"},
	{"OPERATION", "operationName.value"},
	{"STATUS", "status.value"},
	{"RESOURCE", "resourceId"},
	{NULL},
};

static int take(void *arg, json_t *item)
{
	return json_array_append(arg, item) < 0 ? -ENOMEM : 0;
}

static char *list_path(struct cli *cli, const struct cli_args *args)
{
	const char *since = cli_opt(args, "--since"), *until = cli_opt(args, "--until");
	const char *group = cli_opt(args, "--group"), *who = cli_opt(args, "--caller");
	char day_ago[ISO_MAX];
	auto_free char *sub = cli_flag(args, "--tenant")
				      ? strdup("")
				      : strf("/subscriptions/%s", cli->target->subscription_id);
	auto_free char *filter = NULL;

	(void) time_iso(time_now_us() - INT64_C(86400) * 1000000, day_ago);
	filter = strf("eventTimestamp%%20ge%%20'%s'%s%s%s%s%s%s%s%s%s", since ? since : day_ago,
		      until ? "%20and%20eventTimestamp%20le%20'" : "", until ? until : "",
		      until ? "'" : "", group ? "%20and%20resourceGroupName%20eq%20'" : "",
		      group ? group : "", group ? "'" : "", who ? "%20and%20caller%20eq%20'" : "",
		      who ? who : "", who ? "'" : "");
	if (!sub || !filter)
		return NULL;
	return strf("%s/providers/Microsoft.Insights/eventtypes/management/values"
		    "?api-version=2015-04-01&$filter=%s",
		    sub, filter);
}

static int run_list(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_json json_t *list = json_array();
	auto_free char *path = NULL;
	struct target *t;
	int r;

	r = cli_render_check(cli, args);
	if (r != EXIT_DONE)
		return r;
	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	path = list_path(cli, args);
	r = path && list ? target_each(cli, path, take, list, &e)
			 : err_set(&e, -ENOMEM, "out of memory");
	return r < 0 ? cli_fail(cli, &e) : cli_render(cli, args, list, columns);
}

static const struct cli_option list_options[] = {
	{"--since", 0, "TIME", "from when on, such as 2026-01-31T12:00:00Z (default: a day ago)"},
	{"--until", 0, "TIME", "until when (default: now)"},
	{"--group", 'g', "GROUP", "only what happened in this resource group"},
	{"--caller", 0, "NAME", "only what this principal did"},
	{"--tenant", 0, NULL, "what happened outside of subscriptions"},
	CLI_RENDER_OPTIONS,
	{NULL},
};

const struct cli_command cmd_audit_list = {
	.name = "audit list",
	.summary = "who changed what, and who was refused",
	.help = "The audit log, newest first: changes, also failed ones, denials, logins and reads "
		"of\n"
		"secrets.\n"
		"\n"
		"Example:\n"
		"  kiln audit list --group golden --since 2026-01-31T00:00:00Z\n",
	.options = list_options,
	.run = run_list,
};

/* ---- verify --------------------------------------------------------------------------------- */

/* "NUMBER:HASH" */
static int parse_head(const char *text, struct audit_head *ret, struct err *err)
{
	char *end = NULL;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || n < 0 || end == text || *end != ':' || digest_parse(end + 1, &ret->hash) < 0)
		return err_set(err, -EINVAL,
			       "--head: '%s': NUMBER:HASH expected, as verify prints it", text);
	ret->seq = n;
	return 0;
}

static int show(struct cli *cli, int64_t rows, const struct audit_head *head)
{
	char hex[DIGEST_HEX];

	(void) digest_hex(&head->hash, hex);
	if (!cli->json) {
		(void) printf("%lld records, none changed or missing\nhead %lld:%s\n",
			      (long long) rows, (long long) head->seq, hex);
		return EXIT_DONE;
	}

	auto_json json_t *j =
		json_pack("{s:b, s:I, s:o}", "intact", 1, "records", (json_int_t) rows, "head",
			  json_strf("%lld:%s", (long long) head->seq, hex));

	return j && cli_print_json(j) >= 0 ? EXIT_DONE : EXIT_FAILED;
}

static int run_verify(struct cli *cli, const struct cli_args *args)
{
	const char *given = cli_opt(args, "--head");
	auto_err struct err e = ERR_INIT;
	struct audit_head head = {0}, expect = {0};
	struct app *app;
	int64_t rows = 0;

	if (given && parse_head(given, &expect, &e) < 0) {
		(void) cli_fail(cli, &e);
		return EXIT_USAGE;
	}
	if (cli_app(cli, &app) < 0)
		return EXIT_FAILED;
	if (audit_verify(app->meta, given ? &expect : NULL, &rows, &e) < 0 ||
	    audit_head(app->meta, &head, &e) < 0) {
		(void) cli_fail(cli, &e);
		return EXIT_FAILED;
	}
	return show(cli, rows, &head);
}

static const struct cli_option verify_options[] = {
	{"--head", 0, "NUMBER:HASH", "a head noted earlier, which must still be in the chain"},
	{NULL},
};

const struct cli_command cmd_audit_verify = {
	.name = "audit verify",
	.summary = "check that no record of the audit log was changed or removed",
	.help = "Walks the hash chain from its first record and names the first one that is "
		"wrong.\n\nA log that was rewritten as a whole is consistent in itself. So note "
		"the "
		"head that this command prints elsewhere, and give it to --head later: it must "
		"still be in the chain.\n"
		"\n"
		"Example:\n"
		"  kiln audit verify --head \"$(cat head)\"\n",
	.options = verify_options,
	.run = run_verify,
};

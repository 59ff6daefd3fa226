/* SPDX-License-Identifier: Apache-2.0 */
/* kiln audit list|verify */
#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/target.h"
#include "cli/verbs.h"
#include "meta/audit.h"
#include "providers/audit_seal.h"

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

static json_t *points_json(const struct app *a, const struct seal_point *p, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < n; i++)
		if (json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "region",
							  a->regions[p[i].region].name, "records",
							  (json_int_t) p[i].head.seq, "time",
							  p[i].time)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static int show(struct cli *cli, int64_t rows, const struct seal_point *p, size_t n)
{
	auto_err struct err e = ERR_INIT;
	struct audit_head head;
	char hex[DIGEST_HEX];

	if (audit_head(cli->app->meta, &head, &e) < 0)
		return cli_fail(cli, &e);
	(void) digest_hex(&head.hash, hex);
	if (!cli->json) {
		(void) printf("%lld records, none changed or missing\n", (long long) rows);
		for (size_t i = 0; i < n; i++)
			(void) printf("checkpoint in %s: %lld records, %s\n",
				      cli->app->regions[p[i].region].name,
				      (long long) p[i].head.seq, p[i].time);
		if (n == 0)
			(void) printf("no region has a checkpoint\n");
		(void) printf("head %lld:%s\n", (long long) head.seq, hex);
		return EXIT_DONE;
	}

	auto_json json_t *j =
		json_pack("{s:b, s:I, s:o, s:o}", "intact", 1, "records", (json_int_t) rows,
			  "checkpoints", points_json(cli->app, p, n), "head",
			  json_strf("%lld:%s", (long long) head.seq, hex));

	return j && cli_print_json(j) >= 0 ? EXIT_DONE : EXIT_FAILED;
}

/* The heads that must be in the chain: @given, if there is one, and the checkpoints'. */
static int verify(struct app *a, const struct audit_head *given, const struct seal_point *p,
		  size_t n, int64_t *ret_rows, struct err *err)
{
	auto_free struct audit_head *heads = calloc(n + 1, sizeof(*heads));
	size_t n_heads = n;
	int r;

	if (!heads)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		heads[i] = p[i].head;
	if (given)
		heads[n_heads++] = *given;
	r = audit_verify(a->meta, heads, n_heads, ret_rows, err);
	if (r == -EBADMSG && n > 0)
		err_hint(err,
			 "Region %s has a checkpoint of %lld records, made at %s. After a database"
			 " was restored from an older copy: kiln audit accept --reason TEXT",
			 a->regions[p[0].region].name, (long long) p[0].head.seq, p[0].time);
	return r;
}

static int run_verify(struct cli *cli, const struct cli_args *args)
{
	const char *given = cli_opt(args, "--head");
	auto_err struct err e = ERR_INIT;
	struct audit_head expect = {0};
	auto_free struct seal_point *points = NULL;
	size_t n = 0;
	struct app *app;
	int64_t rows = 0;

	if (given && parse_head(given, &expect, &e) < 0) {
		(void) cli_fail(cli, &e);
		return EXIT_USAGE;
	}
	if (cli_app(cli, &app) < 0)
		return EXIT_FAILED;
	if (audit_seal_points(app, &points, &n, &e) < 0 ||
	    verify(app, given ? &expect : NULL, points, n, &rows, &e) < 0) {
		(void) cli_fail(cli, &e);
		return EXIT_FAILED;
	}
	return show(cli, rows, points, n);
}

static const struct cli_option verify_options[] = {
	{"--head", 0, "NUMBER:HASH", "a head noted earlier, which must still be in the chain"},
	{NULL},
};

const struct cli_command cmd_audit_verify = {
	.name = "audit verify",
	.summary = "check that no record of the audit log was changed or removed",
	.help = "Walks the hash chain from its first record and names the first one that is "
		"wrong.\n"
		"A log that was rewritten as a whole, cut, or restored from an older copy is\n"
		"consistent in itself: it is found by the signed checkpoints that each region\n"
		"keeps, or by a head that this command printed earlier and --head gives back.\n"
		"\n"
		"Example:\n"
		"  kiln audit verify --head \"$(cat head)\"\n",
	.options = verify_options,
	.run = run_verify,
};

/* ---- accept --------------------------------------------------------------------------------- */

static int run_accept(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	struct app *app;

	if (cli_app(cli, &app) < 0)
		return EXIT_FAILED;
	return audit_seal_accept(app, cli_opt(args, "--reason"), &e) < 0 ? cli_fail(cli, &e)
									 : EXIT_DONE;
}

static const struct cli_option accept_options[] = {
	{"--reason", 0, "TEXT", "why records are missing: it is recorded", .required = true},
	{NULL},
};

const struct cli_command cmd_audit_accept = {
	.name = "audit accept",
	.summary = "go on with an audit log that lacks records",
	.help = "After the database was restored from an older copy, the log ends before the last\n"
		"checkpoint, and no new one is made. This command records what is missing and the\n"
		"reason, and begins a new generation of checkpoints. A log whose own chain is\n"
		"broken is not accepted.\n"
		"\n"
		"Example:\n"
		"  kiln audit accept --reason 'restored the backup of Sunday night'\n",
	.options = accept_options,
	.run = run_accept,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/ref.h"
#include "cli/verbs.h"
#include "providers/app.h"

struct rest {
	struct cli *cli;
	struct app *app;
	const char *method;
	char *target; /* owned: with api-version */
	struct buf body;
	bool wait, no_wait;
	const char *if_match, *if_none_match;
};

static int rest_body(struct rest *r, const char *name, struct err *err)
{
	bool standard = name && strcmp(name, "-") == 0;
	auto_fd int fd = -1;
	int code;

	if (!name)
		return 0;
	r->body = BUF_INIT(JSON_MAX_BYTES + 2); /* what arm_handle() would refuse is still read */
	if (!standard) {
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_set(err, -errno, "%s: %s", name, strerror(errno));
	}
	code = file_read_fd(standard ? STDIN_FILENO : fd, &r->body);
	return code < 0 ? err_set(err, code, "%s: %s", standard ? "standard input" : name,
				  strerror(-code))
			: 0;
}

/* @path with its api-version: the one given, else the type's newest. */
static char *rest_target(const struct rest *r, const char *path, const char *version)
{
	const char *q = strchr(path, '?');
	auto_free char *lower = str_lower(q ? q : "");

	if (!lower)
		return NULL;
	if (strstr(lower, "api-version="))
		return strdup(path);
	return strf("%s%capi-version=%s", path, q ? '&' : '?',
		    version ? version : ref_api_version(path));
}

static void rest_handle(const struct rest *r, const char *method, const char *target,
			struct arm_response *ret)
{
	bool get = strcmp(method, "GET") == 0;
	struct arm_request q = {
		.method = method,
		.target = target,
		.body = get ? NULL : r->body.data,
		.body_bytes = get ? 0 : r->body.len,
		.who = &r->app->owner,
		.if_match = get ? NULL : r->if_match,
		.if_none_match = get ? NULL : r->if_none_match,
	};

	arm_handle(r->app->arm, &q, ret);
}

static int rest_show(const struct rest *r, const struct arm_response *res)
{
	auto_err struct err e = ERR_INIT;

	if (res->body && cli_print_json(res->body) < 0)
		return EXIT_FAILED;
	if (res->status >= 200 && res->status < 300)
		return EXIT_DONE;
	if (!r->cli->json) {
		(void) ref_error(res->status, res->body, &e);
		(void) cli_fail(r->cli, &e);
	}
	return cli_status_of_http(res->status);
}

/* What the finished operation left: the resource, or an action's result. */
static int rest_final(const struct rest *r, const struct arm_response *first)
{
	struct arm_response res = {0};
	int status = EXIT_DONE;

	if (strcmp(r->method, "PUT") == 0 || strcmp(r->method, "PATCH") == 0)
		rest_handle(r, "GET", r->target, &res);
	else if (strcmp(r->method, "POST") == 0 && first->location)
		rest_handle(r, "GET", first->location, &res);
	if (res.status)
		status = rest_show(r, &res);
	arm_response_done(&res);
	return status;
}

static int rest_work(struct rest *r, const struct arm_response *res)
{
	auto_err struct err e = ERR_INIT;
	struct cli_progress *p;
	int code;

	if (r->no_wait) {
		cli_note(r->cli,
			 "operation %s is queued; the next command that finds its resource busy, "
			 "or a server, runs it",
			 res->operation_id);
		return EXIT_DONE;
	}
	p = cli_progress_new(r->cli);
	code = arm_work(r->app->arm, res->operation_id, cli_progress_sink(p), &r->cli->cancel, &e);
	cli_progress_free(p);
	if (code < 0)
		return cli_fail(r->cli, &e);
	return r->wait ? rest_final(r, res) : EXIT_DONE;
}

/* Does an operation keep the request's resource busy? *@ret is its name, or "". */
static bool rest_busy(const struct rest *r, char ret[UUID_STR_LEN])
{
	auto_free char *path = strndup(r->target, strcspn(r->target, "?"));
	const char *host = path ? strstr(path, "://") : NULL;
	const char *slash = host ? strchr(host + 3, '/') : path;
	auto_arm_id struct arm_id id = {0};

	ret[0] = '\0';
	if (!slash || arm_id_parse(slash, &id, NULL) < 0)
		return false;
	/* an action's last word is no resource */
	(void) arm_running(r->app->arm, id.name ? id.text : id.parent, ret, NULL);
	return ret[0];
}

/* A command that was killed, or told not to wait, leaves its operation to the next one. Whoever
 * finds its resource busy finishes what nobody works on, and only then asks again; what another
 * process works on stays a conflict. True when the resource is free now. */
static bool rest_take_over(struct rest *r)
{
	char op[UUID_STR_LEN];
	struct cli_progress *p;
	int code;

	if (!rest_busy(r, op))
		return false;
	p = cli_progress_new(r->cli);
	code = arm_work(r->app->arm, NULL, cli_progress_sink(p), &r->cli->cancel, NULL);
	cli_progress_free(p);
	if (code < 0)
		return false;
	return !rest_busy(r, op);
}

static int rest_run(struct rest *r)
{
	struct arm_response res = {0};
	bool job;
	int status;

	rest_handle(r, r->method, r->target, &res);
	if (res.status == 409 && rest_take_over(r)) {
		arm_response_done(&res);
		res = (struct arm_response){0};
		rest_handle(r, r->method, r->target, &res);
	}
	job = res.operation_id[0] && res.status >= 200 && res.status < 300;
	status = job && r->wait ? EXIT_DONE : rest_show(r, &res);
	if (status == EXIT_DONE && job)
		status = rest_work(r, &res);
	arm_response_done(&res);
	return status;
}

static int rest_method(struct rest *r, const char *word)
{
	static const char *const known[] = {"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", NULL};

	for (int i = 0; known[i]; i++) {
		if (!str_eq_nocase(known[i], word))
			continue;
		r->method = known[i];
		return EXIT_DONE;
	}
	return cli_usage(r->cli, "rest: method '%s' is not one of GET HEAD PUT PATCH POST DELETE",
			 word);
}

static int run_rest(struct cli *cli, const struct cli_args *args)
{
	struct rest r = {.cli = cli,
			 .wait = cli_flag(args, "--wait"),
			 .no_wait = cli_flag(args, "--no-wait"),
			 .if_match = cli_opt(args, "--if-match"),
			 .if_none_match = cli_opt(args, "--if-none-match")};
	auto_err struct err e = ERR_INIT;
	auto_free char *path = NULL;
	int status = rest_method(&r, args->pos[0]);

	if (status != EXIT_DONE)
		return status;
	if (r.wait && r.no_wait)
		return cli_usage(cli, "rest: --wait and --no-wait exclude each other");
	if (args->pos[1][0] != '/' && !strstr(args->pos[1], "://"))
		return cli_usage(cli, "rest: '%s' is neither an id ('/...') nor a URL",
				 args->pos[1]);
	if (cli_app(cli, &r.app) < 0)
		return EXIT_FAILED;
	path = ref_expand(r.app, args->pos[1]);
	r.target = path ? rest_target(&r, path, cli_opt(args, "--api-version")) : NULL;
	if (!r.target)
		return EXIT_FAILED;
	(void) rest_body(&r, cli_opt(args, "--body"), &e);
	status = e.code ? cli_fail(cli, &e) : rest_run(&r);
	buf_done(&r.body);
	free(r.target);
	return status;
}

static const struct cli_option rest_options[] = {
	{"--body", 'b', "FILE", "request body: a file, or - for standard input"},
	{"--api-version", 'a', "V", "api-version (default: the newest of the type)"},
	{"--wait", 'w', NULL, "print what the finished operation left, not the first answer"},
	{"--no-wait", 0, NULL, "leave the operation queued"},
	{"--if-match", 0, "ETAG", "change only this revision"},
	{"--if-none-match", 0, "ETAG", "with *: only create"},
	{NULL},
};

const struct cli_command cmd_rest = {
	.name = "rest",
	.args = "METHOD ID",
	.summary = "send one ARM request and print the answer",
	.help = "Everything that kiln can do is such a request. ID is a resource id with an "
		"optional\n"
		"query, or a URL; '/resourceGroups/...' is short for one in this subscription, "
		"and\n"
		"'{subscription}' stands for its id. An operation that the request starts is run "
		"to\n"
		"its end before the command exits.\n\n"
		"Examples:\n"
		"  kiln rest GET /subscriptions\n"
		"  kiln rest PUT /resourceGroups/images --body - <<< '{\"location\": \"eastus\"}'\n"
		"  kiln rest PUT "
		"/resourceGroups/images/providers/Microsoft.Compute/galleries/golden \\\n"
		"      --body gallery.json --api-version 2023-07-03 --wait\n"
		"  kiln rest GET '/resourceGroups/images/providers/Microsoft.Compute/galleries'",
	.options = rest_options,
	.run = run_rest,
};

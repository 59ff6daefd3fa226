/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/ref.h"
#include "cli/target.h"
#include "cli/verbs.h"
#include "providers/app.h"

struct rest {
	struct cli *cli;
	struct target *target;
	const char *method;
	char *path; /* owned: with api-version */
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

static int rest_send(const struct rest *r, const char *method, const char *target,
		     struct arm_response *ret, struct err *err)
{
	bool get = strcmp(method, "GET") == 0;
	struct arm_request q = {
		.method = method,
		.target = target,
		.body = get ? NULL : r->body.data,
		.body_bytes = get ? 0 : r->body.len,
		.if_match = get ? NULL : r->if_match,
		.if_none_match = get ? NULL : r->if_none_match,
	};

	return target_send(r->target, &q, ret, err);
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
static int rest_final(const struct rest *r, const struct arm_response *first, struct err *err)
{
	struct arm_response res = {0};
	int status = EXIT_DONE, code = 0;

	if (strcmp(r->method, "PUT") == 0 || strcmp(r->method, "PATCH") == 0)
		code = rest_send(r, "GET", r->path, &res, err);
	else if (strcmp(r->method, "POST") == 0 && first->location)
		code = rest_send(r, "GET", first->location, &res, err);
	if (code < 0)
		status = cli_fail(r->cli, err);
	else if (res.status)
		status = rest_show(r, &res);
	arm_response_done(&res);
	return status;
}

static int rest_work(struct rest *r, const struct arm_response *res, struct err *err)
{
	struct cli_progress *p;
	int code;

	if (r->no_wait) {
		cli_note(r->cli,
			 r->target->remote ? "operation %s is queued"
					   : "operation %s is queued; the next command that finds "
					     "its resource "
					     "busy, or a server, runs it",
			 res->operation_id);
		return EXIT_DONE;
	}
	p = cli_progress_new(r->cli);
	code = r->target->ops->finish(r->target, res, cli_progress_sink(p), &r->cli->cancel, err);
	cli_progress_free(p);
	if (code < 0)
		return cli_fail(r->cli, err);
	return r->wait ? rest_final(r, res, err) : EXIT_DONE;
}

static int rest_run(struct rest *r, struct err *err)
{
	struct arm_response res = {0};
	bool job;
	int status;

	if (rest_send(r, r->method, r->path, &res, err) < 0)
		return cli_fail(r->cli, err);
	job = target_started(&res);
	status = job && r->wait ? EXIT_DONE : rest_show(r, &res);
	if (status == EXIT_DONE && job)
		status = rest_work(r, &res, err);
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
	if (cli_target(cli, &r.target) < 0)
		return EXIT_FAILED;
	path = ref_expand(r.target->subscription_id, args->pos[1]);
	r.path = path ? ref_versioned(path, cli_opt(args, "--api-version")) : NULL;
	if (!r.path)
		return EXIT_FAILED;
	(void) rest_body(&r, cli_opt(args, "--body"), &e);
	status = e.code ? cli_fail(cli, &e) : rest_run(&r, &e);
	buf_done(&r.body);
	free(r.path);
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

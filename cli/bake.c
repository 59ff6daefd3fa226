/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/bake_explain.h"
#include "cli/bake_follow.h"
#include "cli/bake_input.h"
#include "cli/bake_view.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/target.h"
#include "cli/verbs.h"
#include "providers/app.h"
#include "providers/template_explain.h"

#define ASK_AGAIN_MS  1000
#define TEMPLATE_TYPE "Microsoft.VirtualMachineImages/imageTemplates"

struct bake {
	struct cli *cli;
	const struct cli_args *args;
	struct bake_input in;
	char *group; /* owned */
	char *id;    /* owned: of the template */
	const char *version;
	struct bake_view *view;
	bool waited; /* and said so */
};

static void bake_done(struct bake *b)
{
	bake_view_free(b->view);
	bake_input_done(&b->in);
	free(b->group);
	free(b->id);
}

/* ---- Requests ------------------------------------------------------------------------------- */

static int request(struct bake *b, const char *method, const char *id, const json_t *body,
		   struct arm_response *res, struct err *err)
{
	auto_free char *target = strf("%s?api-version=%s", id, b->version);
	auto_free char *text = body ? json_compact(body) : NULL;
	struct arm_request q = {.method = method, .target = target};
	int r;

	if (!target || (body && !text))
		return err_set(err, -ENOMEM, "%s", id);
	q.body = text;
	q.body_bytes = text ? strlen(text) : 0;
	r = target_send(b->cli->target, &q, res, err);
	if (r < 0 || (res->status >= 200 && res->status < 300))
		return r;
	return ref_error(res->status, res->body, err);
}

static int take_group(void *arg, json_t *item)
{
	return strv_push(arg, json_str_at(item, "name"));
}

/* The only group that there is. */
static int only_group(struct bake *b, struct err *err)
{
	auto_free char *list =
		strf("/subscriptions/%s/resourceGroups", b->cli->target->subscription_id);
	auto_strv char **all = NULL;
	int r = list ? target_each(b->cli, list, take_group, &all, err) : -ENOMEM;

	if (r < 0)
		return r;
	if (strv_len(all) != 1) {
		err_set(err, -EINVAL, "%s: -g GROUP is needed",
			all ? "there are several resource groups"
			    : "there is no resource group yet");
		err_hint(err, "%s",
			 all ? "name one of them" : "make one: kiln group create images -l eastus");
		return -EINVAL;
	}
	b->group = strdup(all[0]);
	return b->group ? 0 : -ENOMEM;
}

/* The group that -g names must exist; without -g there must be exactly one. */
static int find_group(struct bake *b, struct err *err)
{
	const char *given = cli_opt(b->args, "--group");
	const char *sub = b->cli->target->subscription_id;
	auto_free char *id = NULL;
	auto_json json_t *doc = NULL;
	int r = 0;

	if (given)
		b->group = strdup(given);
	else
		r = only_group(b, err);
	if (r < 0)
		return r;
	id = b->group ? strf("/subscriptions/%s/resourceGroups/%s", sub, b->group) : NULL;
	r = id ? target_get(b->cli, id, &doc, err) : -ENOMEM;
	if (r == -ENOENT) {
		err_set(err, r, "there is no resource group %s", b->group);
		err_hint(err, "make it: kiln group create %s -l eastus", b->group);
	}
	if (r < 0)
		return r;
	if (!json_object_get(b->in.body, "location") &&
	    json_object_set(b->in.body, "location", json_object_get(doc, "location")) < 0)
		return -ENOMEM;
	b->id = strf("/subscriptions/%s/resourceGroups/%s/providers/" TEMPLATE_TYPE "/%s", sub,
		     b->group, b->in.name);
	return b->id ? 0 : -ENOMEM;
}

static int expand_id(struct bake *b, json_t *obj, const char *key)
{
	const char *typed = json_str_at(obj, key);
	auto_free char *id = typed ? ref_expand(b->cli->target->subscription_id, typed) : NULL;

	if (!typed)
		return 0;
	return id && json_object_set_new(obj, key, json_string(id)) == 0 ? 0 : -ENOMEM;
}

/* "/resourceGroups/…" and {subscription}, as everywhere on the command line. */
static int expand_ids(struct bake *b, struct err *err)
{
	json_t *source = json_at(b->in.body, "properties.source"), *target;
	size_t i;
	int r = expand_id(b, source, "imageId");

	if (r == 0)
		r = expand_id(b, source, "imageVersionId");
	json_array_foreach(json_at(b->in.body, "properties.distribute"), i, target)
	{
		if (r == 0)
			r = expand_id(b, target, "imageId");
		if (r == 0)
			r = expand_id(b, target, "galleryImageId");
	}
	return r < 0 ? err_set(err, r, "template") : 0;
}

/* What this bake says of the template, in what is stored of it? Then a run of it may go on: the
 * request to run joins it or queues. */
static bool is_stored(const struct bake *b)
{
	auto_json json_t *doc = NULL;
	json_t *mine = json_object_get(b->in.body, "properties"), *stored, *v;
	const char *key;

	if (target_get(b->cli, b->id, &doc, NULL) < 0)
		return false;
	stored = json_object_get(doc, "properties");
	(void) json_object_del(json_object_get(stored, "source"), "exactVersion");
	json_object_foreach(mine, key, v)
	{
		auto_json json_t *have = json_deep_copy(json_object_get(stored, key));
		auto_json json_t *want = json_deep_copy(v);

		if (strcmp(key, "kiln") == 0)
			(void) json_object_del(want, "replace");
		if (!json_equal(have, want) && (have || json_object_size(want) > 0))
			return false;
		(void) json_object_del(stored, key);
	}
	/* what only the server wrote is no difference */
	json_object_foreach(stored, key, v)
	{
		if (!str_eq(key, "provisioningState") && !str_eq(key, "lastRunStatus") &&
		    !str_eq(key, "provisioningError") && !str_eq(key, "exactStagingResourceGroup"))
			return false;
	}
	return true;
}

/* Here, a run of a process that was killed is taken over and brought to its end; what it finished
 * need not be done again. A server's workers see to theirs. */
static int wait_here(struct bake *b, struct err *err)
{
	struct err ended = ERR_INIT;
	char op[UUID_STR_LEN] = "";
	int r = arm_running(b->cli->app->arm, b->id, op, err);

	if (r < 0 || !*op)
		return r;
	cli_note(b->cli, "an earlier run of %s has not ended (operation %s): finishing it first",
		 b->in.name, op);
	r = arm_work(b->cli->app->arm, op, bake_view_sink(b->view), &b->cli->cancel, &ended);
	if (cancel_check(&b->cli->cancel) < 0) {
		err_move(err, &ended);
		return r < 0 ? r : -ECANCELED;
	}
	if (r < 0)
		cli_note(b->cli, "the earlier run ended: %s", err_str(&ended));
	err_done(&ended);
	return 0;
}

/* Asked first, so that what a killed process left is finished in view. */
static bool is_running(struct bake *b)
{
	char op[UUID_STR_LEN] = "";

	return b->cli->app && arm_running(b->cli->app->arm, b->id, op, NULL) == 0 && *op;
}

static int wait_there(struct bake *b, struct err *err)
{
	struct pollfd stop = {.fd = b->cli->cancel.event_fd, .events = POLLIN};

	if (!b->waited)
		cli_note(b->cli, "an earlier run of %s has not ended: waiting for it", b->in.name);
	b->waited = true;
	if (poll(&stop, 1, ASK_AGAIN_MS) > 0)
		return err_set(err, -ECANCELED, "cancelled before it began");
	return 0;
}

static int put_once(struct bake *b, struct err *err)
{
	struct arm_response res = {0};
	int r = request(b, "PUT", b->id, b->in.body, &res, err);

	if (r == 0 && target_started(&res))
		r = b->cli->target->ops->finish(b->cli->target, &res, NULL, &b->cli->cancel, err);
	arm_response_done(&res);
	return r;
}

/* One template has one run at a time, and what it says does not change meanwhile. */
static int put_template(struct bake *b, struct err *err)
{
	int r = json_set_at(b->in.body, "properties.kiln.replace", json_true());

	if (r < 0)
		return err_set(err, r, "template");
	for (;;) {
		bool busy = is_running(b);

		if (!busy) {
			r = put_once(b, err);
			if (r != -EBUSY || !str_eq(err->arm, "AnotherOperationInProgress"))
				return r;
			err_done(err);
		}
		if (is_stored(b))
			return 0;
		r = b->cli->app ? wait_here(b, err) : wait_there(b, err);
		if (r < 0)
			return r;
	}
}

static json_t *run_body(const struct bake *b)
{
	const char *until = cli_opt(b->args, "--until");

	json_t *refresh = json_array();
	const char *name;
	int i = 0;

	while (refresh && (name = cli_opt_next(b->args, "--refresh", &i)))
		(void) json_array_append_new(refresh, json_string(name));
	return json_pack("{s:b, s:b, s:b, s:s*, s:s*, s:o}", "noCache",
			 cli_flag(b->args, "--no-cache"), "force", cli_flag(b->args, "--force"),
			 "keepGoing", cli_flag(b->args, "--keep-going"), "until", until, "from",
			 cli_opt(b->args, "--from"), "refresh", refresh);
}

static int start_run(struct bake *b, struct arm_response *res, struct err *err)
{
	auto_free char *id = strf("%s/run", b->id);
	auto_json json_t *body = run_body(b);

	return id && body ? request(b, "POST", id, body, res, err) : -ENOMEM;
}

static int follow_run(struct bake *b, const struct arm_response *res, struct err *err)
{
	const struct event_sink *sink = bake_view_sink(b->view);
	struct target *t = b->cli->target;

	if (t->remote)
		return bake_follow(b->cli, b->id, res, sink, err);
	return t->ops->finish(t, res, sink, &b->cli->cancel, err);
}

/* ---- The end -------------------------------------------------------------------------------- */

static uint64_t stored_bytes(const json_t *record)
{
	uint64_t sum = 0;
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(record, "steps"), i, s) sum +=
		(uint64_t) json_int_at(s, "storedBytes", 0);
	return sum;
}

static void print_replicas(struct bake *b, const json_t *doc)
{
	const json_t *list = json_at(doc, "properties.replicationStatus.summary"), *s;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	(void) fputs("  replicated to  ", stdout);
	json_array_foreach(list, i, s)(void) printf(
		"%s%s (%s)", i ? ", " : "", json_str_at(s, "region"), json_str_at(s, "state"));
	(void) putchar('\n');
}

/* One target of the run, with what its resource says about regions. */
static void print_output(struct bake *b, const json_t *out)
{
	const char *id = json_str_at(out, "artifactId");
	auto_json json_t *doc = NULL;

	if (!id)
		return;
	if (json_bool_at(out, "unchanged", false))
		(void) printf("%sunchanged:%s %s already is this build\n",
			      cli_sgr(b->cli, CLI_GREEN), cli_sgr(b->cli, CLI_PLAIN), id);
	else
		(void) printf("%spublished%s      %s\n", cli_sgr(b->cli, CLI_GREEN),
			      cli_sgr(b->cli, CLI_PLAIN), id);
	if (!strstr(id, "/versions/"))
		return;
	if (ref_get(b->cli, id, "$expand=ReplicationStatus", &doc, NULL) == 0)
		print_replicas(b, doc);
	(void) printf("  boot it        kiln run %s --wait\n",
		      strstr(id, "/resourceGroups/") ?: id);
}

static void print_summary(struct bake *b, const json_t *record)
{
	const json_t *out;
	char size[16], stored[16], time[16];
	size_t i;

	(void) putchar('\n');
	json_array_foreach(json_object_get(record, "outputs"), i, out) print_output(b, out);
	if (json_array_size(json_object_get(record, "outputs")) == 0 && cli_opt(b->args, "--until"))
		(void) printf("stopped after %s, as asked; nothing was published\n",
			      cli_opt(b->args, "--until"));
	if (json_str_at(record, "artifact.disk.digest"))
		(void) printf(
			"  disk           %s, %s\n", json_str_at(record, "artifact.disk.digest"),
			size_human((uint64_t) json_int_at(record, "artifact.disk.sizeBytes", 0),
				   size));
	(void) printf("  new in store   %s\n", size_human(stored_bytes(record), stored));
	(void) printf("  time           %s, %lld of %zu steps ran\n",
		      time_human(json_number_value(json_object_get(record, "seconds")), time),
		      (long long) json_int_at(record, "ran", 0),
		      json_array_size(json_object_get(record, "steps")));
	(void) fflush(stdout);
}

static json_t *summary_json(const json_t *record)
{
	return json_pack("{s:s, s:O?, s:O?, s:O?, s:O?, s:O?, s:I, s:O?}", "type", "summary",
			 "runId", json_object_get(record, "runId"), "state",
			 json_object_get(record, "state"), "outputs",
			 json_object_get(record, "outputs"), "disk",
			 json_at(record, "artifact.disk"), "seconds",
			 json_object_get(record, "seconds"), "storedBytes",
			 (json_int_t) stored_bytes(record), "ran", json_object_get(record, "ran"));
}

static const json_t *failed_step(const json_t *record)
{
	const json_t *s;
	size_t i;

	json_array_foreach(json_object_get(record, "steps"), i, s)
	{
		if (str_eq(json_str_at(s, "state"), "failed"))
			return s;
	}
	return NULL;
}

/* What to do next, after a step failed: the same command goes on at that step. */
static void hint_failure(struct bake *b, const json_t *record, struct err *err)
{
	const json_t *s = failed_step(record);
	const char *stage = json_str_at(s, "stage");
	bool look = str_eq(stage, "customize") || str_eq(stage, "generalize") ||
		    str_eq(stage, "validate") || str_eq(stage, "verify");

	if (!s || str_eq(stage, "source"))
		return;
	free(take_ptr(err->hint));
	if (!look) {
		err_hint(err,
			 "resume: kiln bake %s -g %s (continues at %s; what was built is kept)",
			 b->args->pos[0], b->group, json_str_at(s, "name"));
		return;
	}
	err_hint(err,
		 "resume: kiln bake %s -g %s (continues at %s; finished steps are kept)\n"
		 "      look inside: kiln shell %s@%s -g %s (the disk as it was %s)",
		 b->args->pos[0], b->group, json_str_at(s, "name"), b->in.name,
		 str_eq(stage, "customize") ? json_str_at(s, "name") : "generalize", b->group,
		 json_object_get(s, "failedDisk") ? "when the step failed"
		 : str_eq(stage, "customize")     ? "before the step"
						  : "when it was finished");
}

/* A message of several lines: a step's last output belongs to its error. */
static void print_lines(struct bake *b, enum cli_style style, const char *label, const char *text)
{
	(void) fprintf(stderr, "%s%s%s ", cli_sgr(b->cli, style), label,
		       cli_sgr(b->cli, CLI_PLAIN));
	while (*text) {
		size_t n = strcspn(text, "\n");

		cli_print_safe(stderr, text, n);
		(void) fputc('\n', stderr);
		text += n + (text[n] == '\n');
	}
}

/* With --json each line is one document, the error too. */
static int fail(struct bake *b, struct err *err)
{
	auto_json json_t *j = NULL;
	auto_free char *text = NULL;

	if (b->view) {
		bake_view_stop(b->view);
		hint_failure(b, bake_view_record(b->view), err);
	}
	if (!b->cli->json) {
		print_lines(b, CLI_RED, "kiln:", err_str(err));
		if (err->hint)
			print_lines(b, CLI_YELLOW, "hint:", err->hint);
		return cli_status_of(err->code);
	}
	j = cli_error_json(err);
	text = j ? json_compact(j) : NULL;
	if (text) {
		(void) puts(text);
		(void) fflush(stdout);
	}
	return cli_status_of(err->code);
}

static int finish(struct bake *b)
{
	const json_t *record;

	bake_view_stop(b->view);
	record = bake_view_record(b->view);
	if (b->cli->json) {
		auto_json json_t *s = summary_json(record);
		auto_free char *text = s ? json_compact(s) : NULL;

		if (!text || puts(text) < 0 || fflush(stdout) != 0)
			return EXIT_FAILED;
		return EXIT_DONE;
	}
	if (record)
		print_summary(b, record);
	return EXIT_DONE;
}

static int explain(struct bake *b, struct err *err)
{
	auto_json json_t *params = run_body(b), *doc = NULL;
	struct app *app;
	int r;

	if (cli_app(b->cli, &app) < 0)
		return 1;
	r = params ? template_explain(app, b->id, b->in.body, params, &b->cli->cancel, NULL, &doc,
				      err)
		   : err_set(err, -ENOMEM, "bake");
	if (r < 0)
		return r;
	bake_view_stop(b->view);
	if (b->cli->json)
		return cli_print_json(doc) < 0 ? -EIO : 1;
	explain_print(b->cli, doc);
	return 1;
}

/* 1: nothing more is to be told. */
static int work(struct bake *b, struct err *err)
{
	struct arm_response res = {0};
	int r = find_group(b, err);

	if (r == 0)
		r = expand_ids(b, err);
	if (r == 0 && cli_flag(b->args, "--explain"))
		return explain(b, err);
	if (r == 0)
		r = put_template(b, err);
	if (r == 0)
		r = start_run(b, &res, err);
	if (r == 0 && cli_flag(b->args, "--no-wait")) {
		cli_note(b->cli,
			 "operation %s is queued; a server, or the next kiln bake of this "
			 "template, runs it",
			 res.operation_id);
		r = 1;
	} else if (r == 0) {
		r = follow_run(b, &res, err);
	}
	arm_response_done(&res);
	return r;
}

static int collect_params(const struct cli_args *args, char ***ret)
{
	const char *p;
	int i = 0, r = 0;

	while (r == 0 && (p = cli_opt_next(args, "--param", &i)))
		r = strv_push(ret, p);
	return r;
}

static int run_bake(struct cli *cli, const struct cli_args *args)
{
	struct bake b = {.cli = cli, .args = args};
	auto_err struct err e = ERR_INIT;
	auto_strv char **params = NULL;
	struct target *t;
	int status, r = collect_params(args, &params);

	if (r == 0)
		r = bake_input_read(args->pos[0], cli_opt(args, "--name"),
				    (const char *const *) params, strv_len(params), &b.in, &e);
	if (r < 0) {
		status = fail(&b, &e);
	} else if (cli_target(cli, &t) < 0) {
		status = EXIT_FAILED;
	} else {
		b.version = b.in.api_version ? b.in.api_version : ref_api_version(TEMPLATE_TYPE);
		b.view = bake_view_new(cli);
		r = b.view ? work(&b, &e) : err_set(&e, -ENOMEM, "bake");
		status = r < 0 ? fail(&b, &e) : r == 1 ? EXIT_DONE : finish(&b);
	}
	bake_done(&b);
	return status;
}

static const struct cli_option bake_options[] = {
	{"--group", 'g', "GROUP", "resource group of the template (default: the only one)"},
	{"--name", 'n', "NAME", "name of the template (default: from the file's name)"},
	{"--param", 'p', "NAME=VALUE", "value of one of the file's parameters; repeatable"},
	{"--until", 0, "STEP", "stop after this customizer and publish nothing"},
	{"--from", 0, "STEP", "run this customizer and all after it again"},
	{"--refresh", 0, "STEP", "run this customizer again; repeatable"},
	{"--no-cache", 0, NULL, "run every step again"},
	{"--keep-going", 'k', NULL, "after a failed customizer try the next; publish nothing"},
	{"--explain", 0, NULL, "only say which steps would run, and which input changed"},
	{"--force", 'f', NULL, "publish a new version although nothing changed"},
	{"--no-wait", 0, NULL, "leave the run queued"},
	{NULL},
};

const struct cli_command cmd_bake = {
	.name = "bake",
	.args = "TEMPLATE.json",
	.summary = "bake an image template and publish the result",
	.help = "TEMPLATE.json is an Azure Image Builder template, unchanged; kiln's additions are "
		"in\n"
		"properties.kiln (docs/templates.md). Every step ends in a snapshot: baking again "
		"runs\n"
		"only what changed, and after a failure goes on at the step that failed.\n\n"
		"\"file:scripts/x.sh\" names a file beside the template. The file may declare "
		"\"parameters\",\n"
		"used as \"[parameters('name')]\" and set with --param.\n\n"
		"Examples:\n"
		"  kiln bake examples/golden-debian/template.json -g golden\n"
		"  kiln bake web.json -g images --param version=1.4.2 --json\n"
		"  kiln bake web.json --explain\n"
		"  kiln bake web.json --refresh packages",
	.options = bake_options,
	.run = run_bake,
};

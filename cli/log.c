/* SPDX-License-Identifier: Apache-2.0 */
/* What a run said, from its events. */
#include <poll.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/target.h"
#include "cli/verbs.h"

#define RUN_TYPE  "Kiln.Images/runs"
#define FOLLOW_MS 500

struct logger {
	struct cli *cli;
	const char *step; /* only this step's lines, or NULL */
	bool in_step;     /* the step that runs is the one that was asked for */
	bool found;
};

/* ---- Which run ------------------------------------------------------------------------------ */

struct newest {
	const char *template_id;
	char *id, *start; /* owned */
};

static int newer(void *arg, json_t *run)
{
	struct newest *n = arg;
	const char *of = json_str_at(run, "properties.templateId");
	const char *start = json_str_at(run, "properties.startTime"), *id = json_str_at(run, "id");

	if (!of || !id || !start || !str_eq_nocase(of, n->template_id) ||
	    (n->start && strcmp(start, n->start) <= 0))
		return 0;
	free(n->id);
	free(n->start);
	n->id = strdup(id);
	n->start = strdup(start);
	return n->id && n->start ? 0 : -ENOMEM;
}

static int newest_run(struct cli *cli, const char *template_id, char **ret, struct err *err)
{
	struct newest n = {.template_id = template_id};
	auto_free char *list =
		strf("/subscriptions/%s/providers/" RUN_TYPE, cli->target->subscription_id);
	int r = list ? target_each(cli, list, newer, &n, err) : -ENOMEM;

	if (r == 0 && !n.id)
		r = err_set(err, -ENOENT, "no run of %s is recorded", template_id);
	free(n.start);
	*ret = n.id;
	return r;
}

static int find_run(struct cli *cli, const char *typed, const char *group, char **ret,
		    struct err *err)
{
	auto_free char *id = NULL;
	int r = ref_find_run(cli, typed, group, &id, err);

	if (r < 0)
		return r;
	if (!strstr(id, "/" RUN_TYPE "/"))
		return newest_run(cli, id, ret, err);
	*ret = take_ptr(id);
	return 0;
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static void text(const char *s)
{
	cli_print_safe(stdout, s ? s : "", s ? strlen(s) : 0);
}

static void step_line(const struct logger *l, const json_t *event, const char *what)
{
	const json_t *seconds = json_object_get(event, "seconds");
	char time[16];

	(void) printf("%s", cli_sgr(l->cli, CLI_BOLD));
	(void) printf("%lld/%lld ", (long long) json_int_at(event, "step", 0),
		      (long long) json_int_at(event, "total", 0));
	text(json_str_at(event, "name"));
	(void) printf("%s  %s", cli_sgr(l->cli, CLI_PLAIN), what);
	if (json_is_number(seconds))
		(void) printf("  %s", time_human(json_number_value(seconds), time));
	(void) putchar('\n');
}

static bool wanted(struct logger *l, const json_t *event)
{
	const char *name = json_str_at(event, "name");
	char number[24];

	if (!l->step)
		return true;
	if (str_eq(json_str_at(event, "type"), "step.start")) {
		(void) snprintf(number, sizeof(number), "%lld",
				(long long) json_int_at(event, "step", 0));
		l->in_step = (name && str_eq_nocase(name, l->step)) || str_eq(number, l->step);
		l->found = l->found || l->in_step;
	}
	return l->in_step;
}

static void show_event(struct logger *l, const json_t *event)
{
	const char *type = json_str_at(event, "type");
	auto_free char *line = NULL;

	if (!type || !wanted(l, event))
		return;
	if (l->cli->json) {
		line = json_compact(event);
		(void) puts(line ? line : "");
	} else if (str_eq(type, "output")) {
		text(json_str_at(event, "line"));
		(void) putchar('\n');
	} else if (str_eq(type, "step.start")) {
		step_line(l, event, "begins");
	} else if (str_eq(type, "step.done")) {
		step_line(l, event, json_bool_at(event, "cached", false) ? "cached" : "done");
	} else if (str_eq(type, "step.failed")) {
		step_line(l, event, "failed");
	} else if (str_eq(type, "notice") || str_eq(type, "networkDenied")) {
		text(json_str_at(event, "message") ?: json_str_at(event, "reason"));
		(void) putchar('\n');
	} else if (str_eq(type, "run.end")) {
		(void) printf("%s\n", json_str_at(event, "state"));
	}
}

static int show_part(struct logger *l, const char *path, json_int_t *offset, bool *end,
		     struct err *err)
{
	auto_json json_t *body = json_pack("{s:I}", "offset", *offset), *part = NULL;
	const json_t *event;
	size_t i;
	int r = body ? target_call(l->cli, "POST", path, body, false, &part, err) : -ENOMEM;

	if (r < 0)
		return r;
	json_array_foreach(json_object_get(part, "events"), i, event) show_event(l, event);
	*end = json_bool_at(part, "end", true);
	r = json_int_at(part, "next", 0) > *offset;
	*offset = json_int_at(part, "next", 0);
	return r;
}

static int show_log(struct logger *l, const char *id, bool follow, struct err *err)
{
	auto_free char *path = strf("%s/readLog", id);
	json_int_t offset = 0;
	bool end = false;
	int r = path ? 0 : err_set(err, -ENOMEM, "log");

	while (r >= 0 && !end) {
		struct pollfd p = {.fd = l->cli->cancel.event_fd, .events = POLLIN};

		r = show_part(l, path, &offset, &end, err);
		if (r != 0) /* there was more, or it failed */
			continue;
		(void) fflush(stdout);
		if (!follow || (!end && poll(&p, 1, FOLLOW_MS) > 0))
			break;
	}
	return r < 0 ? r : cancel_check(&l->cli->cancel);
}

static int run_log(struct cli *cli, const struct cli_args *args)
{
	struct logger l = {.cli = cli, .step = args->n_pos > 1 ? args->pos[1] : NULL};
	auto_err struct err e = ERR_INIT;
	auto_free char *id = NULL;
	struct target *t;
	int r;

	if (cli_target(cli, &t) < 0)
		return EXIT_FAILED;
	r = find_run(cli, args->pos[0], cli_opt(args, "--group"), &id, &e);
	if (r == 0)
		r = show_log(&l, id, cli_flag(args, "--follow"), &e);
	if (r == 0 && l.step && !l.found)
		r = err_set(&e, -ENOENT, "the run had no step \"%s\"", l.step);
	return r < 0 ? cli_fail(cli, &e) : EXIT_DONE;
}

static const struct cli_option log_options[] = {
	{"--follow", 'f', NULL, "go on until the run ends"},
	{"--group", 'g', "GROUP", "resource group of the template (default: search all)"},
	{NULL},
};

const struct cli_command cmd_log = {
	.name = "log",
	.args = "RUN [STEP]",
	.summary = "print what a run said",
	.help = "RUN is a run's id (kiln runs), or a template's name for its newest run. With "
		"--json, the\nevents of docs/events.md, one a line.\n\n"
		"Examples:\n"
		"  kiln log golden-debian -f\n"
		"  kiln log golden-debian nginx",
	.options = log_options,
	.run = run_log,
};

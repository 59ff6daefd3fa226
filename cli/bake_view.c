/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/bake_view.h"
#include "cli/output.h"

#define TICK_MS 200

struct bake_view {
	double left_s; /* of the run, as estimated at @left_ns; 0 = not known */
	int64_t left_ns;
	const struct cli *cli;
	struct event_sink sink;
	bool live; /* a status line is drawn */
	int64_t start_ns;
	pthread_t ticker;
	bool ticking;
	pthread_cond_t wake;

	pthread_mutex_t lock; /* guards all below */
	bool stopped;
	json_t *record;
	long long step, total;
	char *name;    /* of the running step, or NULL */
	bool headed;   /* the step's head line was printed */
	json_t *start; /* its step.start event */
	int64_t step_ns;
	char *stage; /* what moves bytes, or the last boot stage */
	uint64_t done, all;
	int64_t stage_ns;
	bool drawn;
	unsigned spin;
};

static double elapsed(const struct bake_view *v)
{
	return (double) (time_mono_ns() - v->start_ns) / 1e9;
}

static void safe(const char *text)
{
	cli_print_safe(stderr, text ? text : "", text ? strlen(text) : 0);
}

/* ---- The status line ------------------------------------------------------------------------ */

static void clear_status(struct bake_view *v)
{
	if (v->drawn)
		(void) fputs("\r\033[K", stderr);
	v->drawn = false;
}

static void draw_status(struct bake_view *v)
{
	static const char *const spinner[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
	char head[160], time[16], rest[16], bar[CLI_BAR_MAX] = "";
	double left;
	double in_stage = (double) (time_mono_ns() - v->stage_ns) / 1e9;
	unsigned columns = cli_columns(STDERR_FILENO);

	if (!v->live || v->stopped || !v->name)
		return;
	left = v->left_s - (double) (time_mono_ns() - v->left_ns) / 1e9;
	(void) snprintf(head, sizeof(head), "%lld/%lld %.40s  %s%s%s%s", v->step, v->total, v->name,
			time_human((double) (time_mono_ns() - v->step_ns) / 1e9, time),
			left >= 1 ? ", about " : "", left >= 1 ? time_human(left, rest) : "",
			left >= 1 ? " left" : "");
	if (v->stage && v->done > 0)
		cli_bar(bar, 20, v->done, v->all, in_stage > 0.5 ? (double) v->done / in_stage : 0);
	(void) fprintf(stderr, "\r\033[K%s%s%s ", cli_sgr(v->cli, CLI_CYAN),
		       spinner[v->spin % ARRAY_SIZE(spinner)], cli_sgr(v->cli, CLI_PLAIN));
	safe(head);
	/* A line that wrapped could not be rewritten. */
	if (v->stage && cli_width(head) + cli_width(v->stage) + cli_width(bar) + 8 < columns) {
		(void) fprintf(stderr, "  %s", cli_sgr(v->cli, CLI_DIM));
		safe(v->stage);
		(void) fprintf(stderr, " %s%s", bar, cli_sgr(v->cli, CLI_PLAIN));
	}
	(void) fflush(stderr);
	v->drawn = true;
}

static void *tick(void *arg)
{
	struct bake_view *v = arg;

	(void) pthread_mutex_lock(&v->lock);
	while (!v->stopped) {
		struct timespec until;

		(void) clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += TICK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		(void) pthread_cond_timedwait(&v->wake, &v->lock, &until);
		v->spin++;
		draw_status(v);
	}
	(void) pthread_mutex_unlock(&v->lock);
	return NULL;
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static void begin_line(struct bake_view *v)
{
	clear_status(v);
	if (!v->live)
		(void) fprintf(stderr, "[%6.1f] ", elapsed(v));
}

static void end_line(struct bake_view *v)
{
	(void) fputc('\n', stderr);
	draw_status(v);
}

/* "2/7 nginx: apt-get install nginx" once the step shows output, so that a cached one is a
 * single line. */
static void head_line(struct bake_view *v)
{
	const char *brief = json_str_at(v->start, "brief");

	if (v->headed || !v->start)
		return;
	v->headed = true;
	begin_line(v);
	(void) fprintf(stderr, "%s%s%lld/%lld ", v->live ? cli_sgr(v->cli, CLI_BOLD) : "",
		       v->live ? "" : "step ", v->step, v->total);
	safe(v->name);
	(void) fprintf(stderr, "%s", v->live ? cli_sgr(v->cli, CLI_PLAIN) : "");
	if (brief) {
		(void) fprintf(stderr, ": ");
		safe(brief);
	}
	end_line(v);
}

static void on_run_start(struct bake_view *v, const json_t *e)
{
	begin_line(v);
	(void) fprintf(stderr, "%s", cli_sgr(v->cli, CLI_BOLD));
	safe(json_str_at(e, "template"));
	(void) fprintf(stderr, "%s%s  run ", cli_sgr(v->cli, CLI_PLAIN), cli_sgr(v->cli, CLI_DIM));
	safe(json_str_at(e, "runId"));
	(void) fprintf(stderr, "%s", cli_sgr(v->cli, CLI_PLAIN));
	end_line(v);
}

static void on_step_start(struct bake_view *v, const json_t *e)
{
	free(v->name);
	free(take_ptr(v->stage));
	json_decref(v->start);
	v->start = json_deep_copy(e);
	v->name = strdup(json_str_at(e, "name") ?: "");
	v->step = json_int_at(e, "step", 0);
	v->total = json_int_at(e, "total", 0);
	v->step_ns = v->stage_ns = time_mono_ns();
	v->done = v->all = 0;
	v->headed = false;
	if (!v->live)
		head_line(v);
	draw_status(v);
}

static void on_output(struct bake_view *v, const json_t *e)
{
	head_line(v);
	begin_line(v);
	(void) fprintf(stderr, "%s    ", v->live ? cli_sgr(v->cli, CLI_DIM) : "");
	safe(json_str_at(e, "line"));
	(void) fprintf(stderr, "%s", v->live ? cli_sgr(v->cli, CLI_PLAIN) : "");
	end_line(v);
}

static void print_image(const json_t *e)
{
	const char *image = json_str_at(e, "image") ?: json_str_at(e, "exactVersion");
	const char *artifact = json_str_at(e, "output.artifactId");

	if (image) {
		(void) fputs("  ", stderr);
		safe(image);
	}
	if (artifact) {
		(void) fputs("  ", stderr);
		safe(json_bool_at(e, "output.unchanged", false) ? "unchanged: " : "");
		safe(artifact);
		if (json_bool_at(e, "output.unchanged", false))
			(void) fputs(" already is this build", stderr);
	}
}

static void on_step_done(struct bake_view *v, const json_t *e)
{
	bool cached = json_bool_at(e, "cached", false);
	char time[16], a[16], b[16];
	json_t *seconds = json_object_get(e, "seconds");

	begin_line(v);
	(void) fprintf(stderr, "%s%s%s", cli_sgr(v->cli, CLI_GREEN),
		       v->live  ? "✓ "
		       : cached ? "cached "
				: "done ",
		       cli_sgr(v->cli, CLI_PLAIN));
	(void) fprintf(stderr, "%lld/%lld ", v->step, v->total);
	safe(v->name);
	(void) fputs(cli_sgr(v->cli, CLI_DIM), stderr);
	if (cached && v->live)
		(void) fputs("  cached", stderr);
	else if (!cached)
		(void) fprintf(stderr, "  %s", time_human(json_number_value(seconds), time));
	if (json_object_get(e, "newBytes") && !cached)
		(void) fprintf(stderr, "  changed %s, new %s",
			       size_human((uint64_t) json_int_at(e, "changedBytes", 0), a),
			       size_human((uint64_t) json_int_at(e, "newBytes", 0), b));
	print_image(e);
	(void) fprintf(stderr, "%s", cli_sgr(v->cli, CLI_PLAIN));
	free(take_ptr(v->name));
	end_line(v);
}

static void on_step_failed(struct bake_view *v, const json_t *e)
{
	const json_t *code = json_object_get(e, "exitCode");
	const char *state = json_str_at(e, "state");
	const json_t *f;
	char time[16];
	size_t i;

	begin_line(v);
	(void) fprintf(stderr, "%s%s%s%lld/%lld ", cli_sgr(v->cli, CLI_RED),
		       v->live                      ? "✗ "
		       : str_eq(state, "cancelled") ? "stopped "
						    : "failed ",
		       cli_sgr(v->cli, CLI_PLAIN), v->step, v->total);
	safe(v->name);
	(void) fprintf(stderr, "  %s",
		       time_human(json_number_value(json_object_get(e, "seconds")), time));
	if (code)
		(void) fprintf(stderr, "  exit status %lld", (long long) json_integer_value(code));
	json_array_foreach(json_object_get(e, "findings"), i, f)
	{
		(void) fputc('\n', stderr);
		safe("    ");
		safe(json_str_at(f, "path"));
		safe(": ");
		safe(json_str_at(f, "detail"));
	}
	free(take_ptr(v->name));
	end_line(v);
}

static void on_vm_stage(struct bake_view *v, const json_t *e)
{
	json_t *seconds = json_object_get(e, "seconds");
	char time[16];

	head_line(v);
	begin_line(v);
	(void) fprintf(stderr, "%s    ", v->live ? cli_sgr(v->cli, CLI_DIM) : "");
	safe(json_str_at(e, "stage"));
	(void) fprintf(stderr, " after %s%s", time_human(json_number_value(seconds), time),
		       v->live ? cli_sgr(v->cli, CLI_PLAIN) : "");
	end_line(v);
}

static void on_denied(struct bake_view *v, const json_t *e)
{
	begin_line(v);
	(void) fprintf(stderr, "%s    network: ", cli_sgr(v->cli, CLI_YELLOW));
	safe(json_str_at(e, "host"));
	(void) fprintf(stderr, ":%lld refused (", (long long) json_int_at(e, "port", 0));
	safe(json_str_at(e, "reason"));
	(void) fprintf(stderr, ")%s; ", cli_sgr(v->cli, CLI_PLAIN));
	safe(json_str_at(e, "hint"));
	end_line(v);
}

static void on_progress(struct bake_view *v, const json_t *e)
{
	const char *stage = json_str_at(e, "stage");

	if (!stage)
		return;
	if (!str_eq(stage, v->stage)) {
		free(v->stage);
		v->stage = strdup(stage);
		v->stage_ns = time_mono_ns();
	}
	v->done = (uint64_t) json_int_at(e, "done", 0);
	v->all = (uint64_t) json_int_at(e, "total", 0);
	draw_status(v);
}

static void on_estimate(struct bake_view *v, const json_t *e)
{
	v->left_s = json_number_value(json_object_get(e, "secondsLeft"));
	v->left_ns = time_mono_ns();
	draw_status(v);
}

static void on_queue(struct bake_view *v, const json_t *e)
{
	long long ahead = json_int_at(e, "ahead", 0);

	begin_line(v);
	if (ahead > 0)
		(void) fprintf(stderr, "waiting: %lld before this one", ahead);
	else
		(void) fputs("waiting for room: this one is next", stderr);
	end_line(v);
}

static void on_run_end(struct bake_view *v, const json_t *e)
{
	json_decref(v->record);
	v->record = json_deep_copy(e);
	clear_status(v);
}

static const struct {
	const char *type;
	void (*show)(struct bake_view *v, const json_t *event);
} shows[] = {
	{"run.start", on_run_start}, {"step.start", on_step_start}, {"output", on_output},
	{"step.done", on_step_done}, {"progress", on_progress},     {"step.failed", on_step_failed},
	{"vm.stage", on_vm_stage},   {"networkDenied", on_denied},  {"run.end", on_run_end},
	{"queue", on_queue},         {"estimate", on_estimate},
};

static void emit_json(struct bake_view *v, const json_t *event)
{
	auto_free char *text = json_compact(event);

	if (text && puts(text) >= 0)
		(void) fflush(stdout);
	if (str_eq(json_str_at(event, "type"), "run.end"))
		on_run_end(v, event);
}

static void emit(void *arg, const json_t *event)
{
	struct bake_view *v = arg;
	const char *type = json_str_at(event, "type");

	(void) pthread_mutex_lock(&v->lock);
	if (v->stopped) {
		/* late events of a step that was cancelled */
	} else if (v->cli->json) {
		emit_json(v, event);
	} else {
		for (size_t i = 0; type && i < ARRAY_SIZE(shows); i++) {
			if (strcmp(shows[i].type, type) == 0)
				shows[i].show(v, event);
		}
	}
	(void) pthread_mutex_unlock(&v->lock);
}

/* ---- Life ----------------------------------------------------------------------------------- */

static int init_wake(struct bake_view *v)
{
	pthread_condattr_t a;
	int r = pthread_condattr_init(&a);

	if (r != 0)
		return -r;
	r = pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(&v->wake, &a);
	(void) pthread_condattr_destroy(&a);
	return -r;
}

struct bake_view *bake_view_new(const struct cli *cli)
{
	struct bake_view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->cli = cli;
	v->sink = (struct event_sink){emit, v};
	v->live = cli->tty && !cli->json;
	v->start_ns = time_mono_ns();
	if (pthread_mutex_init(&v->lock, NULL) != 0) {
		free(v);
		return NULL;
	}
	if (init_wake(v) < 0) {
		(void) pthread_mutex_destroy(&v->lock);
		free(v);
		return NULL;
	}
	v->ticking = v->live && pthread_create(&v->ticker, NULL, tick, v) == 0;
	return v;
}

const struct event_sink *bake_view_sink(struct bake_view *v)
{
	return &v->sink;
}

void bake_view_stop(struct bake_view *v)
{
	(void) pthread_mutex_lock(&v->lock);
	v->stopped = true;
	clear_status(v);
	(void) pthread_cond_signal(&v->wake);
	(void) pthread_mutex_unlock(&v->lock);
	if (v->ticking)
		(void) pthread_join(v->ticker, NULL);
	v->ticking = false;
	(void) fflush(stderr);
}

const json_t *bake_view_record(const struct bake_view *v)
{
	return v->record;
}

void bake_view_free(struct bake_view *v)
{
	if (!v)
		return;
	bake_view_stop(v);
	json_decref(v->record);
	json_decref(v->start);
	free(v->name);
	free(v->stage);
	(void) pthread_cond_destroy(&v->wake);
	(void) pthread_mutex_destroy(&v->lock);
	free(v);
}

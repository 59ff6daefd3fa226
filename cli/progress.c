/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "cli/output.h"
#include "cli/progress.h"

struct cli_progress {
	const struct cli *cli;
	struct event_sink sink;
	pthread_mutex_t lock; /* guards all below */
	char stage[64];
	int64_t since_ns; /* when the stage began */
	bool drawn;
};

static void progress_draw(struct cli_progress *p, const json_t *event)
{
	const char *stage = json_str_at(event, "stage");
	uint64_t done = (uint64_t) json_int_at(event, "done", 0);
	uint64_t total = (uint64_t) json_int_at(event, "total", 0);
	int64_t now = time_mono_ns();
	char bar[CLI_BAR_MAX];
	double seconds;

	if (!stage)
		return;
	if (strcmp(stage, p->stage) != 0) {
		(void) snprintf(p->stage, sizeof(p->stage), "%s", stage);
		p->since_ns = now;
	}
	seconds = (double) (now - p->since_ns) / 1e9;
	cli_bar(bar, 20, done, total, seconds > 0.5 ? (double) done / seconds : 0);
	(void) fprintf(stderr, "\r\033[K%s  %s", p->stage, bar);
	(void) fflush(stderr);
	p->drawn = true;
}

static void progress_emit(void *arg, const json_t *event)
{
	struct cli_progress *p = arg;
	const char *type = json_str_at(event, "type");

	if (!type || strcmp(type, "progress") != 0)
		return;
	(void) pthread_mutex_lock(&p->lock);
	progress_draw(p, event);
	(void) pthread_mutex_unlock(&p->lock);
}

struct cli_progress *cli_progress_new(const struct cli *cli)
{
	struct cli_progress *p;

	if (!cli->tty || cli->json)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	if (pthread_mutex_init(&p->lock, NULL) != 0) {
		free(p);
		return NULL;
	}
	p->cli = cli;
	p->sink = (struct event_sink){progress_emit, p};
	return p;
}

const struct event_sink *cli_progress_sink(struct cli_progress *p)
{
	return p ? &p->sink : NULL;
}

void cli_progress_free(struct cli_progress *p)
{
	if (!p)
		return;
	if (p->drawn)
		(void) fprintf(stderr, "\r\033[K");
	(void) pthread_mutex_destroy(&p->lock);
	free(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/timeutil.h"

#define INTERVAL_NS 100000000 /* at most ten a second per stage */

void event_emit(const struct event_sink *s, json_t *event)
{
	if (s && s->emit && event)
		s->emit(s->arg, event);
	json_decref(event);
}

struct stage {
	struct stage *next;
	uint64_t done, total; /* newest numbers */
	int64_t emitted_ns;   /* monotonic time of the last event */
	bool pending;         /* newest numbers not emitted yet */
	bool complete;        /* the final event of this round was emitted */
	char name[];
};

struct event_progress {
	struct progress base; /* first: callers hold this */
	struct event_sink sink;
	pthread_mutex_t lock; /* guards the stages and the order of their events */
	struct stage *stages;
};

static void emit_numbers(const struct event_progress *p, const char *stage, uint64_t done,
			 uint64_t total)
{
	event_emit(&p->sink, json_pack("{s:s, s:s, s:I, s:I}", "type", "progress", "stage", stage,
				       "done", (json_int_t) done, "total", (json_int_t) total));
}

static void emit_stage(const struct event_progress *p, struct stage *s, int64_t now)
{
	s->pending = false;
	s->emitted_ns = now;
	emit_numbers(p, s->name, s->done, s->total);
}

static struct stage *find_stage(struct event_progress *p, const char *name)
{
	struct stage *s = p->stages;
	size_t n = strlen(name) + 1;

	while (s && strcmp(s->name, name) != 0)
		s = s->next;
	if (s)
		return s;
	s = calloc(1, sizeof(*s) + n);
	if (!s)
		return NULL;
	memcpy(s->name, name, n);
	s->emitted_ns = -INTERVAL_NS; /* the first report goes out at once */
	s->next = p->stages;
	p->stages = s;
	return s;
}

static void update(void *arg, const char *name, uint64_t done, uint64_t total)
{
	struct event_progress *p = arg;
	int64_t now = time_mono_ns();
	bool final = total > 0 && done >= total;
	struct stage *s;

	(void) pthread_mutex_lock(&p->lock);
	s = find_stage(p, name);
	if (!s) {
		/* Without memory to remember the stage, only its end is worth an event. */
		if (final)
			emit_numbers(p, name, done, total);
	} else if (s->complete && final && s->total == total) {
		/* said already */
	} else if (!s->complete && s->total == total && done < s->done) {
		/* numbers of several threads arrived out of order; never step back */
	} else {
		s->done = done;
		s->total = total;
		s->complete = final;
		s->pending = true;
		if (final || now - s->emitted_ns >= INTERVAL_NS)
			emit_stage(p, s, now);
	}
	(void) pthread_mutex_unlock(&p->lock);
}

struct progress *progress_to_events(const struct event_sink *sink)
{
	struct event_progress *p;

	if (!sink)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->base = (struct progress){update, p};
	p->sink = *sink;
	(void) pthread_mutex_init(&p->lock, NULL);
	return &p->base;
}

void progress_free(struct progress *base)
{
	struct event_progress *p = base ? base->arg : NULL;

	if (!p)
		return;
	while (p->stages) {
		struct stage *s = p->stages;

		/* A stage of unknown total ends here; its last numbers are its final event. */
		if (s->pending)
			emit_stage(p, s, 0);
		p->stages = s->next;
		free(s);
	}
	(void) pthread_mutex_destroy(&p->lock);
	free(p);
}

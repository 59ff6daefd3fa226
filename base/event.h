/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress and events: code reports, the front end decides how to show it (terminal, JSON lines,
 * operation's percentComplete). An event is a small JSON object; every one has "type" and the
 * sink adds "time". The bake events are listed in docs/events.md.
 */
#ifndef KILN_BASE_EVENT_H
#define KILN_BASE_EVENT_H

#include <stdint.h>

#include "base/json.h"

/* A sink may be called from several threads; it must not block for long. */
struct event_sink {
	void (*emit)(void *arg, const json_t *event); /* borrows @event */
	void *arg;
};

/** event_emit() - steals @event; NULL sink or event is ignored. */
void event_emit(const struct event_sink *s, json_t *event);

/* Bytes moved in a stage; total 0 = unknown. Caller's thread; must not block. */
struct progress {
	void (*update)(void *arg, const char *stage, uint64_t done_bytes, uint64_t total_bytes);
	void *arg;
};
static inline void progress_update(const struct progress *p, const char *stage, uint64_t done,
				   uint64_t total)
{
	if (p && p->update)
		p->update(p->arg, stage, done, total);
}
/** progress_to_events() - a progress that emits {"type":"progress","stage","done","total"} at most
 *  ten times a second per stage, always a final one (what was held back when the stage did not
 *  reach its total goes out in progress_free()). Numbers never step back within a round of a
 *  stage. Safe from many threads. Copies @s; NULL when @s is NULL or memory ran out. */
struct progress *progress_to_events(const struct event_sink *s);
void progress_free(struct progress *p);

#endif

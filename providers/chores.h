/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does beside its jobs, now and then. */
#ifndef KILN_PROVIDERS_CHORES_H
#define KILN_PROVIDERS_CHORES_H

#include "providers/app.h"

#define TICK_MS      1000 /* between two ticks */
#define CHORES_TICKS 10   /* between two rounds of chores */

/** app_tick() - what a worker calls all the time: checkpoints of the audit log that are due, and
 *  every now and then app_chores(). @app: struct app; one thread. */
void app_tick(void *app);
/** app_chores() - one round: what has expired goes, what is due starts. @app: struct app. Failures
 *  are logged; the next round tries again. Several workers may do it at once. */
void app_chores(void *app);

/** chore_delete() - delete a resource whose time has passed, as a request of the owner's, whose job
 *  a worker runs. A failure is logged as @event; the next round tries again. */
void chore_delete(struct app *a, const char *id, const char *api_version, const char *event);

#define IDLE_MS 600000 /* without a job before app_idle() begins */

/**
 * app_idle() - one slice of what can wait: packs that were written quickly are compressed harder,
 * region after region, and collection gives the space back
 * @app: struct app; one caller at a time
 * @stop: ends it soon
 *
 * At most limits.recompressMegabytesPerSecond (0 = nothing is done). Other collectors wait for
 * seconds at most, since a slice is small and a pause of its length follows. Failures are logged.
 * Return: ms until it should be called again; an hour when all is done.
 */
int app_idle(void *app, struct cancel *stop);

#endif

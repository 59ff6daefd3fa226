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

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does beside its jobs, now and then. */
#ifndef KILN_PROVIDERS_CHORES_H
#define KILN_PROVIDERS_CHORES_H

#include "providers/app.h"

#define CHORES_MS 10000 /* between two rounds */

/** app_chores() - one round: what has expired goes, what is due starts. @app: struct app. Failures
 *  are logged; the next round tries again. Several workers may do it at once. */
void app_chores(void *app);

#endif

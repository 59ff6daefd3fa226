/* SPDX-License-Identifier: Apache-2.0 */
/* A job while a worker has it; shared by work.c and jobs.c. */
#ifndef KILN_ARM_WORKER_H
#define KILN_ARM_WORKER_H

#include <pthread.h>

#include "arm/internal.h"

struct worker {
	struct arm *arm;
	struct job_row row; /* with the fencing token */
	struct operation op;
	struct resource res; /* as leased; @res.doc is NULL when it is gone */
	struct arm_id id;
	const struct arm_type *type;     /* NULL: this program does not know it */
	const struct arm_job_kind *kind; /* NULL likewise */
	struct arm_principal who;        /* points into @op.principal */
	const char **groups;             /* owned list of borrowed texts, or NULL */
	struct cancel cancel;
	struct cancel *outer; /* of arm_work()'s caller; may be NULL */
	const struct event_sink *events;
	atomic_llong percent;
	json_t *result;
	pthread_t thread;
	int stop_fd; /* -1 = no thread */
};

struct arm_job_private {
	struct worker *worker;
};

/** worker_load() - everything about the leased job. */
int worker_load(struct worker *w, struct err *err);
void worker_done(struct worker *w);
/** worker_remove() - the resource's row, at the end of a DELETE; in the ending transaction. */
int worker_remove(struct worker *w, struct err *err);

#endif

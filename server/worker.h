/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker: leases and runs jobs for ever. A datagram on its socket wakes it at once; it looks by
 * itself every second, since jobs may come from other hosts or from processes that cannot tell it.
 */
#ifndef KILN_SERVER_WORKER_H
#define KILN_SERVER_WORKER_H

#include "arm/arm.h"

struct worker_config {
	struct arm *arm;
	unsigned jobs;             /* at the same time */
	void (*chores)(void *arg); /* called at the beginning and every @chores_ms; NULL = none */
	void *chores_arg;
	int chores_ms;
	/* What may be done when there has been nothing else to do for @idle_ms, in a thread of the
	 * lowest priority; it tells after how many ms it wants to be called again. @stop is set
	 * when a job may have come, and at the end. */
	int (*idle)(void *arg, struct cancel *stop); /* NULL = none */
	void *idle_arg;
	int idle_ms;
	int wake_fd;           /* datagram socket, or -1; stays the caller's */
	struct cancel *cancel; /* set: stop. -ESHUTDOWN: jobs are handed back, due for anybody;
				  another reason cancels them */
};

/** worker_run() - until @cancel. Failures of jobs are their operations'; failures of the database
 *  are logged and tried again. 0 or -errno (a thread could not start). */
int worker_run(const struct worker_config *c, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by jobs.c and job_share.c. */
#ifndef KILN_META_JOBS_INTERNAL_H
#define KILN_META_JOBS_INTERNAL_H

#include "meta/jobs.h"

/* A claim that looks for its job. */
struct pick {
	const struct job_claim *c;
	int64_t now_us;
	char *id; /* owned: the job to take */
	int64_t token;
	bool heavy; /* it is a heavy one */
	bool waits; /* the heavy job that was asked for has to wait for its turn */
	bool noted; /* and whoever claims it is noted as waiting for it already */
	int64_t ahead;
};

/** pick_heavy() - the heavy job whose turn it is, when it fits and is the claimer's to take.
 *  0 (see @k->id) or -errno. */
int pick_heavy(struct meta *m, struct pick *k, struct err *err);

#endif

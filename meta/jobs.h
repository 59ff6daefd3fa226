/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: the work behind an operation, one row each, kept until the operation ends. A worker leases
 * a job and gets a fencing token that no other claim of the job has; whatever it writes for the
 * job goes through job_fence() in the same transaction. Common errors as in meta/resources.h.
 */
#ifndef KILN_META_JOBS_H
#define KILN_META_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "meta/meta.h"

struct job_row {
	char *id;           /* operation id; owned, like all */
	char *parent;       /* operation whose worker runs this one inline, or NULL */
	json_t *params;     /* or NULL */
	json_t *checkpoint; /* or NULL */
	int64_t token;      /* fencing token of this claim; also counts the claims */
};
void job_row_done(struct job_row *j);
#define auto_job_row __attribute__((cleanup(job_row_done)))

/** job_counts() - jobs whose lease has ended or never begun, and those with one. */
int job_counts(struct meta *m, uint64_t *ret_queued, uint64_t *ret_running, struct err *err);

/* What a heavy job takes of the host that runs it. Jobs without one are not limited. */
struct job_need {
	const char *share; /* whose it is (a subscription): shares take turns */
	int64_t cpus, memory_bytes, disk_bytes;
};

/** job_create() - queued. @parent: only a worker that asks for this id leases it while the
 *  parent's operation runs. @need: NULL = a light one. */
int job_create(struct meta *m, const char *id, const char *parent, const json_t *params,
	       const struct job_need *need, struct err *err);
/** job_params() - of an unfinished job; new reference, or NULL when it has none. */
int job_params(struct meta *m, const char *id, json_t **ret, struct err *err);

/* Does the process that wrote this owner text still run? Called in a transaction. */
typedef bool job_alive_fn(void *arg, const char *owner);

/* What heavy jobs may take together; 0 = no limit. */
struct job_budget {
	int64_t cpus, memory_bytes, disk_bytes; /* on the claiming host */
	int64_t per_share;                      /* jobs of one share at once, on all hosts */
};

struct job_claim {
	const char *id;    /* only this one; NULL = the oldest due one */
	const char *owner; /* text that @alive understands */
	int64_t lease_us;  /* length */
	job_alive_fn *alive;
	job_alive_fn *same_host; /* is that owner on the claiming host? NULL = all are */
	void *alive_arg;
	const struct job_budget *budget; /* NULL = none */
	int64_t *ret_ahead; /* may be NULL; of @id: heavy jobs whose turn is before its, or -1 when
			       something else than the budget keeps it */
};
/** job_lease() - claim a queued job, or one whose lease is over or whose owner is gone. The
 *  operation's start is noted. Heavy jobs are begun one after another, the next being the oldest
 *  of the share that has the fewest running; one that does not fit keeps those behind it waiting,
 *  so that none waits for ever, and one that could never fit runs alone. A job that somebody
 *  claims by its id and waits for is left to him.
 *  Return: 0, -EAGAIN (nothing is due), or a common error. */
int job_lease(struct meta *m, const struct job_claim *c, struct job_row *ret, struct err *err);
/** job_renew() - extend. *@ret_cancel: the operation was asked to stop. -ESTALE: lost. */
int job_renew(struct meta *m, const char *id, int64_t token, int64_t lease_us, int64_t percent,
	      bool *ret_cancel, struct err *err);
/** job_is_child() - *@ret: is the unfinished job @id one that @parent's job started? */
int job_is_child(struct meta *m, const char *id, const char *parent, bool *ret, struct err *err);
/** job_fence() - in a transaction: -ESTALE unless @token is still the job's. */
int job_fence(struct meta *m, const char *id, int64_t token, struct err *err);
/** job_checkpoint() - fenced, durable on return when no transaction is open. */
int job_checkpoint(struct meta *m, const char *id, int64_t token, const json_t *state,
		   struct err *err);
/** job_release() - give back unfinished: due at once for anybody. Fenced. */
int job_release(struct meta *m, const char *id, int64_t token, struct err *err);
/** job_remove() - the row of an ended one. Fenced. */
int job_remove(struct meta *m, const char *id, int64_t token, struct err *err);

#endif

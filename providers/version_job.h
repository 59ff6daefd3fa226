/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_PROVIDERS_VERSION_JOB_H
#define KILN_PROVIDERS_VERSION_JOB_H

#include "arm/arm.h"
#include "store/store.h"

/* What differs between the kinds of versions that galleries replicate. */
struct sync_kind {
	const char *root; /* kind of the store's root */
	/* Before anything is replicated: fetch what comes from outside, into @doc too. */
	int (*import)(struct arm_job *job, struct store_session *session, json_t *doc,
		      struct err *err);
	bool image; /* it has a manifest and a record in the catalog */
};
/** version_sync() - bring a version's content to its target regions, and away from others. */
int version_sync(struct arm_job *job, const struct sync_kind *kind, struct err *err);

/** version_sync_job() - make the regions what the document says: replicate where a target lacks the
 *  disk, drop where a region is no target any more. Repeatable: what is done already costs a look.
 */
int version_sync_job(struct arm_job *job, struct err *err);
/** version_delete_job() - remove the roots in every region, leave a tombstone in the catalog. */
int version_delete_job(struct arm_job *job, struct err *err);

#endif

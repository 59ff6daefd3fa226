/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_PROVIDERS_VERSION_JOB_H
#define KILN_PROVIDERS_VERSION_JOB_H

#include "arm/arm.h"

/** version_sync_job() - make the regions what the document says: replicate where a target lacks the
 *  disk, drop where a region is no target any more. Repeatable: what is done already costs a look.
 */
int version_sync_job(struct arm_job *job, struct err *err);
/** version_delete_job() - remove the roots in every region, leave a tombstone in the catalog. */
int version_delete_job(struct arm_job *job, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Soft-deleted versions. In a gallery with softDeletePolicy.isSoftDeleteEnabled a deleted version
 * becomes GALLERY/softDeletedArtifactTypes/Images/artifacts/IMAGE/versions/VERSION, which keeps the
 * whole document ("version") and its disks until its time has passed ("purge", microseconds): the
 * policy's retention and grace days. PUT of the version with properties.restore brings it back.
 */
#ifndef KILN_PROVIDERS_SOFT_DELETE_H
#define KILN_PROVIDERS_SOFT_DELETE_H

#include "providers/common.h"

#define TYPE_SOFT_DELETED TYPE_GALLERY "/softDeletedArtifactTypes/artifacts/versions"

#define SOFT_RETENTION_DAYS 7

/** soft_delete_wanted() - is a version to be kept? Not while its group goes. 1, 0 or -errno. */
int soft_delete_wanted(const struct arm_call *c, struct err *err);
/** soft_delete_keep() - the job's part: write the soft-deleted one. */
int soft_delete_keep(struct arm_job *job, struct err *err);
/** soft_delete_check() - a new version: restored from a soft-deleted one of its name, which must
 * not be there otherwise. */
int soft_delete_check(struct arm_call *c, struct err *err);
/** soft_delete_forget() - the restoring job's part: the soft-deleted one goes, its disks stay. */
int soft_delete_forget(struct arm_job *job, struct err *err);
/** soft_delete_id() - the id that a version has when it is soft-deleted; NULL when @version_id is
 *  none. Caller frees. */
char *soft_delete_id(const char *version_id);
/** soft_delete_any() - refuses (409) when a definition has soft-deleted versions. */
int soft_delete_any(const struct arm_call *c, struct err *err);
/** soft_delete_purge() - delete those whose time has passed: as requests, whose jobs a worker runs.
 */
int soft_delete_purge(struct app *a, struct err *err);

#endif

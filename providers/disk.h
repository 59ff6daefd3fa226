/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microsoft.Compute/disks and snapshots: one machinery, two tables. The content of either is a
 * root of the store in the resource's region, of kind "disk" or "snapshot", under the resource's
 * key.
 *
 * Beside what clients see a document holds
 *	facts	{"osType"?,"hyperVGeneration"?,"architecture"?,"trusted"}: of the content
 *	origin	{"id","region"}: where a copy comes from
 *	access	{"id","mode","expires","key"}: the signed URL that is valid now (sas.h)
 */
#ifndef KILN_PROVIDERS_DISK_H
#define KILN_PROVIDERS_DISK_H

#include "providers/common.h"

#define D_CREATION "properties.creationData"
#define D_OPTION   D_CREATION ".createOption"
#define D_SIZE_GB  "properties.diskSizeGB"
#define D_BYTES    "properties.diskSizeBytes"
#define D_STATE    "properties.diskState"
#define D_DISK     "properties.kiln.disk"
#define D_UPLOAD   D_CREATION ".uploadSizeBytes"

#define DISK_GB_MAX     32767
#define UPLOAD_MAX      ((int64_t) 8 << 40) /* largest page blob: 8 TiB */
#define GB_OF(bytes)    ((int64_t) (((uint64_t) (bytes) + (1u << 30) - 1) >> 30))
#define DISK_ACCESS_MAX 4294967295 /* seconds */

/** disk_root_kind() - "disk" or "snapshot", the kind of the store's root. */
const char *disk_root_kind(const char *type);

/* disk_rules.c: hooks */
int disk_write(struct arm_call *c, struct err *err);
int disk_delete(struct arm_call *c, struct err *err);
int disk_view(struct arm_call *c, struct err *err);

/* disk_access.c: POST beginGetAccess, endGetAccess */
int disk_access_begin(struct arm_call *c, struct err *err);
int disk_access_end(struct arm_call *c, struct err *err);
/** disk_access_active() - is there a signed URL that has not ended yet? */
bool disk_access_active(const json_t *doc);

/* disk_job.c */
int disk_content_job(struct arm_job *job, struct err *err);
int disk_delete_job(struct arm_job *job, struct err *err);
/** disk_upload_job() - after a Write access: check the uploaded VHD and make it the content. */
int disk_upload_job(struct arm_job *job, struct err *err);
/** disk_export_job() - for a Read access: the content as a fixed VHD in DIR/uploads. */
int disk_export_job(struct arm_job *job, struct err *err);
/** disk_close_job() - after a Read access: the file goes. */
int disk_close_job(struct arm_job *job, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images from outside: fixed VHDs that were uploaded, and what https URLs name. Workers only.
 */
#ifndef KILN_PROVIDERS_IMPORT_H
#define KILN_PROVIDERS_IMPORT_H

#include "providers/app.h"

/** import_check_uri() - may this be the URL of an image? https only; @field is for the message.
 *  0 or -EINVAL. */
int import_check_uri(const struct arm_principal *who, const char *uri, const char *field,
		     struct err *err);

/**
 * import_file() - the payload of a fixed VHD, into the store
 *
 * Return: 0, -EINVAL (no fixed VHD; the message says what it is), the cancel reason, or -errno.
 */
int import_file(struct arm_job *job, struct store_session *session, unsigned region,
		const char *path, struct disk_ref *ret, struct err *err);

/**
 * import_image() - the disk of an image of any format, into the store
 * @path: a copy that nobody else writes
 *
 * The image is read by a confined process (disk/formats/convert.h). Return: 0, -EINVAL (refused),
 * the cancel reason, or -errno.
 */
int import_image(struct arm_job *job, struct store_session *session, unsigned region,
		 const char *path, struct disk_ref *ret, struct err *err);

/**
 * import_uri() - the same from a URL
 *
 * This server's own signed URLs are read without a detour over the network: their signature is
 * checked as the server would. Others are fetched under the rules of bake/fetch.h.
 */
int import_uri(struct arm_job *job, struct store_session *session, unsigned region, const char *uri,
	       struct disk_ref *ret, struct err *err);

/** import_fetch() - download into a directory of this job alone, which import_fetched() removes
 * with all in it. @max_bytes 0 = as kiln.yaml says. */
struct fetched;
int import_fetch(struct arm_job *job, const char *uri, uint64_t max_bytes, struct fetched *ret,
		 struct err *err);
void import_fetched(struct arm_job *job, struct fetched *got);

#endif

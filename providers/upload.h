/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIR/uploads: one sparse file for each disk or snapshot that is being uploaded or downloaded,
 * named after its uniqueId: a fixed VHD. The file belongs to the resource: it goes when the access
 * ends well, at the latest with the resource. Who writes pages holds a shared lock on it, whoever
 * reads the whole an exclusive one.
 */
#ifndef KILN_PROVIDERS_UPLOAD_H
#define KILN_PROVIDERS_UPLOAD_H

#include "providers/app.h"

/** upload_path() - of a disk's document; caller frees; NULL on ENOMEM. */
char *upload_path(const struct app *a, const json_t *doc);

/** upload_open() - for pages; made with @bytes when absent and @write. Holds the shared lock until
 *  it is closed. Return: 0, -ENOENT, or -errno. */
int upload_open(const struct app *a, const json_t *doc, bool write, uint64_t bytes, int *ret_fd,
		struct err *err);

/** upload_lock() - wait until nobody writes pages any more. -ENOENT (code InvalidVhd) when nothing
 *  was uploaded. */
int upload_lock(const char *path, int *ret_fd, struct err *err);

/** upload_export() - write a disk's content and a footer to its file. */
int upload_export(struct arm_job *job, unsigned region, const struct disk_ref *disk,
		  struct err *err);

/** upload_remove() - absent is fine. */
int upload_remove(const struct app *a, const json_t *doc, struct err *err);

/** upload_sweep() - remove files whose resource is gone or whose download has ended, once they are
 *  ten minutes old. */
int upload_sweep(struct app *a, struct err *err);

#endif

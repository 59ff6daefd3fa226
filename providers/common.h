/* SPDX-License-Identifier: Apache-2.0 */
/* What the resource types share. */
#ifndef KILN_PROVIDERS_COMMON_H
#define KILN_PROVIDERS_COMMON_H

#include "providers/app.h"

#define API_GALLERY "2025-12-03" /* what kiln itself asks with */
#define API_IMAGE   "2026-04-01"
#define API_DISK    "2026-03-02"
#define API_RUN     "2026-11-01"
#define API_GROUP   "2025-04-01"

#define TYPE_GROUP       "Microsoft.Resources/resourceGroups"
#define TYPE_GALLERY     "Microsoft.Compute/galleries"
#define TYPE_DEFINITION  "Microsoft.Compute/galleries/images"
#define TYPE_VERSION     "Microsoft.Compute/galleries/images/versions"
#define TYPE_APP         "Microsoft.Compute/galleries/applications"
#define TYPE_APP_VERSION "Microsoft.Compute/galleries/applications/versions"
#define TYPE_IMAGE       "Microsoft.Compute/images"
#define TYPE_DISK        "Microsoft.Compute/disks"
#define TYPE_SNAPSHOT    "Microsoft.Compute/snapshots"
#define TYPE_TEMPLATE    "Microsoft.VirtualMachineImages/imageTemplates"
#define TYPE_OUTPUT      "Microsoft.VirtualMachineImages/imageTemplates/runOutputs"
#define TYPE_RUN         "Kiln.Images/runs"

/* Image Builder's errors have an envelope since then. */
#define BUILDER_FLAT_ERRORS "2020-02-14"

#define GALLERY_OPERATIONS "providers/Microsoft.Compute/locations/%s/capsOperations"

/* Published api-versions, newest first, for what providers/ advertises. */
extern const char *const gallery_api_versions[];
extern const char *const compute_api_versions[];
extern const char *const disk_api_versions[];
extern const char *const builder_api_versions[];
extern const char *const resources_api_versions[];

/** refuse() - fail with an ARM code and the field at fault (NULL = none). Return: @code. */
int refuse(struct err *err, int code, const char *arm, const char *target, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/** no_memory() - -ENOMEM. */
int no_memory(struct err *err);

/** keep_old() - a field that clients cannot set keeps its stored value: the document at @path gets
 *  what the old one has there, or loses it. */
int keep_old(struct arm_call *c, const char *path, struct err *err);
/** set_str() - set a text in the document. */
int set_str(json_t *doc, const char *path, const char *value, struct err *err);
/** set_default() - set a text unless the document has a value there. */
int set_default(json_t *doc, const char *path, const char *value, struct err *err);
/** del_at() - remove a member; absent is fine. */
void del_at(json_t *doc, const char *path);

/** check_future() - a date that is new or changed must lie ahead. */
int check_future(const struct arm_call *c, const char *path, struct err *err);
/** date_us() - the date at @path in microseconds; false when absent. */
bool date_us(const json_t *doc, const char *path, int64_t *ret);

/** expands() - does the request's $expand name @what (without case)? */
bool expands(const struct arm_call *c, const char *what);

/** group_deleting() - is the resource's group being deleted? 1, 0 or -errno. */
int group_deleting(const struct arm_call *c, struct err *err);

/** is_type() - is @id the id of a (named) resource of @type? */
bool is_type(const char *id, const char *type);

/**
 * catalog_put() - write a resource's record to the regions of @doc's gallery, before the change is
 * acknowledged
 * @region: home region of the gallery
 * @deleted: a tombstone: the record keeps only id and type
 *
 * Revisions come from one rising counter. Return: 0 or -errno.
 */
int catalog_put(struct app *a, const char *region, const char *id, const json_t *doc, bool deleted,
		struct err *err);
/* The name of the key that a gallery's content is under; of what is in it, the same, noted when it
 * was made. */
#define G_KEY    "properties.kiln.encryption.key"
#define P_DOMAIN "properties.kiln.domain"

/** domain_note() - a new version: its gallery's key is noted in the document. */
int domain_note(struct arm_call *c, struct err *err);
/** gallery_key() - the key of the gallery that @id is in; *@ret stays NULL when it has none, is not
 *  there, or @id is in no gallery. Caller frees. */
int gallery_key(struct app *a, const char *id, char **ret, struct err *err);
/** doc_place() - where the content of a document is, or is to be, in @region: app_place() with its
 *  P_DOMAIN. -ENOENT, -ENOKEY; the message says what is not configured. */
int doc_place(const struct app *a, const json_t *doc, const char *region, struct err *err);
/** catalog_record() - catalog_put() of the job's resource in its gallery's home region. */
int catalog_record(struct arm_job *job, bool deleted, struct err *err);
/** catalog_home() - location of the gallery that an id lies in; caller frees. */
int catalog_home(struct app *a, const char *id, char **ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of an image: its OS disk and its data disks, as versions and managed images have them.
 * A document keeps
 *	properties.kiln.disk		the OS disk
 *	properties.kiln.dataDisks	[{"lun","disk","trusted","hostCaching"?,"from"?}], by LUN;
 *					"from": the region that it comes from, else the own place
 *	origin				{"id","region"}: where the OS disk comes from
 *	imports				[{"lun" (-1 = OS),"uri","hostCaching"?}]: VHDs that its job
 *					still has to fetch
 * In the store an OS disk is a root of the owner's kind under the resource's key, a data disk one
 *of kind "dataDisk" under KEY#LUN.
 */
#ifndef KILN_PROVIDERS_DISK_SET_H
#define KILN_PROVIDERS_DISK_SET_H

#include "providers/common.h"

#define S_DISK    "properties.kiln.disk"
#define S_DATA    "properties.kiln.dataDisks"
#define S_IMPORTS "imports"

/* ---- Requests: which disks are wanted (disk_sources.c) ---- */

struct disk_want {
	int64_t lun;         /* -1 = the OS disk */
	const char *id;      /* of a disk or snapshot, or NULL */
	const char *uri;     /* of a VHD, or NULL */
	const char *caching; /* or NULL */
	char field[96];      /* of @id or @uri, for messages */
};

/** disk_sources_take() - check the wanted disks and note them in the document; LUNs and sources
 * must differ. The OS disk's facts become "facts". 0, -EINVAL, -ENOENT, -EACCES, -ENOMEM. */
int disk_sources_take(struct arm_call *c, const struct disk_want *wants, size_t n, struct err *err);
/** disk_sources_hide() - a URL is shown without its signature: cut "?..." off the text at @path. */
int disk_sources_hide(json_t *obj, const char *path, struct err *err);
/** disk_sources_same() - two URLs but for their signatures, or two ids. */
bool disk_sources_same(const char *a, const char *b);

/* ---- Jobs: moving them (disk_set.c) ---- */

struct disk_item {
	int64_t lun;
	struct disk_ref disk;
	unsigned origin; /* region that it comes from */
	const char *kind;
	char *root; /* owned */
};
struct disk_set {
	struct disk_item *items; /* owned; the OS disk first */
	size_t n;
};
void disk_set_done(struct disk_set *s);

/** disk_set_load() - from a document without open imports. @kind: of the OS disk's root. */
int disk_set_load(struct app *a, const json_t *doc, const char *kind, const char *key,
		  struct disk_set *ret, struct err *err);
/** disk_set_whole() - does a region hold all of them, rooted? */
bool disk_set_whole(struct app *a, const struct disk_set *s, unsigned region);
/** disk_set_place() - make them whole and rooted in @to, from @from or (-1) where each comes from.
 */
int disk_set_place(struct app *a, struct store_session *session, const struct disk_set *s, int from,
		   unsigned to, struct cancel *cancel, const struct progress *p, struct err *err);
/** disk_set_drop() - roots of a region (-1 = all) go. */
int disk_set_drop(struct app *a, const struct disk_set *s, int region, struct err *err);
/** disk_set_drop_doc() - all roots of a document go, also of one whose import never ended. */
int disk_set_drop_doc(struct app *a, const json_t *doc, const char *kind, const char *key,
		      struct err *err);

/**
 * disk_set_import() - fetch what the document's "imports" name, root it in the resource's location,
 * and note it in the document
 * @doc: the job's document; owned by the caller, changed in place
 *
 * May run again after a crash. Return: 0, -EINVAL (no VHD), or what fetching failed with.
 */
int disk_set_import(struct arm_job *job, struct store_session *session, const char *kind,
		    json_t *doc, struct err *err);

#endif

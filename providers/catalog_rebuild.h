/* SPDX-License-Identifier: Apache-2.0 */
/* A database anew from what the regions keep: catalog records, manifests, packs. */
#ifndef KILN_PROVIDERS_CATALOG_REBUILD_H
#define KILN_PROVIDERS_CATALOG_REBUILD_H

#include "providers/app.h"

struct catalog_rebuilt {
	unsigned records;    /* newest one of each id */
	unsigned restored;   /* galleries and what is in them that were not there, or older */
	unsigned kept;       /* there already, and not older */
	unsigned tombstones; /* deleted; what was there nevertheless is removed */
	unsigned refused;    /* records that cannot be right; each was noted */
	unsigned incomplete; /* versions that are not whole in each target region; Failed now */
	unsigned roots;      /* of versions, per region, and of platform images */
	uint64_t packs;      /* that got a row */
};

/* A sentence about one record. */
typedef void catalog_note_fn(void *arg, const char *text);

/**
 * catalog_rebuild() - galleries, definitions, versions, soft-deleted versions, applications and
 * their versions as the records of @region say
 *
 * The newest record of an id decides; deleted ids stay deleted. A missing resource group is made.
 * A version's roots are added in those target regions that hold every pack of it. May run again,
 * also beside a database that is whole. Return: 0, -ENOENT (no such region), -EBUSY (a collection
 * runs), the cancel reason, or another -errno.
 */
int catalog_rebuild(struct app *a, const char *region, struct cancel *cancel, catalog_note_fn *note,
		    void *arg, struct catalog_rebuilt *ret, struct err *err);

#endif

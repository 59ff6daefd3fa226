/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of replicationMode Shallow: nothing is copied; content stays where the source has it,
 * and the source cannot be deleted meanwhile. Each source has a root of kind "shallow" in the
 * version's regions, under "SOURCE>VERSION".
 */
#ifndef KILN_PROVIDERS_SHALLOW_H
#define KILN_PROVIDERS_SHALLOW_H

#include "providers/disk_set.h"

/** shallow_is() - is it such a version's document? */
bool shallow_is(const json_t *doc);
/** shallow_check() - a new one's sources are resources that are in each of its target regions.
 *  0 or -EINVAL. */
int shallow_check(const struct arm_call *c, struct err *err);
/** shallow_note() - the version in @region depends on its sources from now on. */
int shallow_note(struct app *a, struct store_session *session, const json_t *doc, const char *key,
		 const struct disk_set *disks, unsigned region, struct err *err);
/** shallow_drop() - not any more, in a region (-1 = all). */
int shallow_drop(struct app *a, const json_t *doc, const char *key, int region, struct err *err);
/** shallow_source_free() - a hook's part: -EBUSY while a version depends on the resource. */
int shallow_source_free(const struct arm_call *c, struct err *err);

#endif

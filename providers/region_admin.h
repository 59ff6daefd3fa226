/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions that come and go while the store is used. DIR/regions.json says what differs from
 * kiln.yaml: {"added":[{"name","url"?,"displayName"?,"encryption"?}],"draining":[NAME],"removed":
 * [NAME]}. Who has the directory open sees a change when it opens it again.
 */
#ifndef KILN_PROVIDERS_REGION_ADMIN_H
#define KILN_PROVIDERS_REGION_ADMIN_H

#include "providers/app.h"
#include "store/maintain.h"

/** regions_effective() - the list of kiln.yaml, or the defaults, with DIR/regions.json applied: an
 *  array of region objects, a draining one with "draining": true. New reference. */
int regions_effective(const char *data_dir, const json_t *config, json_t **ret, struct err *err);

/** app_region_add() - @region as in kiln.yaml; makes it, then notes it. -EEXIST, -EINVAL,
 * -ENOKEY. */
int app_region_add(struct app *a, const json_t *region, struct err *err);
/** app_region_drain_mark() - from now on nothing new goes there (@on), or it does again. */
int app_region_drain_mark(struct app *a, unsigned region, bool on, struct err *err);
/** app_region_remove() - rows go, with @delete_data objects too. -EBUSY while a resource is
 * located or replicated there or a session holds something; -ENOTEMPTY while it has an only copy.
 */
int app_region_remove(struct app *a, unsigned region, bool delete_data, struct err *err);

#endif

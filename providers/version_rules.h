/* SPDX-License-Identifier: Apache-2.0 */
/* What an image version's document must obey before it is stored. */
#ifndef KILN_PROVIDERS_VERSION_RULES_H
#define KILN_PROVIDERS_VERSION_RULES_H

#include "arm/arm.h"

#define V_PROFILE   "properties.publishingProfile"
#define V_TARGETS   V_PROFILE ".targetRegions"
#define V_SOURCE_ID "properties.storageProfile.source.id"
#define V_DISK      "properties.kiln.disk"

/* Members of the stored document beside "properties" that no client sees: what replication does
 * ("eastus" -> {"state","progress","details"}), facts of the image, and where its disk came from
 * ({"id","region"}). */
#define V_REPLICATION "replication"
#define V_FACTS       "facts"
#define V_ORIGIN      "origin"

/* Shapes that application versions share. */
extern const struct arm_field version_target_fields[], version_edge_fields[];
extern const char *const version_storage_types[];
/** version_view() - regions by display name, replicationStatus on request, inner members gone. */
int version_view(struct arm_call *c, struct err *err);
/** version_name_check() - Major.Minor.Patch. */
int version_name_check(const struct arm_call *c, struct err *err);

/** version_rules_create() - defaults and checks of a new version; takes the source's facts. */
int version_rules_create(struct arm_call *c, struct err *err);
/** version_source_take() - the content of a new version: exactly one way of naming it.
 *  version_source_keep() - an update names the same or nothing. */
int version_source_take(struct arm_call *c, struct err *err);
int version_source_keep(struct arm_call *c, struct err *err);
/** version_source_sizes() - sizeInGB of the disks whose content is known. */
int version_source_sizes(json_t *doc, struct err *err);
/** version_rules_update() - what may change, and how. */
int version_rules_update(struct arm_call *c, struct err *err);

#endif

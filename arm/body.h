/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of PUT and PATCH as a whole: location, tags, envelope, properties. */
#ifndef KILN_ARM_BODY_H
#define KILN_ARM_BODY_H

#include "arm/internal.h"

#define TAGS_MAX      50
#define TAG_NAME_MAX  512 /* characters */
#define TAG_VALUE_MAX 256

/** body_check() - validate @rq->body. *@ret has what can be used of it: "location" (normalized),
 *  "tags", the envelope's fields and "properties". In a PATCH members may be null. */
int body_check(struct request *rq, bool patch, bool strict, json_t **ret);
/** body_merge_put() - the document that a PUT stores; @old NULL = a new one. */
int body_merge_put(struct request *rq, const json_t *old, const json_t *body, json_t **ret);
/** body_merge_patch() - the document that a PATCH stores; checked as a whole. */
int body_merge_patch(struct request *rq, const json_t *old, const json_t *body, json_t **ret);
/** body_immutable() - refuse changes of location and of immutable fields; @seen: the stored
 *  document as the client sees it. */
int body_immutable(struct request *rq, const json_t *seen, const json_t *doc);
/** body_equal() - does storing @doc over @old change anything but systemData? */
bool body_equal(const json_t *old, const json_t *doc);

#endif

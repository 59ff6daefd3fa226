/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that were made before: the text of a resource as an api-version sees it, kept in memory
 * under the resource's key, the two numbers that its row had, and the variant (api-version and
 * query options). Whoever asks has just read those numbers from the row, in the same transaction
 * as everything else; so a text is never older than the row, whoever wrote it on whatever host.
 *
 * Bounded in bytes and number: what was not asked for since the hand came by gives way. Safe from
 * many threads.
 */
#ifndef KILN_ARM_RENDITION_H
#define KILN_ARM_RENDITION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define RENDITIONS_BYTES    (192u << 20) /* of all texts and their keys */
#define RENDITION_BYTES_MAX (64u << 10)  /* longer ones are not kept */
#define VARIANT_BYTES_MAX   256          /* nor those with longer options */

struct arm_text;
struct renditions;

struct rendition_key {
	const char *key;     /* of the resource */
	const char *variant; /* what else the text depends on */
	size_t key_n, variant_n;
	int64_t revision, changes; /* of the row */
};

/** renditions_new() - @max_bytes: RENDITIONS_BYTES but in tests. */
int renditions_new(size_t max_bytes, struct renditions **ret, struct err *err);
void renditions_free(struct renditions *r);
/** renditions_get() - a new reference, or NULL when there is none. */
struct arm_text *renditions_get(struct renditions *r, const struct rendition_key *k);
/** renditions_put() - a text from @n bytes, which are copied; kept if the bounds allow. A new
 *  reference; NULL on ENOMEM. */
struct arm_text *renditions_put(struct renditions *r, const struct rendition_key *k,
				const char *text, size_t n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes: what a field table accepts of a JSON document, how a stored one looks to an
 * api-version, and how a new one is merged with what is stored. Pure.
 */
#ifndef KILN_ARM_SHAPE_H
#define KILN_ARM_SHAPE_H

#include "arm/arm.h"

struct shape_context {
	const char *api_version;
	bool strict;                  /* unknown fields and other case are errors */
	bool patch;                   /* required fields may be absent; null removes */
	const char *const *locations; /* NULL = any */
};

#define SHAPE_PATTERN_MAX 4096 /* bytes of a string that a pattern is tried on */

/**
 * shape_check() - validate @in against @fields
 * @path: of @in, for messages ("properties"); "" = the top
 *
 * *@ret is a new object with what is to be used of @in: names and allowed values in the table's
 * spelling, read-only and unknown fields dropped.
 * Return: 0, -EINVAL (err has the target and the ARM code), or -ENOMEM.
 */
int shape_check(const struct arm_field *fields, const json_t *in, const char *path,
		const struct shape_context *ctx, json_t **ret, struct err *err);

/** shape_view() - remove in place what a reader must not see: secrets, and fields that
 *  @api_version does not know. 0 or -ENOMEM. */
int shape_view(const struct arm_field *fields, json_t *doc, const char *api_version);

/** version_before() - is api-version @a older than @b? A preview comes before its release. */
bool version_before(const char *a, const char *b);

/** shape_case() - the table that the discriminator of @obj adds to @f->fields, or NULL. */
const struct arm_field *shape_case(const struct arm_field *f, const json_t *obj);

/* ---- merge.c ------------------------------------------------------------------------------ */

/** merge_put() - complete @doc (validated) with what a PUT leaves unchanged of @old. */
int merge_put(const struct arm_field *fields, const json_t *old, json_t *doc,
	      const char *api_version);
/** merge_patch() - apply @patch (validated) to @doc, a copy of the stored one: objects merge,
 *  everything else is replaced, null removes. */
int merge_patch(const struct arm_field *fields, json_t *doc, const json_t *patch);
/** merge_immutable() - 409 PropertyChangeNotAllowed when @doc changes what @seen (the stored
 *  document as the client sees it) has in an immutable field. Absent in @doc = unchanged. */
int merge_immutable(const struct arm_field *fields, const json_t *seen, const json_t *doc,
		    const char *path, struct err *err);
/** merge_drop_writeonly() - remove what is not stored. */
int merge_drop_writeonly(const struct arm_field *fields, json_t *doc);

#endif

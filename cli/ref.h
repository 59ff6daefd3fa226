/* SPDX-License-Identifier: Apache-2.0 */
/* From what people type to resource ids. */
#ifndef KILN_CLI_REF_H
#define KILN_CLI_REF_H

#include "base/err.h"
#include "base/json.h"

struct app;

/**
 * ref_expand() - a request target from what was typed
 *
 * "/resourceGroups/..." gets the data directory's subscription in front, "{subscription}" is
 * replaced by it; anything else stays. Caller frees; NULL when memory ran out.
 */
char *ref_expand(const struct app *a, const char *typed);

/**
 * ref_find() - the id of a stored resource
 * @type: "Microsoft.Compute/galleries/images/versions"
 * @typed: a full id, a short one ("/resourceGroups/..."), or names from the gallery on
 *	("golden/debian-12/1.0.0"; one name for top-level types); a version may be "latest"
 * @group: resource group for names; NULL = all, and the names must then be unique
 *
 * Return: 0 (*@ret: caller frees), -ENOENT, -EINVAL (ambiguous, wrong number of names), -ENOMEM.
 */
int ref_find(struct app *a, const char *type, const char *typed, const char *group, char **ret,
	     struct err *err);

/** ref_get() - GET of @id through the request path as the owner, with @query ("$expand=...", or
 *  NULL). New reference. Errors are the response's. */
int ref_get(struct app *a, const char *id, const char *api_version, const char *query, json_t **ret,
	    struct err *err);

/** ref_error() - record an error response in @err; Return: the code that fits @status. */
int ref_error(int status, const json_t *body, struct err *err);

/** ref_api_version() - newest api-version of the type that a path names; a fixed newest one of
 *  ARM's own types when the path names none. */
const char *ref_api_version(const char *path);

#endif

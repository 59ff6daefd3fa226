/* SPDX-License-Identifier: Apache-2.0 */
/* From what people type to resource ids. All ask the command's target (cli/target.h), which must be
 * open. */
#ifndef KILN_CLI_REF_H
#define KILN_CLI_REF_H

#include "base/err.h"
#include "base/json.h"
#include "cli/cli.h"

/**
 * ref_expand() - a request target from what was typed
 *
 * "/resourceGroups/..." gets the subscription in front, "{subscription}" is replaced by it;
 * anything else stays. Caller frees; NULL when memory ran out.
 */
char *ref_expand(const char *subscription, const char *typed);

/**
 * ref_find() - the id of a resource
 * @type: "Microsoft.Compute/galleries/images/versions"; of those that live in a resource group
 * @typed: a full id, a short one ("/resourceGroups/..."), or names from the top on
 *	("golden/debian-12/1.0.0"; one name for top-level types); a version may be "latest"
 * @group: resource group for names; NULL = the one that has the first name, which must be unique
 *
 * Only what must be looked up is: the id of a resource that does not exist may be returned.
 * Return: 0 (*@ret: caller frees), -ENOENT, -EINVAL (ambiguous, wrong number of names), -ENOMEM, or
 * the error of a request.
 */
int ref_find(struct cli *cli, const char *type, const char *typed, const char *group, char **ret,
	     struct err *err);

/** ref_find_step() - "RUN@STEP", "TEMPLATE@STEP" or, without "@STEP", an image version, to the id
 *  that step_source_load() takes. RUN is a run's UUID. As ref_find() otherwise. */
int ref_find_step(struct cli *cli, const char *typed, const char *group, char **ret,
		  struct err *err);
/** ref_find_run() - a run by its UUID or id, else a template by its name or id. */
int ref_find_run(struct cli *cli, const char *typed, const char *group, char **ret,
		 struct err *err);

/** ref_get() - GET of @id with @query ("$expand=...", or NULL). New reference. Errors are the
 *  response's. */
int ref_get(struct cli *cli, const char *id, const char *query, json_t **ret, struct err *err);

/** ref_error() - record an error response in @err; Return: the code that fits @status. */
int ref_error(int status, const json_t *body, struct err *err);

/** ref_versioned() - @path with an api-version: the one it has, else @version, else the newest of
 *  its type. Caller frees; NULL when memory ran out. */
char *ref_versioned(const char *path, const char *version);
/** ref_api_version() - newest api-version of the type that a path names; a fixed newest one of
 *  ARM's own types when the path names none. */
const char *ref_api_version(const char *path);

#endif

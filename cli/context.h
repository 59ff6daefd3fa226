/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: the servers that `kiln login` knows, in one file of the user's own (mode 0600):
 * $XDG_CONFIG_HOME/kiln/contexts.json or ~/.config/kiln/contexts.json.
 *	{"current": NAME, "contexts": {NAME: {"endpoint", "caFile"?, "tenantId"?, "subscriptionId"?,
 *	"clientId", "clientSecret"? | "federatedTokenFile"?, "token": {"value", "expires"}}}}
 */
#ifndef KILN_CLI_CONTEXT_H
#define KILN_CLI_CONTEXT_H

#include "base/err.h"
#include "base/json.h"

/** context_file() - its path; caller frees; NULL when memory ran out. */
char *context_file(void);
/** context_load() - the whole file, {"contexts": {}} when absent. New reference. Return 0, -EINVAL
 *  (not such a document), -EPERM (others can read it). */
int context_load(json_t **ret, struct err *err);
/** context_save() - durable, mode 0600. */
int context_save(const json_t *all, struct err *err);
/** context_find() - by name, or the current one when @name is NULL; its "name" is set. New
 *  reference; NULL in @ret with 0 when no name is given and none is current. -ENOENT with the known
 *  names. */
int context_find(const char *name, json_t **ret, struct err *err);
/** context_keep() - writes a context that context_find() gave back (its token changed); one that
 *  has no name is not kept. */
int context_keep(const json_t *context, struct err *err);
/** context_read_secret() - the first line of a file ("-": standard input). Caller frees. */
int context_read_secret(const char *file, char **ret, struct err *err);

#endif

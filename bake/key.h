/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step keys: SHA-256 of the canonical JSON of everything that a step's result depends on. What is
 * hashed are the inputs themselves (content digests), never their names or times. The list of
 * members is in docs/templates.md, "Step cache".
 */
#ifndef KILN_BAKE_KEY_H
#define KILN_BAKE_KEY_H

#include "bake/executor.h"
#include "bake/steps.h"

#define KEY_FORMAT 2 /* raise it when the same inputs may give another disk */

struct key {
	struct digest digest;
	char hex[DIGEST_HEX];
};

/* What surrounds a step. */
struct key_context {
	const struct disk_ref *parent;
	const struct executor_ops *executor;
	const char *const *envp; /* NAME=VALUE, NULL-terminated; order does not matter */
	uint64_t grow_to_bytes;  /* 0 = not */
	const json_t *allow;     /* network policy as written, or NULL */
	const json_t *archive;   /* what the package archives offer (bake/archive.h), or NULL */
	const json_t *refresh;   /* properties.kiln.refresh, or NULL */
};

/** key_inputs() - the whole document that is hashed; new reference, NULL on ENOMEM. Network
 *  policy, archives and refresh count only for a step that @network says may use them. */
json_t *key_inputs(const struct key_context *c, const json_t *step_inputs, bool network);

/** key_of() - hash such a document. 0 or -ENOMEM. */
int key_of(const json_t *inputs, struct key *ret);

/** key_env() - the fixed environment of steps plus the template's own; a NULL-terminated vector
 *  sorted by name; strv_free() it. NULL on ENOMEM. */
char **key_env(const json_t *environment);

#endif

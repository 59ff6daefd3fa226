/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations: what clients poll. At most one operation is active on a resource (a unique index
 * says so); others may queue behind it, and the first of them becomes active when it ends. Every
 * function is one statement or transaction and joins the caller's. Common errors as in
 * meta/resources.h.
 */
#ifndef KILN_META_OPERATIONS_H
#define KILN_META_OPERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "meta/meta.h"

enum operation_state {
	OPERATION_RUNNING,
	OPERATION_SUCCEEDED,
	OPERATION_FAILED,
	OPERATION_CANCELED
};

struct operation {
	char *id;          /* UUID; owned, like all */
	char *key;         /* of the resource */
	char *resource;    /* its id as displayed */
	char *type;        /* of the resource, lower-cased */
	char *kind;        /* job kind: "create", "run" */
	char *method;      /* of the request: decides what its Location answers */
	char *api_version; /* of the request */
	json_t *principal; /* who asked */
	enum operation_state state;
	int64_t percent;                          /* 0..100 */
	int64_t created_us, started_us, ended_us; /* wall clock; 0 = not yet */
	json_t *error;  /* {"code","message","target"?,"details"?} or NULL */
	json_t *result; /* body for its Location, or NULL */
	bool cancel;    /* somebody asked it to stop */
	int64_t queue;  /* place behind the active one of its resource; 0 = it is that one */
};
void operation_done(struct operation *o);
#define auto_operation __attribute__((cleanup(operation_done)))

/** operation_create() - state RUNNING. @o->queue: 0, or anything else for a place behind what is
 *  active on the resource, if something is. -EEXIST: another one is active on the resource. */
int operation_create(struct meta *m, const struct operation *o, struct err *err);
/** operation_get() - 0 or -ENOENT. */
int operation_get(struct meta *m, const char *id, struct operation *ret, struct err *err);
/** operation_active() - the one that is active on a resource. 0 or -ENOENT. */
int operation_active(struct meta *m, const char *key, struct operation *ret, struct err *err);
/** operation_each() - those on one resource that have not ended, the active one first; @fn as in
 *  operation_list(). */
typedef int operation_fn(void *arg, const struct operation *o);
int operation_each(struct meta *m, const char *key, operation_fn *fn, void *arg, struct err *err);
/** operation_list() - on resources whose key begins with @prefix, newest first, at most @limit;
 *  @fn takes each (and releases nothing) and returns 0 or an error that ends it. */
int operation_list(struct meta *m, const char *prefix, unsigned limit, operation_fn *fn, void *arg,
		   struct err *err);
/** operation_cancel() - set the flag of an active one. -ENOENT: unknown or ended already. */
int operation_cancel(struct meta *m, const char *id, struct err *err);
/** operation_end() - final state; @error and @result may be NULL. -ENOENT when not active. */
int operation_end(struct meta *m, const char *id, enum operation_state state, const json_t *error,
		  const json_t *result, struct err *err);
/** operation_expire() - forget those that ended before @before_us, at most @limit. */
int operation_expire(struct meta *m, int64_t before_us, unsigned limit, struct err *err);

#endif

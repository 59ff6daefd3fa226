/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of arm/ share. */
#ifndef KILN_ARM_INTERNAL_H
#define KILN_ARM_INTERNAL_H

#include "arm/arm.h"
#include "arm/audit.h"
#include "arm/query.h"
#include "arm/shape.h"
#include "base/timeutil.h"
#include "meta/jobs.h"
#include "meta/operations.h"
#include "meta/resources.h"

#define ARM_PAGE       250  /* items of a list page without $top */
#define ARM_PAGE_BACK  16   /* rows at a time from a list's end, where most are not wanted */
#define ARM_PAGE_MAX   1000 /* largest $top */
#define ARM_LEASE_US   (30 * INT64_C(1000000))
#define ARM_CLAIMS_MAX 100 /* a job that was taken over that often ends as failed */
#define ARM_KEY_MAX    256 /* bytes of an idempotency key */
#define ARM_RECORDS_US (7 * 24 * 3600 * INT64_C(1000000)) /* operations stay readable */
#define ARM_KEYS_US    (24 * 3600 * INT64_C(1000000))     /* idempotency keys stay */

struct flood;
struct grants_cache;
struct renditions;
struct request;
struct arm {
	struct arm_config config;
	struct flood *flood;           /* flood.h */
	struct grants_cache *grants;   /* grants.h */
	struct renditions *renditions; /* rendition.h */
	char **operation_types; /* owned, NULL-terminated: types that operation URLs parse to */
	const struct arm_type **by_name; /* owned: config.types ordered by name without case */
	size_t n_types;
	struct resource_naming *namings; /* owned: of the types that have names */
	char *owner;                     /* owned: this process, for leases */
	uint64_t id_seed[2];             /* of request ids */
	_Atomic uint64_t requests;
};

/* ---- route.c ------------------------------------------------------------------------------ */

enum route_kind {
	ROUTE_ITEM,
	ROUTE_COLLECTION,
	ROUTE_ACTION,
	ROUTE_OPERATION, /* status or result of an operation */
};
struct route {
	enum route_kind kind;
	const struct arm_type *type; /* NULL for operations */
	const struct arm_action *action;
	struct arm_id id; /* of the resource; an action's last segment is cut off */
};
void route_done(struct route *r);
/** route_find() - 0, -EINVAL (not an id), -ENOENT (no such type or namespace). */
int route_find(const struct arm *arm, const char *path, const char *method, struct route *ret,
	       struct err *err);
/** route_type() - by name without case; NULL when there is none. */
const struct arm_type *route_type(const struct arm *arm, const char *name);
/** route_unknown() - -ENOENT: no such type or namespace. */
int route_unknown(const struct arm *arm, const struct arm_id *id, struct err *err);
/** route_stored() - do resources of this type exist as rows? */
bool route_stored(const struct arm_type *type);
/** route_index() - what looking up types and operation URLs needs; once. */
int route_index(struct arm *arm, struct err *err);

/* ---- version.c ---------------------------------------------------------------------------- */

int version_check(const struct route *r, const char *api_version, struct err *err);

/* ---- errors.c ----------------------------------------------------------------------------- */

struct arm_error {
	int status;
	const char *code;
	bool internal; /* the message is for this host only */
};
/** error_of() - status and code of a failure. */
struct arm_error error_of(const struct err *err);
/** error_json() - {"code","message","target"?,...}; @open: the caller may see internal messages. */
json_t *error_json(const struct err *err, bool open, const char *request_id);
/** error_from_json() - the reverse, for a failed operation that somebody in-process waited for. */
int error_from_json(const json_t *error, struct err *err);

/* ---- authorize.c -------------------------------------------------------------------------- */

/** authorize_action() - "Microsoft.Compute/galleries/write"; caller frees; NULL on ENOMEM. */
char *authorize_action(const struct route *r, const char *method);
/** authorize_request() - 0 or -EACCES; sets @rq->partial. */
int authorize_request(struct request *rq);
/** type_policy() - what RBAC actions call a type. */
const char *type_policy(const struct arm_type *type);
/** lock_check() - -EBUSY when a lock forbids the change; inside its transaction. */
int lock_check(struct request *rq);
json_t *principal_json(const struct arm_principal *who);

/* ---- audit.c ------------------------------------------------------------------------------ */

/** audit_failure() - record that a change failed, after its transaction and with its response. */
void audit_failure(struct request *rq);
/** audit_omitted() - record how many failures were not, when @arm ends. */
void audit_omitted(struct arm *arm);

/* ---- One request -------------------------------------------------------------------------- */

struct request {
	struct arm *arm;
	const struct arm_request *req;
	struct arm_response *res;
	struct target target;
	struct route route;
	char *action;            /* RBAC */
	json_t *body;            /* parsed, or NULL */
	char digest[65];         /* of method, target and body */
	const char *api_version; /* borrowed from @target */
	const char *parent_op;   /* operation whose job asks, or NULL */
	bool port;               /* handled by an arm_port */
	bool partial;            /* a list of what the caller may read of it, not of all */
	bool changed;            /* something was written: goes to the audit log */
	bool audited;            /* its failure is there already */
	struct buf variant;      /* render.c: what the look of a row depends on besides the row */
	struct err err;
};

/* arm_call of a request, with what arm_call_job() needs. */
struct arm_call_private {
	const struct request *rq; /* NULL: no request (a view for somebody in-process) */
	char *job_kind;           /* owned; NULL = no job asked for */
	json_t *job_params;
	char *share;           /* owned; what @need.share points to, or NULL: a light job */
	struct job_need need;  /* of the job */
	bool queues;           /* it may wait behind what is active */
	struct operation join; /* owned: in place of a job of one's own; id NULL = none */
};
/** call_init() - fields that come from the request and the resource (NULL = none). */
void call_init(struct arm_call *c, struct arm_call_private *p, const struct request *rq,
	       const struct resource *res);
/** call_take() - move the answer of a hook into the response. */
void call_take(struct arm_call *c, struct arm_response *res);
/** call_done() - releases @c->doc, @c->result and what the private part owns. */
void call_done(struct arm_call *c);

/** request_run() - arm_handle() for a job's nested request when @parent_op is given. */
void request_run(struct arm *arm, const struct arm_request *req, const char *parent_op,
		 struct arm_response *ret);

int request_get(struct request *rq); /* read.c: item, collection */
/** list_stored() - list.c: a collection of rows. */
int list_stored(struct request *rq);
/** list_token() - the place that $skiptoken names; NULL without one; caller frees. */
int list_token(struct request *rq, char **ret);
/** list_next_link() - the request again with this token; caller frees; NULL on ENOMEM. */
char *list_next_link(struct request *rq, const char *token);
int request_write(struct request *rq);  /* write.c: PUT, PATCH; inside a transaction */
int request_delete(struct request *rq); /* remove.c; inside a transaction */
/** request_change() - change.c: PUT, PATCH and DELETE that a type computes; inside a transaction.
 */
int request_change(struct request *rq);
/** extensions_drop() - rows on top of a resource (locks, role assignments) go with it. */
int extensions_drop(struct arm *arm, const char *key, struct err *err);
int request_action(struct request *rq);    /* action.c; POST inside a transaction */
int request_operation(struct request *rq); /* operations.c */

/** parent_check() - subscription, group and parent exist and are not being deleted.
 *  *@ret_parent: its id as stored; owned by the caller. */
int parent_check(struct request *rq, bool writing, char **ret_parent);
/** scope_check() - the same of subscription and group only. */
int scope_check(struct request *rq, bool writing, char **ret_parent);
/** not_found() - 404 for the request's resource. not_allowed() - 405. */
int not_found(struct request *rq);
int not_allowed(struct request *rq);
/** etag_check() - If-Match and If-None-Match against a resource (NULL = absent). */
int etag_check(struct request *rq, const struct resource *res);
/** etag_matches() - is the etag of a revision (NULL = absent) in a header's list? */
bool etag_matches(const char *header, const int64_t *revision);
char *etag_text(int64_t revision);
/** respond_resource() - status, etag and the body as the request's version sees the document,
 *  which it takes from @res. */
int respond_resource(struct request *rq, struct resource *res, int status);
/** view_doc() - the document as the caller may see it, changed in place: @res->doc moves to @ret.
 */
int view_doc(struct request *rq, struct resource *res, json_t **ret);
/** start_job() - operation and job of a call that asked for one; response headers. */
/** join_job() - answer with the operation that the call joins. */
int join_job(struct request *rq, const struct arm_call *c);
int start_job(struct request *rq, const struct arm_call *c, const struct resource *res);
/** job_kind_of() - NULL when the type has no such kind. */
const struct arm_job_kind *job_kind_of(const struct arm_type *type, const char *name);
/** key_busy() - 409 when an operation is active on the resource. */
int key_busy(struct arm *arm, const char *key, struct err *err);

/* ---- render.c ----------------------------------------------------------------------------- */

/** render_json() - what the caller sees of a row. @doc: its document if it is there already, or
 *  NULL; stolen. */
int render_json(struct request *rq, const struct resource_row *row, json_t *doc, json_t **ret);
/** render_text() - the same as text; kept for the next who asks. */
int render_text(struct request *rq, const struct resource_row *row, json_t *doc,
		struct arm_text **ret);
/** text_take() - a text of @n bytes that are stolen (malloc()); NULL on ENOMEM or when they are
 *  NULL. */
struct arm_text *text_take(char *owned, size_t n);

/* ---- resource.c: documents ---------------------------------------------------------------- */

/** doc_identify() - set "id", "name" and "type" and systemData. @old may be NULL. */
int doc_identify(json_t *doc, const struct arm_type *type, const char *id, const char *name,
		 const json_t *old, const struct arm_principal *who);
/** resource_init() - a new row's fields from an id whose parent's stored text is @parent. */
int resource_init(struct resource *res, const struct arm_type *type, const struct arm_id *id,
		  const char *parent, const char *api_version, struct err *err);
/** resource_store() - create or update another resource by id (hooks and jobs). Steals @doc. */
int resource_store(struct arm *arm, const struct arm_principal *who, const char *id, json_t *doc,
		   struct err *err);
/** state_set() - properties.provisioningState. 0 or -ENOMEM. */
int state_set(json_t *doc, const char *state);

/* ---- operations.c ------------------------------------------------------------------------- */

/** operation_url() - relative; @monitor: the Location style. Caller frees. */
char *operation_url(const struct arm *arm, const struct operation *o, bool monitor);
/** operation_status() - "InProgress", "Succeeded", "Failed" or "Canceled". */
const char *operation_status(const struct operation *o);
/** operation_error() - what @who may see of why it failed or was cancelled; new reference, NULL for
 *  others. The host's own words are for the host's owner only. */
json_t *operation_error(const struct operation *o, const struct arm_principal *who);
/** operation_failure() - the err of an ended operation that did not succeed; 0 when it did. */
int operation_failure(const struct operation *o, struct err *err);
/** url_absolute() - with the request's base or the endpoint; caller frees. */
char *url_absolute(const struct request *rq, const char *relative);

/* ---- stream.c ----------------------------------------------------------------------------- */

/** stream_done() - release and clear; an empty one is fine. */
void stream_done(struct arm_stream *s);

/* ---- owner.c ------------------------------------------------------------------------------ */

/** owner_text() - this process; caller frees. owner_alive() - job_alive_fn; @arg: that text. */
char *owner_text(void);
bool owner_alive(void *arg, const char *owner);
bool owner_here(void *arg, const char *owner); /* likewise: on this host */

/* ---- work.c ------------------------------------------------------------------------------- */

int work_one(struct arm *arm, const char *operation_id, const struct event_sink *events,
	     struct cancel *cancel, struct err *err);

#endif

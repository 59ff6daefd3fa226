/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one request path. Everything that can be done to kiln is an ARM request; arm_handle() turns
 * a request into a response: route -> authorize -> validate (api-version, shape) -> the type's
 * hook -> resource + operation + job + audit row in one transaction -> response.
 *
 * A resource type is one struct arm_type in one file under providers/, listed in
 * providers/registry.c. Hooks see only what is in this header.
 */
#ifndef KILN_ARM_ARM_H
#define KILN_ARM_ARM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arm/id.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/event.h"
#include "base/json.h"

struct job_need;
struct job_budget;
struct meta;
struct arm;
struct arm_type;
struct arm_action;

/* The types whose rows decisions are made from. */
#define TYPE_SUBSCRIPTION    "Microsoft.Resources/subscriptions"
#define TYPE_ROLE_DEFINITION "Microsoft.Authorization/roleDefinitions"
#define TYPE_ROLE_ASSIGNMENT "Microsoft.Authorization/roleAssignments"
#define TYPE_LOCK            "Microsoft.Authorization/locks"

/* Who asks. The in-process owner of this host is Owner of everything. */
struct arm_principal {
	const char *object_id; /* GUID */
	const char *name;      /* for systemData and audit */
	const char *kind;      /* "User" | "Application" */
	bool local_owner;      /* in-process */
	const char *tenant_id; /* GUID; NULL = the home tenant */
	/* Object ids of every group it is in, directly or through other groups; ends with NULL.
	 * NULL = none. */
	const char *const *groups;
};

struct arm_request {
	const char *method; /* "GET" ... */
	const char *target; /* raw: path[?query], percent-encoded as it came; or an absolute URL */
	const char *body;   /* bytes, or NULL */
	size_t body_bytes;
	const struct arm_principal *who; /* NULL only for an arm_port */
	const char *base_url; /* "https://host:port" for absolute links; NULL = the endpoint */
	const char *if_match, *if_none_match;
	const char *idempotency_key;
	const char *client_request_id, *correlation_id;
	bool takes_text; /* the body of the answer may come as @text. Not inside a transaction */
	/* Any further header by name without case, or NULL; what it returns lives as long as the
	 * request. NULL = the request has no headers. */
	const char *(*header)(void *arg, const char *name);
	void *header_arg;
};

/* A body of bytes, made while it is sent. The caller of arm_handle() only pumps it: from one thread
 * at a time, offsets in order. */
struct arm_stream {
	/* Bytes placed in @dst (1..@n), or -errno. NULL = the response has no stream. */
	int64_t (*read)(void *arg, void *dst, size_t n, uint64_t offset, struct err *err);
	void (*done)(void *arg); /* called once, also when nothing was read; may be NULL */
	void *arg;
	uint64_t bytes;           /* length of the whole, known beforehand */
	const char *content_type; /* static text */
};

struct arm_header {
	char *name, *value; /* owned */
};

/* JSON that was written before or is written at once. Never changes; counted by reference; not
 * NUL-terminated. */
struct arm_text {
	atomic_uint refs;
	size_t n;
	const char *bytes;
	char *owned; /* released with it, or NULL */
};
void arm_text_unref(struct arm_text *t);

struct arm_response {
	int status;
	json_t *body;          /* owned; NULL = empty */
	struct arm_text *text; /* owned reference; instead of @body when the request takes it */
	char *etag;            /* owned; all may be NULL */
	char *location, *async_operation;
	int retry_after_s; /* 0 = no header */
	char *detail;      /* owned: what really happened behind a 5xx, for the log of this host;
			      never for a client */
	char request_id[UUID_STR_LEN];
	char operation_id[UUID_STR_LEN]; /* "" unless a job was started */
	const char *type;           /* of the resource, for statistics; NULL = none was found */
	struct arm_header *headers; /* owned: beyond those that the fields above make */
	size_t n_headers;
	struct arm_stream stream; /* owned; with one, @body is NULL. For HEAD its length and type
				     are told, and nothing is read */
};
void arm_response_done(struct arm_response *r);
/** arm_response_header() - add a header. Name: a token; value: printable, no line ends (else
 *  -EINVAL). 0 or -errno. */
int arm_response_header(struct arm_response *r, const char *name, const char *value);
/** arm_response_text() - make the stream from @n bytes of memory, which are copied.
 *  @content_type: static text. 0 or -ENOMEM. */
int arm_response_text(struct arm_response *r, const char *content_type, const void *text, size_t n);

/** arm_handle() - the function. Always fills @ret; never fails otherwise. Thread-safe. */
void arm_handle(struct arm *arm, const struct arm_request *req, struct arm_response *ret);

/* Paths that are no resource ids: signed URLs. Whoever handles them decides who may; @who is NULL
 * when nobody was authenticated. */
struct arm_port {
	const char *prefix; /* "/blob/": compared with the raw path, case and all */
	/* Fills status, headers and stream (or body) of @ret; a failure is answered as an ARM
	 * error. Runs outside of any transaction. */
	int (*handle)(struct arm *arm, const struct arm_request *req, struct arm_response *ret,
		      struct err *err);
};

struct arm_config {
	struct meta *meta;                   /* borrowed */
	void *app;                           /* struct app of providers/; hooks read it */
	const struct arm_type *const *types; /* NULL-terminated */
	const char *tenant_id, *subscription_id;
	const char *endpoint;              /* "https://127.0.0.1:8443" */
	const char *const *locations;      /* configured regions, normalized; NULL-terminated */
	const char *const *location_names; /* display names, same order */
	const struct arm_port *ports;      /* ends with prefix NULL; NULL = none */
	const struct job_budget *budget;   /* of heavy jobs (meta/jobs.h); borrowed; NULL = none */
};
int arm_new(const struct arm_config *c, struct arm **ret, struct err *err);
void arm_free(struct arm *arm);
const struct arm_config *arm_config(const struct arm *arm);
/** arm_expire() - forget records of operations and idempotency keys that nobody may ask for any
 *  more, some thousand at a time. arm_new() does it; who lives long does it now and then. */
int arm_expire(struct arm *arm, struct err *err);
/** arm_port() - the port that a request's target belongs to, or NULL: then @who is required. */
const struct arm_port *arm_port(const struct arm *arm, const char *target);

/* ---- Shapes ------------------------------------------------------------------------------- */

enum arm_json {
	ARM_STRING,
	ARM_INT,
	ARM_BOOL,
	ARM_OBJECT,
	ARM_ARRAY,
	ARM_MAP /* string values */,
	ARM_ANY,
	ARM_DATE /* ISO 8601 string */,
	ARM_NUMBER
};

enum arm_field_flag {
	ARM_REQUIRED = 1 << 0,
	ARM_READONLY = 1 << 1,  /* silently dropped from input (clients echo what they read) */
	ARM_IMMUTABLE = 1 << 2, /* a later change is 409 PropertyChangeNotAllowed */
	ARM_SECRET = 1 << 3,    /* never read back, never logged */
	ARM_NULLABLE = 1 << 4,  /* null is accepted and means absent */
	ARM_LOCATION = 1 << 5,  /* a region name: normalized, must be configured */
	ARM_ID = 1 << 6,        /* a resource id */
	ARM_WRITEONLY = 1 << 7, /* used by hooks (in call->body), not stored */
};
/* In a PUT an absent field means removed, except: one that the request's api-version does not know
 * (since), ARM_READONLY, ARM_SECRET and ARM_IMMUTABLE ones, and what the table does not know
 * (hooks and jobs put it there) stay as they are. */

/* One field of an object. An array's element shape is @fields (objects) or @item (scalars). A
 * polymorphic object names its discriminator in @tag and lists one entry per value in @cases. */
struct arm_field {
	const char *name;
	enum arm_json type;
	unsigned flags;
	const char *const *values;      /* allowed strings, NULL-terminated; matched without case,
					   stored in the table's spelling */
	const char *pattern;            /* POSIX extended regular expression, anchored */
	int64_t min, max;               /* integers; string length; array items; 0,0 = no bound */
	const struct arm_field *fields; /* children; ends with name NULL */
	enum arm_json item;             /* element type of a scalar array */
	const char *since;              /* first api-version that knows the field; NULL = all */
	const char *tag;                /* discriminator, e.g. "type" */
	const struct arm_case *cases;   /* ends with value NULL */
	const char *bad_case_code;      /* ARM error code for an unknown discriminator */
};
struct arm_case {
	const char *value;
	const struct arm_field *fields;
};

/* ---- Types and hooks ---------------------------------------------------------------------- */

/* Where a type lives. ANY: on top of every scope and resource (locks, role assignments, tags), by
 * "{scope}/providers/NAMESPACE/type"; its rows go with what they are on. */
enum arm_scope { ARM_SCOPE_TENANT, ARM_SCOPE_SUBSCRIPTION, ARM_SCOPE_GROUP, ARM_SCOPE_ANY };

/* Who may GET. By role: whom a role allows the type's read action. Members: whoever has any role
 * at, above or below the subscription (facts about the service, such as its locations). All: every
 * principal; the hook shows what that one may know. */
enum arm_readers { ARM_READERS_BY_ROLE, ARM_READERS_MEMBERS, ARM_READERS_ALL };

/* A request in flight, as hooks see it. All pointers are borrowed unless said. */
struct arm_call {
	struct arm *arm;
	void *app;
	const struct arm_type *type;
	const struct arm_id *id;
	const struct arm_principal *who;
	const char *api_version;
	const char *method;
	const char *created_version; /* api-version that created the resource: its defaults apply;
					the request's own while it is being created */
	bool strict;                 /* unknown fields are refused (type says from which version) */
	const json_t *old;           /* stored document, NULL when it is new */
	json_t *doc;                 /* the document about to be stored: hooks may change it */
	const json_t *body;          /* validated request body; NULL for none */
	/* outputs */
	json_t *result; /* body of an action or computed read; stolen by arm_handle(). A get
			   hook that sets none and fails not: 404 */
	int status;     /* 0 = the method's usual one */
	struct arm_stream stream; /* instead of @result, from an action or computed read; taken */
	void *own;                /* whatever a hook wants to find again in the hooks of its list */
	struct arm_call_private *priv;
};

/** arm_query() - decoded query option, key without case ("$expand"); NULL when absent. */
const char *arm_query(const struct arm_call *c, const char *key);
/** arm_header() - a header of the request, name without case; NULL when absent. */
const char *arm_header(const struct arm_call *c, const char *name);
/** arm_call_header() - add a header to the response: see arm_response_header(). */
int arm_call_header(struct arm_call *c, const char *name, const char *value, struct err *err);

/** arm_base_url() - "https://host:port" as the requester reached this server, else the endpoint. */
const char *arm_base_url(const struct arm_call *c);

/** arm_call_job() - ask for a job in this request's transaction: the answer becomes 201/202 with
 *  operation headers. @params is stolen. */
int arm_call_job(struct arm_call *c, const char *kind, json_t *params, struct err *err);
/** arm_call_heavy() - the job takes so much of the host that runs it: it is begun when the budget
 *  (struct arm_config) has room and its share's turn has come. @need (meta/jobs.h) is copied. */
int arm_call_heavy(struct arm_call *c, const struct job_need *need, struct err *err);
#define ARM_QUEUE_MAX 16u /* of one resource, the running one included */
/** arm_call_queue() - arm_call_job() for what may be asked for again while it runs. A request with
 *  equal @params joins an operation that has not begun (@join_begun: or has) and gets its headers;
 *  any other becomes the last in the resource's queue. -EBUSY: the queue is full. */
int arm_call_queue(struct arm_call *c, const char *kind, json_t *params, bool join_begun,
		   struct err *err);

/* Hooks of PUT, PATCH, DELETE and POST run inside the request's write transaction, so that what
 * they read is what they change; they keep it short and leave waiting (network, disks, guests) to
 * jobs. A stored document has "id", "name", "type", "systemData" and, as the type says, "location",
 * "tags", the envelope's fields and "properties"; hooks never need to set the first four. */

/* Reading other resources from hooks and jobs (no authorization: hooks call arm_may() first where
 * a caller names the id). New reference; 0 or -ENOENT. */
int arm_load(struct arm *arm, const char *id, json_t **ret_doc, struct err *err);
typedef int arm_each_fn(void *arg, const char *id, const json_t *doc);
/** arm_each() - stored resources of a type under an id ("" = all), in the order of lists. @type
 * NULL: of all types, ordered by id. @fn runs outside of any query and may change what it is given.
 */
int arm_each(struct arm *arm, const char *type, const char *parent, arm_each_fn *fn, void *arg,
	     struct err *err);
/** arm_named() - stored resources of a type that its names hook gave @name to; no order. */
int arm_named(struct arm *arm, const char *type, const char *name, arm_each_fn *fn, void *arg,
	      struct err *err);
/** arm_each_back() - the same of one type from the list's end; a positive return of @fn ends it
 *  early and is returned. Costs what is looked at. */
int arm_each_back(struct arm *arm, const char *type, const char *parent, arm_each_fn *fn, void *arg,
		  struct err *err);
/** arm_each_below() - ids of everything stored below @id, children before what they are under. */
int arm_each_below(struct arm *arm, const char *id,
		   int (*fn)(void *arg, const char *id, const char *type), void *arg,
		   struct err *err);
/** arm_may() - may @who do @action ("Microsoft.Compute/galleries/images/versions/read") at @id?
 *  0, or -EACCES with AuthorizationFailed set. */
int arm_may(struct arm *arm, const struct arm_principal *who, const char *action, const char *id,
	    struct err *err);
/** arm_may_data() - the same of a data action ("Microsoft.Compute/disks/download/action"). */
int arm_may_data(struct arm *arm, const struct arm_principal *who, const char *action,
		 const char *id, struct err *err);
/** arm_may_link() - may @who do @action at an id that a body names in @target? 0, or
 * -EACCES with LinkedAuthorizationFailed set. Hooks ask it before they look whether the id exists.
 */
int arm_may_link(struct arm *arm, const struct arm_principal *who, const char *action,
		 const char *id, const char *target, struct err *err);
/** arm_sees() - *@ret: has @who any role at @id, above or below? */
int arm_sees(struct arm *arm, const struct arm_principal *who, const char *id, bool *ret,
	     struct err *err);
/** arm_permissions() - what @who's roles at @id and above allow: [{"actions":[],...}]. New
 *  reference. */
int arm_permissions(struct arm *arm, const struct arm_principal *who, const char *id, json_t **ret,
		    struct err *err);
/** arm_tenant_of() - the tenant that an id belongs to; the home tenant for what has no
 * subscription. Caller frees. */
int arm_tenant_of(struct arm *arm, const char *id, char **ret, struct err *err);
/** arm_call_put() - write another resource's document in a PUT, PATCH, POST or DELETE hook's
 *  transaction: created or replaced whole. Steals @doc. */
int arm_call_put(struct arm_call *c, const char *id, json_t *doc, struct err *err);
/** arm_call_drop() - remove another resource's row likewise; absent is success. */
int arm_call_drop(struct arm_call *c, const char *id, struct err *err);

/** arm_tags_check() - names and values within Azure's limits; @patch: null values too. */
int arm_tags_check(const json_t *tags, bool patch, struct err *err);

/** arm_type_actions() - what RBAC calls the requests that a type takes; @action is NULL but for
 *  POST. A non-zero return of @fn ends it and is returned. */
typedef int arm_action_fn(void *arg, const char *name, const char *method,
			  const struct arm_action *action);
int arm_type_actions(const struct arm_type *type, arm_action_fn *fn, void *arg);

/* A list of stored rows that a list hook makes. Rows that the caller may not read are left out,
 * $filter, $top and $skiptoken are seen to, and the answer has "value" and, if need be, "nextLink".
 */
struct arm_filter_field {
	const char *name; /* of a field or function in $filter */
	const char *path; /* member of the document; NULL = the list's test judges it */
};
struct filter; /* arm/filter.h */
struct filter_term;
struct arm_list {
	const char *type;                      /* NULL = all types, ordered by id */
	const char *under;                     /* id of an ancestor; "" = everywhere */
	const char *named;                     /* only those with this name (arm_named()), ordered
						  by id; NULL = all */
	const struct arm_filter_field *fields; /* ends with name NULL; NULL = none */
	/* A term whose field has no path: 1, 0 or -errno. */
	int (*test)(struct arm_call *c, const struct filter *f, const struct filter_term *t,
		    const json_t *doc, struct err *err);
	/* Is the row in the list? 1, 0 or -errno. NULL = all are. */
	int (*keep)(struct arm_call *c, const json_t *doc, struct err *err);
	bool judged; /* keep() sees to what the caller may read */
	/* The item from a row's document (a copy that may be changed). NULL = as the row's type
	 * shows it to the version asked for. */
	int (*show)(struct arm_call *c, json_t **doc, struct err *err);
};
/** arm_call_list() - c->result becomes the list. */
int arm_call_list(struct arm_call *c, const struct arm_list *l, struct err *err);
/** arm_call_token() - what a list hook's own page ended with: the text that it gave to
 *  arm_call_next(), NULL on the first page; caller frees. */
int arm_call_token(struct arm_call *c, char **ret, struct err *err);
/** arm_call_next() - c->result gets a nextLink that comes back with @token. */
int arm_call_next(struct arm_call *c, const char *token, struct err *err);

struct arm_job;
typedef int arm_hook(struct arm_call *c, struct err *err);
typedef int arm_job_fn(struct arm_job *job, struct err *err);

struct arm_action {
	const char *name;   /* "run"; "" = on the collection */
	const char *method; /* "POST" */
	const char *right;  /* last part of the RBAC action: "run/action"; with
			       a namespace before it the whole action; after "{name}/" what
			       follows the resource's name */
	arm_hook *hook;
	const struct arm_field *shape; /* of its body; NULL = none */
	bool secret; /* the answer holds a secret: it is never recorded for a repetition */
};
struct arm_job_kind {
	const char *name; /* "create", "update", "delete", "run" */
	arm_job_fn *run;
	/* What properties.provisioningState says while it runs; afterwards "Succeeded", "Failed" or
	 * "Canceled". NULL = the job does not touch it ("run"). A job that a DELETE started removes
	 * the resource by succeeding. */
	const char *state;
	bool sees_cancel; /* run it even when it was cancelled before it began: it keeps a record
			     of its own of that */
};

/* What DELETE does about resources below this one. */
enum arm_children {
	ARM_CHILDREN_REFUSE,  /* 409 CannotDeleteResource while there are any */
	ARM_CHILDREN_CASCADE, /* their rows go with it */
	ARM_CHILDREN_HOOK,    /* the del hook or its job sees to them */
};

/* Computed types (catalogs, operations) have get/list and no shape. */
struct arm_type {
	const char *name; /* "Microsoft.Compute/galleries/images" */
	enum arm_scope scope;
	const char
		*first_version;   /* "2018-06-01": any well-formed version from it on is accepted */
	const char *strict_from;  /* versions from here refuse unknown fields; NULL = never */
	const char *name_pattern; /* anchored regular expression, NULL = ARM's default */
	unsigned name_max;
	const char *
		operation_path; /* e.g. "providers/Microsoft.Compute/locations/%s/capsOperations" */
	bool tracked;           /* has location and tags */
	const struct arm_field *properties; /* shape of "properties" */
	const struct arm_field *envelope;   /* further top-level fields (identity, plan), or NULL */

	arm_hook *write; /* create and update, after shape checks and merge; sets read-only
			    fields; starts jobs with arm_call_job() */
	arm_hook *del;   /* may refuse (-EBUSY) or start a job; else the row goes */
	arm_hook *view;  /* shapes a stored document for the caller (in c->doc; no c->old): $expand,
			    defaults by api-version */
	bool view_pure;  /* what view makes depends on nothing but the document, the api-versions
			    and the query options: not on who asks, the time, or other rows */
	arm_hook *get;   /* computed read: sets c->result */
	arm_hook *list;  /* computed list: c->result is the whole body */
	arm_hook *change; /* computed PUT, PATCH and DELETE (c->method) of a type without rows: the
			     body is checked against the shapes; sets c->result and perhaps
			     c->status */
	const struct arm_action *actions; /* ends with name NULL */
	const struct arm_job_kind *jobs;  /* ends with name NULL */

	const char *const *versions; /* api-versions to advertise, newest first, ends with NULL; the
					accepted range is first_version and everything after it.
					NULL = first_version alone */
	enum arm_children children;
	/* Up to this api-version errors are {"code","message"} without an envelope; NULL = never.
	 */
	const char *flat_errors_until;
	const char *policy;       /* what RBAC actions call the type; NULL = its name */
	enum arm_readers readers; /* who may GET */
	bool filters_rows;        /* the list hook leaves out what the caller may not read: the
				     list is for whoever may read something in it */
	const struct arm_filter_field *filters; /* of lists of its rows; NULL = none */
	/* Names that arm_named() finds a resource by, besides its id: a vector for strv_free(). */
	int (*names)(const char *id, const json_t *doc, char ***ret);
	bool stateless;         /* no properties.provisioningState (arm/ keeps it otherwise) */
	bool must_exist;        /* DELETE of an absent one is 404, not 204 */
	bool body_etag;         /* the body carries "etag" too */
	bool optional_location; /* a tracked type that may lack a location */
	/* Orders lists: a key for @name that compares by bytes ("1.10.0" after "1.9.0"); caller
	 * frees; NULL on ENOMEM. NULL hook = the lower-cased name. */
	char *(*sort_key)(const char *name);
};

/** arm_sort_key_version() - a sort_key for dotted decimal names: compares part by part as numbers;
 *  any other name comes after all of those. */
char *arm_sort_key_version(const char *name);

/* ---- Jobs --------------------------------------------------------------------------------- */

struct arm_job {
	struct arm *arm;
	void *app;
	const char *operation_id;
	const struct arm_id *id; /* resource */
	const json_t *params;
	const json_t *doc;               /* the resource when the job was leased */
	const json_t *checkpoint;        /* what arm_job_checkpoint() kept, or NULL */
	const struct arm_principal *who; /* who asked */
	struct cancel *cancel;
	const struct event_sink *events;
	struct arm_job_private *priv;
};
/** arm_job_checkpoint() - durable; fenced: -ESTALE when the lease was lost. Steals @state. */
int arm_job_checkpoint(struct arm_job *job, json_t *state, struct err *err);
/** arm_job_percent() - 0..100, shown in the operation; not durable at once. */
void arm_job_percent(struct arm_job *job, double percent);
/** arm_job_patch() - merge @patch (RFC 7396; stolen) into the stored resource; fenced; @revision
 *  false = server-side progress that does not raise the etag. */
int arm_job_patch(struct arm_job *job, json_t *patch, bool revision, struct err *err);
/** arm_job_put() - write another resource's document (e.g. a runOutput); fenced. Steals @doc. */
int arm_job_put(struct arm_job *job, const char *id, json_t *doc, struct err *err);
/** arm_job_drop() - remove another resource's row; fenced; absent is success. */
int arm_job_drop(struct arm_job *job, const char *id, struct err *err);
/** arm_job_request() - a request of the job's principal, run to the end of its operation in this
 *  thread. Fails with the operation's error. @body stolen or NULL; @ret_body may be NULL. */
int arm_job_request(struct arm_job *job, const char *method, const char *target, json_t *body,
		    json_t **ret_body, struct err *err);
/** arm_job_result() - body of the finished operation's Location; stolen. */
void arm_job_result(struct arm_job *job, json_t *result);

/**
 * arm_work() - lease and run jobs until none is due
 * @operation_id: only this one (and waits for it when another worker has it), or NULL = all
 * @events: gets the job's events; may be NULL
 * @cancel: set: the running job is asked to stop as if its operation was cancelled; with reason
 *          -ESHUTDOWN it is asked to stop and then handed back, due for any worker
 *
 * Return: 0; for one operation also the job's failure (error in @err).
 */
int arm_work(struct arm *arm, const char *operation_id, const struct event_sink *events,
	     struct cancel *cancel, struct err *err);
/** arm_job_counts() - jobs that no worker has and jobs that one has, by leases alone: what a worker
 *  that died had counts as running until its lease ends. 0 or -errno. */
int arm_job_counts(struct arm *arm, uint64_t *ret_queued, uint64_t *ret_running, struct err *err);
/** arm_cancel() - ask a running or queued operation to stop; the worker sees it within a second. */
int arm_cancel(struct arm *arm, const char *operation_id, struct err *err);
/** arm_operations() - operations on what is below an id (a subscription) that @who may read, newest
 *  first, at most @limit: an array of {"name", "properties": {"status", "percentComplete", "kind",
 *  "resourceId", "startTime", "endTime"?, "createdBy", "cancelRequested", "error"?}}. New
 *  reference. @operation_id: only this one, or NULL = all. */
int arm_operations(struct arm *arm, const struct arm_principal *who, const char *id,
		   const char *operation_id, unsigned limit, json_t **ret, struct err *err);
/** arm_running() - id of the operation that runs or waits on a resource into @ret, or "". */
int arm_running(struct arm *arm, const char *resource_id, char ret[UUID_STR_LEN], struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/flood.h"
#include "arm/grants.h"
#include "arm/internal.h"
#include "arm/rendition.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/idempotency.h"
#include "meta/names.h"

#define EXPIRE_MAX 2000 /* rows that one look deletes */

/* The database keeps the names of types that have some. */
static int name_types(struct arm *arm, struct err *err)
{
	size_t n = 0;

	arm->namings = calloc(arm->n_types + 1, sizeof(*arm->namings));
	if (!arm->namings)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < arm->n_types; i++) {
		const struct arm_type *t = arm->by_name[i];

		if (!t->names)
			continue;
		arm->namings[n] = (struct resource_naming){str_lower(t->name), t->names};
		if (!arm->namings[n++].type)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return meta_name(arm->config.meta, arm->namings, err);
}

int arm_new(const struct arm_config *c, struct arm **ret, struct err *err)
{
	struct arm *arm = calloc(1, sizeof(*arm));
	int r;

	if (!arm)
		return err_set(err, -ENOMEM, "out of memory");
	arm->config = *c;
	arm->owner = owner_text();
	r = arm->owner ? random_bytes(arm->id_seed, sizeof(arm->id_seed)) : -ENOMEM;
	if (r >= 0)
		r = route_index(arm, err);
	if (r >= 0)
		r = grants_cache_new(&arm->grants, err);
	if (r >= 0)
		r = flood_new(&arm->flood);
	if (r >= 0)
		r = renditions_new(RENDITIONS_BYTES, &arm->renditions, err);
	if (r >= 0)
		grants_watch(arm);
	if (r >= 0)
		r = name_types(arm, err);
	if (r >= 0)
		r = arm_expire(arm, err);
	if (r < 0) {
		arm_free(arm);
		return r;
	}
	*ret = arm;
	return 0;
}

int arm_expire(struct arm *arm, struct err *err)
{
	struct meta *m = arm->config.meta;
	int r = idempotency_expire(m, time_now_us() - ARM_KEYS_US, EXPIRE_MAX, err);

	return r < 0 ? r : operation_expire(m, time_now_us() - ARM_RECORDS_US, EXPIRE_MAX, err);
}

void arm_free(struct arm *arm)
{
	if (!arm)
		return;
	if (arm->flood)
		audit_omitted(arm);
	flood_free(arm->flood);
	strv_free(arm->operation_types);
	free(arm->by_name);
	for (struct resource_naming *n = arm->namings; n && n->type; n++)
		free((char *) (uintptr_t) n->type);
	free(arm->namings);
	grants_cache_free(arm->grants);
	renditions_free(arm->renditions);
	free(arm->owner);
	free(arm);
}

const struct arm_config *arm_config(const struct arm *arm)
{
	return &arm->config;
}

void arm_response_done(struct arm_response *r)
{
	json_decref(r->body);
	arm_text_unref(r->text);
	free(r->etag);
	free(r->location);
	free(r->async_operation);
	free(r->detail);
	for (size_t i = 0; i < r->n_headers; i++) {
		free(r->headers[i].name);
		free(r->headers[i].value);
	}
	free(r->headers);
	stream_done(&r->stream);
	*r = (struct arm_response){0};
}

static void response_clear(struct arm_response *r)
{
	char id[UUID_STR_LEN];

	memcpy(id, r->request_id, sizeof(id));
	arm_response_done(r);
	memcpy(r->request_id, id, sizeof(id));
}

/* ---- Bodies ------------------------------------------------------------------------------- */

static int parse_body(struct request *rq)
{
	const struct arm_request *req = rq->req;
	int r;

	if (!req->body || req->body_bytes == 0)
		return 0;
	if (req->body_bytes > JSON_MAX_BYTES)
		return err_set(&rq->err, -EFBIG,
			       "The request body has %zu bytes, at most %u are"
			       " accepted.",
			       req->body_bytes, JSON_MAX_BYTES);
	r = json_parse(req->body, req->body_bytes, &rq->body, &rq->err);
	if (r == -EINVAL) {
		r = err_ctx(&rq->err, r, "The request content is not valid JSON");
		err_arm(&rq->err, "InvalidRequestContent");
	}
	return r;
}

static int digest_request(struct request *rq)
{
	struct sha256_ctx *c = sha256_new();
	struct digest d;

	if (!c)
		return err_set(&rq->err, -ENOMEM, "out of memory");
	sha256_add(c, rq->req->method, strlen(rq->req->method) + 1);
	sha256_add(c, rq->req->target, strlen(rq->req->target) + 1);
	if (rq->req->body)
		sha256_add(c, rq->req->body, rq->req->body_bytes);
	sha256_end(c, &d);
	digest_hex(&d, rq->digest);
	return 0;
}

/* ---- Idempotency -------------------------------------------------------------------------- */

static int set_text(json_t *j, const char *key, const char *s)
{
	return s && json_object_set_new(j, key, json_string(s)) < 0 ? -ENOMEM : 0;
}

static json_t *response_record(const struct arm_response *res)
{
	json_t *j = json_pack("{s:i, s:i}", "status", res->status, "retry", res->retry_after_s);

	if (j && set_text(j, "etag", res->etag) >= 0 &&
	    set_text(j, "location", res->location) >= 0 &&
	    set_text(j, "async", res->async_operation) >= 0 &&
	    set_text(j, "operation", res->operation_id) >= 0 &&
	    (!res->body || json_object_set(j, "body", res->body) >= 0))
		return j;
	json_decref(j);
	return NULL;
}

static int get_text(const json_t *j, const char *key, char **ret)
{
	const char *s = json_str_at(j, key);

	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? -ENOMEM : 0;
}

static int response_replay(const json_t *j, struct arm_response *res)
{
	const char *op = json_str_at(j, "operation");

	res->status = (int) json_int_at(j, "status", 500);
	res->retry_after_s = (int) json_int_at(j, "retry", 0);
	res->body = json_incref(json_object_get(j, "body"));
	(void) snprintf(res->operation_id, sizeof(res->operation_id), "%s", op ? op : "");
	if (get_text(j, "etag", &res->etag) < 0 || get_text(j, "location", &res->location) < 0 ||
	    get_text(j, "async", &res->async_operation) < 0)
		return -ENOMEM;
	return 0;
}

/* 1 = answered from the record, 0 = a new key. */
static int replay(struct request *rq)
{
	const struct arm_request *req = rq->req;
	auto_json json_t *record = NULL;
	int r;

	if (!req->idempotency_key || !*req->idempotency_key)
		return 0;
	if (rq->route.kind == ROUTE_ACTION && rq->route.action->secret) {
		(void) err_set(&rq->err, -EINVAL,
			       "The answer of '%s' holds a secret and is not recorded, so it takes"
			       " no idempotency key.",
			       rq->route.action->name);
		err_arm(&rq->err, "IdempotencyKeyNotSupported");
		return -EINVAL;
	}
	if (strlen(req->idempotency_key) > ARM_KEY_MAX)
		return err_set(&rq->err, -EINVAL,
			       "The idempotency key has %zu bytes, at most %d are accepted.",
			       strlen(req->idempotency_key), ARM_KEY_MAX);
	r = idempotency_get(rq->arm->config.meta, req->who->object_id, req->idempotency_key,
			    rq->digest, &record, &rq->err);
	if (r == -ENOENT)
		return 0;
	if (r == -EEXIST)
		err_arm(&rq->err, "IdempotencyKeyReused");
	if (r < 0)
		return r;
	r = response_replay(record, rq->res);
	return r < 0 ? err_set(&rq->err, r, "out of memory") : 1;
}

static int remember(struct request *rq)
{
	const struct arm_request *req = rq->req;
	auto_json json_t *record = NULL;

	if (!req->idempotency_key || !*req->idempotency_key)
		return 0;
	if (rq->res->stream.read)
		return err_set(&rq->err, -EOPNOTSUPP,
			       "A response of bytes cannot be kept under an idempotency key.");
	record = response_record(rq->res);
	if (!record)
		return err_set(&rq->err, -ENOMEM, "out of memory");
	return idempotency_put(rq->arm->config.meta, req->who->object_id, req->idempotency_key,
			       rq->digest, record, &rq->err);
}

/* ---- Changes ------------------------------------------------------------------------------ */

static int audit(struct request *rq, const char *result, const char *code)
{
	const struct audit_event e = {
		.class = code ? AUDIT_FAILURE : AUDIT_CHANGE,
		.who = rq->req->who,
		.action = rq->action,
		.id = rq->route.id.text,
		.method = rq->req->method,
		.result = result,
		.code = code,
		.request_id = rq->res->request_id,
		.correlation_id = rq->req->correlation_id,
		.operation_id = rq->res->operation_id,
		.status = code ? 403 : rq->res->status,
	};

	return audit_event(rq->arm, &e, &rq->err);
}

static int run_change(struct request *rq)
{
	const char *method = rq->req->method;
	int r = replay(rq);

	if (r != 0)
		return r;
	r = lock_check(rq);
	if (r < 0)
		return r;
	if (rq->route.kind == ROUTE_ACTION)
		r = request_action(rq);
	else if (rq->route.kind != ROUTE_ITEM)
		r = not_allowed(rq);
	else if (rq->route.type->change && !str_eq(method, "POST"))
		r = request_change(rq);
	else if (str_eq(method, "DELETE"))
		r = request_delete(rq);
	else if (str_eq(method, "PUT") || str_eq(method, "PATCH"))
		r = request_write(rq);
	else
		r = not_allowed(rq);
	if (r >= 0 && rq->changed)
		r = audit(rq, rq->res->operation_id[0] ? "Accepted" : "Success", NULL);
	if (r >= 0)
		r = remember(rq);
	return r;
}

static int change(struct request *rq)
{
	struct meta *m = rq->arm->config.meta;
	int r = meta_begin(m, &rq->err);

	if (r < 0)
		return r;
	r = run_change(rq);
	if (r < 0) {
		meta_rollback(m);
		return r;
	}
	r = meta_commit(m, &rq->err);
	grants_stale(rq->arm);
	return r;
}

/* ---- The path ----------------------------------------------------------------------------- */

static bool known_method(const char *m)
{
	static const char *const methods[] = {"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (str_eq(methods[i], m))
			return true;
	return false;
}

static int authorize(struct request *rq)
{
	int r;

	rq->action = authorize_action(&rq->route, rq->req->method);
	if (!rq->action)
		return err_set(&rq->err, -ENOMEM, "out of memory");
	r = authorize_request(rq);
	if (r == -EACCES) {
		struct err denial = ERR_INIT;

		/* A denial that cannot be recorded is still a denial, but not a silent one. */
		err_move(&denial, &rq->err);
		r = audit(rq, "Denied", "AuthorizationFailed");
		if (r >= 0) {
			err_move(&rq->err, &denial);
			rq->audited = true;
			r = -EACCES;
		}
		err_done(&denial);
	}
	return r;
}

static int run(struct request *rq)
{
	const char *method = rq->req->method;
	bool reads = str_eq(method, "GET") || str_eq(method, "HEAD");
	const struct arm_port *port;
	int r;

	if (!known_method(method)) {
		(void) err_set(&rq->err, -EINVAL, "The method '%.20s' is not known.", method);
		err_arm(&rq->err, "MethodNotAllowed");
		return -EINVAL;
	}
	port = arm_port(rq->arm, rq->req->target);
	rq->port = port;
	if (port)
		return port->handle(rq->arm, rq->req, rq->res, &rq->err);
	if (!rq->req->who) {
		(void) err_set(&rq->err, -EACCES, "Nobody was authenticated for this request.");
		err_arm(&rq->err, "AuthenticationFailed");
		return -EACCES;
	}
	r = target_parse(rq->req->target, &rq->target, &rq->err);
	if (r >= 0)
		r = route_find(rq->arm, rq->target.path, method, &rq->route, &rq->err);
	if (r < 0)
		return r;
	rq->api_version = target_query(&rq->target, "api-version");
	r = version_check(&rq->route, rq->api_version, &rq->err);
	if (r >= 0)
		r = authorize(rq);
	if (r < 0)
		return r;
	if (rq->route.kind == ROUTE_OPERATION)
		return reads ? request_operation(rq) : not_allowed(rq);
	if (reads && (rq->route.kind != ROUTE_ACTION || str_eq(rq->route.action->method, "GET")))
		return rq->route.kind == ROUTE_ACTION ? request_action(rq) : request_get(rq);
	r = parse_body(rq);
	if (r >= 0)
		r = digest_request(rq);
	return r < 0 ? r : change(rq);
}

static bool flat_errors(const struct request *rq)
{
	const char *until = rq->route.type ? rq->route.type->flat_errors_until : NULL;

	return until && rq->api_version && !version_before(until, rq->api_version);
}

static void respond_error(struct request *rq)
{
	const struct arm_principal *who = rq->req->who;
	struct arm_error e = error_of(&rq->err);
	json_t *inner;

	response_clear(rq->res);
	inner = error_json(&rq->err, who && who->local_owner, rq->res->request_id);
	rq->res->status = e.status;
	if (e.internal)
		rq->res->detail = strdup(err_str(&rq->err));
	if (e.status == 503)
		rq->res->retry_after_s = 1;
	/* Without memory for the body the status still tells. */
	rq->res->body = flat_errors(rq) ? inner : inner ? json_pack("{s:o}", "error", inner) : NULL;
	log_debug("arm.failed", "request=%s status=%d code=%s", rq->res->request_id, e.status,
		  e.code);
}

static int finish(struct request *rq)
{
	char **const urls[] = {&rq->res->location, &rq->res->async_operation};

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		char *abs;

		if (!*urls[i])
			continue;
		abs = url_absolute(rq, *urls[i]);
		if (!abs)
			return err_set(&rq->err, -ENOMEM, "out of memory");
		free(*urls[i]);
		*urls[i] = abs;
	}
	if (!rq->port && str_eq(rq->req->method, "HEAD")) {
		json_decref(rq->res->body);
		rq->res->body = NULL;
		arm_text_unref(rq->res->text);
		rq->res->text = NULL;
		if (rq->res->status == 200 && !rq->res->stream.read)
			rq->res->status = 204;
	}
	return 0;
}

static uint64_t scramble(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Tells requests apart and is no secret: asking the system for random bytes each time would cost
 * more than that is worth. */
static void request_id(struct arm *arm, char *dst)
{
	uint64_t n = atomic_fetch_add_explicit(&arm->requests, 1, memory_order_relaxed);
	const uint64_t bits[2] = {
		scramble(arm->id_seed[0] + n * UINT64_C(0x9e3779b97f4a7c15)),
		scramble(arm->id_seed[1] + n * UINT64_C(0xd1342543de82ef95)),
	};

	uuid_of(bits, dst);
}

void request_run(struct arm *arm, const struct arm_request *req, const char *parent_op,
		 struct arm_response *ret)
{
	struct request rq = {.arm = arm, .req = req, .res = ret, .parent_op = parent_op};
	int r;

	*ret = (struct arm_response){0};
	request_id(arm, ret->request_id);
	r = run(&rq);
	if (r >= 0)
		r = finish(&rq);
	if (r < 0) {
		if (rq.err.code == 0)
			(void) err_set(&rq.err, r, "%s", strerrordesc_np(-r));
		respond_error(&rq);
		audit_failure(&rq);
	}
	ret->type = rq.route.type ? rq.route.type->name : NULL;
	json_decref(rq.body);
	free(rq.action);
	buf_done(&rq.variant);
	route_done(&rq.route);
	target_done(&rq.target);
	err_done(&rq.err);
}

void arm_handle(struct arm *arm, const struct arm_request *req, struct arm_response *ret)
{
	request_run(arm, req, NULL, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Operations as clients poll them: status documents and Location targets. */
#include "arm/internal.h"

#include "base/mem.h"
#include "base/timeutil.h"

#define DEFAULT_PATH "operationresults"

char *url_absolute(const struct request *rq, const char *relative)
{
	const char *base = rq->req->base_url ? rq->req->base_url : rq->arm->config.endpoint;
	size_t n = base ? strlen(base) : 0;

	if (relative[0] != '/')
		return strdup(relative);
	while (n > 0 && base[n - 1] == '/')
		n--;
	return strf("%.*s%s", (int) n, base ? base : "", relative);
}

static char *subscription_of(const struct arm *arm, const char *key)
{
	static const char prefix[] = "/subscriptions/";
	const char *p;

	if (!str_starts(key, prefix))
		return strdup(arm->config.subscription_id);
	p = key + sizeof(prefix) - 1;
	return strndup(p, strcspn(p, "/"));
}

char *operation_url(const struct arm *arm, const struct operation *o, bool monitor)
{
	const struct arm_type *type = route_type(arm, o->type);
	const char *path = type && type->operation_path ? type->operation_path : DEFAULT_PATH;
	auto_free char *sub = subscription_of(arm, o->key);
	const char *mark = strstr(path, "%s");
	const char *loc = arm->config.locations ? arm->config.locations[0] : NULL;

	if (!sub)
		return NULL;
	if (!mark)
		mark = path + strlen(path);
	return strf("/subscriptions/%s/%.*s%s%s/%s?api-version=%s%s", sub, (int) (mark - path),
		    path, *mark ? (loc ? loc : "global") : "", *mark ? mark + 2 : "", o->id,
		    o->api_version, monitor ? "&monitor=true" : "");
}

const char *operation_status(const struct operation *o)
{
	static const char *const names[] = {
		[OPERATION_RUNNING] = "InProgress",
		[OPERATION_SUCCEEDED] = "Succeeded",
		[OPERATION_FAILED] = "Failed",
		[OPERATION_CANCELED] = "Canceled",
	};

	return names[o->state];
}

int operation_failure(const struct operation *o, struct err *err)
{
	if (o->state == OPERATION_SUCCEEDED || o->state == OPERATION_RUNNING)
		return 0;
	return error_from_json(o->error, err);
}

json_t *operation_error(const struct operation *o, const struct arm_principal *who)
{
	json_t *j;

	if (o->state != OPERATION_FAILED && o->state != OPERATION_CANCELED)
		return NULL;
	j = o->error ? json_copy(o->error)
		     : json_pack("{s:s, s:s}", "code", "OperationFailed", "message",
				 "The operation failed.");
	if (j && json_object_get(j, "detail") && who && who->local_owner &&
	    json_object_set(j, "message", json_object_get(j, "detail")) < 0) {
		json_decref(j);
		return NULL;
	}
	(void) json_object_del(j, "detail");
	(void) json_object_del(j, "errno");
	return j;
}

static int put(json_t *j, const char *key, json_t *value)
{
	return value && json_object_set_new(j, key, value) >= 0 ? 0 : -ENOMEM;
}

static int put_time(json_t *j, const char *key, int64_t us)
{
	char iso[ISO_MAX];

	return us == 0 ? 0 : put(j, key, json_string(time_iso(us, iso)));
}

static int status_body(struct request *rq, const struct operation *o)
{
	json_t *j = json_object();
	int r = j ? 0 : -ENOMEM;

	rq->res->body = j;
	if (r >= 0)
		r = put(j, "id", json_string(rq->route.id.text));
	if (r >= 0)
		r = put(j, "name", json_string(o->id));
	if (r >= 0)
		r = put(j, "status", json_string(operation_status(o)));
	if (r >= 0)
		r = put_time(j, "startTime", o->started_us ? o->started_us : o->created_us);
	if (r >= 0)
		r = put_time(j, "endTime", o->ended_us);
	if (r >= 0)
		r = put(j, "percentComplete", json_real((double) o->percent));
	if (r >= 0 && o->state == OPERATION_SUCCEEDED && o->result)
		r = put(j, "properties", json_pack("{s:O}", "output", o->result));
	if (r >= 0 && (o->state == OPERATION_FAILED || o->state == OPERATION_CANCELED))
		r = put(j, "error", operation_error(o, rq->req->who));
	rq->res->status = 200;
	if (o->state == OPERATION_RUNNING)
		rq->res->retry_after_s = 1;
	return r;
}

/* The final answer of a PUT or PATCH is the resource. */
static int final_resource(struct request *rq, const struct operation *o)
{
	auto_resource struct resource res = {0};
	struct route route = {0};
	int r = route_find(rq->arm, o->resource, "GET", &route, &rq->err);

	if (r < 0)
		return r;
	route_done(&rq->route);
	rq->route = route;
	r = resource_get(rq->arm->config.meta, o->key, &res, &rq->err);
	if (r == -ENOENT)
		return not_found(rq);
	return r < 0 ? r : respond_resource(rq, &res, 200);
}

static int monitor_body(struct request *rq, const struct operation *o)
{
	if (o->state == OPERATION_RUNNING) {
		rq->res->status = 202;
		rq->res->retry_after_s = 1;
		rq->res->location = operation_url(rq->arm, o, true);
		return rq->res->location ? 0 : -ENOMEM;
	}
	if (o->state != OPERATION_SUCCEEDED) {
		json_t *e = operation_error(o, rq->req->who);

		rq->res->status = 409;
		rq->res->body = e ? json_pack("{s:o}", "error", e) : NULL;
		return rq->res->body ? 0 : -ENOMEM;
	}
	if (o->result) {
		rq->res->status = 200;
		rq->res->body = json_incref(o->result);
		return 0;
	}
	if (str_eq(o->method, "PUT") || str_eq(o->method, "PATCH"))
		return final_resource(rq, o);
	rq->res->status = 200; /* not 204, which some clients take for no answer to a POST */
	return 0;
}

int request_operation(struct request *rq)
{
	auto_operation struct operation o = {0};
	auto_free char *id = str_lower(rq->route.id.name), *sub = NULL;
	int r = id ? operation_get(rq->arm->config.meta, id, &o, &rq->err) : -ENOMEM;

	if (r >= 0) {
		sub = subscription_of(rq->arm, o.key);
		if (!sub)
			return err_set(&rq->err, -ENOMEM, "out of memory");
		if (!rq->route.id.subscription || !str_eq_nocase(sub, rq->route.id.subscription))
			r = -ENOENT;
	}
	if (r == -ENOENT) {
		(void) err_set(&rq->err, r, "The operation '%.64s' was not found.",
			       rq->route.id.name);
		err_arm(&rq->err, "NotFound");
	}
	if (r < 0)
		return r;
	r = str_eq_nocase(target_query(&rq->target, "monitor") ?: "", "true") ? monitor_body(rq, &o)
									      : status_body(rq, &o);
	return r == -ENOMEM ? err_set(&rq->err, r, "out of memory") : r;
}

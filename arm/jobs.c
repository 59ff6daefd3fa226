/* SPDX-License-Identifier: Apache-2.0 */
/* What a running job can do; every write is fenced by the lease's token. */
#include "arm/grants.h"
#include "arm/worker.h"
#include "base/mem.h"

/* ---- Worker ------------------------------------------------------------------------------- */

/* The groups of who asked, as of then: what a job may do next is asked anew each time. */
static int worker_groups(struct worker *w)
{
	json_t *list = json_object_get(w->op.principal, "groups"), *g;
	size_t i, n = json_array_size(list);

	if (n == 0)
		return 0;
	w->groups = calloc(n + 1, sizeof(*w->groups));
	if (!w->groups)
		return -ENOMEM;
	json_array_foreach(list, i, g)
	{
		w->groups[i] = json_string_value(g) ? json_string_value(g) : "";
	}
	w->who.groups = w->groups;
	return 0;
}

int worker_load(struct worker *w, struct err *err)
{
	struct meta *m = w->arm->config.meta;
	int r = operation_get(m, w->row.id, &w->op, err);

	if (r >= 0)
		r = arm_id_parse(w->op.resource, &w->id, err);
	if (r < 0)
		return r;
	w->type = route_type(w->arm, w->op.type);
	w->kind = w->type ? job_kind_of(w->type, w->op.kind) : NULL;
	w->who = (struct arm_principal){
		.object_id = json_str_at(w->op.principal, "objectId"),
		.name = json_str_at(w->op.principal, "name"),
		.kind = json_str_at(w->op.principal, "kind"),
		.local_owner = json_bool_at(w->op.principal, "localOwner", false),
		.tenant_id = json_str_at(w->op.principal, "tenantId"),
	};
	r = worker_groups(w);
	if (r < 0)
		return err_set(err, r, "out of memory");
	atomic_store(&w->percent, w->op.percent);
	r = resource_get(m, w->op.key, &w->res, err);
	if (r == -ENOENT) {
		err_done(err);
		r = 0;
	}
	return r;
}

void worker_done(struct worker *w)
{
	job_row_done(&w->row);
	operation_done(&w->op);
	resource_done(&w->res);
	arm_id_done(&w->id);
	free(w->groups);
	json_decref(w->result);
	cancel_done(&w->cancel);
}

static int drop_below(void *arg, const char *id, const char *type)
{
	struct worker *w = arg;
	auto_free char *key = str_lower(id);

	return key ? resource_delete(w->arm->config.meta, key, NULL) : -ENOMEM;
}

int worker_remove(struct worker *w, struct err *err)
{
	int r = 0;

	if (w->type && w->type->children == ARM_CHILDREN_CASCADE)
		r = arm_each_below(w->arm, w->op.resource, drop_below, w, err);
	if (r >= 0)
		r = extensions_drop(w->arm, w->op.key, err);
	return r < 0 ? r : resource_delete(w->arm->config.meta, w->op.key, err);
}

/* ---- Fenced writes ------------------------------------------------------------------------ */

static int fenced_begin(struct worker *w, struct err *err)
{
	struct meta *m = w->arm->config.meta;
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	r = job_fence(m, w->op.id, w->row.token, err);
	if (r < 0)
		meta_rollback(m);
	return r;
}

static int fenced_end(struct worker *w, int r, struct err *err)
{
	struct meta *m = w->arm->config.meta;

	if (r < 0) {
		meta_rollback(m);
		return r;
	}
	r = meta_commit(m, err);
	grants_stale(w->arm);
	return r;
}

int arm_job_checkpoint(struct arm_job *job, json_t *state, struct err *err)
{
	struct worker *w = job->priv->worker;
	int r = state ? job_checkpoint(w->arm->config.meta, w->op.id, w->row.token, state, err)
		      : err_set(err, -ENOMEM, "out of memory");

	json_decref(state);
	return r;
}

void arm_job_percent(struct arm_job *job, double percent)
{
	if (percent >= 0 && percent <= 100)
		atomic_store(&job->priv->worker->percent, (long long) percent);
}

static int patch(struct worker *w, const json_t *change, bool revision, struct err *err)
{
	auto_resource struct resource res = {0};
	int r = resource_get(w->arm->config.meta, w->op.key, &res, err);

	if (r >= 0) {
		r = json_merge_patch(res.doc, change);
		if (r < 0)
			r = err_set(err, r, "change of the resource: %s", strerrordesc_np(-r));
	}
	return r < 0 ? r : resource_update(w->arm->config.meta, &res, revision, err);
}

int arm_job_patch(struct arm_job *job, json_t *change, bool revision, struct err *err)
{
	struct worker *w = job->priv->worker;
	int r = change ? fenced_begin(w, err) : err_set(err, -ENOMEM, "out of memory");

	if (r >= 0)
		r = fenced_end(w, patch(w, change, revision, err), err);
	json_decref(change);
	return r;
}

int arm_job_put(struct arm_job *job, const char *id, json_t *doc, struct err *err)
{
	struct worker *w = job->priv->worker;
	int r = fenced_begin(w, err);

	if (r < 0) {
		json_decref(doc);
		return r;
	}
	return fenced_end(w, resource_store(w->arm, &w->who, id, doc, err), err);
}

int arm_job_drop(struct arm_job *job, const char *id, struct err *err)
{
	struct worker *w = job->priv->worker;
	auto_arm_id struct arm_id parsed = {0};
	int r = arm_id_parse(id, &parsed, err);

	if (r >= 0)
		r = fenced_begin(w, err);
	if (r < 0)
		return r;
	return fenced_end(w, resource_delete(w->arm->config.meta, parsed.key, err), err);
}

void arm_job_result(struct arm_job *job, json_t *result)
{
	struct worker *w = job->priv->worker;

	json_decref(w->result);
	w->result = result;
}

/* ---- Requests of a job -------------------------------------------------------------------- */

/* An operation on the target that an earlier run of this same job started and did not see to its
 * end. Finished now, in this thread; its outcome is its resource's state. */
static int adopt(struct arm_job *job, const char *target, struct err *err)
{
	struct worker *w = job->priv->worker;
	auto_target struct target t = {0};
	struct route route = {0};
	auto_operation struct operation o = {0};
	bool ours = false;
	int r = target_parse(target, &t, err);

	if (r >= 0)
		r = route_find(w->arm, t.path, "GET", &route, err);
	if (r >= 0)
		r = operation_active(w->arm->config.meta, route.id.key, &o, err);
	if (r >= 0)
		r = job_is_child(w->arm->config.meta, o.id, w->op.id, &ours, err);
	route_done(&route);
	if (r < 0 || !ours) {
		err_done(err); /* the request itself will say what is wrong */
		return 0;
	}
	r = work_one(w->arm, o.id, job->events, job->cancel, err);
	if (r == -ECANCELED || r == -ESTALE || r == -ESHUTDOWN)
		return r;
	err_done(err);
	return 0;
}

static int response_error(const struct arm_response *res, struct err *err)
{
	const json_t *e = json_object_get(res->body, "error");

	if (!e)
		return err_set(err, -EIO, "request %s failed with status %d", res->request_id,
			       res->status);
	(void) error_from_json(e, err);
	if (err)
		err->code = res->status == 404   ? -ENOENT
			    : res->status == 409 ? -EBUSY
			    : res->status == 403 ? -EACCES
			    : res->status < 500  ? -EINVAL
						 : -EIO;
	return err ? err->code : -EIO;
}

static int final_body(struct worker *w, const char *operation_id, const char *method,
		      struct arm_response *res, struct err *err)
{
	auto_operation struct operation o = {0};
	auto_resource struct resource r0 = {0};
	int r = operation_get(w->arm->config.meta, operation_id, &o, err);

	json_decref(res->body);
	res->body = NULL;
	if (r < 0)
		return r;
	if (o.result || str_eq(method, "DELETE") || str_eq(method, "POST")) {
		res->body = json_incref(o.result);
		return 0;
	}
	r = resource_get(w->arm->config.meta, o.key, &r0, err);
	if (r >= 0)
		res->body = json_incref(r0.doc);
	return r;
}

static int run_request(struct arm_job *job, const struct arm_request *req, json_t **ret_body,
		       struct err *err)
{
	struct worker *w = job->priv->worker;
	struct arm_response res;
	int r = 0;

	request_run(w->arm, req, w->op.id, &res);
	if (res.status >= 300)
		r = response_error(&res, err);
	else if (res.operation_id[0]) {
		r = work_one(w->arm, res.operation_id, job->events, job->cancel, err);
		if (r >= 0)
			r = final_body(w, res.operation_id, req->method, &res, err);
	}
	if (r >= 0 && ret_body)
		*ret_body = take_ptr(res.body);
	arm_response_done(&res);
	return r;
}

int arm_job_request(struct arm_job *job, const char *method, const char *target, json_t *body,
		    json_t **ret_body, struct err *err)
{
	struct worker *w = job->priv->worker;
	struct err own = ERR_INIT;
	auto_free char *text = body ? json_compact(body) : NULL;
	const struct arm_request req = {
		.method = method,
		.target = target,
		.body = text,
		.body_bytes = text ? strlen(text) : 0,
		.who = &w->who,
		.correlation_id = w->op.id,
	};
	int r = body && !text ? err_set(&own, -ENOMEM, "out of memory") : 0;

	json_decref(body);
	if (ret_body)
		*ret_body = NULL;
	if (r >= 0)
		r = cancel_check(job->cancel);
	if (r < 0 && own.code == 0)
		(void) err_set(&own, r, "%s", strerrordesc_np(-r));
	if (r >= 0)
		r = job_fence(w->arm->config.meta, w->op.id, w->row.token, &own);
	if (r >= 0 && !str_eq(method, "GET"))
		r = adopt(job, target, &own);
	if (r >= 0)
		r = run_request(job, &req, ret_body, &own);
	if (r < 0)
		err_move(err, &own);
	err_done(&own);
	return r;
}

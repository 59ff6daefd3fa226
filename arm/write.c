/* SPDX-License-Identifier: Apache-2.0 */
/* PUT, PATCH, DELETE and POST of stored resources; all inside the request's transaction. */
#include <regex.h>

#include "arm/body.h"
#include "base/mem.h"

static int check_name(struct request *rq)
{
	const struct arm_type *type = rq->route.type;
	const struct arm_field rule[] = {
		{.name = "name",
		 .type = ARM_STRING,
		 .pattern = type->name_pattern ? type->name_pattern : "[A-Za-z0-9._()-]+",
		 .min = 1,
		 .max = type->name_max ? type->name_max : 90},
		{.name = NULL},
	};
	const struct shape_context ctx = {.api_version = rq->api_version};
	auto_json json_t *in = json_pack("{s:s}", "name", rq->route.id.name), *out = NULL;
	int r;

	if (!in)
		return err_set(&rq->err, -ENOMEM, "out of memory");
	r = shape_check(rule, in, "", &ctx, &out, &rq->err);
	if (r == -EINVAL)
		err_arm(&rq->err, "InvalidResourceName");
	return r;
}

/* What a write knows when its document is complete. */
struct writing {
	struct resource *res; /* the row, or the one to be; @res->doc is the stored document */
	bool is_new, patch;
	json_t *body; /* validated */
};

/* A hook's document with the members that arm/ keeps. */
static int complete(struct request *rq, struct arm_call *c, const struct writing *w)
{
	const struct arm_job_kind *kind =
		c->priv->job_kind ? job_kind_of(c->type, c->priv->job_kind) : NULL;
	int r = 0;

	if (!c->type->stateless)
		r = state_set(c->doc, kind && kind->state ? kind->state : "Succeeded");
	if (r >= 0)
		r = doc_identify(c->doc, c->type, w->res->id, strrchr(w->res->id, '/') + 1,
				 w->is_new ? NULL : w->res->doc, rq->req->who);
	return r < 0 ? err_set(&rq->err, r, "out of memory") : 0;
}

static int store(struct request *rq, struct arm_call *c, struct writing *w)
{
	struct meta *m = rq->arm->config.meta;
	json_t *old = w->res->doc;
	bool same = !w->is_new && !c->priv->job_kind && body_equal(old, c->doc);
	int r;

	if (same)
		return 0; /* nothing changes: no revision, no audit row */
	rq->changed = true;
	w->res->doc = json_incref(c->doc);
	r = w->is_new ? resource_create(m, w->res, &rq->err)
		      : resource_update(m, w->res, true, &rq->err);
	json_decref(old);
	c->old = NULL;
	return r;
}

static int run_hook(struct request *rq, struct writing *w, json_t *doc)
{
	struct arm_call_private p;
	struct arm_call c;
	int r;

	call_init(&c, &p, rq, w->is_new ? NULL : w->res);
	c.doc = doc; /* stolen */
	c.body = w->body;
	r = doc_identify(c.doc, c.type, w->res->id, strrchr(w->res->id, '/') + 1,
			 w->is_new ? NULL : w->res->doc, rq->req->who);
	if (r < 0)
		r = err_set(&rq->err, r, "out of memory");
	if (r >= 0 && c.type->write)
		r = c.type->write(&c, &rq->err);
	if (r >= 0)
		r = complete(rq, &c, w);
	if (r >= 0)
		r = store(rq, &c, w);
	if (r >= 0 && p.job_kind)
		r = start_job(rq, &c, w->res);
	if (r >= 0)
		r = respond_resource(rq, w->res, c.status ? c.status : w->is_new ? 201 : 200);
	call_done(&c);
	return r;
}

static int merge_and_run(struct request *rq, struct writing *w)
{
	auto_json json_t *seen = NULL;
	json_t *doc = NULL;
	int r;

	if (w->patch)
		r = body_merge_patch(rq, w->res->doc, w->body, &doc);
	else
		r = body_merge_put(rq, w->is_new ? NULL : w->res->doc, w->body, &doc);
	if (r >= 0 && !w->is_new) {
		struct resource copy = *w->res; /* borrows all but the document */

		copy.doc = json_deep_copy(w->res->doc);
		r = copy.doc ? view_doc(rq, &copy, &seen)
			     : err_set(&rq->err, -ENOMEM, "out of memory");
		if (r >= 0)
			r = body_immutable(rq, seen, w->body);
	}
	if (r < 0) {
		json_decref(doc);
		return r;
	}
	return run_hook(rq, w, doc);
}

int request_write(struct request *rq)
{
	const struct arm_type *type = rq->route.type;
	auto_free char *parent = NULL;
	auto_resource struct resource res = {0};
	auto_json json_t *body = NULL;
	struct writing w = {.res = &res, .patch = str_eq(rq->req->method, "PATCH")};
	bool strict = type->strict_from && !version_before(rq->api_version, type->strict_from);
	int r;

	if (!route_stored(type) || !type->write)
		return not_allowed(rq);
	r = parent_check(rq, true, &parent);
	if (r < 0)
		return r;
	r = resource_get(rq->arm->config.meta, rq->route.id.key, &res, &rq->err);
	if (r < 0 && r != -ENOENT)
		return r;
	w.is_new = r == -ENOENT;
	err_done(&rq->err);
	r = etag_check(rq, w.is_new ? NULL : &res);
	if (r < 0)
		return r;
	if (w.is_new && w.patch)
		return not_found(rq);
	if (w.is_new) {
		r = check_name(rq);
		if (r >= 0)
			r = resource_init(&res, type, &rq->route.id, parent, rq->api_version,
					  &rq->err);
	} else {
		r = key_busy(rq->arm, res.key, &rq->err);
	}
	if (r >= 0)
		r = body_check(rq, w.patch, strict, &body);
	w.body = body;
	return r < 0 ? r : merge_and_run(rq, &w);
}

/* ---- DELETE ------------------------------------------------------------------------------- */

static int refuse_children(struct request *rq, const struct resource *res)
{
	bool any = false;
	int r = extensions_drop(rq->arm, res->key, &rq->err);

	if (r >= 0)
		r = resource_any_under(rq->arm->config.meta, res->key, &any, &rq->err);
	if (r < 0 || !any)
		return r;
	(void) err_set(&rq->err, -ENOTEMPTY,
		       "Cannot delete resource '%.1000s' while nested resources exist. Delete all"
		       " nested resources before deleting this resource.",
		       res->id);
	err_arm(&rq->err, "CannotDeleteResource");
	return -ENOTEMPTY;
}

static int drop_one(void *arg, const char *id, const char *type)
{
	struct request *rq = arg;
	auto_free char *key = str_lower(id);

	return key ? resource_delete(rq->arm->config.meta, key, &rq->err) : -ENOMEM;
}

static int remove_now(struct request *rq, struct arm_call *c, const struct resource *res)
{
	int r = 0;

	if (rq->route.type->children == ARM_CHILDREN_CASCADE)
		r = arm_each_below(rq->arm, res->id, drop_one, rq, &rq->err);
	if (r >= 0)
		r = extensions_drop(rq->arm, res->key, &rq->err);
	if (r >= 0)
		r = resource_delete(rq->arm->config.meta, res->key, &rq->err);
	rq->res->status = c->status ? c->status : 200;
	rq->res->body = take_ptr(c->result);
	return r;
}

static int remove_by_job(struct request *rq, struct arm_call *c, struct resource *res)
{
	const struct arm_job_kind *kind = job_kind_of(c->type, c->priv->job_kind);
	int r = 0;

	if (kind->state && !c->type->stateless) {
		r = state_set(res->doc, kind->state);
		if (r >= 0)
			r = resource_update(rq->arm->config.meta, res, true, &rq->err);
	}
	if (r >= 0)
		r = start_job(rq, c, res);
	rq->res->status = 202;
	return r;
}

int request_delete(struct request *rq)
{
	const struct arm_type *type = rq->route.type;
	auto_resource struct resource res = {0};
	auto_free char *parent = NULL;
	struct arm_call_private p;
	struct arm_call c;
	int r;

	if (!route_stored(type) || (!type->del && !type->write))
		return not_allowed(rq);
	r = scope_check(rq, false, &parent);
	if (r >= 0)
		r = resource_get(rq->arm->config.meta, rq->route.id.key, &res, &rq->err);
	if (r == -ENOENT && str_eq(rq->err.arm, NULL)) {
		err_done(&rq->err);
		r = etag_check(rq, NULL);
		rq->res->status = 204;
		return r >= 0 && type->must_exist ? not_found(rq) : r;
	}
	if (r >= 0)
		r = etag_check(rq, &res);
	if (r >= 0)
		r = key_busy(rq->arm, res.key, &rq->err);
	if (r < 0)
		return r;
	rq->changed = true;
	call_init(&c, &p, rq, &res);
	c.doc = json_deep_copy(res.doc);
	r = c.doc ? 0 : err_set(&rq->err, -ENOMEM, "out of memory");
	if (r >= 0 && type->children == ARM_CHILDREN_REFUSE)
		r = refuse_children(rq, &res);
	if (r >= 0 && type->del)
		r = type->del(&c, &rq->err);
	if (r >= 0)
		r = p.job_kind ? remove_by_job(rq, &c, &res) : remove_now(rq, &c, &res);
	call_done(&c);
	return r;
}

/* ---- POST --------------------------------------------------------------------------------- */

static int check_action_body(struct request *rq, const struct arm_call *c, json_t **ret)
{
	const struct arm_action *a = rq->route.action;
	const struct shape_context ctx = {
		.api_version = rq->api_version,
		.strict = c->strict,
		.locations = rq->arm->config.locations,
	};
	auto_json json_t *empty = json_object();

	if (!empty)
		return err_set(&rq->err, -ENOMEM, "out of memory");
	*ret = NULL;
	if (!a->shape)
		return 0;
	return shape_check(a->shape, rq->body ? rq->body : empty, "", &ctx, ret, &rq->err);
}

static int finish_action(struct request *rq, struct arm_call *c, struct resource *res)
{
	int r = 0;

	if (res->doc && c->doc && !body_equal(res->doc, c->doc)) {
		json_decref(res->doc);
		res->doc = json_incref(c->doc);
		c->old = NULL;
		r = resource_update(rq->arm->config.meta, res, true, &rq->err);
	}
	if (r >= 0 && c->priv->job_kind)
		r = start_job(rq, c, res);
	else if (r >= 0 && c->priv->join.id)
		r = join_job(rq, c);
	if (r < 0)
		return r;
	rq->res->status = c->status                     ? c->status
			  : *rq->res->operation_id      ? 202
			  : c->result || c->stream.read ? 200
							: 204;
	call_take(c, rq->res);
	return 0;
}

int request_action(struct request *rq)
{
	const struct arm_type *type = rq->route.type;
	auto_resource struct resource res = {0};
	auto_free char *parent = NULL;
	auto_json json_t *body = NULL;
	struct arm_call_private p;
	struct arm_call c;
	int r;

	if (!str_eq(rq->route.action->method, rq->req->method))
		return not_allowed(rq);
	r = parent_check(rq, true, &parent);
	if (r >= 0 && route_stored(type))
		r = resource_get(rq->arm->config.meta, rq->route.id.key, &res, &rq->err);
	if (r == -ENOENT && !rq->err.arm)
		return not_found(rq);
	if (r >= 0)
		r = etag_check(rq, res.doc ? &res : NULL);
	if (r < 0)
		return r;
	rq->changed = !str_eq(rq->req->method, "GET") && !str_ends(rq->action, "/read");
	call_init(&c, &p, rq, &res);
	c.doc = res.doc ? json_deep_copy(res.doc) : NULL;
	r = res.doc && !c.doc ? err_set(&rq->err, -ENOMEM, "out of memory") : 0;
	if (r >= 0)
		r = check_action_body(rq, &c, &body);
	c.body = body ? body : rq->body;
	if (r >= 0)
		r = rq->route.action->hook(&c, &rq->err);
	if (r >= 0)
		r = finish_action(rq, &c, &res);
	c.body = NULL;
	call_done(&c);
	return r;
}

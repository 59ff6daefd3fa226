/* SPDX-License-Identifier: Apache-2.0 */
/* Changes beside the usual rows: types that compute their PUT, PATCH and DELETE, other resources'
 * rows that a hook writes, and what goes with a resource. */
#include "arm/body.h"
#include "arm/internal.h"
#include "base/mem.h"

static int run_hook(struct request *rq, json_t *body)
{
	struct arm_call_private p;
	struct arm_call c;
	int r;

	call_init(&c, &p, rq, NULL);
	c.body = body;
	r = rq->route.type->change(&c, &rq->err);
	if (r >= 0) {
		rq->res->status = c.status ? c.status : c.result ? 200 : 204;
		rq->res->body = take_ptr(c.result);
		rq->changed = true;
	}
	c.body = NULL;
	call_done(&c);
	return r;
}

int request_change(struct request *rq)
{
	const struct arm_type *type = rq->route.type;
	bool deletes = str_eq(rq->req->method, "DELETE");
	bool strict = type->strict_from && !version_before(rq->api_version, type->strict_from);
	auto_free char *parent = NULL;
	auto_json json_t *body = NULL;
	int r = parent_check(rq, !deletes, &parent);

	if (r >= 0 && !deletes)
		r = body_check(rq, false, strict, &body);
	return r < 0 ? r : run_hook(rq, body);
}

/* ---- Other rows --------------------------------------------------------------------------- */

int arm_call_put(struct arm_call *c, const char *id, json_t *doc, struct err *err)
{
	return resource_store(c->arm, c->who, id, doc, err);
}

int arm_call_drop(struct arm_call *c, const char *id, struct err *err)
{
	auto_arm_id struct arm_id parsed = {0};
	int r = arm_id_parse(id, &parsed, err);

	return r < 0 ? r : resource_delete(c->arm->config.meta, parsed.key, err);
}

struct dropping {
	struct arm *arm;
	const char *key;
	struct err *err;
};

/* Only what is on the resource itself: "KEY/providers/NS/type/name". */
static int drop_extension(void *arg, const char *id, const char *type)
{
	struct dropping *d = arg;
	const struct arm_type *t = route_type(d->arm, type);
	auto_free char *key = str_lower(id);

	if (!key)
		return -ENOMEM;
	if (!t || t->scope != ARM_SCOPE_ANY || !str_starts(key + strlen(d->key), "/providers/"))
		return 0;
	return resource_delete(d->arm->config.meta, key, d->err);
}

int extensions_drop(struct arm *arm, const char *key, struct err *err)
{
	struct dropping d = {arm, key, err};
	auto_free char *under = strf("%s/providers", key);

	return under ? arm_each_below(arm, under, drop_extension, &d, err)
		     : err_set(err, -ENOMEM, "out of memory");
}

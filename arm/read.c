/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/internal.h"

#include "base/mem.h"

/* A hook that answers by itself: catalogs, locations, subscriptions. */
static int computed(struct request *rq, arm_hook *hook)
{
	struct arm_call_private p;
	struct arm_call c;
	int r;

	call_init(&c, &p, rq, NULL);
	r = hook(&c, &rq->err);
	if (r >= 0 && !c.result && !c.stream.read)
		r = not_found(rq);
	if (r >= 0) {
		rq->res->status = c.status ? c.status : 200;
		call_take(&c, rq->res);
	}
	call_done(&c);
	return r;
}

/* A failure is kept aside: what failed is not the look-up. */
struct item {
	struct request *rq;
	int r;
};

static int respond_row(struct request *rq, const struct resource_row *row)
{
	int r = 0;

	rq->res->etag = etag_text(row->revision);
	if (!rq->res->etag)
		return err_set(&rq->err, -ENOMEM, "out of memory");
	if (rq->req->if_none_match && etag_matches(rq->req->if_none_match, &row->revision)) {
		rq->res->status = 304;
		return 0;
	}
	if (!str_eq(rq->req->method, "HEAD"))
		r = rq->req->takes_text ? render_text(rq, row, NULL, &rq->res->text)
					: render_json(rq, row, NULL, &rq->res->body);
	rq->res->status = 200;
	return r;
}

static int see_item(void *arg, const struct resource_row *row)
{
	struct item *i = arg;

	i->r = respond_row(i->rq, row);
	return 0;
}

static int get_item(struct request *rq)
{
	const struct arm_type *type = rq->route.type;
	struct item item = {.rq = rq};
	auto_free char *parent = NULL;
	int r;

	if (type->get || !route_stored(type)) {
		r = parent_check(rq, false, &parent);
		if (r < 0)
			return r;
		return type->get ? computed(rq, type->get) : not_allowed(rq);
	}
	/* What exists has a parent. Only the answer to what does not asks for more rows. */
	r = resource_look(rq->arm->config.meta, rq->route.id.key, see_item, &item, &rq->err);
	if (r == -ENOENT) {
		err_done(&rq->err);
		r = parent_check(rq, false, &parent);
		return r < 0 ? r : not_found(rq);
	}
	return r < 0 ? r : item.r;
}

int request_get(struct request *rq)
{
	const struct arm_type *type = rq->route.type;
	auto_free char *parent = NULL;
	int r;

	if (rq->route.kind == ROUTE_ITEM)
		return get_item(rq);
	r = parent_check(rq, false, &parent);
	if (r < 0)
		return r;
	if (type->list)
		return computed(rq, type->list);
	return route_stored(type) ? list_stored(rq) : not_allowed(rq);
}

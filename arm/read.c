/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/internal.h"

#include "arm/text.h"
#include "base/hash.h"
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

static int get_item(struct request *rq)
{
	const struct arm_type *type = rq->route.type;
	auto_resource struct resource res = {0};
	auto_free char *parent = NULL;
	int r;

	if (type->get || !route_stored(type)) {
		r = parent_check(rq, false, &parent);
		if (r < 0)
			return r;
		return type->get ? computed(rq, type->get) : not_allowed(rq);
	}
	/* What exists has a parent. Only the answer to what does not asks for more rows. */
	r = resource_get(rq->arm->config.meta, rq->route.id.key, &res, &rq->err);
	if (r == -ENOENT) {
		err_done(&rq->err);
		r = parent_check(rq, false, &parent);
		return r < 0 ? r : not_found(rq);
	}
	if (r < 0)
		return r;
	if (rq->req->if_none_match && etag_matches(rq->req->if_none_match, &res)) {
		rq->res->status = 304;
		rq->res->etag = etag_text(res.revision);
		return rq->res->etag ? 0 : -ENOMEM;
	}
	return respond_resource(rq, &res, 200);
}

/* ---- Lists -------------------------------------------------------------------------------- */

static int page_size(struct request *rq, unsigned *ret)
{
	const char *top = target_query(&rq->target, "$top");
	char *end;
	unsigned long n;

	*ret = ARM_PAGE;
	if (!top || !*top)
		return 0;
	errno = 0;
	n = strtoul(top, &end, 10);
	if (errno != 0 || *end || top[0] < '0' || top[0] > '9' || n == 0) {
		(void) err_set(&rq->err, -EINVAL,
			       "\"$top\": \"%.40s\" is given, a positive number is expected", top);
		err_target(&rq->err, "$top");
		return -EINVAL;
	}
	*ret = n > ARM_PAGE_MAX ? ARM_PAGE_MAX : (unsigned) n;
	return 0;
}

/* The token is the sort key of the last item, in hex so that nobody takes it for more. */
static int token_decode(struct request *rq, char **ret)
{
	const char *token = target_query(&rq->target, "$skiptoken");
	size_t n = token ? strlen(token) : 0;
	char *s;

	*ret = NULL;
	if (n == 0)
		return 0;
	s = n % 2 == 0 && n <= 4 * ARM_ID_MAX ? calloc(1, n / 2 + 1) : NULL;
	if (!s || hex_decode(token, s, n / 2) < 0 || strlen(s) != n / 2) {
		free(s);
		(void) err_set(&rq->err, -EINVAL, "\"$skiptoken\" is not one that a list gave out");
		err_target(&rq->err, "$skiptoken");
		return -EINVAL;
	}
	*ret = s;
	return 0;
}

static char *next_link(struct request *rq, const char *sort)
{
	auto_buf struct buf b = BUF_INIT(4 * TARGET_MAX);
	auto_free char *hex = malloc(2 * strlen(sort) + 1), *relative = NULL;

	if (!hex)
		return NULL;
	hex_encode(sort, strlen(sort), hex);
	(void) buf_addf(&b, "%s?", rq->target.path);
	for (size_t i = 0; i < rq->target.n_query; i++) {
		if (str_eq(rq->target.query[i].key, "$skiptoken"))
			continue;
		(void) percent_encode(&b, rq->target.query[i].key, "$");
		(void) buf_addch(&b, '=');
		(void) percent_encode(&b, rq->target.query[i].value, "$");
		(void) buf_addch(&b, '&');
	}
	(void) buf_addf(&b, "$skiptoken=%s", hex);
	relative = buf_take(&b);
	return relative ? url_absolute(rq, relative) : NULL;
}

static int respond_page(struct request *rq, struct resource *rows, size_t n, bool more)
{
	auto_json json_t *value = json_array();
	int r = value ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && r >= 0; i++) {
		json_t *doc = NULL;

		r = view_doc(rq, &rows[i], &doc);
		if (r >= 0 && json_array_append_new(value, doc) < 0)
			r = -ENOMEM;
	}
	if (r < 0)
		return r;
	rq->res->body = json_pack("{s:O}", "value", value);
	if (!rq->res->body)
		return -ENOMEM;
	if (more) {
		auto_free char *link = next_link(rq, rows[n - 1].sort);

		if (!link || json_object_set_new(rq->res->body, "nextLink", json_string(link)) < 0)
			return -ENOMEM;
	}
	rq->res->status = 200;
	return 0;
}

/* A list that ignored a filter would be wrong, not incomplete. Clients send empty ones. */
static int refuse_filter(struct request *rq)
{
	const char *filter = target_query(&rq->target, "$filter");

	if (!filter || !*filter)
		return 0;
	(void) err_set(&rq->err, -EINVAL, "\"$filter\": lists of %s cannot be filtered",
		       rq->route.type->name);
	err_target(&rq->err, "$filter");
	err_arm(&rq->err, "InvalidFilterInQueryString");
	return -EINVAL;
}

static int list_stored(struct request *rq)
{
	auto_free char *type = str_lower(rq->route.type->name), *after = NULL;
	auto_free char *under = str_lower(rq->route.id.parent);
	struct resource_query q = {.type = type, .under = under};
	struct resource *rows = NULL;
	size_t n = 0;
	bool more;
	int r;

	if (!type || !under)
		return err_set(&rq->err, -ENOMEM, "out of memory");
	r = refuse_filter(rq);
	if (r >= 0)
		r = page_size(rq, &q.limit);
	if (r >= 0)
		r = token_decode(rq, &after);
	if (r < 0)
		return r;
	q.after = after;
	q.limit++; /* one more tells whether there is a next page */
	if (q.limit > RESOURCE_PAGE_MAX)
		q.limit = RESOURCE_PAGE_MAX;
	r = resource_list(rq->arm->config.meta, &q, &rows, &n, &rq->err);
	if (r < 0)
		return r;
	more = n == q.limit;
	r = respond_page(rq, rows, more ? n - 1 : n, more);
	resources_free(rows, n);
	return r;
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

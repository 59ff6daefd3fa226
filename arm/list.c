/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of rows: what the caller may read of them, $filter, pages. Rows are read in batches and
 * left out one by one; after ARM_SCAN rows a page ends, perhaps empty, and its nextLink goes on.
 */
#include "arm/filter.h"
#include "arm/internal.h"
#include "arm/text.h"
#include "base/hash.h"
#include "base/mem.h"

#define ARM_SCAN 20000 /* rows that one page looks at */

struct listing {
	struct request *rq;
	struct arm_call *c; /* of a list hook; NULL for a plain collection */
	const struct arm_list *spec;
	const struct arm_filter_field *fields;
	struct filter *filter; /* NULL = none */
	const json_t *doc;     /* the row that is being judged */
	unsigned top;
	bool as_text;
	json_t *value;   /* the items, unless as text */
	struct buf text; /* the answer so far */
	size_t n;        /* items */
	size_t seen;     /* rows that were looked at */
	size_t batch;    /* of the current statement */
	struct buf last; /* place of the last row that was looked at; empty = none */
	bool more;       /* rows follow after it */
	int r;           /* of the row that ended a statement */
};

static int no_memory(struct request *rq)
{
	return err_set(&rq->err, -ENOMEM, "out of memory");
}

/* ---- Options ------------------------------------------------------------------------------ */

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

/* The token is the place of the last row, in hex so that nobody takes it for more. */
int list_token(struct request *rq, char **ret)
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

char *list_next_link(struct request *rq, const char *token)
{
	auto_buf struct buf b = BUF_INIT(4 * TARGET_MAX);
	auto_free char *hex = malloc(2 * strlen(token) + 1), *relative = NULL;

	if (!hex)
		return NULL;
	hex_encode(token, strlen(token), hex);
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

static const struct arm_filter_field *field_of(const struct listing *l, const char *name)
{
	for (const struct arm_filter_field *f = l->fields; f && f->name; f++)
		if (str_eq_nocase(f->name, name))
			return f;
	return NULL;
}

/* A list that ignored a filter would be wrong, not incomplete. Clients send empty ones. */
static int take_filter(struct listing *l)
{
	const char *text = target_query(&l->rq->target, "$filter");
	int r;

	if (!text || !text[strspn(text, " ")])
		return 0;
	r = filter_parse(text, &l->filter, &l->rq->err);
	for (size_t i = 0; r >= 0 && i < filter_n_terms(l->filter); i++) {
		const struct filter_term *t = filter_term(l->filter, i);
		const struct arm_filter_field *f = field_of(l, t->name);

		if (!f || (f->path && t->op == FILTER_CALL))
			r = filter_unsupported(t, &l->rq->err);
	}
	return r;
}

/* ---- One row ------------------------------------------------------------------------------ */

static int test(void *arg, const struct filter_term *t)
{
	struct listing *l = arg;
	const struct arm_filter_field *f = field_of(l, t->name);

	if (!f->path)
		return l->spec->test(l->c, l->filter, t, l->doc, &l->rq->err);
	return filter_compare(t, json_str_at(l->doc, f->path));
}

/* A grant on the list's own scope covers all of its rows. */
static int readable(struct listing *l, const char *key, const struct arm_type *type)
{
	struct request *rq = l->rq;
	auto_free char *action = NULL;
	struct err err = ERR_INIT;
	int r;

	if ((!l->c && !rq->partial) || (l->spec && l->spec->judged))
		return 1;
	action = strf("%s/read", type_policy(type));
	if (!action)
		return no_memory(rq);
	r = arm_may(rq->arm, rq->req->who, action, key, &err);
	if (r < 0 && r != -EACCES)
		err_move(&rq->err, &err);
	err_done(&err);
	return r == -EACCES ? 0 : r < 0 ? r : 1;
}

static int place(struct listing *l, const char *at)
{
	buf_clear(&l->last);
	return buf_addstr(&l->last, at) < 0 ? no_memory(l->rq) : 0;
}

/* ---- Rows that a hook lists: read first, so that the hook may do whatever it needs ---------- */

static int wanted(struct listing *l, const struct resource *row, const struct arm_type *type)
{
	int r = 1;

	l->doc = row->doc;
	if (l->spec->keep)
		r = l->spec->keep(l->c, row->doc, &l->rq->err);
	if (r > 0)
		r = filter_match(l->filter, test, l);
	if (r > 0)
		r = readable(l, row->key, type);
	return r;
}

static int show(struct listing *l, struct resource *row)
{
	json_t *doc = NULL;
	int r = 0;

	if (l->spec->show) {
		doc = json_deep_copy(row->doc);
		r = doc ? l->spec->show(l->c, &doc, &l->rq->err) : no_memory(l->rq);
	} else {
		r = view_doc(l->rq, row, &doc);
	}
	if (r < 0) {
		json_decref(doc);
		return r;
	}
	l->n++;
	return json_array_append_new(l->value, doc) < 0 ? no_memory(l->rq) : 0;
}

/* Rows of one batch until the page is full. */
static int read_rows(struct listing *l, const struct resource_query *q)
{
	struct resource *rows = NULL;
	size_t n = 0;
	int r = resource_list(l->rq->arm->config.meta, q, &rows, &n, &l->rq->err);

	for (size_t i = 0; i < n && r >= 0; i++) {
		const struct arm_type *type = route_type(l->rq->arm, rows[i].type);

		l->more = l->n >= l->top;
		if (l->more)
			break;
		r = type ? wanted(l, &rows[i], type) : 0;
		if (r > 0)
			r = show(l, &rows[i]);
		if (r >= 0)
			r = place(l, q->by_key ? rows[i].key : rows[i].sort);
		l->seen++;
	}
	resources_free(rows, n);
	l->more = l->more || n == q->limit;
	return r;
}

/* ---- Rows of a plain collection: taken while the statement stands on them ------------------- */

static int add_text(struct listing *l, const struct resource_row *row, json_t *doc)
{
	struct arm_text *t = NULL;
	int r = render_text(l->rq, row, doc, &t);

	if (r < 0)
		return r;
	if (l->n > 0)
		(void) buf_addch(&l->text, ',');
	r = buf_add(&l->text, t->bytes, t->n);
	arm_text_unref(t);
	return r < 0 ? no_memory(l->rq) : 0;
}

static int add_json(struct listing *l, const struct resource_row *row, json_t *doc)
{
	json_t *seen = NULL;
	int r = render_json(l->rq, row, doc, &seen);

	if (r < 0)
		return r;
	return json_array_append_new(l->value, seen) < 0 ? no_memory(l->rq) : 0;
}

static int take_row(struct listing *l, const struct resource_row *row)
{
	auto_json json_t *doc = NULL;
	int r = 1;

	if (l->filter) {
		r = resource_row_doc(row, &doc);
		if (r < 0)
			return err_set(&l->rq->err, r, "the row \"%.300s\": %s", row->key,
				       strerrordesc_np(-r));
		l->doc = doc;
		r = filter_match(l->filter, test, l);
	}
	if (r > 0)
		r = readable(l, row->key, l->rq->route.type);
	if (r <= 0)
		return r;
	r = l->as_text ? add_text(l, row, take_ptr(doc)) : add_json(l, row, take_ptr(doc));
	l->n++;
	return r;
}

/* A failure is kept aside: what failed is not the query. */
static int see_row(void *arg, const struct resource_row *row)
{
	struct listing *l = arg;

	l->more = l->n >= l->top;
	if (l->more)
		return 1;
	l->r = take_row(l, row);
	if (l->r >= 0)
		l->r = place(l, row->sort);
	l->seen++;
	l->batch++;
	return l->r < 0 ? 1 : 0;
}

static int scan_rows(struct listing *l, const struct resource_query *q)
{
	int r;

	l->batch = 0;
	r = resource_scan(l->rq->arm->config.meta, q, see_row, l, &l->rq->err);
	l->more = l->more || l->batch == q->limit;
	return r < 0 ? r : l->r;
}

/* ---- Pages -------------------------------------------------------------------------------- */

static int scan(struct listing *l, struct resource_query *q)
{
	for (;;) {
		size_t room = l->top - l->n;
		int r;

		q->after = l->last.len > 0 ? l->last.data : NULL;
		/* one more tells whether there is a next page */
		q->limit = room >= RESOURCE_PAGE_MAX ? RESOURCE_PAGE_MAX : (unsigned) room + 1;
		if (l->filter || l->rq->partial || l->c)
			q->limit = RESOURCE_PAGE_MAX / 2;
		l->more = false;
		r = l->c ? read_rows(l, q) : scan_rows(l, q);
		if (r < 0 || !l->more || l->n >= l->top || l->seen >= ARM_SCAN)
			return r;
	}
}

static int end_text(struct listing *l)
{
	size_t n;

	if (l->more) {
		auto_free char *link = list_next_link(l->rq, buf_str(&l->last));
		auto_json json_t *j = link ? json_string(link) : NULL;
		auto_free char *text = j ? json_compact(j) : NULL;

		if (!text)
			return no_memory(l->rq);
		(void) buf_addf(&l->text, "],\"nextLink\":%s}", text);
	} else {
		(void) buf_addstr(&l->text, "]}");
	}
	n = l->text.len;
	l->rq->res->text = text_take(buf_take(&l->text), n);
	return l->rq->res->text ? 0 : no_memory(l->rq);
}

static int end_json(struct listing *l, json_t **ret)
{
	*ret = json_pack("{s:O}", "value", l->value);
	if (*ret && l->more) {
		auto_free char *link = list_next_link(l->rq, buf_str(&l->last));

		if (!link || json_object_set_new(*ret, "nextLink", json_string(link)) < 0) {
			json_decref(*ret);
			*ret = NULL;
		}
	}
	return *ret ? 0 : no_memory(l->rq);
}

static int run(struct listing *l, const char *type, const char *under, json_t **ret)
{
	auto_free char *low_type = type ? str_lower(type) : NULL, *low = str_lower(under);
	const char *named = l->spec ? l->spec->named : NULL;
	struct resource_query q = {
		.type = low_type, .under = low, .named = named, .by_key = !type || named};
	auto_free char *after = NULL;
	int r;

	if ((type && !low_type) || !low)
		return no_memory(l->rq);
	r = take_filter(l);
	if (r >= 0)
		r = page_size(l->rq, &l->top);
	if (r >= 0)
		r = list_token(l->rq, &after);
	if (r >= 0 && after)
		r = place(l, after);
	if (r >= 0)
		r = scan(l, &q);
	if (r < 0)
		return r;
	return l->as_text ? end_text(l) : end_json(l, ret);
}

static int list(struct listing *l, const char *type, const char *under, json_t **ret)
{
	int r = 0;

	l->last = BUF_INIT(SIZE_MAX / 4);
	l->text = BUF_INIT(SIZE_MAX / 4);
	if (l->as_text)
		(void) buf_addstr(&l->text, "{\"value\":[");
	else
		l->value = json_array();
	if (!l->as_text && !l->value)
		r = no_memory(l->rq);
	if (r >= 0)
		r = run(l, type, under, ret);
	json_decref(l->value);
	filter_free(l->filter);
	buf_done(&l->last);
	buf_done(&l->text);
	return r;
}

int list_stored(struct request *rq)
{
	struct listing l = {
		.rq = rq, .fields = rq->route.type->filters, .as_text = rq->req->takes_text};

	rq->res->status = 200;
	return list(&l, rq->route.type->name, rq->route.id.parent, &rq->res->body);
}

int arm_call_list(struct arm_call *c, const struct arm_list *spec, struct err *err)
{
	struct request *rq = (struct request *) (uintptr_t) c->priv->rq;
	struct listing l = {.rq = rq, .c = c, .spec = spec, .fields = spec->fields};
	int r = list(&l, spec->type, spec->under, &c->result);

	if (r < 0 && err != &rq->err)
		err_move(err, &rq->err);
	return r;
}

/* ---- Lists that hooks make by themselves -------------------------------------------------- */

int arm_call_token(struct arm_call *c, char **ret, struct err *err)
{
	struct request *rq = (struct request *) (uintptr_t) c->priv->rq;
	int r = list_token(rq, ret);

	if (r < 0 && err != &rq->err)
		err_move(err, &rq->err);
	return r;
}

int arm_call_next(struct arm_call *c, const char *token, struct err *err)
{
	struct request *rq = (struct request *) (uintptr_t) c->priv->rq;
	auto_free char *link = list_next_link(rq, token);

	if (!link || json_object_set_new(c->result, "nextLink", json_string(link)) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

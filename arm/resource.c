/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/internal.h"

#include <ctype.h>

#include "base/mem.h"
#include "base/timeutil.h"

static json_t *optional(const char *s)
{
	return s ? json_text(s, strlen(s)) : json_null();
}

static json_t *system_data(const json_t *old, const struct arm_principal *who)
{
	const json_t *before = json_object_get(old, "systemData");
	json_t *j = before ? json_deep_copy(before) : json_object();
	char now[ISO_MAX];
	static const char *const first[] = {"createdBy", "createdByType", "createdAt"};
	static const char *const last[] = {"lastModifiedBy", "lastModifiedByType",
					   "lastModifiedAt"};

	(void) time_iso(time_now_us(), now);
	for (int i = before ? 1 : 0; j && i < 2; i++) {
		const char *const *k = i == 0 ? first : last;

		if (json_object_set_new(j, k[0], optional(who ? who->name : NULL)) < 0 ||
		    json_object_set_new(j, k[1], optional(who ? who->kind : NULL)) < 0 ||
		    json_object_set_new(j, k[2], json_string(now)) < 0) {
			json_decref(j);
			return NULL;
		}
	}
	return j;
}

int doc_identify(json_t *doc, const struct arm_type *type, const char *id, const char *name,
		 const json_t *old, const struct arm_principal *who)
{
	if (json_object_set_new(doc, "id", json_string(id)) < 0 ||
	    json_object_set_new(doc, "name", json_string(name)) < 0 ||
	    json_object_set_new(doc, "type", json_string(type->name)) < 0 ||
	    json_object_set_new(doc, "systemData", system_data(old, who)) < 0)
		return -ENOMEM;
	return 0;
}

int state_set(json_t *doc, const char *state)
{
	return json_set_at(doc, "properties.provisioningState", json_string(state));
}

/* "/providers/NS/type" below a scope, "/type" below a resource, with the table's spelling. */
static char *below(const struct arm_type *type, const struct arm_id *id, const char *parent)
{
	const char *slash = strrchr(type->name, '/');
	int ns = (int) strcspn(type->name, "/");

	if (str_eq_nocase(type->name, "Microsoft.Resources/resourceGroups"))
		return strf("%s/resourceGroups/%s", parent, id->name);
	if (id->n_names > 1 || !strstr(id->text, "/providers/"))
		return strf("%s/%s/%s", parent, slash + 1, id->name);
	return strf("%s/providers/%.*s/%s/%s", parent, ns, type->name, slash + 1, id->name);
}

int resource_init(struct resource *res, const struct arm_type *type, const struct arm_id *id,
		  const char *parent, const char *api_version, struct err *err)
{
	auto_free char *own = type->sort_key ? type->sort_key(id->name) : str_lower(id->name);
	auto_free char *up = str_lower(parent);

	*res = (struct resource){0};
	res->id = below(type, id, parent);
	res->key = res->id ? str_lower(res->id) : NULL;
	res->type = str_lower(type->name);
	res->api_version = strdup(api_version);
	res->sort = own && up ? strf("%s/%s", up, own) : NULL;
	if (res->key && res->type && res->api_version && res->sort)
		return 0;
	resource_done(res);
	return err_set(err, -ENOMEM, "out of memory");
}

char *arm_sort_key_version(const char *name)
{
	struct buf b = BUF_INIT(4096);
	const char *p = name;

	/* Each number behind its count of digits: "2:10" comes after "1:9". */
	while (isdigit((unsigned char) *p)) {
		size_t n;

		while (p[0] == '0' && isdigit((unsigned char) p[1]))
			p++;
		n = strspn(p, "0123456789");
		(void) buf_addf(&b, "%03zu:%.*s.", n, (int) n, p);
		p += n;
		if (*p == '\0')
			return buf_take(&b);
		if (*p++ != '.')
			break;
	}
	buf_done(&b);
	b = BUF_INIT(4096);
	(void) buf_addch(&b, '~');
	for (p = name; *p; p++)
		(void) buf_addch(&b, (char) tolower((unsigned char) *p));
	return buf_take(&b);
}

/* The parent's id with the case it was first given. */
static int stored_parent(struct arm *arm, const struct arm_id *id, char **ret, struct err *err)
{
	auto_resource struct resource parent = {0};
	auto_free char *key = str_lower(id->parent);
	int r = key ? resource_get(arm->config.meta, key, &parent, err) : -ENOMEM;

	if (r == -ENOENT) {
		err_done(err); /* a subscription, or what no row stands for */
		*ret = strdup(id->parent);
		return *ret ? 0 : -ENOMEM;
	}
	*ret = r < 0 ? NULL : take_ptr(parent.id);
	return r;
}

static int store(struct arm *arm, const struct arm_principal *who, const char *id, json_t *doc,
		 struct err *err)
{
	auto_resource struct resource res = {0};
	auto_free char *parent = NULL;
	struct meta *m = arm->config.meta;
	struct route route = {0};
	int r = route_find(arm, id, "PUT", &route, err);

	if (r < 0)
		return r;
	if (route.kind != ROUTE_ITEM || !json_is_object(doc)) {
		route_done(&route);
		return err_set(err, -EINVAL, "\"%.300s\" cannot be written", id);
	}
	r = resource_get(m, route.id.key, &res, err);
	if (r >= 0) {
		r = doc_identify(doc, route.type, res.id, strrchr(res.id, '/') + 1, res.doc, who);
		json_decref(res.doc);
		res.doc = json_incref(doc);
		if (r >= 0)
			r = resource_update(m, &res, true, err);
	} else if (r == -ENOENT) {
		err_done(err);
		r = stored_parent(arm, &route.id, &parent, err);
		if (r >= 0)
			r = resource_init(&res, route.type, &route.id, parent,
					  route.type->first_version, err);
		if (r >= 0)
			r = doc_identify(doc, route.type, res.id, route.id.name, NULL, who);
		res.doc = json_incref(doc);
		if (r >= 0)
			r = resource_create(m, &res, err);
	}
	route_done(&route);
	return r;
}

int resource_store(struct arm *arm, const struct arm_principal *who, const char *id, json_t *doc,
		   struct err *err)
{
	int r = doc ? store(arm, who, id, doc, err) : err_set(err, -ENOMEM, "out of memory");

	json_decref(doc);
	return r;
}

int arm_load(struct arm *arm, const char *id, json_t **ret_doc, struct err *err)
{
	auto_resource struct resource res = {0};
	auto_arm_id struct arm_id parsed = {0};
	int r = arm_id_parse(id, &parsed, err);

	if (r >= 0)
		r = resource_get(arm->config.meta, parsed.key, &res, err);
	if (r == -ENOENT) {
		(void) err_set(err, r, "The resource '%.1000s' was not found.", parsed.text);
		err_arm(err, "ResourceNotFound");
	}
	if (r >= 0)
		*ret_doc = json_incref(res.doc);
	return r;
}

/* One page; *@after is set when there may be another. */
static int each_page(struct arm *arm, const struct resource_query *q, char **after, arm_each_fn *fn,
		     void *arg, struct err *err)
{
	struct resource *rows = NULL;
	size_t n = 0;
	int r = resource_list(arm->config.meta, q, &rows, &n, err);

	free(take_ptr(*after));
	for (size_t i = 0; i < n && r == 0; i++)
		r = fn(arg, rows[i].id, rows[i].doc);
	if (r == 0 && n == q->limit) {
		*after = strdup(q->by_key ? rows[n - 1].key : rows[n - 1].sort);
		r = *after ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	resources_free(rows, n);
	return r;
}

static int each(struct arm *arm, struct resource_query *q, arm_each_fn *fn, void *arg,
		struct err *err)
{
	auto_free char *after = NULL;
	int r;

	do {
		auto_free char *from = take_ptr(after);

		q->after = from;
		r = each_page(arm, q, &after, fn, arg, err);
	} while (r == 0 && after);
	return r;
}

int arm_each(struct arm *arm, const char *type, const char *parent, arm_each_fn *fn, void *arg,
	     struct err *err)
{
	auto_free char *lower = type ? str_lower(type) : NULL, *under = str_lower(parent);
	struct resource_query q = {
		.type = lower, .under = under, .by_key = !type, .limit = ARM_PAGE};

	if ((type && !lower) || !under)
		return err_set(err, -ENOMEM, "out of memory");
	return each(arm, &q, fn, arg, err);
}

int arm_named(struct arm *arm, const char *type, const char *name, arm_each_fn *fn, void *arg,
	      struct err *err)
{
	auto_free char *lower = str_lower(type);
	struct resource_query q = {.type = lower, .named = name, .by_key = true, .limit = ARM_PAGE};

	return lower ? each(arm, &q, fn, arg, err) : err_set(err, -ENOMEM, "out of memory");
}

int arm_each_back(struct arm *arm, const char *type, const char *parent, arm_each_fn *fn, void *arg,
		  struct err *err)
{
	auto_free char *lower = str_lower(type), *under = str_lower(parent);
	struct resource_query q = {
		.type = lower, .under = under, .descending = true, .limit = ARM_PAGE_BACK};

	if (!lower || !under)
		return err_set(err, -ENOMEM, "out of memory");
	return each(arm, &q, fn, arg, err);
}

struct below {
	int (*fn)(void *arg, const char *id, const char *type);
	void *arg;
};

static int call_below(void *arg, const char *id, const json_t *doc)
{
	struct below *b = arg;
	const char *type = json_str_at(doc, "type");

	return b->fn(b->arg, id, type ? type : "");
}

int arm_each_below(struct arm *arm, const char *id,
		   int (*fn)(void *arg, const char *id, const char *type), void *arg,
		   struct err *err)
{
	auto_free char *under = str_lower(id);
	struct below b = {fn, arg};
	struct resource_query q = {
		.under = under, .by_key = true, .descending = true, .limit = ARM_PAGE};

	if (!under)
		return err_set(err, -ENOMEM, "out of memory");
	return each(arm, &q, call_below, &b, err);
}

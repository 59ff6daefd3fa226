/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The little of Microsoft Graph that clients need to tell principals by name: reads of service
 * principals, users and groups. Each object is one resource, and who may not read the resource does
 * not find the object.
 */
#include "arm/filter.h"
#include "arm/text.h"
#include "base/hash.h"
#include "base/mem.h"
#include "login/internal.h"
#include "meta/identity.h"
#include "meta/resources.h"

#define PAGE     100
#define PAGE_MAX 999
#define IDS_MAX  1000
#define CONTEXT  "%s/msgraph/v1.0/$metadata#%s"

struct kind {
	const char *collection; /* in Graph */
	const char *odata;      /* "#microsoft.graph.user" */
	const char *type;       /* of the resource, lower-cased */
	const char *right;      /* to read it */
	const char *login;      /* how identity_by_login() begins */
};

static const struct kind kinds[] = {
	{"servicePrincipals", "servicePrincipal", "kiln.identity/serviceprincipals",
	 "Kiln.Identity/servicePrincipals/read", "app"},
	{"users", "user", "kiln.identity/users", "Kiln.Identity/users/read", "user"},
	{"groups", "group", "kiln.identity/groups", "Kiln.Identity/groups/read", "group"},
};

struct graph {
	struct login_call *call;
	struct login_identity id;
	const struct kind *kind;
};

/* ---- One object ----------------------------------------------------------------------------- */

static const struct kind *kind_of_type(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_eq_nocase(kinds[i].type, type))
			return &kinds[i];
	return NULL;
}

static int copy(json_t *to, const char *name, const json_t *from, const char *path)
{
	json_t *v = json_at(from, path);

	return json_object_set_new(to, name, v ? json_deep_copy(v) : json_null()) < 0 ? -ENOMEM : 0;
}

static int add_kind(const struct kind *k, const json_t *doc, json_t *o)
{
	int r = 0;

	if (str_eq(k->login, "app")) {
		const char *app = json_str_at(doc, "properties.appId");

		r = copy(o, "appId", doc, "properties.appId");
		if (r >= 0)
			r = copy(o, "appDisplayName", doc, "properties.displayName");
		if (r >= 0)
			r = copy(o, "appOwnerOrganizationId", doc, "properties.tenantId");
		if (r >= 0 && (json_object_set_new(o, "servicePrincipalNames",
						   json_pack("[s]", app ? app : "")) < 0 ||
			       json_object_set_new(o, "servicePrincipalType",
						   json_string("Application")) < 0))
			r = -ENOMEM;
	} else if (str_eq(k->login, "user")) {
		r = copy(o, "userPrincipalName", doc, "properties.userPrincipalName");
		if (r >= 0)
			r = copy(o, "mail", doc, "properties.mail");
	} else {
		r = copy(o, "description", doc, "properties.description");
		if (r >= 0 && (json_object_set_new(o, "securityEnabled", json_true()) < 0 ||
			       json_object_set_new(o, "mailEnabled", json_false()) < 0))
			r = -ENOMEM;
	}
	if (r >= 0 && !str_eq(k->login, "group") &&
	    json_object_set_new(o, "accountEnabled",
				json_boolean(!json_bool_at(doc, "properties.disabled", false))) < 0)
		r = -ENOMEM;
	return r;
}

static json_t *object_of(const struct kind *k, const json_t *doc)
{
	json_t *o = json_pack("{s:o}", "@odata.type", json_strf("#microsoft.graph.%s", k->odata));

	if (o && copy(o, "id", doc, "properties.objectId") >= 0 &&
	    copy(o, "displayName", doc, "properties.displayName") >= 0 && add_kind(k, doc, o) >= 0)
		return o;
	json_decref(o);
	return NULL;
}

/* 1 = yes, 0 = no. Of another tenant: no. */
static int readable(struct graph *g, const struct kind *k, const struct resource *res)
{
	const char *tenant = json_str_at(res->doc, "properties.tenantId");
	struct err why = ERR_INIT;
	int r;

	if (!str_eq_nocase(tenant, g->id.who.tenant_id))
		return 0;
	if (str_eq_nocase(json_str_at(res->doc, "properties.objectId"), g->id.who.object_id))
		return 1;
	r = arm_may(g->call->l->config.arm, &g->id.who, k->right, res->id, &why);
	if (r < 0 && r != -EACCES)
		err_move(&g->call->err, &why);
	err_done(&why);
	return r == -EACCES ? 0 : r < 0 ? r : 1;
}

/* 0 with the object, -ENOENT: there is none for this caller. */
static int load(struct graph *g, const char *key, const struct kind *want, json_t **ret)
{
	auto_resource struct resource res = {0};
	const struct kind *k;
	int r = resource_get(g->call->l->meta, key, &res, &g->call->err);

	if (r < 0)
		return r;
	k = kind_of_type(res.type);
	if (!k || (want && k != want))
		return -ENOENT;
	r = readable(g, k, &res);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*ret = object_of(k, res.doc);
	return *ret ? 0 : -ENOMEM;
}

static int by_object(struct graph *g, const char *id, const struct kind *want, json_t **ret)
{
	auto_free char *lower = str_lower(id), *key = NULL;
	int r = lower ? identity_by_object(g->call->l->meta, lower, &key, &g->call->err) : -ENOMEM;

	return r < 0 ? r : load(g, key, want, ret);
}

static int by_login(struct graph *g, const char *login, json_t **ret)
{
	auto_free char *text = strf("%s:%s", g->kind->login, login);
	auto_free char *lower = text ? str_lower(text) : NULL, *key = NULL;
	int r = lower ? identity_by_login(g->call->l->meta, lower, &key, &g->call->err) : -ENOMEM;

	return r < 0 ? r : load(g, key, g->kind, ret);
}

static int respond(struct graph *g, json_t *object, const char *entity)
{
	auto_json json_t *o = object;
	auto_json json_t *body = NULL;

	body = json_pack("{s:o}", "@odata.context", json_strf(CONTEXT, g->call->base, entity));
	if (!o || !body || json_object_update(body, o) < 0)
		return -ENOMEM;
	return reply(g->call, 200, json_incref(body));
}

static int absent(struct graph *g, const char *id)
{
	err_done(&g->call->err);
	return reply_refuse(g->call, -ENOENT, "Request_ResourceNotFound",
			    "Resource '%.100s' does not exist or one of its queried"
			    " reference-property objects are not present.",
			    id);
}

/* ---- Lists ---------------------------------------------------------------------------------- */

struct listing {
	struct graph *g;
	const json_t *doc;
};

static int test_term(void *arg, const struct filter_term *t)
{
	static const char *const fields[][2] = {
		{"id", "objectId"},
		{"appId", "appId"},
		{"displayName", "displayName"},
		{"appDisplayName", "displayName"},
		{"userPrincipalName", "userPrincipalName"},
		{"mail", "mail"},
	};
	const struct listing *l = arg;
	bool starts =
		t->op == FILTER_CALL && str_eq_nocase(t->name, "startswith") && t->n_args == 2;
	const char *field = starts ? t->args[0] : t->name;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		auto_free char *path = strf("properties.%s", fields[i][1]);
		const char *v = path ? json_str_at(l->doc, path) : NULL;

		if (!str_eq_nocase(fields[i][0], field))
			continue;
		if (starts)
			return v && strncasecmp(v, t->args[1], strlen(t->args[1])) == 0;
		if (t->op == FILTER_EQ)
			return v && str_eq_nocase(v, t->args[0]);
		break;
	}
	return filter_unsupported(t, &l->g->call->err);
}

static unsigned page_size(const struct graph *g)
{
	const char *top = target_query(&g->call->target, "$top");
	unsigned long n = top ? strtoul(top, NULL, 10) : PAGE;

	return n == 0 ? PAGE : n > PAGE_MAX ? PAGE_MAX : (unsigned) n;
}

static int decode_token(struct graph *g, char **ret)
{
	const char *hex = target_query(&g->call->target, "$skiptoken");
	size_t n = hex ? strlen(hex) : 0;

	if (n == 0)
		return 0;
	*ret = calloc(1, n / 2 + 1);
	if (!*ret)
		return -ENOMEM;
	if (n % 2 || n > 4096 || hex_decode(hex, *ret, n / 2) < 0)
		return reply_refuse(g->call, -EINVAL, "Request_BadRequest",
				    "The $skiptoken is not one that a list gave out.");
	return 0;
}

static int add_next(struct graph *g, json_t *body, const char *sort)
{
	const char *filter = target_query(&g->call->target, "$filter");
	auto_free char *hex = malloc(2 * strlen(sort) + 1);
	auto_buf struct buf b = BUF_INIT(65536);

	if (!hex)
		return -ENOMEM;
	hex_encode(sort, strlen(sort), hex);
	(void) buf_addf(&b, "%s/msgraph/v1.0/%s?$top=%u&", g->call->base, g->kind->collection,
			page_size(g));
	if (filter) {
		(void) buf_addstr(&b, "$filter=");
		(void) percent_encode(&b, filter, "");
		(void) buf_addch(&b, '&');
	}
	(void) buf_addf(&b, "$skiptoken=%s", hex);
	if (buf_err(&b) < 0)
		return buf_err(&b);
	return json_object_set_new(body, "@odata.nextLink", json_string(buf_str(&b))) < 0 ? -ENOMEM
											  : 0;
}

/* Those of a page of rows that fit and may be read. */
static int take_rows(struct graph *g, const struct filter *f, const struct resource *rows, size_t n,
		     json_t *value)
{
	for (size_t i = 0; i < n; i++) {
		struct listing l = {g, rows[i].doc};
		json_t *o;
		int r = filter_match(f, test_term, &l);

		if (r > 0)
			r = readable(g, g->kind, &rows[i]);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		o = object_of(g->kind, rows[i].doc);
		if (!o || json_array_append_new(value, o) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int list_page(struct graph *g, const struct filter *f, json_t *body)
{
	auto_free char *after = NULL;
	struct resource_query q = {.type = g->kind->type, .limit = page_size(g) + 1};
	struct resource *rows = NULL;
	size_t n = 0, shown;
	int r = decode_token(g, &after);

	q.after = after;
	if (r >= 0)
		r = resource_list(g->call->l->meta, &q, &rows, &n, &g->call->err);
	if (r < 0)
		return r;
	shown = n < q.limit ? n : n - 1;
	r = take_rows(g, f, rows, shown, json_object_get(body, "value"));
	if (r >= 0 && n == q.limit)
		r = add_next(g, body, rows[shown - 1].sort);
	resources_free(rows, n);
	return r;
}

/* "servicePrincipalNames/any(c:c eq 'ID')": the name of its literal; caller frees. */
static char *any_name(const char *filter)
{
	static const char begin[] = "servicePrincipalNames/any(";
	const char *quote, *end;

	if (strncasecmp(filter, begin, sizeof(begin) - 1) != 0)
		return NULL;
	quote = strchr(filter, '\'');
	end = quote ? strchr(quote + 1, '\'') : NULL;
	if (!end || !str_eq(end + 1, ")"))
		return NULL;
	return strndup(quote + 1, (size_t) (end - quote - 1));
}

/* What clients ask for in the first place costs one look-up. */
static int list_one(struct graph *g, const char *login, json_t *body)
{
	json_t *o = NULL;
	int r = by_login(g, login, &o);

	if (r == -ENOENT) {
		err_done(&g->call->err);
		return 0;
	}
	if (r >= 0 && json_array_append_new(json_object_get(body, "value"), o) < 0)
		r = -ENOMEM;
	return r;
}

static int list(struct graph *g)
{
	const char *text = target_query(&g->call->target, "$filter");
	auto_free char *name = text ? any_name(text) : NULL;
	auto_filter struct filter *f = NULL;
	auto_json json_t *body =
		json_pack("{s:o, s:[]}", "@odata.context",
			  json_strf(CONTEXT, g->call->base, g->kind->collection), "value");
	int r = body ? 0 : -ENOMEM;

	if (r >= 0 && name)
		r = list_one(g, name, body);
	if (r >= 0 && !name && text && *text)
		r = filter_parse(text, &f, &g->call->err);
	if (r >= 0 && !name)
		r = list_page(g, f, body);
	return r < 0 ? r : reply(g->call, 200, json_incref(body));
}

/* ---- Requests ------------------------------------------------------------------------------- */

static int get_by_ids(struct graph *g)
{
	auto_json json_t *in = NULL;
	auto_json json_t *body =
		json_pack("{s:o, s:[]}", "@odata.context",
			  json_strf(CONTEXT, g->call->base, "directoryObjects"), "value");
	const json_t *ids;
	int r = json_parse(g->call->req->body ? g->call->req->body : "", g->call->req->body_bytes,
			   &in, &g->call->err);

	if (r < 0 || !body)
		return r < 0 ? r : -ENOMEM;
	ids = json_object_get(in, "ids");
	if (!json_is_array(ids) || json_array_size(ids) > IDS_MAX)
		return reply_refuse(g->call, -EINVAL, "Request_BadRequest",
				    "\"ids\": a list of at most %d object ids is expected.",
				    IDS_MAX);
	for (size_t i = 0; i < json_array_size(ids); i++) {
		const char *id = json_string_value(json_array_get(ids, i));
		json_t *o = NULL;

		r = id ? by_object(g, id, NULL, &o) : -ENOENT;
		if (r == -ENOENT) {
			err_done(&g->call->err);
			continue;
		}
		if (r < 0)
			return r;
		if (json_array_append_new(json_object_get(body, "value"), o) < 0)
			return -ENOMEM;
	}
	return reply(g->call, 200, json_incref(body));
}

/* ID, or for service principals (appId='ID'); users also by name. */
static int get_one(struct graph *g, char *id)
{
	size_t n = strlen(id);
	json_t *o = NULL;
	int r;

	if (strncasecmp(id, "(appId='", 8) == 0 && n > 10 && str_eq(id + n - 2, "')")) {
		id[n - 2] = '\0';
		r = by_login(g, id + 8, &o);
	} else {
		r = by_object(g, id, g->kind, &o);
		if (r == -ENOENT && str_eq(g->kind->login, "user"))
			r = by_login(g, id, &o);
	}
	if (r == -ENOENT)
		return absent(g, id);
	return r < 0 ? r : respond(g, o, g->kind->collection);
}

static int get_members(struct graph *g, const char *id)
{
	auto_json json_t *group = NULL;
	auto_json json_t *body = json_pack("{s:[]}", "value");
	auto_strv char **members = NULL;
	auto_free char *lower = str_lower(id);
	int r = by_object(g, id, g->kind, &group);

	if (r == -ENOENT)
		return absent(g, id);
	if (r >= 0)
		r = body && lower
			    ? identity_members(g->call->l->meta, lower, &members, &g->call->err)
			    : -ENOMEM;
	for (char **m = members; r >= 0 && m && *m; m++) {
		json_t *o = NULL;

		r = by_object(g, *m, NULL, &o);
		if (r >= 0 && json_array_append_new(json_object_get(body, "value"), o) < 0)
			r = -ENOMEM;
		if (r == -ENOENT)
			r = 0;
	}
	return r < 0 ? r : reply(g->call, 200, json_incref(body));
}

static int route(struct graph *g, char *path)
{
	bool reads = !str_eq(g->call->req->method, "POST");
	char *rest;

	if (!reads)
		return str_eq_nocase(path, "directoryObjects/getByIds") ? get_by_ids(g) : -ENOSYS;
	if (str_eq_nocase(path, "me")) {
		json_t *o = NULL;
		int r = by_object(g, g->id.who.object_id, NULL, &o);

		return r < 0 ? r : respond(g, o, "users/$entity");
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && !g->kind; i++) {
		size_t n = strlen(kinds[i].collection);

		if (strncasecmp(path, kinds[i].collection, n) != 0 || !strchr("/(", path[n]))
			continue;
		g->kind = &kinds[i];
		path += n;
	}
	if (!g->kind)
		return -ENOSYS;
	if (!*path || str_eq(path, "/"))
		return list(g);
	path += *path == '/';
	rest = strchr(path, '/');
	if (!rest)
		return get_one(g, path);
	*rest = '\0';
	if (str_eq(g->kind->login, "group") && str_eq_nocase(rest + 1, "members"))
		return get_members(g, path);
	return -ENOSYS;
}

static int authenticate(struct graph *g)
{
	struct login_call *c = g->call;
	const char *header =
		c->req->header ? c->req->header(c->req->header_arg, "Authorization") : NULL;
	int r = login_authenticate(c->l, header, &g->id, &c->err);

	if (r == -EACCES) {
		auto_free char *challenge = login_challenge(c->l, c->base, &c->err);

		if (challenge)
			(void) reply_header(c, "WWW-Authenticate", challenge);
	}
	return r;
}

int graph_endpoint(struct login_call *c)
{
	auto_free char *path = strdup(c->rest);
	struct graph g = {.call = c};
	int r = path ? authenticate(&g) : -ENOMEM;

	if (r >= 0 && percent_decode(path, false) < 0)
		r = reply_refuse(c, -EINVAL, "Request_BadRequest", "The path is malformed.");
	if (r >= 0)
		r = route(&g, path);
	if (r == -ENOSYS)
		r = reply_refuse(c, -ENOENT, "Request_ResourceNotFound",
				 "Only reads of servicePrincipals, users, groups (with members), me"
				 " and directoryObjects/getByIds are served here.");
	login_identity_done(&g.id);
	return r;
}

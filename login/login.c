/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, and which endpoint a request belongs to: one table. */
#include "login/login.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/internal.h"
#include "meta/identity.h"

struct endpoint {
	const char *method; /* "*": the endpoint decides */
	const char *path;   /* "*" stands for a tenant; a slash at the end: whatever follows */
	enum reply_style style;
	endpoint_fn *fn;
};

static const struct endpoint endpoints[] = {
	{"GET", "/metadata/endpoints", REPLY_ARM, metadata_endpoints},
	{"GET", "/metadata/aliases.json", REPLY_ARM, metadata_aliases},
	{"GET", "/common/discovery/instance", REPLY_OAUTH, metadata_instance},
	{"GET", "/adfs/.well-known/openid-configuration", REPLY_OAUTH, metadata_openid},
	{"GET", "/adfs/adfs/.well-known/openid-configuration", REPLY_OAUTH, metadata_openid},
	{"GET", "/*/.well-known/openid-configuration", REPLY_OAUTH, metadata_openid},
	{"GET", "/*/v2.0/.well-known/openid-configuration", REPLY_OAUTH, metadata_openid},
	{"GET", "/adfs/discovery/keys", REPLY_OAUTH, keys_endpoint},
	{"GET", "/*/discovery/v2.0/keys", REPLY_OAUTH, keys_endpoint},
	{"GET", "/*/discovery/keys", REPLY_OAUTH, keys_endpoint},
	{"GET", "/adfs/oauth2/authorize", REPLY_OAUTH, metadata_authorize},
	{"GET", "/*/oauth2/authorize", REPLY_OAUTH, metadata_authorize},
	{"POST", "/adfs/oauth2/token", REPLY_OAUTH, token_endpoint},
	{"POST", "/adfs/oauth2/v2.0/token", REPLY_OAUTH, token_endpoint},
	{"POST", "/adfs/adfs/oauth2/token", REPLY_OAUTH, token_endpoint},
	{"POST", "/*/oauth2/v2.0/token", REPLY_OAUTH, token_endpoint},
	{"POST", "/*/oauth2/token", REPLY_OAUTH, token_endpoint},
	{"*", "/msgraph/v1.0/", REPLY_ARM, graph_endpoint},
	{"*", "/v1.0/", REPLY_ARM, graph_endpoint},
};

int login_open(const struct login_config *c, struct login **ret, struct err *err)
{
	struct login *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_set(err, -ENOMEM, "login");
	r = pthread_mutex_init(&l->lock, NULL);
	if (r != 0) {
		free(l);
		return err_set(err, -r, "login");
	}
	l->config = *c;
	l->config.dir = strdup(c->dir);
	l->config.endpoint = strdup(c->endpoint);
	l->meta = arm_config(c->arm)->meta;
	l->tenant_id = arm_config(c->arm)->tenant_id;
	r = l->config.dir && l->config.endpoint ? 0 : -ENOMEM;
	if (r >= 0)
		r = guard_new(&l->guard);
	if (r >= 0)
		r = jwks_new(&l->jwks);
	if (r >= 0)
		r = sessions_new(&l->sessions);
	if (r < 0)
		(void) err_set(err, r, "login: %s", strerrordesc_np(-r));
	else
		r = keys_open(l, err);
	if (r < 0) {
		login_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

void login_close(struct login *l)
{
	if (!l)
		return;
	sessions_free(l->sessions);
	jwks_free(l->jwks);
	guard_free(l->guard);
	keys_close(l->keys);
	(void) pthread_mutex_destroy(&l->lock);
	free((char *) (uintptr_t) l->config.dir);
	free((char *) (uintptr_t) l->config.endpoint);
	free(l);
}

void login_refresh(struct login *l)
{
	(void) pthread_mutex_lock(&l->lock);
	l->epoch_ns = 0;
	(void) pthread_mutex_unlock(&l->lock);
}

int login_epoch(struct login *l, int64_t *ret, struct err *err)
{
	int64_t now = time_mono_ns();
	int r = 0;

	(void) pthread_mutex_lock(&l->lock);
	if (l->epoch_ns == 0 || now - l->epoch_ns >= EPOCH_NS) {
		r = identity_epoch(l->meta, &l->epoch, err);
		/* As old as the question, not as the answer. */
		l->epoch_ns = r < 0 ? 0 : now;
	}
	*ret = l->epoch;
	(void) pthread_mutex_unlock(&l->lock);
	return r;
}

/* ---- Which endpoint ------------------------------------------------------------------------- */

/* A tenant is a GUID, or one of the names that stand for "whichever the principal has". */
static bool is_tenant(const char *s, size_t n)
{
	if (n == strlen("common") && strncasecmp(s, "common", n) == 0)
		return true;
	if (n == strlen("organizations") && strncasecmp(s, "organizations", n) == 0)
		return true;
	if (n != UUID_STR - 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : !strchr("0123456789abcdefABCDEF", s[i]))
			return false;
	}
	return true;
}

struct match {
	const char *tenant;
	size_t tenant_bytes;
	const char *rest;
	size_t rest_bytes;
};

static bool matches(const char *pattern, const char *path, size_t n, struct match *m)
{
	const char *end = path + n;

	*m = (struct match){.rest = ""};
	for (; *pattern; pattern++) {
		size_t step = 1;

		if (*pattern == '*') {
			const char *slash = memchr(path, '/', (size_t) (end - path));

			step = slash ? (size_t) (slash - path) : (size_t) (end - path);
			if (!is_tenant(path, step))
				return false;
			m->tenant = path;
			m->tenant_bytes = step;
		} else if (path == end || strncasecmp(pattern, path, 1) != 0) {
			return false;
		}
		path += step;
	}
	m->rest = path;
	m->rest_bytes = (size_t) (end - path);
	return path == end || pattern[-1] == '/';
}

static const struct endpoint *find(const char *target, struct match *m)
{
	size_t n = strcspn(target, "?#");

	for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++)
		if (matches(endpoints[i].path, target, n, m))
			return &endpoints[i];
	return NULL;
}

bool login_owns(const char *target)
{
	struct match m;

	return find(target, &m) != NULL;
}

/* ---- One request ---------------------------------------------------------------------------- */

static int check_method(struct login_call *c, const struct endpoint *e)
{
	const char *method = c->req->method;

	if (str_eq(e->method, "*")) /* GET of most, POST of one */
		return str_eq(method, "GET") || str_eq(method, "HEAD") || str_eq(method, "POST")
			       ? 0
			       : reply_refuse(c, -EINVAL, "MethodNotAllowed",
					      "%.20s is not possible here.", method);
	if (str_eq(e->method, method) || (str_eq(e->method, "GET") && str_eq(method, "HEAD")))
		return 0;
	(void) reply_header(c, "Allow", str_eq(e->method, "GET") ? "GET, HEAD" : e->method);
	return reply_refuse(c, -EINVAL, "MethodNotAllowed", "%.20s is not possible here, %s is.",
			    method, e->method);
}

static int run(struct login_call *c, const struct endpoint *e, const struct match *m)
{
	int r = uuid_random(c->res->request_id);

	c->base = c->req->base_url ? c->req->base_url : c->l->config.endpoint;
	if (r >= 0 && m->tenant) {
		c->tenant = strndup(m->tenant, m->tenant_bytes);
		r = c->tenant ? 0 : -ENOMEM;
	}
	if (r >= 0)
		r = target_parse(c->req->target, &c->target, &c->err);
	if (r >= 0 && c->target.path) {
		size_t n = strlen(c->target.path);

		c->rest = c->target.path + (n - (n < m->rest_bytes ? n : m->rest_bytes));
		r = check_method(c, e);
	}
	if (r >= 0 && c->req->body_bytes > LOGIN_BODY_MAX)
		r = reply_refuse(c, -EFBIG, "RequestTooLarge",
				 "The body has %zu bytes, at most %u are accepted.",
				 c->req->body_bytes, LOGIN_BODY_MAX);
	return r < 0 ? r : e->fn(c);
}

bool login_http(struct login *l, const struct login_request *req, struct login_response *ret)
{
	struct login_call c = {.l = l, .req = req, .res = ret, .rest = ""};
	const struct endpoint *e;
	struct match m;
	int r;

	e = find(req->target, &m);
	if (!e)
		return false;
	*ret = (struct login_response){0};
	c.style = e->style;
	r = run(&c, e, &m);
	if (r < 0)
		reply_error(&c, r);
	free(c.tenant);
	target_done(&c.target);
	err_done(&c.err);
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token endpoint, RFC 6749: client_credentials, password (as ADFS offers it) and refresh_token.
 * Errors carry the numbers that Entra's have, which clients and people search for.
 */
#include "arm/text.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/internal.h"
#include "login/secret.h"
#include "login/token.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const char *form(const struct grant *g, const char *key)
{
	const char *v = target_query(&g->form, key);

	return v && *v ? v : NULL;
}

static int missing(struct login_call *c, const char *what)
{
	return oauth_refuse(c, 400, "invalid_request", 900144,
			    "The request body must contain the following parameter: '%s'.", what);
}

/* ---- What the token is for ------------------------------------------------------------------ */

static bool is_openid_scope(const char *s)
{
	static const char *const scopes[] = {"openid", "offline_access", "profile", "email"};

	for (size_t i = 0; i < ARRAY_SIZE(scopes); i++)
		if (str_eq(s, scopes[i]))
			return true;
	return false;
}

/* "https://HOST//.default" names the resource "https://HOST/". */
static int scope_resource(struct grant *g, char *scope)
{
	size_t n = strlen(scope);
	char *slash;

	if (g->resource)
		return oauth_refuse(g->call, 400, "invalid_scope", 28000,
				    "The scopes are for more than one resource.");
	if (str_ends(scope, "/.default")) {
		scope[n - strlen("/.default")] = '\0';
	} else {
		slash = strrchr(scope, '/');
		if (g->client_only || !slash)
			return oauth_refuse(g->call, 400, "invalid_scope", 1002012,
					    "The scope '%.200s' is not valid: the resource's"
					    " identifier followed by '/.default' is expected.",
					    scope);
		*slash = '\0';
	}
	g->resource = strdup(scope);
	return g->resource ? 0 : -ENOMEM;
}

static int scopes(struct grant *g)
{
	auto_free char *text = strdup(form(g, "scope"));
	char *save = NULL;
	int r = text ? 0 : -ENOMEM;

	for (char *s = r < 0 ? NULL : strtok_r(text, " ", &save); s && r >= 0;
	     s = strtok_r(NULL, " ", &save)) {
		if (!is_openid_scope(s))
			r = scope_resource(g, s);
		g->openid = g->openid || str_eq(s, "openid");
		g->offline = g->offline || str_eq(s, "offline_access");
	}
	return r;
}

static int resource(struct grant *g)
{
	struct login_call *c = g->call;
	const char *named = form(g, "resource");
	int r = 0;

	if (form(g, "scope"))
		r = scopes(g);
	if (r < 0)
		return r;
	if (named && !g->resource)
		g->resource = strdup(named);
	else if (!g->resource && c->tenant && g->client_only)
		return missing(c, "scope");
	else if (!g->resource) /* ADFS has a resource of its own */
		g->resource = strf("%s/", c->l->config.endpoint);
	if (!g->resource)
		return -ENOMEM;
	g->audience = audience_of(c->l, c->base, g->resource);
	if (!g->audience)
		return oauth_refuse(c, 400, "invalid_resource", 500011,
				    "The resource principal named %.200s was not found. This"
				    " server issues tokens for itself (%s/), for"
				    " https://management.azure.com and for Microsoft Graph.",
				    g->resource, c->base);
	return 0;
}

/* ---- Clients -------------------------------------------------------------------------------- */

static int tenant_fits(struct login_call *c, const struct principal *p)
{
	return !c->tenant || str_eq_nocase(c->tenant, "common") ||
	       str_eq_nocase(c->tenant, "organizations") || str_eq_nocase(c->tenant, p->tenant_id);
}

int client_by_id(struct login_call *c, const char *client_id, struct principal *ret)
{
	auto_free char *login = strf("app:%.100s", client_id);
	int r = login ? principal_by_login(c->l, login, ret, &c->err) : -ENOMEM;

	if (r == -ENOENT || (r >= 0 && (!ret->app_id || !tenant_fits(c, ret))))
		return oauth_refuse(c, 400, "unauthorized_client", 700016,
				    "Application with identifier '%.100s' was not found in the"
				    " directory '%s'.",
				    client_id, c->tenant ? c->tenant : c->l->tenant_id);
	if (r >= 0 && ret->disabled)
		return oauth_refuse(c, 400, "unauthorized_client", 7000112,
				    "Application '%s' (%s) is disabled.", ret->app_id, ret->name);
	return r;
}

/* RFC 6749 2.3.1: both halves are form-encoded before they are joined. */
static int basic(struct grant *g, const char *value)
{
	auto_free char *text = NULL;
	size_t n = 0;
	char *colon;

	text = base64_decode(value + strspn(value, " "), &n);
	colon = text && strlen(text) == n ? strchr(text, ':') : NULL;
	if (colon)
		*colon = '\0';
	if (!colon || percent_decode(text, true) < 0 || percent_decode(colon + 1, true) < 0)
		return oauth_refuse(g->call, 401, "invalid_client", 7000218,
				    "The Authorization header is not Basic with a client id and a"
				    " secret.");
	g->basic_id = strdup(text);
	g->basic_secret = strdup(colon + 1);
	mem_wipe(text, n);
	return g->basic_id && g->basic_secret ? 0 : -ENOMEM;
}

static int client_fields(struct grant *g)
{
	struct login_call *c = g->call;
	const char *auth =
		c->req->header ? c->req->header(c->req->header_arg, "Authorization") : NULL;
	int r = 0;

	g->client_id = form(g, "client_id");
	g->secret = form(g, "client_secret");
	g->assertion = form(g, "client_assertion");
	if (auth && strncasecmp(auth, "Basic ", 6) == 0) {
		r = basic(g, auth + 6);
		if (r >= 0 && (g->secret || g->assertion ||
			       (g->client_id && !str_eq_nocase(g->client_id, g->basic_id))))
			r = oauth_refuse(c, 400, "invalid_request", 90013,
					 "Only one way of client authentication may be used.");
		g->client_id = g->basic_id;
		g->secret = g->basic_secret;
	}
	if (r >= 0 && g->secret && g->assertion)
		r = oauth_refuse(c, 400, "invalid_request", 90013,
				 "Only one way of client authentication may be used.");
	return r;
}

static int grant_client(struct grant *g)
{
	struct login_call *c = g->call;
	int r;

	if (g->assertion) {
		if (!str_eq(form(g, "client_assertion_type"), ASSERTION_TYPE))
			return oauth_refuse(c, 400, "invalid_request", 900144,
					    "client_assertion_type must be %s.", ASSERTION_TYPE);
		return assertion_prove(c, g->assertion, g->client_id, &g->principal,
				       &g->credential);
	}
	if (!g->client_id)
		return missing(c, "client_id");
	if (!g->secret)
		return oauth_refuse(c, 401, "invalid_client", 7000218,
				    "The request body must contain the following parameter:"
				    " 'client_assertion' or 'client_secret'.");
	r = client_by_id(c, g->client_id, &g->principal);
	return r < 0 ? r : secret_prove(c, &g->principal, g->secret, &g->credential);
}

/* ---- People --------------------------------------------------------------------------------- */

static int grant_password(struct grant *g)
{
	struct login_call *c = g->call;
	const char *name = form(g, "username"), *password = form(g, "password");
	auto_free char *login = NULL;
	int r;

	if (!name || !password)
		return missing(c, name ? "password" : "username");
	login = strf("user:%.300s", name);
	r = login ? principal_by_login(c->l, login, &g->principal, &c->err) : -ENOMEM;
	if (r == -ENOENT || (r >= 0 && (g->principal.app_id || !tenant_fits(c, &g->principal)))) {
		/* The same answer and the same work as for a wrong password. */
		principal_done(&g->principal);
		return secret_prove(c, NULL, password, &g->credential);
	}
	if (r < 0)
		return r;
	r = secret_prove(c, &g->principal, password, &g->credential);
	if (r >= 0 && g->principal.disabled)
		r = oauth_refuse(c, 400, "invalid_grant", 50057, "The user account is disabled.");
	return r;
}

static int grant_refresh(struct grant *g)
{
	struct login_call *c = g->call;
	const char *token = form(g, "refresh_token");
	auto_jwt struct jwt j = {0};
	struct err why = ERR_INIT;
	const char *oid, *cred;
	int64_t epoch;
	int r;

	if (!token)
		return missing(c, "refresh_token");
	r = login_epoch(c->l, &epoch, &c->err);
	if (r >= 0)
		r = token_believe(c->l, token, strlen(token), "rt+jwt", epoch, &j, &why);
	oid = json_str_at(j.claims, "oid");
	cred = json_str_at(j.claims, "cred");
	if (r >= 0)
		r = oid && cred ? principal_by_object(c->l, oid, &g->principal, &c->err) : -EACCES;
	if (r >= 0 && (g->principal.disabled || !credential_known(&g->principal, cred) ||
		       !tenant_fits(c, &g->principal)))
		r = -EACCES;
	if (r >= 0)
		(void) snprintf(g->credential.id, sizeof(g->credential.id), "%s", cred);
	err_done(&why);
	if (r == -EACCES || r == -ENOENT)
		return oauth_refuse(c, 400, "invalid_grant", 70008,
				    "The refresh token is expired, revoked or not one of this"
				    " server's. Sign in again.");
	return r;
}

/* ---- The endpoint --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	bool client_only;
	int (*fn)(struct grant *g);
} grants[] = {
	{"client_credentials", true, grant_client},
	{"password", false, grant_password},
	{"refresh_token", false, grant_refresh},
};

static int parse_form(struct grant *g)
{
	const struct login_request *q = g->call->req;
	const char *type = q->header ? q->header(q->header_arg, "Content-Type") : NULL;
	auto_free char *text = NULL;
	struct err why = ERR_INIT;
	int r = 0;

	if (type && strncasecmp(type, "application/x-www-form-urlencoded",
				strlen("application/x-www-form-urlencoded")) != 0)
		return oauth_refuse(
			g->call, 400, "invalid_request", 900561,
			"A body of type application/x-www-form-urlencoded is expected.");
	text = malloc(q->body_bytes + 3);
	if (!text)
		return -ENOMEM;
	memcpy(text, "/?", 2);
	if (q->body_bytes)
		memcpy(text + 2, q->body, q->body_bytes);
	text[q->body_bytes + 2] = '\0';
	if (strlen(text) != q->body_bytes + 2 || target_parse(text, &g->form, &why) < 0)
		r = oauth_refuse(g->call, 400, "invalid_request", 900144,
				 "The request body is no well-formed form with each parameter once"
				 " and at most %d bytes.",
				 TARGET_MAX);
	err_done(&why);
	mem_wipe(text, q->body_bytes);
	return r;
}

static int run(struct grant *g)
{
	struct login_call *c = g->call;
	const char *name;
	int r = parse_form(g);

	if (r < 0)
		return r;
	name = form(g, "grant_type");
	if (!name)
		return missing(c, "grant_type");
	for (size_t i = 0; i < ARRAY_SIZE(grants); i++) {
		if (!str_eq(grants[i].name, name))
			continue;
		g->client_only = grants[i].client_only;
		r = resource(g);
		if (r >= 0)
			r = client_fields(g);
		if (r >= 0)
			r = grants[i].fn(g);
		return r < 0 ? r : token_issue(g);
	}
	return oauth_refuse(c, 400, "unsupported_grant_type", 70003,
			    "The grant type '%.60s' is not supported; client_credentials, password"
			    " and refresh_token are.",
			    name);
}

static void wipe(char *s)
{
	if (s)
		mem_wipe(s, strlen(s));
	free(s);
}

int token_endpoint(struct login_call *c)
{
	struct grant g = {.call = c};
	int r = login_record(&g, run(&g));

	if (r < 0 && g.basic_id && c->status == 401)
		(void) reply_header(c, "WWW-Authenticate", "Basic realm=\"kiln\"");
	principal_done(&g.principal);
	for (size_t i = 0; i < g.form.n_query; i++)
		if (g.form.query[i].value)
			mem_wipe(g.form.query[i].value, strlen(g.form.query[i].value));
	target_done(&g.form);
	free(g.basic_id);
	wipe(g.basic_secret);
	free(g.resource);
	free(g.audience);
	return r;
}

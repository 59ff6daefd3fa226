/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as the token endpoint hands them out. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/token.h"

static int set(json_t *j, const char *key, json_t *value)
{
	return json_object_set_new(j, key, value) < 0 ? -ENOMEM : 0;
}

/* Claims of every kind of token. */
static json_t *claims_of(const struct grant *g, const char *aud, int64_t now, int64_t exp)
{
	const struct principal *p = &g->principal;
	char jti[UUID_STR];

	if (uuid_random(jti) < 0)
		return NULL;
	return json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s}", "aud", aud, "iat",
			 (json_int_t) now, "nbf", (json_int_t) now, "exp", (json_int_t) exp, "oid",
			 p->object_id, "sub", p->object_id, "tid", p->tenant_id, "jti", jti, "cred",
			 g->credential.id);
}

static int add_application(const struct grant *g, json_t *j, bool v2)
{
	const struct principal *p = &g->principal;
	bool secret = str_starts(g->credential.id, "pwd:");
	int r = set(j, v2 ? "azp" : "appid", json_string(p->app_id));

	if (r >= 0)
		r = set(j, v2 ? "azpacr" : "appidacr", json_string(secret ? "1" : "2"));
	if (r >= 0)
		r = set(j, "idtyp", json_string("app"));
	return r;
}

static int add_user(const struct grant *g, json_t *j)
{
	const struct principal *p = &g->principal;
	int r = set(j, "upn", json_string(p->name));

	if (r >= 0)
		r = set(j, "unique_name", json_string(p->name));
	if (r >= 0)
		r = set(j, "preferred_username", json_string(p->name));
	if (r >= 0)
		r = set(j, "idtyp", json_string("user"));
	if (r >= 0 && g->client_id)
		r = set(j, "appid", json_string(g->client_id));
	return r;
}

/* How "iss" ends: the style of the endpoint that was asked. */
static char *style_of(const struct grant *g, bool v2)
{
	if (!g->call->tenant)
		return strdup("/adfs");
	return strf("/%s/%s", g->principal.tenant_id, v2 ? "v2.0" : "");
}

static int sign(struct grant *g, json_t *claims, const char *typ, json_t *answer, const char *name)
{
	bool v2 = g->call->tenant && !form(g, "resource");
	auto_free char *token = NULL, *style = style_of(g, v2);
	int r = style && claims ? 0 : -ENOMEM;

	if (r >= 0)
		r = set(claims, "ver", json_string(v2 ? "2.0" : "1.0"));
	if (r >= 0)
		r = g->principal.app_id ? add_application(g, claims, v2) : add_user(g, claims);
	if (r >= 0)
		r = keys_sign(g->call->l, claims, style, typ, &token, &g->call->err);
	return r < 0 ? r : set(answer, name, json_string(token));
}

/* What MSAL keeps an account by. */
static int add_client_info(struct grant *g, json_t *answer)
{
	auto_free char *text = strf("{\"uid\":\"%s\",\"utid\":\"%s\"}", g->principal.object_id,
				    g->principal.tenant_id);
	auto_free char *info = text ? b64url_encode(text, strlen(text)) : NULL;

	return info ? set(answer, "client_info", json_string(info)) : -ENOMEM;
}

static int add_user_tokens(struct grant *g, json_t *answer, int64_t now, int64_t exp)
{
	int r = 0;

	if (g->openid) {
		auto_json json_t *id =
			claims_of(g, g->client_id ? g->client_id : g->audience, now, exp);

		r = sign(g, id, "JWT", answer, "id_token");
	}
	if (r >= 0 && g->offline) {
		auto_json json_t *refresh =
			claims_of(g, g->call->l->config.endpoint, now, now + REFRESH_LIFE_S);

		r = sign(g, refresh, "rt+jwt", answer, "refresh_token");
	}
	if (r >= 0 && form(g, "client_info"))
		r = add_client_info(g, answer);
	if (r >= 0 && form(g, "scope"))
		r = set(answer, "scope", json_string(form(g, "scope")));
	return r;
}

int token_issue(struct grant *g)
{
	struct login_call *c = g->call;
	int64_t now = time_now_us() / 1000000, exp = now + TOKEN_LIFE_S;
	auto_json json_t *claims = NULL, *answer = NULL;
	int r;

	/* No token outlives what it was got with. */
	if (g->credential.until_s && g->credential.until_s < exp)
		exp = g->credential.until_s;
	claims = claims_of(g, g->audience, now, exp);
	answer = json_pack("{s:s, s:I, s:I, s:o, s:o, s:s}", "token_type", "Bearer", "expires_in",
			   (json_int_t) (exp - now), "ext_expires_in", (json_int_t) (exp - now),
			   "expires_on", json_strf("%lld", (long long) exp), "not_before",
			   json_strf("%lld", (long long) now), "resource", g->resource);
	if (!claims || !answer)
		return -ENOMEM;
	r = sign(g, claims, "JWT", answer, "access_token");
	if (r >= 0 && !g->principal.app_id)
		r = add_user_tokens(g, answer, now, exp);
	if (r >= 0)
		r = reply_header(c, "Cache-Control", "no-store");
	if (r >= 0)
		r = reply_header(c, "Pragma", "no-cache");
	return r < 0 ? r : reply(c, 200, json_incref(answer));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed assertions instead of secrets, RFC 7523: a client's own (issuer and subject are its id,
 * the key is registered with it), or an outside issuer's token that a federated credential trusts
 * (GitHub Actions, Kubernetes, Entra). A client's own may be used once.
 */
#include <openssl/evp.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/internal.h"
#include "meta/identity.h"

#define OWN_LIFE_S (24 * 3600) /* a client's assertion may be good for so long */
#define JTI_MAX    256

struct assertion {
	struct login_call *call;
	struct jwt jwt;
	const char *iss, *sub;
};

static int bad(struct login_call *c, int aadsts, const char *what)
{
	return oauth_refuse(c, 401, "invalid_client", aadsts,
			    "The client assertion is not accepted: %s.", what);
}

static int check_times(struct assertion *a)
{
	struct err why = ERR_INIT;
	int r = jwt_times(&a->jwt, time_now_us() / 1000000, &why);

	if (r < 0)
		r = bad(a->call, 700024, err_str(&why));
	err_done(&why);
	return r;
}

/* ---- A client's own ------------------------------------------------------------------------- */

/* Every name under which the client may know the endpoint it sends this to. */
static bool own_audience(const struct assertion *a, const struct principal *p)
{
	static const char *const ends[] = {"/adfs/oauth2/token",
					   "/adfs/oauth2/v2.0/token",
					   "/adfs/adfs/oauth2/token",
					   "/adfs",
					   "/",
					   ""};
	static const char *const tenant_ends[] = {"/oauth2/v2.0/token", "/oauth2/token", "/v2.0",
						  "/", ""};
	const char *bases[] = {a->call->base, a->call->l->config.endpoint};
	const char *tenants[] = {p->tenant_id, "common", "organizations"};

	for (size_t b = 0; b < ARRAY_SIZE(bases); b++) {
		for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
			auto_free char *aud = strf("%s%s", bases[b], ends[i]);

			if (aud && jwt_audience(&a->jwt, aud))
				return true;
		}
		for (size_t i = 0; i < ARRAY_SIZE(tenants) * ARRAY_SIZE(tenant_ends); i++) {
			auto_free char *aud =
				strf("%s/%s%s", bases[b], tenants[i / ARRAY_SIZE(tenant_ends)],
				     tenant_ends[i % ARRAY_SIZE(tenant_ends)]);

			if (aud && jwt_audience(&a->jwt, aud))
				return true;
		}
	}
	return false;
}

/* MSAL pads its base64url. */
static bool same_print(const char *want, const char *have)
{
	size_t n = have ? strlen(have) : 0;

	return have && strncmp(want, have, n) == 0 && strspn(want + n, "=") == strlen(want + n);
}

/* Does the assertion's header name this key? -1: it names none. */
static int named(const struct jwt *j, const json_t *cred)
{
	static const char *const names[][2] = {{"x5t#S256", "x5tS256"},
					       {"x5t", "x5t"},
					       {"kid", "x5tS256"},
					       {"kid", "x5t"},
					       {"kid", "keyId"}};
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *want = json_str_at(j->header, names[i][0]);

		if (want && same_print(want, json_str_at(cred, names[i][1])))
			return 1;
		any = any || want;
	}
	return any ? 0 : -1;
}

static int try_key(struct assertion *a, const json_t *cred)
{
	EVP_PKEY *key = NULL;
	unsigned algs = 0;
	int r = jwk_parse(json_object_get(cred, "jwk"), &key, &algs, NULL);

	if (r >= 0) {
		algs = 0;
		r = key_algs(key, &algs, NULL);
	}
	if (r >= 0)
		r = jwt_verify(&a->jwt, key, algs, NULL);
	EVP_PKEY_free(key);
	return r;
}

static int find_key(struct assertion *a, const struct principal *p, struct credential *ret)
{
	const json_t *list = json_at(p->doc, "properties.keyCredentials");
	int64_t now = time_now_us() / 1000000;
	bool fits = false, expired = false;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *cred = json_array_get(list, i);
		const char *id = json_str_at(cred, "keyId");
		int64_t end = credential_end(cred);

		if (!id || named(&a->jwt, cred) == 0)
			continue;
		fits = true;
		if (end && end <= now) {
			expired = true;
			continue;
		}
		if (try_key(a, cred) < 0)
			continue;
		(void) snprintf(ret->id, sizeof(ret->id), "key:%.48s", id);
		ret->until_s = end;
		return 0;
	}
	return bad(a->call, 700027,
		   expired ? "the certificate that signed it has expired"
		   : fits  ? "its signature is wrong"
			   : "the key that its header names is not registered with this app");
}

static int once(struct assertion *a)
{
	const char *jti = json_str_at(a->jwt.claims, "jti");
	int64_t now = time_now_us() / 1000000, exp;
	auto_free char *text = NULL;
	char hex[DIGEST_HEX];
	struct digest d;
	int r;

	if (!jti || !*jti || strlen(jti) > JTI_MAX)
		return bad(a->call, 50013, "it has no \"jti\" of at most 256 bytes");
	exp = (int64_t) json_number_value(json_object_get(a->jwt.claims, "exp"));
	if (exp > now + OWN_LIFE_S + JWT_SKEW_S)
		return bad(a->call, 700024, "it is good for more than a day");
	text = strf("%s\n%s", a->iss, jti);
	if (!text)
		return -ENOMEM;
	sha256(text, strlen(text), &d);
	r = assertion_use(a->call->l->meta, digest_hex(&d, hex),
			  (exp + JWT_SKEW_S + 1) * INT64_C(1000000), &a->call->err);
	return r == -EEXIST ? bad(a->call, 50013, "it was used before") : r;
}

static int own(struct assertion *a, const char *client_id, struct principal *p,
	       struct credential *ret)
{
	int r;

	if (client_id && !str_eq_nocase(client_id, a->iss))
		return bad(a->call, 700021, "its issuer is another app than client_id");
	r = client_by_id(a->call, a->iss, p);
	if (r >= 0 && !own_audience(a, p))
		r = bad(a->call, 700023, "its audience is not this token endpoint");
	if (r >= 0)
		r = check_times(a);
	if (r >= 0)
		r = find_key(a, p, ret);
	return r < 0 ? r : once(a);
}

/* ---- An outside issuer's -------------------------------------------------------------------- */

static bool trusts_audience(const struct assertion *a, const json_t *f)
{
	const json_t *list = json_object_get(f, "audiences");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *aud = json_string_value(json_array_get(list, i));

		if (aud && jwt_audience(&a->jwt, aud))
			return true;
	}
	return false;
}

static int match(struct assertion *a, const struct principal *p, const json_t **ret)
{
	const json_t *list = json_at(p->doc, "properties.federatedCredentials");
	bool issuer = false, subject = false;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *f = json_array_get(list, i);

		if (!str_eq(json_str_at(f, "issuer"), a->iss))
			continue;
		issuer = true;
		if (!str_eq(json_str_at(f, "subject"), a->sub))
			continue;
		subject = true;
		if (!trusts_audience(a, f))
			continue;
		*ret = f;
		return 0;
	}
	return oauth_refuse(a->call, 401, "invalid_client",
			    subject  ? 700212
			    : issuer ? 700213
				     : 700211,
			    "No matching federated credential was found for the presented"
			    " assertion's %s '%.200s'.",
			    subject  ? "audience; its subject is"
			    : issuer ? "subject"
				     : "issuer",
			    issuer ? a->sub : a->iss);
}

static int check_signature(struct assertion *a, const json_t *f)
{
	struct err why = ERR_INIT;
	EVP_PKEY *key = NULL;
	unsigned algs = 0;
	int r = jwks_find(a->call->l, f, a->jwt.kid, &key, &algs, &why);

	if (r < 0) /* no such key, or the keys cannot be had */
		r = bad(a->call, r == -ENOENT ? 700027 : 50166, err_str(&why));
	else if (jwt_verify(&a->jwt, key, algs, &why) < 0)
		r = bad(a->call, 700027, err_str(&why));
	EVP_PKEY_free(key);
	err_done(&why);
	return r;
}

static int federated(struct assertion *a, const char *client_id, struct principal *p,
		     struct credential *ret)
{
	const json_t *f = NULL;
	int r;

	if (!client_id)
		return oauth_refuse(a->call, 400, "invalid_request", 900144,
				    "The request body must contain the following parameter:"
				    " 'client_id'.");
	r = client_by_id(a->call, client_id, p);
	if (r >= 0)
		r = match(a, p, &f);
	if (r >= 0)
		r = check_times(a);
	if (r >= 0)
		r = check_signature(a, f);
	if (r >= 0)
		r = federated_id(f, ret->id);
	return r;
}

/* ---- Both ----------------------------------------------------------------------------------- */

int assertion_prove(struct login_call *c, const char *assertion, const char *client_id,
		    struct principal *ret_p, struct credential *ret)
{
	struct assertion a = {.call = c};
	struct err why = ERR_INIT;
	int r = jwt_parse(assertion, strlen(assertion), &a.jwt, &why);

	if (r < 0)
		r = r == -ENOMEM ? r : bad(c, 50027, err_str(&why));
	err_done(&why);
	if (r < 0)
		return r;
	a.iss = json_str_at(a.jwt.claims, "iss");
	a.sub = json_str_at(a.jwt.claims, "sub");
	if (!a.iss || !a.sub)
		r = bad(c, 50027, "it has no \"iss\" or no \"sub\"");
	else if (str_eq(a.iss, a.sub))
		r = own(&a, client_id, ret_p, ret);
	else
		r = federated(&a, client_id, ret_p, ret);
	jwt_done(&a.jwt);
	return r;
}

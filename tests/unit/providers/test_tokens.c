/* SPDX-License-Identifier: Apache-2.0 */
/* The token endpoint, and what the tokens are good for. */
#include "login_client.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "login/jwt.h"
#include "meta/audit.h"

#define KEYS "/providers/Kiln.Identity/tokenKeys"

/* A principal "ci" with a secret; its form. */
static const char *make_ci(struct client *c, char *secret, size_t n)
{
	static char id[40];

	expect_ok(c->h, "PUT", PRINCIPAL "ci", V_ID, "{}");
	expect_ok(c->h, "POST", PRINCIPAL "ci/addPassword", V_ID, NULL);
	(void) snprintf(secret, n, "%s", text_at(c->h, "secretText"));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	return secret_form(id, secret);
}

static json_t *claims_of(const char *token)
{
	struct jwt j = {0};
	json_t *claims;

	assert_int_equal(jwt_parse(token, strlen(token), &j, NULL), 0);
	claims = json_incref(j.claims);
	jwt_done(&j);
	return claims;
}

static void the_administrator_logs_in(void **state)
{
	struct client *c = *state;
	const json_t *admin = c->h->app->admin;
	auto_json json_t *claims = NULL;
	struct login_identity id;
	char *value;

	token_ok(c, ADFS,
		 secret_form(json_str_at(admin, "clientId"), json_str_at(admin, "clientSecret")));
	assert_int_equal(json_int_at(c->res.body, "expires_in", 0), 3599);
	claims = claims_of(c->token);
	assert_string_equal(json_str_at(claims, "aud"), ENDPOINT "/");
	assert_string_equal(json_str_at(claims, "iss"), ENDPOINT "/adfs");
	assert_string_equal(json_str_at(claims, "tid"), json_str_at(admin, "tenantId"));
	assert_string_equal(json_str_at(claims, "appid"), json_str_at(admin, "clientId"));
	value = strf("Bearer %s", c->token);
	assert_int_equal(login_authenticate(c->login, value, &id, NULL), 0);
	assert_string_equal(id.who.object_id, json_str_at(admin, "clientId"));
	assert_string_equal(id.who.kind, "Application");
	assert_false(id.who.local_owner);
	login_identity_done(&id);
	free(value);
}

static void every_way_of_asking(void **state)
{
	static const char *const paths[] = {"/adfs/oauth2/token", "/adfs/oauth2/v2.0/token",
					    "/adfs/adfs/oauth2/token", "/common/oauth2/v2.0/token",
					    "/organizations/oauth2/token?client-request-id=x"};
	static const char *const audiences[] = {
		"scope=https://management.azure.com/.default",
		"scope=openid%20https://management.azure.com//.default%20offline_access",
		"scope=https://127.0.0.1:8443/msgraph//.default",
		"scope=https://127.0.0.1:8443/.default",
		"resource=https://management.core.windows.net/",
		"resource=https%3A%2F%2Fgraph.microsoft.com",
	};
	struct client *c = *state;
	const char *tenant = json_str_at(c->h->app->admin, "tenantId");
	char secret[80], form[1024], path[128], id[40];
	char *basic;
	char *pair;

	(void) make_ci(c, secret, sizeof(secret));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		token_ok(c, paths[i], secret_form(id, secret));
	for (size_t i = 0; i < ARRAY_SIZE(audiences); i++) {
		(void) snprintf(form, sizeof(form),
				"grant_type=client_credentials&client_id=%s&client_secret=%s&%s",
				id, secret, audiences[i]);
		(void) snprintf(path, sizeof(path), "/%s/oauth2/v2.0/token", tenant);
		token_ok(c, path, form);
		assert_int_equal(authenticate(c, c->token, NULL), 0);
	}
	pair = strf("%s:%s", id, secret);
	basic = base64_encode(pair, strlen(pair));
	(void) snprintf(form, sizeof(form), "Basic %s", basic);
	c->basic = form;
	token_ok(c, ADFS, "grant_type=client_credentials");
	token_bad(c, ADFS, secret_form(id, secret), 400, "invalid_request", 90013);
	c->basic = "Basic !!!";
	token_bad(c, ADFS, "grant_type=client_credentials", 401, "invalid_client", 7000218);
	free(basic);
	free(pair);
}

static void refusals_have_their_numbers(void **state)
{
	struct client *c = *state;
	char secret[80], id[40], form[2048];
	const char *nobody = "00000000-0000-0000-0000-000000000001";

	(void) make_ci(c, secret, sizeof(secret));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	token_bad(c, ADFS, "", 400, "invalid_request", 900144);
	token_bad(c, ADFS, "grant_type=magic", 400, "unsupported_grant_type", 70003);
	token_bad(c, ADFS, "grant_type=client_credentials", 400, "invalid_request", 900144);
	token_bad(c, ADFS, "grant_type=client_credentials&grant_type=password", 400,
		  "invalid_request", 900144);
	token_bad(c, ADFS, secret_form(nobody, secret), 400, "unauthorized_client", 700016);
	token_bad(c, ADFS, secret_form(id, "wrong"), 401, "invalid_client", 7000215);
	secret[63] = secret[63] == '0' ? '1' : '0';
	token_bad(c, ADFS, secret_form(id, secret), 401, "invalid_client", 7000215);
	token_bad(c, ADFS, secret_form(id, ""), 401, "invalid_client", 7000218);
	token_bad(c, "/00000000-0000-0000-0000-000000000009/oauth2/v2.0/token",
		  secret_form(id, secret), 400, "unauthorized_client", 700016);
	(void) snprintf(form, sizeof(form), "%s", secret_form(id, secret));
	(void) snprintf(strstr(form, "&scope="), 64, "&scope=https://example.org/.default");
	token_bad(c, ADFS, form, 400, "invalid_resource", 500011);
	(void) snprintf(strstr(form, "&scope="), 64, "&scope=User.Read");
	token_bad(c, ADFS, form, 400, "invalid_scope", 1002012);
	memset(form, 'a', sizeof(form) - 1);
	form[sizeof(form) - 1] = '\0';
	token_bad(c, ADFS, form, 400, "invalid_request", 900144);
	assert_int_equal(http(c, "GET", ADFS, NULL), 405);
	assert_int_equal(http(c, "GET", "/subscriptions", NULL), -1);
}

static void guessing_is_slowed_down_for_the_one_who_guesses(void **state)
{
	struct client *c = *state;
	char secret[80], wrong[80], id[40];
	int limited = 0;

	(void) make_ci(c, secret, sizeof(secret));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	(void) snprintf(wrong, sizeof(wrong), "%s", secret);
	c->peer = "192.0.2.7";
	for (int i = 0; i < 14; i++) {
		wrong[60] = (char) ('g' + i); /* no hex digit */
		limited += ask(c, ADFS, "%s", secret_form(id, wrong)) == 429;
	}
	assert_int_equal(limited, 4);
	assert_int_equal(ask(c, ADFS, "%s", secret_form(id, secret)), 429);
	c->peer = "192.0.2.8"; /* others are not locked out */
	token_ok(c, ADFS, secret_form(id, secret));
	c->peer = "192.0.2.7"; /* and what was right is known again */
	token_ok(c, ADFS, secret_form(id, secret));
}

static int last_login(void *arg, int64_t seq, const json_t *record)
{
	json_t **ret = arg;

	if (str_eq(json_str_at(record, "action"), "Kiln.Identity/tokens/issue/action")) {
		json_decref(*ret);
		*ret = json_incref((json_t *) (uintptr_t) record);
	}
	return 0;
}

static void logins_are_in_the_audit_log(void **state)
{
	struct client *c = *state;
	auto_json json_t *last = NULL;
	char secret[80], id[40], what[64];
	struct audit_head head;
	unsigned n = 0;

	(void) make_ci(c, secret, sizeof(secret));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	c->peer = "192.0.2.7";
	token_ok(c, ADFS, secret_form(id, secret));
	assert_int_equal(audit_each(c->h->app->meta, 0, 1000, last_login, &last, NULL), 0);
	assert_string_equal(json_str_at(last, "result"), "Success");
	assert_string_equal(json_str_at(last, "principalName"), "ci");
	assert_string_equal(json_str_at(last, "peer"), "192.0.2.7");
	assert_memory_equal(json_str_at(last, "credentialId"), "pwd:", 4);
	assert_int_equal(json_int_at(last, "status", 0), 200);

	token_bad(c, ADFS, secret_form(id, "wrong"), 401, "invalid_client", 7000215);
	assert_int_equal(audit_each(c->h->app->meta, 0, 1000, last_login, &last, NULL), 0);
	assert_string_equal(json_str_at(last, "result"), "Failed");
	assert_string_equal(json_str_at(last, "code"), "invalid_client AADSTS7000215");
	assert_int_equal(json_int_at(last, "status", 0), 401);
	assert_string_equal(json_str_at(last, "principalName"), "ci"); /* whose secret it was not */
	{
		auto_free char *text = json_compact(last);

		assert_null(strstr(text, "wrong"));
		assert_null(strstr(text, secret));
	}
	/* one address cannot fill the log, and no name that it makes up */
	assert_int_equal(audit_head(c->h->app->meta, &head, NULL), 0);
	n = (unsigned) head.seq;
	for (int i = 0; i < 100; i++) {
		(void) snprintf(what, sizeof(what), "00000000-0000-0000-0000-%012d", i);
		token_bad(c, ADFS, secret_form(what, secret), 400, "unauthorized_client", 700016);
	}
	assert_int_equal(audit_head(c->h->app->meta, &head, NULL), 0);
	assert_in_range(head.seq, n + 10, n + 60);
}

/* ---- Revocation ----------------------------------------------------------------------------- */

static void expect_ended(struct client *c, const char *token)
{
	const char *code;

	login_refresh(c->login);
	assert_int_equal(authenticate(c, token, &code), -EACCES);
	assert_string_equal(code, "InvalidAuthenticationToken");
}

static void removing_the_secret_ends_its_tokens(void **state)
{
	struct client *c = *state;
	char secret[80], second[80], body[80], id[40], first_token[sizeof(c->token)];

	token_ok(c, ADFS, make_ci(c, secret, sizeof(secret)));
	(void) snprintf(first_token, sizeof(first_token), "%s", c->token);
	expect_ok(c->h, "GET", PRINCIPAL "ci", V_ID, NULL);
	(void) snprintf(body, sizeof(body), "{'keyId':'%s'}",
			text_at(c->h, "properties.passwordCredentials.0.keyId"));
	expect_ok(c->h, "POST", PRINCIPAL "ci/addPassword", V_ID, NULL);
	(void) snprintf(second, sizeof(second), "%s", text_at(c->h, "secretText"));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	token_ok(c, ADFS, secret_form(id, second));
	expect_ok(c->h, "POST", PRINCIPAL "ci/removePassword", V_ID, body);
	expect_ended(c, first_token);
	assert_int_equal(authenticate(c, c->token, NULL), 0); /* the other one's stays */
	token_bad(c, ADFS, secret_form(id, secret), 401, "invalid_client", 7000215);
}

static void disabling_and_deleting_end_tokens(void **state)
{
	struct client *c = *state;
	char secret[80], id[40];

	token_ok(c, ADFS, make_ci(c, secret, sizeof(secret)));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	expect_ok(c->h, "PATCH", PRINCIPAL "ci", V_ID, "{'properties':{'disabled':true}}");
	expect_ended(c, c->token);
	token_bad(c, ADFS, secret_form(id, secret), 400, "unauthorized_client", 7000112);
	expect_ok(c->h, "PATCH", PRINCIPAL "ci", V_ID, "{'properties':{'disabled':false}}");
	token_ok(c, ADFS, secret_form(id, secret));
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	expect_ok(c->h, "DELETE", PRINCIPAL "ci", V_ID, NULL);
	expect_ended(c, c->token);
	expect_ok(c->h, "PUT", PRINCIPAL "ci", V_ID, "{}"); /* a namesake is somebody else */
	expect_ended(c, c->token);
}

static unsigned groups_now(struct client *c)
{
	struct login_identity id;
	char *value = strf("Bearer %s", c->token);
	unsigned n = 0;

	login_refresh(c->login);
	assert_int_equal(login_authenticate(c->login, value, &id, NULL), 0);
	while (id.who.groups && id.who.groups[n])
		n++;
	login_identity_done(&id);
	free(value);
	return n;
}

static void groups_are_looked_up_not_carried(void **state)
{
	struct client *c = *state;
	char secret[80], body[128];

	token_ok(c, ADFS, make_ci(c, secret, sizeof(secret)));
	expect_ok(c->h, "GET", PRINCIPAL "ci", V_ID, NULL);
	(void) snprintf(body, sizeof(body), "{'members':['%s']}",
			text_at(c->h, "properties.objectId"));
	assert_int_equal(groups_now(c), 0);
	expect_ok(c->h, "PUT", GROUP "g", V_ID, "{}");
	expect_ok(c->h, "POST", GROUP "g/addMembers", V_ID, body);
	assert_int_equal(groups_now(c), 1);
	expect_ok(c->h, "POST", GROUP "g/removeMembers", V_ID, body);
	assert_int_equal(groups_now(c), 0);
}

/* ---- Keys ----------------------------------------------------------------------------------- */

/* The key of a token as the server publishes it. */
static void published_key_verifies(struct client *c, const char *kind)
{
	struct jwt j = {0};
	const json_t *keys, *found = NULL;
	EVP_PKEY *key = NULL;
	unsigned algs = 0;

	assert_int_equal(http(c, "GET", "/adfs/discovery/keys", NULL), 200);
	assert_int_equal(jwt_parse(c->token, strlen(c->token), &j, NULL), 0);
	keys = json_object_get(c->res.body, "keys");
	for (size_t i = 0; i < json_array_size(keys); i++)
		if (str_eq(json_str_at(json_array_get(keys, i), "kid"), j.kid))
			found = json_array_get(keys, i);
	assert_non_null(found);
	assert_string_equal(json_str_at(found, "kty"), kind);
	assert_null(json_object_get(found, "d"));
	assert_int_equal(jwk_parse(found, &key, &algs, NULL), 0);
	assert_int_equal(jwt_verify(&j, key, algs, NULL), 0);
	EVP_PKEY_free(key);
	jwt_done(&j);
}

static void keys_change_and_old_tokens_stay_good(void **state)
{
	struct client *c = *state;
	auto_json json_t *es = json_pack("{s:{s:s}}", "login", "algorithm", "ES256");
	char secret[80], id[40], old[sizeof(c->token)];

	token_ok(c, ADFS, make_ci(c, secret, sizeof(secret)));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	(void) snprintf(old, sizeof(old), "%s", c->token);
	published_key_verifies(c, "RSA");
	login_reopen(c, ENDPOINT, NULL); /* a restart keeps the key */
	assert_int_equal(authenticate(c, old, NULL), 0);
	assert_int_equal(http(c, "GET", "/adfs/discovery/keys", NULL), 200);
	assert_int_equal(json_array_size(json_object_get(c->res.body, "keys")), 1);
	login_reopen(c, ENDPOINT, es);
	token_ok(c, ADFS, secret_form(id, secret));
	published_key_verifies(c, "EC");
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	assert_int_equal(authenticate(c, old, NULL), 0);
	login_reopen(c, "https://127.0.0.1:9443", es); /* another address */
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	assert_int_equal(authenticate(c, old, NULL), 0);
}

static void two_servers_believe_each_other(void **state)
{
	struct client *c = *state;
	struct login *first = c->login;
	char secret[80], id[40], token[sizeof(c->token)], form[512];

	token_ok(c, ADFS, make_ci(c, secret, sizeof(secret)));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	(void) snprintf(token, sizeof(token), "%s", c->token);
	(void) snprintf(c->keys, sizeof(c->keys), "%s/login-2", c->h->dir);
	c->login = NULL;
	login_reopen(c, "https://kiln2.example:8443", NULL);
	assert_int_equal(authenticate(c, token, NULL), 0);
	(void) snprintf(form, sizeof(form),
			"grant_type=client_credentials&client_id=%s&client_secret=%s", id, secret);
	token_ok(c, ADFS, form);
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	login_close(c->login);
	c->login = first;
	login_refresh(first);
	assert_int_equal(authenticate(c, c->token, NULL), 0);
}

static void a_revoked_key_ends_what_it_signed(void **state)
{
	struct client *c = *state;
	char secret[80], id[40], old[sizeof(c->token)];
	const char *code;
	char *path;

	token_ok(c, ADFS, make_ci(c, secret, sizeof(secret)));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	(void) snprintf(old, sizeof(old), "%s", c->token);
	expect_ok(c->h, "GET", KEYS, V_ID, NULL);
	assert_int_equal(json_array_size(json_object_get(c->h->body, "value")), 1);
	path = strf("%s/revoke", text_at(c->h, "value.0.id"));
	expect_ok(c->h, "POST", path, V_ID, NULL);
	free(path);
	login_refresh(c->login);
	assert_int_equal(authenticate(c, old, &code), -EACCES);
	assert_string_equal(code, "InvalidAuthenticationToken");
	token_ok(c, ADFS, secret_form(id, secret)); /* by a new key */
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	expect_ok(c->h, "GET", KEYS, V_ID, NULL);
	assert_int_equal(json_array_size(json_object_get(c->h->body, "value")), 1);
	expect_error(c->h, "GET", KEYS "/none", V_ID, NULL, 404, "ResourceNotFound", NULL);
}

static void a_private_key_is_private(void **state)
{
	struct client *c = *state;
	struct login_config cfg = {c->h->app->arm, c->keys, ENDPOINT, NULL};
	auto_dir DIR *d = opendir(c->keys);
	struct login *l = NULL;
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		struct stat st;

		if (!str_ends(e->d_name, ".pem"))
			continue;
		n++;
		assert_int_equal(fstatat(dirfd(d), e->d_name, &st, 0), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		assert_int_equal(fchmodat(dirfd(d), e->d_name, 0644, 0), 0);
	}
	assert_int_equal(n, 1);
	assert_int_equal(login_open(&cfg, &l, NULL), -EACCES);
}

/* ---- Forged tokens -------------------------------------------------------------------------- */

/* The private key of the server: who has it can forge; what else must hold is tested with it. */
static EVP_PKEY *server_key(struct client *c)
{
	auto_dir DIR *d = opendir(c->keys);
	struct dirent *e;
	EVP_PKEY *key = NULL;

	assert_non_null(d);
	while ((e = readdir(d))) {
		auto_free char *path = strf("%s/%s", c->keys, e->d_name);
		auto_file FILE *f = str_ends(path, ".pem") ? fopen(path, "re") : NULL;

		if (f)
			key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	}
	assert_non_null(key);
	return key;
}

static void expect_forged(struct client *c, json_t *claims, EVP_PKEY *key, const char *kid,
			  const char *typ, const char *want, const char *what)
{
	char *token = NULL;
	const char *code;

	assert_int_equal(jwt_sign(claims, key, JWT_RS256, kid, typ, &token, NULL), 0);
	if (authenticate(c, token, &code) != -EACCES || !str_eq(code, want))
		fail_msg("%s: '%s' instead of %s", what, code, want);
	free(token);
}

static void forged_tokens_are_refused(void **state)
{
	static const struct {
		const char *claim, *value, *code;
	} lies[] = {
		{"aud", "\"https://example.org/\"", "InvalidAuthenticationToken"},
		{"aud", "\"https://127.0.0.1:84430\"", "InvalidAuthenticationToken"},
		{"aud", "[\"" ENDPOINT "/\"]", "InvalidAuthenticationToken"},
		{"aud", "null", "InvalidAuthenticationToken"},
		{"iss", "\"https://example.org/adfs\"", "InvalidAuthenticationToken"},
		{"iss", "\"" ENDPOINT "\"", "InvalidAuthenticationToken"},
		{"iss", "\"" ENDPOINT "/adfs/x\"", "InvalidAuthenticationToken"},
		{"iss", "\"" ENDPOINT "/00000000-0000-0000-0000-000000000001/\"",
		 "InvalidAuthenticationToken"},
		{"iss", "null", "InvalidAuthenticationToken"},
		{"exp", "1000", "ExpiredAuthenticationToken"},
		{"exp", "null", "InvalidAuthenticationToken"},
		{"nbf", "99999999999", "InvalidAuthenticationToken"},
		{"tid", "\"00000000-0000-0000-0000-000000000001\"", "InvalidAuthenticationToken"},
		{"tid", "null", "InvalidAuthenticationToken"},
		{"oid", "\"00000000-0000-0000-0000-000000000001\"", "InvalidAuthenticationToken"},
		{"oid", "null", "InvalidAuthenticationToken"},
		{"cred", "\"pwd:00000000-0000-0000-0000-000000000001\"",
		 "InvalidAuthenticationToken"},
		{"cred", "null", "InvalidAuthenticationToken"},
	};
	struct client *c = *state;
	EVP_PKEY *key = server_key(c), *other = EVP_RSA_gen(2048);
	char secret[80];
	struct jwt good = {0};

	token_ok(c, ADFS, make_ci(c, secret, sizeof(secret)));
	assert_int_equal(jwt_parse(c->token, strlen(c->token), &good, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		auto_json json_t *claims = json_deep_copy(good.claims);

		json_object_set_new(claims, lies[i].claim,
				    json_loads(lies[i].value, JSON_DECODE_ANY, NULL));
		if (str_eq(lies[i].value, "null"))
			json_object_del(claims, lies[i].claim);
		expect_forged(c, claims, key, good.kid, NULL, lies[i].code, lies[i].claim);
	}
	expect_forged(c, good.claims, other, good.kid, NULL, "InvalidAuthenticationToken",
		      "wrong key");
	expect_forged(c, good.claims, key, "unknown", NULL, "InvalidAuthenticationToken",
		      "unknown kid");
	expect_forged(c, good.claims, key, NULL, NULL, "InvalidAuthenticationToken", "no kid");
	expect_forged(c, good.claims, key, good.kid, "rt+jwt", "InvalidAuthenticationToken",
		      "a refresh token");
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	jwt_done(&good);
}

static void damaged_tokens_are_refused(void **state)
{
	struct client *c = *state;
	char secret[80], bad[sizeof(c->token)];
	const char *code;
	char *last, *huge;
	size_t n;

	token_ok(c, ADFS, make_ci(c, secret, sizeof(secret)));
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	n = strlen(c->token);
	for (size_t i = 0; i < n; i += 7) { /* a changed character */
		(void) snprintf(bad, sizeof(bad), "%s", c->token);
		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_int_equal(authenticate(c, bad, NULL), -EACCES);
	}
	(void) snprintf(bad, sizeof(bad), "%s", c->token); /* stripped of its signature */
	last = strrchr(bad, '.');
	last[1] = '\0';
	assert_int_equal(authenticate(c, bad, NULL), -EACCES);
	last[0] = '\0';
	assert_int_equal(authenticate(c, bad, NULL), -EACCES);
	(void) snprintf(bad, sizeof(bad), "%sA", c->token);
	assert_int_equal(authenticate(c, bad, NULL), -EACCES);
	assert_int_equal(authenticate(c, "", NULL), -EACCES);
	assert_int_equal(authenticate(c, NULL, &code), -EACCES);
	assert_string_equal(code, "AuthenticationFailed");
	huge = malloc(LOGIN_TOKEN_MAX + 2);
	assert_non_null(huge);
	memset(huge, 'A', LOGIN_TOKEN_MAX + 1);
	huge[LOGIN_TOKEN_MAX + 1] = '\0';
	assert_int_equal(authenticate(c, huge, NULL), -EACCES);
	free(huge);
}

/* ---- People --------------------------------------------------------------------------------- */

#define USER_FORM                                                                                  \
	"grant_type=password&client_id=04b07795-8ddb-461a-bbee-02f9e1bf7b46&username=%s"           \
	"&password=%s&client_info=1&scope=openid+offline_access+profile+"                          \
	"https%%3A%%2F%%2F127.0.0.1%%3A8443%%2F%%2F.default"

static void a_user_logs_in_with_a_password(void **state)
{
	struct client *c = *state;
	char refresh[4096];

	expect_ok(c->h, "PUT", USER "alice", V_ID,
		  "{'properties':{'userPrincipalName':'alice@example.org'}}");
	assert_int_equal(ask(c, ADFS, USER_FORM, "alice@example.org", "correct+horse"), 400);
	expect_ok(c->h, "POST", USER "alice/setPassword", V_ID, "{'password':'correct horse'}");
	assert_int_equal(ask(c, ADFS, USER_FORM, "Alice@Example.org", "correct+horse"), 200);
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	assert_non_null(json_str_at(c->res.body, "id_token"));
	assert_non_null(json_str_at(c->res.body, "client_info"));
	(void) snprintf(refresh, sizeof(refresh), "%s", json_str_at(c->res.body, "refresh_token"));
	assert_int_equal(authenticate(c, refresh, NULL), -EACCES); /* no access token */
	assert_int_equal(ask(c, ADFS,
			     "grant_type=refresh_token&refresh_token=%s&resource="
			     "https://management.azure.com/",
			     refresh),
			 200);
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	assert_int_equal(ask(c, ADFS, "grant_type=refresh_token&refresh_token=%s", c->token), 400);
	assert_int_equal(ask(c, ADFS, USER_FORM, "alice@example.org", "wrong"), 400);
	assert_int_equal(json_int_at(c->res.body, "error_codes.0", 0), 50126);
	assert_int_equal(ask(c, ADFS, USER_FORM, "nobody", "wrong"), 400);
	assert_int_equal(json_int_at(c->res.body, "error_codes.0", 0), 50126);
	expect_ok(c->h, "POST", USER "alice/setPassword", V_ID, NULL); /* a new one is told */
	assert_int_equal(strlen(text_at(c->h, "password")), 64);
	login_refresh(c->login);
	assert_int_equal(ask(c, ADFS, "grant_type=refresh_token&refresh_token=%s", refresh), 400);
	assert_int_equal(json_int_at(c->res.body, "error_codes.0", 0), 70008);
}

/* ---- Discovery ------------------------------------------------------------------------------ */

static void discovery_is_served_in_both_styles(void **state)
{
	struct client *c = *state;
	const char *tenant = json_str_at(c->h->app->admin, "tenantId");
	char path[128];

	assert_int_equal(http(c, "GET", "/metadata/endpoints", NULL), 400);
	assert_int_equal(http(c, "GET", "/metadata/endpoints?api-version=2015-01-01", NULL), 200);
	assert_string_equal(json_str_at(c->res.body, "authentication.loginEndpoint"),
			    ENDPOINT "/adfs");
	assert_int_equal(http(c, "GET", "/metadata/endpoints?api-version=2022-09-01", NULL), 200);
	assert_true(json_is_array(c->res.body));
	assert_string_equal(json_str_at(json_array_get(c->res.body, 0), "resourceManager"),
			    ENDPOINT "/");
	assert_int_equal(http(c, "GET", "/adfs/.well-known/openid-configuration", NULL), 200);
	assert_string_equal(json_str_at(c->res.body, "token_endpoint"),
			    ENDPOINT "/adfs/oauth2/token");
	assert_int_equal(http(c, "GET", "/adfs/adfs/.well-known/openid-configuration", NULL), 200);
	(void) snprintf(path, sizeof(path), "/%s/v2.0/.well-known/openid-configuration", tenant);
	assert_int_equal(http(c, "HEAD", path, NULL), 200);
	assert_true(str_ends(json_str_at(c->res.body, "token_endpoint"), "/oauth2/v2.0/token"));
	assert_int_equal(http(c, "GET", "/common/discovery/instance", NULL), 200);
	assert_int_equal(http(c, "GET", "/metadata/aliases.json", NULL), 200);
	assert_int_equal(
		http(c, "GET", "/subscriptions/x/v2.0/.well-known/openid-configuration", NULL), -1);
	assert_false(login_owns("/"));
	assert_false(login_owns("/metadata/endpoints/more"));
	assert_true(login_owns("/METADATA/endpoints?x"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, client_setup, client_teardown)
	const struct CMUnitTest tests[] = {
		T(the_administrator_logs_in),
		T(every_way_of_asking),
		T(refusals_have_their_numbers),
		T(guessing_is_slowed_down_for_the_one_who_guesses),
		T(logins_are_in_the_audit_log),
		T(removing_the_secret_ends_its_tokens),
		T(disabling_and_deleting_end_tokens),
		T(groups_are_looked_up_not_carried),
		T(keys_change_and_old_tokens_stay_good),
		T(two_servers_believe_each_other),
		T(a_revoked_key_ends_what_it_signed),
		T(a_private_key_is_private),
		T(forged_tokens_are_refused),
		T(damaged_tokens_are_refused),
		T(a_user_logs_in_with_a_password),
		T(discovery_is_served_in_both_styles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

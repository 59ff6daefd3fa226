/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in without a secret: by certificate, and by an outside issuer's token. */
#include "login_client.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/hash.h"
#include "base/timeutil.h"
#include "login/jwt.h"

#define ISSUER "https://issuer.example/realm"
#define FORM                                                                                       \
	"grant_type=client_credentials&client_id=%s&client_assertion_type="                        \
	"urn%%3Aietf%%3Aparams%%3Aoauth%%3Aclient-assertion-type%%3Ajwt-bearer"                    \
	"&scope=https%%3A%%2F%%2Fmanagement.azure.com%%2F.default&client_assertion=%s"

static int64_t now_s(void)
{
	return time_now_us() / 1000000;
}

/* Self-signed, good for @days. */
static char *certificate(EVP_PKEY *key, int days)
{
	X509 *x = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL, *copy;
	long n;

	assert_non_null(x);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days));
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, x), 1);
	n = BIO_get_mem_data(bio, &text);
	copy = calloc(1, (size_t) n + 1);
	assert_non_null(copy);
	memcpy(copy, text, (size_t) n);
	BIO_free(bio);
	X509_free(x);
	return copy;
}

/* Registers it with "ci"; the thumbprint; static. */
static const char *register_key(struct client *c, const char *pem)
{
	static char print[64];
	auto_json json_t *body = json_pack("{s:s}", "key", pem);
	auto_free char *text = json_compact(body);
	const char *x5t;

	expect_ok(c->h, "POST", PRINCIPAL "ci/addKey", V_ID, text);
	x5t = json_str_at(c->h->body, "x5t");
	(void) snprintf(print, sizeof(print), "%s", x5t ? x5t : text_at(c->h, "keyId"));
	login_refresh(c->login);
	return print;
}

static json_t *own_claims(const char *id)
{
	char jti[UUID_STR];

	assert_int_equal(uuid_random(jti), 0);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "iss", id, "sub", id, "jti", jti, "aud",
			 ENDPOINT ADFS, "nbf", (json_int_t) now_s(), "exp",
			 (json_int_t) now_s() + 600);
}

static void present(struct client *c, const char *id, const json_t *claims, EVP_PKEY *key,
		    enum jwt_alg alg, const char *kid, int aadsts)
{
	char *token = NULL;
	int status;

	assert_int_equal(jwt_sign(claims, key, alg, kid, NULL, &token, NULL), 0);
	status = ask(c, ADFS, FORM, id, token);
	if (aadsts == 0 ? status != 200 : json_int_at(c->res.body, "error_codes.0", 0) != aadsts) {
		char *text = json_compact(c->res.body);

		fail_msg("AADSTS%d expected: %d %s", aadsts, status, text);
	}
	free(token);
}

/* ---- Certificates --------------------------------------------------------------------------- */

static void a_certificate_logs_in_once_per_assertion(void **state)
{
	struct client *c = *state;
	EVP_PKEY *key = EVP_RSA_gen(2048);
	auto_free char *pem = certificate(key, 30);
	auto_json json_t *claims = NULL, *again = NULL;
	const char *kid;
	char id[40], body[80], padded[80];

	expect_ok(c->h, "PUT", PRINCIPAL "ci", V_ID, "{}");
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	kid = register_key(c, pem);
	claims = own_claims(id);
	present(c, id, claims, key, JWT_RS256, kid, 0);
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	present(c, id, claims, key, JWT_RS256, kid, 50013); /* replayed */
	present(c, id, claims, key, JWT_PS256, kid, 50013); /* signed again: still the same one */
	again = own_claims(id);
	(void) snprintf(padded, sizeof(padded), "%s=", kid); /* as MSAL writes it */
	present(c, id, again, key, JWT_PS256, padded, 0);
	expect_ok(c->h, "GET", PRINCIPAL "ci", V_ID, NULL);
	(void) snprintf(body, sizeof(body), "{'keyId':'%s'}",
			text_at(c->h, "properties.keyCredentials.0.keyId"));
	expect_ok(c->h, "POST", PRINCIPAL "ci/removeKey", V_ID, body);
	login_refresh(c->login);
	assert_int_equal(authenticate(c, c->token, NULL), -EACCES);
	EVP_PKEY_free(key);
}

static void bad_assertions_are_refused(void **state)
{
	static const struct {
		const char *claim, *value;
		int aadsts;
	} lies[] = {
		{"aud", "\"https://example.org/token\"", 700023},
		{"aud", "null", 700023},
		{"exp", "1000", 700024},
		{"exp", "99999999999", 700024},
		{"exp", "null", 700024},
		{"nbf", "99999999999", 700024},
		{"jti", "null", 50013},
		{"jti", "7", 50013},
		{"sub", "null", 50027},
		{"iss", "null", 50027},
		{"sub", "\"somebody else\"", 700211}, /* then it is an outside issuer's */
	};
	struct client *c = *state;
	EVP_PKEY *key = EVP_RSA_gen(2048), *other = EVP_RSA_gen(2048);
	auto_free char *pem = certificate(key, 30);
	auto_json json_t *good = NULL;
	const char *kid;
	char id[40];

	expect_ok(c->h, "PUT", PRINCIPAL "ci", V_ID, "{}");
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	good = own_claims(id);
	present(c, id, good, key, JWT_RS256, "x", 700027); /* nothing registered */
	kid = register_key(c, pem);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		auto_json json_t *claims = own_claims(id);

		json_object_set_new(claims, lies[i].claim,
				    json_loads(lies[i].value, JSON_DECODE_ANY, NULL));
		if (str_eq(lies[i].value, "null"))
			json_object_del(claims, lies[i].claim);
		present(c, id, claims, key, JWT_RS256, kid, lies[i].aadsts);
	}
	present(c, id, good, other, JWT_RS256, kid, 700027);
	present(c, id, good, key, JWT_RS256, "x", 700027);
	present(c, json_str_at(c->h->app->admin, "clientId"), good, key, JWT_RS256, kid, 700021);
	present(c, id, good, key, JWT_RS256, NULL, 0); /* no key named: tried */
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void an_expired_certificate_is_refused(void **state)
{
	struct client *c = *state;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	auto_free char *pem = certificate(key, -0);
	auto_free char *good = certificate(key, 1);
	auto_json json_t *claims = NULL, *more = NULL;
	const char *kid;
	char id[40];

	expect_ok(c->h, "PUT", PRINCIPAL "ci", V_ID, "{}");
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	claims = own_claims(id);
	kid = register_key(c, pem);
	present(c, id, claims, key, JWT_ES256, kid, 700027);
	kid = register_key(c, good);
	more = own_claims(id);
	present(c, id, more, key, JWT_ES256, kid, 0);
	EVP_PKEY_free(key);
}

/* ---- Outside issuers ------------------------------------------------------------------------ */

static json_t *outside_claims(void)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", ISSUER, "sub", "repo:o/r", "aud",
			 "api://AzureADTokenExchange", "iat", (json_int_t) now_s(), "exp",
			 (json_int_t) now_s() + 300);
}

static void trust(struct client *c, EVP_PKEY *key, const char *subject)
{
	auto_json json_t *jwk = NULL, *body = NULL;
	auto_free char *text = NULL;

	assert_int_equal(jwk_public(key, JWT_RS256, "k1", &jwk, NULL), 0);
	body = json_pack("{s:{s:[{s:s, s:s, s:s, s:{s:[O]}}]}}", "properties",
			 "federatedCredentials", "name", "ci", "issuer", ISSUER, "subject", subject,
			 "jwks", "keys", jwk);
	text = json_compact(body);
	expect_ok(c->h, "PUT", PRINCIPAL "fed", V_ID, text);
	login_refresh(c->login);
}

static void an_outside_token_logs_in(void **state)
{
	static const struct {
		const char *claim, *value;
		int aadsts;
	} lies[] = {
		{"iss", "\"https://issuer.example/realm/\"", 700211},
		{"iss", "\"https://evil.example\"", 700211},
		{"sub", "\"repo:o/R\"", 700213},
		{"sub", "\"repo:o/r2\"", 700213},
		{"aud", "\"api://azureadtokenexchange\"", 700212},
		{"aud", "[]", 700212},
		{"exp", "1000", 700024},
		{"exp", "null", 700024},
	};
	struct client *c = *state;
	EVP_PKEY *key = EVP_RSA_gen(2048), *other = EVP_RSA_gen(2048);
	auto_json json_t *good = outside_claims();
	char id[40];

	trust(c, key, "repo:o/r");
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "fed"));
	present(c, id, good, key, JWT_RS256, "k1", 0);
	assert_int_equal(authenticate(c, c->token, NULL), 0);
	present(c, id, good, key, JWT_RS256, "k1", 0); /* its issuer says how long, not how often */
	present(c, id, good, key, JWT_RS256, NULL, 0); /* the only key */
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		auto_json json_t *claims = outside_claims();

		json_object_set_new(claims, lies[i].claim,
				    json_loads(lies[i].value, JSON_DECODE_ANY, NULL));
		if (str_eq(lies[i].value, "null"))
			json_object_del(claims, lies[i].claim);
		present(c, id, claims, key, JWT_RS256, "k1", lies[i].aadsts);
	}
	present(c, id, good, other, JWT_RS256, "k1", 700027);
	present(c, id, good, key, JWT_RS256, "k2", 700027);
	present(c, id, good, key, JWT_PS256, "k1", 700027); /* the key says RS256 */
	present(c, json_str_at(c->h->app->admin, "clientId"), good, key, JWT_RS256, "k1", 700211);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void trusting_another_subject_ends_tokens(void **state)
{
	struct client *c = *state;
	EVP_PKEY *key = EVP_RSA_gen(2048);
	auto_json json_t *good = outside_claims();
	char id[40];

	trust(c, key, "repo:o/r");
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "fed"));
	present(c, id, good, key, JWT_RS256, "k1", 0);
	trust(c, key, "repo:o/other");
	assert_int_equal(authenticate(c, c->token, NULL), -EACCES);
	present(c, id, good, key, JWT_RS256, "k1", 700213);
	EVP_PKEY_free(key);
}

static void keys_are_not_fetched_from_inside(void **state)
{
	static const char *const issuers[] = {
		"'issuer':'https://127.0.0.1:1/x'",
		"'issuer':'https://localhost:1/x'",
		"'issuer':'" ISSUER "','jwksUri':'https://[::1]:1/keys'",
		"'issuer':'" ISSUER "','jwksUri':'https://169.254.169.254/latest'",
	};
	struct client *c = *state;
	EVP_PKEY *key = EVP_RSA_gen(2048);
	char id[40], body[512];

	for (size_t i = 0; i < ARRAY_SIZE(issuers); i++) {
		auto_json json_t *claims = outside_claims();

		(void) snprintf(body, sizeof(body),
				"{'properties':{'federatedCredentials':[{'name':'x',%s,"
				"'subject':'repo:o/r'}]}}",
				issuers[i]);
		expect_ok(c->h, "PUT", PRINCIPAL "fed", V_ID, body);
		(void) snprintf(id, sizeof(id), "%s", app_id(c, "fed"));
		json_object_set(claims, "iss",
				json_at(c->h->body, "properties.federatedCredentials.0.issuer"));
		present(c, id, claims, key, JWT_RS256, "k1", 50166);
	}
	EVP_PKEY_free(key);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, client_setup, client_teardown)
	const struct CMUnitTest tests[] = {
		T(a_certificate_logs_in_once_per_assertion), T(bad_assertions_are_refused),
		T(an_expired_certificate_is_refused),        T(an_outside_token_logs_in),
		T(trusting_another_subject_ends_tokens),     T(keys_are_not_fetched_from_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

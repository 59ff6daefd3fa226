/* SPDX-License-Identifier: Apache-2.0 */
/* Kiln.Identity/servicePrincipals: programs that log in, by secret, certificate or the token of an
 * outside issuer. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/hash.h"
#include "base/mem.h"
#include "login/jwt.h"
#include "login/secret.h"
#include "providers/identity.h"
#include "providers/registry.h"

#define SECRET_DAYS   730 /* as long as Graph's, unless the request says otherwise */
#define KEYS_MAX      20
#define JWKS_MAX      64                           /* of one outside issuer */
#define AUDIENCE      "api://AzureADTokenExchange" /* what workload identity tools ask for */
#define PEM_BYTES_MAX 16384

/* ---- Federated credentials ------------------------------------------------------------------ */

static int check_jwks(const json_t *jwks, size_t at, struct err *err)
{
	const json_t *keys = json_object_get(jwks, "keys");

	if (!json_is_array(keys) || json_array_size(keys) == 0 || json_array_size(keys) > JWKS_MAX)
		return refuse(err, -EINVAL, "InvalidParameter", NULL,
			      "properties.federatedCredentials[%zu].jwks: {\"keys\": [...]} with 1"
			      " to %d keys is expected",
			      at, JWKS_MAX);
	for (size_t i = 0; i < json_array_size(keys); i++) {
		struct err why = ERR_INIT;
		EVP_PKEY *key = NULL;
		unsigned algs;
		int r = jwk_parse(json_array_get(keys, i), &key, &algs, &why);

		EVP_PKEY_free(key);
		if (r < 0)
			r = refuse(err, r, "InvalidParameter", NULL,
				   "properties.federatedCredentials[%zu].jwks.keys[%zu]: %s", at, i,
				   err_str(&why));
		err_done(&why);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_federated(json_t *list, size_t i, struct err *err)
{
	json_t *f = json_array_get(list, i);
	const char *issuer = json_str_at(f, "issuer"), *name = json_str_at(f, "name");
	const json_t *jwks = json_object_get(f, "jwks");

	for (size_t k = 0; k < i; k++)
		if (str_eq_nocase(json_str_at(json_array_get(list, k), "name"), name))
			return refuse(
				err, -EINVAL, "InvalidParameter", NULL,
				"properties.federatedCredentials: the name '%s' is given twice",
				name);
	if (!jwks && !json_str_at(f, "jwksUri") && !str_starts(issuer, "https://"))
		return refuse(err, -EINVAL, "InvalidParameter", NULL,
			      "properties.federatedCredentials[%zu].issuer: its keys cannot be"
			      " found: an https URL, or jwks or jwksUri, is expected",
			      i);
	if (!json_object_get(f, "audiences") &&
	    json_object_set_new(f, "audiences", json_pack("[s]", AUDIENCE)) < 0)
		return no_memory(err);
	return jwks ? check_jwks(jwks, i, err) : 0;
}

static int principal_write(struct arm_call *c, struct err *err)
{
	json_t *list = json_at(c->doc, "properties.federatedCredentials");
	const char *given = json_str_at(c->doc, "properties.appId");
	auto_free char *lower = given ? str_lower(given) : NULL;
	char made[UUID_STR];

	for (size_t i = 0; i < json_array_size(list); i++) {
		int r = check_federated(list, i, err);

		if (r < 0)
			return r;
	}
	if (!lower && uuid_random(made) < 0)
		return err_set(err, -EIO, "no random numbers from the kernel");
	if (!c->old && set_str(c->doc, "properties.appId", lower ? lower : made, err) < 0)
		return -ENOMEM;
	return identity_fill(c, "app", "properties.appId", err);
}

/* ---- Secrets -------------------------------------------------------------------------------- */

static int add_password(struct arm_call *c, struct err *err)
{
	char secret[SECRET_TEXT];
	json_t *cred = NULL;
	int r = identity_allowed(c, err);

	if (r >= 0)
		r = secret_new(secret, err);
	if (r < 0)
		return r;
	r = identity_add_secret(c, secret, true, &cred, err);
	if (r >= 0)
		r = identity_set_dates(c, cred, SECRET_DAYS, err);
	if (r >= 0)
		r = identity_changed(c, err);
	if (r >= 0) {
		c->result = json_deep_copy(cred);
		/* The one time that it is seen. */
		if (!c->result ||
		    json_object_set_new(c->result, "secretText", json_string(secret)) < 0)
			r = no_memory(err);
	}
	mem_wipe(secret, sizeof(secret));
	return r;
}

static int remove_password(struct arm_call *c, struct err *err)
{
	return identity_remove_key(c, "properties.passwordCredentials", err);
}

/* ---- Certificates and public keys ----------------------------------------------------------- */

static int set_thumbprints(X509 *cert, json_t *cred)
{
	static const struct {
		const char *name;
		const EVP_MD *(*md)(void);
	} prints[] = {{"x5t", EVP_sha1}, {"x5tS256", EVP_sha256}};

	for (size_t i = 0; i < ARRAY_SIZE(prints); i++) {
		unsigned char d[EVP_MAX_MD_SIZE];
		auto_free char *text = NULL;
		unsigned n = 0;

		if (X509_digest(cert, prints[i].md(), d, &n) != 1)
			return -EIO;
		text = b64url_encode(d, n);
		if (!text || json_object_set_new(cred, prints[i].name, json_string(text)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The certificate's own end, unless the request asks for an earlier one. */
static int set_cert_end(X509 *cert, json_t *cred)
{
	const char *asked = json_str_at(cred, "endDateTime");
	struct tm tm;
	char text[32];

	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return -EINVAL;
	(void) strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (asked && strcmp(asked, text) < 0) /* both are ISO 8601 in UTC */
		return 0;
	return json_object_set_new(cred, "endDateTime", json_string(text)) < 0 ? -ENOMEM : 0;
}

static EVP_PKEY *read_pem(const char *pem, X509 **ret_cert)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = NULL;

	*ret_cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	if (*ret_cert) {
		key = X509_get_pubkey(*ret_cert);
	} else if (bio) {
		(void) BIO_reset(bio);
		key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	}
	BIO_free(bio);
	return key;
}

static int fill_key(const char *pem, json_t *cred, struct err *err)
{
	X509 *cert = NULL;
	EVP_PKEY *key = read_pem(pem, &cert);
	json_t *jwk = NULL;
	unsigned algs = 0;
	int r = key ? key_algs(key, &algs, err) : -EINVAL;

	if (r >= 0)
		r = jwk_public(key, algs & JWT_ALG_RSA ? JWT_RS256 : JWT_ES256, NULL, &jwk, err);
	if (r >= 0 && json_object_set_new(cred, "jwk", jwk) < 0)
		r = -ENOMEM;
	if (r >= 0 && cert)
		r = set_thumbprints(cert, cred);
	if (r >= 0 && cert)
		r = set_cert_end(cert, cred);
	if (r >= 0 &&
	    json_object_set_new(cred, "type",
				json_string(cert ? "AsymmetricX509Cert" : "PublicKey")) < 0)
		r = -ENOMEM;
	EVP_PKEY_free(key);
	X509_free(cert);
	if (!key)
		return refuse(err, -EINVAL, "InvalidParameter", "key",
			      "a certificate or a public key in PEM is expected");
	if (r < 0)
		err_target(err, "key");
	return r == -ENOMEM ? no_memory(err) : r;
}

static int add_key(struct arm_call *c, struct err *err)
{
	json_t *list = json_at(c->doc, "properties.keyCredentials");
	auto_json json_t *cred = NULL;
	char key_id[UUID_STR];
	int r = identity_allowed(c, err);

	if (r < 0)
		return r;
	if (json_array_size(list) >= KEYS_MAX)
		return refuse(err, -EPERM, "TooManyCredentials", "properties.keyCredentials",
			      "a principal has at most %d keys: remove one first", KEYS_MAX);
	if (uuid_random(key_id) < 0)
		return err_set(err, -EIO, "no random numbers from the kernel");
	cred = json_pack("{s:s}", "keyId", key_id);
	r = cred ? 0 : no_memory(err);
	if (r >= 0 && json_str_at(c->body, "displayName"))
		r = set_str(cred, "displayName", json_str_at(c->body, "displayName"), err);
	if (r >= 0)
		r = identity_set_dates(c, cred, 0, err);
	if (r >= 0)
		r = fill_key(json_str_at(c->body, "key"), cred, err);
	if (r >= 0 && !list) {
		list = json_array();
		r = json_set_at(c->doc, "properties.keyCredentials", list) < 0 ? no_memory(err) : 0;
	}
	if (r >= 0)
		r = json_array_append(list, cred) < 0 ? no_memory(err) : 0;
	if (r >= 0)
		r = identity_changed(c, err);
	if (r >= 0)
		c->result = json_deep_copy(cred);
	return r;
}

static int remove_key(struct arm_call *c, struct err *err)
{
	return identity_remove_key(c, "properties.keyCredentials", err);
}

/* ---- The type ------------------------------------------------------------------------------- */

static const struct arm_field key_fields[] = {
	{.name = "keyId", .type = ARM_STRING},
	{.name = "displayName", .type = ARM_STRING},
	{.name = "type", .type = ARM_STRING},
	{.name = "x5t", .type = ARM_STRING},
	{.name = "x5tS256", .type = ARM_STRING},
	{.name = "startDateTime", .type = ARM_DATE},
	{.name = "endDateTime", .type = ARM_DATE},
	{.name = "jwk", .type = ARM_ANY},
	{.name = NULL},
};
static const struct arm_field federated_fields[] = {
	{.name = "name", .type = ARM_STRING, .flags = ARM_REQUIRED, .min = 1, .max = 120},
	{.name = "issuer", .type = ARM_STRING, .flags = ARM_REQUIRED, .min = 1, .max = 600},
	{.name = "subject", .type = ARM_STRING, .flags = ARM_REQUIRED, .min = 1, .max = 600},
	{.name = "audiences", .type = ARM_ARRAY, .item = ARM_STRING, .min = 1, .max = 10},
	{.name = "description", .type = ARM_STRING, .max = 600},
	{.name = "jwks", .type = ARM_ANY, .flags = ARM_NULLABLE},
	{.name = "jwksUri", .type = ARM_STRING, .pattern = "https://.+", .max = 1000},
	{.name = NULL},
};
static const struct arm_field principal_properties[] = {
	{.name = "appId", .type = ARM_STRING, .flags = ARM_IMMUTABLE, .pattern = GUID_PATTERN},
	{.name = "objectId", .type = ARM_STRING, .flags = ARM_IMMUTABLE, .pattern = GUID_PATTERN},
	{.name = "tenantId", .type = ARM_STRING, .flags = ARM_IMMUTABLE, .pattern = GUID_PATTERN},
	{.name = "displayName", .type = ARM_STRING, .min = 1, .max = 256},
	{.name = "description", .type = ARM_STRING, .max = 1024},
	{.name = "disabled", .type = ARM_BOOL},
	{.name = "passwordCredentials",
	 .type = ARM_ARRAY,
	 .flags = ARM_READONLY,
	 .fields = identity_passwords},
	{.name = "keyCredentials", .type = ARM_ARRAY, .flags = ARM_READONLY, .fields = key_fields},
	{.name = "federatedCredentials", .type = ARM_ARRAY, .max = 20, .fields = federated_fields},
	{.name = NULL},
};
static const struct arm_field add_password_shape[] = {
	{.name = "displayName", .type = ARM_STRING, .max = 120},
	{.name = "endDateTime", .type = ARM_DATE},
	{.name = NULL},
};
static const struct arm_field add_key_shape[] = {
	{.name = "key", .type = ARM_STRING, .flags = ARM_REQUIRED, .min = 1, .max = PEM_BYTES_MAX},
	{.name = "displayName", .type = ARM_STRING, .max = 120},
	{.name = "endDateTime", .type = ARM_DATE},
	{.name = NULL},
};
static const struct arm_action principal_actions[] = {
	{"addPassword", "POST", "addPassword/action", add_password, add_password_shape, true},
	{"removePassword", "POST", "removePassword/action", remove_password, identity_key_id},
	{"addKey", "POST", "addKey/action", add_key, add_key_shape},
	{"removeKey", "POST", "removeKey/action", remove_key, identity_key_id},
	{NULL},
};

const struct arm_type type_service_principals = {
	.name = TYPE_PRINCIPAL,
	.scope = ARM_SCOPE_TENANT,
	.first_version = API_IDENTITY,
	.strict_from = API_IDENTITY,
	.name_pattern = "[A-Za-z0-9][A-Za-z0-9._-]*",
	.name_max = 120,
	.stateless = true,
	.properties = principal_properties,
	.write = principal_write,
	.del = identity_del,
	.actions = principal_actions,
};

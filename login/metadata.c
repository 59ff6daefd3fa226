/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients read before they log in: the cloud's endpoints and the OpenID configuration.
 * Shapes: the one of 2015-01-01 is an object that `az cloud register` reads; later versions answer
 * with a list of clouds, for ARM_CLOUD_METADATA_URL and Terraform's metadata_host.
 */
#include "login/internal.h"

#include "base/mem.h"

#define OLD_VERSION  "2015-01-01"
#define LIST_VERSION "2019-05-01"

static json_t *cloud_object(const char *base)
{
	return json_pack("{s:o, s:o, s:o, s:{s:o, s:[o]}}", "galleryEndpoint",
			 json_strf("%s/", base), "graphEndpoint", json_strf("%s/", base),
			 "portalEndpoint", json_strf("%s/", base), "authentication",
			 "loginEndpoint", json_strf("%s/adfs", base), "audiences",
			 json_strf("%s/", base));
}

/* Suffixes that kiln serves nothing under are those of this host, so that a client that looks at
 * them stays here. */
static json_t *cloud_suffixes(const char *base)
{
	const char *host = strstr(base, "://");

	host = host ? host + 3 : base;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "storage", host, "keyVaultDns", host,
			 "sqlServerHostname", host, "azureDataLakeStoreFileSystem", host,
			 "azureDataLakeAnalyticsCatalogAndJob", host, "acrLoginServer", host);
}

static int add_plain(json_t *cloud, const char *base)
{
	static const char *const keys[] = {
		"portal", "graph",         "graphAudience",           "gallery",        "batch",
		"media",  "sqlManagement", "activeDirectoryDataLake", "resourceManager"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_set_new(cloud, keys[i], json_strf("%s/", base)) < 0)
			return -ENOMEM;
	return 0;
}

static json_t *cloud_entry(struct login_call *c)
{
	const char *base = c->base;
	json_t *cloud = json_pack(
		"{s:s, s:{s:o, s:[o, s, s], s:s, s:s}, s:o, s:o, s:o}", "name", "kiln",
		"authentication", "loginEndpoint", json_strf("%s/", base), "audiences",
		json_strf("%s/", base), "https://management.core.windows.net/",
		"https://management.azure.com/", "tenant", c->l->tenant_id, "identityProvider",
		"AAD", "microsoftGraphResourceId", json_strf("%s/msgraph/", base),
		"vmImageAliasDoc", json_strf("%s/metadata/aliases.json", base), "suffixes",
		cloud_suffixes(base));

	if (cloud && add_plain(cloud, base) < 0) {
		json_decref(cloud);
		return NULL;
	}
	return cloud;
}

int metadata_endpoints(struct login_call *c)
{
	const char *version = target_query(&c->target, "api-version");

	if (!version || strcmp(version, OLD_VERSION) < 0)
		return reply_refuse(c, -EINVAL,
				    version ? "InvalidApiVersionParameter"
					    : "MissingApiVersionParameter",
				    "The query option api-version is required: %s for one object,"
				    " %s or later for a list.",
				    OLD_VERSION, LIST_VERSION);
	if (strcmp(version, LIST_VERSION) >= 0)
		return reply(c, 200, json_pack("[o]", cloud_entry(c)));
	return reply(c, 200, cloud_object(c->base));
}

/* The document that az resolves image aliases with: what kiln itself makes. */
int metadata_aliases(struct login_call *c)
{
	return reply(c, 200,
		     json_pack("{s:{s:{s:s, s:{s:{s:{s:s, s:s, s:s, s:s, s:s}}}}}}", "outputs",
			       "aliases", "type", "object", "value", "Linux", "Debian12",
			       "publisher", "Debian", "offer", "debian-12", "sku", "12-gen2",
			       "version", "latest", "architecture", "x64"));
}

static int add_url(json_t *j, const char *key, const char *a, const char *b, const char *path)
{
	return json_object_set_new(j, key, json_strf("%s%s%s", a, b, path)) < 0 ? -ENOMEM : 0;
}

/* Both styles: ADFS has its endpoints beneath /adfs, Entra beneath the tenant. */
int metadata_openid(struct login_call *c)
{
	auto_free char *under = c->tenant ? strf("/%s", c->tenant) : strdup("/adfs");
	const char *path = c->tenant ? "/oauth2/v2.0/token" : "/oauth2/token";
	json_t *j = json_pack(
		"{s:[s, s, s], s:[s], s:[s], s:[s, s], s:[s], s:[s, s, s, s, s, s, s], s:[s, s, "
		"s]}",
		"token_endpoint_auth_methods_supported", "client_secret_post",
		"client_secret_basic", "private_key_jwt", "response_types_supported", "token",
		"subject_types_supported", "public", "id_token_signing_alg_values_supported",
		"RS256", "ES256", "scopes_supported", "openid", "claims_supported", "aud", "iss",
		"iat", "exp", "oid", "sub", "tid", "grant_types_supported", "client_credentials",
		"password", "urn:ietf:params:oauth:grant-type:jwt-bearer");
	int r = under && j ? 0 : -ENOMEM;

	if (r >= 0)
		r = add_url(j, "token_endpoint", c->base, under, path);
	if (r >= 0)
		r = add_url(j, "authorization_endpoint", c->base, under, "/oauth2/authorize");
	if (r >= 0)
		r = add_url(j, "jwks_uri", c->base, under,
			    c->tenant ? "/discovery/v2.0/keys" : "/discovery/keys");
	if (r >= 0)
		r = add_url(j, "issuer", c->l->config.endpoint, under, c->tenant ? "/v2.0" : "");
	if (r < 0) {
		json_decref(j);
		return err_set(&c->err, r, "out of memory");
	}
	return reply(c, 200, j);
}

/* MSAL asks it whether an authority is one. */
int metadata_instance(struct login_call *c)
{
	const char *host = strstr(c->base, "://");

	host = host ? host + 3 : c->base;
	return reply(c, 200,
		     json_pack("{s:o, s:s, s:[{s:s, s:s, s:[s]}]}", "tenant_discovery_endpoint",
			       json_strf("%s/%s/v2.0/.well-known/openid-configuration", c->base,
					 c->l->tenant_id),
			       "api-version", "1.1", "metadata", "preferred_network", host,
			       "preferred_cache", host, "aliases", host));
}

/* Clients want the address of one to exist; nobody signs in by a browser's form here. */
int metadata_authorize(struct login_call *c)
{
	return oauth_refuse(c, 400, "unsupported_response_type", 70007,
			    "There is no interactive sign-in here; ask the token endpoint.");
}

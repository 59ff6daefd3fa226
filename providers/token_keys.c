/* SPDX-License-Identifier: Apache-2.0 */
/* Kiln.Identity/tokenKeys: the public halves of the keys that sign tokens. Computed; a key that may
 * be known to others is revoked, and every token it signed ends. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/identity.h"
#include "providers/identity.h"
#include "providers/registry.h"

#define TYPE_TOKEN_KEY "Kiln.Identity/tokenKeys"

static json_t *key_json(const struct token_key *k)
{
	char made[ISO_MAX], until[ISO_MAX];
	auto_json json_t *jwk = NULL;

	if (json_parse(k->jwk, strlen(k->jwk), &jwk, NULL) < 0)
		return NULL;
	return json_pack("{s:o, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:O}}", "id",
			 json_strf("/providers/" TYPE_TOKEN_KEY "/%s", k->kid), "name", k->kid,
			 "type", TYPE_TOKEN_KEY, "properties", "algorithm", k->alg, "issuer",
			 k->issuer, "createdAt", time_iso(k->made_us, made), "believedUntil",
			 time_iso(k->until_us, until), "publicKey", jwk);
}

static int keys_get(struct arm_call *c, struct err *err)
{
	struct app *a = c->app;
	auto_token_key struct token_key k = {0};
	int r = token_key_get(a->meta, c->id->name, &k, err);

	if (r == -ENOENT || (r >= 0 && k.until_us < time_now_us()))
		return 0; /* no result: 404 */
	if (r < 0)
		return r;
	c->result = key_json(&k);
	return c->result ? 0 : no_memory(err);
}

static int add_key(void *arg, const struct token_key *k)
{
	if (k->until_us < time_now_us())
		return 0;
	return json_array_append_new(arg, key_json(k)) < 0 ? -ENOMEM : 0;
}

static int keys_list(struct arm_call *c, struct err *err)
{
	struct app *a = c->app;
	auto_json json_t *value = json_array();
	int r = value ? token_key_each(a->meta, add_key, value, err) : -ENOMEM;

	if (r >= 0)
		c->result = json_pack("{s:O}", "value", value);
	return r < 0 || !c->result ? no_memory(err) : 0;
}

static int key_revoke(struct arm_call *c, struct err *err)
{
	struct app *a = c->app;
	auto_token_key struct token_key k = {0};
	int r = token_key_get(a->meta, c->id->name, &k, err);

	if (r == -ENOENT)
		return refuse(err, r, "ResourceNotFound", NULL, "no key signs as '%s'",
			      c->id->name);
	if (r >= 0)
		r = token_key_shorten(a->meta, k.kid, time_now_us() - 1, err);
	return r < 0 ? r : identity_changed(c, err);
}

static const struct arm_action key_actions[] = {
	{"revoke", "POST", "revoke/action", key_revoke, NULL},
	{NULL},
};

const struct arm_type type_token_keys = {
	.name = TYPE_TOKEN_KEY,
	.scope = ARM_SCOPE_TENANT,
	.first_version = API_IDENTITY,
	.name_pattern = "[A-Za-z0-9_-]+",
	.name_max = 64,
	.get = keys_get,
	.list = keys_list,
	.actions = key_actions,
};

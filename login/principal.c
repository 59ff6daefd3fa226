/* SPDX-License-Identifier: Apache-2.0 */
/* A principal as its resource document says now, and what it may prove itself with. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/internal.h"
#include "meta/identity.h"
#include "meta/resources.h"

void principal_done(struct principal *p)
{
	free(p->object_id);
	free(p->name);
	free(p->tenant_id);
	free(p->app_id);
	json_decref(p->doc);
	*p = (struct principal){0};
}

static int copy(const json_t *doc, const char *path, const char *dflt, char **ret)
{
	const char *s = json_str_at(doc, path);

	*ret = s || dflt ? strdup(s ? s : dflt) : NULL;
	return *ret || (!s && !dflt) ? 0 : -ENOMEM;
}

static int fill(struct login *l, json_t *doc, struct principal *p)
{
	const char *shown = json_str_at(doc, "properties.userPrincipalName");
	int r;

	if (!shown)
		shown = json_str_at(doc, "properties.displayName");
	p->disabled = json_bool_at(doc, "properties.disabled", false);
	p->doc = json_incref(doc);
	p->name = strdup(shown ? shown : "");
	r = p->name ? copy(doc, "properties.objectId", "", &p->object_id) : -ENOMEM;
	if (r >= 0)
		r = copy(doc, "properties.appId", NULL, &p->app_id);
	if (r >= 0)
		r = copy(doc, "properties.tenantId", l->tenant_id, &p->tenant_id);
	return r;
}

static int load(struct login *l, const char *key, struct principal *ret, struct err *err)
{
	auto_resource struct resource res = {0};
	struct principal p = {0};
	int r = resource_get(l->meta, key, &res, err);

	if (r < 0)
		return r;
	r = fill(l, res.doc, &p);
	if (r < 0) {
		principal_done(&p);
		return err_set(err, r, "out of memory");
	}
	*ret = p;
	return 0;
}

int principal_by_object(struct login *l, const char *object_id, struct principal *ret,
			struct err *err)
{
	auto_free char *key = NULL;
	int r = identity_by_object(l->meta, object_id, &key, err);

	return r < 0 ? r : load(l, key, ret, err);
}

int principal_by_login(struct login *l, const char *login, struct principal *ret, struct err *err)
{
	auto_free char *key = NULL, *lower = str_lower(login);
	int r = lower ? identity_by_login(l->meta, lower, &key, err) : -ENOMEM;

	return r < 0 ? r : load(l, key, ret, err);
}

/* ---- Credentials ---------------------------------------------------------------------------- */

static bool has_key(const json_t *list, const char *key_id)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (str_eq(json_str_at(json_array_get(list, i), "keyId"), key_id))
			return true;
	return false;
}

/* What the credential trusts: another issuer or subject under the same name is another one. */
int federated_id(const json_t *f, char dst[CREDENTIAL_MAX])
{
	const char *name = json_str_at(f, "name"), *issuer = json_str_at(f, "issuer");
	const char *subject = json_str_at(f, "subject");
	auto_free char *text =
		strf("%s\n%s\n%s", name ? name : "", issuer ? issuer : "", subject ? subject : "");
	char hex[DIGEST_HEX];
	struct digest d;

	if (!text)
		return -ENOMEM;
	sha256(text, strlen(text), &d);
	(void) snprintf(dst, CREDENTIAL_MAX, "fed:%.32s", digest_hex(&d, hex));
	return 0;
}

static bool has_federated(const json_t *list, const char *id)
{
	char one[CREDENTIAL_MAX];

	for (size_t i = 0; i < json_array_size(list); i++)
		if (federated_id(json_array_get(list, i), one) == 0 && str_eq(one, id))
			return true;
	return false;
}

bool credential_known(const struct principal *p, const char *id)
{
	if (str_starts(id, "pwd:"))
		return has_key(json_at(p->doc, "properties.passwordCredentials"), id + 4);
	if (str_starts(id, "key:"))
		return has_key(json_at(p->doc, "properties.keyCredentials"), id + 4);
	if (str_starts(id, "fed:"))
		return has_federated(json_at(p->doc, "properties.federatedCredentials"), id);
	return false;
}

int64_t credential_end(const json_t *credential)
{
	const char *end = json_str_at(credential, "endDateTime");
	int64_t us = 0;

	return end && time_parse_iso(end, &us) == 0 ? us / 1000000 : 0;
}

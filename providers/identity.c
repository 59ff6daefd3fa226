/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/identity.h"

#include "arm/roles.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/secret.h"
#include "meta/identity.h"
#include "meta/resources.h"

#define CREDENTIALS_MAX 20
#define DAY_US          (24 * 3600 * INT64_C(1000000))

const struct arm_field identity_passwords[] = {
	{.name = "keyId", .type = ARM_STRING},     {.name = "displayName", .type = ARM_STRING},
	{.name = "hint", .type = ARM_STRING},      {.name = "startDateTime", .type = ARM_DATE},
	{.name = "endDateTime", .type = ARM_DATE}, {.name = NULL},
};
const struct arm_field identity_key_id[] = {
	{.name = "keyId", .type = ARM_STRING, .flags = ARM_REQUIRED, .pattern = GUID_PATTERN},
	{.name = NULL},
};

static struct meta *meta_of(const struct arm_call *c)
{
	return ((const struct app *) c->app)->meta;
}

int identity_allowed(struct arm_call *c, struct err *err)
{
	return arm_may(c->arm, c->who, "Microsoft.Authorization/roleAssignments/write", c->id->text,
		       err);
}

int identity_changed(struct arm_call *c, struct err *err)
{
	return identity_touch(meta_of(c), err);
}

/* ---- Ids ------------------------------------------------------------------------------------ */

/* A GUID in lower case: the one given, or a new one. */
static int set_guid(json_t *doc, const char *path, struct err *err)
{
	const char *given = json_str_at(doc, path);
	auto_free char *lower = given ? str_lower(given) : NULL;
	char made[UUID_STR];

	if (given && !lower)
		return no_memory(err);
	if (!given && uuid_random(made) < 0)
		return err_set(err, -EIO, "no random numbers from the kernel");
	return set_str(doc, path, lower ? lower : made, err);
}

static int set_tenant(struct arm_call *c, struct err *err)
{
	const char *home = arm_config(c->arm)->tenant_id;
	const char *own = c->who->tenant_id ? c->who->tenant_id : home;
	const char *given = json_str_at(c->doc, "properties.tenantId");
	auto_free char *lower = str_lower(given ? given : own);

	if (!lower)
		return no_memory(err);
	if (!str_eq_nocase(lower, own) && !str_eq_nocase(own, home))
		return refuse(err, -EINVAL, "InvalidTenant", "properties.tenantId",
			      "a principal of tenant %s makes principals of that tenant only", own);
	return set_str(c->doc, "properties.tenantId", lower, err);
}

static int enter(struct arm_call *c, const char *kind, const char *login_path, struct err *err)
{
	const char *value = json_str_at(c->doc, login_path);
	const char *object_id = json_str_at(c->doc, "properties.objectId");
	auto_free char *login = strf("%s:%s", kind, value ? value : "");
	auto_free char *lower = login ? str_lower(login) : NULL;
	struct err why = ERR_INIT;
	int r;

	if (!lower)
		return no_memory(err);
	r = identity_add(meta_of(c), object_id, lower, c->id->key, &why);
	if (r == -EEXIST)
		r = refuse(err, r, "Conflict", login_path,
			   "another principal has the object id %s or '%s' already", object_id,
			   value ? value : "");
	else if (r < 0 && err)
		err_move(err, &why);
	err_done(&why);
	return r;
}

int identity_fill(struct arm_call *c, const char *kind, const char *login_path, struct err *err)
{
	int r = identity_allowed(c, err);

	if (r >= 0)
		r = set_default(c->doc, "properties.displayName", c->id->name, err);
	if (r >= 0 && !c->old) {
		r = set_guid(c->doc, "properties.objectId", err);
		if (r >= 0)
			r = set_tenant(c, err);
		if (r >= 0)
			r = enter(c, kind, login_path, err);
	}
	return r < 0 ? r : identity_changed(c, err);
}

/* ---- Leaving -------------------------------------------------------------------------------- */

struct leave {
	struct meta *meta;
	const char *object_id;
	struct err *err;
};

/* A group's document without one member. */
static int leave_group(void *arg, const char *id, const json_t *doc)
{
	struct leave *l = arg;
	json_t *list = json_at(doc, "properties.members");
	auto_resource struct resource res = {0};
	auto_free char *key = NULL;
	size_t i = 0;
	int r;

	while (i < json_array_size(list) &&
	       !str_eq(json_string_value(json_array_get(list, i)), l->object_id))
		i++;
	if (i == json_array_size(list))
		return 0;
	key = str_lower(id);
	r = key ? resource_get(l->meta, key, &res, l->err) : -ENOMEM;
	if (r < 0)
		return r;
	if (json_array_remove(json_at(res.doc, "properties.members"), i) < 0)
		return -ENOMEM;
	return resource_update(l->meta, &res, true, l->err);
}

int identity_del(struct arm_call *c, struct err *err)
{
	const char *object_id = json_str_at(c->old, "properties.objectId");
	struct leave l = {meta_of(c), object_id, err};
	int r;

	if (!object_id)
		return err_set(err, -EBADMSG, "%s has no objectId", c->id->text);
	r = arm_each(c->arm, TYPE_USERGROUP, "", leave_group, &l, err);
	if (r >= 0)
		r = identity_remove(meta_of(c), object_id, err);
	return r < 0 ? r : identity_changed(c, err);
}

/* ---- Credentials ---------------------------------------------------------------------------- */

int identity_set_dates(const struct arm_call *c, json_t *cred, unsigned days, struct err *err)
{
	const char *given = json_str_at(c->body, "endDateTime");
	int64_t now = time_now_us(), end = 0;
	char text[ISO_MAX];
	int r = set_str(cred, "startDateTime", time_iso(now, text), err);

	if (r < 0)
		return r;
	if (given && (time_parse_iso(given, &end) < 0 || end <= now))
		return refuse(err, -EINVAL, "InvalidParameter", "endDateTime",
			      "a time that lies ahead is expected");
	if (!given && days == 0)
		return 0;
	return set_str(cred, "endDateTime",
		       time_iso(given ? end : now + (int64_t) days * DAY_US, text), err);
}

static json_t *credential_list(json_t *doc, const char *path)
{
	json_t *list = json_at(doc, path);

	if (list)
		return list;
	list = json_array();
	return json_set_at(doc, path, list) < 0 ? NULL : list;
}

int identity_add_secret(struct arm_call *c, const char *secret, bool hint, json_t **ret,
			struct err *err)
{
	json_t *list = credential_list(c->doc, "properties.passwordCredentials");
	const char *object_id = json_str_at(c->doc, "properties.objectId");
	const char *shown = json_str_at(c->body, "displayName");
	auto_free char *hash = NULL;
	auto_json json_t *cred = NULL;
	char key_id[UUID_STR];
	int r;

	if (!list || !object_id)
		return no_memory(err);
	if (json_array_size(list) >= CREDENTIALS_MAX)
		return refuse(err, -EPERM, "TooManyCredentials", "properties.passwordCredentials",
			      "a principal has at most %d secrets: remove one first",
			      CREDENTIALS_MAX);
	if (uuid_random(key_id) < 0)
		return err_set(err, -EIO, "no random numbers from the kernel");
	cred = json_pack("{s:s}", "keyId", key_id);
	r = cred ? 0 : no_memory(err);
	if (r >= 0 && shown)
		r = set_str(cred, "displayName", shown, err);
	if (r >= 0 && hint)
		r = json_object_set_new(cred, "hint",
					json_text(secret, strnlen(secret, SECRET_HINT))) < 0
			    ? no_memory(err)
			    : 0;
	if (r >= 0)
		r = secret_hash(secret, hint ? SECRET_MADE : SECRET_CHOSEN, &hash, err);
	if (r >= 0)
		r = identity_secret_add(meta_of(c), key_id, object_id, hash, err);
	if (r < 0)
		return r;
	*ret = cred;
	return json_array_append(list, cred) < 0 ? no_memory(err) : 0;
}

int identity_remove_key(struct arm_call *c, const char *path, struct err *err)
{
	const char *want = json_str_at(c->body, "keyId");
	json_t *list = json_at(c->doc, path);
	int r;

	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!str_eq_nocase(json_str_at(json_array_get(list, i), "keyId"), want))
			continue;
		r = identity_secret_remove(meta_of(c),
					   json_str_at(json_array_get(list, i), "keyId"), err);
		if (r >= 0 && json_array_remove(list, i) < 0)
			r = no_memory(err);
		return r < 0 ? r : identity_changed(c, err);
	}
	return refuse(err, -ENOENT, "CredentialNotFound", "keyId",
		      "'%s' has no credential with the id %s", c->id->name, want);
}

/* ---- The first one -------------------------------------------------------------------------- */

/* A request of the local owner. @target and @body are NULL when memory ran out; @body is stolen. */
static int seed_put(struct app *a, const char *target, json_t *body, struct err *err)
{
	auto_free char *text = body ? json_compact(body) : NULL;
	struct arm_response res = {0};
	struct arm_request q = {.method = "PUT",
				.target = target,
				.body = text,
				.body_bytes = text ? strlen(text) : 0,
				.who = &a->owner};
	int r = 0;

	json_decref(body);
	if (!target || !text)
		return no_memory(err);
	arm_handle(a->arm, &q, &res);
	if (res.status >= 300)
		r = err_set(err, -EIO, "the administrator of admin.json: %s",
			    json_str_at(res.body, "error.message"));
	arm_response_done(&res);
	return r;
}

static int seed_principal(struct app *a, const char *client_id, struct err *err)
{
	auto_free char *target = strf("/providers/" TYPE_PRINCIPAL "/admin-%.8s?api-version=%s",
				      client_id, API_IDENTITY);

	return seed_put(a, target,
			json_pack("{s:{s:s, s:s, s:s}}", "properties", "appId", client_id,
				  "objectId", client_id, "displayName",
				  "kiln administrator (admin.json)"),
			err);
}

/* Owner of everything. */
static int seed_role(struct app *a, const char *client_id, struct err *err)
{
	auto_free char *target = strf("/providers/Microsoft.Authorization/roleAssignments/%s"
				      "?api-version=2022-04-01",
				      client_id);

	return seed_put(a, target,
			json_pack("{s:{s:s, s:s, s:s}}", "properties", "roleDefinitionId",
				  "/providers/Microsoft.Authorization/roleDefinitions/" ROLE_OWNER,
				  "principalId", client_id, "principalType", "ServicePrincipal"),
			err);
}

static int seed_secret(struct app *a, const char *client_id, struct err *err)
{
	auto_resource struct resource res = {0};
	auto_free char *key = NULL;
	json_t *cred = NULL;
	struct arm_call c = {.app = a, .arm = a->arm};
	int r = identity_by_object(a->meta, client_id, &key, err);

	if (r >= 0)
		r = resource_get(a->meta, key, &res, err);
	if (r < 0)
		return r;
	c.doc = res.doc;
	r = identity_add_secret(&c, json_str_at(a->admin, "clientSecret"), true, &cred, err);
	if (r >= 0)
		r = set_str(cred, "displayName", "admin.json", err);
	if (r >= 0)
		r = identity_set_dates(&c, cred, 0, err);
	if (r >= 0)
		r = resource_update(a->meta, &res, true, err);
	return r;
}

static int seed(struct app *a, const char *client_id, const char *mark, struct err *err)
{
	int64_t n;
	int r = counter_next(a->meta, mark, &n, err);

	if (r < 0 || n > 1) /* somebody else was first */
		return r;
	r = seed_principal(a, client_id, err);
	if (r >= 0)
		r = seed_secret(a, client_id, err);
	return r < 0 ? r : seed_role(a, client_id, err);
}

/* Once: an administrator who deletes it later means it. */
int identity_seed(struct app *a, struct err *err)
{
	auto_free char *client_id = str_lower(json_str_at(a->admin, "clientId"));
	auto_free char *mark = client_id ? strf("admin/%s", client_id) : NULL;
	int64_t n = 0;
	int r;

	if (!mark)
		return no_memory(err);
	r = counter_get(a->meta, mark, &n, err);
	if (r < 0 || n > 0)
		return r;
	r = meta_begin(a->meta, err);
	if (r < 0)
		return r;
	r = seed(a, client_id, mark, err);
	if (r < 0) {
		meta_rollback(a->meta);
		return err_ctx(err, r, "login");
	}
	return meta_commit(a->meta, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Kiln.Identity/users: people who log in with a password. */
#include "base/mem.h"
#include "login/secret.h"
#include "meta/identity.h"
#include "providers/identity.h"
#include "providers/registry.h"

static int user_write(struct arm_call *c, struct err *err)
{
	int r = set_default(c->doc, "properties.userPrincipalName", c->id->name, err);

	return r < 0 ? r : identity_fill(c, "user", "properties.userPrincipalName", err);
}

static int drop_passwords(struct arm_call *c, struct err *err)
{
	struct app *a = c->app;
	json_t *list = json_at(c->doc, "properties.passwordCredentials");
	int r = 0;

	for (size_t i = 0; i < json_array_size(list) && r >= 0; i++) {
		const char *id = json_str_at(json_array_get(list, i), "keyId");

		r = id ? identity_secret_remove(a->meta, id, err) : 0;
	}
	if (r >= 0)
		del_at(c->doc, "properties.passwordCredentials");
	return r < 0 ? r : identity_changed(c, err);
}

/* The one given, or a new one that is told once. What was got with the old one ends. */
static int set_password(struct arm_call *c, struct err *err)
{
	const char *given = json_str_at(c->body, "password");
	char made[SECRET_TEXT];
	json_t *cred = NULL;
	int r = identity_allowed(c, err);

	if (r >= 0)
		r = drop_passwords(c, err);
	if (r >= 0 && !given)
		r = secret_new(made, err);
	if (r < 0)
		return r;
	r = identity_add_secret(c, given ? given : made, false, &cred, err);
	if (r >= 0)
		r = identity_set_dates(c, cred, 0, err);
	if (r >= 0 && !given) {
		c->result = json_pack("{s:s}", "password", made);
		r = c->result ? 0 : no_memory(err);
	}
	mem_wipe(made, sizeof(made));
	return r;
}

static int remove_password(struct arm_call *c, struct err *err)
{
	return drop_passwords(c, err);
}

static const struct arm_field user_properties[] = {
	{.name = "userPrincipalName",
	 .type = ARM_STRING,
	 .flags = ARM_IMMUTABLE,
	 .pattern = "[^:[:cntrl:]]+",
	 .max = 256},
	{.name = "objectId", .type = ARM_STRING, .flags = ARM_IMMUTABLE, .pattern = GUID_PATTERN},
	{.name = "tenantId", .type = ARM_STRING, .flags = ARM_IMMUTABLE, .pattern = GUID_PATTERN},
	{.name = "displayName", .type = ARM_STRING, .min = 1, .max = 256},
	{.name = "mail", .type = ARM_STRING, .max = 256},
	{.name = "disabled", .type = ARM_BOOL},
	{.name = "passwordCredentials",
	 .type = ARM_ARRAY,
	 .flags = ARM_READONLY,
	 .fields = identity_passwords},
	{.name = NULL},
};
static const struct arm_field password_shape[] = {
	{.name = "password",
	 .type = ARM_STRING,
	 .min = PASSWORD_BYTES_MIN,
	 .max = SECRET_BYTES_MAX / 4 /* characters */},
	{.name = NULL},
};
static const struct arm_action user_actions[] = {
	{"setPassword", "POST", "setPassword/action", set_password, password_shape, true},
	{"removePassword", "POST", "removePassword/action", remove_password, NULL},
	{NULL},
};

const struct arm_type type_users = {
	.name = TYPE_USER,
	.scope = ARM_SCOPE_TENANT,
	.first_version = API_IDENTITY,
	.strict_from = API_IDENTITY,
	.name_pattern = "[A-Za-z0-9][A-Za-z0-9._@+-]*",
	.name_max = 120,
	.stateless = true,
	.properties = user_properties,
	.write = user_write,
	.del = identity_del,
	.actions = user_actions,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Authorization/locks, on top of any scope. arm/ enforces them there and below. */
#include "arm/filter.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"
#include "providers/roles_common.h"

static int lock_write(struct arm_call *c, struct err *err)
{
	(void) c; /* the level and the notes are all there is to check, and arm/ does */
	(void) err;
	return 0;
}

static int lock_test(struct arm_call *c, const struct filter *f, const struct filter_term *t,
		     const json_t *doc, struct err *err)
{
	auto_arm_id struct arm_id id = {0};
	int r;

	if (!str_eq_nocase(t->name, "atScope") || t->op != FILTER_CALL || t->n_args != 0)
		return filter_unsupported(t, err);
	r = arm_id_parse(json_str_at(doc, "id"), &id, err);
	return r < 0 ? r : arm_id_eq(id.parent, c->id->parent);
}

static int lock_list(struct arm_call *c, struct err *err)
{
	static const struct arm_filter_field fields[] = {{"atScope", NULL}, {NULL}};
	const struct arm_list l = {
		.type = TYPE_LOCK, .under = c->id->parent, .fields = fields, .test = lock_test};

	return arm_call_list(c, &l, err);
}

static const char *const levels[] = {"CanNotDelete", "ReadOnly", NULL};
static const struct arm_field owner_fields[] = {
	{"applicationId", ARM_STRING, ARM_NULLABLE},
	{NULL},
};
static const struct arm_field lock_properties[] = {
	{"level", ARM_STRING, ARM_REQUIRED, .values = levels},
	{"notes", ARM_STRING, ARM_NULLABLE, .max = 512},
	{"owners", ARM_ARRAY, ARM_NULLABLE, .fields = owner_fields, .max = 100},
	{NULL},
};
static const char *const lock_versions[] = {"2020-05-01", "2017-04-01", "2016-09-01", "2015-01-01",
					    NULL};

const struct arm_type type_locks = {
	.name = TYPE_LOCK,
	.scope = ARM_SCOPE_ANY,
	.first_version = "2015-01-01",
	.versions = lock_versions,
	.name_pattern = "^[^<>%&?/]{1,260}$",
	.name_max = 260,
	.stateless = true,
	.properties = lock_properties,
	.write = lock_write,
	.list = lock_list,
	.filters_rows = true,
};

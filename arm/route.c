/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/internal.h"

#include <strings.h>

#include "base/mem.h"

void route_done(struct route *r)
{
	arm_id_done(&r->id);
	*r = (struct route){0};
}

/* First of the types of a name; there is one for each scope that it lives at. */
static size_t first_named(const struct arm *arm, const char *name)
{
	size_t lo = 0, hi = arm->n_types;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcasecmp(arm->by_name[mid]->name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct arm_type *route_type(const struct arm *arm, const char *name)
{
	size_t i = first_named(arm, name);

	return i < arm->n_types && str_eq_nocase(arm->by_name[i]->name, name) ? arm->by_name[i]
									      : NULL;
}

/* In order of names; those of one name stay in the order of the configuration. */
static int index_types(struct arm *arm, struct err *err)
{
	size_t n = 0;

	while (arm->config.types[n])
		n++;
	arm->by_name = calloc(n + 1, sizeof(void *));
	if (!arm->by_name)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		size_t at = arm->n_types++;

		for (; at > 0 &&
		       strcasecmp(arm->by_name[at - 1]->name, arm->config.types[i]->name) > 0;
		     at--)
			arm->by_name[at] = arm->by_name[at - 1];
		arm->by_name[at] = arm->config.types[i];
	}
	return 0;
}

bool route_stored(const struct arm_type *type)
{
	return type->properties || type->envelope || type->write || type->tracked;
}

/* The types that operation URLs parse to, from the operation_path of every type. */
static int operation_types(struct arm *arm, struct err *err)
{
	for (const struct arm_type *const *t = arm->config.types; *t; t++) {
		auto_arm_id struct arm_id id = {0};
		auto_free char *path = NULL;
		const char *p = (*t)->operation_path, *mark;
		bool known = false;
		int r;

		if (!p)
			continue;
		mark = strstr(p, "%s");
		path = mark ? strf("/subscriptions/s/%.*sl%s", (int) (mark - p), p, mark + 2)
			    : strf("/subscriptions/s/%s", p);
		if (!path)
			return err_set(err, -ENOMEM, "out of memory");
		r = arm_id_parse(path, &id, err);
		if (r < 0)
			return err_ctx(err, r, "operation path of %s", (*t)->name);
		for (char **o = arm->operation_types; o && *o; o++)
			known = known || str_eq_nocase(*o, id.type);
		if (!known && strv_push(&arm->operation_types, id.type) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

int route_index(struct arm *arm, struct err *err)
{
	int r = index_types(arm, err);

	return r < 0 ? r : operation_types(arm, err);
}

static bool is_operation(const struct arm *arm, const struct arm_id *id)
{
	for (char **o = arm->operation_types; o && *o; o++)
		if (str_eq_nocase(*o, id->type))
			return id->name != NULL;
	return false;
}

int route_unknown(const struct arm *arm, const struct arm_id *id, struct err *err)
{
	size_t n = strcspn(id->type, "/");

	for (const struct arm_type *const *t = arm->config.types; *t; t++)
		if (strncasecmp((*t)->name, id->type, n) == 0 && (*t)->name[n] == '/') {
			(void) err_set(err, -ENOENT,
				       "The resource type '%.300s' could not be found in the"
				       " namespace '%.*s'.",
				       id->type + n + (id->type[n] == '/'), (int) n, id->type);
			err_arm(err, "InvalidResourceType");
			return -ENOENT;
		}
	(void) err_set(err, -ENOENT, "The resource namespace '%.*s' is invalid.", (int) n,
		       id->type);
	err_arm(err, "InvalidResourceNamespace");
	return -ENOENT;
}

/* A type that lives in groups may be listed over a subscription; every other use is at its own
 * scope only. */
static bool scope_fits(const struct arm_type *type, const struct arm_id *id)
{
	if (type->scope != ARM_SCOPE_ANY && id->extension)
		return false;
	switch (type->scope) {
	case ARM_SCOPE_TENANT:
		return !id->subscription || str_eq_nocase(type->name, "Microsoft.Resources/"
								      "subscriptions");
	case ARM_SCOPE_SUBSCRIPTION:
		return id->subscription && !id->group;
	case ARM_SCOPE_GROUP:
		return id->group || (id->subscription && !id->name && id->n_names == 0);
	case ARM_SCOPE_ANY:
		return true;
	}
	return false;
}

/* Resource groups are what makes the group scope: their own ids have a group, their list none. */
static bool is_group_type(const struct arm_type *type)
{
	return str_eq_nocase(type->name, "Microsoft.Resources/resourceGroups");
}

static const struct arm_type *find_type(const struct arm *arm, const struct arm_id *id)
{
	for (size_t i = first_named(arm, id->type);
	     i < arm->n_types && str_eq_nocase(arm->by_name[i]->name, id->type); i++)
		if (is_group_type(arm->by_name[i]) || scope_fits(arm->by_name[i], id))
			return arm->by_name[i];
	return NULL;
}

static const struct arm_action *find_action(const struct arm_type *type, const char *name,
					    const char *method)
{
	const struct arm_action *any = NULL;

	for (const struct arm_action *a = type->actions; a && a->name; a++) {
		if (!str_eq_nocase(a->name, name))
			continue;
		if (str_eq(a->method, method))
			return a;
		any = a;
	}
	return any;
}

/* "…/imageTemplates/t/run": the path without its last segment is a resource of a type that has
 * such an action. */
static int find_as_action(const struct arm *arm, const char *path, const char *method,
			  struct route *ret)
{
	auto_arm_id struct arm_id whole = {0};
	auto_free char *copy = NULL;
	const struct arm_action *a;
	const struct arm_type *type;
	const char *name;
	char *slash;
	int r = arm_id_parse(path, &whole, NULL);

	if (r < 0 || whole.name)
		return r < 0 ? r : -ENOENT;
	copy = strdup(whole.text);
	slash = copy ? strrchr(copy, '/') : NULL;
	if (!slash)
		return copy ? -ENOENT : -ENOMEM;
	*slash = '\0';
	name = slash + 1;
	r = arm_id_parse(copy, &ret->id, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -ENOENT;
	type = ret->id.name ? find_type(arm, &ret->id) : NULL;
	a = type ? find_action(type, name, method) : NULL;
	if (!a) {
		arm_id_done(&ret->id);
		return -ENOENT;
	}
	ret->kind = ROUTE_ACTION;
	ret->type = type;
	ret->action = a;
	return 0;
}

static int find(const struct arm *arm, const char *path, const char *method, struct route *ret,
		struct err *err)
{
	int r = arm_id_parse(path, &ret->id, err);

	if (r < 0)
		return r;
	if (is_operation(arm, &ret->id)) {
		ret->kind = ROUTE_OPERATION;
		return 0;
	}
	ret->type = find_type(arm, &ret->id);
	if (ret->type) {
		ret->kind = ret->id.name ? ROUTE_ITEM : ROUTE_COLLECTION;
		/* An action without a name is a POST to the collection itself. */
		if (!ret->id.name && str_eq(method, "POST"))
			ret->action = find_action(ret->type, "", method);
		if (ret->action)
			ret->kind = ROUTE_ACTION;
		return 0;
	}
	if (!ret->id.name) {
		struct route action = {0};

		r = find_as_action(arm, path, method, &action);
		if (r >= 0) {
			arm_id_done(&ret->id);
			*ret = action;
			return 0;
		}
		if (r == -ENOMEM)
			return err_set(err, r, "out of memory");
	}
	return route_unknown(arm, &ret->id, err);
}

int route_find(const struct arm *arm, const char *path, const char *method, struct route *ret,
	       struct err *err)
{
	struct route route = {0};
	int r = find(arm, path, method, &route, err);

	if (r < 0) {
		route_done(&route);
		return r;
	}
	*ret = route;
	return 0;
}

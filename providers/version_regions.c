/* SPDX-License-Identifier: Apache-2.0 */
/* Target regions of a version: defaults, and what an update may do to them. */
#include "base/mem.h"
#include "providers/common.h"
#include "providers/version_regions.h"
#include "providers/version_rules.h"

#define FLAG_KNOWN "2022-03-03" /* from here on a region is dropped only with the safety flag */

const json_t *version_region_find(const json_t *targets, const char *name)
{
	const json_t *t;
	size_t i;

	json_array_foreach((json_t *) targets, i, t)
	{
		const char *n = json_str_at(t, "name");

		if (n && strcmp(n, name) == 0)
			return t;
	}
	return NULL;
}

static int refuse_at(struct err *err, size_t i, const char *member, const char *arm, int code,
		     const char *what)
{
	char target[96];

	(void) snprintf(target, sizeof(target), V_TARGETS "[%zu].%s", i, member);
	return refuse(err, code, arm, target, "%s: %s", target, what);
}

/* One region: replica count, storage type, and what cannot be had here. */
static int region_defaults(struct arm_call *c, json_t *t, size_t i, struct err *err)
{
	const char *mode = json_str_at(c->doc, V_PROFILE ".replicationMode");
	const char *storage = json_str_at(c->doc, V_PROFILE ".storageAccountType");
	int64_t count = json_int_at(c->doc, V_PROFILE ".replicaCount", 1);
	const json_t *given = json_object_get(t, "regionalReplicaCount");

	if (json_is_object(json_object_get(t, "encryption")))
		return refuse_at(err, i, "encryption", "InvalidParameter", -EINVAL,
				 "disk encryption sets are not available here");
	if (!given || json_is_null(given)) {
		if (json_object_set_new(t, "regionalReplicaCount", json_integer(count)) < 0)
			return no_memory(err);
	} else {
		count = json_integer_value(given);
	}
	if (mode && strcmp(mode, "Shallow") == 0 && count != 1)
		return refuse_at(err, i, "regionalReplicaCount", "InvalidParameter", -EINVAL,
				 "replicationMode Shallow allows exactly one replica");
	return set_default(t, "storageAccountType", storage ? storage : "Standard_LRS", err);
}

static int check_duplicates(const json_t *targets, struct err *err)
{
	for (size_t i = 0; i < json_array_size(targets); i++) {
		const char *name = json_str_at(json_array_get(targets, i), "name");

		for (size_t k = 0; name && k < i; k++)
			if (str_eq(json_str_at(json_array_get(targets, k), "name"), name))
				return refuse_at(err, i, "name", "InvalidParameter", -EINVAL,
						 "the region is given twice");
	}
	return 0;
}

static int own_region(const struct arm_call *c, const json_t *targets, struct err *err)
{
	const char *location = json_str_at(c->doc, "location");

	if (location && version_region_find(targets, location))
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", V_TARGETS,
		      V_TARGETS ": the version's own location '%s' must be among the target "
				"regions",
		      location ? location : "");
}

/* A region that is being drained keeps what it has and takes nothing new. */
static int check_draining(const struct arm_call *c, const json_t *targets, struct err *err)
{
	const json_t *t, *old = json_at(c->old, V_TARGETS);
	const struct app *a = c->app;
	size_t i;

	json_array_foreach((json_t *) targets, i, t)
	{
		const char *name = json_str_at(t, "name");
		int at = name ? app_region_index(a, name) : -1;

		if (at >= 0 && a->regions[at].draining &&
		    !(old && version_region_find(old, a->regions[at].name)))
			return refuse_at(err, i, "name", "InvalidParameter", -EINVAL,
					 "the region is being drained and takes nothing new");
	}
	return 0;
}

/* Missing, null or empty: unchanged, or for a new version its own location. */
static int fill_regions(struct arm_call *c, struct err *err)
{
	const char *location = json_str_at(c->doc, "location");
	json_t *list;

	if (json_array_size(json_at(c->doc, V_TARGETS)) > 0)
		return 0;
	if (c->old)
		return keep_old(c, V_TARGETS, err);
	list = json_pack("[{s:s}]", "name", location ? location : "");
	return !list || json_set_at(c->doc, V_TARGETS, list) < 0 ? no_memory(err) : 0;
}

int version_regions_check(struct arm_call *c, struct err *err)
{
	json_t *targets;
	int r = fill_regions(c, err);

	if (r < 0)
		return r;
	targets = json_at(c->doc, V_TARGETS);
	for (size_t i = 0; i < json_array_size(targets) && r == 0; i++)
		r = region_defaults(c, json_array_get(targets, i), i, err);
	if (r == 0)
		r = check_duplicates(targets, err);
	if (r == 0)
		r = check_draining(c, targets, err);
	return r < 0 ? r : own_region(c, targets, err);
}

/* ---- Updates -------------------------------------------------------------------------------- */

static bool may_drop(const struct arm_call *c)
{
	return strcmp(c->api_version, FLAG_KNOWN) < 0 ||
	       json_bool_at(c->doc, "properties.safetyProfile.allowDeletionOfReplicatedLocations",
			    false);
}

static int check_dropped(const struct arm_call *c, const json_t *old, const json_t *new,
			 struct err *err)
{
	const json_t *t;
	size_t i;

	json_array_foreach((json_t *) old, i, t)
	{
		const char *name = json_str_at(t, "name");

		if (!name || version_region_find(new, name) || may_drop(c))
			continue;
		return refuse(
			err, -EBUSY, "OperationNotAllowed", V_TARGETS,
			"the update would remove region '%s', which "
			"safetyProfile.allowDeletionOfReplicatedLocations does not allow: send "
			"the complete list of target regions, or null or an empty list to leave "
			"them unchanged, or set that flag",
			region_display(name));
	}
	return 0;
}

static int check_storage(const json_t *old, const json_t *new, struct err *err)
{
	const json_t *t;
	size_t i;

	json_array_foreach((json_t *) new, i, t)
	{
		const char *name = json_str_at(t, "name");
		const json_t *was = name ? version_region_find(old, name) : NULL;
		const char *a = json_str_at(was, "storageAccountType");

		if (a && !str_eq(a, json_str_at(t, "storageAccountType")))
			return refuse_at(err, i, "storageAccountType", "PropertyChangeNotAllowed",
					 -EBUSY, "cannot change in an existing region");
	}
	return 0;
}

int version_regions_update(struct arm_call *c, struct err *err)
{
	const json_t *old = json_at(c->old, V_TARGETS), *new;
	json_t *t;
	size_t i;
	int r;

	/* An existing region that says nothing of its storage keeps what it has. */
	json_array_foreach(json_at(c->doc, V_TARGETS), i, t)
	{
		const char *name = json_str_at(t, "name");
		const json_t *was = name ? version_region_find(old, name) : NULL;
		const char *storage = was ? json_str_at(was, "storageAccountType") : NULL;

		if (storage && set_default(t, "storageAccountType", storage, err) < 0)
			return -ENOMEM;
	}
	r = version_regions_check(c, err);
	new = json_at(c->doc, V_TARGETS);
	if (r == 0)
		r = check_storage(old, new, err);
	return r < 0 ? r : check_dropped(c, old, new, err);
}

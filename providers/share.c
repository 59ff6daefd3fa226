/* SPDX-License-Identifier: Apache-2.0 */
/* The sharing profile of a gallery: rules, POST .../share, and how it is shown. */
#include "providers/share.h"

#include "base/hash.h"
#include "base/mem.h"

static const char *permissions_of(const json_t *doc)
{
	const char *p = json_str_at(doc, P_SHARING ".permissions");

	return p ? p : "Private";
}

bool share_is_public(const json_t *gallery)
{
	return strcmp(permissions_of(gallery), "Community") == 0 &&
	       json_bool_at(gallery, P_COMMUNITY ".communityGalleryEnabled", false);
}

/* ---- PUT and PATCH -------------------------------------------------------------------------- */

static int private_definition(void *arg, const char *id, const json_t *doc)
{
	char **found = arg;
	const json_t *f;
	size_t i;

	json_array_foreach(json_at(doc, "properties.features"), i, f)
	{
		const char *value = json_str_at(f, "value");

		if (str_eq(json_str_at(f, "name"), "SecurityType") && value &&
		    (strcmp(value, "TrustedLaunch") == 0 || strcmp(value, "ConfidentialVM") == 0))
			*found = strdup(id);
	}
	return *found ? 1 : 0;
}

/* Some security types are possible in private galleries only. */
static int check_definitions(const struct arm_call *c, struct err *err)
{
	auto_free char *id = NULL;
	int r = arm_each(c->arm, TYPE_DEFINITION, c->id->text, private_definition, &id, err);

	if (id)
		return refuse(err, -EBUSY, "OperationNotAllowed", P_SHARING ".permissions",
			      "the gallery must stay private: the SecurityType of %s is not "
			      "possible in shared galleries",
			      id);
	return r < 0 ? r : 0;
}

static int check_change(const struct arm_call *c, struct err *err)
{
	const char *was = permissions_of(c->old), *is = permissions_of(c->doc);

	if (strcmp(was, is) == 0)
		return 0;
	if (json_array_size(json_at(c->old, P_SHARING ".groups")) > 0 || share_is_public(c->old))
		return refuse(err, -EBUSY, "OperationNotAllowed", P_SHARING ".permissions",
			      P_SHARING ".permissions cannot change from '%s' to '%s' while the "
					"gallery is shared: reset its sharing first",
			      was, is);
	return check_definitions(c, err);
}

static int check_community(struct arm_call *c, struct err *err)
{
	static const char *const required[] = {
		P_COMMUNITY ".publicNamePrefix",
		P_COMMUNITY ".publisherUri",
		P_COMMUNITY ".publisherContact",
		P_COMMUNITY ".eula",
	};
	const char *old = c->old ? json_str_at(c->old, required[0]) : NULL;
	char uuid[UUID_STR];
	json_t *names;

	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		if (!json_str_at(c->doc, required[i]))
			return refuse(err, -EINVAL, "InvalidParameter", required[i],
				      "a community gallery needs %s", required[i]);
	if (json_at(c->doc, P_COMMUNITY ".publicNames")) {
		if (old && strcmp(old, json_str_at(c->doc, required[0])) != 0)
			return refuse(err, -EBUSY, "PropertyChangeNotAllowed", required[0],
				      "Changing property '%s' is not allowed.", required[0]);
		return 0;
	}
	if (uuid_random(uuid) < 0)
		return no_memory(err);
	names = json_pack("[o]", json_strf("%s-%s", json_str_at(c->doc, required[0]), uuid));
	if (json_set_at(c->doc, P_COMMUNITY ".publicNames", names) < 0 ||
	    json_set_at(c->doc, P_COMMUNITY ".communityGalleryEnabled", json_false()) < 0)
		return no_memory(err);
	return 0;
}

/* What the request leaves out stays; arm/ keeps what clients cannot set. */
static int keep_profile(struct arm_call *c, struct err *err)
{
	int r = 0;

	if (!json_is_object(json_at(c->body, P_SHARING)))
		return keep_old(c, P_SHARING, err);
	if (!json_str_at(c->body, P_SHARING ".permissions"))
		r = keep_old(c, P_SHARING ".permissions", err);
	if (r == 0 && !json_is_object(json_at(c->body, P_COMMUNITY)))
		r = keep_old(c, P_COMMUNITY, err);
	return r;
}

int share_check(struct arm_call *c, struct err *err)
{
	int r = c->old ? keep_profile(c, err) : 0;

	if (r == 0 && c->old)
		r = check_change(c, err);
	if (r == 0 && strcmp(permissions_of(c->doc), "Community") == 0)
		r = check_community(c, err);
	return r;
}

/* ---- POST .../share ------------------------------------------------------------------------- */

static const char *const operations[] = {"Add", "Remove", "Reset", "EnableCommunity", NULL};
static const char *const group_types[] = {"Subscriptions", "AADTenants", NULL};

static const struct arm_field group_fields[] = {
	{"type", ARM_STRING, ARM_REQUIRED, .values = group_types},
	{"ids", ARM_ARRAY, ARM_REQUIRED, .item = ARM_STRING, .max = 100},
	{NULL},
};
const struct arm_field share_fields[] = {
	{"operationType", ARM_STRING, ARM_REQUIRED, .values = operations},
	{"groups", ARM_ARRAY, ARM_NULLABLE, .fields = group_fields, .max = 100},
	{NULL},
};

static bool is_guid(const char *s)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (!s || strlen(s) != strlen(form))
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == '-' ? s[i] != '-' : !strchr("0123456789abcdefABCDEF", s[i]))
			return false;
	return true;
}

/* The list of ids of a type in a profile's groups; made when absent. Borrowed; NULL on ENOMEM. */
static json_t *ids_of(json_t *groups, const char *type)
{
	json_t *g, *ids;
	size_t i;

	json_array_foreach(groups, i, g)
	{
		if (str_eq(json_str_at(g, "type"), type))
			return json_object_get(g, "ids");
	}
	ids = json_array();
	if (json_array_append_new(groups, json_pack("{s:s, s:o}", "type", type, "ids", ids)) < 0)
		return NULL;
	return ids;
}

static size_t find_id(const json_t *ids, const char *id)
{
	size_t i;

	for (i = 0; i < json_array_size(ids); i++)
		if (str_eq_nocase(json_string_value(json_array_get(ids, i)), id))
			break;
	return i;
}

static int change_one(json_t *ids, const char *id, bool add, struct err *err)
{
	size_t at = find_id(ids, id);
	bool there = at < json_array_size(ids);

	if (add && !there)
		return json_array_append_new(ids, json_string(id)) < 0 ? no_memory(err) : 0;
	if (!add && there)
		return json_array_remove(ids, at) < 0 ? no_memory(err) : 0;
	return 0;
}

static int check_limit(const json_t *ids, const char *type, struct err *err)
{
	size_t max =
		strcmp(type, "Subscriptions") == 0 ? SHARE_SUBSCRIPTIONS_MAX : SHARE_TENANTS_MAX;

	if (json_array_size(ids) <= max)
		return 0;
	return refuse(
		err, -EINVAL, "InvalidParameter", "groups",
		"groups: a gallery can be shared with at most %d subscriptions and %d tenants",
		SHARE_SUBSCRIPTIONS_MAX, SHARE_TENANTS_MAX);
}

static int change_group(json_t *groups, const json_t *given, size_t at, bool add, struct err *err)
{
	const char *type = json_str_at(given, "type");
	json_t *ids = ids_of(groups, type);
	const json_t *id;
	size_t i;
	int r = ids ? 0 : no_memory(err);

	json_array_foreach(json_object_get(given, "ids"), i, id)
	{
		if (r < 0)
			break;
		if (!is_guid(json_string_value(id))) {
			char target[64];

			(void) snprintf(target, sizeof(target), "groups[%zu].ids[%zu]", at, i);
			return refuse(err, -EINVAL, "InvalidParameter", target,
				      "%s: '%s' is no GUID", target, json_string_value(id));
		}
		r = change_one(ids, json_string_value(id), add, err);
	}
	return r < 0 ? r : check_limit(ids, type, err);
}

static void drop_empty(json_t *groups)
{
	for (size_t i = json_array_size(groups); i-- > 0;)
		if (json_array_size(json_object_get(json_array_get(groups, i), "ids")) == 0)
			(void) json_array_remove(groups, i);
}

static int change_groups(struct arm_call *c, bool add, struct err *err)
{
	const json_t *given = json_object_get(c->body, "groups"), *g;
	json_t *groups = json_at(c->doc, P_SHARING ".groups");
	size_t i;
	int r = 0;

	if (strcmp(permissions_of(c->doc), "Groups") != 0)
		return refuse(err, -EBUSY, "OperationNotAllowed", "operationType",
			      "the gallery's sharingProfile.permissions is '%s': only a gallery "
			      "with 'Groups' can be shared with subscriptions and tenants",
			      permissions_of(c->doc));
	if (json_array_size(given) == 0)
		return refuse(err, -EINVAL, "InvalidParameter", "groups",
			      "groups: which subscriptions or tenants?");
	if (!groups) {
		groups = json_array();
		if (json_set_at(c->doc, P_SHARING ".groups", groups) < 0)
			return no_memory(err);
	}
	json_array_foreach((json_t *) given, i, g)
	{
		if (r == 0)
			r = change_group(groups, g, i, add, err);
	}
	drop_empty(groups);
	return r;
}

static int reset(struct arm_call *c, struct err *err)
{
	del_at(c->doc, P_SHARING ".groups");
	if (json_at(c->doc, P_COMMUNITY) &&
	    json_set_at(c->doc, P_COMMUNITY ".communityGalleryEnabled", json_false()) < 0)
		return no_memory(err);
	return set_str(c->doc, P_SHARING ".permissions", "Private", err);
}

static int enable_community(struct arm_call *c, struct err *err)
{
	if (strcmp(permissions_of(c->doc), "Community") != 0)
		return refuse(err, -EBUSY, "OperationNotAllowed", "operationType",
			      "the gallery's sharingProfile.permissions is '%s': 'Community' is "
			      "needed, with communityGalleryInfo",
			      permissions_of(c->doc));
	return json_set_at(c->doc, P_COMMUNITY ".communityGalleryEnabled", json_true()) < 0
		       ? no_memory(err)
		       : 0;
}

int share_action(struct arm_call *c, struct err *err)
{
	const char *what = json_str_at(c->body, "operationType");
	char running[UUID_STR_LEN] = "";
	int r = arm_running(c->arm, c->id->text, running, err);

	if (r == 0 && running[0])
		r = refuse(err, -EBUSY, "AnotherOperationInProgress", NULL,
			   "another operation on the gallery has not ended");
	if (r < 0)
		return r;
	if (strcmp(what, "Reset") == 0)
		r = reset(c, err);
	else if (strcmp(what, "EnableCommunity") == 0)
		r = enable_community(c, err);
	else
		r = change_groups(c, strcmp(what, "Add") == 0, err);
	if (r == 0)
		r = set_str(c->doc, "properties.provisioningState", "Updating", err);
	/* The gallery's record in its region follows before the answer is final. */
	return r < 0 ? r : arm_call_job(c, "share", json_deep_copy(c->body), err);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int show_status(struct arm_call *c, struct err *err)
{
	const struct app *a = c->app;
	const char *location = json_str_at(c->doc, "location");
	const char *state = json_str_at(c->doc, "properties.provisioningState");
	const char *word = state && strcmp(state, "Succeeded") == 0 ? "Succeeded"
			   : state && strcmp(state, "Failed") == 0  ? "Failed"
								    : "InProgress";
	int at = app_region_index(a, location ? location : "");
	json_t *status = json_pack("{s:s, s:[{s:s, s:s, s:s}]}", "aggregatedState", word, "summary",
				   "region", at >= 0 ? a->regions[at].display : "", "state", word,
				   "details", "");

	return json_set_at(c->doc, "properties.sharingStatus", status) < 0 ? no_memory(err) : 0;
}

int share_show(struct arm_call *c, struct err *err)
{
	const char *select = arm_query(c, "$select");
	bool groups = expands(c, "sharingProfile/Groups");
	int r = 0;

	if ((groups || (select && str_eq_nocase(select, "Permissions"))) &&
	    !json_at(c->doc, P_SHARING ".permissions"))
		r = set_str(c->doc, P_SHARING ".permissions", "Private", err);
	if (!groups)
		del_at(c->doc, P_SHARING ".groups");
	if (r == 0 && strcmp(permissions_of(c->doc), "Private") != 0)
		r = show_status(c, err);
	return r;
}

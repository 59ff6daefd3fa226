/* SPDX-License-Identifier: Apache-2.0 */
/* Who sees which shared gallery, and what the ids of shared images stand for. */
#include "base/mem.h"
#include "providers/share.h"

static bool has_id(const json_t *gallery, const char *type, const char *id)
{
	const json_t *g, *v;
	size_t i, k;

	json_array_foreach(json_at(gallery, P_SHARING ".groups"), i, g)
	{
		if (!str_eq(json_str_at(g, "type"), type))
			continue;
		json_array_foreach(json_object_get(g, "ids"), k, v)
		{
			if (str_eq_nocase(json_string_value(v), id))
				return true;
		}
	}
	return false;
}

int share_ways(struct arm *arm, const json_t *gallery, const char *subscription, unsigned *ret,
	       struct err *err)
{
	const char *permissions = json_str_at(gallery, P_SHARING ".permissions");
	auto_free char *scope = strf("/subscriptions/%s", subscription), *tenant = NULL;
	int r;

	*ret = 0;
	if (!permissions || strcmp(permissions, "Groups") != 0)
		return 0;
	if (has_id(gallery, "Subscriptions", subscription))
		*ret |= SHARE_SUBSCRIPTION;
	r = scope ? arm_tenant_of(arm, scope, &tenant, err) : no_memory(err);
	if (r == 0 && has_id(gallery, "AADTenants", tenant))
		*ret |= SHARE_TENANT;
	return r;
}

/* ---- By name -------------------------------------------------------------------------------- */

struct finding {
	const char *name;
	bool community;
	json_t *doc; /* owned */
};

static bool is_called(const json_t *doc, const struct finding *f)
{
	const json_t *v;
	size_t i;

	if (!f->community)
		return str_eq_nocase(json_str_at(doc, "properties.identifier.uniqueName"), f->name);
	json_array_foreach(json_at(doc, P_COMMUNITY ".publicNames"), i, v)
	{
		if (str_eq_nocase(json_string_value(v), f->name))
			return true;
	}
	return false;
}

static int match(void *arg, const char *id, const json_t *doc)
{
	struct finding *f = arg;

	(void) id;
	if (!is_called(doc, f))
		return 0;
	f->doc = json_incref((json_t *) doc);
	return 1;
}

static char *name_of(bool community, const char *name)
{
	auto_free char *text = strf("%s %s", community ? "public" : "shared", name);

	return text ? str_lower(text) : NULL;
}

static int add_name(char ***ret, bool community, const char *name)
{
	auto_free char *s = name_of(community, name);

	return s ? strv_push(ret, s) : -ENOMEM;
}

static char *with_name(const char *type, const char *id)
{
	auto_free char *text = strf("with %s %s", type, id);

	return text ? str_lower(text) : NULL;
}

static int add_groups(char ***ret, const json_t *gallery)
{
	const json_t *g, *v;
	size_t i, k;

	json_array_foreach(json_at(gallery, P_SHARING ".groups"), i, g)
	{
		const char *type = json_str_at(g, "type");

		json_array_foreach(json_object_get(g, "ids"), k, v)
		{
			auto_free char *s = NULL;

			if (!type || !json_is_string(v))
				continue;
			s = with_name(type, json_string_value(v));
			if (!s || strv_push(ret, s) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

int share_names(const char *id, const json_t *doc, char ***ret)
{
	auto_arm_id struct arm_id a = {0};
	auto_free char *unique = NULL;
	const json_t *v;
	size_t i;
	int r = arm_id_parse(id, &a, NULL);

	if (r < 0)
		return r;
	unique = strf("%s-%s", a.subscription ? a.subscription : "", a.name ? a.name : "");
	r = unique ? add_name(ret, false, unique) : -ENOMEM;
	json_array_foreach(json_at(doc, P_COMMUNITY ".publicNames"), i, v)
	{
		if (r == 0 && json_is_string(v))
			r = add_name(ret, true, json_string_value(v));
	}
	if (r == 0 && i > 0)
		r = strv_push(ret, SHARE_PUBLIC);
	return r < 0 ? r : add_groups(ret, doc);
}

int share_with_name(struct arm *arm, const char *subscription, bool tenant, char **ret,
		    struct err *err)
{
	auto_free char *scope = strf("/subscriptions/%s", subscription), *of = NULL;
	int r = scope ? 0 : no_memory(err);

	if (r == 0 && tenant)
		r = arm_tenant_of(arm, scope, &of, err);
	if (r < 0)
		return r;
	*ret = tenant ? with_name("AADTenants", of) : with_name("Subscriptions", subscription);
	return *ret ? 0 : no_memory(err);
}

int share_named(struct arm *arm, bool community, const char *name, arm_each_fn *fn, void *arg,
		struct err *err)
{
	auto_free char *s = name_of(community, name);

	return s ? arm_named(arm, TYPE_GALLERY, s, fn, arg, err) : no_memory(err);
}

int share_find(struct arm *arm, bool community, const char *name, const char *subscription,
	       json_t **ret, struct err *err)
{
	struct finding f = {name, community, NULL};
	unsigned ways = 0;
	int r = share_named(arm, community, name, match, &f, err);

	if (r < 0 || !f.doc)
		return r < 0 ? r : -ENOENT;
	if (community)
		r = share_is_public(f.doc) ? 0 : -ENOENT;
	else if (subscription)
		r = share_ways(arm, f.doc, subscription, &ways, err);
	if (r == 0 && !community && subscription && !ways)
		r = -ENOENT;
	if (r < 0) {
		json_decref(f.doc);
		return r;
	}
	*ret = f.doc;
	return 0;
}

/* ---- Ids ------------------------------------------------------------------------------------ */

#define SHARED_PREFIX    "/SharedGalleries/"
#define COMMUNITY_PREFIX "/CommunityGalleries/"

static bool begins(const char *s, const char *prefix)
{
	return strncasecmp(s, prefix, strlen(prefix)) == 0;
}

bool share_is_id(const char *id)
{
	return begins(id, SHARED_PREFIX) || begins(id, COMMUNITY_PREFIX);
}

static int not_shared(const char *id, const char *target, struct err *err)
{
	return refuse(err, -ENOENT, "GalleryImageNotFound", target,
		      "%s: %s does not exist or is not shared with this subscription", target, id);
}

int share_resolve(struct arm *arm, const char *subscription, const char *id, const char *target,
		  char **ret, struct err *err)
{
	bool community = begins(id, COMMUNITY_PREFIX);
	auto_free char *copy =
		strdup(id + (community ? strlen(COMMUNITY_PREFIX) : strlen(SHARED_PREFIX)));
	char *part[5] = {NULL}, *p = copy, *word;
	auto_json json_t *gallery = NULL;
	unsigned n = 0;
	int r;

	if (!copy)
		return no_memory(err);
	if (*copy && copy[strlen(copy) - 1] == '/')
		copy[strlen(copy) - 1] = '\0';
	while ((word = strsep(&p, "/")) && n < 6)
		if (n++ < 5)
			part[n - 1] = word;
	if ((n != 3 && n != 5) || !*part[0] || strcasecmp(part[1], "Images") != 0 || !*part[2] ||
	    (n == 5 && (strcasecmp(part[3], "Versions") != 0 || !*part[4])))
		return refuse(err, -EINVAL, "LinkedInvalidPropertyId", target,
			      "%s: '%s' is not of the form %sNAME/Images/IMAGE[/Versions/VERSION]",
			      target, id, community ? COMMUNITY_PREFIX : SHARED_PREFIX);
	r = share_find(arm, community, part[0], subscription, &gallery, err);
	if (r < 0)
		return r == -ENOENT ? not_shared(id, target, err) : r;
	*ret = strf("%s/images/%s%s%s", json_str_at(gallery, "id"), part[2],
		    n == 5 ? "/versions/" : "", n == 5 ? part[4] : "");
	return *ret ? 0 : no_memory(err);
}

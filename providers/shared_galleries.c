/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Microsoft.Compute/locations/sharedGalleries and communityGalleries: other people's galleries as
 * those see them with whom they are shared. Read only; nothing here has an ARM id.
 */
#include "base/mem.h"
#include "providers/registry.h"
#include "providers/share.h"
#include "providers/version_rules.h"
#include "providers/versions.h"

/* Names in the id: location, gallery, image, version. */
enum { N_LOCATION, N_GALLERY, N_IMAGE, N_VERSION };

/* One request. */
struct view {
	struct arm_call *c;
	bool community;
	char *region;    /* owned, normalized */
	json_t *gallery; /* owned */
	const char *name;
	bool found;
};

static void view_done(struct view *v)
{
	free(v->region);
	json_decref(v->gallery);
}

static int not_found(const struct arm_call *c, struct err *err)
{
	return refuse(err, -ENOENT, "NotFound", NULL,
		      "%s does not exist or is not shared with this subscription", c->id->text);
}

static int view_open(struct view *v, struct arm_call *c, bool community, struct err *err)
{
	const struct arm_id *id = c->id;
	int r;

	*v = (struct view){.c = c, .community = community};
	v->region = location_normalize(id->n_names > 0 ? id->names[N_LOCATION] : "");
	if (!v->region)
		return no_memory(err);
	if (app_region_index(c->app, v->region) < 0)
		return refuse(err, -EINVAL, "NoRegisteredProviderFound", "location",
			      "location '%s' is not configured", v->region);
	if (id->n_names <= N_GALLERY)
		return 0;
	r = share_find(c->arm, community, id->names[N_GALLERY], id->subscription, &v->gallery, err);
	if (r < 0)
		return r == -ENOENT ? not_found(c, err) : r;
	v->name = community ? json_str_at(v->gallery, P_COMMUNITY ".publicNames.0")
			    : json_str_at(v->gallery, "properties.identifier.uniqueName");
	return 0;
}

/* ---- Which versions are there --------------------------------------------------------------- */

static bool version_here(const struct view *v, const json_t *doc)
{
	const char *replica = version_replica(doc, v->region);
	const char *state = json_str_at(doc, "properties.provisioningState");

	return replica && strcmp(replica, "Completed") == 0 && state &&
	       strcmp(state, "Succeeded") == 0;
}

static int any_here(void *arg, const char *id, const json_t *doc)
{
	struct view *v = arg;

	(void) id;
	v->found = v->found || version_here(v, doc);
	return v->found;
}

/* What lies in another region shows in those that its versions are in. */
static int is_here(struct view *v, const json_t *doc, bool *ret, struct err *err)
{
	auto_free char *own = location_normalize(json_str_at(doc, "location"));
	int r = own ? 0 : no_memory(err);

	v->found = own && strcmp(own, v->region) == 0;
	if (r == 0 && !v->found)
		r = arm_each(v->c->arm, TYPE_VERSION, json_str_at(doc, "id"), any_here, v, err);
	*ret = v->found;
	return r < 0 ? r : 0;
}

/* ---- Bodies --------------------------------------------------------------------------------- */

static json_t *body(const struct view *v, const char *name, const char *rest, const char *kind,
		    json_t *properties)
{
	const char *family = v->community ? "Community" : "Shared";
	json_t *j = json_pack("{s:s, s:s, s:{s:o}, s:o*}", "name", name, "location", v->region,
			      "identifier", "uniqueId",
			      json_strf("/%sGalleries/%s%s", family, v->name, rest), "properties",
			      properties);

	if (j && v->community &&
	    json_object_set_new(
		    j, "type",
		    json_strf("Microsoft.Compute/locations/communityGalleries%s", kind)) < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static json_t *tags_of(const json_t *doc)
{
	const json_t *tags = json_object_get(doc, "tags");

	return tags ? json_deep_copy(tags) : json_object();
}

static json_t *gallery_body(const struct view *v, const json_t *gallery)
{
	json_t *p = json_pack("{s:o}", "artifactTags", tags_of(gallery)), *meta;
	static const char *const copied[] = {"publisherUri", "publisherContact", "eula",
					     "publicNames"};

	if (!v->community || !p)
		return body(v, v->name, "", "", p);
	meta = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		json_t *x = json_object_get(json_at(gallery, P_COMMUNITY), copied[i]);

		if (x && json_object_set(meta, copied[i], x) < 0)
			goto fail;
	}
	if (json_object_set_new(p, "communityMetadata", meta) < 0)
		return NULL;
	return body(v, v->name, "", "", p);
fail:
	json_decref(meta);
	json_decref(p);
	return NULL;
}

static int copy_members(json_t *to, const json_t *from, const char *const *names)
{
	for (; *names; names++) {
		json_t *x = json_object_get(from, *names);

		if (x && json_object_set(to, *names, x) < 0)
			return -ENOMEM;
	}
	return 0;
}

static json_t *image_body(const struct view *v, const json_t *doc)
{
	static const char *const copied[] = {"osType",
					     "osState",
					     "endOfLifeDate",
					     "identifier",
					     "recommended",
					     "disallowed",
					     "hyperVGeneration",
					     "features",
					     "purchasePlan",
					     "architecture",
					     "privacyStatementUri",
					     "eula",
					     NULL};
	const char *name = json_str_at(doc, "name");
	auto_free char *rest = strf("/Images/%s", name);
	json_t *p = json_pack("{s:o}", "artifactTags", tags_of(doc));

	if (!rest || !p || copy_members(p, json_object_get(doc, "properties"), copied) < 0) {
		json_decref(p);
		return NULL;
	}
	return body(v, name, rest, "/images", p);
}

static json_t *disk_body(const json_t *image, bool data)
{
	const char *caching = json_str_at(image, "hostCaching");
	json_t *d = json_pack("{s:I, s:s}", "diskSizeGB",
			      (json_int_t) json_int_at(image, "sizeInGB", 0), "hostCaching",
			      caching ? caching : "None");

	if (d && data &&
	    json_object_set_new(d, "lun", json_integer(json_int_at(image, "lun", 0))) < 0) {
		json_decref(d);
		return NULL;
	}
	return d;
}

static bool excluded(const struct view *v, const json_t *doc)
{
	const json_t *t;
	size_t i;

	if (json_bool_at(doc, V_PROFILE ".excludeFromLatest", false))
		return true;
	json_array_foreach(json_at(doc, V_TARGETS), i, t)
	{
		if (str_eq(json_str_at(t, "name"), v->region) &&
		    json_bool_at(t, "excludeFromLatest", false))
			return true;
	}
	return false;
}

static json_t *version_body(const struct view *v, const json_t *doc)
{
	static const char *const copied[] = {"publishedDate", "endOfLifeDate", NULL};
	const char *name = json_str_at(doc, "name");
	auto_free char *rest = strf("/Images/%s/Versions/%s", v->c->id->names[N_IMAGE], name);
	json_t *data = json_array(), *p, *d;
	size_t i;

	json_array_foreach(json_at(doc, "properties.storageProfile.dataDiskImages"), i, d)
	{
		if (json_array_append_new(data, disk_body(d, true)) < 0) {
			json_decref(data);
			return NULL;
		}
	}
	p = json_pack("{s:b, s:{s:o, s:o}, s:o}", "excludeFromLatest", excluded(v, doc),
		      "storageProfile", "osDiskImage",
		      disk_body(json_at(doc, "properties.storageProfile.osDiskImage"), false),
		      "dataDiskImages", data, "artifactTags", tags_of(doc));
	if (!rest || !p || copy_members(p, json_at(doc, V_PROFILE), copied) < 0) {
		json_decref(p);
		return NULL;
	}
	return body(v, name, rest, "/images/versions", p);
}

/* ---- Lists ---------------------------------------------------------------------------------- */

static int keep_gallery(struct arm_call *c, const json_t *doc, struct err *err)
{
	const char *to = arm_query(c, "sharedTo");
	unsigned want = to && str_eq_nocase(to, "tenant") ? SHARE_TENANT : SHARE_SUBSCRIPTION;
	unsigned ways = 0;
	bool here = false;
	int r = share_ways(c->arm, doc, c->id->subscription, &ways, err);

	if (r == 0 && (ways & want))
		r = is_here(c->own, doc, &here, err);
	return r < 0 ? r : here;
}

static int keep_image(struct arm_call *c, const json_t *doc, struct err *err)
{
	bool here = false;
	int r = is_here(c->own, doc, &here, err);

	return r < 0 ? r : here;
}

static int keep_version(struct arm_call *c, const json_t *doc, struct err *err)
{
	(void) err;
	return version_here(c->own, doc);
}

static int become(json_t **doc, json_t *as, struct err *err)
{
	if (!as)
		return no_memory(err);
	json_decref(*doc);
	*doc = as;
	return 0;
}

static int show_gallery(struct arm_call *c, json_t **doc, struct err *err)
{
	struct view *v = c->own;
	json_t *as;

	v->name = json_str_at(*doc, "properties.identifier.uniqueName");
	as = gallery_body(v, *doc);
	v->name = NULL; /* the document's */
	return become(doc, as, err);
}

static int show_image(struct arm_call *c, json_t **doc, struct err *err)
{
	return become(doc, image_body(c->own, *doc), err);
}

static int show_version(struct arm_call *c, json_t **doc, struct err *err)
{
	return become(doc, version_body(c->own, *doc), err);
}

/* Galleries are found by whom they are shared with, what is in them by where it is. */
static int list_rows(struct view *v, struct err *err)
{
	static const struct arm_list levels[] = {
		{.type = TYPE_GALLERY, .keep = keep_gallery, .judged = true, .show = show_gallery},
		{.type = TYPE_DEFINITION, .keep = keep_image, .judged = true, .show = show_image},
		{.type = TYPE_VERSION, .keep = keep_version, .judged = true, .show = show_version},
	};
	struct arm_call *c = v->c;
	const size_t level = c->id->n_names - 1;
	const char *to = arm_query(c, "sharedTo"), *gallery = json_str_at(v->gallery, "id");
	bool tenant = to && str_eq_nocase(to, "tenant");
	auto_free char *under = NULL, *named = NULL;
	struct arm_list l = levels[level];
	int r = 0;

	if (level == 0)
		r = share_with_name(c->arm, c->id->subscription, tenant, &named, err);
	under = level == 0   ? strdup("")
		: level == 1 ? strdup(gallery)
			     : strf("%s/images/%s", gallery, c->id->names[N_IMAGE]);
	if (r == 0 && !under)
		r = no_memory(err);
	l.under = under;
	l.named = named;
	c->own = v;
	if (r == 0)
		r = arm_call_list(c, &l, err);
	c->own = NULL;
	return r;
}

static int list(struct arm_call *c, bool community, struct err *err)
{
	struct view v;
	int r = view_open(&v, c, community, err);

	if (r == 0)
		r = list_rows(&v, err);
	view_done(&v);
	return r;
}

static int shared_list(struct arm_call *c, struct err *err)
{
	return list(c, false, err);
}

static int community_list(struct arm_call *c, struct err *err)
{
	return list(c, true, err);
}

/* ---- Items ---------------------------------------------------------------------------------- */

static int item(struct view *v, struct err *err)
{
	const struct arm_id *id = v->c->id;
	auto_free char *path = NULL;
	auto_json json_t *doc = NULL;
	bool here = false;
	int r = 0;

	if (id->n_names > N_VERSION)
		path = strf("%s/images/%s/versions/%s", json_str_at(v->gallery, "id"),
			    id->names[N_IMAGE], id->names[N_VERSION]);
	else if (id->n_names > N_IMAGE)
		path = strf("%s/images/%s", json_str_at(v->gallery, "id"), id->names[N_IMAGE]);
	else
		path = strdup(json_str_at(v->gallery, "id"));
	r = path ? arm_load(v->c->arm, path, &doc, NULL) : no_memory(err);
	if (r == 0 && id->n_names > N_VERSION)
		here = version_here(v, doc);
	else if (r == 0)
		r = is_here(v, doc, &here, err);
	if (r == -ENOENT || (r == 0 && !here))
		return not_found(v->c, err);
	if (r < 0)
		return r;
	v->c->result = id->n_names > N_VERSION ? version_body(v, doc)
		       : id->n_names > N_IMAGE ? image_body(v, doc)
					       : gallery_body(v, doc);
	return v->c->result ? 0 : no_memory(err);
}

static int get(struct arm_call *c, bool community, struct err *err)
{
	struct view v;
	int r = view_open(&v, c, community, err);

	if (r == 0)
		r = item(&v, err);
	view_done(&v);
	return r;
}

static int shared_get(struct arm_call *c, struct err *err)
{
	return get(c, false, err);
}

static int community_get(struct arm_call *c, struct err *err)
{
	return get(c, true, err);
}

/* ---- Tables --------------------------------------------------------------------------------- */

#define SHARED    "Microsoft.Compute/locations/sharedGalleries"
#define COMMUNITY "Microsoft.Compute/locations/communityGalleries"

#define SHARED_TYPE(NAME, GET, LIST)                                                               \
	{                                                                                          \
		.name = (NAME), .scope = ARM_SCOPE_SUBSCRIPTION, .first_version = "2020-09-30",    \
		.versions = gallery_api_versions, .get = (GET), .list = (LIST),                    \
	}

const struct arm_type type_shared_galleries = SHARED_TYPE(SHARED, shared_get, shared_list);
const struct arm_type type_shared_images = SHARED_TYPE(SHARED "/images", shared_get, shared_list);
const struct arm_type type_shared_versions =
	SHARED_TYPE(SHARED "/images/versions", shared_get, shared_list);
/* There is no list of community galleries but Resource Graph's. */
const struct arm_type type_community_galleries = SHARED_TYPE(COMMUNITY, community_get, NULL);
const struct arm_type type_community_images =
	SHARED_TYPE(COMMUNITY "/images", community_get, community_list);
const struct arm_type type_community_versions =
	SHARED_TYPE(COMMUNITY "/images/versions", community_get, community_list);

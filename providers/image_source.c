/* SPDX-License-Identifier: Apache-2.0 */
/* Disks by resource id: what a version, a managed image or a bake can start from. */
#include "base/mem.h"
#include "providers/share.h"
#include "providers/versions.h"

void image_source_done(struct image_source *s)
{
	json_decref(s->facts);
	json_decref(s->data);
	free(s->id);
	*s = (struct image_source){.region = -1};
}

struct source_kind {
	const char *type, *word, *right;
	const char *disk, *facts; /* paths in the document */
	bool regional;            /* it is in its location and nowhere else */
};

static const struct source_kind source_kinds[] = {
	{TYPE_VERSION, "SharedImageVersion", TYPE_VERSION "/read", "properties.kiln.disk", "facts"},
	{TYPE_IMAGE, "ManagedImage", TYPE_IMAGE "/read", "properties.kiln.disk", "facts", true},
	{TYPE_DISK, "Disk", TYPE_DISK "/read", "properties.kiln.disk", "facts", true},
	{TYPE_SNAPSHOT, "Snapshot", TYPE_SNAPSHOT "/read", "properties.kiln.disk", "facts", true},
	{TYPE_RUN, "Run", TYPE_RUN "/read", "properties.artifact.disk",
	 "properties.artifact.facts"},
};

static int not_a_source(const char *id, const char *target, struct err *err)
{
	return refuse(err, -EINVAL, "InvalidParameter", target,
		      "%s: '%s' cannot be a source here. A gallery image version, a managed image, "
		      "a disk, a snapshot and a run (Kiln.Images/runs) can",
		      target, id);
}

static const struct source_kind *find_kind(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(source_kinds); i++)
		if (str_eq_nocase(source_kinds[i].type, type))
			return &source_kinds[i];
	/* a definition stands for its latest version */
	return str_eq_nocase(type, TYPE_DEFINITION) ? &source_kinds[0] : NULL;
}

static int exact_id(struct app *a, const struct source_kind *k, const struct arm_id *id,
		    const char *region, const char *target, struct image_source *ret,
		    struct err *err)
{
	int r;

	if (k != &source_kinds[0]) {
		ret->id = strdup(id->text);
		return ret->id ? 0 : no_memory(err);
	}
	r = version_exact(a, id->text, region, &ret->id, err);
	if (r < 0)
		err_target(err, "%s", target);
	return r;
}

static int check_ready(const struct source_kind *k, const json_t *doc, const char *id,
		       const char *target, struct err *err)
{
	const char *state =
		json_str_at(doc, strcmp(k->word, "Run") == 0 ? "properties.state"
							     : "properties.provisioningState");

	/* A run is a source while it distributes: its artefact is what counts. */
	if (json_at(doc, k->disk) &&
	    (strcmp(k->word, "Run") == 0 || (state && strcmp(state, "Succeeded") == 0)))
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", target,
		      "%s: %s is in state '%s' and holds no finished image", target, id,
		      state ? state : "Unknown");
}

/* The region that the disk is read from. */
static int find_region(struct app *a, const struct source_kind *k, const json_t *doc,
		       const char *region, const char *target, struct image_source *ret,
		       struct err *err)
{
	const char *location = json_str_at(doc, "location");
	const char *replica;

	if (k == &source_kinds[0]) {
		replica = version_replica(doc, region);
		if (!replica || strcmp(replica, "Completed") != 0)
			return refuse(err, -EINVAL, "GalleryImageNotFound", target,
				      "%s: %s is not available in region '%s' (replica: %s)",
				      target, ret->id, region, replica ? replica : "none");
		location = region;
	} else if (k->regional &&
		   app_region_index(a, location ? location : "") != app_region_index(a, region)) {
		return refuse(err, -EINVAL, "InvalidParameter", target,
			      "%s: %s is in region '%s', not in '%s'", target, ret->id,
			      location ? location : "", region);
	}
	ret->region = doc_place(a, doc, location, err);
	if (ret->region >= 0)
		return 0;
	err_arm(err, "InvalidParameter");
	err_target(err, "%s", target);
	return err_ctx(err, -EINVAL, "%s", target);
}

/* Of a disk its owner may say more later than was known of its content. */
static int own_facts(const json_t *doc, json_t *facts, struct err *err)
{
	static const char *const names[][2] = {
		{"osType", "properties.osType"},
		{"hyperVGeneration", "properties.hyperVGeneration"},
		{"architecture", "properties.supportedCapabilities.architecture"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *v = json_str_at(doc, names[i][1]);

		if (v && set_str(facts, names[i][0], v, err) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int take_facts(const struct source_kind *k, const json_t *doc, struct image_source *ret,
		      struct err *err)
{
	const json_t *facts = json_at(doc, k->facts), *data;

	ret->facts = json_is_object(facts) ? json_deep_copy(facts) : json_object();
	if (!ret->facts || json_object_set_new(ret->facts, "kind", json_string(k->word)) < 0 ||
	    json_object_set_new(ret->facts, "id", json_string(ret->id)) < 0)
		return no_memory(err);
	data = json_at(doc, "properties.kiln.dataDisks");
	if (json_array_size(data) > 0) {
		ret->data = json_deep_copy(data);
		if (!ret->data)
			return no_memory(err);
	}
	return is_type(ret->id, TYPE_DISK) || is_type(ret->id, TYPE_SNAPSHOT)
		       ? own_facts(doc, ret->facts, err)
		       : 0;
}

static int load(struct app *a, const struct arm_principal *who, const struct arm_id *id,
		bool shared, const char *region, const char *target, struct image_source *ret,
		struct err *err)
{
	const struct source_kind *k = id->name ? find_kind(id->type) : NULL;
	auto_json json_t *doc = NULL;
	int r;

	if (!k)
		return not_a_source(id->text, target, err);
	r = shared ? 0 : arm_may_link(a->arm, who, k->right, id->text, target, err);
	if (r == 0)
		r = exact_id(a, k, id, region, target, ret, err);
	if (r < 0)
		return r;
	r = arm_load(a->arm, ret->id, &doc, err);
	if (r == -ENOENT)
		return refuse(err, r, "ResourceNotFound", target, "%s: %s was not found", target,
			      ret->id);
	if (r == 0)
		r = check_ready(k, doc, ret->id, target, err);
	if (r == 0)
		r = find_region(a, k, doc, region, target, ret, err);
	if (r == 0)
		r = take_facts(k, doc, ret, err);
	if (r < 0)
		return r;
	r = disk_ref_from_json(json_at(doc, k->disk), &ret->disk, err);
	return r < 0 ? err_ctx(err, r, "%s", ret->id) : 0;
}

/* Sharing is the permission. */
static int load_shared(struct app *a, const struct arm_principal *who, const char *subscription,
		       const char *id, const char *region, const char *target,
		       struct image_source *ret, struct err *err)
{
	struct image_source s = {.region = -1};
	auto_free char *real = NULL;
	auto_arm_id struct arm_id p = {0};
	int r = share_resolve(a->arm, subscription, id, target, &real, err);

	if (r == 0)
		r = arm_id_parse(real, &p, err);
	if (r == 0)
		r = load(a, who, &p, true, region, target, &s, err);
	if (r < 0) {
		image_source_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

int image_source_load(struct app *a, const struct arm_principal *who, const char *subscription,
		      const char *id, const char *region, const char *target,
		      struct image_source *ret, struct err *err)
{
	struct image_source s = {.region = -1};
	auto_arm_id struct arm_id p = {0};
	int r;

	if (share_is_id(id))
		return load_shared(a, who, subscription, id, region, target, ret, err);
	if (strncmp(id, "/subscriptions/", 15) != 0 && strncmp(id, "/providers/", 11) != 0)
		return refuse(err, -EINVAL, "LinkedInvalidPropertyId", target,
			      "%s: id '%s' must begin with /subscriptions/ or /providers/", target,
			      id);
	r = arm_id_parse(id, &p, err);
	if (r < 0) {
		err_target(err, "%s", target);
		return err_ctx(err, r, "%s", target);
	}
	r = load(a, who, &p, false, region, target, &s, err);
	if (r < 0) {
		image_source_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

int image_source_lun(struct image_source *s, int64_t lun, const char *target, struct err *err)
{
	const json_t *d;
	size_t i;

	json_array_foreach(s->data, i, d)
	{
		if (json_int_at(d, "lun", -1) != lun)
			continue;
		json_decref(s->facts);
		s->facts = json_pack("{s:b, s:s}", "trusted", json_bool_at(d, "trusted", false),
				     "id", s->id);
		return s->facts ? disk_ref_from_json(json_object_get(d, "disk"), &s->disk, err)
				: no_memory(err);
	}
	return refuse(err, -EINVAL, "InvalidParameter", target,
		      "%s: %s has no data disk with LUN %lld", target, s->id, (long long) lun);
}

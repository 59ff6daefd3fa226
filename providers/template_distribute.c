/* SPDX-License-Identifier: Apache-2.0 */
/* Distribute targets: each is a request of the run's principal, like any client's. */
#include "bake/fetch.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/common.h"
#include "providers/template_run.h"
#include "providers/versions.h"
#include "store/image_file.h"

#define NAME_TRIES 5 /* automatic numbers that another run may take first */

static char *target_of(const char *id, const char *version)
{
	return strf("%s?api-version=%s", id, version);
}

static bool same_disk(const json_t *doc, const json_t *artifact)
{
	const char *a = json_str_at(doc, "properties.kiln.disk.digest");
	const char *b = json_str_at(artifact, "disk.digest");
	const char *state = json_str_at(doc, "properties.provisioningState");

	return a && b && strcmp(a, b) == 0 && state && strcmp(state, "Succeeded") == 0;
}

/* ---- Version names -------------------------------------------------------------------------- */

struct highest {
	int64_t major; /* only this one; -1 = any */
	int64_t v[VERSION_PARTS];
	char *id; /* owned; NULL = none */
};

/* From the highest down. */
static int see_version(void *arg, const char *id, const json_t *doc)
{
	struct highest *h = arg;
	int64_t v[VERSION_PARTS];

	(void) doc;
	if (version_parse(strrchr(id, '/') + 1, v) < 0 || (h->major >= 0 && v[0] > h->major))
		return 0;
	if (h->major >= 0 && v[0] < h->major)
		return 1;
	h->id = strdup(id);
	memcpy(h->v, v, sizeof(v));
	return h->id ? 1 : -ENOMEM;
}

/* 0.YYDDD.SECONDS of the day: what templates without "versioning" got before 2022-07-01. */
static char *legacy_name(void)
{
	time_t now = (time_t) (time_now_us() / 1000000);
	struct tm tm;

	if (!gmtime_r(&now, &tm))
		return NULL;
	return strf("0.%d%03d.%d", tm.tm_year % 100, tm.tm_yday + 1,
		    tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
}

static int source_name(const json_t *artifact, char **ret, struct err *err)
{
	const char *exact = json_str_at(artifact, "facts.source.exactVersion");
	int64_t v[VERSION_PARTS];

	if (!exact || version_parse(exact, v) < 0)
		return refuse(err, -EINVAL, "BadSharedImageDistribute", NULL,
			      "versioning scheme Source: the source's version '%s' is not "
			      "Major.Minor.Patch",
			      exact ? exact : "");
	*ret = strdup(exact);
	return *ret ? 0 : no_memory(err);
}

static int latest_name(struct template_run *t, const char *definition, int64_t major,
		       char **ret_name, char **ret_newest, struct err *err)
{
	struct highest h = {.major = major, .v = {0, 0, 0}};
	int r = arm_each_back(t->job->arm, TYPE_VERSION, definition, see_version, &h, err);

	if (r < 0) {
		free(h.id);
		return r;
	}
	if (!h.id) /* the first of its major */
		*ret_name = strf("%lld.0.0", major >= 0 ? (long long) major : 1LL);
	else
		*ret_name = strf("%lld.%lld.%lld", (long long) h.v[0], (long long) h.v[1],
				 (long long) h.v[2] + 1);
	*ret_newest = h.id;
	return *ret_name ? 0 : no_memory(err);
}

/* The name of the version to make. @ret_newest: for automatic numbers the newest one there is,
 * which may hold the very same disk already. */
static int pick_name(struct template_run *t, const json_t *target, const json_t *artifact,
		     const char *definition, char **ret, char **ret_newest, struct err *err)
{
	const char *scheme = json_str_at(target, "versioning.scheme");
	const char *made = json_str_at(t->doc, "madeWith");

	if (scheme && strcmp(scheme, "Source") == 0)
		return source_name(artifact, ret, err);
	if (!scheme && made && strcmp(made, "2022-07-01") < 0) {
		*ret = legacy_name();
		return *ret ? 0 : no_memory(err);
	}
	return latest_name(t, definition, json_int_at(target, "versioning.major", -1), ret,
			   ret_newest, err);
}

/* ---- Shared images -------------------------------------------------------------------------- */

/* targetRegions of the version from the target's two ways of saying it. */
static json_t *regions_of(const json_t *target)
{
	const json_t *list = json_object_get(target, "targetRegions");
	const json_t *names = json_object_get(target, "replicationRegions"), *item;
	const char *storage = json_str_at(target, "storageAccountType");
	json_t *out = json_array();
	size_t i;

	json_array_foreach((json_t *) list, i, item)
	{
		(void) json_array_append_new(
			out,
			json_pack("{s:s, s:I, s:s*}", "name", json_str_at(item, "name"),
				  "regionalReplicaCount", json_int_at(item, "replicaCount", 1),
				  "storageAccountType", json_str_at(item, "storageAccountType")));
	}
	json_array_foreach((json_t *) names, i, item)
	{
		(void) json_array_append_new(
			out, json_pack("{s:O, s:s*}", "name", item, "storageAccountType", storage));
	}
	return out;
}

static json_t *version_body(const struct template_run *t, const json_t *target,
			    const char *location)
{
	const json_t *tags = json_object_get(target, "artifactTags");
	json_t *profile =
		json_pack("{s:o, s:b}", "targetRegions", regions_of(target), "excludeFromLatest",
			  json_bool_at(target, "excludeFromLatest", false));
	const char *mode = json_str_at(target, "replicationMode");

	if (profile && mode)
		(void) json_object_set_new(profile, "replicationMode", json_string(mode));
	return json_pack("{s:s, s:O*, s:{s:o, s:{s:{s:s}}}}", "location", location, "tags",
			 json_is_object(tags) ? tags : NULL, "properties", "publishingProfile",
			 profile, "storageProfile", "source", "id", t->run_key);
}

static json_t *shown_regions(const json_t *doc)
{
	const json_t *list = json_at(doc, "properties.replicationStatus.summary"), *s;
	json_t *out = json_array();
	size_t i;

	json_array_foreach((json_t *) list, i, s)
	{
		(void) json_array_append_new(out, json_pack("{s:s, s:s}", "name",
							    json_str_at(s, "region"), "state",
							    json_str_at(s, "state")));
	}
	return out;
}

/* What the summary shows of a version. */
static int describe(struct template_run *t, const char *id, bool unchanged, json_t **ret,
		    struct err *err)
{
	auto_free char *target =
		strf("%s?api-version=%s&$expand=ReplicationStatus", id, API_GALLERY);
	auto_json json_t *doc = NULL;
	int r = target ? arm_job_request(t->job, "GET", target, NULL, &doc, err) : no_memory(err);

	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s, s:b, s:o}", "artifactId", id, "version", strrchr(id, '/') + 1,
			 "unchanged", unchanged, "regions", shown_regions(doc));
	return *ret ? 0 : no_memory(err);
}

static bool has_region(const json_t *doc, const char *name)
{
	auto_free char *want = location_normalize(name);
	const json_t *list = json_at(doc, "properties.publishingProfile.targetRegions"), *t;
	size_t i;

	json_array_foreach((json_t *) list, i, t)
	{
		const char *n = json_str_at(t, "name");

		if (want && n && strcmp(n, want) == 0)
			return true;
	}
	return false;
}

/* A version that holds the disk already may still lack regions that the target asks for. */
static int add_regions(struct template_run *t, const char *id, const json_t *doc,
		       const json_t *target, bool *ret_added, struct err *err)
{
	auto_json json_t *body = version_body(t, target, json_str_at(doc, "location"));
	auto_free char *path = target_of(id, API_GALLERY);
	const json_t *was = json_at(doc, "properties.publishingProfile.targetRegions"), *item;
	auto_json json_t *all = was ? json_deep_copy(was) : json_array();
	auto_json json_t *wanted = regions_of(target);
	size_t i;

	*ret_added = false;
	json_array_foreach(wanted, i, item)
	{
		if (has_region(doc, json_str_at(item, "name")))
			continue;
		*ret_added = true;
		(void) json_array_append(all, (json_t *) item);
	}
	if (!*ret_added)
		return 0;
	if (!body || !path || !all ||
	    json_set_at(body, "properties.publishingProfile.targetRegions", json_incref(all)) < 0 ||
	    json_set_at(body, "properties.storageProfile", json_object()) < 0)
		return no_memory(err);
	return arm_job_request(t->job, "PUT", path, json_incref(body), NULL, err);
}

/* @id exists: right when it holds this very disk; a version's content never changes. */
static int existing(struct template_run *t, const char *id, const json_t *target,
		    const json_t *artifact, bool *ret_same, json_t **ret, struct err *err)
{
	auto_json json_t *doc = NULL;
	bool added;
	int r = arm_load(t->job->arm, id, &doc, NULL);

	*ret_same = false;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set(err, r, "%s", id);
	if (!same_disk(doc, artifact))
		return 0;
	*ret_same = true;
	r = add_regions(t, id, doc, target, &added, err);
	return r < 0 ? r : describe(t, id, !added, ret, err);
}

static int put_version(struct template_run *t, const char *id, const char *definition,
		       const json_t *target, json_t **ret, struct err *err)
{
	auto_free char *path = target_of(id, API_GALLERY);
	auto_json json_t *parent = NULL;
	json_t *body;
	int r = path ? arm_load(t->job->arm, definition, &parent, err) : no_memory(err);

	if (r < 0)
		return r;
	body = version_body(t, target, json_str_at(parent, "location"));
	r = body ? arm_job_request(t->job, "PUT", path, body, NULL, err) : no_memory(err);
	return r < 0 ? r : describe(t, id, false, ret, err);
}

static int fixed_version(struct template_run *t, const struct arm_id *id, const json_t *target,
			 const json_t *artifact, json_t **ret, struct err *err)
{
	bool same;
	int r = existing(t, id->text, target, artifact, &same, ret, err);

	if (r < 0 || same)
		return r;
	r = put_version(t, id->text, id->parent, target, ret, err);
	if (r < 0 && err->arm && strcmp(err->arm, "PropertyChangeNotAllowed") == 0) {
		(void) refuse(err, -EEXIST, "Conflict", NULL,
			      "version %s exists already with other content; a version's content "
			      "never changes",
			      id->name);
		err_hint(err,
			 "name a new version in galleryImageId, or leave /versions/%s out to "
			 "number versions automatically",
			 id->name);
		return -EEXIST;
	}
	return r;
}

static int numbered_version(struct template_run *t, const struct arm_id *id, const json_t *target,
			    const json_t *artifact, json_t **ret, struct err *err)
{
	bool force = json_bool_at(artifact, "force", false);
	int r = 0;

	for (int i = 0; i < NAME_TRIES; i++) {
		auto_free char *name = NULL, *newest = NULL, *version = NULL;
		bool same = false;

		r = pick_name(t, target, artifact, id->text, &name, &newest, err);
		if (r == 0 && newest && !force)
			r = existing(t, newest, target, artifact, &same, ret, err);
		if (r < 0 || same)
			return r;
		version = strf("%s/versions/%s", id->text, name);
		if (!version)
			return no_memory(err);
		if (!newest) /* the scheme gives one name: it may be there already */
			r = existing(t, version, target, artifact, &same, ret, err);
		if (r < 0 || same)
			return r;
		err_done(err);
		r = put_version(t, version, id->text, target, ret, err);
		if (r == 0 || !newest || !err->arm ||
		    strcmp(err->arm, "PropertyChangeNotAllowed") != 0)
			return r;
	}
	return r;
}

static int to_gallery(struct template_run *t, const json_t *target, const json_t *artifact,
		      json_t **ret, struct err *err)
{
	const char *given = json_str_at(target, "galleryImageId");
	auto_arm_id struct arm_id id = {0};
	int r = arm_id_parse(given ? given : "", &id, err);

	if (r < 0)
		return r;
	if (str_eq_nocase(id.type, TYPE_VERSION) && id.name)
		return fixed_version(t, &id, target, artifact, ret, err);
	if (str_eq_nocase(id.type, TYPE_DEFINITION) && id.name)
		return numbered_version(t, &id, target, artifact, ret, err);
	return refuse(err, -EINVAL, "BadSharedImageDistribute", "galleryImageId",
		      "galleryImageId '%s' names neither an image definition nor a version",
		      given ? given : "");
}

/* ---- Managed images ------------------------------------------------------------------------- */

static int to_image(struct template_run *t, const json_t *target, const json_t *artifact,
		    json_t **ret, struct err *err)
{
	const char *id = json_str_at(target, "imageId");
	const char *location = json_str_at(target, "location");
	const json_t *tags = json_object_get(target, "artifactTags");
	auto_free char *path = target_of(id, API_IMAGE);
	auto_json json_t *old = NULL;
	bool unchanged = false;
	json_t *body;
	int r = arm_load(t->job->arm, id, &old, NULL);

	if (!path)
		return no_memory(err);
	if (r == 0)
		unchanged = same_disk(old, artifact) && !json_bool_at(artifact, "force", false);
	if (r == 0 && !unchanged) /* a later run replaces the image of an earlier one */
		r = arm_job_request(t->job, "DELETE", path, NULL, NULL, err);
	if (r < 0 && r != -ENOENT)
		return r;
	body = unchanged ? NULL
			 : json_pack("{s:s, s:O*, s:{s:{s:s}}}", "location", location, "tags",
				     json_is_object(tags) ? tags : NULL, "properties", "kiln",
				     "sourceRun", t->run_key);
	r = unchanged ? 0
	    : body    ? arm_job_request(t->job, "PUT", path, body, NULL, err)
		      : no_memory(err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:b, s:[{s:s, s:s}]}", "artifactId", id, "unchanged", unchanged,
			 "regions", "name", location, "state", "Completed");
	return *ret ? 0 : no_memory(err);
}

/* ---- VHDs ----------------------------------------------------------------------------------- */

/* A fixed VHD for Azure, whole under its name or not there. Only the host's owner has files. */
static int to_vhd(struct template_run *t, const json_t *target, const json_t *artifact,
		  json_t **ret, struct err *err)
{
	const char *uri = json_str_at(target, "uri");
	auto_free char *path = NULL;
	struct progress *p;
	struct disk_ref disk;
	struct image_file f = {
		.format = format_find("vhd", err), .disk = &disk, .cancel = t->job->cancel};
	uint64_t bytes = 0;
	int r = app_region_index(t->app, t->location);

	if (!t->who || !t->who->local_owner)
		return refuse(err, -EACCES, "BadDistributeType", "uri",
			      "%s: files are written for this host's owner only", uri);
	if (r < 0 || !f.format)
		return r < 0 ? err_set(err, r, "region %s", t->location) : -EINVAL;
	f.region = (unsigned) r;
	path = fetch_path(uri);
	if (!path)
		return refuse(err, -EINVAL, "BadDistributeType", "uri", "%s: bad escape", uri);
	r = disk_ref_from_json(json_object_get(artifact, "disk"), &disk, err);
	if (r < 0)
		return r;
	p = progress_to_events(t->job->events);
	f.progress = p;
	r = image_file_save(t->app->store, &f, path, &bytes, err);
	progress_free(p);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:b, s:I, s:[{s:s, s:s}]}", "artifactUri", uri, "unchanged", 0,
			 "fileBytes", (json_int_t) bytes, "regions", "name", t->location, "state",
			 "Completed");
	return *ret ? 0 : no_memory(err);
}

/* ---- One target ----------------------------------------------------------------------------- */

static int put_output(struct template_run *t, const json_t *target, const json_t *result,
		      struct err *err)
{
	auto_free char *id =
		strf("%s/runOutputs/%s", t->job->id->text, json_str_at(target, "runOutputName"));
	json_t *doc =
		json_pack("{s:{s:s*, s:s*, s:s}}", "properties", "artifactId",
			  json_str_at(result, "artifactId"), "artifactUri",
			  json_str_at(result, "artifactUri"), "provisioningState", "Succeeded");

	if (!id || !doc) {
		json_decref(doc);
		return no_memory(err);
	}
	return arm_job_put(t->job, id, doc, err);
}

/* Targets name the run as their source, so it has to say what its artefact is before any. */
static int publish_artifact(struct template_run *t, const json_t *artifact, struct err *err)
{
	auto_json json_t *record = t->record ? json_copy(t->record) : json_object();

	if (!record || json_object_set(record, "artifact", (json_t *) artifact) < 0)
		return no_memory(err);
	return template_put_run(t, record, err);
}

int template_distribute(void *arg, const json_t *target, const json_t *artifact, json_t **ret,
			struct err *err)
{
	struct template_run *t = arg;
	const char *type = json_str_at(target, "type");
	auto_json json_t *result = NULL;
	int r = publish_artifact(t, artifact, err);

	if (r < 0)
		return r;
	if (type && strcmp(type, "ManagedImage") == 0)
		r = to_image(t, target, artifact, &result, err);
	else if (type && strcmp(type, "VHD") == 0)
		r = to_vhd(t, target, artifact, &result, err);
	else
		r = to_gallery(t, target, artifact, &result, err);
	if (r == 0)
		r = put_output(t, target, result, err);
	if (r < 0)
		return r;
	*ret = take_ptr(result);
	return 0;
}

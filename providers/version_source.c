/* SPDX-License-Identifier: Apache-2.0 */
/* Where a version's disks come from: another image as a whole, or disk by disk. */
#include "base/mem.h"
#include "providers/disk.h"
#include "providers/disk_set.h"
#include "providers/version_rules.h"
#include "providers/versions.h"

#define P_STORAGE   "properties.storageProfile"
#define P_OS        P_STORAGE ".osDiskImage"
#define P_DATA      P_STORAGE ".dataDiskImages"
#define P_COMMUNITY P_STORAGE ".source.communityGalleryImageId"
#define P_VM        P_STORAGE ".source.virtualMachineId"
#define DISKS_MAX   65

static int check_ways(const struct arm_call *c, struct err *err)
{
	const bool given[] = {json_str_at(c->doc, V_SOURCE_ID) != NULL,
			      json_at(c->doc, P_COMMUNITY) != NULL, json_at(c->doc, P_VM) != NULL,
			      json_at(c->doc, P_OS ".source") != NULL};
	unsigned ways = 0;

	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		ways += given[i];
	if (ways != 1)
		return refuse(err, -EINVAL, "InvalidParameter", P_STORAGE,
			      P_STORAGE ": exactly one source expected (source.id, "
					"source.communityGalleryImageId or osDiskImage.source), %u "
					"given",
			      ways);
	if (given[2])
		return refuse(err, -EINVAL, "InvalidParameter", P_VM,
			      P_VM ": virtual machines cannot be sources here; a gallery image "
				   "version, a managed image, a run, disks, snapshots and VHDs "
				   "can");
	if (!given[3] && json_array_size(json_at(c->doc, P_DATA)) > 0)
		return refuse(err, -EINVAL, "InvalidParameter", P_DATA,
			      P_DATA ": the data disks come with the source");
	return 0;
}

/* The disk must be what its definition promises; what is not known of it, the definition says. */
static int match(struct arm_call *c, const json_t *definition, const char *target, struct err *err)
{
	static const struct {
		const char *fact, *property;
	} pairs[] = {
		{"osType", "properties.osType"},
		{"osState", "properties.osState"},
		{"hyperVGeneration", "properties.hyperVGeneration"},
		{"architecture", "properties.architecture"},
	};
	json_t *facts = json_object_get(c->doc, V_FACTS);

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		const char *is = json_str_at(facts, pairs[i].fact);
		const char *must = json_str_at(definition, pairs[i].property);

		if (!is && must && set_str(facts, pairs[i].fact, must, err) < 0)
			return -ENOMEM;
		if (!is || !must || str_eq_nocase(is, must))
			continue;
		return refuse(err, -EINVAL, "InvalidParameter", target,
			      "%s of the source is '%s', but the image definition says '%s'",
			      pairs[i].fact, is, must);
	}
	return 0;
}

/* ---- A whole image -------------------------------------------------------------------------- */

static int show_data(struct arm_call *c, struct err *err)
{
	json_t *list = json_at(c->doc, S_DATA), *shown, *d;
	size_t i;

	if (json_array_size(list) == 0)
		return 0;
	shown = json_array();
	json_array_foreach(list, i, d)
	{
		int64_t bytes = json_int_at(d, "disk.sizeBytes", 0);
		const char *caching = json_str_at(d, "hostCaching");
		json_t *one = json_pack(
			"{s:I, s:I, s:s}", "lun", (json_int_t) json_int_at(d, "lun", 0), "sizeInGB",
			(json_int_t) GB_OF(bytes), "hostCaching", caching ? caching : "None");

		if (json_array_append_new(shown, one) < 0) {
			json_decref(shown);
			return no_memory(err);
		}
	}
	return json_set_at(c->doc, P_DATA, shown) < 0 ? no_memory(err) : 0;
}

static int take_image(struct arm_call *c, const char *id, const char *target, struct err *err)
{
	const char *location = json_str_at(c->doc, "location");
	auto_image_source struct image_source s = {.region = -1};
	const struct app *a = c->app;
	json_t *d;
	size_t i;
	int r = image_source_load(c->app, c->who, c->id->subscription, id, location ? location : "",
				  target, &s, err);

	if (r < 0)
		return r;
	json_array_foreach(s.data, i, d)
	{
		if (json_object_set_new(d, "from", json_string(a->regions[s.region].name)) < 0)
			return no_memory(err);
	}
	if (json_set_at(c->doc, V_ORIGIN,
			json_pack("{s:s, s:s}", "id", s.id, "region", a->regions[s.region].name)) <
		    0 ||
	    json_set_at(c->doc, V_DISK, disk_ref_to_json(&s.disk)) < 0 ||
	    json_set_at(c->doc, V_FACTS, json_incref(s.facts)) < 0 ||
	    (s.data && json_set_at(c->doc, S_DATA, json_incref(s.data)) < 0))
		return no_memory(err);
	return show_data(c, err);
}

/* ---- Disk by disk --------------------------------------------------------------------------- */

/* A VHD's "id" is that of its storage account, by which it is not found here. */
static void want(struct disk_want *w, int64_t lun, const json_t *image, const char *path)
{
	const char *uri = json_str_at(image, "source.uri");

	*w = (struct disk_want){
		.lun = lun,
		.uri = uri,
		.id = uri ? NULL : json_str_at(image, "source.id"),
		.caching = json_str_at(image, "hostCaching"),
	};
	(void) snprintf(w->field, sizeof(w->field), "%s.source.%s", path, uri ? "uri" : "id");
}

static int take_disks(struct arm_call *c, struct err *err)
{
	json_t *data = json_at(c->doc, P_DATA), *d;
	struct disk_want wants[DISKS_MAX];
	size_t n = 1, i;
	int r;

	want(&wants[0], -1, json_at(c->doc, P_OS), P_OS);
	json_array_foreach(data, i, d)
	{
		char path[64];

		if (n == DISKS_MAX)
			break; /* the shape allows no more */
		(void) snprintf(path, sizeof(path), P_DATA "[%zu]", i);
		want(&wants[n++], json_int_at(d, "lun", 0), d, path);
	}
	r = disk_sources_take(c, wants, n, err);
	if (r == 0)
		r = disk_sources_hide(c->doc, P_OS ".source.uri", err);
	json_array_foreach(data, i, d)
	{
		if (r == 0)
			r = disk_sources_hide(d, "source.uri", err);
		if (r == 0)
			r = set_default(d, "hostCaching", "None", err);
	}
	return r;
}

/* ---- Hooks' parts --------------------------------------------------------------------------- */

static int version_sizes_hook(struct arm_call *c, struct err *err)
{
	int r = version_source_sizes(c->doc, err);

	return r < 0 ? r : set_default(c->doc, P_OS ".hostCaching", "ReadWrite", err);
}

int version_source_take(struct arm_call *c, struct err *err)
{
	const char *id = json_str_at(c->doc, V_SOURCE_ID);
	const char *target = id ? V_SOURCE_ID : P_COMMUNITY;
	auto_json json_t *definition = NULL;
	int r = check_ways(c, err);

	if (!id)
		id = json_str_at(c->doc, P_COMMUNITY);
	if (r == 0)
		r = arm_load(c->arm, c->id->parent, &definition, err);
	if (r == 0)
		r = id ? take_image(c, id, target, err) : take_disks(c, err);
	if (r == 0)
		r = match(c, definition, id ? target : P_OS ".source", err);
	return r < 0 ? r : version_sizes_hook(c, err);
}

int version_source_sizes(json_t *doc, struct err *err)
{
	json_t *shown = json_at(doc, P_DATA), *d, *s;
	int64_t bytes = json_int_at(doc, V_DISK ".sizeBytes", 0);
	size_t i, k;

	if (bytes > 0 && json_set_at(doc, P_OS ".sizeInGB", json_integer(GB_OF(bytes))) < 0)
		return no_memory(err);
	json_array_foreach(json_at(doc, S_DATA), i, d)
	{
		json_array_foreach(shown, k, s)
		{
			if (json_int_at(s, "lun", -1) == json_int_at(d, "lun", -2) &&
			    json_object_set_new(
				    s, "sizeInGB",
				    json_integer(GB_OF(json_int_at(d, "disk.sizeBytes", 0)))) < 0)
				return no_memory(err);
		}
	}
	return 0;
}

/* ---- Updates -------------------------------------------------------------------------------- */

static int changed(const char *property, struct err *err)
{
	return refuse(err, -EBUSY, "PropertyChangeNotAllowed", property,
		      "Changing property 'galleryImageVersion.%s' is not allowed.", property);
}

static int same_text(const json_t *doc, const json_t *old, const char *path, struct err *err)
{
	const char *given = json_str_at(doc, path), *was = json_str_at(old, path);

	return given && !(was && disk_sources_same(given, was)) ? changed(path, err) : 0;
}

static const json_t *find_lun(const json_t *list, int64_t lun)
{
	const json_t *d;
	size_t i;

	json_array_foreach((json_t *) list, i, d)
	{
		if (json_int_at(d, "lun", -1) == lun)
			return d;
	}
	return NULL;
}

static int same_data(const struct arm_call *c, struct err *err)
{
	const json_t *given = json_at(c->doc, P_DATA), *was = json_at(c->old, P_DATA), *d;
	size_t i;

	json_array_foreach((json_t *) given, i, d)
	{
		const json_t *old = find_lun(was, json_int_at(d, "lun", -1));

		if (!old)
			return changed(P_DATA, err);
		if (same_text(d, old, "source.id", NULL) < 0 ||
		    same_text(d, old, "source.uri", NULL) < 0)
			return changed(P_DATA, err);
	}
	return 0;
}

/* The content of a version never changes. An empty storage profile, or an echo of what was read,
 * means unchanged. */
int version_source_keep(struct arm_call *c, struct err *err)
{
	static const char *const texts[] = {V_SOURCE_ID, P_COMMUNITY, P_VM, P_OS ".source.id",
					    P_OS ".source.uri"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++)
		r = same_text(c->doc, c->old, texts[i], err);
	if (r == 0)
		r = same_data(c, err);
	return r < 0 ? r : keep_old(c, P_STORAGE, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/common.h"
#include "providers/version_regions.h"
#include "providers/version_rules.h"
#include "providers/versions.h"

#define P_STORAGE      "properties.storageProfile"
#define P_SAFETY       "properties.safetyProfile.allowDeletionOfReplicatedLocations"
#define V_PUBLISHED    V_PROFILE ".publishedDate"
#define V_MODE         V_PROFILE ".replicationMode"
#define V_STORAGE_TYPE V_PROFILE ".storageAccountType"
#define P_UEFI         "properties.securityProfile.uefiSettings"

static int check_name(const struct arm_call *c, struct err *err)
{
	int64_t v[VERSION_PARTS];

	if (version_parse(c->id->name, v) == 0)
		return 0;
	return refuse(
		err, -EINVAL, "InvalidParameter", "name",
		"version name '%s': Major.Minor.Patch expected, three whole numbers from 0 to "
		"2147483647 without leading zeros",
		c->id->name);
}

/* ---- Source --------------------------------------------------------------------------------- */

static int other_source(const char *field, struct err *err)
{
	return refuse(err, -EINVAL, "InvalidParameter", field,
		      "%s: this kind of source is not available here. %s.source.id may name a "
		      "gallery image version, a managed image or a run (Kiln.Images/runs); virtual "
		      "machines, disks, snapshots, VHD blobs and community galleries cannot be "
		      "sources yet",
		      field, P_STORAGE);
}

static int check_ways(const struct arm_call *c, struct err *err)
{
	static const char *const others[] = {
		P_STORAGE ".source.virtualMachineId",
		P_STORAGE ".source.communityGalleryImageId",
		P_STORAGE ".osDiskImage.source",
	};
	unsigned ways = json_str_at(c->doc, V_SOURCE_ID) != NULL;
	const char *other = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (!json_at(c->doc, others[i]))
			continue;
		other = others[i];
		ways++;
	}
	if (ways != 1)
		return refuse(err, -EINVAL, "InvalidParameter", P_STORAGE,
			      P_STORAGE ": exactly one source expected (source.id, ...), %u given",
			      ways);
	if (other)
		return other_source(other, err);
	if (json_array_size(json_at(c->doc, P_STORAGE ".dataDiskImages")) > 0)
		return refuse(err, -EINVAL, "InvalidParameter", P_STORAGE ".dataDiskImages",
			      P_STORAGE ".dataDiskImages: data disks come with the source; none of "
					"the sources that are possible here has any");
	return 0;
}

/* The disk must be what its definition promises. */
static int check_match(const json_t *facts, const json_t *definition, struct err *err)
{
	static const struct {
		const char *fact, *property;
	} pairs[] = {
		{"osType", "properties.osType"},
		{"osState", "properties.osState"},
		{"hyperVGeneration", "properties.hyperVGeneration"},
		{"architecture", "properties.architecture"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		const char *is = json_str_at(facts, pairs[i].fact);
		const char *must = json_str_at(definition, pairs[i].property);

		if (!is || !must || str_eq_nocase(is, must))
			continue;
		return refuse(err, -EINVAL, "InvalidParameter", V_SOURCE_ID,
			      "%s of the source is '%s', but the image definition says '%s'",
			      pairs[i].fact, is, must);
	}
	return 0;
}

static int keep_source(struct arm_call *c, const struct image_source *s, struct err *err)
{
	const struct app *a = c->app;
	json_t *origin = json_pack("{s:s, s:s}", "id", s->id, "region", a->regions[s->region].name);
	json_t *disk = disk_ref_to_json(&s->disk);
	uint64_t gb = (s->disk.size_bytes + (1u << 30) - 1) >> 30;
	const char *const paths[] = {V_ORIGIN, V_DISK, V_FACTS, P_STORAGE ".osDiskImage.sizeInGB"};
	json_t *const values[] = {origin, disk, json_incref(s->facts),
				  json_integer((json_int_t) gb)};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (!values[i] || json_set_at(c->doc, paths[i], values[i]) < 0)
			r = -ENOMEM;
	if (r < 0)
		return no_memory(err);
	return set_default(c->doc, P_STORAGE ".osDiskImage.hostCaching", "ReadWrite", err);
}

static int take_source(struct arm_call *c, struct err *err)
{
	const char *location = json_str_at(c->doc, "location");
	auto_image_source struct image_source s = {.region = -1};
	auto_json json_t *definition = NULL;
	int r = check_ways(c, err);

	if (r == 0)
		r = arm_load(c->arm, c->id->parent, &definition, err);
	if (r == 0)
		r = image_source_load(c->app, c->who, json_str_at(c->doc, V_SOURCE_ID),
				      location ? location : "", V_SOURCE_ID, &s, err);
	if (r == 0)
		r = check_match(s.facts, definition, err);
	return r < 0 ? r : keep_source(c, &s, err);
}

/* ---- What holds always ---------------------------------------------------------------------- */

/* Keys other than Microsoft's cannot be put into a VM's firmware here. */
static int check_uefi(const struct arm_call *c, struct err *err)
{
	const json_t *names = json_at(c->doc, P_UEFI ".signatureTemplateNames"), *n;
	size_t i;

	if (json_at(c->doc, P_UEFI ".additionalSignatures"))
		return refuse(err, -EINVAL, "InvalidParameter", P_UEFI ".additionalSignatures",
			      P_UEFI ".additionalSignatures: keys of one's own are not available "
				     "here");
	json_array_foreach((json_t *) names, i, n)
	{
		if (strcmp(json_string_value(n), "NoSignatureTemplate") == 0)
			return refuse(err, -EINVAL, "InvalidParameter",
				      P_UEFI ".signatureTemplateNames",
				      P_UEFI ".signatureTemplateNames: 'NoSignatureTemplate' is "
					     "not available here");
	}
	return 0;
}

static int check_common(struct arm_call *c, struct err *err)
{
	if (json_array_size(json_at(c->doc, V_PROFILE ".targetExtendedLocations")) > 0)
		return refuse(err, -EINVAL, "InvalidParameter",
			      V_PROFILE ".targetExtendedLocations",
			      V_PROFILE ".targetExtendedLocations: there are no edge zones here");
	if (json_bool_at(c->body, "properties.restore", false))
		return refuse(err, -EINVAL, "InvalidParameter", "properties.restore",
			      "properties.restore: no soft-deleted version of this name exists");
	if (check_uefi(c, err) < 0)
		return -EINVAL;
	return check_future(c, V_PROFILE ".endOfLifeDate", err);
}

static int safety_defaults(struct arm_call *c, struct err *err)
{
	json_t *off;

	if (strcmp(c->api_version, "2022-03-03") < 0 || json_at(c->doc, P_SAFETY))
		return 0;
	off = json_false();
	return json_set_at(c->doc, P_SAFETY, off) < 0 ? no_memory(err) : 0;
}

int version_rules_create(struct arm_call *c, struct err *err)
{
	char now[ISO_MAX];
	int r = check_name(c, err);

	if (r == 0)
		r = check_common(c, err);
	if (r == 0)
		r = set_default(c->doc, V_PROFILE ".replicationMode", "Full", err);
	if (r == 0)
		r = version_regions_check(c, err);
	if (r == 0)
		r = take_source(c, err);
	if (r == 0)
		r = safety_defaults(c, err);
	if (r == 0)
		r = set_str(c->doc, V_PROFILE ".publishedDate", time_iso(time_now_us(), now), err);
	return r;
}

/* ---- Updates -------------------------------------------------------------------------------- */

static int changed(const char *property, struct err *err)
{
	return refuse(err, -EBUSY, "PropertyChangeNotAllowed", property,
		      "Changing property 'galleryImageVersion.%s' is not allowed.", property);
}

/* The content of a version never changes. An empty storage profile, or an echo of what was read,
 * means unchanged. */
static int keep_storage(struct arm_call *c, struct err *err)
{
	const char *given = json_str_at(c->doc, V_SOURCE_ID);
	const char *was = json_str_at(c->old, V_SOURCE_ID);
	static const char *const others[] = {
		P_STORAGE ".source.virtualMachineId",
		P_STORAGE ".source.communityGalleryImageId",
		P_STORAGE ".osDiskImage.source",
	};

	if (given && !(was && arm_id_eq(given, was)))
		return changed(V_SOURCE_ID, err);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (json_at(c->doc, others[i]))
			return changed(others[i], err);
	return keep_old(c, P_STORAGE, err);
}

static int keep_fixed(struct arm_call *c, struct err *err)
{
	static const char *const hidden[] = {
		V_REPLICATION,
		V_FACTS,
		V_ORIGIN,
		"properties.kiln",
	};
	static const char *const fixed[] = {V_MODE, V_STORAGE_TYPE, P_SAFETY};
	int r = keep_old(c, V_PUBLISHED, err);

	for (size_t i = 0; i < ARRAY_SIZE(hidden) && r == 0; i++)
		r = keep_old(c, hidden[i], err);
	for (size_t i = 0; i < ARRAY_SIZE(fixed) && r == 0; i++)
		if (!json_at(c->doc, fixed[i]))
			r = keep_old(c, fixed[i], err);
	return r;
}

int version_rules_update(struct arm_call *c, struct err *err)
{
	int r = check_common(c, err);

	if (r == 0)
		r = keep_storage(c, err);
	if (r == 0)
		r = keep_fixed(c, err);
	return r < 0 ? r : version_regions_update(c, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a disk or snapshot may say, and how it is read. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/disk.h"
#include "providers/import.h"
#include "providers/shallow.h"
#include "providers/versions.h"

#define D_SOURCE      D_CREATION ".sourceResourceId"
#define D_URI         D_CREATION ".sourceUri"
#define D_IMAGE       D_CREATION ".imageReference"
#define D_GALLERY     D_CREATION ".galleryImageReference"
#define D_INCREMENTAL "properties.incremental"

static int bad(struct err *err, const char *field, const char *what)
{
	return refuse(err, -EINVAL, "InvalidParameter", field, "%s: %s", field, what);
}

/* ---- What cannot be had here ---------------------------------------------------------------- */

/* Does the region keep what is in it encrypted? */
static bool region_encrypts(const struct arm_call *c)
{
	const struct app *a = c->app;
	auto_free char *name = location_normalize(json_str_at(c->doc, "location") ?: "");
	int at = name ? app_region_index(a, name) : -1;

	return at >= 0 && a->regions[at].key;
}

static int check_encryption(const struct arm_call *c, struct err *err)
{
	const char *type = json_str_at(c->doc, "properties.encryption.type");
	const char *security = json_str_at(c->doc, "properties.securityProfile.securityType");

	if (json_str_at(c->doc, "properties.encryption.diskEncryptionSetId") ||
	    (type && strcmp(type, "EncryptionAtRestWithPlatformKey") != 0))
		return bad(err, "properties.encryption",
			   "disk encryption sets are not available here: a region's encryption is "
			   "configured for the whole region");
	if (type && !region_encrypts(c))
		return bad(
			err, "properties.encryption.type",
			"the region has no encryption key, so nothing in it is encrypted: give it "
			"one (docs/config.md), or leave the field out");
	if (json_bool_at(c->doc, "properties.encryptionSettingsCollection.enabled", false))
		return bad(err, "properties.encryptionSettingsCollection.enabled",
			   "encryption inside the guest is not available here");
	if (security && strcmp(security, "TrustedLaunch") != 0)
		return bad(err, "properties.securityProfile.securityType",
			   "confidential disks are not available here");
	return 0;
}

static int check_unavailable(const struct arm_call *c, struct err *err)
{
	static const struct {
		const char *path, *value, *why;
	} refused[] = {
		{"properties.networkAccessPolicy", "AllowPrivate",
		 "there are no disk access resources here; AllowAll and DenyAll are possible"},
		{"properties.dataAccessAuthMode", "AzureActiveDirectory",
		 "signed URLs are checked by their signature alone"},
	};
	const char *v;

	if (json_str_at(c->doc, "properties.diskAccessId"))
		return bad(err, "properties.diskAccessId",
			   "there are no disk access resources "
			   "here");
	if (json_is_object(json_object_get(c->doc, "extendedLocation")))
		return bad(err, "extendedLocation", "there are no edge zones here");
	if (json_int_at(c->doc, "properties.maxShares", 1) > 1)
		return bad(err, "properties.maxShares", "shared disks are not available here");
	if (json_int_at(c->doc, D_CREATION ".logicalSectorSize", 512) != 512)
		return bad(err, D_CREATION ".logicalSectorSize", "512 is the only sector size");
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		v = json_str_at(c->doc, refused[i].path);
		if (v && strcmp(v, refused[i].value) == 0)
			return bad(err, refused[i].path, refused[i].why);
	}
	return check_encryption(c, err);
}

/* ---- Sources -------------------------------------------------------------------------------- */

/* Facts of the content, as far as the request does not say them itself. What az sends when its user
 * says nothing is generation V1: the source's counts. */
static int take_fact(struct arm_call *c, const json_t *facts, const char *fact, const char *path,
		     struct err *err)
{
	const char *is = json_str_at(facts, fact), *given = json_str_at(c->doc, path);

	if (!is)
		return 0;
	if (given && strcmp(fact, "hyperVGeneration") == 0 && strcmp(given, "V1") == 0)
		return set_str(c->doc, path, is, err);
	if (given && strcmp(fact, "osType") != 0 && !str_eq_nocase(is, given))
		return refuse(err, -EINVAL, "InvalidParameter", path,
			      "%s is '%s', but the source has '%s'", path, given, is);
	return set_default(c->doc, path, is, err);
}

/* What was learnt of a source: content, where it is, its properties. */
static int keep_source(struct arm_call *c, struct image_source *s, struct err *err)
{
	const struct app *a = c->app;
	json_t *origin = json_pack("{s:s, s:s}", "id", s->id, "region", a->regions[s->region].name);
	int r;

	if (json_set_at(c->doc, "origin", origin) < 0 ||
	    json_set_at(c->doc, D_DISK, disk_ref_to_json(&s->disk)) < 0 ||
	    json_set_at(c->doc, "facts", json_incref(s->facts)) < 0)
		return no_memory(err);
	/* A disk has no state of its operating system. */
	(void) json_object_del(json_object_get(c->doc, "facts"), "osState");
	r = take_fact(c, s->facts, "osType", "properties.osType", err);
	if (r == 0)
		r = take_fact(c, s->facts, "hyperVGeneration", "properties.hyperVGeneration", err);
	if (r == 0)
		r = take_fact(c, s->facts, "architecture",
			      "properties.supportedCapabilities.architecture", err);
	return r;
}

static int check_size(struct arm_call *c, uint64_t bytes, struct err *err)
{
	int64_t gb = json_int_at(c->doc, D_SIZE_GB, 0);

	if (gb == 0 || gb >= GB_OF(bytes))
		return 0;
	return refuse(err, -EINVAL, "InvalidParameter", D_SIZE_GB,
		      D_SIZE_GB ": %lld GB are less than the source's %lld", (long long) gb,
		      (long long) GB_OF(bytes));
}

static int from_id(struct arm_call *c, const char *id, const char *target, struct err *err)
{
	const char *location = json_str_at(c->doc, "location");
	auto_image_source struct image_source s = {.region = -1};
	int64_t lun = -1;
	auto_free char *at = NULL;
	int r;

	if (str_ends(target, "mageReference.id")) {
		at = strndup(target, strlen(target) - strlen(".id"));
		if (!at)
			return no_memory(err);
		lun = json_int_at(json_at(c->doc, at), "lun", -1);
	}
	r = image_source_load(c->app, c->who, c->id->subscription, id, location ? location : "",
			      target, &s, err);
	if (r == 0 && lun >= 0)
		r = image_source_lun(&s, lun, target, err);
	if (r == 0)
		r = check_size(c, s.disk.size_bytes, err);
	return r < 0 ? r : keep_source(c, &s, err);
}

static int from_image(struct arm_call *c, struct err *err)
{
	static const char *const refs[] = {D_IMAGE, D_GALLERY};
	static const char *const members[] = {"id", "sharedGalleryImageId",
					      "communityGalleryImageId"};
	const char *id = NULL;
	char target[96] = "";
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(members); k++) {
			const char *v = json_str_at(json_at(c->doc, refs[i]), members[k]);

			if (!v)
				continue;
			n++;
			id = v;
			(void) snprintf(target, sizeof(target), "%s.%s", refs[i], members[k]);
		}
	}
	if (n != 1)
		return bad(err, D_GALLERY,
			   "exactly one image is needed: imageReference.id, or "
			   "galleryImageReference with one of id, sharedGalleryImageId and "
			   "communityGalleryImageId");
	return from_id(c, id, target, err);
}

static int from_copy(struct arm_call *c, struct err *err)
{
	const char *id = json_str_at(c->doc, D_SOURCE);

	if (!id)
		return bad(err, D_SOURCE, "the id of a disk or snapshot is needed");
	if (!is_type(id, TYPE_DISK) && !is_type(id, TYPE_SNAPSHOT))
		return bad(err, D_SOURCE, "the id of a disk or snapshot expected");
	return from_id(c, id, D_SOURCE, err);
}

/* Bytes from elsewhere: nobody here knows what is in them. */
static int foreign(struct arm_call *c, struct err *err)
{
	json_t *facts =
		json_pack("{s:s*, s:s*, s:s*, s:b}", "osType",
			  json_str_at(c->doc, "properties.osType"), "hyperVGeneration",
			  json_str_at(c->doc, "properties.hyperVGeneration"), "architecture",
			  json_str_at(c->doc, "properties.supportedCapabilities."
					      "architecture"),
			  "trusted", 0);

	return json_set_at(c->doc, "facts", facts) < 0 ? no_memory(err) : 0;
}

static int from_uri(struct arm_call *c, struct err *err)
{
	const char *uri = json_str_at(c->doc, D_URI);
	int r = uri ? import_check_uri(c->who, uri, D_URI, err)
		    : bad(err, D_URI, "the https URL of a fixed VHD is needed");

	return r < 0 ? r : foreign(c, err);
}

static int from_upload(struct arm_call *c, struct err *err)
{
	int64_t bytes = json_int_at(c->doc, D_UPLOAD, 0), disk = bytes - 512;

	if (bytes == 0)
		return bad(err, D_UPLOAD,
			   "the size of the VHD file in bytes is needed: the disk and 512 bytes of "
			   "footer");
	if (bytes % 512 != 0)
		return bad(err, D_UPLOAD, "a multiple of 512 expected: the disk and its footer");
	if (json_int_at(c->doc, D_SIZE_GB, GB_OF(disk)) != GB_OF(disk))
		return bad(err, D_SIZE_GB, "the size of an uploaded disk is that of its VHD");
	if (json_set_at(c->doc, D_BYTES, json_integer(disk)) < 0 ||
	    json_set_at(c->doc, D_SIZE_GB, json_integer(GB_OF(disk))) < 0)
		return no_memory(err);
	return foreign(c, err);
}

static int empty(struct arm_call *c, struct err *err)
{
	int64_t gb = json_int_at(c->doc, D_SIZE_GB, 0);
	json_t *facts = json_pack("{s:b}", "trusted", 1);

	if (gb == 0) {
		json_decref(facts);
		return bad(err, D_SIZE_GB, "an empty disk needs its size in GB");
	}
	if (json_set_at(c->doc, "facts", facts) < 0 ||
	    json_set_at(c->doc, D_BYTES, json_integer(gb << 30)) < 0)
		return no_memory(err);
	return 0;
}

/* One row for each createOption; the fields that belong to it. */
static const struct {
	const char *option;
	int (*take)(struct arm_call *c, struct err *err);
	const char *const fields[3];
} ways[] = {
	{"Empty", empty, {NULL}},
	{"FromImage", from_image, {"imageReference", "galleryImageReference"}},
	{"Copy", from_copy, {"sourceResourceId"}},
	{"Restore", from_copy, {"sourceResourceId"}},
	{"CopyStart", from_copy, {"sourceResourceId"}},
	{"Import", from_uri, {"sourceUri", "storageAccountId"}},
	{"Upload", from_upload, {"uploadSizeBytes"}},
};

static bool belongs(size_t way, const char *field)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways[way].fields) && ways[way].fields[i]; i++)
		if (strcmp(ways[way].fields[i], field) == 0)
			return true;
	return false;
}

static int check_fields(const struct arm_call *c, size_t way, struct err *err)
{
	static const char *const all[] = {"imageReference",   "galleryImageReference",
					  "sourceResourceId", "sourceUri",
					  "uploadSizeBytes",  "securityDataUri"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char path[64];

		(void) snprintf(path, sizeof(path), D_CREATION ".%s", all[i]);
		if (json_at(c->doc, path) && !belongs(way, all[i]))
			return refuse(err, -EINVAL, "InvalidParameter", path,
				      "%s does not go with createOption '%s'", path,
				      ways[way].option);
	}
	return 0;
}

static int take_source(struct arm_call *c, struct err *err)
{
	const char *option = json_str_at(c->doc, D_OPTION);

	for (size_t i = 0; option && i < ARRAY_SIZE(ways); i++) {
		int r;

		if (strcmp(ways[i].option, option) != 0)
			continue;
		r = check_fields(c, i, err);
		return r < 0 ? r : ways[i].take(c, err);
	}
	return refuse(err, -EINVAL, "InvalidParameter", D_OPTION,
		      D_OPTION ": '%s' is not available here; Empty, FromImage, Copy, Restore, "
			       "Import and Upload are",
		      option ? option : "");
}

/* ---- Writes --------------------------------------------------------------------------------- */

static int set_identity(struct arm_call *c, struct err *err)
{
	char id[UUID_STR], now[ISO_MAX];
	const char *option = json_str_at(c->doc, D_OPTION);
	bool upload = option && strcmp(option, "Upload") == 0;
	int r = uuid_random(id);

	if (r < 0)
		return err_set(err, r, "random bytes");
	r = set_str(c->doc, "properties.uniqueId", id, err);
	if (r == 0)
		r = set_str(c->doc, "properties.timeCreated", time_iso(time_now_us(), now), err);
	if (r == 0)
		r = set_str(c->doc, D_STATE, upload ? "ReadyToUpload" : "Unattached", err);
	if (r == 0 && json_bool_at(c->doc, D_INCREMENTAL, false)) {
		const char *source = json_str_at(c->doc, "origin.id");
		struct digest d;

		/* Snapshots of one disk are one family. */
		sha256(source ? source : "", source ? strlen(source) : 0, &d);
		uuid_from_digest(&d, id);
		r = set_str(c->doc, "properties.incrementalSnapshotFamilyId", id, err);
	}
	return r < 0 ? r : set_default(c->doc, "sku.name", "Standard_LRS", err);
}

static int changed(const char *property, struct err *err)
{
	return refuse(err, -EBUSY, "PropertyChangeNotAllowed", property,
		      "Changing property '%s' is not allowed.", property);
}

static bool same_before_query(const char *a, const char *b)
{
	size_t n = strcspn(a, "?"), m = strcspn(b, "?");

	return n == m && strncmp(a, b, n) == 0;
}

/* One that never got its content tries again with the signature that came now. */
static int keep_uri(struct arm_call *c, struct err *err)
{
	const char *now = json_str_at(c->doc, D_URI);
	bool empty = !json_at(c->old, D_DISK);
	auto_free char *uri = now && empty ? strdup(now) : NULL;
	int r = now && empty && !uri ? no_memory(err) : keep_old(c, D_CREATION, err);

	return r < 0 || !uri ? r : set_str(c->doc, D_URI, uri, err);
}

/* What a disk was made from never changes; a signed URL may come with another signature. */
static int keep_creation(struct arm_call *c, struct err *err)
{
	static const char *const texts[] = {
		"createOption",
		"sourceResourceId",
		"sourceUri",
		"imageReference.id",
		"galleryImageReference.id",
		"galleryImageReference.sharedGalleryImageId",
		"galleryImageReference.communityGalleryImageId",
	};
	const json_t *now = json_at(c->doc, D_CREATION), *was = json_at(c->old, D_CREATION);

	for (size_t i = 0; now && i < ARRAY_SIZE(texts); i++) {
		const char *a = json_str_at(now, texts[i]), *b = json_str_at(was, texts[i]);
		char path[96];

		(void) snprintf(path, sizeof(path), D_CREATION ".%s", texts[i]);
		if (a && !(b && (same_before_query(a, b) || str_eq_nocase(a, b))))
			return changed(path, err);
	}
	if (json_int_at(now, "uploadSizeBytes", -1) >= 0 &&
	    json_int_at(now, "uploadSizeBytes", -1) != json_int_at(was, "uploadSizeBytes", -1))
		return changed(D_UPLOAD, err);
	return keep_uri(c, err);
}

/* Disks only grow, and not while somebody outside reads or writes them. */
static int check_resize(struct arm_call *c, struct err *err)
{
	int64_t was = json_int_at(c->old, D_SIZE_GB, 0), now = json_int_at(c->doc, D_SIZE_GB, 0);
	const char *state = json_str_at(c->old, D_STATE);

	if (now == 0 || now == was)
		return keep_old(c, D_SIZE_GB, err);
	if (is_type(c->id->text, TYPE_SNAPSHOT))
		return changed(D_SIZE_GB, err);
	if (now < was)
		return refuse(err, -EBUSY, "OperationNotAllowed", D_SIZE_GB,
			      D_SIZE_GB ": %lld GB are less than the disk's %lld: disks can only "
					"grow",
			      (long long) now, (long long) was);
	if (disk_access_active(c->old) || !state || strcmp(state, "Unattached") != 0)
		return refuse(err, -EBUSY, "OperationNotAllowed", D_SIZE_GB,
			      "the disk is in state '%s' and cannot grow now", state ? state : "");
	return 0;
}

static int disk_update(struct arm_call *c, struct err *err)
{
	static const char *const kept[] = {"facts", "origin", "access", "properties.kiln",
					   "properties.hyperVGeneration"};
	int r = keep_creation(c, err);

	for (size_t i = 0; i < ARRAY_SIZE(kept) && r == 0; i++)
		r = keep_old(c, kept[i], err);
	if (r == 0 && !json_at(c->doc, "sku.name"))
		r = keep_old(c, "sku", err);
	return r < 0 ? r : check_resize(c, err);
}

int disk_write(struct arm_call *c, struct err *err)
{
	int r = check_unavailable(c, err);

	if (r == 0)
		r = c->old ? disk_update(c, err) : take_source(c, err);
	if (r == 0 && !c->old)
		r = set_identity(c, err);
	if (r < 0)
		return r;
	c->status = 202; /* clients of these two types know 200 and 202 only */
	return arm_call_job(c, c->old ? "update" : "create", NULL, err);
}

int disk_delete(struct arm_call *c, struct err *err)
{
	int r = disk_access_active(c->old) ? group_deleting(c, err) : 1;

	if (r < 0)
		return r;
	if (r == 0)
		return refuse(err, -EBUSY, "OperationNotAllowed", NULL,
			      "'%s' has an active shared access signature: end it first (POST "
			      "endGetAccess)",
			      c->id->name);
	if (shallow_source_free(c, err) < 0)
		return -EBUSY;
	return arm_call_job(c, "delete", NULL, err);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int hide_signature(json_t *doc, struct err *err)
{
	const char *uri = json_str_at(doc, D_URI);
	auto_free char *plain = uri ? strndup(uri, strcspn(uri, "?")) : NULL;

	if (!uri || strlen(uri) == strcspn(uri, "?"))
		return 0;
	return plain ? set_str(doc, D_URI, plain, err) : no_memory(err);
}

int disk_view(struct arm_call *c, struct err *err)
{
	const char *sku = json_str_at(c->doc, "sku.name");
	const char *state = json_str_at(c->doc, D_STATE);
	auto_free char *tier = sku ? strndup(sku, strcspn(sku, "_")) : NULL;
	int r = 0;

	/* A Read access ends by itself. */
	if (state && strcmp(state, "ActiveSAS") == 0 && !disk_access_active(c->doc))
		r = set_str(c->doc, D_STATE, "Unattached", err);
	if (r == 0 && tier)
		r = set_str(c->doc, "sku.tier",
			    strcmp(tier, "StandardSSD") == 0 ? "Standard" : tier, err);
	(void) json_object_del(c->doc, "facts");
	(void) json_object_del(c->doc, "origin");
	(void) json_object_del(c->doc, "access");
	return r < 0 ? r : hide_signature(c->doc, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/disk_set.h"
#include "providers/shallow.h"
#include "providers/version_regions.h"
#include "providers/version_rules.h"
#include "providers/versions.h"

#define P_SAFETY       "properties.safetyProfile.allowDeletionOfReplicatedLocations"
#define V_PUBLISHED    V_PROFILE ".publishedDate"
#define V_MODE         V_PROFILE ".replicationMode"
#define V_STORAGE_TYPE V_PROFILE ".storageAccountType"
#define P_UEFI         "properties.securityProfile.uefiSettings"

int version_name_check(const struct arm_call *c, struct err *err)
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
	if (c->old && json_bool_at(c->body, "properties.restore", false))
		return refuse(err, -EINVAL, "InvalidParameter", "properties.restore",
			      "properties.restore: the version is not deleted");
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
	int r = version_name_check(c, err);

	if (r == 0)
		r = check_common(c, err);
	if (r == 0)
		r = domain_note(c, err);
	if (r == 0)
		r = set_default(c->doc, V_PROFILE ".replicationMode", "Full", err);
	if (r == 0)
		r = version_regions_check(c, err);
	if (r == 0)
		r = version_source_take(c, err);
	if (r == 0)
		r = shallow_check(c, err);
	if (r == 0)
		r = safety_defaults(c, err);
	if (r == 0)
		r = set_str(c->doc, V_PROFILE ".publishedDate", time_iso(time_now_us(), now), err);
	return r;
}

/* ---- Updates -------------------------------------------------------------------------------- */

/* Shown only on request, so that a client's echo may lack it. */
static int keep_uefi(struct arm_call *c, struct err *err)
{
	const json_t *now = json_at(c->body, P_UEFI), *was = json_at(c->old, P_UEFI);

	if (json_is_object(now) && !(was && json_equal((json_t *) now, (json_t *) was)))
		return refuse(err, -EBUSY, "PropertyChangeNotAllowed", P_UEFI,
			      "Changing property 'galleryImageVersion.%s' is not allowed.", P_UEFI);
	return keep_old(c, "properties.securityProfile", err);
}

static int keep_fixed(struct arm_call *c, struct err *err)
{
	static const char *const hidden[] = {
		V_REPLICATION, V_FACTS, V_ORIGIN, S_IMPORTS, "properties.kiln",
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
		r = version_source_keep(c, err);
	if (r == 0)
		r = keep_fixed(c, err);
	if (r == 0)
		r = keep_uefi(c, err);
	if (r == 0)
		r = version_regions_update(c, err);
	return r < 0 ? r : shallow_check(c, err);
}

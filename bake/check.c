/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>

#include "bake/bake.h"
#include "bake/template.h"
#include "base/mem.h"

int check_known(const json_t *obj, const char *const *names, const char *field, struct err *err)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *) obj, key, v)
	{
		auto_free char *sub = NULL;
		size_t i;

		for (i = 0; names[i] && strcmp(names[i], key) != 0; i++)
			;
		if (names[i])
			continue;
		sub = strf("%s.%.64s", field, key);
		return template_field_error(err, "InvalidRequestContent", sub ?: field,
					    "this field is unknown");
	}
	return 0;
}

/* Text without control characters. */
static bool plain_text(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char) *s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

int check_label(const json_t *v, const char *field, struct err *err)
{
	const char *s = json_string_value(v);
	size_t n = s ? strlen(s) : 0;

	if (n == 0 || n > TEMPLATE_MAX_NAME || !plain_text(s))
		return template_field_error(err, NULL, field,
					    "expected 1 to %u characters without line ends and "
					    "other control characters",
					    TEMPLATE_MAX_NAME);
	return 0;
}

int check_name(const json_t *v, const char *field, struct err *err)
{
	const char *s = json_string_value(v);
	size_t n = s ? strlen(s) : 0;

	if (n == 0 || n > TEMPLATE_MAX_NAME)
		return template_field_error(err, NULL, field,
					    "expected a name of 1 to %u characters",
					    TEMPLATE_MAX_NAME);
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char) s[i]) && !strchr("-_.", s[i]))
			return template_field_error(err, NULL, field,
						    "a name has letters, digits and \"-_.\" only; "
						    "character %zu is something else",
						    i + 1);
	}
	return 0;
}

int check_sha256(const json_t *v, const char *field, struct err *err)
{
	const char *s = json_string_value(v);

	if (!v || json_is_null(v) || (s && !*s))
		return 0;
	if (!s || strlen(s) != 64 || strspn(s, "0123456789abcdef") != 64)
		return template_field_error(err, NULL, field,
					    "expected 64 lower-case hexadecimal digits");
	return 0;
}

int check_uri(const json_t *v, const char *field, struct err *err)
{
	const char *s = json_string_value(v), *host;

	if (!s || !*s)
		return template_field_error(err, NULL, field, "expected a URI");
	if (strlen(s) > TEMPLATE_MAX_URI || !plain_text(s) || strchr(s, ' '))
		return template_field_error(err, NULL, field,
					    "a URI has at most %u characters, no space and no "
					    "control character",
					    TEMPLATE_MAX_URI);
	if (str_starts(s, "file:///"))
		return s[8] ? 0 : template_field_error(err, NULL, field, "expected file:///PATH");
	if (!str_starts(s, "https://"))
		return template_field_error(err, NULL, field,
					    "expected https://HOST/PATH or file:///PATH; for a "
					    "file beside the template kiln bake takes file:NAME");
	host = s + strlen("https://");
	if (host[strcspn(host, "/?#")] == '#' || strchr(s, '#'))
		return template_field_error(err, NULL, field, "a fragment (#) names no content");
	if (strcspn(host, "/?") == 0 || memchr(host, '@', strcspn(host, "/?")))
		return template_field_error(err, NULL, field,
					    "expected https://HOST/PATH without user name");
	return 0;
}

/* Every field in @names is a non-empty string without control characters. */
static int check_strings(const json_t *obj, const char *const *names, const char *code,
			 const char *base, struct err *err)
{
	for (; *names; names++) {
		const char *s = json_string_value(json_object_get(obj, *names));
		char field[128];

		snprintf(field, sizeof(field), "%s.%s", base, *names);
		if (!s || !*s || strlen(s) > TEMPLATE_MAX_URI || !plain_text(s))
			return template_field_error(err, code, field, "expected a text");
	}
	return 0;
}

/* "1.2.3", each within a signed 32-bit range, no leading or trailing anything. */
static bool version_ok(const char *s)
{
	for (int part = 0; part < 3; part++) {
		size_t n = strspn(s, "0123456789");

		if (n == 0 || n > 10 || strtoll(s, NULL, 10) > INT32_MAX)
			return false;
		s += n;
		if (part < 2 && *s++ != '.')
			return false;
	}
	return !*s;
}

/* An id of kind @type ("images"), with one name after it, perhaps /versions/NAME. */
static int check_id(const char *id, const char *type, bool version, const char *code,
		    const char *field, struct err *err)
{
	auto_free char *low = str_lower(id);
	auto_free char *mark = strf("/providers/microsoft.compute/%s/", type);
	char *at, *name, *ver;

	if (!low || !mark)
		return -ENOMEM;
	at = strstr(low, mark);
	if (!str_starts(low, "/subscriptions/") || !at)
		return template_field_error(err, code, field,
					    "expected the id of a Microsoft.Compute/%s resource",
					    type);
	if (!version)
		return 0;
	name = strstr(at, "/images/");
	ver = name ? strstr(name, "/versions/") : NULL;
	if (!name || !name[8] || name[8] == '/')
		return template_field_error(err, code, field,
					    "expected …/galleries/NAME/images/NAME");
	if (ver && !version_ok(ver + 10) && strcmp(ver + 10, "latest") != 0)
		return template_field_error(err, code, field,
					    "\"%.32s\" is no version; expected MAJOR.MINOR.PATCH, "
					    "each at most 2147483647",
					    ver + 10);
	return 0;
}

int check_source(const json_t *source, struct err *err)
{
	static const char *const platform[] = {"publisher", "offer", "sku", "version", NULL};
	static const char *const managed[] = {"imageId", NULL};
	static const char *const shared[] = {"imageVersionId", NULL};
	const char *type = json_string_value(json_object_get(source, "type"));
	const char *id;
	int r;

	if (!json_is_object(source))
		return template_field_error(err, "BadSourceType", "properties.source",
					    "expected an object");
	if (str_eq(type, "PlatformImage"))
		return check_strings(source, platform, "BadPIRSource", "properties.source", err);
	if (str_eq(type, "ManagedImage")) {
		r = check_strings(source, managed, "BadManagedImageSource", "properties.source",
				  err);
		return r < 0 ? r
			     : check_id(json_string_value(json_object_get(source, "imageId")),
					"images", false, "BadManagedImageSource",
					"properties.source.imageId", err);
	}
	if (str_eq(type, "SharedImageVersion")) {
		r = check_strings(source, shared, "BadSharedImageVersionSource",
				  "properties.source", err);
		id = json_string_value(json_object_get(source, "imageVersionId"));
		if (r == 0)
			r = check_id(id, "galleries", true, "BadSharedImageVersionSource",
				     "properties.source.imageVersionId", err);
		if (r == 0 && !strstr(id, "/versions/"))
			r = template_field_error(err, "BadSharedImageVersionSource",
						 "properties.source.imageVersionId",
						 "expected …/versions/MAJOR.MINOR.PATCH or "
						 "…/versions/latest");
		return r;
	}
	return template_field_error(err, "BadSourceType", "properties.source.type",
				    "expected PlatformImage, ManagedImage or SharedImageVersion");
}

static int check_regions(const json_t *d, const char *base, struct err *err)
{
	const json_t *regions = json_object_get(d, "targetRegions"), *v;
	const json_t *old = json_object_get(d, "replicationRegions");
	char field[128];
	size_t i;

	snprintf(field, sizeof(field), "%s.targetRegions", base);
	if (json_is_array(regions) && json_array_size(old) > 0)
		return template_field_error(err, "BadSharedImageDistribute", field,
					    "give targetRegions or replicationRegions, not both");
	if (regions && !json_is_null(regions) && !json_is_array(regions))
		return template_field_error(err, "BadSharedImageDistribute", field,
					    "expected an array");
	json_array_foreach(regions, i, v)
	{
		const json_t *count = json_object_get(v, "replicaCount");

		snprintf(field, sizeof(field), "%s.targetRegions[%zu].name", base, i);
		if (!json_is_string(json_object_get(v, "name")))
			return template_field_error(err, "BadSharedImageDistribute", field,
						    "expected a region's name");
		snprintf(field, sizeof(field), "%s.targetRegions[%zu].replicaCount", base, i);
		if (count && !json_is_null(count) &&
		    (!json_is_integer(count) || json_integer_value(count) < 1 ||
		     json_integer_value(count) > 100))
			return template_field_error(err, "BadSharedImageDistribute", field,
						    "expected a whole number from 1 to 100");
	}
	return 0;
}

static int check_versioning(const json_t *d, const char *base, struct err *err)
{
	const json_t *v = json_object_get(d, "versioning"), *major;
	const char *scheme = json_string_value(json_object_get(v, "scheme"));
	const char *id = json_string_value(json_object_get(d, "galleryImageId"));
	char field[128];

	if (!v || json_is_null(v))
		return 0;
	snprintf(field, sizeof(field), "%s.versioning", base);
	if (strstr(id, "/versions/"))
		return template_field_error(err, "BadSharedImageDistribute", field,
					    "galleryImageId names a fixed version already");
	snprintf(field, sizeof(field), "%s.versioning.scheme", base);
	if (!str_eq(scheme, "Latest") && !str_eq(scheme, "Source"))
		return template_field_error(err, "BadSharedImageDistribute", field,
					    "expected Latest or Source");
	major = json_object_get(v, "major");
	snprintf(field, sizeof(field), "%s.versioning.major", base);
	if (major && !json_is_null(major) &&
	    (!json_is_integer(major) || json_integer_value(major) < -1 ||
	     json_integer_value(major) > INT32_MAX))
		return template_field_error(err, "BadSharedImageDistribute", field,
					    "expected -1 (any) or a major version");
	return 0;
}

static int check_target(const json_t *d, const char *base, struct err *err)
{
	const char *type = json_string_value(json_object_get(d, "type")), *id;
	char field[128];
	int r;

	if (str_eq(type, "ManagedImage")) {
		static const char *const need[] = {"imageId", "location", NULL};

		snprintf(field, sizeof(field), "%s.imageId", base);
		r = check_strings(d, need, "BadDistributeType", base, err);
		id = json_string_value(json_object_get(d, "imageId"));
		return r < 0 ? r : check_id(id, "images", false, "BadDistributeType", field, err);
	}
	if (str_eq(type, "SharedImage")) {
		static const char *const need[] = {"galleryImageId", NULL};

		snprintf(field, sizeof(field), "%s.galleryImageId", base);
		r = check_strings(d, need, "BadSharedImageDistribute", base, err);
		id = json_string_value(json_object_get(d, "galleryImageId"));
		if (r == 0)
			r = check_id(id, "galleries", true, "BadSharedImageDistribute", field, err);
		if (r == 0 && str_ends(id, "/versions/latest"))
			r = template_field_error(err, "BadSharedImageDistribute", field,
						 "latest is a reference word, not a version; "
						 "leave /versions/… out to number it "
						 "automatically");
		if (r == 0)
			r = check_regions(d, base, err);
		return r < 0 ? r : check_versioning(d, base, err);
	}
	snprintf(field, sizeof(field), "%s.type", base);
	if (str_eq(type, "VHD")) {
		const char *uri = json_string_value(json_object_get(d, "uri"));

		snprintf(field, sizeof(field), "%s.uri", base);
		return uri && str_starts(uri, "file:///") && str_ends(uri, ".vhd")
			       ? 0
			       : template_field_error(err, "BadDistributeType", field,
						      "expected file:///PATH.vhd, a file on the "
						      "host of the run");
	}
	return template_field_error(err, "BadDistributeType", field,
				    "expected SharedImage, ManagedImage or VHD");
}

int check_distribute(const json_t *list, struct err *err)
{
	auto_json json_t *seen = json_object();
	json_t *d;
	size_t i;

	if (!seen)
		return -ENOMEM;
	if (!json_is_array(list) || json_array_size(list) == 0)
		return template_field_error(err, NULL, "properties.distribute",
					    "expected at least one target");
	if (json_array_size(list) > TEMPLATE_MAX_STEPS)
		return template_field_error(err, NULL, "properties.distribute",
					    "at most %u targets", TEMPLATE_MAX_STEPS);
	json_array_foreach(list, i, d)
	{
		auto_free char *low = NULL;
		char base[64], field[96];
		int r;

		snprintf(base, sizeof(base), "properties.distribute[%zu]", i);
		if (!json_is_object(d))
			return template_field_error(err, NULL, base, "expected an object");
		r = check_target(d, base, err);
		if (r < 0)
			return r;
		snprintf(field, sizeof(field), "%s.runOutputName", base);
		r = check_name(json_object_get(d, "runOutputName"), field, err);
		if (r < 0)
			return r;
		low = str_lower(json_string_value(json_object_get(d, "runOutputName")));
		if (!low)
			return -ENOMEM;
		if (json_object_get(seen, low))
			return template_field_error(err, NULL, field,
						    "the name is used by another target");
		if (json_object_set_new(seen, low, json_true()) < 0)
			return -ENOMEM;
	}
	return 0;
}

int bake_check(const json_t *tmpl, const char *api_version, struct err *err)
{
	auto_template struct template t = {0};
	int r = template_parse(tmpl, &t, err);

	return r < 0 ? r : check_versions(&t, api_version, err);
}

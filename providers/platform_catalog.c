/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog of platform images: publishers, offers, skus and versions under a location, as bare
 * arrays. Rows come from the engine's table of skus and from what is kept in the region.
 */
#include "bake/platform.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/registry.h"

/* Names in the id: location, publisher, "vmimage", offer, sku, version. */
enum { N_LOCATION, N_PUBLISHER, N_KIND, N_OFFER, N_SKU, N_VERSION };

static int check_path(const struct arm_call *c, int *ret_region, struct err *err)
{
	const struct arm_id *id = c->id;
	int at = id->n_names > 0 ? app_region_index(c->app, id->names[N_LOCATION]) : -ENOENT;

	if (at < 0)
		return refuse(err, -EINVAL, "NoRegisteredProviderFound", "location",
			      "location '%s' is not configured", id->n_names ? id->names[0] : "");
	if (id->n_names > N_KIND && !str_eq_nocase(id->names[N_KIND], "vmimage"))
		return refuse(err, -ENOENT, "NotFound", NULL,
			      "artifact type '%s' does not exist; 'vmimage' does",
			      id->names[N_KIND]);
	*ret_region = at;
	return 0;
}

/* Does a row lie under what the id names so far? */
static bool matches(const struct arm_id *id, const struct platform_sku *s)
{
	return (id->n_names <= N_PUBLISHER ||
		str_eq_nocase(id->names[N_PUBLISHER], s->publisher)) &&
	       (id->n_names <= N_OFFER || str_eq_nocase(id->names[N_OFFER], s->offer)) &&
	       (id->n_names <= N_SKU || str_eq_nocase(id->names[N_SKU], s->sku));
}

static bool listed(const json_t *list, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *) list, i, v)
	{
		if (str_eq_nocase(json_str_at(v, "name"), name))
			return true;
	}
	return false;
}

static int add(json_t *list, const struct arm_call *c, const char *name, struct err *err)
{
	json_t *row;

	if (listed(list, name))
		return 0;
	row = json_pack("{s:o, s:s, s:s}", "id", json_strf("%s/%s", c->id->text, name), "name",
			name, "location", c->id->names[N_LOCATION]);
	return json_array_append_new(list, row) < 0 ? no_memory(err) : 0;
}

static int list_by(struct arm_call *c, size_t member, struct err *err)
{
	auto_json json_t *list = json_array();
	int region = -1, r = check_path(c, &region, err);

	if (!list)
		return no_memory(err);
	for (const struct platform_sku *s = platform_skus(); r == 0 && s->publisher; s++) {
		const char *names[] = {s->publisher, s->offer, s->sku};

		if (matches(c->id, s))
			r = add(list, c, names[member], err);
	}
	if (r < 0)
		return r;
	if (json_array_size(list) == 0 && member > 0)
		return refuse(err, -ENOENT, "NotFound", NULL, "%s was not found", c->id->text);
	c->result = take_ptr(list);
	return 0;
}

static int publisher_list(struct arm_call *c, struct err *err)
{
	return list_by(c, 0, err);
}

static int offer_list(struct arm_call *c, struct err *err)
{
	return list_by(c, 1, err);
}

static int sku_list(struct arm_call *c, struct err *err)
{
	return list_by(c, 2, err);
}

static const struct platform_sku *find_sku(const struct arm_call *c)
{
	for (const struct platform_sku *s = platform_skus(); s->publisher; s++)
		if (c->id->n_names > N_SKU && matches(c->id, s))
			return s;
	return NULL;
}

static int kept_versions(struct arm_call *c, const struct platform_sku **ret_sku, json_t **ret,
			 struct err *err)
{
	const struct app *a = c->app;
	int region = -1, r = check_path(c, &region, err);

	if (r < 0)
		return r;
	*ret_sku = find_sku(c);
	if (!*ret_sku)
		return refuse(err, -ENOENT, "NotFound", NULL, "%s was not found", c->id->text);
	return platform_versions(a->meta, a->regions[region].name, *ret_sku, ret, err);
}

static json_t *version_properties(const struct platform_sku *s)
{
	return json_pack(
		"{s:{s:s}, s:[], s:{s:b}, s:s, s:{s:s}, s:[{s:s, s:s}], s:s}", "osDiskImage",
		"operatingSystem", s->os_type, "dataDiskImages", "automaticOSUpgradeProperties",
		"automaticOSUpgradeSupported", 0, "hyperVGeneration", s->hyperv_generation,
		"disallowed", "vmDiskType", "None", "features", "name", "SecurityType", "value",
		strcmp(s->hyperv_generation, "V2") == 0 ? "TrustedLaunchSupported" : "Standard",
		"architecture", s->architecture);
}

/* $top: the first n in the order asked for. */
static size_t top_of(const struct arm_call *c, size_t n)
{
	const char *top = arm_query(c, "$top");
	char *end = NULL;
	unsigned long v;

	if (!top || !*top)
		return n;
	errno = 0;
	v = strtoul(top, &end, 10);
	return errno == 0 && !*end && v < n ? (size_t) v : n;
}

static int version_list(struct arm_call *c, struct err *err)
{
	const char *order = arm_query(c, "$orderby"), *expand = arm_query(c, "$expand");
	auto_json json_t *kept = NULL, *list = json_array();
	bool down = order && strstr(order, "desc");
	const struct platform_sku *sku;
	int r = kept_versions(c, &sku, &kept, err);
	size_t n, top;

	if (r < 0)
		return r;
	n = json_array_size(kept);
	top = top_of(c, n);
	for (size_t i = 0; i < top && r == 0; i++) {
		const char *v = json_string_value(json_array_get(kept, down ? n - 1 - i : i));

		r = add(list, c, v, err);
		if (r == 0 && expand && str_eq_nocase(expand, "properties") &&
		    json_object_set_new(json_array_get(list, i), "properties",
					version_properties(sku)) < 0)
			r = no_memory(err);
	}
	if (r < 0)
		return r;
	c->result = take_ptr(list);
	return 0;
}

static int version_get(struct arm_call *c, struct err *err)
{
	auto_json json_t *kept = NULL;
	const struct platform_sku *sku;
	const json_t *v;
	size_t i;
	int r = kept_versions(c, &sku, &kept, err);

	if (r < 0)
		return r;
	json_array_foreach(kept, i, v)
	{
		if (strcmp(json_string_value(v), c->id->name) != 0)
			continue;
		c->result = json_pack("{s:s, s:s, s:s, s:o}", "id", c->id->text, "name",
				      c->id->name, "location", c->id->names[N_LOCATION],
				      "properties", version_properties(sku));
		return c->result ? 0 : no_memory(err);
	}
	return refuse(err, -ENOENT, "NotFound", NULL, "%s was not found", c->id->text);
}

#define CATALOG "Microsoft.Compute/locations/publishers"

const struct arm_type type_publishers = {
	.name = CATALOG,
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.readers = ARM_READERS_MEMBERS,
	.first_version = "2015-06-15",
	.versions = compute_api_versions,
	.list = publisher_list,
};
const struct arm_type type_offers = {
	.name = CATALOG "/artifacttypes/offers",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.readers = ARM_READERS_MEMBERS,
	.first_version = "2015-06-15",
	.versions = compute_api_versions,
	.list = offer_list,
};
const struct arm_type type_skus = {
	.name = CATALOG "/artifacttypes/offers/skus",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.readers = ARM_READERS_MEMBERS,
	.first_version = "2015-06-15",
	.versions = compute_api_versions,
	.list = sku_list,
};
const struct arm_type type_sku_versions = {
	.name = CATALOG "/artifacttypes/offers/skus/versions",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.readers = ARM_READERS_MEMBERS,
	.first_version = "2015-06-15",
	.versions = compute_api_versions,
	.get = version_get,
	.list = version_list,
};

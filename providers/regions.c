/* SPDX-License-Identifier: Apache-2.0 */
/* Display names of well-known regions: clients show them and compare by them. */
#include "base/mem.h"
#include "providers/app.h"

static const char *const region_known[][2] = {
	{"australiacentral", "Australia Central"},
	{"australiaeast", "Australia East"},
	{"australiasoutheast", "Australia Southeast"},
	{"austriaeast", "Austria East"},
	{"belgiumcentral", "Belgium Central"},
	{"brazilsouth", "Brazil South"},
	{"canadacentral", "Canada Central"},
	{"canadaeast", "Canada East"},
	{"centralindia", "Central India"},
	{"centralus", "Central US"},
	{"chilecentral", "Chile Central"},
	{"eastasia", "East Asia"},
	{"eastus", "East US"},
	{"eastus2", "East US 2"},
	{"francecentral", "France Central"},
	{"germanywestcentral", "Germany West Central"},
	{"indonesiacentral", "Indonesia Central"},
	{"israelcentral", "Israel Central"},
	{"italynorth", "Italy North"},
	{"japaneast", "Japan East"},
	{"japanwest", "Japan West"},
	{"koreacentral", "Korea Central"},
	{"koreasouth", "Korea South"},
	{"malaysiawest", "Malaysia West"},
	{"mexicocentral", "Mexico Central"},
	{"newzealandnorth", "New Zealand North"},
	{"northcentralus", "North Central US"},
	{"northeurope", "North Europe"},
	{"norwayeast", "Norway East"},
	{"polandcentral", "Poland Central"},
	{"qatarcentral", "Qatar Central"},
	{"southafricanorth", "South Africa North"},
	{"southcentralus", "South Central US"},
	{"southeastasia", "Southeast Asia"},
	{"southindia", "South India"},
	{"spaincentral", "Spain Central"},
	{"swedencentral", "Sweden Central"},
	{"switzerlandnorth", "Switzerland North"},
	{"uaenorth", "UAE North"},
	{"uksouth", "UK South"},
	{"ukwest", "UK West"},
	{"westcentralus", "West Central US"},
	{"westeurope", "West Europe"},
	{"westindia", "West India"},
	{"westus", "West US"},
	{"westus2", "West US 2"},
	{"westus3", "West US 3"},
};

const char *region_display(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(region_known); i++)
		if (strcmp(region_known[i][0], name) == 0)
			return region_known[i][1];
	return name;
}

int app_region_index(const struct app *a, const char *name)
{
	auto_free char *norm = location_normalize(name);

	if (!norm)
		return -ENOMEM;
	for (size_t i = 0; i < a->n_regions * (1 + a->n_keys); i++)
		if (strcmp(a->regions[i].name, norm) == 0)
			return (int) i;
	return -ENOENT;
}

/* Position of a key; -1. */
static int key_index(const struct app *a, const char *key)
{
	const json_t *list = json_object_get(a->config, "galleryKeys");

	for (size_t i = 0; i < a->n_keys; i++)
		if (str_eq(json_str_at(json_array_get(list, i), "name"), key))
			return (int) i;
	return -1;
}

bool app_key_known(const struct app *a, const char *key)
{
	return key_index(a, key) >= 0;
}

int app_place(const struct app *a, const char *region, const char *key)
{
	int at = app_region_index(a, region), k;

	if (at < 0 || !key)
		return at;
	k = key_index(a, key);
	return k < 0 ? -ENOKEY : (int) a->n_regions * (1 + k) + at % (int) a->n_regions;
}

unsigned app_region_of(const struct app *a, unsigned place)
{
	return place % (unsigned) a->n_regions;
}

const char *app_key_of(const struct app *a, unsigned place)
{
	size_t k = place / a->n_regions;
	const json_t *list = json_object_get(a->config, "galleryKeys");

	return k > 0 ? json_str_at(json_array_get(list, k - 1), "name") : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Microsoft.Compute/locations/vmSizes: what Azure's size names mean here. */
#include "base/mem.h"
#include "providers/registry.h"
#include "providers/vms.h"

#define GIB 1024u

/* Sizes of a family differ by their number of CPUs; each CPU brings the family's memory. */
static const struct {
	const char *name;
	unsigned cpus, mib;
} sizes[] = {
	{"Standard_A1_v2", 1, 2 * GIB},     {"Standard_A2_v2", 2, 4 * GIB},
	{"Standard_A4_v2", 4, 8 * GIB},     {"Standard_B1ls", 1, GIB / 2},
	{"Standard_B1s", 1, GIB},           {"Standard_B1ms", 1, 2 * GIB},
	{"Standard_B2s", 2, 4 * GIB},       {"Standard_B2ms", 2, 8 * GIB},
	{"Standard_B4ms", 4, 16 * GIB},     {"Standard_B8ms", 8, 32 * GIB},
	{"Standard_B2ts_v2", 2, GIB},       {"Standard_B2ls_v2", 2, 4 * GIB},
	{"Standard_B2s_v2", 2, 8 * GIB},    {"Standard_B4ls_v2", 4, 8 * GIB},
	{"Standard_B4s_v2", 4, 16 * GIB},   {"Standard_DS1_v2", 1, 7 * GIB / 2},
	{"Standard_DS2_v2", 2, 7 * GIB},    {"Standard_DS3_v2", 4, 14 * GIB},
	{"Standard_DS4_v2", 8, 28 * GIB},   {"Standard_D2s_v3", 2, 8 * GIB},
	{"Standard_D4s_v3", 4, 16 * GIB},   {"Standard_D8s_v3", 8, 32 * GIB},
	{"Standard_D16s_v3", 16, 64 * GIB}, {"Standard_D2s_v5", 2, 8 * GIB},
	{"Standard_D4s_v5", 4, 16 * GIB},   {"Standard_D8s_v5", 8, 32 * GIB},
	{"Standard_D16s_v5", 16, 64 * GIB}, {"Standard_D2ds_v5", 2, 8 * GIB},
	{"Standard_D4ds_v5", 4, 16 * GIB},  {"Standard_D2as_v5", 2, 8 * GIB},
	{"Standard_D4as_v5", 4, 16 * GIB},  {"Standard_E2s_v3", 2, 16 * GIB},
	{"Standard_E4s_v3", 4, 32 * GIB},   {"Standard_E2s_v5", 2, 16 * GIB},
	{"Standard_E4s_v5", 4, 32 * GIB},   {"Standard_E8s_v5", 8, 64 * GIB},
	{"Standard_F2s_v2", 2, 4 * GIB},    {"Standard_F4s_v2", 4, 8 * GIB},
	{"Standard_F8s_v2", 8, 16 * GIB},   {"Standard_F16s_v2", 16, 32 * GIB},
};

int vm_size_find(const char *name, struct vm_size *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (!str_eq_nocase(sizes[i].name, name))
			continue;
		*ret = (struct vm_size){.cpus = sizes[i].cpus, .memory_mib = sizes[i].mib};
		return 0;
	}
	return -ENOENT;
}

static int sizes_list(struct arm_call *c, struct err *err)
{
	auto_json json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (json_array_append_new(
			    list, json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "name", sizes[i].name,
					    "numberOfCores", (int) sizes[i].cpus, "osDiskSizeInMB",
					    1047552, "resourceDiskSizeInMB", 0, "memoryInMB",
					    (int) sizes[i].mib, "maxDataDiskCount", 64)) < 0)
			return no_memory(err);
	c->result = json_pack("{s:O}", "value", list);
	return c->result ? 0 : no_memory(err);
}

const struct arm_type type_vm_sizes = {
	.name = "Microsoft.Compute/locations/vmSizes",
	.scope = ARM_SCOPE_SUBSCRIPTION,
	.readers = ARM_READERS_MEMBERS,
	.first_version = "2015-06-15",
	.versions = compute_api_versions,
	.list = sizes_list,
};

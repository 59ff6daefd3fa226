/* SPDX-License-Identifier: Apache-2.0 */
/* Any JSON against a table with every kind of rule: refused with a field's name, or turned into a
 * document that is accepted again as it is. */
#include <assert.h>
#include <stdint.h>

#include "arm/shape.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const places[] = {"eastus", "westeurope", NULL};
static const char *const colours[] = {"Red", "Green", NULL};
static const struct arm_field wood[] = {
	{"tree", ARM_STRING, ARM_REQUIRED, .min = 1, .max = 8},
	{"rings", ARM_ARRAY, .item = ARM_INT, .max = 3},
	{NULL},
};
static const struct arm_field steel[] = {{"grade", ARM_STRING, .pattern = "[0-9]{3}"}, {NULL}};
static const struct arm_case cases[] = {{"Wood", wood}, {"Steel", steel}, {NULL}};
static const struct arm_field common[] = {{"label", ARM_STRING}, {NULL}};
static const struct arm_field region[] = {
	{"name", ARM_STRING, ARM_REQUIRED | ARM_LOCATION},
	{"count", ARM_INT, .min = 1, .max = 100},
	{"newer", ARM_STRING, .since = "2024-06-01"},
	{NULL},
};
static const struct arm_field inner[] = {
	{"width", ARM_INT, .min = 1, .max = 10},
	{"serial", ARM_STRING, ARM_READONLY},
	{"maker", ARM_STRING, ARM_IMMUTABLE},
	{NULL},
};
static const struct arm_field fields[] = {
	{"description", ARM_STRING, .max = 20},
	{"colour", ARM_STRING, .values = colours},
	{"kind", ARM_STRING, ARM_IMMUTABLE},
	{"size", ARM_OBJECT, .fields = inner},
	{"parts", ARM_ARRAY, .max = 4, .fields = common, .tag = "type", .cases = cases},
	{"part", ARM_OBJECT, .tag = "type", .cases = cases},
	{"regions", ARM_ARRAY, .fields = region},
	{"labels", ARM_MAP, .max = 2},
	{"until", ARM_DATE},
	{"weight", ARM_NUMBER, .max = 5},
	{"open", ARM_BOOL, ARM_NULLABLE},
	{"twin", ARM_STRING, ARM_ID},
	{"password", ARM_STRING, ARM_SECRET},
	{"slow", ARM_BOOL, ARM_WRITEONLY},
	{"free", ARM_ANY},
	{"modern", ARM_STRING, .since = "2024-06-01"},
	{NULL},
};

/* PUT over itself and PATCH by itself change nothing; a view shows no secret. */
static void judge_merges(const json_t *doc, const char *version)
{
	json_t *copy = json_deep_copy(doc);

	assert(copy && merge_put(fields, doc, copy, version) == 0 && json_equal(copy, doc));
	assert(merge_immutable(fields, doc, doc, "properties", NULL) == 0);
	assert(merge_patch(fields, copy, doc) == 0 && json_equal(copy, doc));
	assert(merge_drop_writeonly(fields, copy) == 0 && !json_object_get(copy, "slow"));
	assert(shape_view(fields, copy, version) == 0 && !json_object_get(copy, "password"));
	json_decref(copy);
}

static void judge(const json_t *in, const char *version, bool strict)
{
	struct shape_context ctx = {.api_version = version, .strict = strict, .locations = places};
	json_t *out = NULL, *again = NULL, *loose = NULL;
	struct err err = ERR_INIT;
	int r = shape_check(fields, in, "properties", &ctx, &out, &err);

	if (r < 0) {
		assert(r == -EINVAL && !out && err.msg && err.arm && err.target);
		assert(strncmp(err.target, "properties", 10) == 0);
	} else {
		assert(shape_check(fields, out, "properties", &ctx, &again, NULL) == 0);
		assert(json_equal(out, again));
		judge_merges(out, version);
		ctx.strict = false;
		assert(shape_check(fields, in, "properties", &ctx, &loose, NULL) == 0);
	}
	json_decref(out);
	json_decref(again);
	json_decref(loose);
	out = NULL;
	ctx = (struct shape_context){.api_version = version, .patch = true, .locations = places};
	if (shape_check(fields, in, "properties", &ctx, &out, NULL) == 0) {
		json_t *doc = json_object();

		assert(doc && merge_patch(fields, doc, out) == 0);
		json_decref(doc);
	}
	json_decref(out);
	err_done(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *in = NULL;

	if (json_parse((const char *) data, size, &in, NULL) == 0) {
		judge(in, "2023-01-01", false);
		judge(in, "2024-06-01", true);
	}
	json_decref(in);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* optimize.vmBoot: the finished disk gets a boot profile, by which later boots fetch ahead. The
 * boot for the validators records one already. */
#include "bake/run.h"
#include "base/mem.h"

static const struct stage stage_optimize = {.name = "optimize", .sub_state = "Optimizing"};

/* Chunks that a profile names, or 0 when the disk has none. */
static json_int_t profile_chunks(struct run *run)
{
	auto_json json_t *runs = NULL;
	json_int_t sum = 0;

	if (store_profile_get(run->env->store, run->env->region, &run->disk, &runs, NULL) < 0)
		return 0;
	for (size_t i = 1; i < json_array_size(runs); i += 2)
		sum += json_integer_value(json_array_get(runs, i));
	return sum;
}

int optimize_run(struct run *run, struct err *err)
{
	bool had = profile_chunks(run) > 0;
	int r = had ? 0 : boot_and_stop(run, &stage_optimize, err);

	if (r == 0)
		r = record_step(run, &stage_optimize, "profile", "BootProfile",
				"what a boot reads, for later boots to fetch ahead", err);
	if (r < 0)
		return r;
	if (profile_chunks(run) == 0)
		return err_set(err, -EIO, "the boot of the finished disk left no boot profile");
	return record_step_end(run, had ? "cached" : "done",
			       json_pack("{s:I}", "chunks", profile_chunks(run)), err);
}

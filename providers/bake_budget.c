/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/bake_budget.h"

#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "bake/bake.h"

#define DEFAULT_NUM 3 /* three quarters of the memory, and of the disk that is free now */
#define DEFAULT_DEN 4

static int64_t mebibytes(void)
{
	struct sysinfo si;

	return sysinfo(&si) < 0 ? 0 : (int64_t) ((uint64_t) si.totalram * si.mem_unit >> 20);
}

static int64_t gibibytes_free(const char *dir)
{
	struct statvfs fs;

	return statvfs(dir, &fs) < 0 ? 0 : (int64_t) ((uint64_t) fs.f_bavail * fs.f_frsize >> 30);
}

void bake_budget(const json_t *config, const char *data_dir, struct job_budget *ret)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int64_t memory = mebibytes() * DEFAULT_NUM / DEFAULT_DEN;
	int64_t disk = gibibytes_free(data_dir) * DEFAULT_NUM / DEFAULT_DEN;

	*ret = (struct job_budget){
		.cpus = json_int_at(config, "bake.cpus", cores > 0 ? cores : 1),
		.memory_bytes = json_int_at(config, "bake.memoryMegabytes", memory) << 20,
		/* not less than 1: 0 would mean no limit */
		.disk_bytes = json_int_at(config, "bake.diskGigabytes", disk > 0 ? disk : 1) << 30,
		.per_share = json_int_at(config, "bake.perSubscription", 0),
	};
}

void bake_need(const json_t *template, const char *subscription, struct job_need *ret)
{
	const json_t *r = json_at(template, "properties.kiln.resources");

	*ret = (struct job_need){
		.share = subscription,
		.cpus = json_int_at(r, "cpus", BAKE_CPUS),
		.memory_bytes = json_int_at(r, "memoryMegabytes", BAKE_MEMORY_MIB) << 20,
		.disk_bytes = json_int_at(r, "diskGigabytes", BAKE_DISK_GIB) << 30,
	};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The step cache as a whole: what is in it, what holds it, and what may go. */
#ifndef KILN_PROVIDERS_STEP_CACHE_H
#define KILN_PROVIDERS_STEP_CACHE_H

#include "providers/app.h"

#define STEP_CACHE_SWEEP_S 3600 /* between two sweeps of a worker */

/**
 * step_cache_list() - every entry: an array of {"key", "region", "step", "template", "run"?,
 *	"lastUsed", "storedBytes", "held": bool}; the least recently used first; new reference
 *
 * Held is what a recorded run refers to, one that goes on included.
 */
int step_cache_list(struct app *a, json_t **ret, struct err *err);

struct step_cache_sweep {
	bool dry; /* only say what would go */
	uint64_t entries, held, removed;
	uint64_t bytes, held_bytes, removed_bytes;
};
/**
 * step_cache_sweep() - remove what the limits of kiln.yaml ("cache") do not let stay
 *
 * Entries that nothing holds go when they were not used for so many days, and the least recently
 * used of them until all entries together are within so many bytes. What was used within the last
 * hour stays: a bake may be about to start from it.
 */
int step_cache_sweep(struct app *a, struct step_cache_sweep *sweep, struct err *err);
/** step_cache_remove() - one entry by its key, also a held one. -ENOENT. */
int step_cache_remove(struct app *a, const char *key, struct err *err);

/** step_cache_chore() - a sweep when the last one of this process is an hour ago, and runs older
 *  than "cache.runDays" are deleted, but for the newest of each template. */
int step_cache_chore(struct app *a, struct err *err);

#endif

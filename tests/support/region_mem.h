/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region in memory, for tests: what a bucket of an object store looks like from here. Listings
 * come in pages, every call can fail, and one that changes something can fail after it was done.
 */
#ifndef KILN_TESTS_SUPPORT_REGION_MEM_H
#define KILN_TESTS_SUPPORT_REGION_MEM_H

#include "store/region.h"

#define REGION_MEM_PAGE 100 /* keys that one step of a listing gets */

struct region_mem; /* the bucket; outlives the regions that are opened on it */

struct region_mem *region_mem_new(void); /* NULL on ENOMEM */
void region_mem_free(struct region_mem *m);

/** region_mem_open() - 0 or -ENOMEM; the region is released with region_free(). */
int region_mem_open(struct region_mem *m, const char *name, bool read_only, struct region **ret,
		    struct err *err);

/** region_mem_fail() - step number @n (from 1; 0 = none) fails with @error and clears *@armed. A
 *  commit, a removal and a quarantine have two steps: before they are done, and after. */
void region_mem_fail(struct region_mem *m, unsigned n, int error, bool *armed);

#endif

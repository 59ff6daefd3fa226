/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bounded cache of decoded, verified chunks and nodes, by name; shared by all readers of a
 * store. Who asks for what is absent fills it; others that want the same wait for that.
 */
#ifndef KILN_STORE_CACHE_H
#define KILN_STORE_CACHE_H

#include "store/chunk.h"

struct cache;
struct cache_entry;

/* Fills @dst with the @n bytes of @name. Runs outside the cache's lock. *@ret_tag is kept. */
typedef int cache_fill_fn(void *arg, const struct digest *name, void *dst, size_t n,
			  unsigned *ret_tag, struct err *err);

/** cache_new() - NULL on ENOMEM. @max_bytes bounds data that nobody holds. */
struct cache *cache_new(uint64_t max_bytes);
void cache_free(struct cache *c); /* NULL is fine; no entry may be held */
/** cache_get() - held until cache_give(). Return 0 or what @fill returned. */
int cache_get(struct cache *c, const struct digest *name, size_t n, cache_fill_fn *fill, void *arg,
	      struct cache_entry **ret, struct err *err);
void cache_give(struct cache *c, struct cache_entry *e); /* NULL is fine */
const void *cache_data(const struct cache_entry *e);
unsigned cache_tag(const struct cache_entry *e);
/** cache_has() - is it there, ready? (for read-ahead) */
bool cache_has(struct cache *c, const struct digest *name);

struct cache_stats {
	uint64_t hits, misses, bytes, max_bytes;
};
void cache_stats_get(struct cache *c, struct cache_stats *ret);

#endif

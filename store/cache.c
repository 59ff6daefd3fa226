/* SPDX-License-Identifier: Apache-2.0 */
#include "store/cache.h"

#include <pthread.h>

#include "base/mem.h"

struct cache_entry {
	struct digest name;
	struct cache_entry *chain;       /* same bucket */
	struct cache_entry *prev, *next; /* LRU list while refs == 0; NULL at the ends */
	size_t n;
	unsigned refs;
	unsigned tag;
	bool ready;  /* data is valid */
	bool failed; /* fill failed; dropped by the last holder */
	uint8_t data[];
};

struct cache {
	pthread_mutex_t lock; /* guards all below, entries' bookkeeping included */
	pthread_cond_t filled;
	struct cache_entry **buckets;
	size_t n_buckets;                    /* a power of two */
	struct cache_entry *oldest, *newest; /* of the LRU list */
	uint64_t idle_bytes, max_bytes;
	struct cache_stats stats;
};

struct cache *cache_new(uint64_t max_bytes)
{
	struct cache *c = calloc(1, sizeof(*c));
	uint64_t want = max_bytes / NODE_BYTES;

	if (!c)
		return NULL;
	c->max_bytes = max_bytes;
	c->n_buckets = 256;
	while (c->n_buckets < want && c->n_buckets < (1u << 22))
		c->n_buckets *= 2;
	c->buckets = calloc(c->n_buckets, sizeof(struct cache_entry *));
	if (!c->buckets) {
		free(c);
		return NULL;
	}
	(void) pthread_mutex_init(&c->lock, NULL);
	(void) pthread_cond_init(&c->filled, NULL);
	return c;
}

static struct cache_entry **bucket(struct cache *c, const struct digest *name)
{
	size_t h;

	memcpy(&h, name->b, sizeof(h));
	return &c->buckets[h & (c->n_buckets - 1)];
}

static struct cache_entry *find(struct cache *c, const struct digest *name)
{
	struct cache_entry *e = *bucket(c, name);

	while (e && !digest_eq(&e->name, name))
		e = e->chain;
	return e;
}

static void unlink_entry(struct cache *c, struct cache_entry *e)
{
	struct cache_entry **p = bucket(c, &e->name);

	while (*p != e)
		p = &(*p)->chain;
	*p = e->chain;
}

static void lru_remove(struct cache *c, struct cache_entry *e)
{
	*(e->prev ? &e->prev->next : &c->oldest) = e->next;
	*(e->next ? &e->next->prev : &c->newest) = e->prev;
	c->idle_bytes -= e->n;
}

static void lru_add(struct cache *c, struct cache_entry *e)
{
	e->prev = c->newest;
	e->next = NULL;
	*(e->prev ? &e->prev->next : &c->oldest) = e;
	c->newest = e;
	c->idle_bytes += e->n;
}

static void evict(struct cache *c)
{
	while (c->idle_bytes > c->max_bytes && c->oldest) {
		struct cache_entry *e = c->oldest;

		lru_remove(c, e);
		unlink_entry(c, e);
		c->stats.bytes -= e->n;
		free(e);
	}
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_buckets; i++) {
		while (c->buckets[i]) {
			struct cache_entry *e = c->buckets[i];

			c->buckets[i] = e->chain;
			free(e);
		}
	}
	free(c->buckets);
	(void) pthread_cond_destroy(&c->filled);
	(void) pthread_mutex_destroy(&c->lock);
	free(c);
}

static void give_locked(struct cache *c, struct cache_entry *e)
{
	if (--e->refs > 0)
		return;
	if (e->failed) {
		free(e); /* unlinked when the fill failed */
		return;
	}
	lru_add(c, e);
	evict(c);
}

void cache_give(struct cache *c, struct cache_entry *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&c->lock);
	give_locked(c, e);
	pthread_mutex_unlock(&c->lock);
}

/* With the lock held: the ready entry, held, or NULL when the caller has to fill it. A fill by
 * another thread is waited for; when that one fails, the caller tries itself. */
static struct cache_entry *take_ready(struct cache *c, const struct digest *name)
{
	struct cache_entry *e;

	while ((e = find(c, name))) {
		if (e->refs++ == 0)
			lru_remove(c, e);
		while (!e->ready && !e->failed)
			pthread_cond_wait(&c->filled, &c->lock);
		if (e->ready)
			return e;
		give_locked(c, e);
	}
	return NULL;
}

int cache_get(struct cache *c, const struct digest *name, size_t n, cache_fill_fn *fill, void *arg,
	      struct cache_entry **ret, struct err *err)
{
	struct cache_entry *e, **b;
	int r;

	pthread_mutex_lock(&c->lock);
	e = take_ready(c, name);
	if (e) {
		c->stats.hits++;
		pthread_mutex_unlock(&c->lock);
		*ret = e;
		return 0;
	}
	e = malloc(sizeof(*e) + n);
	if (!e) {
		pthread_mutex_unlock(&c->lock);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*e = (struct cache_entry){.name = *name, .n = n, .refs = 1};
	b = bucket(c, name);
	e->chain = *b;
	*b = e;
	c->stats.misses++;
	c->stats.bytes += n;
	pthread_mutex_unlock(&c->lock);

	r = fill(arg, name, e->data, n, &e->tag, err);

	pthread_mutex_lock(&c->lock);
	if (r < 0) {
		e->failed = true;
		unlink_entry(c, e);
		c->stats.bytes -= n;
		give_locked(c, e);
	} else {
		e->ready = true;
		*ret = e;
	}
	pthread_cond_broadcast(&c->filled);
	pthread_mutex_unlock(&c->lock);
	return r < 0 ? r : 0;
}

const void *cache_data(const struct cache_entry *e)
{
	return e->data;
}

unsigned cache_tag(const struct cache_entry *e)
{
	return e->tag;
}

bool cache_has(struct cache *c, const struct digest *name)
{
	bool has;

	pthread_mutex_lock(&c->lock);
	has = find(c, name) != NULL;
	pthread_mutex_unlock(&c->lock);
	return has;
}

void cache_stats_get(struct cache *c, struct cache_stats *ret)
{
	pthread_mutex_lock(&c->lock);
	*ret = c->stats;
	ret->max_bytes = c->max_bytes;
	pthread_mutex_unlock(&c->lock);
}

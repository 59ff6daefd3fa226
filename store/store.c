/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/internal.h"

static unsigned cpu_count(void)
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > (int) THREADS_MAX ? THREADS_MAX : (unsigned) n;
}

struct codec *store_codec_take(struct store *s)
{
	struct codec *c = NULL;

	pthread_mutex_lock(&s->codec_lock);
	if (s->n_codecs > 0)
		c = s->codecs[--s->n_codecs];
	pthread_mutex_unlock(&s->codec_lock);
	return c ? c : codec_new(s->zstd_level);
}

void store_codec_give(struct store *s, struct codec *c)
{
	pthread_mutex_lock(&s->codec_lock);
	if (s->n_codecs < CODEC_POOL) {
		s->codecs[s->n_codecs++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&s->codec_lock);
	codec_free(c);
}

int store_region_check(const struct store *s, unsigned region, struct err *err)
{
	if (region < s->n_regions)
		return 0;
	return err_set(err, -EINVAL, "store has %zu regions, none has index %u", s->n_regions,
		       region);
}

int store_region_index(const struct store *s, const char *name, struct err *err)
{
	auto_buf struct buf known = BUF_INIT(4096);

	for (size_t i = 0; i < s->n_regions; i++) {
		if (strcmp(region_name_of(s, (unsigned) i), name) == 0)
			return (int) i;
		(void) buf_addf(&known, "%s%s", i ? ", " : "", region_name_of(s, (unsigned) i));
	}
	return err_set(err, -ENOENT, "no region \"%s\"; known: %s", name, buf_str(&known));
}

const char *store_region_name(const struct store *s, unsigned region)
{
	return region < s->n_regions ? region_name_of(s, region) : NULL;
}

void store_region_draining(struct store *s, unsigned region, bool on)
{
	if (region < s->n_regions)
		atomic_store(&s->regions[region].draining, on);
}

/* Region names become directory names below the lookup. */
static int region_name_check(const char *name, struct err *err)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_");

	if (n < 1 || n > 64 || name[n])
		return err_set(err, -EINVAL,
			       "region name \"%s\": 1 to 64 of a-z, 0-9, - and _ expected", name);
	return 0;
}

static int open_region(struct store *s, const struct store_region_config *c, struct err *err)
{
	struct store_region *g = &s->regions[s->n_regions];
	struct region_options o = {.read_only = s->read_only, .journal = s->journal};
	auto_free char *dir = NULL;
	int r = region_name_check(c->name, err);

	if (r < 0)
		return r;
	dir = strf("%s/lookup/%s", s->dir, c->name);
	g->url = strdup(c->url);
	atomic_store(&g->draining, c->draining);
	g->key_source = c->key ? strdup(c->key) : NULL;
	if (!dir || !g->url || (c->key && !g->key_source)) {
		free(take_ptr(g->url));
		free(take_ptr(g->key_source));
		return err_set(err, -ENOMEM, "out of memory");
	}
	r = region_open(c->name, c->url, &o, &g->region, err);
	if (r >= 0)
		r = region_crypt_open(g, c->key, s->read_only, err);
	if (r >= 0 && !s->read_only)
		r = incarnation_make(g, err);
	if (r >= 0)
		r = lookup_open(dir, s->read_only, &g->lookup, err);
	if (r < 0) {
		region_crypt_close(g);
		region_free(take_ptr(g->region));
		free(take_ptr(g->url));
		free(take_ptr(g->key_source));
		return r;
	}
	(void) pthread_mutex_init(&g->refresh_lock, NULL);
	s->n_regions++;
	return 0;
}

static int open_regions(struct store *s, const struct store_config *c, struct err *err)
{
	int r = 0;

	if (c->n_regions < 1 || c->n_regions > REGIONS_MAX)
		return err_set(err, -EINVAL, "store: 1 to %u regions expected, not %zu",
			       REGIONS_MAX, c->n_regions);
	s->regions = calloc(c->n_regions, sizeof(*s->regions));
	if (!s->regions)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->n_regions && r >= 0; i++)
		r = open_region(s, &c->regions[i], err);
	return r;
}

int store_open(const struct store_config *c, struct store **ret, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	(void) pthread_mutex_init(&s->codec_lock, NULL);
	(void) pthread_mutex_init(&s->ahead_lock, NULL);
	(void) pthread_mutex_init(&s->heal_lock, NULL);
	s->meta = c->meta;
	s->journal = c->journal;
	s->zstd_level = c->zstd_level ? c->zstd_level : 1;
	s->threads = c->threads ? c->threads : cpu_count();
	if (s->threads > THREADS_MAX)
		s->threads = THREADS_MAX;
	s->read_only = c->read_only;
	s->dir = strdup(c->dir);
	s->cache = cache_new(c->cache_bytes ? c->cache_bytes : CACHE_BYTES_DFLT);
	if (!s->dir || !s->cache)
		r = err_set(err, -ENOMEM, "out of memory");
	else if (!c->read_only && !c->meta)
		r = err_set(err, -EINVAL, "a store that is written needs its rows");
	if (r >= 0 && !c->read_only)
		r = file_mkdir_p(c->dir, 0750, err);
	if (r >= 0)
		r = open_regions(s, c, err);
	if (r < 0) {
		store_close(s);
		return err_ctx(err, r, "store %s", c->dir);
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	ahead_free(s->ahead); /* its threads read from all of the rest */
	for (size_t i = 0; i < s->n_regions; i++) {
		struct store_region *g = &s->regions[i];

		lookup_close(g->lookup);
		region_crypt_close(g);
		region_free(g->region);
		(void) pthread_mutex_destroy(&g->refresh_lock);
		free(g->url);
		free(g->key_source);
	}
	free(s->regions);
	for (unsigned i = 0; i < s->n_codecs; i++)
		codec_free(s->codecs[i]);
	cache_free(s->cache);
	meta_close(s->own_meta);
	journal_close(s->own_journal);
	(void) pthread_mutex_destroy(&s->codec_lock);
	(void) pthread_mutex_destroy(&s->ahead_lock);
	(void) pthread_mutex_destroy(&s->heal_lock);
	free(s->dir);
	free(s);
}

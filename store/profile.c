/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot profiles: which chunks a guest read, in order. Recorded from readers, kept as a statement
 * about a disk, played into the cache ahead of the next guest. Only a hint: a wrong profile costs
 * reads and nothing else.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "store/internal.h"
#include "store/walk.h"

#define PROFILE_VERSION 1
#define CHUNKS_MAX      (1u << 16) /* of one profile: 4 GiB */
#define OBJECT_MAX      (JSON_MAX_BYTES + 1)
#define NO_POSITION     UINT32_MAX

/* Chunk -> position in the order of reading. */
struct chunk_map {
	uint64_t *chunks; /* in order */
	uint32_t n, cap;
	uint32_t *slots; /* open addressing: position + 1; 0 = free */
	uint32_t n_slots;
};

static uint32_t map_slot(const struct chunk_map *m, uint64_t chunk)
{
	uint32_t h = (uint32_t) (chunk * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (m->n_slots - 1);

	while (m->slots[h] && m->chunks[m->slots[h] - 1] != chunk)
		h = (h + 1) & (m->n_slots - 1);
	return h;
}

static int map_init(struct chunk_map *m, uint32_t cap)
{
	m->cap = cap ? cap : 1;
	m->n_slots = 16;
	while (m->n_slots < m->cap * 2)
		m->n_slots *= 2;
	m->chunks = reallocarray(NULL, m->cap, sizeof(*m->chunks));
	m->slots = calloc(m->n_slots, sizeof(*m->slots));
	return m->chunks && m->slots ? 0 : -ENOMEM;
}

static void map_done(struct chunk_map *m)
{
	free(m->chunks);
	free(m->slots);
}

static uint32_t map_find(const struct chunk_map *m, uint64_t chunk)
{
	uint32_t at = m->slots[map_slot(m, chunk)];

	return at ? at - 1 : NO_POSITION;
}

static void map_add(struct chunk_map *m, uint64_t chunk)
{
	uint32_t s;

	if (m->n == m->cap)
		return;
	s = map_slot(m, chunk);
	if (m->slots[s])
		return;
	m->chunks[m->n++] = chunk;
	m->slots[s] = m->n;
}

/* ---- Recording ------------------------------------------------------------------------------ */

struct store_recorder {
	uint64_t end_ns;
	pthread_mutex_t lock; /* guards the map */
	struct chunk_map map;
};

int store_recorder_new(uint64_t max_bytes, unsigned seconds, struct store_recorder **ret)
{
	uint64_t cap = max_bytes / CHUNK_BYTES;
	struct store_recorder *rec = calloc(1, sizeof(*rec));

	if (!rec)
		return -ENOMEM;
	if (map_init(&rec->map, cap < CHUNKS_MAX ? (uint32_t) cap : CHUNKS_MAX) < 0) {
		map_done(&rec->map);
		free(rec);
		return -ENOMEM;
	}
	rec->end_ns = (uint64_t) time_mono_ns() + (uint64_t) seconds * 1000000000;
	(void) pthread_mutex_init(&rec->lock, NULL);
	*ret = rec;
	return 0;
}

void store_recorder_free(struct store_recorder *rec)
{
	if (!rec)
		return;
	map_done(&rec->map);
	(void) pthread_mutex_destroy(&rec->lock);
	free(rec);
}

void recorder_note(struct store_recorder *rec, uint64_t chunk)
{
	if ((uint64_t) time_mono_ns() > rec->end_ns)
		return;
	pthread_mutex_lock(&rec->lock);
	map_add(&rec->map, chunk);
	pthread_mutex_unlock(&rec->lock);
}

json_t *store_recorder_runs(struct store_recorder *rec)
{
	json_t *runs = json_array();
	int r = runs ? 0 : -1;

	pthread_mutex_lock(&rec->lock);
	for (uint32_t i = 0, n; i < rec->map.n && r == 0; i += n) {
		for (n = 1; i + n < rec->map.n && rec->map.chunks[i + n] == rec->map.chunks[i] + n;
		     n++)
			;
		if (json_array_append_new(runs, json_integer((json_int_t) rec->map.chunks[i])) <
			    0 ||
		    json_array_append_new(runs, json_integer(n)) < 0)
			r = -1;
	}
	pthread_mutex_unlock(&rec->lock);
	if (r < 0) {
		json_decref(runs);
		return NULL;
	}
	return runs;
}

/* ---- Keeping -------------------------------------------------------------------------------- */

/* [first chunk, count, ...]: inside the disk, at most CHUNKS_MAX in all. */
static int runs_check(const json_t *runs, const struct disk_ref *disk, struct err *err)
{
	uint64_t chunks = disk_chunks(disk->size_bytes), total = 0;
	size_t n = json_array_size(runs);
	bool ok = json_is_array(runs) && n % 2 == 0;

	for (size_t i = 0; ok && i < n; i += 2) {
		json_int_t at = json_integer_value(json_array_get(runs, i));
		json_int_t k = json_integer_value(json_array_get(runs, i + 1));

		ok = json_is_integer(json_array_get(runs, i)) && at >= 0 && k > 0 &&
		     k <= (json_int_t) CHUNKS_MAX &&
		     range_ok((uint64_t) at, (uint64_t) k, chunks) &&
		     (total += (uint64_t) k) <= CHUNKS_MAX;
	}
	return ok ? 0 : err_set(err, -EBADMSG, "boot profile: its list of chunks is malformed");
}

static void profile_key(const struct digest *disk, uint64_t revision, char dst[REGION_KEY_MAX])
{
	char hex[DIGEST_HEX];

	digest_hex(disk, hex);
	(void) snprintf(dst, REGION_KEY_MAX, "statements/%.2s/%s.boot.%016llx.json", hex, hex,
			(unsigned long long) revision);
}

/* The disk and revision of "statements/ab/DIGEST.boot.REVISION.json". */
static int profile_name(const char *key, struct digest *ret, uint64_t *ret_revision)
{
	const char *base = strrchr(key, '/');
	char hex[DIGEST_HEX], *end;

	if (!base || strlen(base + 1) != 64 + 6 + 16 + 5 || !str_starts(base + 65, ".boot.") ||
	    !str_ends(key, ".json"))
		return -EINVAL;
	memcpy(hex, base + 1, 64);
	hex[64] = '\0';
	if (digest_parse(hex, ret) < 0)
		return -EINVAL;
	*ret_revision = strtoull(base + 71, &end, 16);
	return strcmp(end, ".json") == 0 ? 0 : -EINVAL;
}

struct newest {
	const struct digest *disk;
	uint64_t revision; /* 0 = none */
};

static int note_newest(void *arg, const char *key, uint64_t bytes)
{
	struct newest *w = arg;
	struct digest d;
	uint64_t rev;

	if (profile_name(key, &d, &rev) == 0 && digest_eq(&d, w->disk) && rev > w->revision)
		w->revision = rev;
	return 0;
}

static int find_newest(struct store_region *g, const struct digest *disk, uint64_t *ret,
		       struct err *err)
{
	struct newest w = {.disk = disk};
	char key[REGION_KEY_MAX], prefix[REGION_KEY_MAX];
	int r;

	profile_key(disk, 0, key);
	(void) snprintf(prefix, sizeof(prefix), "%.13s/", key); /* statements/ab */
	r = region_list(g->region, prefix, note_newest, &w, err);
	*ret = w.revision;
	return r < 0 ? r : 0;
}

int store_profile_put(struct store *s, unsigned region, const struct disk_ref *disk,
		      const json_t *runs, struct err *err)
{
	auto_buf struct buf b = BUF_INIT(OBJECT_MAX);
	auto_json json_t *doc = NULL;
	char key[REGION_KEY_MAX];
	uint64_t newest = 0;
	int r = store_region_check(s, region, err);

	if (r >= 0)
		r = runs_check(runs, disk, err);
	if (r >= 0)
		r = find_newest(&s->regions[region], &disk->digest, &newest, err);
	if (r < 0)
		return r;
	doc = json_pack("{s:s, s:o*, s:O, s:i}", "kind", "boot", "disk", disk_ref_to_json(disk),
			"runs", runs, "version", PROFILE_VERSION);
	r = doc ? json_canonical(doc, &b) : -ENOMEM;
	if (r < 0)
		return err_set(err, r, "boot profile: %s", strerror(-r));
	profile_key(&disk->digest, newest + 1, key);
	r = region_object_put(&s->regions[region], key, b.data, b.len, err);
	if (r == -EEXIST) { /* somebody else's is as good */
		err_done(err);
		return 0;
	}
	if (r >= 0 && newest > 0) {
		profile_key(&disk->digest, newest, key);
		r = region_remove(s->regions[region].region, key, err);
	}
	return r;
}

static int profile_read(struct store_region *g, const struct disk_ref *disk, json_t **ret,
			struct err *err)
{
	auto_buf struct buf b = BUF_INIT(OBJECT_MAX);
	auto_json json_t *doc = NULL;
	char key[REGION_KEY_MAX];
	struct disk_ref d;
	uint64_t rev;
	int r = find_newest(g, &disk->digest, &rev, err);

	if (r >= 0 && rev == 0)
		return err_set(err, -ENOENT, "region %s has no boot profile of this disk",
			       g->region->name);
	profile_key(&disk->digest, rev, key);
	if (r >= 0)
		r = region_object_get(g, key, &b, NULL, err);
	if (r >= 0)
		r = json_parse(buf_str(&b), b.len, &doc, err);
	if (r >= 0)
		r = disk_ref_from_json(json_object_get(doc, "disk"), &d, err);
	if (r >= 0 && (!digest_eq(&d.digest, &disk->digest) ||
		       json_int_at(doc, "version", 0) != PROFILE_VERSION))
		r = err_set(err, -EBADMSG, "%s: of another disk or version", key);
	if (r >= 0)
		r = runs_check(json_object_get(doc, "runs"), disk, err);
	if (r >= 0)
		*ret = json_incref(json_object_get(doc, "runs"));
	return r < 0 ? r : 0;
}

int store_profile_get(struct store *s, unsigned region, const struct disk_ref *disk, json_t **ret,
		      struct err *err)
{
	int r = store_region_check(s, region, err), x = -ENOENT;

	for (unsigned i = 0; r >= 0 && i < s->n_regions && x < 0; i++) {
		auto_err struct err own = ERR_INIT;

		x = profile_read(&s->regions[(region + i) % s->n_regions], disk, ret, &own);
		if (x < 0 && i == 0)
			err_move(err, &own);
	}
	if (r >= 0 && x >= 0)
		err_done(err);
	return r < 0 ? r : x;
}

void profile_copy(struct place from, struct place to, const struct disk_ref *disk)
{
	auto_json json_t *runs = NULL, *there = NULL;
	auto_err struct err e = ERR_INIT;

	if (profile_read(&from.store->regions[from.region], disk, &runs, NULL) < 0 ||
	    profile_read(&to.store->regions[to.region], disk, &there, NULL) >= 0)
		return;
	if (store_profile_put(to.store, to.region, disk, runs, &e) < 0)
		log_debug("store.profile.copy", "error=%s", err_str(&e));
}

/* ---- Collection ----------------------------------------------------------------------------- */

struct stale {
	struct store_region *g;
	const struct root_list *roots;
	struct err *err;
};

static int remove_stale(void *arg, const char *key, uint64_t bytes)
{
	struct stale *w = arg;
	struct digest d;
	uint64_t rev;

	if (profile_name(key, &d, &rev) < 0)
		return 0;
	for (size_t i = 0; i < w->roots->n; i++)
		if (digest_eq(&w->roots->v[i].disk.digest, &d))
			return 0;
	return region_remove(w->g->region, key, w->err);
}

int profiles_collect(struct store *s, unsigned region, struct err *err)
{
	auto_roots struct root_list roots = {0};
	struct stale w = {&s->regions[region], &roots, err};
	int r = roots_load(s, region, &roots, err);

	return r < 0 ? r : region_list(w.g->region, "statements/", remove_stale, &w, err);
}

/* ---- Playing -------------------------------------------------------------------------------- */

struct store_player {
	struct store *s;
	unsigned region;
	struct disk_ref disk;
	uint32_t window;      /* chunks that are fetched ahead of what was read */
	pthread_mutex_t lock; /* guards what follows */
	struct chunk_map map;
	uint32_t next; /* the first position that was not asked for */
	uint32_t read; /* behind the last position that was read */
};

/* With the lock held: asks for what the window allows. */
static void play_on(struct store_player *p)
{
	uint32_t end = p->map.n - p->read < p->window ? p->map.n : p->read + p->window;

	while (p->next < end) {
		uint64_t first = p->map.chunks[p->next];
		uint32_t n = 1;

		while (p->next + n < end && p->map.chunks[p->next + n] == first + n)
			n++;
		n = ahead_play(p->s, p->region, &p->disk, first, n);
		if (n == 0)
			break; /* the queue is full */
		p->next += n;
	}
}

int store_player_new(struct store *s, unsigned region, const struct disk_ref *disk,
		     const json_t *runs, struct store_player **ret, struct err *err)
{
	struct store_player *p;
	struct cache_stats c;
	uint64_t total = 0;
	int r = runs_check(runs, disk, err);

	if (r < 0)
		return r;
	for (size_t i = 1; i < json_array_size(runs); i += 2)
		total += (uint64_t) json_integer_value(json_array_get(runs, i));
	p = calloc(1, sizeof(*p));
	if (!p || map_init(&p->map, (uint32_t) total) < 0) {
		if (p)
			map_done(&p->map);
		free(p);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < json_array_size(runs); i += 2) {
		uint64_t at = (uint64_t) json_integer_value(json_array_get(runs, i));
		uint64_t n = (uint64_t) json_integer_value(json_array_get(runs, i + 1));

		for (uint64_t k = 0; k < n; k++)
			map_add(&p->map, at + k);
	}
	cache_stats_get(s->cache, &c);
	p->s = s;
	p->region = region;
	p->disk = *disk;
	p->window = (uint32_t) (c.max_bytes / CHUNK_BYTES / 4 < CHUNKS_MAX
					? c.max_bytes / CHUNK_BYTES / 4
					: CHUNKS_MAX);
	(void) pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_lock(&p->lock);
	play_on(p);
	pthread_mutex_unlock(&p->lock);
	*ret = p;
	return 0;
}

void store_player_free(struct store_player *p)
{
	if (!p)
		return;
	ahead_stop(p->s, &p->disk);
	map_done(&p->map);
	(void) pthread_mutex_destroy(&p->lock);
	free(p);
}

void player_note(struct store_player *p, uint64_t chunk)
{
	uint32_t at;

	pthread_mutex_lock(&p->lock);
	at = map_find(&p->map, chunk);
	if (at != NO_POSITION && at >= p->read)
		p->read = at + 1;
	if (p->next < p->read)
		p->next = p->read; /* the guest was faster */
	if (p->next < p->map.n)
		play_on(p);
	pthread_mutex_unlock(&p->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-ahead: a few threads that fill the cache with what a sequential reader will ask for next: no
 * more than it read in a row so far, because a guest reads many small files and decoding what
 * nobody asks for delays what somebody does. Only a hint: what does not fit the queue is dropped,
 * what fails is the reader's to find out. Jobs hold a copy of the disk's names, so a reader may be
 * closed while its jobs wait. Boot profiles have a queue of their own, which is looked at when
 * there is nothing else, nor as many reads as threads.
 */
#include "base/mem.h"
#include "store/internal.h"

#define JOBS       32u
#define JOB_CHUNKS 4u
#define THREADS    2u
#define CHUNKS_MAX 32u          /* ahead of one reader */
#define NEAR_BYTES (512u << 10) /* requests in flight overtake each other by no more */

struct job {
	struct disk_ref disk;
	unsigned region;
	unsigned n;
	uint64_t chunk;
};

struct ring {
	struct job jobs[JOBS];
	unsigned first, n;
};

struct ahead {
	struct store *s;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	struct ring near, profile;
	bool quit;
	uint64_t chunks, played; /* asked for since the start */
	pthread_t threads[THREADS];
	unsigned n_threads;
};

static struct job *ring_add(struct ring *q)
{
	return q->n < JOBS ? &q->jobs[(q->first + q->n++) % JOBS] : NULL;
}

/* With the lock held: the next job, or false. */
static bool next_job(struct ahead *a, struct job *ret)
{
	struct ring *q = &a->near;

	if (q->n == 0 && atomic_load(&a->s->reading) < a->s->threads)
		q = &a->profile;
	if (q->n == 0)
		return false;
	*ret = q->jobs[q->first];
	q->first = (q->first + 1) % JOBS;
	q->n--;
	return true;
}

static void *ahead_main(void *arg)
{
	struct ahead *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->quit) {
		struct job j;

		if (!next_job(a, &j)) {
			pthread_cond_wait(&a->wake, &a->lock);
			continue;
		}
		pthread_mutex_unlock(&a->lock);
		reader_warm(a->s, j.region, &j.disk, j.chunk, j.n);
		pthread_mutex_lock(&a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static struct ahead *ahead_new(struct store *s)
{
	struct ahead *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->s = s;
	(void) pthread_mutex_init(&a->lock, NULL);
	(void) pthread_cond_init(&a->wake, NULL);
	while (a->n_threads < THREADS && a->n_threads < s->threads &&
	       pthread_create(&a->threads[a->n_threads], NULL, ahead_main, a) == 0)
		a->n_threads++;
	return a;
}

void ahead_free(struct ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->quit = true;
	pthread_cond_broadcast(&a->wake);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->n_threads; i++)
		(void) pthread_join(a->threads[i], NULL);
	(void) pthread_cond_destroy(&a->wake);
	(void) pthread_mutex_destroy(&a->lock);
	free(a);
}

/* Started by the first sequential reader; NULL when it cannot be. */
static struct ahead *ahead_of(struct store *s)
{
	struct ahead *a;

	pthread_mutex_lock(&s->ahead_lock);
	if (!s->ahead)
		s->ahead = ahead_new(s);
	a = s->ahead;
	pthread_mutex_unlock(&s->ahead_lock);
	return a;
}

static void ask(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t first,
		uint64_t last)
{
	struct ahead *a = ahead_of(s);
	uint64_t each;

	if (!a || a->n_threads == 0)
		return;
	pthread_mutex_lock(&a->lock);
	each = (last - first + a->n_threads - 1) / a->n_threads;
	each = each < JOB_CHUNKS ? each : JOB_CHUNKS;
	while (first < last && a->near.n < JOBS) {
		unsigned n = (unsigned) (last - first < each ? last - first : each);

		*ring_add(&a->near) = (struct job){*disk, region, n, first};
		a->chunks += n;
		first += n;
		pthread_cond_signal(&a->wake);
	}
	pthread_mutex_unlock(&a->lock);
}

unsigned ahead_play(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t first,
		    unsigned n)
{
	struct ahead *a = ahead_of(s);
	struct job *j;

	if (!a || a->n_threads == 0)
		return 0;
	n = n < JOB_CHUNKS ? n : JOB_CHUNKS;
	pthread_mutex_lock(&a->lock);
	j = ring_add(&a->profile);
	if (j) {
		*j = (struct job){*disk, region, n, first};
		a->played += n;
		pthread_cond_signal(&a->wake);
	}
	pthread_mutex_unlock(&a->lock);
	return j ? n : 0;
}

void ahead_stop(struct store *s, const struct disk_ref *disk)
{
	struct ahead *a = ahead_of(s);
	unsigned n;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	n = a->profile.n;
	a->profile.n = 0;
	for (unsigned i = 0; i < n; i++) {
		struct job j = a->profile.jobs[(a->profile.first + i) % JOBS];

		if (!digest_eq(&j.disk.digest, &disk->digest))
			*ring_add(&a->profile) = j;
	}
	pthread_mutex_unlock(&a->lock);
}

void ahead_read_done(struct store *s)
{
	struct ahead *a;

	if (atomic_fetch_sub(&s->reading, 1) != s->threads)
		return;
	pthread_mutex_lock(&s->ahead_lock);
	a = s->ahead;
	pthread_mutex_unlock(&s->ahead_lock);
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	if (a->profile.n > 0)
		pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
}

/* With the pattern's lock held: chunks [*@ret_first, *@ret_last) are to be asked for. */
static bool next_window(struct store *s, const struct disk_ref *disk, const struct read_pattern *p,
			uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t chunks = disk_chunks(disk->size_bytes), most, window, first, last;
	struct cache_stats c;

	cache_stats_get(s->cache, &c);
	most = c.max_bytes / 4;
	most = most < CHUNKS_MAX * CHUNK_BYTES ? most : CHUNKS_MAX * CHUNK_BYTES;
	window = p->run_bytes < most ? p->run_bytes : most;
	first = disk_chunks(p->next);
	if (first < p->ahead_to)
		first = p->ahead_to;
	last = disk_chunks(p->next + window);
	last = last < chunks ? last : chunks;
	*ret_first = first;
	*ret_last = last;
	/* Waking a thread is worth it for a part of the window. */
	return last > first && (last == chunks || last - first >= disk_chunks(window) / 8);
}

void ahead_note(struct store *s, unsigned region, const struct disk_ref *disk,
		struct read_pattern *p, uint64_t offset, size_t n)
{
	uint64_t end = offset + n, first, last;
	bool go = false;

	pthread_mutex_lock(&p->lock);
	if (offset <= p->next + NEAR_BYTES && end + NEAR_BYTES >= p->next) {
		p->run_bytes += n;
		p->next = end > p->next ? end : p->next;
		go = next_window(s, disk, p, &first, &last);
	} else {
		p->run_bytes = n;
		p->next = end;
		p->ahead_to = 0;
	}
	if (go)
		p->ahead_to = last;
	pthread_mutex_unlock(&p->lock);
	if (go)
		ask(s, region, disk, first, last);
}

void store_read_stats_get(struct store *s, struct store_read_stats *ret)
{
	struct cache_stats c;

	cache_stats_get(s->cache, &c);
	*ret = (struct store_read_stats){
		.cache_hits = c.hits,
		.cache_misses = c.misses,
		.cache_bytes = c.bytes,
		.cache_max_bytes = c.max_bytes,
	};
	pthread_mutex_lock(&s->ahead_lock);
	if (s->ahead) {
		pthread_mutex_lock(&s->ahead->lock);
		ret->ahead_chunks = s->ahead->chunks;
		ret->played_chunks = s->ahead->played;
		pthread_mutex_unlock(&s->ahead->lock);
	}
	pthread_mutex_unlock(&s->ahead_lock);
}

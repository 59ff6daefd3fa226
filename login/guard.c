/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guessing may cost, so that it stops neither the API nor the others who log in:
 * - few hashes are computed at once, few wait, and one address has only some of both;
 * - who fails often for a principal from an address waits, others from elsewhere do not;
 * - a secret found right once is known again by a keyed digest, without hashing.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/internal.h"

#define RUNNING_MAX  2  /* hashes at once: up to 64 MiB each */
#define WAITING_MAX  32 /* others */
#define PER_PEER_MAX 4  /* of both, from one address */
#define WAIT_S       10
#define FAILURES_MAX 10 /* in a window, for one principal from one address */
#define WINDOW_NS    (60 * INT64_C(1000000000))
#define FAILED_SLOTS 4096
#define PROBES       8
#define PROVEN_SLOTS 4096

struct failed {
	uint8_t who[16]; /* keyed digest of principal and address */
	int64_t since_ns;
	unsigned count; /* 0 = empty */
};

struct peer {
	char *name;
	unsigned places;
};

struct guard {
	uint8_t key[32];
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t free_place;
	unsigned running, waiting;
	struct peer peers[RUNNING_MAX + WAITING_MAX];
	struct failed failed[FAILED_SLOTS];
	uint8_t proven[PROVEN_SLOTS][DIGEST_BYTES];
};

int guard_new(struct guard **ret)
{
	struct guard *g = calloc(1, sizeof(*g));
	pthread_condattr_t attr;
	int r;

	if (!g)
		return -ENOMEM;
	r = random_bytes(g->key, sizeof(g->key));
	if (r < 0) {
		free(g);
		return r;
	}
	r = pthread_condattr_init(&attr);
	if (r == 0)
		r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(&g->free_place, &attr);
	if (r == 0)
		r = pthread_mutex_init(&g->lock, NULL);
	if (r != 0) {
		free(g);
		return -r;
	}
	(void) pthread_condattr_destroy(&attr);
	*ret = g;
	return 0;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(g->peers); i++)
		free(g->peers[i].name);
	(void) pthread_cond_destroy(&g->free_place);
	(void) pthread_mutex_destroy(&g->lock);
	mem_wipe(g, sizeof(*g));
	free(g);
}

static bool digest_of(const struct guard *g, const char *a, const char *b, uint8_t out[32])
{
	auto_free char *text = strf("%zu:%s%s", strlen(a), a, b);
	unsigned n = 32;
	bool ok = text && HMAC(EVP_sha256(), g->key, sizeof(g->key), (const uint8_t *) text,
			       strlen(text), out, &n);

	if (text)
		mem_wipe(text, strlen(text));
	return ok;
}

static size_t slot_of(const uint8_t *d, size_t slots)
{
	size_t v;

	memcpy(&v, d, sizeof(v));
	return v % slots;
}

/* ---- Failures ------------------------------------------------------------------------------- */

/* A household of IPv6 addresses counts as one: "2001:db8:1:2::7" as "2001:db8:1:2". */
static void peer_name(const char *peer, char dst[64])
{
	unsigned colons = 0;
	size_t n = 0;

	if (peer && strncasecmp(peer, "::ffff:", 7) == 0)
		peer += 7; /* IPv4 */

	for (; peer && peer[n] && n < 63; n++) {
		if (peer[n] == ':' && (++colons == 4 || (n > 0 && peer[n - 1] == ':')))
			break;
		dst[n] = peer[n];
	}
	dst[n] = '\0';
}

static struct failed *find_failed(struct guard *g, const uint8_t *d, bool make)
{
	size_t at = slot_of(d, FAILED_SLOTS);
	struct failed *oldest = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct failed *f = &g->failed[(at + i) % FAILED_SLOTS];

		if (f->count > 0 && memcmp(f->who, d, sizeof(f->who)) == 0)
			return f;
		if (!oldest || f->count == 0 || (oldest->count && f->since_ns < oldest->since_ns))
			oldest = f;
	}
	if (!make)
		return NULL;
	*oldest = (struct failed){.since_ns = time_mono_ns()};
	memcpy(oldest->who, d, sizeof(oldest->who));
	return oldest;
}

unsigned guard_blocked(struct guard *g, const char *who, const char *peer)
{
	int64_t left = 0;
	char name[64];
	uint8_t d[32];
	struct failed *f;

	peer_name(peer, name);
	if (!digest_of(g, who, name, d))
		return 1;
	(void) pthread_mutex_lock(&g->lock);
	f = find_failed(g, d, false);
	if (f && f->count >= FAILURES_MAX)
		left = f->since_ns + WINDOW_NS - time_mono_ns();
	if (f && left <= 0 && f->count >= FAILURES_MAX)
		f->count = 0;
	(void) pthread_mutex_unlock(&g->lock);
	return left > 0 ? (unsigned) (left / 1000000000 + 1) : 0;
}

void guard_failed(struct guard *g, const char *who, const char *peer)
{
	int64_t now = time_mono_ns();
	struct failed *f;
	char name[64];
	uint8_t d[32];

	peer_name(peer, name);
	if (!digest_of(g, who, name, d))
		return;
	(void) pthread_mutex_lock(&g->lock);
	f = find_failed(g, d, true);
	if (now - f->since_ns >= WINDOW_NS) {
		f->count = 0;
		f->since_ns = now;
	}
	f->count++;
	(void) pthread_mutex_unlock(&g->lock);
}

/* ---- Places --------------------------------------------------------------------------------- */

static struct peer *find_peer(struct guard *g, const char *name)
{
	struct peer *empty = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(g->peers); i++) {
		if (g->peers[i].name && str_eq(g->peers[i].name, name))
			return &g->peers[i];
		if (!g->peers[i].name)
			empty = &g->peers[i];
	}
	return empty;
}

static int take_place(struct guard *g, const char *name)
{
	struct peer *p = find_peer(g, name);

	if (!p || p->places >= PER_PEER_MAX ||
	    (g->running == RUNNING_MAX && g->waiting == WAITING_MAX))
		return -EAGAIN;
	if (!p->name) {
		p->name = strdup(name);
		if (!p->name)
			return -ENOMEM;
	}
	p->places++;
	return 0;
}

static void drop_place(struct guard *g, const char *name)
{
	struct peer *p = find_peer(g, name);

	if (p && p->name && --p->places == 0) {
		free(p->name);
		p->name = NULL;
	}
}

int guard_enter(struct guard *g, const char *peer)
{
	struct timespec until;
	char name[64];
	int r;

	peer_name(peer, name);
	(void) clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_S;
	(void) pthread_mutex_lock(&g->lock);
	r = take_place(g, name);
	if (r == 0) {
		int wait = 0;

		g->waiting++;
		while (g->running == RUNNING_MAX && wait == 0)
			wait = pthread_cond_timedwait(&g->free_place, &g->lock, &until);
		g->waiting--;
		if (g->running < RUNNING_MAX) {
			g->running++;
		} else {
			drop_place(g, name);
			r = -EAGAIN;
		}
	}
	(void) pthread_mutex_unlock(&g->lock);
	return r;
}

void guard_leave(struct guard *g, const char *peer)
{
	char name[64];

	peer_name(peer, name);
	(void) pthread_mutex_lock(&g->lock);
	g->running--;
	drop_place(g, name);
	(void) pthread_cond_signal(&g->free_place);
	(void) pthread_mutex_unlock(&g->lock);
}

/* ---- Secrets that were right ---------------------------------------------------------------- */

bool guard_proven(struct guard *g, const char *credential, const char *secret)
{
	uint8_t d[32];
	bool yes;

	if (!digest_of(g, credential, secret, d))
		return false;
	(void) pthread_mutex_lock(&g->lock);
	yes = memcmp(g->proven[slot_of(d, PROVEN_SLOTS)], d, sizeof(d)) == 0;
	(void) pthread_mutex_unlock(&g->lock);
	return yes;
}

void guard_prove(struct guard *g, const char *credential, const char *secret)
{
	uint8_t d[32];

	if (!digest_of(g, credential, secret, d))
		return;
	(void) pthread_mutex_lock(&g->lock);
	memcpy(g->proven[slot_of(d, PROVEN_SLOTS)], d, sizeof(d));
	(void) pthread_mutex_unlock(&g->lock);
}

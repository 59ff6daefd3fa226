/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bucket is one number, the moment at which it is full again: a record moves it on by the time
 * that one takes to come back, and must not move it further ahead than the burst. So an empty
 * bucket costs 8 bytes, and one whose moment is past can be given to another source.
 */
#include "arm/flood.h"

#include <pthread.h>

#include "base/hash.h"
#include "base/mem.h"

#define SECOND INT64_C(1000000000)
#define SLOTS  1024 /* sources remembered at once */
#define PROBES 8

struct rate {
	int64_t every_ns; /* one more record after this long */
	int64_t burst;
};

static const struct {
	struct rate source, all;
} rates[AUDIT_CLASSES] = {
	[AUDIT_FAILURE] = {{30 * SECOND, 100}, {10 * SECOND, 1000}},
	[AUDIT_LOGIN_FAILED] = {{30 * SECOND, 20}, {10 * SECOND, 1000}},
	[AUDIT_LOGIN] = {{10 * SECOND, 500}, {10 * SECOND, 5000}},
};

struct slot {
	uint64_t key;
	int64_t full_ns;
};

struct flood {
	uint8_t salt[16];     /* so that nobody can choose who shares a slot */
	pthread_mutex_t lock; /* guards all below */
	struct slot slots[SLOTS];
	int64_t all[AUDIT_CLASSES]; /* full_ns */
	uint64_t omitted[AUDIT_CLASSES];
};

int flood_new(struct flood **ret)
{
	struct flood *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	r = random_bytes(f->salt, sizeof(f->salt));
	if (r == 0)
		r = -pthread_mutex_init(&f->lock, NULL);
	if (r < 0) {
		free(f);
		return r;
	}
	*ret = f;
	return 0;
}

void flood_free(struct flood *f)
{
	if (!f)
		return;
	(void) pthread_mutex_destroy(&f->lock);
	free(f);
}

static uint64_t key_of(const struct flood *f, enum audit_class class, const char *source)
{
	struct sha256_ctx *c = sha256_new();
	uint8_t tag = (uint8_t) class;
	struct digest d;
	uint64_t key;

	if (!c)
		return tag; /* without memory sources share a bucket */
	sha256_add(c, f->salt, sizeof(f->salt));
	sha256_add(c, &tag, 1);
	sha256_add(c, source, strlen(source));
	sha256_end(c, &d);
	memcpy(&key, d.b, sizeof(key));
	return key;
}

/* Its slot, else a full one, else the one that is full soonest. */
static struct slot *find(struct flood *f, uint64_t key, int64_t now)
{
	struct slot *best = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct slot *s = &f->slots[(key + i) % SLOTS];

		if (s->key == key)
			return s;
		if (!best || s->full_ns < best->full_ns)
			best = s;
	}
	*best = (struct slot){key, now};
	return best;
}

static bool has(int64_t full_ns, int64_t now, const struct rate *r)
{
	return full_ns - now <= (r->burst - 1) * r->every_ns;
}

static int64_t taken(int64_t full_ns, int64_t now, const struct rate *r)
{
	return (full_ns > now ? full_ns : now) + r->every_ns;
}

bool flood_take(struct flood *f, enum audit_class class, const char *source, int64_t now_ns,
		uint64_t *ret_omitted)
{
	uint64_t key = key_of(f, class, source);
	struct slot *s;
	bool ok;

	(void) pthread_mutex_lock(&f->lock);
	s = find(f, key, now_ns);
	ok = has(s->full_ns, now_ns, &rates[class].source) &&
	     has(f->all[class], now_ns, &rates[class].all);
	if (ok) {
		s->full_ns = taken(s->full_ns, now_ns, &rates[class].source);
		f->all[class] = taken(f->all[class], now_ns, &rates[class].all);
		*ret_omitted = f->omitted[class];
		f->omitted[class] = 0;
	} else {
		f->omitted[class]++;
	}
	(void) pthread_mutex_unlock(&f->lock);
	return ok;
}

uint64_t flood_omitted(struct flood *f, enum audit_class class)
{
	uint64_t n;

	(void) pthread_mutex_lock(&f->lock);
	n = f->omitted[class];
	f->omitted[class] = 0;
	(void) pthread_mutex_unlock(&f->lock);
	return n;
}

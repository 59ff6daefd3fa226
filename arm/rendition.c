/* SPDX-License-Identifier: Apache-2.0 */
#include "arm/rendition.h"

#include <pthread.h>

#include "arm/internal.h"
#include "base/mem.h"

#define SHARDS 16
#define SETS   4096
#define WAYS   4

/* A kept text; what comes after it is its key, the variant and the text. */
struct rendition {
	struct arm_text text;
	uint64_t hash;
	int64_t revision, changes;
	size_t key_n, variant_n, bytes;
	bool used; /* since the hand came by; guarded by the shard's lock */
	char data[];
};

struct shard {
	pthread_mutex_t lock; /* guards all below */
	size_t bytes, hand;
	struct rendition *slot[SETS * WAYS];
};

struct renditions {
	size_t shard_bytes;
	struct shard shard[SHARDS];
};

/* ---- Texts -------------------------------------------------------------------------------- */

struct arm_text *text_take(char *owned, size_t n)
{
	struct arm_text *t = owned ? malloc(sizeof(*t)) : NULL;

	if (!t) {
		free(owned);
		return NULL;
	}
	*t = (struct arm_text){.bytes = owned, .n = n, .owned = owned};
	atomic_init(&t->refs, 1);
	return t;
}

void arm_text_unref(struct arm_text *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(t->owned);
	free(t);
}

/* ---- The table ---------------------------------------------------------------------------- */

int renditions_new(size_t max_bytes, struct renditions **ret, struct err *err)
{
	struct renditions *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->shard_bytes = max_bytes / SHARDS;
	for (size_t i = 0; i < SHARDS; i++)
		(void) pthread_mutex_init(&r->shard[i].lock, NULL); /* cannot fail on Linux */
	*ret = r;
	return 0;
}

void renditions_free(struct renditions *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		for (size_t k = 0; k < SETS * WAYS; k++)
			if (r->shard[i].slot[k])
				arm_text_unref(&r->shard[i].slot[k]->text);
		(void) pthread_mutex_destroy(&r->shard[i].lock);
	}
	free(r);
}

static uint64_t mix(uint64_t h, const char *p, size_t n)
{
	uint64_t v;

	for (; n > 0; p += sizeof(v), n -= sizeof(v)) {
		v = 0;
		memcpy(&v, p, n < sizeof(v) ? n : sizeof(v));
		h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
		if (n < sizeof(v))
			break;
	}
	return h;
}

static uint64_t hash_of(const struct rendition_key *k)
{
	uint64_t h = mix(mix(k->key_n, k->key, k->key_n), k->variant, k->variant_n);

	return h ^ h >> 32;
}

static bool is_of(const struct rendition *t, const struct rendition_key *k, uint64_t hash)
{
	return t && t->hash == hash && t->key_n == k->key_n && t->variant_n == k->variant_n &&
	       memcmp(t->data, k->key, k->key_n) == 0 &&
	       memcmp(t->data + k->key_n, k->variant, k->variant_n) == 0;
}

static struct shard *shard_of(struct renditions *r, uint64_t hash)
{
	return &r->shard[hash % SHARDS];
}

static struct rendition **set_of(struct shard *s, uint64_t hash)
{
	return &s->slot[hash / SHARDS % SETS * WAYS];
}

struct arm_text *renditions_get(struct renditions *r, const struct rendition_key *k)
{
	uint64_t hash = hash_of(k);
	struct shard *s = shard_of(r, hash);
	struct rendition **set = set_of(s, hash);
	struct arm_text *found = NULL;

	(void) pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < WAYS && !found; i++) {
		struct rendition *t = set[i];

		if (!is_of(t, k, hash) || t->revision != k->revision || t->changes != k->changes)
			continue;
		t->used = true;
		found = &t->text;
		atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
	}
	(void) pthread_mutex_unlock(&s->lock);
	return found;
}

static void drop(struct shard *s, struct rendition **slot)
{
	s->bytes -= (*slot)->bytes;
	arm_text_unref(&(*slot)->text);
	*slot = NULL;
}

/* Where @t goes: its elder's place, a free one, or that of the first not used lately. */
static struct rendition **place_for(struct rendition **set, const struct rendition_key *k,
				    uint64_t hash)
{
	struct rendition **victim = NULL, **fallback = &set[hash >> 60 & (WAYS - 1)];

	for (size_t i = 0; i < WAYS; i++)
		if (is_of(set[i], k, hash))
			return &set[i];
	for (size_t i = 0; i < WAYS && !victim; i++)
		if (!set[i] || !set[i]->used)
			victim = &set[i];
	for (size_t i = 0; i < WAYS && !victim; i++)
		set[i]->used = false;
	return victim ? victim : fallback;
}

static void insert(struct renditions *r, struct rendition *t, const struct rendition_key *k)
{
	struct shard *s = shard_of(r, t->hash);
	struct rendition **slot;

	(void) pthread_mutex_lock(&s->lock);
	slot = place_for(set_of(s, t->hash), k, t->hash);
	if (*slot)
		drop(s, slot);
	*slot = t;
	s->bytes += t->bytes;
	while (s->bytes > r->shard_bytes) {
		struct rendition **at = &s->slot[s->hand];

		s->hand = (s->hand + 1) % (SETS * WAYS);
		if (*at && !(*at)->used)
			drop(s, at);
		else if (*at)
			(*at)->used = false;
	}
	(void) pthread_mutex_unlock(&s->lock);
}

struct arm_text *renditions_put(struct renditions *r, const struct rendition_key *k,
				const char *text, size_t n)
{
	size_t bytes = sizeof(struct rendition) + k->key_n + k->variant_n + n;
	struct rendition *t = malloc(bytes);
	bool keep = n <= RENDITION_BYTES_MAX && k->variant_n <= VARIANT_BYTES_MAX &&
		    bytes <= r->shard_bytes;
	char *at;

	if (!t)
		return NULL;
	*t = (struct rendition){
		.hash = hash_of(k),
		.revision = k->revision,
		.changes = k->changes,
		.key_n = k->key_n,
		.variant_n = k->variant_n,
		.bytes = bytes,
		.used = true, /* by whoever asked; the hand takes it away */
	};
	at = t->data;
	memcpy(at, k->key, k->key_n);
	memcpy(at + k->key_n, k->variant, k->variant_n);
	at += k->key_n + k->variant_n;
	memcpy(at, text, n);
	t->text.bytes = at;
	t->text.n = n;
	atomic_init(&t->text.refs, keep ? 2 : 1);
	if (keep)
		insert(r, t, k);
	return &t->text;
}

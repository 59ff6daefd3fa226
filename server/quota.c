/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets in a table of fixed size, so that many principals cost no memory: one that shares a
 * slot with another takes it over with a full bucket, which errs on the generous side.
 */
#include "server/quota.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/timeutil.h"

#define SLOTS  4096
#define LOCKS  64
#define WINDOW 300.0 /* seconds */

struct bucket {
	char principal[40];
	double left[2]; /* reads, writes */
	int64_t filled_ns;
};

struct quota {
	double size[2];
	pthread_mutex_t locks[LOCKS]; /* locks[i % LOCKS] guards slots[i] */
	struct bucket slots[SLOTS];
};

int quota_new(uint64_t reads, uint64_t writes, struct quota **ret, struct err *err)
{
	struct quota *q = calloc(1, sizeof(*q));

	if (!q)
		return err_set(err, -ENOMEM, "out of memory");
	q->size[0] = (double) reads;
	q->size[1] = (double) writes;
	for (unsigned i = 0; i < LOCKS; i++)
		(void) pthread_mutex_init(&q->locks[i], NULL);
	*ret = q;
	return 0;
}

void quota_free(struct quota *q)
{
	for (unsigned i = 0; q && i < LOCKS; i++)
		(void) pthread_mutex_destroy(&q->locks[i]);
	free(q);
}

static void fill(const struct quota *q, struct bucket *b, const char *principal)
{
	int64_t now = time_mono_ns();
	double passed = (double) (now - b->filled_ns) / 1e9;
	bool other = strncmp(b->principal, principal, sizeof(b->principal) - 1) != 0;

	for (unsigned i = 0; i < 2; i++) {
		b->left[i] += passed * q->size[i] / WINDOW;
		if (other || b->left[i] > q->size[i])
			b->left[i] = q->size[i];
	}
	b->filled_ns = now;
	if (other)
		(void) snprintf(b->principal, sizeof(b->principal), "%s", principal);
}

int64_t quota_take(struct quota *q, const char *principal, bool write, unsigned *ret_retry_s)
{
	uint32_t h = 2166136261u; /* FNV-1a: principals are GUIDs of our own making */
	struct bucket *b;
	int64_t left;

	for (const char *p = principal; *p; p++)
		h = (h ^ (unsigned char) *p) * 16777619u;
	b = &q->slots[h % SLOTS];
	(void) pthread_mutex_lock(&q->locks[h % LOCKS]);
	fill(q, b, principal);
	if (b->left[write] >= 1) {
		b->left[write] -= 1;
		left = (int64_t) b->left[write];
	} else {
		double rate = q->size[write] / WINDOW;

		*ret_retry_s = 1 + (unsigned) ((1 - b->left[write]) / (rate > 1e-6 ? rate : 1e-6));
		left = -1;
	}
	(void) pthread_mutex_unlock(&q->locks[h % LOCKS]);
	return left;
}

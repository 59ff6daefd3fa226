/* SPDX-License-Identifier: Apache-2.0 */
#include "server/pool.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/mem.h"

struct task {
	pool_fn *fn;
	void *arg;
};

struct pool {
	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t some;
	struct task queue[POOL_QUEUE_MAX];
	unsigned first, n;
	bool ending;
	unsigned threads;
	pthread_t thread[];
};

static bool take(struct pool *p, struct task *ret)
{
	bool got;

	(void) pthread_mutex_lock(&p->mutex);
	while (p->n == 0 && !p->ending)
		(void) pthread_cond_wait(&p->some, &p->mutex);
	got = p->n > 0;
	if (got) {
		*ret = p->queue[p->first];
		p->first = (p->first + 1) % POOL_QUEUE_MAX;
		p->n--;
	}
	(void) pthread_mutex_unlock(&p->mutex);
	return got;
}

static void *run(void *arg)
{
	struct task t;

	while (take(arg, &t))
		t.fn(t.arg);
	return NULL;
}

int pool_new(unsigned threads, struct pool **ret, struct err *err)
{
	struct pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->thread[0]));
	int r = 0;

	if (!p)
		return err_set(err, -ENOMEM, "threads");
	(void) pthread_mutex_init(&p->mutex, NULL); /* neither fails on Linux */
	(void) pthread_cond_init(&p->some, NULL);
	for (; p->threads < threads && r == 0; p->threads += r == 0)
		r = pthread_create(&p->thread[p->threads], NULL, run, p);
	if (r != 0) {
		pool_free(p);
		return err_set(err, -r, "cannot start a thread");
	}
	*ret = p;
	return 0;
}

int pool_add(struct pool *p, pool_fn *fn, void *arg)
{
	int r = -EAGAIN;

	(void) pthread_mutex_lock(&p->mutex);
	if (p->n < POOL_QUEUE_MAX && !p->ending) {
		p->queue[(p->first + p->n++) % POOL_QUEUE_MAX] = (struct task){fn, arg};
		(void) pthread_cond_signal(&p->some);
		r = 0;
	}
	(void) pthread_mutex_unlock(&p->mutex);
	return r;
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	(void) pthread_mutex_lock(&p->mutex);
	p->ending = true;
	(void) pthread_cond_broadcast(&p->some);
	(void) pthread_mutex_unlock(&p->mutex);
	for (unsigned i = 0; i < p->threads; i++)
		(void) pthread_join(p->thread[i], NULL);
	p->threads = 0;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pool_stop(p);
	(void) pthread_cond_destroy(&p->some);
	(void) pthread_mutex_destroy(&p->mutex);
	free(p);
}

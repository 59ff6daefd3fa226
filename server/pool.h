/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue and a fixed number of threads for what may wait. */
#ifndef KILN_SERVER_POOL_H
#define KILN_SERVER_POOL_H

#include "base/err.h"

#define POOL_QUEUE_MAX 1024

struct pool;
typedef void pool_fn(void *arg);

int pool_new(unsigned threads, struct pool **ret, struct err *err);
/** pool_add() - 0, or -EAGAIN: the queue is full, or the pool is ending. */
int pool_add(struct pool *p, pool_fn *fn, void *arg);
/** pool_stop() - runs what is queued, then ends; pool_add() fails from then on. */
void pool_stop(struct pool *p); /* NULL is fine */
/** pool_free() - after pool_stop(), or instead of it. */
void pool_free(struct pool *p);

#endif

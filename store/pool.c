/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "store/internal.h"

struct worker {
	parallel_fn *fn;
	void *arg;
	unsigned index;
	int result;
	struct err err;
	pthread_t thread;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	w->result = w->fn(w->arg, w->index, &w->err);
	return NULL;
}

int parallel_run(unsigned n, parallel_fn *fn, void *arg, struct err *err)
{
	auto_free struct worker *w = NULL;
	unsigned started = 1;
	int r = 0;

	if (n < 1)
		n = 1;
	w = calloc(n, sizeof(*w));
	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < n; i++)
		w[i] = (struct worker){.fn = fn, .arg = arg, .index = i};
	/* Fewer threads than asked for still finish the work. */
	while (started < n &&
	       pthread_create(&w[started].thread, NULL, worker_main, &w[started]) == 0)
		started++;
	(void) worker_main(&w[0]);
	for (unsigned i = 1; i < started; i++)
		(void) pthread_join(w[i].thread, NULL);
	for (unsigned i = 0; i < started; i++) {
		if (w[i].result < 0 && r == 0) {
			r = w[i].result;
			if (err)
				err_move(err, &w[i].err);
		}
		err_done(&w[i].err);
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "server/worker.h"

#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"

#define LOOK_MS  1000
#define JOBS_MAX 256

struct workers {
	const struct worker_config *config;
	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t woken;
	uint64_t wakes; /* how often there may have been something to do */
	unsigned busy;  /* threads that look for jobs or run them */
	int64_t told_ns;
	bool ending;
	struct cancel stop_idle; /* replaced under the mutex */
};

/* Waits for a wake that came after *@seen. False at the end. */
static bool wait_wake(struct workers *w, uint64_t *seen)
{
	bool go;

	(void) pthread_mutex_lock(&w->mutex);
	while (w->wakes == *seen && !w->ending)
		(void) pthread_cond_wait(&w->woken, &w->mutex);
	*seen = w->wakes;
	go = !w->ending;
	(void) pthread_mutex_unlock(&w->mutex);
	return go;
}

static void count_busy(struct workers *w, int by)
{
	(void) pthread_mutex_lock(&w->mutex);
	w->busy = (unsigned) ((int) w->busy + by);
	(void) pthread_mutex_unlock(&w->mutex);
}

static void *work(void *arg)
{
	struct workers *w = arg;
	uint64_t seen = 0;

	while (wait_wake(w, &seen)) {
		auto_err struct err e = ERR_INIT;
		int r;

		count_busy(w, 1);
		r = arm_work(w->config->arm, NULL, NULL, w->config->cancel, &e);
		count_busy(w, -1);

		/* The next look comes within a second, so what passes needs no more than that. */
		if (r < 0 && !cancel_check(w->config->cancel))
			log_warn("worker.failed", "error=%s", err_str(&e));
	}
	return NULL;
}

static void wake(struct workers *w, bool all)
{
	(void) pthread_mutex_lock(&w->mutex);
	w->wakes++;
	if (all) {
		w->told_ns = time_mono_ns();
		cancel_set(&w->stop_idle, -ECANCELED);
	}
	if (all)
		(void) pthread_cond_broadcast(&w->woken);
	else
		(void) pthread_cond_signal(&w->woken);
	(void) pthread_mutex_unlock(&w->mutex);
}

/* Nobody works, and nobody was told of work for a while. With the mutex held. */
static bool quiet(const struct workers *w)
{
	return w->busy == 0 &&
	       time_mono_ns() - w->told_ns >= (int64_t) w->config->idle_ms * 1000000;
}

/* True with a fresh @w->stop_idle when there is time; false at the end. */
static bool wait_idle(struct workers *w)
{
	bool go = false;

	(void) pthread_mutex_lock(&w->mutex);
	while (!w->ending && !go) {
		struct timespec until;

		(void) clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		go = quiet(w);
		if (!go)
			(void) pthread_cond_timedwait(&w->woken, &w->mutex, &until);
	}
	if (w->ending)
		go = false;
	if (go && cancel_check(&w->stop_idle)) {
		cancel_done(&w->stop_idle);
		go = cancel_init(&w->stop_idle) == 0;
	}
	(void) pthread_mutex_unlock(&w->mutex);
	return go;
}

static void *idle(void *arg)
{
	struct workers *w = arg;

	(void) setpriority(PRIO_PROCESS, 0, 19); /* of this thread and those that it starts */
	while (wait_idle(w)) {
		struct pollfd p = {.fd = w->stop_idle.event_fd, .events = POLLIN};

		(void) poll(&p, 1, w->config->idle(w->config->idle_arg, &w->stop_idle));
	}
	return NULL;
}

/* Everything that waits in the socket counts as one wake. */
static void drain(int fd)
{
	char c[16];

	while (recv(fd, c, sizeof(c), MSG_DONTWAIT) >= 0)
		;
}

/* Jobs that the chores start are found by the look that follows. */
static void do_chores(const struct worker_config *c, int64_t *next_ns)
{
	int64_t now = time_mono_ns();

	if (!c->chores || now < *next_ns)
		return;
	*next_ns = now + (int64_t) c->chores_ms * 1000000;
	c->chores(c->chores_arg);
}

static void look(struct workers *w)
{
	int64_t next = 0;

	struct pollfd fds[] = {
		{.fd = w->config->cancel->event_fd, .events = POLLIN},
		{.fd = w->config->wake_fd, .events = POLLIN},
	};

	while (!cancel_check(w->config->cancel)) {
		bool told = fds[1].revents != 0;

		if (told)
			drain(fds[1].fd);
		do_chores(w->config, &next);
		wake(w, told);
		fds[1].revents = 0;
		(void) poll(fds, ARRAY_SIZE(fds), LOOK_MS);
	}
}

int worker_run(const struct worker_config *c, struct err *err)
{
	struct workers w = {
		.config = c, .mutex = PTHREAD_MUTEX_INITIALIZER, .woken = PTHREAD_COND_INITIALIZER};
	pthread_t threads[JOBS_MAX], idler;
	unsigned n = 0, want = c->jobs < JOBS_MAX ? c->jobs : JOBS_MAX;
	bool idles = false;
	int r = -cancel_init(&w.stop_idle);

	w.told_ns = time_mono_ns();
	for (; n < want && r == 0; n += r == 0)
		r = pthread_create(&threads[n], NULL, work, &w);
	if (r == 0 && c->idle) {
		r = pthread_create(&idler, NULL, idle, &w);
		idles = r == 0;
	}
	if (r == 0)
		look(&w);
	(void) pthread_mutex_lock(&w.mutex);
	w.ending = true;
	cancel_set(&w.stop_idle, -ECANCELED);
	(void) pthread_cond_broadcast(&w.woken);
	(void) pthread_mutex_unlock(&w.mutex);
	while (n > 0)
		(void) pthread_join(threads[--n], NULL);
	if (idles)
		(void) pthread_join(idler, NULL);
	cancel_done(&w.stop_idle);
	(void) pthread_cond_destroy(&w.woken);
	(void) pthread_mutex_destroy(&w.mutex);
	return r != 0 ? err_set(err, -r, "cannot start a thread") : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "bake/run.h"
#include "base/mem.h"
#include "base/timeutil.h"

struct watchdog {
	pthread_t thread;
	int stop_fd;
	int64_t end_ns;
	struct cancel *cancel;
};

static void *watch(void *arg)
{
	struct watchdog *w = arg;
	struct pollfd p = {.fd = w->stop_fd, .events = POLLIN};

	for (;;) {
		int64_t left_ms = (w->end_ns - time_mono_ns()) / 1000000 + 1;

		if (left_ms <= 1) {
			cancel_set(w->cancel, -ETIME);
			return NULL;
		}
		if (poll(&p, 1, left_ms > 3600000 ? 3600000 : (int) left_ms) > 0)
			return NULL;
	}
}

int watchdog_start(uint64_t timeout_s, struct cancel *cancel, struct watchdog **ret,
		   struct err *err)
{
	struct watchdog *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->cancel = cancel;
	w->end_ns = time_mono_ns() + (int64_t) timeout_s * 1000000000;
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	r = w->stop_fd < 0 ? errno : pthread_create(&w->thread, NULL, watch, w);
	if (r != 0) {
		closep(&w->stop_fd);
		free(w);
		return err_set(err, -r, "time limit: %s", strerror(r));
	}
	*ret = w;
	return 0;
}

void watchdog_stop(struct watchdog *w)
{
	if (!w)
		return;
	(void) eventfd_write(w->stop_fd, 1);
	(void) pthread_join(w->thread, NULL);
	closep(&w->stop_fd);
	free(w);
}

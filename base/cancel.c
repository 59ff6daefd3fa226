/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cancel.h"

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int cancel_init(struct cancel *c)
{
	atomic_init(&c->set, false);
	atomic_init(&c->reason, 0);
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return c->event_fd < 0 ? -errno : 0;
}

void cancel_set(struct cancel *c, int reason)
{
	const uint64_t one = 1;
	int saved = errno, none = 0;

	/* The reason before the flag: who sees the flag must find a reason. */
	(void) atomic_compare_exchange_strong(&c->reason, &none, reason < 0 ? reason : -ECANCELED);
	atomic_store(&c->set, true);
	if (c->event_fd >= 0)
		/* EAGAIN would mean that the counter is full, hence readable already. */
		while (write(c->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	errno = saved;
}

void cancel_done(struct cancel *c)
{
	int saved = errno;

	if (!c)
		return;
	if (c->event_fd >= 0)
		(void) close(c->event_fd);
	c->event_fd = -1;
	errno = saved;
}

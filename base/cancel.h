/* SPDX-License-Identifier: Apache-2.0 */
/* Cancellation: a flag plus a descriptor that becomes readable, so that waits can end. */
#ifndef KILN_BASE_CANCEL_H
#define KILN_BASE_CANCEL_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct cancel {
	atomic_bool set;
	atomic_int reason; /* negative errno: -ECANCELED (a person), -ETIME (time limit) */
	int event_fd;      /* readable once set; poll it with your I/O; -1 before init */
};

/** cancel_init() - Return 0 or -errno. */
int cancel_init(struct cancel *c);
/** cancel_set() - async-signal-safe; idempotent; the first reason stays. */
void cancel_set(struct cancel *c, int reason);
/** cancel_check() - 0, or the reason once set. NULL is never cancelled. */
static inline int cancel_check(struct cancel *c)
{
	return c && atomic_load(&c->set) ? atomic_load(&c->reason) : 0;
}
void cancel_done(struct cancel *c);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container executor below its vtable: steps with crun on an open overlay chain. Apart from
 * the store, so that a chain over any NBD server will do.
 */
#ifndef KILN_BAKE_CONTAINER_H
#define KILN_BAKE_CONTAINER_H

#include "bake/chain.h"
#include "bake/executor.h"

struct container {
	struct chain *chain; /* borrowed */
	struct journal *journal;
	struct cancel *cancel;
	const struct event_sink *events;
	uint64_t memory_bytes; /* of a step; 0 = three quarters of the host's */
};

/** container_run() - executor_ops.run() */
int container_run(struct container *c, const struct executor_cmd *cmd, struct proc_result *ret,
		  struct err *err);
/** container_put(), container_get() - executor_ops.put(), get() on a root directory. */
int container_put(int rootfd, int fd, const char *dest, unsigned mode, unsigned uid, unsigned gid,
		  struct err *err);
int container_get(int rootfd, const char *src, int fd, struct err *err);

/* The policy file that keeps package scripts from starting services. */
struct policy {
	bool shown;  /* the image has its own: ours is mounted over it */
	bool placed; /* the image had none: ours is there until policy_remove() */
	ino_t ino;
};
int policy_place(int rootfd, struct policy *p, struct err *err);
int policy_remove(int rootfd, struct policy *p, struct err *err);

/* A proxy process for one step. */
struct step_proxy;
/** step_proxy_listen() - a proxy on a listening socket (borrowed) of the caller's. */
int step_proxy_listen(const struct container *c, const struct executor_net *net, int listen_fd,
		      struct step_proxy **ret, struct err *err);
/** step_proxy_start() - @ret_net_fd: what the sandbox sends the listening socket over; the
 *  caller closes it after the step, which ends the proxy. */
int step_proxy_start(const struct container *c, const struct executor_net *net,
		     struct step_proxy **ret, int *ret_net_fd, struct err *err);
void step_proxy_stop(struct step_proxy *p); /* NULL is fine */

/** container_env() - the fixed environment, overridden by @given, with the proxy at @proxy
 *  ("HOST:PORT", NULL = none); new vector or NULL when memory ran out. */
char **container_env(const char *const *given, const char *proxy);

#endif

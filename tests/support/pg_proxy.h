/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands between libpq and a server's socket, understands where a client's message ends, and cuts
 * one connection at a chosen message. Failures end the test.
 */
#ifndef KILN_TESTS_SUPPORT_PG_PROXY_H
#define KILN_TESTS_SUPPORT_PG_PROXY_H

#include <stdbool.h>

struct pg_proxy;

enum pg_cut {
	PG_CUT_BEFORE,   /* the message does not arrive */
	PG_CUT_AFTER,    /* it arrives; the client is cut off at once */
	PG_CUT_ANSWERED, /* the server has answered; nothing of that reaches the client */
	PG_CUT_HALF,     /* half of the answer does */
	PG_CUT_MAX
};

/** pg_proxy_start() - @dir: a directory for its socket, named as PostgreSQL's is; @server: the
 *  path of the server's socket. */
struct pg_proxy *pg_proxy_start(const char *dir, const char *server);
void pg_proxy_stop(struct pg_proxy *p);
/** pg_proxy_cut() - cut at message number @n from now on (from 1, over all connections, the startup
 *  message included); 0 = never. */
void pg_proxy_cut(struct pg_proxy *p, enum pg_cut how, unsigned n);
/** pg_proxy_did() - was a connection cut since pg_proxy_cut()? */
bool pg_proxy_did(struct pg_proxy *p);

#endif

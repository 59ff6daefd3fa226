/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPS in front of arm_handle(), by libmicrohttpd. docs/server.md tells what it promises to
 * clients and administrators.
 *
 * Threads: libmicrohttpd's (epoll, two for TLS, one for the Unix socket) read, answer what only
 * reads, and send; a pool does what may wait; one watches deadlines (conn.h). No thread belongs to
 * a connection.
 */
#ifndef KILN_SERVER_SERVER_H
#define KILN_SERVER_SERVER_H

#include <sys/types.h>

#include "arm/arm.h"
#include "login/login.h"
#include "server/settings.h"
#include "server/tls.h"

struct server_config {
	struct arm *arm;                   /* borrowed, as everything here, until server_stop() */
	struct login *login;               /* NULL: nobody has a token, only local owners enter */
	const struct arm_principal *owner; /* who root and @owner_uid are on the Unix socket */
	uid_t owner_uid;                   /* of the data directory */
	const struct server_settings *settings;
	struct tls *tls;       /* the first certificate; taken, also when the server cannot start */
	const char *wake_path; /* the worker's socket (worker.h), or NULL */
	int tcp_fd;            /* listening, or -1; both are closed by server_stop() */
	int unix_fd;           /* listening, or -1 */
	bool reads_may_wait;   /* the database is not on this host: reads go to the pool too */
};

struct server;
/** server_start() - answers requests when it returns. 0 or -errno. */
int server_start(const struct server_config *c, struct server **ret, struct err *err);
/** server_certificate() - handshakes from now on get this one, connections keep what they have.
 *  Takes @tls. -EINVAL: not one that TLS can use; then nothing changes. */
int server_certificate(struct server *s, struct tls *tls, struct err *err);
/** server_stop() - accept no more, let requests end for @grace_ms at most, close everything. */
void server_stop(struct server *s, unsigned grace_ms);

#endif

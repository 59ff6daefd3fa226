/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: who is there, how many from where, and until when each may take for what it does.
 *
 * libmicrohttpd's own timeout counts idle time, which one byte now and then prolongs for ever. Here
 * every phase has a deadline; a thread looks once a second and shuts down what is late, which
 * libmicrohttpd then sees as closed by the peer.
 *
 * Locks: conns.mutex guards the list and the counts. A conn's own fields belong to the thread that
 * libmicrohttpd serves it in, except the atomics.
 */
#ifndef KILN_SERVER_CONN_H
#define KILN_SERVER_CONN_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/err.h"
#include "server/guard.h"

enum conn_phase {
	CONN_NEW,  /* TLS handshake, nothing asked yet */
	CONN_HEAD, /* from the first byte of a request */
	CONN_BODY,
	CONN_WORK, /* ours to answer: no deadline */
	CONN_SEND,
	CONN_IDLE, /* between requests */
};

struct conn_limits {
	unsigned total, per_address; /* connections */
	unsigned new_s, head_s, body_s, send_s, idle_s;
	unsigned bytes_per_s; /* least rate of bodies, on top of the seconds */
};

struct certificates;
struct conns;
struct conn {
	struct conns *owner;
	struct certificates *certs; /* borrowed: what handshakes present */
	struct conn *next, *prev;
	int fd;     /* borrowed from libmicrohttpd */
	bool local; /* over the Unix socket: no TLS, credentials known, bytes not seen */
	bool counted;
	uid_t uid; /* with @local */
	struct guard guard;
	char *host;     /* owned: the last Host that was looked at, or NULL */
	char *base_url; /* owned: with that host, if the certificate is good for it */
	/* A head on its way, which waits for the beginning of its body: conn_cork() */
	bool corked;
	char *packet;                            /* owned: NULL until the head came */
	size_t head_n, body_n, packet_n, sent_n; /* bytes */
	uint64_t handled;                        /* requests that reached the handler */
	_Atomic int phase;
	_Atomic int64_t deadline_ns;
	int64_t phase_ns;    /* when the phase began */
	uint8_t address[16]; /* v4 as mapped v6; of v6 the first 8 bytes count */
	char peer[64];       /* for people: "192.0.2.1", "unix:0" */
};

/** conns_new() - @certs: borrowed, for conn.certs. Return: 0 or -errno. conns_free(): after the
 * daemons were stopped. */
int conns_new(const struct conn_limits *l, struct certificates *certs, struct conns **ret,
	      struct err *err);
void conns_free(struct conns *cs);

/** conns_count() - open now. conns_refused(), conns_late(): since the start. */
unsigned conns_count(struct conns *cs);
uint64_t conns_refused(struct conns *cs);
uint64_t conns_late(struct conns *cs);

/** conns_quiet() - from now on close connections as soon as they are idle (graceful stop). */
void conns_quiet(struct conns *cs);
/** conns_wait() - until none works on or sends an answer, or @timeout_ms. True when none does. */
bool conns_wait(struct conns *cs, unsigned timeout_ms);

/* Callbacks for libmicrohttpd; @cls is the struct conns. */
enum MHD_Result conn_accept(void *cls, const struct sockaddr *addr, socklen_t n);
void conn_notify(void *cls, struct MHD_Connection *c, void **ctx,
		 enum MHD_ConnectionNotificationCode code);
/** conn_of_mhd() - ours of a connection of libmicrohttpd's; NULL when memory had run out. */
struct conn *conn_of_mhd(struct MHD_Connection *c);

/** conn_read() - bytes that arrived, filtered in place: see guard_filter(). */
size_t conn_read(struct conn *c, char *p, size_t n, size_t size);
/** conn_phase() - a phase begins; @bytes are expected in it. */
void conn_phase(struct conn *c, enum conn_phase phase, uint64_t bytes);
/** conn_cork() - what is sent next is a head that a body of @body_n bytes follows: they leave in
 *  one TLS record. */
void conn_cork(struct conn *c, size_t body_n);
/** conn_send() - send or keep; @send is what sends, as gnutls_record_send(). */
typedef ssize_t conn_send_fn(void *session, const void *data, size_t n);
ssize_t conn_send(struct conn *c, conn_send_fn *send, void *session, const void *data, size_t n);
/** conn_progress() - @bytes more of a body of unknown length: the deadline moves. */
void conn_progress(struct conn *c, uint64_t bytes);

#endif

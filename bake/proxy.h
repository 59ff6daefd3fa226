/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allow-listing proxy's decisions, apart from its sockets (proxy.c has those): which names and
 * ports may be reached, which addresses never, what a request asks for. Pure functions.
 */
#ifndef KILN_BAKE_PROXY_H
#define KILN_BAKE_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

#define PROXY_HEAD_MAX    16384u /* request line and headers, bytes */
#define PROXY_HOST_MAX    256u
#define PROXY_CONNECTIONS 64u

/* How far the operator (not the template's author) vouches for a host. */
enum proxy_trust {
	PROXY_TRUST_NONE, /* public addresses only */
	PROXY_TRUST_HOST, /* named without a port: private and special-use addresses too */
	PROXY_TRUST_PORT, /* named with this very port: loopback too (a local package cache) */
};
/** proxy_address_ok() - may this address be connected to? Unspecified, multicast, link-local and
 *  so the metadata service never. */
bool proxy_address_ok(const struct sockaddr *sa, enum proxy_trust trust);

/** proxy_allowed() - does @list ("host:port", "*.suffix:port", "host" = ports 80 and 443) hold
 *  @host:@port? Case does not matter, a trailing dot of @host neither. */
bool proxy_allowed(const char *const *list, const char *host, unsigned port);
/** proxy_entry_check() - is @entry well-formed? 0 or -EINVAL naming what is wrong. */
int proxy_entry_check(const char *entry, struct err *err);
/** proxy_trusted() - how far @list ("host" or "host:port") vouches for @host:@port. */
enum proxy_trust proxy_trusted(const char *const *list, const char *host, unsigned port);

struct proxy_request {
	bool connect;              /* CONNECT host:port */
	char host[PROXY_HOST_MAX]; /* without brackets */
	unsigned port;
	/* For others: the request as the origin server gets it (origin form, hop-by-hop headers
	 * and credentials for us removed, Connection: close). Owned. */
	char *forward;
	size_t forward_bytes;
	uint64_t body_bytes; /* Content-Length */
	bool chunked;
};
void proxy_request_done(struct proxy_request *r);

/**
 * proxy_parse() - a request head, up to and with the empty line
 *
 * Strict: one absolute http:// URI or CONNECT authority, no user information, no white space
 * tricks, no line folding, at most one Content-Length or Transfer-Encoding: chunked.
 * Return: 0, -EINVAL, -ENOMEM.
 */
int proxy_parse(const char *head, size_t n, struct proxy_request *ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard: reads the bytes of a connection before libmicrohttpd does and lets through only what
 * every HTTP/1.1 implementation frames in the same way. Pure.
 *
 * Why it reads bytes: what libmicrohttpd 0.9.75 hands to its callbacks does not show everything
 * that matters. Seen with it, whatever MHD_OPTION_STRICT_FOR_CLIENT says:
 *	- Transfer-Encoding together with Content-Length, duplicates of both and of Host, codings
 *	  other than chunked (then the body is read to the end of the connection), a request without
 *	  Host and "Name : v" are accepted; these are visible in the list of headers.
 *	- a NUL in a header's value or in the target hides what follows it: "chunked\0x" arrives as
 *	  "chunked". Not visible.
 *	- a folded line is joined to the name before it: "Transfer-Encoding:\r\n chunked" arrives as
 *	  the header "Transfer-Encodingchunked" and the body as the next request. Not visible.
 *	- a line may end with LF alone, in the head and in chunk sizes; in a chunk's extension it
 *	  ends the size. A CR alone is part of a value. Not visible.
 *	- spaces inside the target and around it are kept; HTTP/1.2 and chunks in HTTP/1.0 are
 *	  accepted; trailers may repeat Content-Length and Host.
 * RFC 9112, sections 2.2 to 7 and 11; RFC 9110, section 5.
 */
#ifndef KILN_SERVER_GUARD_H
#define KILN_SERVER_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_WORD_MAX 80 /* bytes kept of a name or value; longer ones are none that matter */

/* What one head says about framing. */
struct guard_head {
	bool v10; /* HTTP/1.0 */
	bool has_length, chunked;
	unsigned n_host, n_length, n_coding, n_headers;
	uint64_t length; /* of the body, with @has_length */
};

struct guard {
	int state;
	struct guard_head head;
	uint64_t left;      /* bytes of the body or chunk that are still to come */
	uint64_t heads;     /* complete heads so far */
	unsigned line;      /* bytes of the current part of a line */
	const char *reason; /* static text: why the connection is refused; NULL = it is not */
	char name[GUARD_WORD_MAX], value[GUARD_WORD_MAX];
	unsigned name_n, value_n; /* GUARD_WORD_MAX = longer */
	const char *poison;       /* what is left to feed to libmicrohttpd; see guard_filter() */
};

/** guard_init() - a new connection. */
void guard_init(struct guard *g);

/** guard_feed() - take the next @n bytes. Return: how many of them are fine: fewer than @n once
 *  something is wrong (@g->reason is set and stays). */
size_t guard_feed(struct guard *g, const char *p, size_t n);

/** guard_filter() - the same in place: bytes in @p[@n] of a buffer of @size. From the first wrong
 *  byte on they are replaced by ones that make libmicrohttpd answer 400 and close, in the order of
 *  the requests. Return: bytes for libmicrohttpd; 0 when nothing may reach it any more. */
size_t guard_filter(struct guard *g, char *p, size_t n, size_t size);

/** guard_header() - one header as somebody else parsed it, for connections whose bytes are not
 *  seen. guard_end() - after the last. Return: NULL, or why the request is refused. */
const char *guard_header(struct guard_head *h, const char *name, size_t name_n, const char *value,
			 size_t value_n);
const char *guard_end(const struct guard_head *h);

/** guard_target() - may this raw target be routed? NULL, or why not. */
const char *guard_target(const char *target);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands between an HTTP client and a server on loopback and cuts connections at a chosen request.
 * A request is whatever the client sends after an answer, or first. Failures end the test.
 */
#ifndef KILN_TESTS_SUPPORT_HTTP_CUT_H
#define KILN_TESTS_SUPPORT_HTTP_CUT_H

#include <stdbool.h>

struct http_cut;

enum http_cut_how {
	HTTP_CUT_REQUEST, /* it does not arrive; nor does any later one until http_cut_at() */
	HTTP_CUT_ANSWER,  /* it does; of its answer nothing reaches the client */
};

/** http_cut_start() - @port: the server's; *@ret_port: where clients go instead. */
struct http_cut *http_cut_start(unsigned port, unsigned *ret_port);
void http_cut_stop(struct http_cut *h);
/** http_cut_at() - request number @n from now on, from 1, over all connections; 0 = none. */
void http_cut_at(struct http_cut *h, enum http_cut_how how, unsigned n);
/** http_cut_did() - was one cut since? */
bool http_cut_did(struct http_cut *h);

#endif

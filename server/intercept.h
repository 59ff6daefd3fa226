/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the guard sits. libmicrohttpd reads a TLS connection by gnutls_record_recv() of the shared
 * library; this program has a function of that name, which the dynamic linker prefers, and which
 * passes what was read through the connection's guard. Nothing else in the process calls it.
 */
#ifndef KILN_SERVER_INTERCEPT_H
#define KILN_SERVER_INTERCEPT_H

#include "base/err.h"

/** intercept_check() - does the linker give libmicrohttpd our function? Call before the first
 *  connection. 0, or -ENOSYS. */
int intercept_check(struct err *err);

#endif

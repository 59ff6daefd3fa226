/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the guard sits. libmicrohttpd reads a TLS connection by gnutls_record_recv() of the shared
 * library; this program has a function of that name, which the dynamic linker prefers, and which
 * passes what was read through the connection's guard. Nothing else in the process calls it.
 */
#ifndef KILN_SERVER_INTERCEPT_H
#define KILN_SERVER_INTERCEPT_H

#include <gnutls/abstract.h>

#include "base/err.h"

/** intercept_check() - does the linker give libmicrohttpd our function? Call before the first
 *  connection. 0, or -ENOSYS. */
int intercept_check(struct err *err);

/** intercept_certificate() - gnutls_certificate_retrieve_function2: what the connection's server
 *  presents now. Here, since a session is all that GnuTLS tells. */
int intercept_certificate(gnutls_session_t session, const gnutls_datum_t *issuers, int n_issuers,
			  const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
			  gnutls_pcert_st **ret, unsigned *ret_n, gnutls_privkey_t *ret_key);

#endif

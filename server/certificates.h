/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What handshakes present, replaced while serving. One that was presented stays until the server
 * ends: a handshake or a look at its names may be under way. There are few of them.
 */
#ifndef KILN_SERVER_CERTIFICATES_H
#define KILN_SERVER_CERTIFICATES_H

#include <gnutls/abstract.h>

#include "server/tls.h"

struct certificates;

int certificates_new(struct certificates **ret, struct err *err);
void certificates_free(struct certificates *cs); /* NULL is fine */
/** certificates_add() - from now on this one; takes @tls, also on failure. 0, -EINVAL, -ENOMEM. */
int certificates_add(struct certificates *cs, struct tls *tls, struct err *err);
/** certificates_cover() - is the present one good for this host name or address? */
bool certificates_cover(struct certificates *cs, const char *host);
/** certificates_present() - for GnuTLS, which keeps nothing and frees nothing. */
void certificates_present(struct certificates *cs, gnutls_pcert_st **ret, unsigned *ret_n,
			  gnutls_privkey_t *ret_key);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates. A data directory has a certificate authority of its own, whose certificate
 * (DIR/tls/ca.pem, "caFile" in admin.json) is what clients are told to trust, and a server
 * certificate signed by it. Keys are ECDSA P-256: small, quick handshakes, known to every client.
 */
#ifndef KILN_SERVER_TLS_H
#define KILN_SERVER_TLS_H

#include <stdbool.h>

#include "base/err.h"

#define TLS_CA_DAYS     3650
#define TLS_SERVER_DAYS 397 /* some clients trust no certificate for longer */
#define TLS_RENEW_DAYS  60  /* before its end a certificate is made anew */

/**
 * tls_ensure() - make what is missing in @dir: ca.key, ca.pem, server.key, server.pem
 * @names: further names and addresses of the server, ends with NULL; may be NULL. 127.0.0.1, ::1,
 *         localhost and the host's name are always covered.
 *
 * Renews a server certificate that ends soon, that lacks a name, or that another authority signed;
 * an authority that ends soon is replaced, and clients need the new ca.pem. Files are written
 * atomically, keys with mode 0600. Call it from one process at a time (the data directory's lock).
 * Return: 0, -EINVAL (a name is none) or another -errno.
 */
int tls_ensure(const char *dir, const char *const *names, struct err *err);

/* A certificate (chain) and its key, as PEM. */
struct tls;
/** tls_load() - Return: 0, -EINVAL (not PEM, the key is another's, expired), or -errno. */
int tls_load(const char *cert_path, const char *key_path, struct tls **ret, struct err *err);
void tls_free(struct tls *t); /* NULL is fine; wipes the key */
const char *tls_cert_pem(const struct tls *t);
const char *tls_key_pem(const struct tls *t);
/** tls_covers() - is the certificate good for this host name or address ("[::1]" too)? */
bool tls_covers(const struct tls *t, const char *host);

#endif

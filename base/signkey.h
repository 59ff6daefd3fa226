/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys in files that only their owner reads, and Ed25519 signatures (RFC 8032) by such a
 * key over bytes of a named purpose.
 */
#ifndef KILN_BASE_SIGNKEY_H
#define KILN_BASE_SIGNKEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

/** pkey_read() - a private key in PEM. -ENOENT (no message), -EACCES (others may read it),
 *  -EBADMSG, or another -errno. */
int pkey_read(const char *path, struct evp_pkey_st **ret, struct err *err);
/** pkey_write() - atomically, mode 0600. */
int pkey_write(const char *path, struct evp_pkey_st *key, struct err *err);

#define SIGNKEY_ID 17 /* bytes with the NUL */

struct signkey;

/** signkey_open() - the Ed25519 key in @path; with @make a new one when there is none (two at once
 *  make one). -ENOENT without, otherwise as pkey_read(). */
int signkey_open(const char *path, bool make, struct signkey **ret, struct err *err);
void signkey_free(struct signkey *k); /* NULL is fine */
/** signkey_id() - 16 hex digits that stand for the public half. */
const char *signkey_id(const struct signkey *k);
/** signkey_sign() - base64; @purpose keeps signatures of one use from fitting another. Caller
 *  frees; NULL on ENOMEM. */
char *signkey_sign(const struct signkey *k, const char *purpose, const void *p, size_t n);
/** signkey_verify() - 0 or -EBADMSG. */
int signkey_verify(const struct signkey *k, const char *purpose, const void *p, size_t n,
		   const char *signature);

#endif

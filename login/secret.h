/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that somebody has to show again: made here, kept only as scrypt hashes
 * ("$scrypt$ln=14,r=8,p=1$SALT$HASH", standard base64). Pure but for random numbers; every call of
 * secret_hash() and secret_check() costs tens of milliseconds and 16 to 64 MiB.
 */
#ifndef KILN_LOGIN_SECRET_H
#define KILN_LOGIN_SECRET_H

#include "base/err.h"

#define SECRET_TEXT        65  /* bytes of a secret that kiln makes, with the NUL */
#define SECRET_HINT        3   /* first characters, which are shown */
#define SECRET_BYTES_MAX   256 /* of any secret that is looked at */
#define PASSWORD_BYTES_MIN 12  /* of one that a person chose */

enum secret_kind {
	SECRET_MADE,   /* 256 random bits: nobody guesses it, whatever the hash costs */
	SECRET_CHOSEN, /* by a person: 64 MiB a try */
};

/** secret_new() - 64 hex digits into @dst[SECRET_TEXT]. 0 or -errno. */
int secret_new(char *dst, struct err *err);
/** secret_hash() - caller frees. 0, -EINVAL (too long or empty), -ENOMEM, -EIO. */
int secret_hash(const char *secret, enum secret_kind kind, char **ret, struct err *err);
/** secret_check() - is it the secret of @hash? 0, -EACCES (no), -EBADMSG (no hash), -ENOMEM. */
int secret_check(const char *secret, const char *hash, struct err *err);

#endif

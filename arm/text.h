/* SPDX-License-Identifier: Apache-2.0 */
/* Text of URLs. Pure. */
#ifndef KILN_ARM_TEXT_H
#define KILN_ARM_TEXT_H

#include <stdbool.h>

#include "base/buf.h"

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/** percent_decode() - in place. @query: '+' is a space and "%2F" is allowed; a path refuses it.
 *  0, or -EINVAL (bad escape, "%00", in a path "%2F"). */
int percent_decode(char *s, bool query);
/** percent_encode() - append with everything but unreserved characters and those in @keep
 *  escaped. */
int percent_encode(struct buf *out, const char *s, const char *keep);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_BASE_UTF8_H
#define KILN_BASE_UTF8_H

#include <stddef.h>

/** utf8_seq() - length of the well-formed UTF-8 sequence at the start of @p: 1..4, or 0 when the
 *  bytes are none (stray, overlong, surrogate, above U+10FFFF, cut off) or @n is 0. */
size_t utf8_seq(const unsigned char *p, size_t n);

#endif

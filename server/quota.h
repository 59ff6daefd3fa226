/* SPDX-License-Identifier: Apache-2.0 */
/* How many requests a principal may send in five minutes. What is left is told in the headers
 * x-ms-ratelimit-remaining-subscription-reads and -writes. Safe from many threads. */
#ifndef KILN_SERVER_QUOTA_H
#define KILN_SERVER_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct quota;
/** quota_new() - @reads and @writes of one principal in five minutes. 0 or -ENOMEM. */
int quota_new(uint64_t reads, uint64_t writes, struct quota **ret, struct err *err);
void quota_free(struct quota *q);

/** quota_take() - one request of a principal. Return: how many are left; -1: none was, and the next
 *  comes in *@ret_retry_s. */
int64_t quota_take(struct quota *q, const char *principal, bool write, unsigned *ret_retry_s);

#endif

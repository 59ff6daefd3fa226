/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: path, query options. Pure. */
#ifndef KILN_ARM_QUERY_H
#define KILN_ARM_QUERY_H

#include <stddef.h>

#include "base/err.h"

#define QUERY_MAX  32    /* options */
#define TARGET_MAX 16384 /* bytes of a target */

struct target {
	char *path; /* owned: still percent-encoded */
	struct {
		char *key;   /* owned: decoded, lower-cased */
		char *value; /* owned: decoded */
	} query[QUERY_MAX];
	size_t n_query;
};

/** target_parse() - "/path?k=v", or an absolute URL whose scheme and host are dropped.
 *  0, -EINVAL or -ENOMEM. */
int target_parse(const char *text, struct target *ret, struct err *err);
void target_done(struct target *t);
#define auto_target __attribute__((cleanup(target_done)))

/** target_query() - value of an option, key without case; NULL when absent. */
const char *target_query(const struct target *t, const char *key);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The access log: one JSON object a line for each request. Paths are logged, query options only by
 * name: their values may be secrets (signatures of URLs, tokens). */
#ifndef KILN_SERVER_ACCESS_H
#define KILN_SERVER_ACCESS_H

#include <stdint.h>

#include "base/err.h"

struct access_log;
/** access_open() - @path: a file, made with mode 0600 and put aside as PATH.1 to PATH.4 whenever it
 *  has @max_bytes; "stderr"; or "off". 0 or -errno. */
int access_open(const char *path, uint64_t max_bytes, struct access_log **ret, struct err *err);
void access_close(struct access_log *l); /* NULL is fine */

struct access_entry {
	const char *peer, *principal, *method, *target; /* may be NULL */
	int status;
	int64_t ns;
	uint64_t bytes_in, bytes_out;
	const char *request_id, *correlation_id, *operation_id; /* may be NULL */
	const char *detail; /* what happened behind a 5xx, for people of this host */
};
/** access_write() - safe from many threads. Lines are in the file some 50 ms later, or when the log
 *  is closed; those that cannot be written are counted. */
void access_write(struct access_log *l, const struct access_entry *e);
uint64_t access_lost(struct access_log *l);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Counters for Prometheus. Safe from many threads; nothing waits. */
#ifndef KILN_SERVER_METRICS_H
#define KILN_SERVER_METRICS_H

#include <stdint.h>

#include "arm/arm.h"
#include "base/buf.h"

struct metrics;
/** metrics_new() - @arm knows the resource types that requests are told apart by. */
int metrics_new(const struct arm *arm, struct metrics **ret, struct err *err);
void metrics_free(struct metrics *m);

/** metrics_count() - one answered request. @type: of the resource, "login", "blob", "metrics",
 *  "healthz", or NULL: none of them. */
void metrics_count(struct metrics *m, const char *method, int status, const char *type, int64_t ns,
		   uint64_t bytes_in, uint64_t bytes_out);
/** metrics_operation() - one operation was started. */
void metrics_operation(struct metrics *m);
/** metrics_text() - what was counted, in Prometheus' text format (version 0.0.4). */
void metrics_text(struct metrics *m, struct buf *out);
/** metrics_value() - one further line with its HELP and TYPE. */
void metrics_value(struct buf *out, const char *name, const char *type, const char *help,
		   uint64_t value);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* "server" of kiln.yaml, with defaults and bounds; docs/config.md has the table. */
#ifndef KILN_SERVER_SETTINGS_H
#define KILN_SERVER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "server/conn.h"

#define SERVER_HEAD_MAX    (16u << 10) /* bytes of request line and headers */
#define SERVER_TARGET_MAX  (8u << 10)  /* bytes of a raw target */
#define SERVER_HEADERS_MAX 100
#define SERVER_BODY_MAX    ((4u << 20) + (64u << 10)) /* 4 MiB and what a client puts around */

enum server_metrics { METRICS_LOCAL, METRICS_PUBLIC, METRICS_OFF };

struct server_settings {
	const char *certificate, *key; /* paths; NULL = the data directory's own */
	const char **names;            /* owned vector of borrowed texts; NULL-terminated */
	const char *access_log;        /* path, "stderr" or "off"; NULL = in the data directory */
	uint64_t access_log_bytes;     /* size at which the file is put aside */
	enum server_metrics metrics;
	struct conn_limits limits;
	unsigned threads, pool;
	uint64_t body_budget;   /* bytes of all bodies that are being received */
	uint64_t reads, writes; /* of a principal in five minutes */
	unsigned workers;       /* jobs at the same time */
};

/** settings_read() - from kiln.yaml (borrowed). 0, -EINVAL or -ENOMEM. */
int settings_read(const json_t *config, struct server_settings *ret, struct err *err);
void settings_done(struct server_settings *s);

#endif

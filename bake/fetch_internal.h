/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by fetch.c (cache, file:) and fetch_https.c. */
#ifndef KILN_BAKE_FETCH_INTERNAL_H
#define KILN_BAKE_FETCH_INTERNAL_H

#include "bake/fetch.h"

/* A file on its way into the cache, journalled until it is named after its content. */
struct fetch_tmp {
	char *path;
	int fd;
	uint64_t bytes;
	struct sha256_ctx *hash;
	struct journal_entry *entry;
};

uint64_t fetch_limit(const struct fetcher *f);
int fetch_tmp_open(struct fetcher *f, struct fetch_tmp *ret, struct err *err);
int fetch_tmp_write(struct fetch_tmp *t, const void *p, size_t n);
/** fetch_tmp_keep() - check the digest and give the file its name in the cache. */
int fetch_tmp_keep(struct fetcher *f, struct fetch_tmp *t, const char *uri, const char *sha256,
		   struct fetched *ret, struct err *err);
void fetch_tmp_done(struct fetch_tmp *t);

int fetch_https(struct fetcher *f, const char *uri, const char *sha256, struct fetched *ret,
		struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that a template names: file: (in-process callers only) and https:. Each is copied to
 * DATA/cache/files under the digest of its content before anybody reads it, so what was hashed is
 * what is used.
 */
#ifndef KILN_BAKE_FETCH_H
#define KILN_BAKE_FETCH_H

#include "base/cancel.h"
#include "base/event.h"
#include "base/hash.h"
#include "base/journal.h"
#include "base/json.h"

#define FETCH_MAX_BYTES (1ull << 30) /* unless kiln.yaml says fetch.maxBytes */
#define FETCH_REDIRECTS 5

struct fetcher {
	const char *dir; /* DATA/cache/files; made on first use */
	struct journal *journal;
	const json_t *config; /* kiln.yaml as JSON: fetch.{allowPrivate,maxBytes,caFile,proxy} */
	bool local_files;     /* file: URIs are allowed */
	struct cancel *cancel;
	const struct event_sink *events;
};

struct fetched {
	struct digest digest;
	uint64_t bytes;
	char *path;      /* owned: the cached copy, mode 0600 */
	bool executable; /* a file: source that its owner may execute */
};
void fetched_done(struct fetched *f);

/**
 * fetch_uri() - a local copy of what @uri names
 * @sha256: the digest it must have, or NULL; with it, a copy in the cache is used as it is
 *
 * https: certificates are checked, redirects stay https, and every address connected to must be
 * public unless fetch.allowPrivate is true.
 * Return: 0, -EBADMSG (checksum), -EFBIG, -EACCES (address or scheme refused), -ENOENT, the
 * cancel reason, or -EIO.
 */
int fetch_uri(struct fetcher *f, const char *uri, const char *sha256, struct fetched *ret,
	      struct err *err);

/** fetch_path() - the path of a file: URI; caller frees; NULL on ENOMEM or a bad escape. */
char *fetch_path(const char *uri);

/** fetch_name() - what people call it: a file: URI's last part, any other URI itself. */
const char *fetch_name(const char *uri);

/** fetch_bytes() - put @n bytes into the cache under their digest. */
int fetch_bytes(struct fetcher *f, const void *data, size_t n, struct fetched *ret,
		struct err *err);

#endif

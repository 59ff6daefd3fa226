/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the package archives offer now, as an input of steps that may reach them: the digests of
 * their signed release files, asked for like a URL before any key is made. So a step that installs
 * or upgrades packages runs again when an archive changed, and only then.
 */
#ifndef KILN_BAKE_ARCHIVE_H
#define KILN_BAKE_ARCHIVE_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/event.h"
#include "base/hash.h"
#include "base/json.h"

#define ARCHIVE_FRESH_S 60 /* an answer this young is used by the next run too */

struct archive_env {
	const char *dir;       /* DATA/cache/archive; made on first use */
	const json_t *sources; /* platform.sources of kiln.yaml, or NULL = the host's */
	const char *suite;
	struct cancel *cancel;
	const struct event_sink *events;
};

/**
 * archive_state() - what the signed release files say
 * @ret: {"NAME": HEX}: of each release file the SHA-256 of what it says but its dates and
 *	signature, which a mirror renews without a change; null when no archive was ever reached.
 *	New reference.
 *
 * Signatures are checked. When the archive cannot be reached, the last answer counts, and a notice
 * says so. Runs of one data directory ask one after another. Return: 0, -EACCES (a signature or
 * date is not accepted), or another -errno.
 */
int archive_state(const struct archive_env *env, json_t **ret, struct err *err);

/** archive_release_digest() - of the text of one InRelease or Release file. 0 or -ENOMEM. */
int archive_release_digest(const char *text, size_t n, struct digest *ret);

#endif

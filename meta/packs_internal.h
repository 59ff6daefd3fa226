/* SPDX-License-Identifier: Apache-2.0 */
/* What packs.c and pack_roots.c share. */
#ifndef KILN_META_PACKS_INTERNAL_H
#define KILN_META_PACKS_INTERNAL_H

#include "meta/db.h"
#include "meta/packs.h"

#define PAGE 1000 /* rows at a time of a list */

/** packs_session_check() - -ESTALE unless the session is there with this token. */
int packs_session_check(struct db *db, const struct session_key *k, struct err *err);
/** packs_count_removed() - @n changes that may have made something unreachable, for the collector's
 *  sanity check. */
int packs_count_removed(struct db *db, int64_t n, struct err *err);

#endif

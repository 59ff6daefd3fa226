/* SPDX-License-Identifier: Apache-2.0 */
/* What the journal and its kinds share. */
#ifndef KILN_BASE_JOURNAL_INTERNAL_H
#define KILN_BASE_JOURNAL_INTERNAL_H

#include "base/journal.h"

/** journal_kind_find() - the kind's undo function, NULL for a kind that we do not know. */
journal_undo_fn *journal_kind_find(const char *kind);

/** journal_check_path() - is @path (of the fact @key) absolute, with at least @components names,
 * none of them "." or ".."? Return: 0 or -EINVAL. */
int journal_check_path(const char *path, const char *key, unsigned components, struct err *err);

/** journal_undo_cgroup() - the kind "cgroup", see base/journal_kinds.c. */
int journal_undo_cgroup(const json_t *facts, bool same_boot, struct err *err);

#endif

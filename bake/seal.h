/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generalize: seal_root() removes identity and traces from a mounted root; verify_disk() is other
 * code, reading the finished disk without mounting it (libext2fs over a store reader), and any
 * finding blocks the publication. docs/generalize.md lists every operation.
 */
#ifndef KILN_BAKE_SEAL_H
#define KILN_BAKE_SEAL_H

#include "base/err.h"
#include "base/json.h"
#include "store/store.h"

/* Raise it with any change of what seal_root() does to a disk: it is part of step keys. */
#define SEAL_VERSION 2

/** seal_root() - run every operation beneath @rootfd, never following links out of it.
 *  @ret_report: [{"operation","changed":N}], new reference. A removal that cannot be confirmed
 *  fails. */
int seal_root(int rootfd, json_t **ret_report, struct err *err);

/** seal_verify_disk() - check a finished disk. @ret_findings: [{"check","path","detail"}], new
 *  reference, empty array when clean. Return 0 also with findings. */
int seal_verify_disk(struct store *s, unsigned region, const struct disk_ref *disk,
		     json_t **ret_findings, json_t **ret_facts, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of temporary things. Whatever kiln makes outside a transaction and must not outlive
 * its owner (a file, directory, mount, loop device, process, cgroup, network namespace, export
 * name, VM) is written here *before* it exists, as one small fsynced file DIR/journal/ID.json
 * holding the kind, its facts, and the owner (pid, start time, boot id). journal_recover() undoes
 * the entries whose owner is gone, newest first, and never touches anything else.
 */
#ifndef KILN_BASE_JOURNAL_H
#define KILN_BASE_JOURNAL_H

#include "base/err.h"
#include "base/json.h"

struct journal;
struct journal_entry; /* one registered thing */

/* How to undo one kind of thing. Must be idempotent: what is absent is success. @facts is what
 * was registered. @same_boot is false when the machine was restarted since (processes, mounts and
 * loops are then gone by themselves). Kinds are rows of one table in base/journal_kinds.c, which
 * also tells how to add one:
 *   file {path}                  one name: file, socket, link
 *   tree {path}                  directory with all in it; at least two names deep
 *   process {pid,start,pgid}     start: proc_start_ticks(); pgid only when equal to pid. Register
 *                                {name} before the start, the rest by journal_update()
 *   mount {path}                 with everything mounted below it
 *   loop {backing,device}        device may be missing: found by the backing file
 *   cgroup {path} or {paths:[]}  kills what is in it and below, v1 and v2
 *   netns {path}                 bound there as `ip netns` does
 * All paths are absolute. */
typedef int journal_undo_fn(const json_t *facts, bool same_boot, struct err *err);

/** journal_open() - @dir, the journal's own directory (DIR/journal), is made on first use (mode
 *  0700). The handle may be used from many threads; close it after the last entry is released.
 *  Return 0 or -errno. */
int journal_open(const char *dir, struct journal **ret, struct err *err);
void journal_close(struct journal *j);

/**
 * journal_add() - register a thing before making it
 * @facts: stolen; strings and integers
 *
 * Durable on return. Return: 0 or -errno; *@ret is released by journal_drop() or _undo().
 */
int journal_add(struct journal *j, const char *kind, json_t *facts, struct journal_entry **ret,
		struct err *err);
/** journal_update() - add facts learnt later (e.g. the pid or loop number); durable; steals. */
int journal_update(struct journal_entry *e, json_t *more, struct err *err);
/** journal_drop() - the thing is gone or has become permanent: forget it. NULL is fine. Releases
 *  @e in any case. Return: 0, or -errno when the entry may still be on disk: who made the thing
 *  permanent must then fail, for a later recovery would remove it. */
int journal_drop(struct journal_entry *e);
/** journal_undo() - run the kind's undo now, then forget. When undo failed the entry stays on disk
 *  for journal_recover(); @e is released in any case. NULL is fine. Return: 0 or -errno. */
int journal_undo(struct journal_entry *e, struct err *err);

/** journal_recover() - undo everything of dead owners, newest first. @ret_undone may be NULL.
 *  Waits while another process recovers the same journal. Blocks for what undoing takes.
 *  Return: 0, or the first failure after trying all. */
int journal_recover(struct journal *j, unsigned *ret_undone, struct err *err);

#endif

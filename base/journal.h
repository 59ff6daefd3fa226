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

#include "base/json.h"

struct journal;
struct journal_entry; /* one registered thing */

/* How to undo one kind of thing. Must be idempotent: what is absent is success. @facts is what
 * was registered. @same_boot is false when the machine was restarted since (processes, mounts and
 * loops are then gone by themselves). Kinds are registered in one table, in base/journal_kinds.c:
 * file {path}, tree {path}, process {pid,start,pgid}, mount {path}, loop {device,backing},
 * cgroup {path}, netns {path}. */
typedef int journal_undo_fn(const json_t *facts, bool same_boot, struct err *err);

/** journal_open() - @dir is made on first use (mode 0700). Return 0 or -errno. */
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
/** journal_drop() - the thing is gone or has become permanent: forget it. NULL is fine. */
void journal_drop(struct journal_entry *e);
/** journal_undo() - run the kind's undo now, then forget. Keeps the entry when undo failed. */
int journal_undo(struct journal_entry *e, struct err *err);

/** journal_recover() - undo everything of dead owners. @ret_undone may be NULL.
 *  Return: 0, or the first failure after trying all. */
int journal_recover(struct journal *j, unsigned *ret_undone, struct err *err);

#endif

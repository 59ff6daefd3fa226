/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup per step: limits where the host lends controllers (v2, or v1 memory and pids on hybrid
 * and v1 hosts), and killing of everything in it. Journalled before it is made; removing it is
 * the journal's undo.
 */
#ifndef KILN_BAKE_CGROUP_H
#define KILN_BAKE_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/journal.h"

struct cgroup_limits {
	uint64_t memory_bytes; /* 0 = none */
	uint64_t pids;         /* 0 = none */
};

struct cgroup {
	char **procs;      /* NULL-terminated cgroup.procs paths that the process enters; owned */
	char *kill;        /* path of cgroup.kill, or NULL where the kernel has none; owned */
	char *parent;      /* directory to remove when empty, or NULL; owned */
	bool memory, pids; /* which limits are in force */
	struct journal_entry *entry;
};

/**
 * cgroup_new() - make cgroups named kiln-ID in every hierarchy that is writable
 *
 * A host that lends nothing gives an empty set: the pid namespace still ends everybody, and
 * @ret->memory and @ret->pids say that no limit is in force. Return: 0 or -errno.
 */
int cgroup_new(struct journal *j, const struct cgroup_limits *limits, struct cgroup *ret,
	       struct err *err);
/** cgroup_free() - kill what is left in it, remove it. Safe on a zeroed struct. */
int cgroup_free(struct cgroup *c, struct err *err);

/* Where cgroups are mounted and where this process is; for tests and `cgroup_new`. Empty strings
 * for what is absent. Pure parsers of /proc/self/mountinfo and /proc/self/cgroup. */
struct cgroup_layout {
	char v2[256];                        /* mount point of the unified hierarchy */
	char memory[256], pids[256];         /* mount points of v1 controllers */
	char own_memory[512], own_pids[512]; /* this process's path below them, "/" at least */
};
void cgroup_layout_parse(const char *mountinfo, const char *self, struct cgroup_layout *ret);

#endif

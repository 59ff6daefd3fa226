/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of bake/chain.h share. */
#ifndef KILN_BAKE_CHAIN_INTERNAL_H
#define KILN_BAKE_CHAIN_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "bake/chain.h"
#include "bake/qmp.h"
#include "disk/gpt.h"

#define CHAIN_QMP_MS 20000

struct chain {
	char *scratch;
	struct journal *journal;
	struct cancel *cancel;
	uint64_t size_bytes;
	/* storage daemon */
	pid_t pid;
	int pidfd, life_fd; /* closing life_fd ends the daemon */
	struct journal_entry *process_entry;
	struct qmp *qmp;
	/* overlays, oldest first; the last one takes the writes */
	char **overlays;
	struct journal_entry **overlay_entries;
	size_t n_overlays;
	char *export_path; /* mount point of the FUSE file, a plain file outside */
	struct journal_entry *export_entry;
	int disk_fd; /* the FUSE file */
	/* root */
	uint64_t part_offset, part_bytes;
	uint64_t esp_offset; /* EFI system partition; 0 = none */
	char device[32];
	int loop_fd, mount_fd, root_fd;
	struct journal_entry *loop_entry;
	struct fsmap before; /* what held nothing at the last seal, or at the start */
	bool broken;
	/* root in user space */
	bool userspace;
	char *mount_point;
	pid_t fuse_pid;
	int fuse_pidfd, fuse_life; /* closing fuse_life ends it */
	struct journal_entry *fuse_entry;
};

int chain_new(const struct chain_spec *spec, struct chain **ret, struct err *err);
/** chain_daemon_start() - the storage daemon with the first overlay, or the sealed one, exported;
 * sets disk_fd. */
int chain_daemon_start(struct chain *c, const struct chain_spec *spec, struct err *err);
/** chain_daemon_stop() - end it; safe when not started. */
void chain_daemon_stop(struct chain *c);
/** chain_overlay_new() - an empty qcow2 file of the disk's size at the end of the list. */
int chain_overlay_new(struct chain *c, struct err *err);
/** chain_find_root() - read the partition table through disk_fd, growing the last partition when
 *  the disk is larger than @base_bytes; sets part_offset and part_bytes. */
int chain_find_root(struct chain *c, uint64_t base_bytes, struct err *err);
/** chain_mount() - loop device and detached mount; @grow resizes the file system to its partition.
 */
int chain_mount(struct chain *c, bool grow, struct err *err);
/* chain_user.c: the same in user space; the file system is clean after chain_user_umount(). */
int chain_user_mount(struct chain *c, struct err *err);
int chain_user_umount(struct chain *c, struct err *err);
/** chain_umount() - safe when not mounted. */
void chain_umount(struct chain *c);

#endif

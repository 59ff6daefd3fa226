/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay chain that shows a disk as a writable, mounted root at once, whatever its size:
 *
 *	NBD export (read-only base) <- qcow2 overlay <- storage daemon's FUSE file
 *	<- loop device over the root partition's window <- ext4, mounted but attached nowhere
 *
 * Nothing is visible outside: the FUSE mount lives in the daemon's own mount namespace, the loop
 * device detaches itself with its last user, the root is a detached mount, and the daemon is
 * killed when this process ends. So a kill -9 leaves only scratch files, and those are journalled.
 */
#ifndef KILN_BAKE_CHAIN_H
#define KILN_BAKE_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "bake/fsmap.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/journal.h"

struct chain;

struct chain_spec {
	const char *socket;      /* Unix socket of the NBD server */
	const char *export_name; /* "" or NULL = the default export */
	uint64_t base_bytes;     /* size of the base disk */
	uint64_t
		grow_to_bytes; /* larger than the base: grow disk, partition, file system; 0 = no */
	const char *scratch;   /* directory for overlays and mount points; exists */
	struct journal *journal;
	struct cancel *cancel; /* may be NULL */
	bool userspace;        /* the root's file system is not this kernel's to read */
	const char *sealed;    /* chain_scrub(): this overlay, read only, in place of a new one */
};

/**
 * chain_open() - attach and mount read-write
 *
 * About 0.1 s. Return: 0; -EOPNOTSUPP (no GPT, no ext4 root: the message names another executor);
 * the cancel reason; or -errno. On failure nothing is left.
 */
int chain_open(const struct chain_spec *spec, struct chain **ret, struct err *err);
/** chain_close() - unmount, detach, stop the daemon, remove the overlays. NULL is fine. Prompt
 *  also when writes are pending. */
void chain_close(struct chain *c);

/** chain_rootfd() - readable directory descriptor of the root; borrowed. */
int chain_rootfd(const struct chain *c);
/** chain_device() - "/dev/loopN"; a second mount of it shares the superblock. */
const char *chain_device(const struct chain *c);
/** chain_fstype() - "ext4". */
const char *chain_fstype(const struct chain *c);
/** chain_broken() - true after a failed thaw or a daemon that ended: only chain_close() is left. */
bool chain_broken(const struct chain *c);

/* One sealed overlay: what changed since the last seal (or since the base). */
struct chain_sealed {
	char *path;       /* owned; the file stays until chain_close() */
	struct fsmap map; /* what holds nothing, as of the seal */
};
void chain_sealed_done(struct chain_sealed *s);

/**
 * chain_seal() - freeze the present state into a sealed overlay and go on in a new one
 *
 * Sync, trim, freeze, map free space, external snapshot, thaw. Nobody may write meanwhile but
 * whoever does only waits.
 */
int chain_seal(struct chain *c, struct chain_sealed *ret, struct err *err);

/** chain_refresh_boot() - bring the boot programs' copies on the EFI system partition up to date
 * with the root's packages; for disks of kiln's own making. @ret_changed: how many differed. */
int chain_refresh_boot(struct chain *c, unsigned *ret_changed, struct err *err);

/**
 * chain_commit() - make a sealed overlay a disk of the store
 * @parent: the disk that lies below the overlay
 *
 * Zeroes in the overlay what holds nothing, then store_commit(). Durable on return.
 */
int chain_commit(const struct chain *c, const struct chain_sealed *s, struct store_session *ss,
		 unsigned region, const struct disk_ref *parent, struct disk_ref *ret,
		 struct store_stats *stats, struct err *err);

/**
 * chain_scrub() - zero in a sealed overlay what holds nothing, as chain_commit() does
 * @spec: the disk below it, and the overlay itself; others may read it meanwhile
 *
 * Only where the root is an ext4; else nothing is done and *@ret_done is false.
 */
int chain_scrub(const struct chain_spec *spec, const struct store_extent *extents, size_t n,
		bool *ret_done, struct err *err);

#endif

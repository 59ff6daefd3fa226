/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NBD exports. One nbdkit per run directory (RUN/nbd.sock) serves every export, so that one
 * verified cache serves all. An export's name is a random 128-bit capability: a file
 * RUN/exports/NAME that says which disk of which regions it shows; unlinking it revokes.
 *
 * The daemon lives as long as somebody holds RUN/nbd.alive, a FIFO, open for writing, or a client
 * is connected. The kernel closes the FIFO of a crashed user, so nothing is left to clean up.
 * RUN/nbd.stats (JSON) says what was read since the daemon started: it is written whenever a client
 * goes, and stays for who asks later.
 *
 * A daemon that dies is started again by its users, on the same socket and with the same exports: a
 * client that waits and connects anew, as QEMU does with reconnect-delay, goes on reading.
 *
 * RUN/exports/NAME.profile is what the daemon recorded for an export that asked for it.
 *
 * RUN/nbd.lock serialises starting and stopping; users also share a lock on RUN/nbd.users, by
 * which the last one knows that it may wait for the end.
 */
#ifndef KILN_STORE_EXPORT_H
#define KILN_STORE_EXPORT_H

#include "store/store.h"

#define NBD_STATS_NAME 12 /* digits of an export's name, in the statistics */

#define NBD_RECONNECT_S 30 /* how long clients should wait for another daemon */

struct nbd_host;   /* a hold on the running nbdkit */
struct nbd_export; /* one minted name */

/** nbd_host_acquire() - start nbdkit with kiln's plugin, or join the one that runs.
 *  @run_dir: short directory for sockets, made when absent; @plugin: path of the .so, or NULL =
 *  $KILN_NBD_PLUGIN, else beside the running program, else the installed one. Until released, a
 * thread keeps a daemon running. */
int nbd_host_acquire(struct store *s, const char *run_dir, const char *plugin,
		     struct nbd_host **ret, struct err *err);
/** nbd_host_release() - exports must be freed before. The last user waits until nbdkit has
 *  ended. NULL is fine. */
void nbd_host_release(struct nbd_host *h);
/** nbd_host_socket() - path of the Unix socket. */
const char *nbd_host_socket(const struct nbd_host *h);

/** nbd_host_fd() - a descriptor that poll(2) finds readable (POLLIN) once a daemon took the place
 * of one that died. */
int nbd_host_fd(const struct nbd_host *h);
/** nbd_host_revived() - how often that happened since the last call. Not blocking. */
uint64_t nbd_host_revived(struct nbd_host *h);

/** nbd_export_new() - mint a capability for a disk that a root of @region holds (-ENOENT if
 *  none); the disk stays alive until it is freed; journalled; @region is preferred for reads. */
int nbd_export_new(struct nbd_host *h, unsigned region, const struct disk_ref *disk,
		   struct nbd_export **ret, struct err *err);
enum nbd_export_flags {
	NBD_EXPORT_RECORD = 1 << 0, /* keep what is read first as the disk's boot profile */
	NBD_EXPORT_PLAY = 1 << 1,   /* fetch ahead by the disk's boot profile, if it has one */
};
/** nbd_export_new_with() - the same with flags. What was recorded is kept when the export is freed;
 *  the client should have gone before. */
int nbd_export_new_with(struct nbd_host *h, unsigned region, const struct disk_ref *disk,
			unsigned flags, struct nbd_export **ret, struct err *err);
/** nbd_export_bytes() - read through it so far, as RUN/nbd.stats last said: up to 1 MiB behind; 0
 *  when nobody read or no client is connected. */
uint64_t nbd_export_bytes(const struct nbd_export *e);
/** nbd_export_name() - 32 hex digits. */
const char *nbd_export_name(const struct nbd_export *e);
void nbd_export_free(struct nbd_export *e); /* revokes; NULL is fine */

#endif

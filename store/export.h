/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NBD exports. One nbdkit per data directory (RUN/nbd.sock) serves every export, so that one
 * verified cache serves all. An export's name is a random 128-bit capability: a file
 * RUN/exports/NAME that says which disk of which regions it shows; unlinking it revokes. Users of
 * the daemon hold a shared lock; the last to leave stops it.
 */
#ifndef KILN_STORE_EXPORT_H
#define KILN_STORE_EXPORT_H

#include "store/store.h"

struct nbd_host;   /* a hold on the running nbdkit */
struct nbd_export; /* one minted name */

/** nbd_host_acquire() - start nbdkit with kiln's plugin, or join the one that runs.
 *  @run_dir: short directory for sockets; @plugin: path of the .so or NULL = beside the binary,
 *  else the installed one. The process is journalled. */
int nbd_host_acquire(struct store *s, const char *run_dir, const char *plugin,
		     struct nbd_host **ret, struct err *err);
void nbd_host_release(struct nbd_host *h); /* NULL is fine */
/** nbd_host_socket() - path of the Unix socket. */
const char *nbd_host_socket(const struct nbd_host *h);

/** nbd_export_new() - mint a capability for a rooted disk; journalled; first region preferred. */
int nbd_export_new(struct nbd_host *h, unsigned region, const struct disk_ref *disk,
		   struct nbd_export **ret, struct err *err);
/** nbd_export_name() - 32 hex digits. */
const char *nbd_export_name(const struct nbd_export *e);
void nbd_export_free(struct nbd_export *e); /* revokes */

#endif

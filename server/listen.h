/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: made here, or inherited from whoever started the process. */
#ifndef KILN_SERVER_LISTEN_H
#define KILN_SERVER_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/** listen_tcp() - @where: "ADDR:PORT", "[V6]:PORT" or "ADDR:0" (the kernel chooses). *@ret_where is
 *  what was bound, in the same form; caller frees. 0, -EINVAL (what was given is none),
 *  -EADDRINUSE or another -errno. */
int listen_tcp(const char *where, int *ret_fd, char **ret_where, struct err *err);
/** listen_name() - "ADDR:PORT" of a listening socket; caller frees; NULL when it is no IP one. */
char *listen_name(int fd);
/** listen_unix() - a stream (or with @datagram a datagram) socket at @path with @mode; one that is
 *  there is replaced, unless a process still answers on it (-EADDRINUSE). */
int listen_unix(const char *path, bool datagram, mode_t mode, int *ret_fd, struct err *err);

/** listen_inherited() - sockets that systemd (or our own supervisor) passed: LISTEN_PID,
 *  LISTEN_FDS. A Unix socket becomes *@ret_unix, an IP one *@ret_tcp; both stay -1 when there is
 *  none. The environment is cleared. 0 or -errno. */
int listen_inherited(int *ret_tcp, int *ret_unix, struct err *err);

/** notify_systemd() - tell systemd ("READY=1", or @state) if it wants to know: NOTIFY_SOCKET. */
void notify_systemd(const char *state);

#endif

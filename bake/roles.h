/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry points of the helper roles that the program re-executes itself in. Neither is for people:
 * each gets what it needs as descriptors, does one thing with few rights, and dies with its caller.
 * argv[0] is the role's word ("sandbox", "proxy"), options follow.
 */
#ifndef KILN_BAKE_ROLES_H
#define KILN_BAKE_ROLES_H

/**
 * sandbox_main() - one confined command, or one confined daemon
 *
 *	sandbox step --spec-fd N --status-fd N --life-fd N
 *	sandbox guard --life-fd N [--keep-fd N] [--grace-ms N] -- PROGRAM ARGUMENT...
 *	sandbox thaw --life-fd N --keep-fd N
 *
 * `step` runs what the JSON document in N says with crun (see sandbox.h) and exits with the
 * command's status; 125 when it could not be set up, then the reason is in the status file.
 * `guard` runs a program in a private mount namespace. Both kill all that they started as soon
 * as the other end of the life pipe closes. `thaw` thaws the file system of the kept directory
 * then, unless a byte came first. Single-threaded by design: it forks.
 */
int sandbox_main(int argc, char **argv);

/**
 * proxy_main() - HTTP proxy with an allow list, as an unprivileged user
 *
 *	proxy (--recv-fd N | --listen-fd N) [--report-fd N] [--uid N] [--allow HOST:PORT]...
 *	      [--trusted HOST]...
 *
 * The listening socket is inherited, or received over the socket N (SCM_RIGHTS). Ends when the
 * other side of N closes. One JSON object per denied request is written to the report
 * descriptor.
 */
int proxy_main(int argc, char **argv);

#endif

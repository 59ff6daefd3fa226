/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `kiln sandbox step` is told, as one JSON document in a file descriptor:
 *
 *	device	"/dev/loop3": block device that holds the root file system (mounted here a second
 *		time: both mounts share one superblock)
 *	fstype	"ext4"
 *	crun	absolute path of the runtime
 *	config	the OCI configuration, written to bundle/config.json
 *	files	[{"name","fd","mode"}] copied to files/NAME
 *	policy	true: write bundle/policy-rc.d, which refuses to start services
 *	netFd	socket over which the listening descriptor of 127.0.0.1:3128 is sent, or -1
 *	cgroups	paths of cgroup.procs files that the command enters
 *	terminal true: hand the controlling terminal over
 */
#ifndef KILN_BAKE_SANDBOX_H
#define KILN_BAKE_SANDBOX_H

#include "base/err.h"
#include "base/json.h"

/* Container ids 0..SANDBOX_IDS-1 are these ids on the host. On disk they stay 0..: the mount maps
 * them. Nothing else on the host should use the range. */
#define SANDBOX_FIRST_ID 1000000u
#define SANDBOX_IDS      65536u

/* A tmpfs is mounted here, seen by the step's helper alone: root/ the image (idmapped), bundle/ the
 * OCI bundle, files/ the step's files, crun/ its state. A path whose every parent may be passed
 * by the container's ids, which a data directory of mode 0700 may not. */
#define SANDBOX_WORK "/tmp"

#define SANDBOX_PROXY_PORT 3128
#define SANDBOX_PROXY      "127.0.0.1:3128" /* what a step sees */
#define SANDBOX_EXIT_SETUP 125              /* the command could not be set up */
#define SANDBOX_EXIT_EXEC  127              /* argv[0] cannot be executed in the image */
#define SANDBOX_SPEC_MAX   (1u << 20)

/** sandbox_step() - run the step that @spec describes; @life_fd ends it when its peer closes.
 *  Return: the command's exit status, SANDBOX_EXIT_EXEC, or -errno with @err set. */
int sandbox_step(const json_t *spec, int life_fd, struct err *err);

/** sandbox_wait() - wait for @pid; end it when @life_fd hangs up or a TERM, INT or HUP comes. The
 *  caller has blocked these and CHLD. @grace_ms: TERM before KILL; 0 = KILL at once.
 *  Return: wait status or -errno. */
int sandbox_wait(int pid, int life_fd, int grace_ms);

/** sandbox_mounts() - on SANDBOX_WORK, mount the private tmpfs, the idmapped root and crun's
 * directories. */
int sandbox_mounts(const json_t *spec, struct err *err);
/** sandbox_netns() - lo up, 127.0.0.1:3128 bound, its listening descriptor sent over @fd (-1 = only
 *  lo). The caller is in a new network namespace. */
int sandbox_netns(int fd, struct err *err);

#endif

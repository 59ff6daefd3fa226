/* SPDX-License-Identifier: Apache-2.0 */
/* An nbdkit of a test's own. */
#ifndef KILN_TEST_VM_NBD_H
#define KILN_TEST_VM_NBD_H

#include <sys/inotify.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

struct nbd {
	pid_t pid;
	int pidfd;
};

/** nbd_start() - returns once it serves on DIR/@sock; it writes its pid file then. */
static inline void nbd_start(struct nbd *n, const char *dir, const char *sock, const char *plugin,
			     const char *arg)
{
	auto_free char *nbdkit = NULL, *pid = path_join(dir, "nbd.pid");
	auto_fd int watch = inotify_init1(IN_CLOEXEC);
	char events[4096] __attribute__((aligned(8)));

	assert_int_equal(proc_find("nbdkit", "nbdkit", &nbdkit, NULL), 0);
	const char *const argv[] = {nbdkit, "-f", "-r", "-P", pid, "-U", sock, plugin, arg, NULL};
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1};

	assert_true(inotify_add_watch(watch, dir, IN_CLOSE_WRITE) >= 0);
	assert_int_equal(proc_spawn(&spec, -1, &n->pid, &n->pidfd, NULL), 0);
	while (!file_exists(pid))
		assert_true(read(watch, events, sizeof(events)) > 0);
}

static inline void nbd_stop(struct nbd *n)
{
	if (n->pid > 0)
		(void) proc_stop(n->pid, n->pidfd, 2000);
	if (n->pid > 0)
		(void) close(n->pidfd);
	n->pid = 0;
}

#endif

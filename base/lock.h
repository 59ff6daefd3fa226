/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advisory locks between processes (and between descriptors of one process) on a whole file, as
 * open file description locks: closing the descriptor or the end of the process releases them.
 */
#ifndef KILN_BASE_LOCK_H
#define KILN_BASE_LOCK_H

#include "base/err.h"

enum lock_flags {
	LOCK_SHARED = 0,
	LOCK_EXCLUSIVE = 1 << 0,
	LOCK_NONBLOCK = 1 << 1, /* -EAGAIN when somebody else holds it */
};

/**
 * lock_file() - open @path (made with mode 0600 when absent, never through a link) and lock it
 * @flags:  enum lock_flags
 * @ret_fd: close it to unlock; the file itself stays, removing it would break the exclusion
 *
 * Blocks without LOCK_NONBLOCK. Return: 0, -EAGAIN, or another -errno.
 */
int lock_file(const char *path, unsigned flags, int *ret_fd, struct err *err);

#endif

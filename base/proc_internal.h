/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of base/proc.h share. */
#ifndef KILN_BASE_PROC_INTERNAL_H
#define KILN_BASE_PROC_INTERNAL_H

#include "base/proc.h"

#define PROC_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

/** proc_start() - start with @out_fd and @err_fd (borrowed) as standard output and error. */
int proc_start(const struct proc_spec *spec, int out_fd, int err_fd, pid_t *ret_pid, int *ret_pidfd,
	       struct err *err);

#endif

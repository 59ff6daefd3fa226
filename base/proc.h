/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subprocesses: argv vector, absolute program, explicit environment, posix_spawn only, own
 * process group, pidfd, default signals, descriptors above 2 closed except those declared.
 * Whole-tree kill: the process group, and the cgroup when one is given.
 */
#ifndef KILN_BASE_PROC_H
#define KILN_BASE_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"

enum proc_stream { PROC_STDOUT = 1, PROC_STDERR = 2 };

/* One line of output without its newline, bytes as they came; @n may be 0. Lines longer than
 * PROC_LINE_MAX are handed over in pieces. Called from proc_run()'s thread. */
#define PROC_LINE_MAX 8192
typedef void proc_line_fn(void *arg, enum proc_stream stream, const char *line, size_t n);

struct proc_spec {
	const char *const *argv; /* NULL-terminated; argv[0] absolute */
	const char *const *envp; /* NULL = PATH, LANG=C.UTF-8 and nothing else */
	const char *cwd;         /* NULL = "/" */
	int stdin_fd;            /* -1 or 0 = /dev/null */
	const void *input;       /* bytes written to standard input instead; NULL = none */
	size_t input_bytes;
	const int *keep_fds; /* given to the child at the same numbers (>= 3) */
	size_t n_keep_fds;
	uint64_t timeout_ms; /* 0 = none */
	uint64_t grace_ms;   /* TERM to KILL; 0 = 2000 */
	uint64_t max_output; /* bytes per stream handed on; more is dropped and counted; 0 = 64 MiB
			      */
	struct cancel *cancel; /* may be NULL */
	proc_line_fn *line;    /* NULL = discard, or collect into @out */
	void *line_arg;
	struct buf *out;         /* stdout collected here when not NULL (also with @line) */
	struct buf *errout;      /* stderr likewise; what does not fit is cut silently */
	const char *cgroup_kill; /* path of a cgroup.kill file to write on kill; NULL = none */
};

struct proc_result {
	int exit_code; /* 0..255; 128+signal when killed by one */
	int signal;    /* 0 or the signal that ended it */
	bool timed_out;
	bool cancelled;
	uint64_t dropped; /* output bytes over max_output */
	int64_t wall_ns;
};

/**
 * proc_run() - run to the end, streaming output
 *
 * On timeout or cancel: TERM to the group, KILL after grace (and @cgroup_kill at once), then
 * reaped. Also kills what the child left in its group. Return: 0 when it ran and was reaped
 * (see @ret, also for non-zero exits), -ETIME, the cancel reason, or -errno when it could not
 * start (-ENOENT names the program in @err). When @out could not hold all of standard output
 * (its maximum, @max_output, memory) the process still runs to its end, then -EFBIG or -ENOMEM:
 * a cut answer is never taken for a whole one. A descendant that escaped the group and keeps the
 * pipes open does not delay the return. @ret may be NULL; @spec is only borrowed.
 */
int proc_run(const struct proc_spec *spec, struct proc_result *ret, struct err *err);

/** proc_check() - proc_run() that fails with -EIO and the last stderr lines on a non-zero exit. */
int proc_check(const struct proc_spec *spec, struct err *err);

/** proc_spawn() - start and return at once; output goes to @log_fd (-1 = /dev/null, borrowed).
 *  Of @spec only the fields up to @keep_fds count. Reap with proc_stop(). To die with the parent
 *  is a matter of `kiln sandbox`.
 *  Return: 0 or -errno; *@ret_pidfd is owned by the caller. */
int proc_spawn(const struct proc_spec *spec, int log_fd, pid_t *ret_pid, int *ret_pidfd,
	       struct err *err);
/** proc_stop() - TERM, wait @grace_ms, KILL the group, reap. Safe when already gone; a process that
 *  is no child of ours is not reaped. @pidfd stays the caller's. Return: 0, -ETIME when it does
 *  not even die of SIGKILL, or -errno. */
int proc_stop(pid_t pid, int pidfd, uint64_t grace_ms);
/** proc_alive() - pid exists with this start time (field 22 of /proc/PID/stat) and has not ended
 *  (a zombie is not alive). */
bool proc_alive(pid_t pid, uint64_t start_ticks);
/** proc_start_ticks() - field 22 of /proc/PID/stat; 0 when gone. */
uint64_t proc_start_ticks(pid_t pid);
/** proc_self_exe() - path of the running kiln binary; cached; "" when unknown. Tests override it by
 * the environment variable KILN_EXE (an absolute path). */
const char *proc_self_exe(void);
/** proc_find() - absolute path of a program in /usr/sbin:/usr/bin:/sbin:/bin; caller frees; on
 * -ENOENT the error names the Debian package to install. */
int proc_find(const char *name, const char *package, char **ret, struct err *err);

/** proc_detach() - in a process that proc_spawn() started: go on as one that belongs to nobody, in
 * a session of its own; what was started ends with status 0. Before any thread. 0 or -errno. */
int proc_detach(void);

#endif

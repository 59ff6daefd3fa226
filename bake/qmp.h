/* SPDX-License-Identifier: Apache-2.0 */
/* A small QMP client (QEMU Machine Protocol) over a connected stream socket. */
#ifndef KILN_BAKE_QMP_H
#define KILN_BAKE_QMP_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/json.h"

struct qmp;

/**
 * qmp_open() - wait for the greeting and negotiate
 * @fd: connected socket; owned by the client from here on, also on failure
 *
 * Return: 0, -ETIMEDOUT, -EPIPE (the daemon ended), the cancel reason, or -errno.
 */
int qmp_open(int fd, int timeout_ms, struct cancel *cancel, struct qmp **ret, struct err *err);

/**
 * qmp_call() - one command and its answer; events in between are skipped
 * @args: stolen; may be NULL
 * @ret:  the "return" member, new reference; may be NULL
 *
 * An "error" answer is -EIO with its description. One thread at a time.
 */
int qmp_call(struct qmp *q, const char *command, json_t *args, int timeout_ms,
	     struct cancel *cancel, json_t **ret, struct err *err);

void qmp_close(struct qmp *q); /* NULL is fine */

#endif

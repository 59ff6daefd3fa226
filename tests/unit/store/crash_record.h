/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder of the power-cut test: a table of system calls (base/file.h) that makes each call
 * and notes those that change the store. One recording per process.
 */
#ifndef KILN_TESTS_CRASH_RECORD_H
#define KILN_TESTS_CRASH_RECORD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"

#define OPS_MAX   4096
#define PATH_ROOM 256

enum op_kind {
	OP_CREATE,
	OP_WRITE,
	OP_TRUNCATE,
	OP_SYNC,
	OP_SYNC_DIR,
	OP_RENAME,
	OP_UNLINK,
	OP_MKDIR
};

struct op {
	enum op_kind kind;
	char path[PATH_ROOM]; /* within the store */
	char to[PATH_ROOM];
	uint8_t *data;
	size_t n;
	uint64_t at;
	uint64_t wal; /* bytes of the database's log after the call */
};

struct recording {
	pthread_mutex_t lock;
	const char *store; /* absolute, with a slash at the end */
	struct op ops[OPS_MAX];
	unsigned n;
	bool overflow;
};
extern struct recording rec;

/** rec_wal() - bytes of the database's log now. */
uint64_t rec_wal(void);
/** rec_table() - put the recording calls into @t. */
void rec_table(struct sys *t);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The guest agent's files, for agent.c and exec.c. */
#ifndef KILN_VM_AGENT_H
#define KILN_VM_AGENT_H

#include "vm/internal.h"

#define AGENT_MS 60000 /* for one small command; emulated guests are slow */

int agent_open(struct vm *vm, const char *path, const char *mode, struct cancel *cancel,
	       json_int_t *ret, struct err *err);
/** agent_start() - guest-exec of a command whose output and end nobody waits for. */
int agent_start(struct vm *vm, const char *const *argv, struct cancel *cancel, json_int_t *ret_pid,
		struct err *err);
void agent_close(struct vm *vm, json_int_t handle);
/** agent_read() - at most @max bytes; *@ret_data is malloc'ed. */
int agent_read(struct vm *vm, json_int_t handle, unsigned max, struct cancel *cancel,
	       void **ret_data, size_t *ret_n, bool *ret_eof, struct err *err);

#endif

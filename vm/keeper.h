/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that outlives the command that started it belongs to a keeper: a process that holds the
 * guest's connection and its exports, answers requests on a socket, and says in a state file how
 * the guest is. The file is locked while the keeper lives, so who reads it knows what became of a
 * keeper that was killed.
 *
 * State: {"state": "starting"|"running"|"stopped", "agent": bool, "reason": "...", "since": "date",
 * "stages": {..}} and what the keeper adds.
 */
#ifndef KILN_VM_KEEPER_H
#define KILN_VM_KEEPER_H

#include "base/json.h"
#include "vm/vm.h"

/* A state file, open and locked. */
struct vm_state {
	char *path;
	int fd; /* the lock */
	json_t *doc;
};
/** vm_state_open() - @path is made (mode 0644) and locked; a file beside it, PATH.lock, is what is
 *  locked. Return: 0; -EAGAIN when another keeper lives. */
int vm_state_open(const char *path, struct vm_state *ret, struct err *err);
/** vm_state_set() - write what changed; steals @more. */
int vm_state_set(struct vm_state *s, json_t *more, struct err *err);
void vm_state_done(struct vm_state *s);

/** vm_state_read() - the state that @path says; of a keeper that is gone but did not end its guest,
 *  "stopped" with a reason; {"state":"stopped"} when there is no file. Needs no privileges. New
 *  reference; NULL on ENOMEM. */
json_t *vm_state_read(const char *path);

/* Something else that a keeper looks after, e.g. that the server of an export lives. */
struct vm_watch {
	int fd; /* -1 = nothing */
	short events;
	/* It may put another descriptor into @fd. < 0: the guest is ended, for this reason. */
	int (*ready)(struct vm_watch *w, struct err *err);
	void *arg;
};
struct vm_keep {
	struct vm *vm;
	const char *socket; /* made, and removed at the end */
	struct vm_state *state;
	struct vm_watch *watch;
	struct cancel *cancel; /* set: shut the guest down */
	int watch_failed;      /* internal: what @watch said while a command ran */
	int last_fd; /* out: the connection that asked for the end, or -1: close it last */
};
/** vm_keep() - serve until the guest has ended, of itself or because it was told to; frees @k->vm.
 *  The reason is in the state. 0 or -errno. */
int vm_keep(struct vm_keep *k, struct err *err);

/**
 * vm_keeper_call() - ask a keeper
 * @op: "stop" {"graceMs"}: end the guest; returns when the keeper has ended too;
 *	"exec" {"script","args":[],"timeoutMs"}: run a shell script, {"exitCode","output"}
 *("outputBase64" when it is not UTF-8)
 * @params: stolen; may be NULL
 *
 * Return: 0; -ENOTCONN when no keeper lives there; -ETIME; the cancel reason; or the keeper's
 *error.
 */
int vm_keeper_call(const char *socket, const char *op, json_t *params, uint64_t timeout_ms,
		   struct cancel *cancel, json_t **ret, struct err *err);

#endif

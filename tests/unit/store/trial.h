/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of faults, crashes and rot share: small stores to start from, the operations
 * under test, and the proof afterwards. Each trial works on a copy of a template and runs in a
 * child, so that recovery finds a dead owner.
 */
#ifndef TESTS_UNIT_STORE_TRIAL_H
#define TESTS_UNIT_STORE_TRIAL_H

#include <stdbool.h>

#include "store/maintain.h"

#define TRIAL_NAMES 4

/* What a store must hold: names and their disks' digests. */
struct trial_model {
	const char *names[TRIAL_NAMES];
	struct digest digests[TRIAL_NAMES];
	unsigned n;
	bool absent[TRIAL_NAMES]; /* its removal was acknowledged: it must not come back */
	bool nothing_aside;       /* nothing was damaged, so nothing is in quarantine */
};

struct trial {
	char *dir;       /* scratch: disks, templates */
	char *other;     /* a store that holds all disks, to replicate and heal from */
	char *templates; /* DIR/OPERATION is what an operation starts from */
	struct digest base, v1, more;
	int fd_base, fd_more, fd_over;
};

/* One thing that is done to a store. @publishes: the name it adds, or NULL. */
struct trial_op {
	const char *name;
	int (*run)(const struct trial *t, struct store *s, struct err *err);
	const char *publishes;
	const char *drops; /* a name it removes */
	bool heals;        /* starts damaged: whole only once it was done */
	bool encrypted;    /* starts encrypted, under a key that is the second one by now */
};

/* Told at each acknowledgement within an operation of several steps; may be NULL. */
extern void (*trial_acked)(const char *name, bool there);

extern const struct trial_op trial_ops[];
extern const unsigned n_trial_ops;

/** trial_new() - make the templates; ends the program on failure. @encrypted: the other store too.
 */
void trial_new(struct trial *t, bool encrypted);
void trial_free(struct trial *t);
/** trial_copy() - copy a store's directory, without lookup locks; made anew. */
int trial_copy(const char *from, const char *to);
/** trial_run() - open @store, run, close. */
int trial_run(const struct trial *t, const struct trial_op *op, const char *store, struct err *err);
/** trial_want() - what must hold after @op, done or not. */
void trial_want(const struct trial *t, const struct trial_op *op, bool done,
		struct trial_model *ret);
/**
 * trial_prove() - recover, check every byte, compare with the model
 * @heal: damage is expected; it must be healed from the other store
 *
 * Return: 0, or -EBADMSG with what is wrong in @err, or another -errno.
 */
int trial_prove(const struct trial *t, const char *store, const struct trial_model *want, bool heal,
		struct err *err);
/**
 * trial_survive() - after a disk that lied about syncs: the store opens, what is damaged is found,
 * none of it is read as if it were good, and it is healed from the other store
 * @ret_damaged: was anything?
 */
int trial_survive(const struct trial *t, const char *store, bool *ret_damaged, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of the audit log: its head, signed with this installation's key (DIR/audit.key), in
 * every region. Whoever can write the database can make a chain that fits, but none that holds the
 * checkpoints, as long as one region keeps them. A checkpoint is only made of a log that holds the
 * one before, so the newest speaks for all. docs/request-path.md has the format.
 */
#ifndef KILN_PROVIDERS_AUDIT_SEAL_H
#define KILN_PROVIDERS_AUDIT_SEAL_H

#include "base/timeutil.h"
#include "meta/audit.h"
#include "providers/app.h"

#define SEAL_ROWS 100   /* so many new records are not left without a checkpoint ... */
#define SEAL_MS   10000 /* ... nor any for longer, while a worker runs */

struct seal_point {
	struct audit_head head;
	uint64_t generation; /* raised by audit_seal_accept() */
	char time[ISO_MAX];
	unsigned region; /* position */
};

/** audit_seal() - bring a checkpoint of the present head to every region that lacks it; nothing
 *  when all have it. A region that cannot be written is logged, and fails the call at its end.
 *  -EBADMSG: the log does not hold the last checkpoint, and no new one is made. */
int audit_seal(struct app *a, struct err *err);

/** audit_seal_look() - a chore: audit_seal() when SEAL_ROWS or SEAL_MS ask for it. */
int audit_seal_look(struct app *a, struct err *err);

/** audit_seal_end() - before app_close(): a checkpoint of what this process added. Failures are
 *  logged. */
void audit_seal_end(struct app *a);

/** audit_seal_points() - the newest checkpoint in each region, those of the newest generation only;
 *  at most as many as there are regions. @ret: an array, caller frees; NULL when there are none.
 *  -EBADMSG: a checkpoint under this installation's name that it did not sign. */
int audit_seal_points(struct app *a, struct seal_point **ret, size_t *ret_n, struct err *err);

/** audit_seal_accept() - go on with a log that does not hold the last checkpoint, as after the
 *  database was restored from an older copy: a record says what is gone and why that is right, and
 *  a new generation begins. -EALREADY: it holds it. -EBADMSG: its own chain is broken. */
int audit_seal_accept(struct app *a, const char *reason, struct err *err);

#endif

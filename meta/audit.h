/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: changes, denials and reads of secrets, one row each, written in the transaction
 * of what it records. Rows are numbered in commit order without gaps and chained: a row's hash
 * covers the hash before it. The head (number and hash) is a row of its own that each insert
 * locks, which is what makes the order the order of commits on every database.
 */
#ifndef KILN_META_AUDIT_H
#define KILN_META_AUDIT_H

#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"
#include "meta/meta.h"

/** audit_add() - append @record (an object; borrowed) in the caller's transaction. Numbers, time
 *  and hashes are added here. */
int audit_add(struct meta *m, const json_t *record, struct err *err);

struct audit_head {
	int64_t seq; /* 0 = empty */
	struct digest hash;
};
int audit_head(struct meta *m, struct audit_head *ret, struct err *err);

/** audit_verify() - walk the chain from the start. @expect: @n heads noted earlier, which must
 *  still be in the chain (number 0 always is). -EBADMSG: the message says which row is wrong and
 *  how. */
int audit_verify(struct meta *m, const struct audit_head *expect, size_t n, int64_t *ret_rows,
		 struct err *err);

/** audit_extend() - walk it from a head noted earlier, which is believed, to its present one.
 *  -EBADMSG: it does not follow from @from. Costs what was added since. */
int audit_extend(struct meta *m, const struct audit_head *from, struct audit_head *ret,
		 struct err *err);

/** audit_each() - records with number > @after, ascending, as {"seq","time",...}; at most @limit.
 *  A non-zero return of @fn ends it and is returned. */
typedef int audit_fn(void *arg, int64_t seq, const json_t *record);
int audit_each(struct meta *m, int64_t after, unsigned limit, audit_fn *fn, void *arg,
	       struct err *err);

/** audit_back() - records with number < @before, newest first; at most @limit. */
int audit_back(struct meta *m, int64_t before, unsigned limit, audit_fn *fn, void *arg,
	       struct err *err);

#endif

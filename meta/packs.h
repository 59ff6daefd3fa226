/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the image store: sessions, packs, pins, roots and the epoch counter. They are the one
 * judge of what is alive; store/ decides when to call what. The protocol is in
 * docs/store-format.md, "Liveness".
 *
 * Every function is one transaction (or joins the caller's), safe from many threads. Common
 * errors: -EBUSY (database locked too long), -EIO, -ENOSPC, -ENOMEM.
 */
#ifndef KILN_META_PACKS_H
#define KILN_META_PACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "meta/meta.h"

#define PACK_ID_BYTES 16
#define PACK_ID_HEX   33 /* bytes with the NUL */

struct pack_id {
	uint8_t b[PACK_ID_BYTES];
};

enum pack_state { PACK_PRESENT, PACK_CONDEMNED, PACK_DELETING };

struct pack_row {
	struct pack_id id;
	enum pack_state state;
	uint64_t bytes;
	uint64_t frames;
	int64_t seq;   /* order of arrival, rising */
	int64_t stamp; /* epoch in which a root last came to rely on it */
	int64_t epoch; /* when condemned */
};

struct root_row {
	const char *region;
	const char *kind;
	const char *id;
	struct digest root;
	struct digest digest;
	uint64_t size_bytes;
	int64_t created_us; /* when this disk got this root; 0 = before that was noted */
	int64_t used_us;    /* last packs_root_use(), or 0 */
	int64_t cost_bytes; /* what making it added to the store, as far as that was noted */
};

/* A writer's session, by id and fencing token. */
struct session_key {
	char id[PACK_ID_HEX];
	int64_t token;
};

/** packs_session_begin() - @owner: text that packs_session_expire()'s callback understands. */
int packs_session_begin(struct meta *m, const char *purpose, const char *owner, int64_t lease_s,
			struct session_key *ret, struct err *err);
/** packs_session_renew() - -ESTALE when the session was expired by somebody. */
int packs_session_renew(struct meta *m, const struct session_key *k, int64_t lease_s,
			struct err *err);
/** packs_session_end() - drop the session, its pins and its session roots; absent is success. */
int packs_session_end(struct meta *m, const char *id, struct err *err);
/** packs_session_expire() - end every session that @alive denies. @alive gets the owner's text
 *  and whether the lease is over by this host's clock. */
typedef bool session_alive_fn(void *arg, const char *owner, bool lease_over);
int packs_session_expire(struct meta *m, session_alive_fn *alive, void *arg, unsigned *ret_ended,
			 struct err *err);

/** packs_add() - a durable new pack: row "present", stamped with the epoch, pinned by the
 *  session. Adding the same pack again is success. -ESTALE: the session is gone. */
int packs_add(struct meta *m, const struct session_key *k, const char *region,
	      const struct pack_id *id, uint64_t bytes, uint64_t frames, struct err *err);
/** packs_pin() - rely on packs found by lookup. A condemned one becomes present again.
 *  @ret_ok[i] is false for a pack that is being deleted or has no row: treat as a miss. */
int packs_pin(struct meta *m, const struct session_key *k, const char *region,
	      const struct pack_id *ids, size_t n, bool *ret_ok, struct err *err);
/** packs_adopt() - give a valid pack without a row one (after a crash or a lost database);
 *  stamped with the current epoch. */
int packs_adopt(struct meta *m, const char *region, const struct pack_id *id, uint64_t bytes,
		uint64_t frames, struct err *err);
/** packs_get() - -ENOENT when there is no row. */
int packs_get(struct meta *m, const char *region, const struct pack_id *id, struct pack_row *ret,
	      struct err *err);
/** packs_list() - rows with seq > @after, by seq. A non-zero return of @fn ends it. */
typedef int pack_row_fn(void *arg, const struct pack_row *row);
int packs_list(struct meta *m, const char *region, int64_t after, pack_row_fn *fn, void *arg,
	       struct err *err);
/** packs_newest() - of the present ones that which arrived last; -ENOENT: there is none. */
int packs_newest(struct meta *m, const char *region, struct pack_id *ret, struct err *err);
/** packs_incarnation() - the number of the region that the rows are about; 0 = none was set. */
int packs_incarnation(struct meta *m, const char *region, int64_t *ret, struct err *err);
int packs_incarnation_set(struct meta *m, const char *region, int64_t id, struct err *err);
/** packs_usage() - present and condemned packs of a region. */
int packs_usage(struct meta *m, const char *region, uint64_t *ret_packs, uint64_t *ret_bytes,
		uint64_t *ret_frames, struct err *err);

/** packs_epoch_next() - raise the epoch; the new value. */
int packs_epoch_next(struct meta *m, int64_t *ret, struct err *err);
/** packs_epoch_raise() - to at least @epoch. */
int packs_epoch_raise(struct meta *m, int64_t epoch, struct err *err);
/** packs_gc_note() - live frames and count of removed roots as packs_gc_set() left them for the
 *  region (0 at first), and the count now. */
int packs_gc_note(struct meta *m, const char *region, int64_t *ret_live, int64_t *ret_removed,
		  int64_t *ret_removed_now, struct err *err);
int packs_gc_set(struct meta *m, const char *region, int64_t live, int64_t removed,
		 struct err *err);
/** packs_gc_claim() - the session becomes the one collector of the region, until it ends. -EBUSY
 *  while another one that was not expired is. */
int packs_gc_claim(struct meta *m, const struct session_key *k, const char *region,
		   struct err *err);
/** packs_condemn() - present -> condemned, unless pinned or stamped at @snapshot or later, or the
 *  session is gone. *@ret_done tells. */
int packs_condemn(struct meta *m, const struct session_key *k, const char *region,
		  const struct pack_id *id, int64_t snapshot, bool *ret_done, struct err *err);
/** packs_rescue() - condemned -> present: something alive was found in it. -ESTALE when it is
 *  neither present nor condemned. */
int packs_rescue(struct meta *m, const char *region, const struct pack_id *id, struct err *err);
/** packs_sweep_begin() - condemned -> deleting, when condemned at @before or earlier, unpinned,
 *  no live session is older than the condemnation, and session @k is there. */
int packs_sweep_begin(struct meta *m, const struct session_key *k, const char *region,
		      const struct pack_id *id, int64_t before, bool *ret_done, struct err *err);
/** packs_remove() - the row of a pack in state "deleting", after its bytes are gone. */
int packs_remove(struct meta *m, const char *region, const struct pack_id *id, struct err *err);
/** packs_lost() - the row of a pack whose bytes are found missing or quarantined. */
int packs_lost(struct meta *m, const char *region, const struct pack_id *id, struct err *err);

/**
 * packs_root_add() - publish: one transaction that checks the session's token and that every
 * pack the session pinned in the region is present, stamps those packs, and writes the root
 *
 * Kind "session" makes a root that ends with the session.
 * Return: 0, -ESTALE (session or a pinned pack gone), or a common error.
 */
int packs_root_add(struct meta *m, const struct session_key *k, const struct root_row *r,
		   struct err *err);
/** packs_root_hold() - a session root on a disk that is live in the region already; -ENOENT
 *  when no root there has this digest. */
int packs_root_hold(struct meta *m, const struct session_key *k, const struct root_row *r,
		    struct err *err);
/** packs_root_get() - fills digests and size of @r, found by region, kind, id. 0 or -ENOENT. */
int packs_root_get(struct meta *m, struct root_row *r, struct err *err);
/** packs_root_remove() - @region NULL = all; absent is success. */
int packs_root_remove(struct meta *m, const char *region, const char *kind, const char *id,
		      struct err *err);
/** packs_root_use() - note that it is used now; @cost_bytes < 0: leaves the cost as it is. Absent
 * is success. */
int packs_root_use(struct meta *m, const char *region, const char *kind, const char *id,
		   int64_t cost_bytes, struct err *err);
/** packs_root_remove_unused() - unless it was made or used at @before_us or later; *@ret_removed.
 */
int packs_root_remove_unused(struct meta *m, const char *region, const char *kind, const char *id,
			     int64_t before_us, bool *ret_removed, struct err *err);
/** packs_region_forget() - every row of a region that is given up. -ENOTEMPTY: some root is in no
 *  other region; -EBUSY: sessions hold something there. */
int packs_region_forget(struct meta *m, const char *region, struct err *err);
/** packs_root_list() - @region, @kind NULL = all, by kind, id, region; as of one moment. @fn may
 * read the database, not change it. */
typedef int root_row_fn(void *arg, const struct root_row *row);
int packs_root_list(struct meta *m, const char *region, const char *kind, root_row_fn *fn,
		    void *arg, struct err *err);

#endif

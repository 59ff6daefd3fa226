/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the frames of a region are: digest -> pack, offset, length. One LMDB environment per
 * region; a hint only, rebuilt from pack trailers at any time. A process that cannot open or
 * write it keeps what it learns from trailers in memory.
 */
#ifndef KILN_STORE_LOOKUP_H
#define KILN_STORE_LOOKUP_H

#include "store/pack_format.h"

struct lookup;
struct lookup_txn;

struct frame_loc {
	struct pack_id pack;
	uint32_t offset;
	uint32_t length;
	uint32_t index; /* of the frame in its pack */
	uint8_t kind;
	uint8_t encoding;
	uint8_t level;
};

/** lookup_open() - @dir is made unless @read_only; absent is then an empty lookup. */
int lookup_open(const char *dir, bool read_only, struct lookup **ret, struct err *err);
void lookup_close(struct lookup *l); /* NULL is fine */

/** lookup_shared() - does it see what other processes add (false: memory of its own only)? */
bool lookup_shared(struct lookup *l);

/** lookup_begin() - one view for many lookup_get(); of this thread; NULL on failure. */
struct lookup_txn *lookup_begin(struct lookup *l);
void lookup_end(struct lookup_txn *t);
/** lookup_get() - is there a frame of this name? */
bool lookup_get(struct lookup_txn *t, const struct digest *name, struct frame_loc *ret);
/** lookup_find() - one-shot lookup_get(). */
bool lookup_find(struct lookup *l, const struct digest *name, struct frame_loc *ret);

/** lookup_copies() - every known place of a name, the preferred one first; the number, <= @max. */
unsigned lookup_copies(struct lookup *l, const struct digest *name, struct frame_loc *dst,
		       unsigned max);

/** lookup_has_pack() - are this pack's frames known? */
bool lookup_has_pack(struct lookup *l, const struct pack_id *id);
/** lookup_add_pack() - one durable transaction. Names already known keep their place, unless
 *  @replace. */
int lookup_add_pack(struct lookup *l, const struct pack_id *id, const struct pack_entry *e,
		    uint32_t n, bool replace, struct err *err);
/** lookup_remove_pack() - forget the pack; names go to other known copies, or away. @e, @n: its
 * entries; NULL = unknown, then every name is visited. */
int lookup_remove_pack(struct lookup *l, const struct pack_id *id, const struct pack_entry *e,
		       uint32_t n, struct err *err);
/** lookup_frames() - what is known of a pack whose trailer is lost: @ret is malloc'ed,
 *  by the index in the pack; unknown frames have the zero name. Visits every name. */
int lookup_frames(struct lookup *l, const struct pack_id *id, struct pack_entry **ret,
		  uint32_t *ret_n, struct err *err);
/** lookup_clear() - empty it, to be rebuilt. */
int lookup_clear(struct lookup *l, struct err *err);
/* How far the lookup follows the rows: @seq is the highest whose packs, all before it too, are
 * known; @age counts how often it was cleared. */
struct lookup_mark {
	int64_t seq;
	uint64_t age;
};
void lookup_mark_get(struct lookup *l, struct lookup_mark *ret);
/** lookup_mark_set() - @seq, unless the lookup was cleared since @was was read. */
int lookup_mark_set(struct lookup *l, const struct lookup_mark *was, int64_t seq, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of store/ share and nobody else sees. Lock order: docs/locking.md. */
#ifndef KILN_STORE_INTERNAL_H
#define KILN_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "meta/packs.h"
#include "store/cache.h"
#include "store/keyring.h"
#include "store/lookup.h"
#include "store/node.h"
#include "store/pack_format.h"
#include "store/region.h"
#include "store/store.h"

#define SESSION_LEASE_S  3600
#define CACHE_BYTES_DFLT (32u << 20)
#define THREADS_MAX      64
#define REGIONS_MAX      256
#define RUN_CHUNKS       16u /* chunks that a worker takes at a time; divides TREE_FANOUT */
#define CODEC_POOL       64

struct store_region {
	struct region *region;
	struct lookup *lookup;
	char *url;                    /* owned */
	atomic_bool draining;         /* takes nothing new */
	char *key_source;             /* owned; NULL = nothing is encrypted */
	struct region_crypt *crypt;   /* NULL likewise */
	pthread_mutex_t refresh_lock; /* one reader of new trailers at a time; guards: */
	int64_t refreshed_ns;         /* end of the last refresh; 0 = never */
};

#define HEAL_NOTES 64
struct heal_note {
	struct pack_id pack;
	unsigned region;
	bool set;
};

struct store {
	struct store_region *regions;
	size_t n_regions;
	char *dir; /* owned */
	struct meta *meta;
	struct meta *own_meta; /* store_open_dir() */
	struct journal *journal;
	struct journal *own_journal;
	int zstd_level;
	unsigned threads;
	bool read_only;
	struct cache *cache;

	pthread_mutex_t codec_lock; /* guards the pool */
	struct codec *codecs[CODEC_POOL];
	unsigned n_codecs;

	pthread_mutex_t heal_lock; /* guards the notes: packs that were noted lately */
	struct heal_note heal_notes[HEAL_NOTES];

	pthread_mutex_t ahead_lock; /* guards the pointer */
	struct ahead *ahead;        /* NULL until somebody reads sequentially */
	atomic_uint reading;        /* reads that are under way */
};

/* A codec of the store's pool; NULL on ENOMEM. */
struct codec *store_codec_take(struct store *s);
void store_codec_give(struct store *s, struct codec *c);

static inline const char *region_name_of(const struct store *s, unsigned region)
{
	return s->regions[region].region->name;
}
/** store_region_check() - is @region an index of @s? */
int store_region_check(const struct store *s, unsigned region, struct err *err);

/* pack keys: "packs/ab/ID.pack" */
void pack_key_of(const struct pack_id *id, char dst[REGION_KEY_MAX]);
/** pack_id_of_key() - -EINVAL when @key is no pack's. */
int pack_id_of_key(const char *key, struct pack_id *ret);

/* A pack's trailer, checked. */
struct pack_index {
	struct pack_header header;
	uint64_t bytes; /* of the pack */
	uint32_t n;
	struct pack_entry *entries; /* owned */
};
void pack_index_done(struct pack_index *x);
#define auto_pack_index __attribute__((cleanup(pack_index_done)))
/** pack_index_load() - -ENOENT; -EBADMSG; -ENOKEY: encrypted with a key that we lack; ... */
int pack_index_load(struct store_region *g, const struct pack_id *id, struct pack_index *ret,
		    struct err *err);

/** pack_effort() - with how much effort a pack's frames were compressed, by its header. */
int pack_effort(struct store_region *g, const struct pack_id *id, unsigned *ret);

/* crypt.c: what a region's keys are for */
#define REGION_DOMAIN_KEY "domain" /* the sealed object that says that a region is encrypted */

/** region_crypt_open() - load the keys of @source and make sure that the region is encrypted,
 * wholly or, with @source NULL, not at all. -ENOKEY: keys are missing or are others. */
int region_crypt_open(struct store_region *g, const char *source, bool read_only, struct err *err);
void region_crypt_close(struct store_region *g);
/** region_keys() - NULL when the region is plain. */
const struct keyring *region_keys(const struct store_region *g);
/** region_key_of() - the data key of a pack by its header. 1; 0 = pack and region are plain;
 *  -EBADMSG: one is, the other is not; -ENOKEY. */
int region_key_of(struct store_region *g, const struct pack_header *h, uint8_t ret[AEAD_KEY_BYTES],
		  struct err *err);
/** region_open_frame() - decrypt in place what the region has of a frame; *@io_n bytes. */
int region_open_frame(struct store_region *g, const struct digest *name,
		      const struct frame_loc *loc, void *io, uint32_t *io_n, struct err *err);
/** region_object_put() - a small object, sealed when the region is encrypted; -EEXIST. */
int region_object_put(struct store_region *g, const char *key, const void *p, size_t n,
		      struct err *err);
/** region_object_add() - the same bytes to an object that was begun; the caller commits it. */
int region_object_add(struct store_region *g, struct region_put *put, const char *key,
		      const void *p, size_t n, struct err *err);
/** region_object_get() - the whole of it, appended to @out; @out's maximum bounds it (-EFBIG).
 *  *@ret_current (may be NULL): sealed by the first key, or plain. */
int region_object_get(struct store_region *g, const char *key, struct buf *out, bool *ret_current,
		      struct err *err);

/* fetch.c: verified reads of one region */

/** fetch_frame() - a frame as it was before encryption, content unverified, into
 *  @dst[FRAME_MAX + PACK_TAG_BYTES]; *@ret_n bytes. -EBADMSG when it does not decrypt. */
int fetch_frame(struct store *s, unsigned region, const struct digest *name,
		const struct frame_loc *loc, void *dst, uint32_t *ret_n, struct err *err);
/** fetch_chunk() - CHUNK_BYTES verified bytes. -ENOENT: the region lacks it, -EBADMSG: its
 *  copies are damaged. The caller must not hold a lookup_txn (the lookup may have to grow). */
int fetch_chunk(struct store *s, unsigned region, struct codec *c, const struct digest *name,
		void *dst, struct err *err);
/** fetch_node() - a verified node, held in the cache; never called with a zero name. */
int fetch_node(struct store *s, unsigned region, const struct digest *name, unsigned level,
	       struct cache_entry **ret, struct err *err);
/** fetch_node_copy() - the same, copied; the zero name gives a node of zeros, depth 0. */
int fetch_node_copy(struct store *s, unsigned region, const struct digest *name, unsigned level,
		    struct node *ret, unsigned *ret_depth, struct err *err);
/** fetch_locate() - where a frame is; reads new trailers when it is not known. -ENOENT. */
int fetch_locate(struct store *s, unsigned region, const struct digest *name, struct frame_loc *ret,
		 struct err *err);
/** fetch_decode() - what fetch_frame() gave to @n plain bytes, name verified. Delta nodes are not
 *  decoded here (-EINVAL). */
int fetch_decode(struct codec *c, const struct digest *name, const struct frame_loc *loc,
		 const void *src, uint32_t src_n, void *dst, size_t n);
/** region_catch_up() - learn the packs of rows that came since the last time, also by other hosts.
 */
int region_catch_up(struct store *s, unsigned region, struct err *err);
/** region_refresh() - learn the packs that the lookup does not know yet. *@ret_new counts. */
int region_refresh(struct store *s, unsigned region, unsigned *ret_new, struct err *err);

/* writer.c: new packs of one session in one region; safe from many threads */
struct writer;

struct new_frame {
	struct digest name;
	enum frame_kind kind;
	enum frame_encoding encoding;
	unsigned level;
	const void *bytes;
	uint32_t n;
};

int writer_new(struct store_session *ss, unsigned region, struct writer **ret, struct err *err);
/** writer_free() - abandons what was not flushed. NULL is fine. */
void writer_free(struct writer *w);
/** writer_has() - is the frame in a pack of this writer that lookup does not know yet? */
bool writer_has(struct writer *w, const struct digest *name);
/** writer_add() - *@ret_added is false when another thread was first. */
int writer_add(struct writer *w, const struct new_frame *f, bool *ret_added, struct err *err);
/** writer_flush() - all that was added is durable and in lookup. */
int writer_flush(struct writer *w, struct err *err);
/** writer_read_back() - from now on packs are read again and compared before they count: for
 *  bytes that arrive from elsewhere. (What is compressed here was decoded again already.) */
void writer_read_back(struct writer *w);
/** writer_replace() - new packs take over names that the lookup knows elsewhere (rewriting). */
void writer_replace(struct writer *w);
/** writer_effort() - what the next packs say of their frames' compression. */
void writer_effort(struct writer *w, int level);
/** writer_totals() - packs and bytes made so far. */
void writer_totals(struct writer *w, uint64_t *ret_packs, uint64_t *ret_bytes);

/* session.c */
struct product {
	unsigned region;
	struct digest digest;
};
struct store_session {
	struct store *store;
	struct session_key key;
	struct writer **writers; /* per region; made on demand */
	bool mends;              /* writes also to a region that is not what the rows say */

	pthread_mutex_t lock;     /* guards what follows and the making of writers */
	struct pin_set *pins;     /* packs known to be pinned, per region */
	struct product *products; /* disks that this session made */
	size_t n_products;
	int64_t renewed_ns;
};
int session_writer(struct store_session *ss, unsigned region, struct writer **ret, struct err *err);
/** session_alone() - a session that is also the one collector of the region: no other
 * collection, recovery or rewriting runs until it ends. *@ret_ended (may be NULL): dead sessions
 * that ended. -EBUSY. */
int session_alone(struct store *s, unsigned region, const char *purpose, struct store_session **ret,
		  unsigned *ret_ended, struct err *err);
/** session_pin() - pin packs found by lookup; clears @io_ok[i] where the pack is going away. */
int session_pin(struct store_session *ss, unsigned region, const struct pack_id *packs, size_t n,
		bool *io_ok, struct err *err);
/** session_pinned() - note a pack that this session wrote and packs_add() pinned. */
int session_pinned(struct store_session *ss, unsigned region, const struct pack_id *id);
/** session_renew() - extend the lease when a third of it is over. */
int session_renew(struct store_session *ss, struct err *err);
/** session_hold() - a session root on a disk that this session will build on. */
int session_hold(struct store_session *ss, unsigned region, const struct disk_ref *disk,
		 struct err *err);
/** session_product() - note a disk that this session made; its packs are pinned. */
int session_product(struct store_session *ss, unsigned region, const struct disk_ref *disk,
		    struct err *err);
#define SESSION_PLACE_MAX 64
/** session_owner_alive() - a session_alive_fn; @arg is this process's place. */
bool session_owner_alive(void *arg, const char *owner, bool lease_over);
/** session_place() - boot and pid namespace: where a process id means something. */
int session_place(char dst[SESSION_PLACE_MAX], struct err *err);

/* heal.c */
/** heal_note() - a reader found the pack damaged or missing. */
void heal_note(struct store *s, unsigned region, const struct pack_id *id);

/* check.c */
struct store_check_result;
/** check_heal_pack() - prove one pack; what is damaged is moved out of it, or fetched from another
 *  region, and the pack put aside. Counted as by store_check(). */
int check_heal_pack(struct store *s, unsigned region, const struct pack_row *row,
		    struct cancel *cancel, struct store_check_result *ret, struct err *err);

/* incarnation.c */
#define REGION_INCARNATION_KEY "incarnation"
/** incarnation_make() - the number of a region that has none. */
int incarnation_make(struct store_region *g, struct err *err);
/** incarnation_vouch() - is the region the one that the rows are about? Before anything is written
 *  there or judged. -ESTALE: another one, or an older copy. */
int incarnation_vouch(struct store *s, unsigned region, struct err *err);
/** incarnation_accept() - the rows were brought in line with what is there. */
int incarnation_accept(struct store *s, unsigned region, struct err *err);

/* gc.c */
/** gc_region_epoch() - the highest epoch that the region remembers; 0 = none. */
int gc_region_epoch(struct store *s, unsigned region, int64_t *ret, struct err *err);

/* readahead.c */

/* How one reader has read so far. */
struct read_pattern {
	pthread_mutex_t lock; /* guards what follows */
	uint64_t next;        /* where a sequential reader goes on */
	uint64_t ahead_to;    /* chunks before this were asked for */
	uint64_t run_bytes;   /* read in a row */
};
/** ahead_note() - a reader reads @n bytes at @offset: ask for what comes next when that is
 *  foreseeable. */
void ahead_note(struct store *s, unsigned region, const struct disk_ref *disk,
		struct read_pattern *p, uint64_t offset, size_t n);
/** ahead_play() - ask for chunks of a profile; how many were taken. */
unsigned ahead_play(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t first,
		    unsigned n);
/** ahead_stop() - forget what was asked for of this disk's profile. */
void ahead_stop(struct store *s, const struct disk_ref *disk);
/** ahead_read_done() - a read ended: profiles may go on. */
void ahead_read_done(struct store *s);
/** ahead_free() - before anything that readers use. NULL is fine. */
void ahead_free(struct ahead *a);
/** reader_warm() - bring chunks into the cache, from any region; failures do not matter here. */
void reader_warm(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t chunk,
		 unsigned n);

/* profile.c */
void recorder_note(struct store_recorder *rec, uint64_t chunk);
void player_note(struct store_player *p, uint64_t chunk);
/** profiles_collect() - remove the profiles of disks without a root. */
int profiles_collect(struct store *s, unsigned region, struct err *err);

/* pool.c */
/** parallel_run() - @fn on @n threads (the caller's is one of them) until all return.
 *  Return: the first negative result; its message is in @err. */
typedef int parallel_fn(void *arg, unsigned thread, struct err *err);
int parallel_run(unsigned n, parallel_fn *fn, void *arg, struct err *err);

/* tree.c */
/* Chunks in which two trees differ, ascending. A zero root stands for a disk of zeros. */
struct tree_diff;
int tree_diff_new(struct store *s, unsigned region, const struct disk_ref *a,
		  const struct disk_ref *b, struct tree_diff **ret, struct err *err);
/** tree_diff_across() - the same, with the two trees in different places. */
struct place {
	struct store *store;
	unsigned region;
};
int tree_diff_across(struct place pa, const struct disk_ref *a, struct place pb,
		     const struct disk_ref *b, struct tree_diff **ret, struct err *err);
/** profile_copy() - of a disk that was replicated; failures do not matter. */
void profile_copy(struct place from, struct place to, const struct disk_ref *disk);
void tree_diff_free(struct tree_diff *t);
/** tree_diff_next() - 1 and the chunk, 0 at the end, or an error. */
int tree_diff_next(struct tree_diff *t, uint64_t *ret_chunk, struct digest *ret_a,
		   struct digest *ret_b, struct err *err);

/* A changed leaf: the new name of the level-0 node @index. */
struct leaf_change {
	uint64_t index;
	struct digest name;
};
/** tree_put_node() - name a node, and write it unless the region has it. @old (may be NULL) is
 *  what it replaces, @depth of that; used for the delta form. */
int tree_put_node(struct store_session *ss, unsigned region, const struct node *n, unsigned level,
		  const struct node *old, const struct digest *old_name, unsigned old_depth,
		  struct digest *ret, bool *ret_new, struct err *err);
/** tree_rewrite() - the root of the tree in which @changes (ascending) replace leaves of @old.
 *  @old may be lower than @level. */
int tree_rewrite(struct store_session *ss, unsigned region, const struct digest *old,
		 unsigned old_level, unsigned level, const struct leaf_change *changes, size_t n,
		 struct digest *ret, struct err *err);
/** tree_chunk() - name of one chunk; when zero, *@ret_zero_span chunks from there are zero. */
int tree_chunk(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t chunk,
	       struct digest *ret, uint64_t *ret_zero_span, struct err *err);

/** tree_leaf() - name of a level-0 node; zero past the end. */
int tree_leaf(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t leaf,
	      struct digest *ret, struct err *err);

/* build.c: the pipeline behind ingest and commit */
struct build;
struct build_run {
	uint64_t first; /* chunk index; the run lies in one leaf */
	unsigned n;     /* up to RUN_CHUNKS */
	uint32_t dirty; /* bit i: chunk first+i is in @data; others keep their name */
	uint32_t zero;  /* bit i: chunk first+i is known to be zeros; not in @data */
	uint8_t *data;  /* n * CHUNK_BYTES; of the worker */
	struct digest names[RUN_CHUNKS]; /* of the dirty chunks, when copying */
};
struct build_source {
	/* Next run, ascending; called under the pipeline's lock, so that pipes may be read here.
	 * 1 = a run, 0 = the end, or an error. */
	int (*claim)(void *arg, struct build_run *run, struct err *err);
	/* Fill @run->data for the dirty chunks; many threads. */
	int (*load)(void *arg, struct build_run *run, struct err *err);
	void *arg;
};
struct build_spec {
	struct store_session *ss;
	unsigned region;
	const struct disk_ref *parent; /* NULL = zeros */
	const struct build_source *source;
	/* Not NULL: copy frames from there; the source gives names, and has no load(). */
	const struct place *copy_from;
	uint64_t max_bytes_per_s;   /* of copied frames; 0 = no limit */
	const uint64_t *size_bytes; /* read at the end: a pipe's size is known only then */
	const char *stage;          /* of progress */
	uint64_t total_bytes;       /* for progress; 0 = unknown */
	bool by_position;           /* progress is the place in the disk, not bytes read */
	struct cancel *cancel;
	const struct progress *progress;
};
int build_disk(const struct build_spec *spec, struct disk_ref *ret, struct store_stats *ret_stats,
	       struct err *err);

#endif

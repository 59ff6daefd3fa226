/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store: every state of a disk is a Merkle tree of 64 KiB chunks kept in packs, in one
 * or more regions. This header is all that outsiders include. Format: docs/store-format.md.
 *
 * Calling sequence of a writer:
 *	store_session_begin -> store_ingest / store_commit (chunks durable, packs present, pinned)
 *	-> store_root_add (the tree becomes live) -> store_session_end
 * A reader opens a store_reader on a rooted disk.
 */
#ifndef KILN_STORE_STORE_H
#define KILN_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/event.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/journal.h"

#define CHUNK_BYTES 65536u
#define TREE_FANOUT 512u

struct meta;          /* meta/meta.h */
struct store;         /* regions + lookup + rows; safe from many threads */
struct store_session; /* a writer's lease; pins packs until its roots are added */
struct store_reader;  /* verified random reads of one disk; safe from many threads */

/* A disk's content. Two equal @digest mean two equal disks. */
struct disk_ref {
	struct digest root;   /* name of the top tree node; zero for an all-zero disk */
	struct digest digest; /* disk digest: SHA-256 of the canonical record */
	uint64_t size_bytes;  /* a multiple of 512 */
};
/** disk_ref_make() - compute @digest from root and size. */
void disk_ref_make(const struct digest *root, uint64_t size_bytes, struct disk_ref *ret);
/** disk_ref_to_json() - {"digest":"sha256:..","root":"sha256:..","sizeBytes":N}; NULL on ENOMEM. */
json_t *disk_ref_to_json(const struct disk_ref *d);
/** disk_ref_from_json() - checks that digest matches root and size. 0, -EINVAL, -EBADMSG. */
int disk_ref_from_json(const json_t *j, struct disk_ref *ret, struct err *err);

struct store_region_config {
	const char *name; /* normalized, e.g. "eastus" */
	const char *url;  /* "file:///path" or a plain absolute path */
	bool draining;    /* takes nothing new */
	const char *key;  /* NULL = plain; else "file:/path" or "command:/program arg ..." */
};

struct store_config {
	const char *dir;         /* where the lookup (LMDB) and scratch files live */
	struct meta *meta;       /* pack rows, pins, roots; borrowed */
	struct journal *journal; /* scratch files; borrowed; may be NULL for read-only use */
	const struct store_region_config *regions;
	size_t n_regions;
	int zstd_level;       /* 0 = 1 */
	uint64_t cache_bytes; /* shared cache of decoded chunks; 0 = 32 MiB */
	unsigned threads;     /* 0 = one per core */
	bool read_only;       /* never writes, also no rows (the nbdkit plugin) */
};

/** store_open() - makes what is absent unless read_only. Return 0 or -errno. */
int store_open(const struct store_config *c, struct store **ret, struct err *err);
void store_close(struct store *s);
/** store_open_dir() - a plumbing store in @dir with its own store.db and one region "local"
 *  (made on first use). */
int store_open_dir(const char *dir, bool read_only, struct store **ret, struct err *err);
/* How to open a plumbing store. */
struct store_dir_options {
	bool read_only;
	bool must_exist; /* -ENOENT in place of making it */
	const char *key; /* where its keys are; NULL = where the store remembers, else plain */
};
/** store_open_dir_with() - the same with options. A @key that fits is remembered in
 * DIR/options.json (the place, not the key). -ENOKEY: it is encrypted and no key that fits was
 * found. */
int store_open_dir_with(const char *dir, const struct store_dir_options *o, struct store **ret,
			struct err *err);
/** store_region_index() - position of a region by name, or -ENOENT with the known names. */
int store_region_index(const struct store *s, const char *name, struct err *err);

/** store_region_name() - by position; NULL past the last. */
const char *store_region_name(const struct store *s, unsigned region);

/** store_region_encrypted() - *@ret_key_id (may be NULL) gets the first key's id in hex, 33 bytes.
 */
bool store_region_encrypted(const struct store *s, unsigned region, char *ret_key_id);

/** store_region_draining() - from now on a region takes nothing new, or it does again. */
void store_region_draining(struct store *s, unsigned region, bool on);

struct store_stats {
	uint64_t bytes_read; /* from the source */
	uint64_t zero_bytes; /* holes and zero chunks */
	uint64_t chunks;     /* non-zero chunks seen */
	uint64_t new_chunks;
	uint64_t new_bytes;    /* plain bytes of new chunks */
	uint64_t stored_bytes; /* bytes of new packs, all metadata included */
	uint64_t transfers;    /* packs written or copied */
};

int store_session_begin(struct store *s, const char *purpose, struct store_session **ret,
			struct err *err);
/** store_session_end() - drops the pins; NULL is fine. */
void store_session_end(struct store_session *ss);

/**
 * store_ingest() - a whole disk from @fd (regular file, block device or pipe)
 * @size_bytes: 0 = ask the descriptor (pipe: read to the end); rounded up to 512
 *
 * Durable on return. Bounded memory. Return 0, the cancel reason, or -errno.
 */
int store_ingest(struct store_session *ss, unsigned region, int fd, uint64_t size_bytes,
		 struct cancel *cancel, const struct progress *p, struct disk_ref *ret,
		 struct store_stats *ret_stats, struct err *err);

/* One changed range of a disk. A chunk that is only partly covered takes the rest from the parent.
 */
struct store_extent {
	uint64_t offset; /* in the disk, bytes */
	uint64_t length;
	uint64_t file_offset; /* where @fd has the bytes; unused for zeros */
	bool zero;
};

/**
 * store_commit() - a new disk from @parent and what changed
 * @extents: sorted by offset, not overlapping
 * @new_size: 0 = the parent's; may only grow
 *
 * Reads only the extents, rewrites only their paths. Durable on return.
 */
int store_commit(struct store_session *ss, unsigned region, const struct disk_ref *parent, int fd,
		 const struct store_extent *extents, size_t n, uint64_t new_size,
		 struct cancel *cancel, const struct progress *p, struct disk_ref *ret,
		 struct store_stats *ret_stats, struct err *err);

/**
 * store_overlay_extents() - what a qcow2 overlay allocated, by its allocation map
 *
 * Runs qemu-img map with explicit driver and no backing file; names inside the header are
 * ignored. @ret is malloc'ed. file_offset points into the overlay file itself.
 */
int store_overlay_extents(const char *overlay, struct cancel *cancel, struct store_extent **ret,
			  size_t *ret_n, uint64_t *ret_virtual_size, struct err *err);

/**
 * store_restore() - write a disk to @fd, every byte verified
 * @have: what the file already holds (in-place update writes only what differs), or NULL = the
 *	file is empty: holes are left, or zeros written on a pipe
 */
int store_restore(struct store *s, unsigned region, const struct disk_ref *disk, int fd,
		  const struct disk_ref *have, struct cancel *cancel, const struct progress *p,
		  struct err *err);

/** store_diff() - calls @fn for each range where the disks differ, ascending, merged; a negative
 *  return of @fn ends it. */
typedef int store_diff_fn(void *arg, uint64_t offset, uint64_t length);
int store_diff(struct store *s, unsigned region, const struct disk_ref *a, const struct disk_ref *b,
	       store_diff_fn *fn, void *arg, struct err *err);

/* Random reads: verified, cached, with read-ahead; fails over to other regions that hold the disk.
 */
int store_reader_open(struct store *s, unsigned region, const struct disk_ref *disk,
		      struct store_reader **ret, struct err *err);
int store_reader_read(struct store_reader *r, void *dst, size_t n, uint64_t offset,
		      struct err *err);
/** store_reader_hole() - length of the run at @offset that is wholly zero (*@ret_zero) or not;
 *  at least 1 byte, at most @max. */
int store_reader_hole(struct store_reader *r, uint64_t offset, uint64_t max, bool *ret_zero,
		      uint64_t *ret_len, struct err *err);
void store_reader_close(struct store_reader *r);

/* Boot profiles: which chunks a guest read, in order. @runs: JSON [first chunk, count, ...]. */

struct store_recorder; /* what the readers that it is given to read first; thread-safe */
/** store_recorder_new() - until @max_bytes (at most 4 GiB) or @seconds from now. 0 or -ENOMEM. */
int store_recorder_new(uint64_t max_bytes, unsigned seconds, struct store_recorder **ret);
void store_recorder_free(struct store_recorder *rec); /* after its readers; NULL is fine */
/** store_recorder_runs() - what it has so far, merged; new reference, NULL on ENOMEM. */
json_t *store_recorder_runs(struct store_recorder *rec);

/** store_profile_put() - keep as the disk's profile in @region; the newest counts. -EBADMSG: not
 *  such a list, or past the disk's end. Goes with the disk's last root. */
int store_profile_put(struct store *s, unsigned region, const struct disk_ref *disk,
		      const json_t *runs, struct err *err);
/** store_profile_get() - from @region, else from any other; new reference. -ENOENT. */
int store_profile_get(struct store *s, unsigned region, const struct disk_ref *disk, json_t **ret,
		      struct err *err);

struct store_player; /* brings the chunks of a profile into the cache, a bounded way ahead */
/** store_player_new() - begins at once, in the background; yields to reads. */
int store_player_new(struct store *s, unsigned region, const struct disk_ref *disk,
		     const json_t *runs, struct store_player **ret, struct err *err);
void store_player_free(struct store_player *p); /* ends it; after its readers; NULL is fine */
/** store_reader_attach() - before the first read; both are borrowed and may be NULL. */
void store_reader_attach(struct store_reader *r, struct store_recorder *rec,
			 struct store_player *player);

/* Of all readers since the store was opened. Hits and misses count chunks and tree nodes, those
 * that read-ahead asked for included. */
struct store_read_stats {
	uint64_t cache_hits, cache_misses;
	uint64_t cache_bytes, cache_max_bytes;
	uint64_t ahead_chunks;  /* asked for ahead of sequential readers */
	uint64_t played_chunks; /* asked for by boot profiles */
};
void store_read_stats_get(struct store *s, struct store_read_stats *ret);

/**
 * store_replicate() - make @disk whole in region @to from region @from
 *
 * Sends exactly what @to lacks (tree difference), verified on arrival; resumable: run it again.
 */
int store_replicate(struct store_session *ss, unsigned from, unsigned to,
		    const struct disk_ref *disk, uint64_t max_bytes_per_s, struct cancel *cancel,
		    const struct progress *p, struct store_stats *ret, struct err *err);

/** store_replicate_from() - the same from another store; @src's disk is held meanwhile unless
 *  @src is read-only. */
int store_replicate_from(struct store *src, unsigned from, struct store_session *ss, unsigned to,
			 const struct disk_ref *disk, uint64_t max_bytes_per_s,
			 struct cancel *cancel, const struct progress *p, struct store_stats *ret,
			 struct err *err);

/* Roots: the one source of liveness. @kind: "version", "managedImage", "dataDisk",
 * "disk", "snapshot", "platform", "step", "run",
 * "export", "session", "name"; (kind, id, region) is the key; adding again replaces the disk. */
int store_root_add(struct store_session *ss, unsigned region, const char *kind, const char *id,
		   const struct disk_ref *disk, struct err *err);
int store_root_get(struct store *s, unsigned region, const char *kind, const char *id,
		   struct disk_ref *ret, struct err *err); /* 0, -ENOENT */
int store_root_remove(struct store *s, int region /* -1 = all */, const char *kind, const char *id,
		      struct err *err);
typedef int store_root_fn(void *arg, unsigned region, const char *kind, const char *id,
			  const struct disk_ref *disk);
int store_root_list(struct store *s, const char *kind /* NULL = all */, store_root_fn *fn,
		    void *arg, struct err *err);

/* Roots that are kept because they may be of use again (the step cache), and so may go. */
struct store_use {
	int64_t last_us;     /* made or used, wall clock */
	uint64_t cost_bytes; /* what making it added to the store */
};
/** store_root_use() - it is used now; @cost_bytes < 0: known already. Absent is success. */
int store_root_use(struct store *s, unsigned region, const char *kind, const char *id,
		   int64_t cost_bytes, struct err *err);
typedef int store_use_fn(void *arg, unsigned region, const char *id, const struct store_use *use);
int store_root_list_use(struct store *s, const char *kind, store_use_fn *fn, void *arg,
			struct err *err);
/** store_root_remove_unused() - unless it was made or used at @before_us or later: then
 *  *@ret_removed is false. */
int store_root_remove_unused(struct store *s, unsigned region, const char *kind, const char *id,
			     int64_t before_us, bool *ret_removed, struct err *err);

/* Manifests and catalog records: canonical JSON objects in a region, by digest or by key. */
/** store_manifest_put() - durable; returns the SHA-256 of the canonical bytes. */
int store_manifest_put(struct store *s, unsigned region, const json_t *manifest, struct digest *ret,
		       struct err *err);
int store_manifest_get(struct store *s, unsigned region, const struct digest *d, json_t **ret,
		       struct err *err);
/** store_catalog_put() - one record per resource id, highest revision wins; durable in @region. */
int store_catalog_put(struct store *s, unsigned region, const char *resource_id, uint64_t revision,
		      const json_t *record, struct err *err);
typedef int store_catalog_fn(void *arg, const char *resource_id, uint64_t revision,
			     const json_t *record);
int store_catalog_list(struct store *s, unsigned region, store_catalog_fn *fn, void *arg,
		       struct err *err);

/* Marks: small signed texts of others ("audit.…") that a region only keeps, by flat names. */
/** store_mark_put() - durable; -EEXIST: never changed. */
int store_mark_put(struct store *s, unsigned region, const char *name, const char *text,
		   struct err *err);
/** store_mark_get() - appended to @out, whose maximum bounds it. 0, -ENOENT, ... */
int store_mark_get(struct store *s, unsigned region, const char *name, struct buf *out,
		   struct err *err);
int store_mark_remove(struct store *s, unsigned region, const char *name, struct err *err);
/** store_mark_list() - names in any order; a negative return of @fn ends it. */
typedef int store_mark_fn(void *arg, const char *name);
int store_mark_list(struct store *s, unsigned region, store_mark_fn *fn, void *arg,
		    struct err *err);

/** store_usage() - bytes of packs per region and counts, for stats. */
int store_usage(struct store *s, unsigned region, json_t **ret, struct err *err);

#endif

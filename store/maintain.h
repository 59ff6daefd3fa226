/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping a store well: garbage collection, proof and repair, the lookup's rebuild, statistics.
 * All are safe beside ingest, reads, replication and deletes by any process.
 */
#ifndef KILN_STORE_MAINTAIN_H
#define KILN_STORE_MAINTAIN_H

#include "store/store.h"

struct store_gc_result {
	int64_t epoch;        /* of this run; 0 for a dry run */
	uint64_t roots;       /* what everything alive hangs on */
	uint64_t packs;       /* before */
	uint64_t live_frames; /* chunks and nodes */
	uint64_t live_bytes;  /* stored bytes of those */
	uint64_t condemned;   /* packs without anything alive, now marked */
	uint64_t condemned_bytes;
	uint64_t rewritten; /* packs whose rest was moved together */
	uint64_t removed;   /* packs condemned earlier and now gone */
	uint64_t removed_bytes;
	uint64_t adopted;        /* valid packs that had no row */
	uint64_t sessions_ended; /* of writers that are gone */
};

/**
 * store_gc() - one cycle: remove what was condemned two epochs ago, mark, condemn, rewrite
 * @dry_run: only counts what it would condemn and remove
 *
 * What dies now is gone after the second cycle. Return: 0; -EBUSY (another one runs); -EBADMSG (a
 * live tree cannot be read: nothing is condemned; run store_check()); -ESTALE (the database is
 * older than the region: it was restored; or knows none of its packs: it was lost); the cancel
 * reason; or another -errno.
 */
int store_gc(struct store *s, unsigned region, bool dry_run, struct cancel *cancel,
	     struct store_gc_result *ret, struct err *err);

/* How much one call may do; NULL or 0 = all of it. */
struct store_budget {
	uint64_t max_bytes_per_s; /* of packs read */
	uint64_t max_bytes;       /* then the call ends, done with what it began */
};

struct store_recompress_result {
	uint64_t packs;                     /* rewritten */
	uint64_t kept;                      /* tried with this level or a higher one before */
	uint64_t damaged;                   /* cannot be read: left to store_check() */
	uint64_t bytes_before, bytes_after; /* of the rewritten ones */
};

/**
 * store_recompress() - packs that were written with less effort anew, at zstd level @level (1-19)
 *
 * By the collector's rules: the new pack is durable and in the lookup before the old one is
 * condemned, and what a session relies on stays; two rounds of store_gc() then give the space
 * back. Resumable: run it again. Return: 0; -EBUSY (a collection runs); the cancel reason; or
 * another -errno.
 */
int store_recompress(struct store *s, unsigned region, int level, const struct store_budget *budget,
		     struct cancel *cancel, const struct progress *p,
		     struct store_recompress_result *ret, struct err *err);

enum store_check_flags {
	STORE_CHECK_READ_DATA = 1 << 0, /* decode every frame, not only trailers and trees */
	STORE_CHECK_HEAL = 1 << 1,      /* adopt, salvage, fetch from elsewhere, quarantine */
};

struct store_check_result {
	uint64_t packs, bytes; /* looked at */
	uint64_t frames;       /* decoded and proven */
	uint64_t roots;
	uint64_t damaged_packs; /* missing, cut short, or with a frame that is not what it says */
	uint64_t damaged_frames;
	uint64_t strays;  /* packs without a row */
	uint64_t missing; /* names that a root needs and the region lacks */
	uint64_t healed;  /* of those, after fetching */
	uint64_t lost;    /* of those, nowhere to be had */
};

/* One finding, a sentence. */
typedef void store_finding_fn(void *arg, const char *text);

/**
 * store_check() - prove a region whole
 * @others: stores whose regions may help to heal, besides @s itself; may be NULL
 *
 * Return: 0 also with findings (see @ret: whole means no damage and nothing missing, or all of it
 * healed), or -errno when the check itself could not be done.
 */
int store_check(struct store *s, unsigned region, unsigned flags, struct store *const *others,
		size_t n_others, struct cancel *cancel, store_finding_fn *fn, void *arg,
		struct store_check_result *ret, struct err *err);

/** store_rebuild_index() - make the lookup anew from the packs' trailers. */
int store_rebuild_index(struct store *s, unsigned region, uint64_t *ret_packs, struct err *err);

struct store_rekey_result {
	uint64_t packs;      /* whose data key was wrapped anew */
	uint64_t packs_kept; /* under the first key already */
	uint64_t objects;    /* sealed anew */
	uint64_t damaged;    /* left as they are: store_check() tells more */
};
/**
 * store_rekey() - put everything of an encrypted region under the first of its keys
 *
 * Safe beside everything but collection (-EBUSY); resumable. Writes every pack once more, whole.
 * What the older keys wrapped is gone afterwards, except in quarantine and in copies elsewhere.
 * Return: 0; -EINVAL (not encrypted); -ENOKEY; the cancel reason; or another -errno.
 */
int store_rekey(struct store *s, unsigned region, struct cancel *cancel,
		struct store_rekey_result *ret, struct err *err);

struct store_drain_result {
	uint64_t roots;     /* lasting ones in the region */
	uint64_t elsewhere; /* of those, in another region already */
	uint64_t moved;     /* of those, replicated now */
	uint64_t bytes;     /* stored bytes that were sent */
	uint64_t objects;   /* manifests and catalog records copied */
};
/**
 * store_drain() - replicate to @to every root of @region that no other region has, its manifests
 * and catalog too
 *
 * Progress is in bytes of disks. Resumable: run it again. Roots that come meanwhile need another
 * run, so mark the region as draining first. Return: 0, the cancel reason, -EINVAL, or another
 * -errno.
 */
int store_drain(struct store *s, unsigned region, unsigned to, uint64_t max_bytes_per_s,
		struct cancel *cancel, const struct progress *p, struct store_drain_result *ret,
		struct err *err);
/** store_region_forget() - its rows go, with @delete_data its objects too. -ENOTEMPTY while it
 * holds the only copy of anything alive; -EBUSY while somebody works there. */
int store_region_forget(struct store *s, unsigned region, bool delete_data, struct err *err);

struct store_heal_result {
	uint64_t packs;  /* damaged ones that were noted */
	uint64_t healed; /* chunks and nodes fetched from another region */
	uint64_t lost; /* not to be had anywhere (store_check() says whether anything needs them) */
};
/**
 * store_heal_pending() - mend the packs that readers found damaged since the last call
 *
 * Cheap when there are none. Called by collection and replication, and by whoever serves, when
 * idle. Return: 0 (also when another process is at it), the cancel reason, or -errno.
 */
int store_heal_pending(struct store *s, struct cancel *cancel, struct store_heal_result *ret,
		       struct err *err);

/* A root that a catalog record asks for. */
struct store_lost_root {
	const char *kind, *id;
	struct disk_ref disk;
	bool whole; /* out: the region has all of it, and the root is there again */
};
struct store_recover_result {
	uint64_t packs;   /* valid ones in the region */
	uint64_t adopted; /* of those, without a row before */
	uint64_t damaged; /* not valid: left alone */
	uint64_t roots;   /* added */
};

/**
 * store_recover() - rows anew after the database was lost: of every valid pack, and of those
 * @roots whose every node was read and proven and whose every chunk lies in such a pack
 *
 * Collection of a region that was collected before stays refused until store_recover_end().
 * Return: 0 also when roots are not whole; -EBUSY while a collection runs; or another -errno.
 */
int store_recover(struct store *s, unsigned region, struct store_lost_root *roots, size_t n,
		  struct cancel *cancel, struct store_recover_result *ret, struct err *err);
/** store_recover_end() - all regions have their roots again: collection may run. */
int store_recover_end(struct store *s, struct err *err);

/** store_root_stats() - for each root of a region: what it holds, alone and shared with others,
 *  from its tree: an array of objects {kind, id, sizeBytes, chunks, plainBytes (of those chunks),
 *  storedBytes, uniqueBytes, sharedBytes, createdTime or null, bootProfile}. */
int store_root_stats(struct store *s, unsigned region, struct cancel *cancel, json_t **ret,
		     struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk from one region to another. The target's most similar rooted disk is the reference: what
 * both trees share is not even looked at; of the rest, what the target holds is pinned and only
 * what it lacks is sent. The tree is then built anew at the target, so that equal roots prove
 * that everything arrived.
 */
#include "base/log.h"
#include "base/mem.h"
#include "store/internal.h"
#include "store/maintain.h"

#define CANDIDATES_MAX 32

struct copy {
	struct tree_diff *walk;
	bool ended, have_next;
	uint64_t chunk;
	struct digest name;
};

static int copy_claim(void *arg, struct build_run *run, struct err *err)
{
	struct copy *c = arg;

	run->n = 0;
	while (!c->ended) {
		struct digest old;
		unsigned i;

		if (!c->have_next) {
			int r = tree_diff_next(c->walk, &c->chunk, &old, &c->name, err);

			if (r < 0)
				return r;
			c->ended = r == 0;
			c->have_next = r > 0;
			continue;
		}
		if (run->n == 0)
			run->first = c->chunk / RUN_CHUNKS * RUN_CHUNKS;
		if (c->chunk - run->first >= RUN_CHUNKS)
			break;
		i = (unsigned) (c->chunk - run->first);
		run->dirty |= 1u << i;
		run->names[i] = c->name;
		run->n = i + 1;
		c->have_next = false;
	}
	return run->n > 0;
}

struct candidates {
	unsigned region;
	unsigned level;
	struct disk_ref list[CANDIDATES_MAX];
	size_t n;
};

static int note_candidate(void *arg, unsigned region, const char *kind, const char *id,
			  const struct disk_ref *disk)
{
	struct candidates *c = arg;

	if (region != c->region || tree_level(disk->size_bytes) != c->level ||
	    digest_is_zero(&disk->root))
		return 0;
	for (size_t i = 0; i < c->n; i++)
		if (digest_eq(&c->list[i].digest, &disk->digest))
			return 0;
	/* Later roots replace earlier ones in turn: a bounded, varied choice. */
	c->list[c->n % CANDIDATES_MAX] = *disk;
	if (c->n < CANDIDATES_MAX)
		c->n++;
	return 0;
}

static unsigned common_names(const struct node *a, const struct node *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TREE_FANOUT; i++)
		n += !digest_is_zero(&a->names[i]) && digest_eq(&a->names[i], &b->names[i]);
	return n;
}

/* The disk at the target that shares most with @disk. 1 = found. */
static int choose_reference(struct place from, struct place to, const struct disk_ref *disk,
			    struct disk_ref *ret, struct err *err)
{
	struct candidates c = {.region = to.region, .level = tree_level(disk->size_bytes)};
	struct node *top = calloc(2, sizeof(*top));
	unsigned depth, best = 0;
	int r = 0, found = 0;

	if (!top)
		return err_set(err, -ENOMEM, "out of memory");
	r = store_root_list(to.store, NULL, note_candidate, &c, err);
	if (r >= 0)
		r = fetch_node_copy(from.store, from.region, &disk->root, c.level, &top[0], &depth,
				    err);
	for (size_t i = 0; i < c.n && r >= 0; i++) {
		unsigned same;

		/* A reference that cannot be read is no reference. */
		if (fetch_node_copy(to.store, to.region, &c.list[i].root, c.level, &top[1], &depth,
				    NULL) < 0)
			continue;
		same = digest_eq(&c.list[i].digest, &disk->digest) ? TREE_FANOUT + 1
								   : common_names(&top[0], &top[1]);
		if (same > best || !found) {
			best = same;
			*ret = c.list[i];
			found = 1;
		}
	}
	free(top);
	return r < 0 ? r : found;
}

static int replicate(struct place from, struct store_session *ss, unsigned to,
		     const struct disk_ref *disk, uint64_t max_bytes_per_s, struct cancel *cancel,
		     const struct progress *p, struct store_stats *ret, struct err *err)
{
	struct place there = {ss->store, to};
	struct copy copy = {0};
	struct build_source src = {copy_claim, NULL, &copy};
	struct build_spec spec = {
		.ss = ss,
		.region = to,
		.source = &src,
		.copy_from = &from,
		.max_bytes_per_s = max_bytes_per_s,
		.size_bytes = &disk->size_bytes,
		.stage = "replicate",
		.total_bytes = disk->size_bytes,
		.by_position = true,
		.cancel = cancel,
		.progress = p,
	};
	struct disk_ref ref, got;
	struct digest zero = {0};
	int r = choose_reference(from, there, disk, &ref, err);

	if (r > 0) {
		r = session_hold(ss, to, &ref, err);
		spec.parent = &ref;
		if (r == -ENOENT) { /* removed meanwhile */
			err_done(err);
			spec.parent = NULL;
			r = 0;
		}
	}
	if (r < 0)
		return r;
	if (!spec.parent)
		disk_ref_make(&zero, disk->size_bytes, &ref);
	if (ret)
		*ret = (struct store_stats){0};
	if (spec.parent && digest_eq(&ref.digest, &disk->digest))
		return 0;
	r = tree_diff_across(there, &ref, from, disk, &copy.walk, err);
	if (r >= 0)
		r = build_disk(&spec, &got, ret, err);
	tree_diff_free(copy.walk);
	if (r >= 0 && !digest_eq(&got.digest, &disk->digest))
		r = err_set(err, -EBADMSG, "the tree that arrived has another digest");
	return r;
}

int store_replicate_from(struct store *src, unsigned from, struct store_session *ss, unsigned to,
			 const struct disk_ref *disk, uint64_t max_bytes_per_s,
			 struct cancel *cancel, const struct progress *p, struct store_stats *ret,
			 struct err *err)
{
	struct store_session *hold = NULL;
	auto_err struct err own = ERR_INIT;
	struct store_heal_result healed;
	struct place place = {src, from};
	int r = store_region_check(src, from, err);

	if (r >= 0)
		r = store_region_check(ss->store, to, err);
	if (r < 0)
		return r;
	if (src == ss->store) {
		r = session_hold(ss, from, disk, err);
	} else if (!src->read_only) {
		r = store_session_begin(src, "replicate", &hold, err);
		if (r >= 0)
			r = session_hold(hold, from, disk, err);
	}
	if (r >= 0)
		r = replicate(place, ss, to, disk, max_bytes_per_s, cancel, p, ret, err);
	if (r >= 0 && store_heal_pending(ss->store, cancel, &healed, &own) < 0)
		log_debug("store.replicate.heal", "error=%s", err_str(&own));
	if (r >= 0)
		profile_copy(place, (struct place){ss->store, to}, disk);
	store_session_end(hold);
	return r < 0 ? err_ctx(err, r, "replicate from %s to %s", region_name_of(src, from),
			       region_name_of(ss->store, to))
		     : 0;
}

int store_replicate(struct store_session *ss, unsigned from, unsigned to,
		    const struct disk_ref *disk, uint64_t max_bytes_per_s, struct cancel *cancel,
		    const struct progress *p, struct store_stats *ret, struct err *err)
{
	return store_replicate_from(ss->store, from, ss, to, disk, max_bytes_per_s, cancel, p, ret,
				    err);
}

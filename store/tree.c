/* SPDX-License-Identifier: Apache-2.0 */
/* Walking, comparing and rewriting trees. */
#include "base/mem.h"
#include "store/internal.h"

/* One side of a comparison at one level: a real node, or one of zeros, or a level that the
 * smaller tree does not have, whose first name is the tree itself. */
struct side {
	struct cache_entry *held; /* NULL = not a stored node */
	struct digest lift;       /* name of child 0 when @lifted */
	unsigned lift_level;      /* level of the node that @lift names */
	bool lifted;
};

static const struct digest zero_name;

struct frame {
	struct side a, b;
	unsigned i;    /* next child */
	uint64_t base; /* first chunk under the node */
};

struct tree_diff {
	struct place pa, pb;
	unsigned top;
	int depth; /* of the stack; -1 = finished. stack[k] is at level top - k */
	struct frame stack[NODE_LEVEL_MAX + 1];
};

/* Opens the node @name of @level, standing at tree level @at. */
static int side_open(const struct place *p, const struct digest *name, unsigned level, unsigned at,
		     struct side *ret, struct err *err)
{
	*ret = (struct side){0};
	if (digest_is_zero(name))
		return 0;
	if (level < at) {
		ret->lifted = true;
		ret->lift = *name;
		ret->lift_level = level;
		return 0;
	}
	return fetch_node(p->store, p->region, name, level, &ret->held, err);
}

static const struct digest *side_name(const struct side *s, unsigned i)
{
	if (s->held)
		return &((const struct node *) cache_data(s->held))->names[i];
	return s->lifted && i == 0 ? &s->lift : &zero_name;
}

static void side_close(const struct place *p, struct side *s)
{
	cache_give(p->store->cache, s->held);
	s->held = NULL;
}

static int push(struct tree_diff *t, const struct digest *a, unsigned a_level,
		const struct digest *b, unsigned b_level, unsigned at, uint64_t base,
		struct err *err)
{
	struct frame *f = &t->stack[t->depth + 1];
	int r;

	*f = (struct frame){.base = base};
	r = side_open(&t->pa, a, a_level, at, &f->a, err);
	if (r >= 0)
		r = side_open(&t->pb, b, b_level, at, &f->b, err);
	if (r < 0) {
		side_close(&t->pa, &f->a);
		return r;
	}
	t->depth++;
	return 0;
}

int tree_diff_new(struct store *s, unsigned region, const struct disk_ref *a,
		  const struct disk_ref *b, struct tree_diff **ret, struct err *err)
{
	struct place p = {s, region};

	return tree_diff_across(p, a, p, b, ret, err);
}

int tree_diff_across(struct place pa, const struct disk_ref *a, struct place pb,
		     const struct disk_ref *b, struct tree_diff **ret, struct err *err)
{
	unsigned la = tree_level(a->size_bytes), lb = tree_level(b->size_bytes);
	struct tree_diff *t;
	int r = 0;

	if (la > NODE_LEVEL_MAX || lb > NODE_LEVEL_MAX)
		return err_set(err, -EFBIG, "disk is over %llu bytes",
			       (unsigned long long) DISK_MAX_BYTES);
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->pa = pa;
	t->pb = pb;
	t->top = la > lb ? la : lb;
	t->depth = -1;
	if (la != lb || !digest_eq(&a->root, &b->root))
		r = push(t, &a->root, la, &b->root, lb, t->top, 0, err);
	if (r < 0) {
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void tree_diff_free(struct tree_diff *t)
{
	if (!t)
		return;
	for (; t->depth >= 0; t->depth--) {
		side_close(&t->pa, &t->stack[t->depth].a);
		side_close(&t->pb, &t->stack[t->depth].b);
	}
	free(t);
}

static unsigned child_level(const struct side *s, unsigned i, unsigned at)
{
	return s->lifted && i == 0 ? s->lift_level : at - 1;
}

int tree_diff_next(struct tree_diff *t, uint64_t *ret_chunk, struct digest *ret_a,
		   struct digest *ret_b, struct err *err)
{
	while (t->depth >= 0) {
		struct frame *f = &t->stack[t->depth];
		unsigned at = t->top - (unsigned) t->depth, i = f->i++;
		const struct digest *a, *b;
		int r;

		if (i >= TREE_FANOUT) {
			side_close(&t->pa, &f->a);
			side_close(&t->pb, &f->b);
			t->depth--;
			continue;
		}
		a = side_name(&f->a, i);
		b = side_name(&f->b, i);
		if (at == 0) {
			if (digest_eq(a, b))
				continue;
			*ret_chunk = f->base + i;
			*ret_a = *a;
			*ret_b = *b;
			return 1;
		}
		/* Equal names at different levels are different subtrees only if not zero. */
		if (digest_eq(a, b) &&
		    (digest_is_zero(a) || child_level(&f->a, i, at) == child_level(&f->b, i, at)))
			continue;
		r = push(t, a, child_level(&f->a, i, at), b, child_level(&f->b, i, at), at - 1,
			 f->base + i * tree_span(at - 1), err);
		if (r < 0)
			return r;
	}
	return 0;
}

int tree_chunk(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t chunk,
	       struct digest *ret, uint64_t *ret_zero_span, struct err *err)
{
	unsigned level = tree_level(disk->size_bytes);
	struct digest name = disk->root;

	for (;; level--) {
		uint64_t span = tree_span(level);
		struct cache_entry *e = NULL;
		uint64_t step = span / TREE_FANOUT;
		const struct node *n;
		int r;

		if (digest_is_zero(&name)) {
			*ret = zero_name;
			*ret_zero_span = span - chunk % span;
			return 0;
		}
		r = fetch_node(s, region, &name, level, &e, err);
		if (r < 0)
			return r;
		n = cache_data(e);
		name = n->names[chunk % span / step];
		if (level == 0) {
			/* All zero chunks that follow in this leaf. */
			unsigned i = (unsigned) (chunk % span), end = i;

			while (end < TREE_FANOUT && digest_is_zero(&n->names[end]))
				end++;
			*ret_zero_span = end - i;
		}
		cache_give(s->cache, e);
		if (level == 0) {
			*ret = name;
			return 0;
		}
	}
}

int tree_leaf(struct store *s, unsigned region, const struct disk_ref *disk, uint64_t leaf,
	      struct digest *ret, struct err *err)
{
	unsigned level = tree_level(disk->size_bytes);
	struct digest name = disk->root;

	*ret = zero_name;
	if (leaf >= tree_span(level) / TREE_FANOUT)
		return 0;
	for (; level > 0; level--) {
		uint64_t leaves = tree_span(level - 1);
		struct cache_entry *e = NULL;
		int r;

		if (digest_is_zero(&name))
			return 0;
		r = fetch_node(s, region, &name, level, &e, err);
		if (r < 0)
			return r;
		name = ((const struct node *) cache_data(e))
			       ->names[leaf % leaves / (leaves / TREE_FANOUT)];
		cache_give(s->cache, e);
	}
	*ret = name;
	return 0;
}

int tree_put_node(struct store_session *ss, unsigned region, const struct node *n, unsigned level,
		  const struct node *old, const struct digest *old_name, unsigned old_depth,
		  struct digest *ret, bool *ret_new, struct err *err)
{
	struct store *s = ss->store;
	uint8_t delta[DELTA_MAX_BYTES];
	struct new_frame f = {.kind = FRAME_NODE, .level = level};
	struct frame_loc loc;
	struct writer *w;
	struct codec *c;
	size_t n_frame;
	bool hit = true;
	int r;

	*ret_new = false;
	node_name(n, level, ret);
	if (digest_is_zero(ret))
		return 0;
	r = session_writer(ss, region, &w, err);
	if (r < 0)
		return r;
	if (writer_has(w, ret))
		return 0;
	if (lookup_find(s->regions[region].lookup, ret, &loc)) {
		r = session_pin(ss, region, &loc.pack, 1, &hit, err);
		if (r < 0 || hit)
			return r;
	}
	f.name = *ret;
	c = store_codec_take(s);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	r = codec_encode(c, n, NODE_BYTES, &f.bytes, &n_frame, &f.encoding, err);
	if (r >= 0) {
		f.n = (uint32_t) n_frame;
		n_frame = old && old_name ? delta_encode(n, old, old_name, old_depth, delta) : 0;
		if (n_frame > 0 && n_frame < f.n / 2) {
			f.encoding = FRAME_DELTA;
			f.bytes = delta;
			f.n = (uint32_t) n_frame;
		}
		r = writer_add(w, &f, ret_new, err);
	}
	store_codec_give(s, c);
	return r;
}

struct rewrite {
	struct store_session *ss;
	unsigned region;
	const struct leaf_change *changes;
	size_t n;
};

/* Rewrites the node at @level whose first leaf is @first_leaf. Consumes its changes. A lower old
 * tree takes the place of a chain of first children. */
static int rewrite_node(struct rewrite *w, const struct digest *old, unsigned old_level,
			unsigned level, uint64_t first_leaf, struct digest *ret, struct err *err)
{
	uint64_t leaves = tree_span(level - 1), step = leaves / TREE_FANOUT;
	bool lifted = old_level < level && !digest_is_zero(old), added;
	struct node *n = calloc(2, sizeof(*n)), *was = NULL;
	unsigned depth = 0;
	int r = 0;

	if (!n)
		return err_set(err, -ENOMEM, "out of memory");
	if (!lifted) {
		r = fetch_node_copy(w->ss->store, w->region, old, level, n, &depth, err);
		was = &n[1];
		*was = *n;
	} else if (old_level == level - 1) {
		n->names[0] = *old;
	} else {
		r = rewrite_node(w, old, old_level, level - 1, first_leaf, &n->names[0], err);
	}
	while (r >= 0 && w->n > 0 && w->changes->index - first_leaf < leaves) {
		unsigned i = (unsigned) ((w->changes->index - first_leaf) / step);
		struct digest from = n->names[i];

		if (level == 1) {
			n->names[i] = w->changes->name;
			w->changes++;
			w->n--;
			continue;
		}
		r = rewrite_node(w, &from, level - 1, level - 1, first_leaf + i * step,
				 &n->names[i], err);
	}
	if (r >= 0)
		r = tree_put_node(w->ss, w->region, n, level, was, was ? old : NULL, depth, ret,
				  &added, err);
	free(n);
	return r;
}

int tree_rewrite(struct store_session *ss, unsigned region, const struct digest *old,
		 unsigned old_level, unsigned level, const struct leaf_change *changes, size_t n,
		 struct digest *ret, struct err *err)
{
	struct rewrite w = {ss, region, changes, n};

	if (level == 0) {
		*ret = n > 0 ? changes[n - 1].name : *old;
		return 0;
	}
	if (n == 0 && old_level == level) {
		*ret = *old;
		return 0;
	}
	return rewrite_node(&w, old, old_level, level, 0, ret, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "store/walk.h"

#include "base/mem.h"

struct walker {
	struct store *s;
	unsigned region;
	const struct walk_ops *ops;
	struct cancel *cancel;
};

static int walk_node(struct walker *w, const struct digest *name, unsigned level, struct err *err)
{
	struct cache_entry *e = NULL;
	const struct node *n;
	int r = cancel_check(w->cancel);

	if (r < 0)
		return err_set(err, r, "cancelled");
	r = w->ops->node(w->ops->arg, name, level, err);
	if (r <= 0)
		return r;
	r = fetch_node(w->s, w->region, name, level, &e, err);
	if (r < 0)
		return r;
	n = cache_data(e);
	for (unsigned i = 0; i < TREE_FANOUT && r >= 0; i++) {
		if (digest_is_zero(&n->names[i]))
			continue;
		r = level == 0 ? w->ops->chunk(w->ops->arg, &n->names[i], err)
			       : walk_node(w, &n->names[i], level - 1, err);
	}
	cache_give(w->s->cache, e);
	return r;
}

int tree_walk(struct store *s, unsigned region, const struct disk_ref *disk,
	      const struct walk_ops *ops, struct cancel *cancel, struct err *err)
{
	struct walker w = {s, region, ops, cancel};
	unsigned level = tree_level(disk->size_bytes);
	int r;

	if (digest_is_zero(&disk->root))
		return 0;
	if (level > NODE_LEVEL_MAX)
		return err_set(err, -EBADMSG, "disk is too big");
	r = walk_node(&w, &disk->root, level, err);
	return r < 0 ? r : 0;
}

static size_t slot_index(const struct dmap *m, const struct digest *name)
{
	size_t h;

	memcpy(&h, name->b, sizeof(h));
	h &= m->cap - 1;
	while (!digest_is_zero(&m->slots[h].name) && !digest_eq(&m->slots[h].name, name))
		h = (h + 1) & (m->cap - 1);
	return h;
}

static int dmap_grow(struct dmap *m)
{
	struct dmap big = {.cap = m->cap ? m->cap * 2 : 1024};

	if (m->n < m->cap / 4 * 3)
		return 0;
	big.slots = calloc(big.cap, sizeof(*big.slots));
	if (!big.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++)
		if (!digest_is_zero(&m->slots[i].name))
			big.slots[slot_index(&big, &m->slots[i].name)] = m->slots[i];
	big.n = m->n;
	free(m->slots);
	*m = big;
	return 0;
}

struct dmap_slot *dmap_get(struct dmap *m, const struct digest *name, bool *ret_new)
{
	struct dmap_slot *s;

	if (dmap_grow(m) < 0)
		return NULL;
	s = &m->slots[slot_index(m, name)];
	*ret_new = digest_is_zero(&s->name);
	if (*ret_new) {
		s->name = *name;
		m->n++;
	}
	return s;
}

const struct dmap_slot *dmap_find(const struct dmap *m, const struct digest *name)
{
	const struct dmap_slot *s = m->cap ? &m->slots[slot_index(m, name)] : NULL;

	return s && !digest_is_zero(&s->name) ? s : NULL;
}

void dmap_done(struct dmap *m)
{
	free(m->slots);
	*m = (struct dmap){0};
}

static int add_root(void *arg, const struct root_row *row)
{
	struct root_list *l = arg;
	struct root_copy *c;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct root_copy *v = reallocarray(l->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	c = &l->v[l->n++];
	*c = (struct root_copy){
		.kind = strdup(row->kind), .id = strdup(row->id), .created_us = row->created_us};
	disk_ref_make(&row->root, row->size_bytes, &c->disk);
	if (!digest_eq(&c->disk.digest, &row->digest))
		return -EBADMSG;
	return c->kind && c->id ? 0 : -ENOMEM;
}

int roots_load(struct store *s, unsigned region, struct root_list *ret, struct err *err)
{
	int r = packs_root_list(s->meta, region_name_of(s, region), NULL, add_root, ret, err);

	return r < 0 ? err_ctx(err, r, "roots of region %s", region_name_of(s, region)) : 0;
}

void roots_done(struct root_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].kind);
		free(l->v[i].id);
	}
	free(l->v);
	*l = (struct root_list){0};
}

static int add_row(void *arg, const struct pack_row *row)
{
	struct row_list *l = arg;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct pack_row *v = reallocarray(l->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = *row;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct pack_row *x = a, *y = b;

	return memcmp(&x->id, &y->id, sizeof(x->id));
}

int rows_load(struct store *s, unsigned region, struct row_list *ret, struct err *err)
{
	int r = packs_list(s->meta, region_name_of(s, region), 0, add_row, ret, err);

	if (r < 0)
		return err_ctx(err, r, "packs of region %s", region_name_of(s, region));
	if (ret->n > 0)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_id);
	return 0;
}

void rows_done(struct row_list *l)
{
	free(l->v);
	*l = (struct row_list){0};
}

const struct pack_row *rows_find(const struct row_list *l, const struct pack_id *id)
{
	struct pack_row key = {.id = *id};

	return l->n ? bsearch(&key, l->v, l->n, sizeof(*l->v), by_id) : NULL;
}

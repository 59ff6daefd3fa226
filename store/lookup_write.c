/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the lookup, each one durable transaction. Keys: see lookup.c. */
#include "base/buf.h"
#include "base/mem.h"
#include "store/lookup_internal.h"

static int map_grow(struct lookup *l)
{
	MDB_envinfo info;
	int r;

	pthread_rwlock_wrlock(&l->map_lock);
	r = mdb_env_info(l->env, &info);
	if (r == 0)
		r = mdb_env_set_mapsize(l->env, info.me_mapsize * 2);
	pthread_rwlock_unlock(&l->map_lock);
	return r;
}

/* Runs @fn in one durable write transaction, growing the map as often as needed. */
static int with_write(struct lookup *l, int (*fn)(struct lookup *l, MDB_txn *t, void *arg),
		      void *arg, const char *what, struct err *err)
{
	for (;;) {
		MDB_txn *t;
		int r = lookup_txn_begin(l, true, &t);

		if (r != 0)
			return lookup_fail(l, r, what, err);
		r = fn(l, t, arg);
		if (r == 0)
			r = mdb_txn_commit(t);
		else
			mdb_txn_abort(t);
		pthread_rwlock_unlock(&l->map_lock);
		if (r == 0)
			return 0;
		if (r == MDB_MAP_FULL)
			r = map_grow(l);
		if (r != 0)
			return lookup_fail(l, r, what, err);
	}
}

static void loc_encode(const struct frame_loc *f, uint8_t dst[VALUE_BYTES])
{
	memcpy(dst, f->pack.b, PACK_ID_BYTES);
	put_le32(dst + 16, f->offset);
	put_le32(dst + 20, f->length);
	put_le32(dst + 24, f->index);
	dst[28] = f->kind;
	dst[29] = f->encoding;
	dst[30] = f->level;
	dst[31] = 0;
}

struct pack_change {
	const struct pack_id *id;
	const struct pack_entry *e;
	uint32_t n;
	bool replace;
};

static void copy_key(const struct digest *name, const void *pack, uint8_t dst[COPY_KEY])
{
	memcpy(dst, name->b, DIGEST_BYTES);
	memcpy(dst + DIGEST_BYTES, pack, PACK_ID_BYTES);
}

/* One name: the first place, or with @replace the new one; the other is kept as a copy. */
static int put_name(struct lookup *l, MDB_txn *t, const struct digest *name, const uint8_t *value,
		    const struct pack_id *id, bool replace)
{
	MDB_val k = {DIGEST_BYTES, (void *) (uintptr_t) name->b};
	MDB_val v = {VALUE_BYTES, (void *) (uintptr_t) value};
	uint8_t key[COPY_KEY], old[VALUE_BYTES];
	int r = mdb_put(t, l->dbi, &k, &v, MDB_NOOVERWRITE);

	if (r != MDB_KEYEXIST || lookup_points_to(&v, id) || v.mv_size != VALUE_BYTES)
		return r == MDB_KEYEXIST ? 0 : r;
	/* @v is what was there. */
	memcpy(old, v.mv_data, VALUE_BYTES);
	copy_key(name, replace ? old : value, key);
	k = (MDB_val){sizeof(key), key};
	v = (MDB_val){VALUE_BYTES, replace ? old : (void *) (uintptr_t) value};
	r = mdb_put(t, l->dbi, &k, &v, 0);
	if (r != 0 || !replace)
		return r;
	k = (MDB_val){DIGEST_BYTES, (void *) (uintptr_t) name->b};
	v = (MDB_val){VALUE_BYTES, (void *) (uintptr_t) value};
	return mdb_put(t, l->dbi, &k, &v, 0);
}

static int write_add(struct lookup *l, MDB_txn *t, void *arg)
{
	const struct pack_change *c = arg;
	uint8_t key[PACK_KEY], value[VALUE_BYTES];
	MDB_val k = {sizeof(key), key}, v = {0, key};
	int r = 0;

	for (uint32_t i = 0; i < c->n && r == 0; i++) {
		struct frame_loc loc;

		lookup_loc_of(c->id, &c->e[i], i, &loc);
		loc_encode(&loc, value);
		r = put_name(l, t, &c->e[i].name, value, c->id, c->replace);
	}
	if (r != 0)
		return r;
	lookup_pack_key(c->id, key);
	return mdb_put(t, l->dbi, &k, &v, 0);
}

int lookup_add_pack(struct lookup *l, const struct pack_id *id, const struct pack_entry *e,
		    uint32_t n, bool replace, struct err *err)
{
	struct pack_change c = {id, e, n, replace};
	int r;

	if (l->env && !l->read_only)
		return with_write(l, write_add, &c, "cannot add a pack", err);
	r = lookup_mem_add(l, id, e, n);
	return r < 0 ? err_set(err, r, "lookup %s: out of memory", l->dir) : 0;
}

/* The name lost its place: a copy elsewhere takes it. */
static int promote(struct lookup *l, MDB_txn *t, const struct digest *name)
{
	uint8_t key[COPY_KEY], value[VALUE_BYTES];
	MDB_cursor *cur;
	MDB_val k = {DIGEST_BYTES, (void *) (uintptr_t) name->b}, v;
	int r = mdb_cursor_open(t, l->dbi, &cur);

	if (r != 0)
		return r;
	r = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
	if (r == 0 && (k.mv_size != COPY_KEY || v.mv_size != VALUE_BYTES ||
		       memcmp(k.mv_data, name->b, DIGEST_BYTES) != 0))
		r = MDB_NOTFOUND;
	if (r == 0) {
		memcpy(key, k.mv_data, COPY_KEY);
		memcpy(value, v.mv_data, VALUE_BYTES);
	}
	mdb_cursor_close(cur);
	if (r != 0)
		return r == MDB_NOTFOUND ? 0 : r;
	k = (MDB_val){COPY_KEY, key};
	r = mdb_del(t, l->dbi, &k, NULL);
	if (r != 0)
		return r;
	k = (MDB_val){DIGEST_BYTES, (void *) (uintptr_t) name->b};
	v = (MDB_val){VALUE_BYTES, value};
	return mdb_put(t, l->dbi, &k, &v, 0);
}

static int remove_name(struct lookup *l, MDB_txn *t, const struct digest *name,
		       const struct pack_id *id)
{
	uint8_t key[COPY_KEY];
	MDB_val k = {sizeof(key), key}, v;
	int r;

	copy_key(name, id, key);
	r = mdb_del(t, l->dbi, &k, NULL);
	if (r != 0 && r != MDB_NOTFOUND)
		return r;
	k = (MDB_val){DIGEST_BYTES, (void *) (uintptr_t) name->b};
	r = mdb_get(t, l->dbi, &k, &v);
	if (r != 0 || !lookup_points_to(&v, id))
		return r == MDB_NOTFOUND ? 0 : r;
	r = mdb_del(t, l->dbi, &k, NULL);
	return r == 0 ? promote(l, t, name) : r;
}

/* Gathered first, because a change moves the cursor. */
static int remove_all(struct lookup *l, MDB_txn *t, const struct pack_id *id)
{
	struct found f = {0};
	int r = lookup_visit(l, t, id, &f);

	for (uint32_t i = 0; i < f.n && r == 0; i++)
		r = remove_name(l, t, &f.e[i].name, id);
	free(f.e);
	return r;
}

static int write_remove(struct lookup *l, MDB_txn *t, void *arg)
{
	const struct pack_change *c = arg;
	uint8_t key[PACK_KEY];
	MDB_val k = {sizeof(key), key};
	int r = 0;

	if (!c->e)
		r = remove_all(l, t, c->id);
	for (uint32_t i = 0; c->e && i < c->n && r == 0; i++)
		r = remove_name(l, t, &c->e[i].name, c->id);
	if (r != 0)
		return r;
	lookup_pack_key(c->id, key);
	r = mdb_del(t, l->dbi, &k, NULL);
	return r == MDB_NOTFOUND ? 0 : r;
}

int lookup_remove_pack(struct lookup *l, const struct pack_id *id, const struct pack_entry *e,
		       uint32_t n, struct err *err)
{
	struct pack_change c = {.id = id, .e = e, .n = n};

	if (!l->env || l->read_only)
		return err_set(err, -EROFS, "lookup %s: opened read-only", l->dir);
	return with_write(l, write_remove, &c, "cannot remove a pack", err);
}

static int put_number(struct lookup *l, MDB_txn *t, const char *key, uint64_t n)
{
	uint8_t b[8];
	MDB_val k = {strlen(key), (void *) (uintptr_t) key}, v = {sizeof(b), b};

	put_le64(b, n);
	return mdb_put(t, l->dbi, &k, &v, 0);
}

static int write_clear(struct lookup *l, MDB_txn *t, void *arg)
{
	uint64_t age = lookup_number(l, t, "age");
	int r = mdb_drop(t, l->dbi, 0);

	return r == 0 ? put_number(l, t, "age", age + 1) : r;
}

int lookup_clear(struct lookup *l, struct err *err)
{
	if (!l->env || l->read_only)
		return err_set(err, -EROFS, "lookup %s: opened read-only", l->dir);
	return with_write(l, write_clear, NULL, "cannot clear", err);
}

struct mark_change {
	const struct lookup_mark *was;
	int64_t seq;
};

static int write_mark(struct lookup *l, MDB_txn *t, void *arg)
{
	const struct mark_change *c = arg;

	if (lookup_number(l, t, "age") != c->was->age ||
	    (int64_t) lookup_number(l, t, "seq") >= c->seq)
		return 0;
	return put_number(l, t, "seq", (uint64_t) c->seq);
}

int lookup_mark_set(struct lookup *l, const struct lookup_mark *was, int64_t seq, struct err *err)
{
	struct mark_change c = {was, seq};

	if (!l->env || l->read_only)
		return 0;
	return with_write(l, write_mark, &c, "cannot set the watermark", err);
}

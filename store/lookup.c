/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys: 32 bytes = a frame's name; name + 16 bytes of a pack's id = another copy of it; 'p' + 16
 * bytes = a known pack; "seq" = watermark. LMDB allows one environment per path and process, so
 * they are kept in a reference-counted table.
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/lookup_internal.h"

#define MAP_BYTES (UINT64_C(64) << 30) /* address space only; doubled when full */
#define READERS   1024

struct lookup_txn {
	struct lookup *l;
	MDB_txn *txn; /* NULL without an environment */
};

/* The one table of open environments: LMDB's own rule needs it to be the process's. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lookup *open_list;

static int mdb_errno(int r)
{
	if (r > 0)
		return -r;
	switch (r) {
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
		return -EBADMSG;
	case MDB_READERS_FULL:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

int lookup_fail(struct lookup *l, int r, const char *what, struct err *err)
{
	return err_set(err, mdb_errno(r),
		       "lookup %s: %s: %s (`kiln store rebuild-index` makes it "
		       "anew)",
		       l->dir, what, mdb_strerror(r));
}

/* Opens the environment; *@l->env stays NULL when it is absent and may not be made. */
static int env_open(struct lookup *l, struct err *err)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (l->read_only ? MDB_RDONLY : 0);
	auto_free char *file = path_join(l->dir, "data.mdb");
	MDB_txn *txn = NULL;
	int r;

	if (!file)
		return err_set(err, -ENOMEM, "out of memory");
	if (l->read_only && !file_exists(file))
		return 0;
	r = mdb_env_create(&l->env);
	if (r == 0)
		r = mdb_env_set_mapsize(l->env, MAP_BYTES);
	if (r == 0)
		r = mdb_env_set_maxreaders(l->env, READERS);
	if (r == 0)
		r = mdb_env_open(l->env, l->dir, flags, 0640);
	if (r == 0)
		r = mdb_txn_begin(l->env, NULL, l->read_only ? MDB_RDONLY : 0, &txn);
	if (r == 0)
		r = mdb_dbi_open(txn, NULL, 0, &l->dbi);
	if (r == 0)
		r = mdb_txn_commit(txn);
	else if (txn)
		mdb_txn_abort(txn);
	if (r == 0) {
		int dead;

		(void) mdb_reader_check(l->env, &dead);
		return 0;
	}
	if (l->env)
		mdb_env_close(l->env);
	l->env = NULL;
	/* Without its lock file a reader works from trailers: slower, never wrong. */
	if (l->read_only)
		return 0;
	return lookup_fail(l, r, "cannot open", err);
}

static void lookup_destroy(struct lookup *l)
{
	if (l->env)
		mdb_env_close(l->env);
	(void) pthread_rwlock_destroy(&l->map_lock);
	(void) pthread_rwlock_destroy(&l->mem_lock);
	free(l->mem);
	free(l->mem_packs);
	free(l->dir);
	free(l);
}

static int lookup_make(const char *dir, bool read_only, struct lookup **ret, struct err *err)
{
	struct lookup *l = calloc(1, sizeof(*l));
	int r = 0;

	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	l->refs = 1;
	l->read_only = read_only;
	(void) pthread_rwlock_init(&l->map_lock, NULL);
	(void) pthread_rwlock_init(&l->mem_lock, NULL);
	l->dir = strdup(dir);
	if (!l->dir)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r >= 0 && !read_only)
		r = file_mkdir_p(dir, 0750, err);
	if (r >= 0)
		r = env_open(l, err);
	if (r < 0) {
		lookup_destroy(l);
		return r;
	}
	*ret = l;
	return 0;
}

int lookup_open(const char *dir, bool read_only, struct lookup **ret, struct err *err)
{
	auto_free char *real = NULL;
	int r = 0;

	if (!read_only)
		r = file_mkdir_p(dir, 0750, err);
	if (r < 0)
		return r;
	real = realpath(dir, NULL);
	if (!real && errno != ENOENT)
		return err_set(err, -errno, "%s: %s", dir, strerror(errno));
	pthread_mutex_lock(&open_lock);
	for (struct lookup *l = open_list; l; l = l->next) {
		/* A writer can serve readers; a reader's environment cannot become a writer's. */
		if (strcmp(l->dir, real ? real : dir) != 0 || (l->read_only && !read_only))
			continue;
		l->refs++;
		*ret = l;
		pthread_mutex_unlock(&open_lock);
		return 0;
	}
	r = lookup_make(real ? real : dir, read_only, ret, err);
	if (r >= 0) {
		(*ret)->next = open_list;
		open_list = *ret;
	}
	pthread_mutex_unlock(&open_lock);
	return r;
}

void lookup_close(struct lookup *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&open_lock);
	if (--l->refs == 0) {
		for (struct lookup **p = &open_list; *p; p = &(*p)->next) {
			if (*p == l) {
				*p = l->next;
				break;
			}
		}
		lookup_destroy(l);
	}
	pthread_mutex_unlock(&open_lock);
}

int lookup_txn_begin(struct lookup *l, bool write, MDB_txn **ret)
{
	for (;;) {
		int r;

		pthread_rwlock_rdlock(&l->map_lock);
		r = mdb_txn_begin(l->env, NULL, write ? 0 : MDB_RDONLY, ret);
		if (r == 0)
			return 0;
		pthread_rwlock_unlock(&l->map_lock);
		if (r != MDB_MAP_RESIZED)
			return r;
		pthread_rwlock_wrlock(&l->map_lock);
		r = mdb_env_set_mapsize(l->env, 0);
		pthread_rwlock_unlock(&l->map_lock);
		if (r != 0)
			return r;
	}
}

static bool loc_decode(const MDB_val *v, struct frame_loc *ret)
{
	struct cursor c = {v->mv_data, v->mv_size};
	uint8_t b[4];

	if (v->mv_size != VALUE_BYTES || !cursor_bytes(&c, ret->pack.b, PACK_ID_BYTES) ||
	    !cursor_le32(&c, &ret->offset) || !cursor_le32(&c, &ret->length) ||
	    !cursor_le32(&c, &ret->index) || !cursor_bytes(&c, b, sizeof(b)))
		return false;
	ret->kind = b[0];
	ret->encoding = b[1];
	ret->level = b[2];
	return ret->length <= FRAME_MAX + PACK_TAG_BYTES;
}

void lookup_loc_of(const struct pack_id *id, const struct pack_entry *e, uint32_t index,
		   struct frame_loc *ret)
{
	*ret = (struct frame_loc){
		.pack = *id,
		.offset = (uint32_t) e->offset,
		.length = e->length,
		.index = index,
		.kind = e->kind,
		.encoding = e->encoding,
		.level = e->level,
	};
}

static size_t mem_hash(const struct digest *d)
{
	size_t h;

	memcpy(&h, d->b, sizeof(h)); /* a digest is its own hash */
	return h;
}

/* Slot of @name, or the free one where it belongs. The table is never full. */
static struct mem_slot *mem_slot(struct mem_slot *t, size_t cap, const struct digest *name)
{
	size_t i = mem_hash(name) & (cap - 1);

	while (!digest_is_zero(&t[i].name) && !digest_eq(&t[i].name, name))
		i = (i + 1) & (cap - 1);
	return &t[i];
}

static int mem_reserve(struct lookup *l, size_t n)
{
	size_t cap = l->mem_cap ? l->mem_cap : 4096;
	struct mem_slot *t;

	while (cap / 2 < l->mem_n + n)
		cap *= 2;
	if (cap == l->mem_cap)
		return 0;
	t = calloc(cap, sizeof(*t));
	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < l->mem_cap; i++)
		if (!digest_is_zero(&l->mem[i].name))
			*mem_slot(t, cap, &l->mem[i].name) = l->mem[i];
	free(l->mem);
	l->mem = t;
	l->mem_cap = cap;
	return 0;
}

int lookup_mem_add(struct lookup *l, const struct pack_id *id, const struct pack_entry *e,
		   uint32_t n)
{
	struct pack_id *packs;
	int r;

	pthread_rwlock_wrlock(&l->mem_lock);
	r = mem_reserve(l, n);
	packs = reallocarray(l->mem_packs, l->mem_packs_n + 1, sizeof(*packs));
	if (packs)
		l->mem_packs = packs;
	else
		r = -ENOMEM;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		struct mem_slot *s = mem_slot(l->mem, l->mem_cap, &e[i].name);

		if (!digest_is_zero(&s->name))
			continue;
		s->name = e[i].name;
		lookup_loc_of(id, &e[i], i, &s->loc);
		l->mem_n++;
	}
	if (r == 0)
		l->mem_packs[l->mem_packs_n++] = *id;
	pthread_rwlock_unlock(&l->mem_lock);
	return r;
}

bool lookup_shared(struct lookup *l)
{
	bool shared;

	pthread_rwlock_rdlock(&l->map_lock);
	shared = l->env;
	pthread_rwlock_unlock(&l->map_lock);
	return shared;
}

struct lookup_txn *lookup_begin(struct lookup *l)
{
	struct lookup_txn *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->l = l;
	/* A reader may have come before the first writer. */
	if (l->read_only && !lookup_shared(l)) {
		pthread_rwlock_wrlock(&l->map_lock);
		if (!l->env)
			(void) env_open(l, NULL);
		pthread_rwlock_unlock(&l->map_lock);
	}
	if (l->env && lookup_txn_begin(l, false, &t->txn) != 0)
		t->txn = NULL; /* a hint that cannot be read knows nothing */
	return t;
}

void lookup_end(struct lookup_txn *t)
{
	if (!t)
		return;
	if (t->txn) {
		mdb_txn_abort(t->txn);
		pthread_rwlock_unlock(&t->l->map_lock);
	}
	free(t);
}

bool lookup_get(struct lookup_txn *t, const struct digest *name, struct frame_loc *ret)
{
	struct lookup *l = t->l;
	MDB_val k = {DIGEST_BYTES, (void *) (uintptr_t) name->b}, v;
	bool found = false;

	if (t->txn && mdb_get(t->txn, l->dbi, &k, &v) == 0 && loc_decode(&v, ret))
		return true;
	pthread_rwlock_rdlock(&l->mem_lock);
	if (l->mem) {
		const struct mem_slot *s = mem_slot(l->mem, l->mem_cap, name);

		found = !digest_is_zero(&s->name);
		if (found)
			*ret = s->loc;
	}
	pthread_rwlock_unlock(&l->mem_lock);
	return found;
}

unsigned lookup_copies(struct lookup *l, const struct digest *name, struct frame_loc *dst,
		       unsigned max)
{
	struct lookup_txn *t = lookup_begin(l);
	MDB_cursor *cur = NULL;
	MDB_val k = {DIGEST_BYTES, (void *) (uintptr_t) name->b}, v;
	unsigned n = 0;
	int r;

	if (!t || !t->txn) {
		n = t && max > 0 && lookup_get(t, name, dst);
		lookup_end(t);
		return n;
	}
	r = mdb_cursor_open(t->txn, l->dbi, &cur);
	if (r == 0)
		r = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
	while (r == 0 && n < max && k.mv_size >= DIGEST_BYTES &&
	       memcmp(k.mv_data, name->b, DIGEST_BYTES) == 0) {
		if (loc_decode(&v, &dst[n]))
			n++;
		r = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	}
	if (cur)
		mdb_cursor_close(cur);
	lookup_end(t);
	return n;
}

bool lookup_find(struct lookup *l, const struct digest *name, struct frame_loc *ret)
{
	struct lookup_txn *t = lookup_begin(l);
	bool found = t && lookup_get(t, name, ret);

	lookup_end(t);
	return found;
}

void lookup_pack_key(const struct pack_id *id, uint8_t dst[PACK_KEY])
{
	dst[0] = 'p';
	memcpy(dst + 1, id->b, PACK_ID_BYTES);
}

bool lookup_has_pack(struct lookup *l, const struct pack_id *id)
{
	struct lookup_txn *t = lookup_begin(l);
	uint8_t key[PACK_KEY];
	MDB_val k = {sizeof(key), key}, v;
	bool found;

	if (!t)
		return false;
	lookup_pack_key(id, key);
	found = t->txn && mdb_get(t->txn, l->dbi, &k, &v) == 0;
	lookup_end(t);
	pthread_rwlock_rdlock(&l->mem_lock);
	for (size_t i = 0; i < l->mem_packs_n && !found; i++)
		found = memcmp(&l->mem_packs[i], id, sizeof(*id)) == 0;
	pthread_rwlock_unlock(&l->mem_lock);
	return found;
}

bool lookup_points_to(const MDB_val *v, const struct pack_id *id)
{
	return v->mv_size == VALUE_BYTES && memcmp(v->mv_data, id->b, PACK_ID_BYTES) == 0;
}

int lookup_visit(struct lookup *l, MDB_txn *t, const struct pack_id *id, struct found *f)
{
	MDB_cursor *cur;
	MDB_val k, v;
	int r = mdb_cursor_open(t, l->dbi, &cur);

	if (r != 0)
		return r;
	while ((r = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0) {
		struct frame_loc loc;

		if ((k.mv_size != DIGEST_BYTES && k.mv_size != COPY_KEY) ||
		    !lookup_points_to(&v, id) || !loc_decode(&v, &loc))
			continue;
		if (loc.index >= PACK_MAX_FRAMES)
			continue;
		if (loc.index >= f->cap) {
			uint32_t cap = f->cap ? f->cap : 1024;
			struct pack_entry *p;

			while (cap <= loc.index)
				cap *= 2;
			p = reallocarray(f->e, cap, sizeof(*p));
			if (!p) {
				r = ENOMEM;
				break;
			}
			memset(p + f->cap, 0, (cap - f->cap) * sizeof(*p));
			f->e = p;
			f->cap = cap;
		}
		f->e[loc.index] = (struct pack_entry){
			.offset = loc.offset,
			.length = loc.length,
			.kind = loc.kind,
			.encoding = loc.encoding,
			.level = loc.level,
		};
		memcpy(f->e[loc.index].name.b, k.mv_data, DIGEST_BYTES);
		if (loc.index >= f->n)
			f->n = loc.index + 1;
	}
	mdb_cursor_close(cur);
	return r == MDB_NOTFOUND ? 0 : r;
}

int lookup_frames(struct lookup *l, const struct pack_id *id, struct pack_entry **ret,
		  uint32_t *ret_n, struct err *err)
{
	struct lookup_txn *t = lookup_begin(l);
	struct found f = {0};
	int r = 0;

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	if (t->txn)
		r = lookup_visit(l, t->txn, id, &f);
	lookup_end(t);
	if (r != 0) {
		free(f.e);
		return lookup_fail(l, r, "cannot read", err);
	}
	*ret = f.e;
	*ret_n = f.n;
	return 0;
}

uint64_t lookup_number(struct lookup *l, MDB_txn *t, const char *key)
{
	MDB_val k = {strlen(key), (void *) (uintptr_t) key}, v;
	uint64_t n = 0;

	if (mdb_get(t, l->dbi, &k, &v) == 0) {
		struct cursor c = {v.mv_data, v.mv_size};

		(void) cursor_le64(&c, &n);
	}
	return n;
}

void lookup_mark_get(struct lookup *l, struct lookup_mark *ret)
{
	struct lookup_txn *t = lookup_begin(l);

	*ret = (struct lookup_mark){0};
	if (t && t->txn) {
		ret->seq = (int64_t) lookup_number(l, t->txn, "seq");
		ret->age = lookup_number(l, t->txn, "age");
	}
	lookup_end(t);
}

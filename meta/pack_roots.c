/* SPDX-License-Identifier: Apache-2.0 */
/* Roots: what is alive, in whose name. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/packs_internal.h"
#include "meta/row.h"

static int write_root(struct meta *m, const struct session_key *k, const struct root_row *r,
		      struct err *err)
{
	char root[DIGEST_HEX], digest[DIGEST_HEX];
	struct db_value key[] = {DBT(r->kind), DBT(r->id), DBT(r->region)};
	int64_t had = 0;
	int e;
	struct db_value p[] = {
		DBT(r->kind),
		DBT(r->id),
		DBT(r->region),
		DBT(digest_hex(&r->root, root)),
		DBT(digest_hex(&r->digest, digest)),
		DBI(r->size_bytes),
		DBT(strcmp(r->kind, "session") == 0 ? k->id : NULL),
		DBI(time_now_us()),
	};

	e = db_query(meta_db(m),
		     "SELECT COUNT(*) FROM store_root WHERE kind = ? AND id = ? AND region = ?",
		     key, 3, row_int, &had, NULL, err);
	if (e >= 0)
		e = packs_count_removed(meta_db(m), had, err);
	if (e < 0)
		return e;
	return exec_sql(m,
			"INSERT INTO store_root (kind, id, region, root, digest, size_bytes,"
			" session, created_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
			" ON CONFLICT (kind, id, region) DO UPDATE SET created_us ="
			" CASE WHEN store_root.digest = excluded.digest THEN store_root.created_us"
			" ELSE excluded.created_us END, root = excluded.root,"
			" digest = excluded.digest, size_bytes = excluded.size_bytes,"
			" session = excluded.session",
			p, ARRAY_SIZE(p), NULL, err);
}

/* Every pack that the session pinned in the region must still be there; stamps them. */
static int stamp_pinned(struct meta *m, const struct session_key *k, const char *region,
			struct err *err)
{
	struct db_value p[] = {DBT(region), DBT(k->id), DBI(PACK_PRESENT)};
	struct db_value q[] = {DBT(region), DBT(region), DBT(k->id)};
	int64_t gone = 0;
	int r;

	r = db_query(meta_db(m),
		     "SELECT COUNT(*) FROM store_pin WHERE region = ? AND session = ?"
		     " AND NOT EXISTS (SELECT 1 FROM store_pack WHERE store_pack.region ="
		     " store_pin.region AND store_pack.id = store_pin.pack AND state = ?)",
		     p, ARRAY_SIZE(p), row_int, &gone, NULL, err);
	if (r < 0)
		return r;
	if (gone > 0)
		return err_set(err, -ESTALE, "region %s: %lld packs of this session are gone",
			       region, (long long) gone);
	return exec_sql(m,
			"UPDATE store_pack SET stamp = (SELECT value FROM store_counter"
			" WHERE name = 'epoch') WHERE region = ? AND id IN"
			" (SELECT pack FROM store_pin WHERE region = ? AND session = ?)",
			q, ARRAY_SIZE(q), NULL, err);
}

int packs_root_add(struct meta *m, const struct session_key *k, const struct root_row *row,
		   struct err *err)
{
	struct db *db = meta_db(m);
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	r = packs_session_check(db, k, err);
	if (r >= 0)
		r = stamp_pinned(m, k, row->region, err);
	if (r >= 0)
		r = write_root(m, k, row, err);
	return tx_end(m, r, err);
}

int packs_root_hold(struct meta *m, const struct session_key *k, const struct root_row *row,
		    struct err *err)
{
	struct db *db = meta_db(m);
	char hex[DIGEST_HEX];
	struct db_value p[] = {DBT(digest_hex(&row->digest, hex)), DBT(row->region)};
	int64_t n = 0;
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	r = packs_session_check(db, k, err);
	if (r >= 0)
		r = db_query(db, "SELECT COUNT(*) FROM store_root WHERE digest = ? AND region = ?",
			     p, 2, row_int, &n, NULL, err);
	if (r >= 0 && n == 0)
		r = err_set(err, -ENOENT, "no live root in region %s holds disk sha256:%s",
			    row->region, hex);
	if (r >= 0)
		r = write_root(m, k, row, err);
	return tx_end(m, r, err);
}

static int parse_root(const struct db_row *row, struct root_row *ret)
{
	const char *root = db_col_text(row, 3), *digest = db_col_text(row, 4);

	ret->region = db_col_text(row, 0);
	ret->kind = db_col_text(row, 1);
	ret->id = db_col_text(row, 2);
	if (!ret->region || !ret->kind || !ret->id || !root || !digest ||
	    digest_parse(root, &ret->root) < 0 || digest_parse(digest, &ret->digest) < 0)
		return -EBADMSG;
	ret->size_bytes = (uint64_t) db_col_int(row, 5);
	ret->created_us = db_col_int(row, 6);
	ret->used_us = db_col_int(row, 7);
	ret->cost_bytes = db_col_int(row, 8);
	return 0;
}

struct one_root {
	struct root_row *ret;
	bool found;
};

static int row_one_root(void *arg, const struct db_row *row)
{
	struct one_root *o = arg;
	struct root_row rr;
	int r = parse_root(row, &rr);

	if (r < 0)
		return r;
	o->found = true;
	o->ret->root = rr.root;
	o->ret->digest = rr.digest;
	o->ret->size_bytes = rr.size_bytes;
	return 0;
}

#define ROOT_COLUMNS "region, kind, id, root, digest, size_bytes, created_us, used_us, cost_bytes"

int packs_root_get(struct meta *m, struct root_row *ret, struct err *err)
{
	struct one_root o = {.ret = ret};
	struct db_value p[] = {DBT(ret->kind), DBT(ret->id), DBT(ret->region)};
	int r = db_query(meta_db(m),
			 "SELECT " ROOT_COLUMNS " FROM store_root"
			 " WHERE kind = ? AND id = ? AND region = ?",
			 p, ARRAY_SIZE(p), row_one_root, &o, NULL, err);

	if (r < 0)
		return err_ctx(err, r, "root %s %s", ret->kind, ret->id);
	if (!o.found)
		return err_set(err, -ENOENT, "no %s \"%s\" in region %s", ret->kind, ret->id,
			       ret->region);
	return 0;
}

int packs_root_remove(struct meta *m, const char *region, const char *kind, const char *id,
		      struct err *err)
{
	struct db *db = meta_db(m);
	struct db_value p[] = {DBT(kind), DBT(id), DBT(region)};
	int64_t n = 0;
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	r = exec_sql(m,
		     region ? "DELETE FROM store_root WHERE kind = ? AND id = ? AND region = ?"
			    : "DELETE FROM store_root WHERE kind = ? AND id = ?",
		     p, region ? 3 : 2, &n, err);
	if (r >= 0)
		r = packs_count_removed(db, n, err);
	return tx_end(m, r, err);
}

int packs_root_use(struct meta *m, const char *region, const char *kind, const char *id,
		   int64_t cost_bytes, struct err *err)
{
	struct db_value p[] = {DBI(time_now_us()), DBI(cost_bytes), DBI(cost_bytes),
			       DBT(kind),          DBT(id),         DBT(region)};

	return exec_sql(m,
			"UPDATE store_root SET used_us = ?,"
			" cost_bytes = CASE WHEN ? < 0 THEN cost_bytes ELSE ? END"
			" WHERE kind = ? AND id = ? AND region = ?",
			p, ARRAY_SIZE(p), NULL, err);
}

int packs_root_remove_unused(struct meta *m, const char *region, const char *kind, const char *id,
			     int64_t before_us, bool *ret_removed, struct err *err)
{
	struct db *db = meta_db(m);
	struct db_value p[] = {DBT(kind), DBT(id), DBT(region), DBI(before_us), DBI(before_us)};
	int64_t n = 0;
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	r = exec_sql(m,
		     "DELETE FROM store_root WHERE kind = ? AND id = ? AND region = ?"
		     " AND used_us < ? AND created_us < ?",
		     p, ARRAY_SIZE(p), &n, err);
	if (r >= 0)
		r = packs_count_removed(db, n, err);
	*ret_removed = n > 0;
	return tx_end(m, r, err);
}

struct list_roots {
	root_row_fn *fn;
	void *arg;
	unsigned n;               /* rows of this page */
	char *kind, *id, *region; /* owned: of the last row */
};

static int row_list_root(void *arg, const struct db_row *row)
{
	struct list_roots *l = arg;
	struct root_row rr;
	int r = parse_root(row, &rr);

	if (r < 0)
		return r;
	if (++l->n == PAGE) {
		free(l->kind);
		free(l->id);
		free(l->region);
		l->kind = strdup(rr.kind);
		l->id = strdup(rr.id);
		l->region = strdup(rr.region);
		if (!l->kind || !l->id || !l->region)
			return -ENOMEM;
	}
	return l->fn(l->arg, &rr);
}

static int root_page(struct meta *m, const char *region, const char *kind, struct list_roots *l,
		     struct err *err)
{
	struct db_value p[6];
	size_t n = 0;

	p[n++] = DBT(l->kind ? l->kind : "");
	p[n++] = DBT(l->kind ? l->id : "");
	p[n++] = DBT(l->kind ? l->region : "");
	if (region)
		p[n++] = DBT(region);
	if (kind)
		p[n++] = DBT(kind);
	p[n++] = DBI(PAGE);
	l->n = 0;
#define ROOTS_AFTER "SELECT " ROOT_COLUMNS " FROM store_root WHERE (kind, id, region) > (?, ?, ?)"
#define ROOTS_ORDER " ORDER BY kind, id, region LIMIT ?"
	return db_query(meta_db(m),
			region && kind ? ROOTS_AFTER " AND region = ? AND kind = ?" ROOTS_ORDER
			: region       ? ROOTS_AFTER " AND region = ?" ROOTS_ORDER
			: kind         ? ROOTS_AFTER " AND kind = ?" ROOTS_ORDER
				       : ROOTS_AFTER ROOTS_ORDER,
			p, n, row_list_root, l, NULL, err);
}

/* In pages, of one moment: a root that is copied and then removed must not slip through. */
int packs_root_list(struct meta *m, const char *region, const char *kind, root_row_fn *fn,
		    void *arg, struct err *err)
{
	struct list_roots l = {.fn = fn, .arg = arg};
	struct db *db = meta_db(m);
	int r = db_begin_read(db, err);

	if (r < 0)
		return r;
	do {
		r = root_page(m, region, kind, &l, err);
	} while (r == 0 && l.n == PAGE);
	free(l.kind);
	free(l.id);
	free(l.region);
	if (r != 0) {
		db_rollback(db);
		return r;
	}
	return db_commit(db, err);
}

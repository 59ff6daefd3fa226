/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/packs_internal.h"

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/schema.h"

const char *const schema_store[] = {
	"CREATE TABLE store_counter ("
	" name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
	"INSERT INTO store_counter (name, value) VALUES ('epoch', 1)",
	"INSERT INTO store_counter (name, value) VALUES ('seq', 0)",
	"INSERT INTO store_counter (name, value) VALUES ('token', 0)",
	"CREATE TABLE store_session ("
	" id TEXT PRIMARY KEY, token BIGINT NOT NULL, purpose TEXT NOT NULL, owner TEXT NOT NULL,"
	" epoch BIGINT NOT NULL, expires_us BIGINT NOT NULL)",
	"CREATE TABLE store_pack ("
	" region TEXT NOT NULL, id TEXT NOT NULL, state BIGINT NOT NULL, bytes BIGINT NOT NULL,"
	" frames BIGINT NOT NULL, seq BIGINT NOT NULL, stamp BIGINT NOT NULL,"
	" epoch BIGINT NOT NULL, PRIMARY KEY (region, id))",
	"CREATE UNIQUE INDEX store_pack_seq ON store_pack (region, seq)",
	"CREATE TABLE store_pin ("
	" region TEXT NOT NULL, pack TEXT NOT NULL, session TEXT NOT NULL,"
	" PRIMARY KEY (region, pack, session))",
	"CREATE INDEX store_pin_session ON store_pin (session)",
	"CREATE TABLE store_root ("
	" kind TEXT NOT NULL, id TEXT NOT NULL, region TEXT NOT NULL, root TEXT NOT NULL,"
	" digest TEXT NOT NULL, size_bytes BIGINT NOT NULL, session TEXT,"
	" PRIMARY KEY (kind, id, region))",
	"CREATE INDEX store_root_digest ON store_root (digest)",
	"CREATE INDEX store_root_session ON store_root (session)",
	NULL,
};

const char *const schema_root_age[] = {
	"ALTER TABLE store_root ADD COLUMN created_us BIGINT NOT NULL DEFAULT 0",
	NULL,
};

const char *const schema_root_use[] = {
	"ALTER TABLE store_root ADD COLUMN used_us BIGINT NOT NULL DEFAULT 0",
	"ALTER TABLE store_root ADD COLUMN cost_bytes BIGINT NOT NULL DEFAULT 0",
	NULL,
};

/* Ends a transaction by its outcome; @r < 0 rolls back. */
static int finish(struct db *db, int r, struct err *err)
{
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	return db_commit(db, err);
}

static int exec_sql(struct db *db, const char *sql, const struct db_value *params, size_t n,
		    int64_t *ret_changes, struct err *err)
{
	return db_query(db, sql, params, n, NULL, NULL, ret_changes, err);
}

static int row_int(void *arg, const struct db_row *row)
{
	int64_t *v = arg;

	*v = db_col_int(row, 0);
	return 0;
}

static int store_counter_get(struct db *db, const char *name, int64_t *ret, struct err *err)
{
	struct db_value p[] = {DBT(name)};

	*ret = 0;
	return db_query(db, "SELECT value FROM store_counter WHERE name = ?", p, 1, row_int, ret,
			NULL, err);
}

static int store_counter_next(struct db *db, const char *name, int64_t *ret, struct err *err)
{
	struct db_value p[] = {DBT(name)};
	int r = exec_sql(db, "UPDATE store_counter SET value = value + 1 WHERE name = ?", p, 1,
			 NULL, err);

	if (r < 0)
		return r;
	return store_counter_get(db, name, ret, err);
}

int packs_epoch_next(struct meta *m, int64_t *ret, struct err *err)
{
	struct db *db = meta_db(m);
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	return finish(db, store_counter_next(db, "epoch", ret, err), err);
}

int packs_epoch_raise(struct meta *m, int64_t epoch, struct err *err)
{
	struct db_value p[] = {DBI(epoch), DBI(epoch)};

	return exec_sql(meta_db(m),
			"UPDATE store_counter SET value = ? WHERE name = 'epoch' AND value < ?", p,
			2, NULL, err);
}

int packs_count_removed(struct db *db, int64_t n, struct err *err)
{
	struct db_value p[] = {DBI(n)};

	if (n == 0)
		return 0;
	return exec_sql(db,
			"INSERT INTO store_counter (name, value) VALUES ('removed', ?)"
			" ON CONFLICT (name) DO UPDATE SET value = store_counter.value +"
			" excluded.value",
			p, 1, NULL, err);
}

static int counter_set(struct db *db, const char *kind, const char *region, int64_t value,
		       struct err *err)
{
	auto_free char *name = strf("%s/%s", kind, region);
	struct db_value p[] = {DBT(name), DBI(value)};

	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	return exec_sql(db,
			"INSERT INTO store_counter (name, value) VALUES (?, ?)"
			" ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			p, 2, NULL, err);
}

int packs_gc_note(struct meta *m, const char *region, int64_t *ret_live, int64_t *ret_removed,
		  int64_t *ret_removed_now, struct err *err)
{
	struct db *db = meta_db(m);
	auto_free char *live = strf("gc-live/%s", region), *removed = strf("gc-removed/%s", region);
	int r;

	if (!live || !removed)
		return err_set(err, -ENOMEM, "out of memory");
	r = store_counter_get(db, live, ret_live, err);
	if (r >= 0)
		r = store_counter_get(db, removed, ret_removed, err);
	if (r >= 0)
		r = store_counter_get(db, "removed", ret_removed_now, err);
	return r;
}

int packs_gc_set(struct meta *m, const char *region, int64_t live, int64_t removed, struct err *err)
{
	struct db *db = meta_db(m);
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	r = counter_set(db, "gc-live", region, live, err);
	if (r >= 0)
		r = counter_set(db, "gc-removed", region, removed, err);
	return finish(db, r, err);
}

int packs_session_begin(struct meta *m, const char *purpose, const char *owner, int64_t lease_s,
			struct session_key *ret, struct err *err)
{
	struct db *db = meta_db(m);
	uint8_t raw[PACK_ID_BYTES];
	int64_t epoch;
	int r;

	r = random_bytes(raw, sizeof(raw));
	if (r < 0)
		return err_set(err, r, "store session: no random bytes");
	hex_encode(raw, sizeof(raw), ret->id);
	r = db_begin(db, err);
	if (r < 0)
		return r;
	r = store_counter_get(db, "epoch", &epoch, err);
	if (r >= 0)
		r = store_counter_next(db, "token", &ret->token, err);
	if (r >= 0) {
		struct db_value p[] = {
			DBT(ret->id), DBI(ret->token), DBT(purpose),
			DBT(owner),   DBI(epoch),      DBI(time_now_us() + lease_s * 1000000),
		};

		r = exec_sql(db,
			     "INSERT INTO store_session (id, token, purpose, owner, epoch,"
			     " expires_us) VALUES (?, ?, ?, ?, ?, ?)",
			     p, ARRAY_SIZE(p), NULL, err);
	}
	return finish(db, r, err);
}

int packs_session_renew(struct meta *m, const struct session_key *k, int64_t lease_s,
			struct err *err)
{
	struct db_value p[] = {DBI(time_now_us() + lease_s * 1000000), DBT(k->id), DBI(k->token)};
	int64_t n = 0;
	int r = exec_sql(meta_db(m),
			 "UPDATE store_session SET expires_us = ? WHERE id = ? AND token = ?", p,
			 ARRAY_SIZE(p), &n, err);

	if (r < 0)
		return r;
	if (n == 0)
		return err_set(err, -ESTALE, "store session %s was expired", k->id);
	return 0;
}

static int session_end(struct db *db, const char *id, struct err *err)
{
	static const char *const sql[] = {
		"DELETE FROM store_pin WHERE session = ?",
		"DELETE FROM store_root WHERE session = ?",
		"DELETE FROM store_session WHERE id = ?",
	};
	struct db_value p[] = {DBT(id)};
	int64_t n, removed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sql); i++) {
		int r = exec_sql(db, sql[i], p, 1, &n, err);
		if (r < 0)
			return r;
		removed += i == 1 ? n : 0;
	}
	return packs_count_removed(db, removed, err);
}

int packs_session_end(struct meta *m, const char *id, struct err *err)
{
	struct db *db = meta_db(m);
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	return finish(db, session_end(db, id, err), err);
}

struct expire {
	session_alive_fn *alive;
	void *arg;
	int64_t now;
	char **dead; /* ids; owned */
};

static int row_expire(void *arg, const struct db_row *row)
{
	struct expire *e = arg;
	const char *owner = db_col_text(row, 1);

	if (e->alive(e->arg, owner ? owner : "", db_col_int(row, 2) < e->now))
		return 0;
	return strv_push(&e->dead, db_col_text(row, 0));
}

int packs_session_expire(struct meta *m, session_alive_fn *alive, void *arg, unsigned *ret_ended,
			 struct err *err)
{
	struct db *db = meta_db(m);
	struct expire e = {.alive = alive, .arg = arg, .now = time_now_us()};
	unsigned n = 0;
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	r = db_query(db, "SELECT id, owner, expires_us FROM store_session", NULL, 0, row_expire, &e,
		     NULL, err);
	for (; r >= 0 && e.dead && e.dead[n]; n++)
		r = session_end(db, e.dead[n], err);
	strv_free(e.dead);
	r = finish(db, r, err);
	if (r >= 0 && ret_ended)
		*ret_ended = n;
	return r;
}

int packs_session_check(struct db *db, const struct session_key *k, struct err *err)
{
	struct db_value p[] = {DBT(k->id), DBI(k->token)};
	int64_t n = 0;
	int r = db_query(db, "SELECT COUNT(*) FROM store_session WHERE id = ? AND token = ?", p, 2,
			 row_int, &n, NULL, err);

	if (r < 0)
		return r;
	if (n == 0)
		return err_set(err, -ESTALE, "store session %s was expired", k->id);
	return 0;
}

int packs_gc_claim(struct meta *m, const struct session_key *k, const char *region, struct err *err)
{
	auto_free char *name = strf("gc-run/%s", region);
	struct db *db = meta_db(m);
	int64_t token, other = 0;
	int r;

	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	r = db_begin(db, err);
	if (r < 0)
		return r;
	r = packs_session_check(db, k, err);
	if (r >= 0)
		r = store_counter_get(db, name, &token, err);
	if (r >= 0)
		r = db_query(db, "SELECT COUNT(*) FROM store_session WHERE token = ?",
			     (struct db_value[]){DBI(token)}, 1, row_int, &other, NULL, err);
	if (r >= 0 && other > 0)
		r = err_set(err, -EBUSY, "another collection of region %s is running", region);
	if (r >= 0)
		r = counter_set(db, "gc-run", region, k->token, err);
	return finish(db, r, err);
}

static int insert_pack(struct db *db, const char *region, const char *hex, uint64_t bytes,
		       uint64_t frames, struct err *err)
{
	int64_t seq, epoch;
	int r = store_counter_get(db, "epoch", &epoch, err);

	if (r >= 0)
		r = store_counter_next(db, "seq", &seq, err);
	if (r < 0)
		return r;

	struct db_value p[] = {
		DBT(region), DBT(hex), DBI(PACK_PRESENT), DBI(bytes),
		DBI(frames), DBI(seq), DBI(epoch),
	};

	return exec_sql(
		db,
		"INSERT INTO store_pack (region, id, state, bytes, frames, seq, stamp, epoch)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (region, id) DO NOTHING",
		p, ARRAY_SIZE(p), NULL, err);
}

static int insert_pin(struct db *db, const char *region, const char *hex, const char *session,
		      struct err *err)
{
	struct db_value p[] = {DBT(region), DBT(hex), DBT(session)};

	return exec_sql(db,
			"INSERT INTO store_pin (region, pack, session) VALUES (?, ?, ?)"
			" ON CONFLICT DO NOTHING",
			p, ARRAY_SIZE(p), NULL, err);
}

static int pin_one(struct db *db, const struct session_key *k, const char *region,
		   const struct pack_id *id, bool *ret_ok, struct err *err)
{
	char hex[PACK_ID_HEX];
	int64_t found = 0;
	int r;

	hex_encode(id->b, sizeof(id->b), hex);

	struct db_value p[] = {DBI(PACK_PRESENT), DBT(region), DBT(hex), DBI(PACK_DELETING)};

	r = exec_sql(db,
		     "UPDATE store_pack SET state = ? WHERE region = ? AND id = ? AND state <> ?",
		     p, ARRAY_SIZE(p), &found, err);
	*ret_ok = r >= 0 && found > 0;
	return *ret_ok ? insert_pin(db, region, hex, k->id, err) : r;
}

/* A collection may have found the pack before its row was there, adopted and condemned it. */
int packs_add(struct meta *m, const struct session_key *k, const char *region,
	      const struct pack_id *id, uint64_t bytes, uint64_t frames, struct err *err)
{
	struct db *db = meta_db(m);
	char hex[PACK_ID_HEX];
	bool ok = false;
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	hex_encode(id->b, sizeof(id->b), hex);
	r = packs_session_check(db, k, err);
	if (r >= 0)
		r = insert_pack(db, region, hex, bytes, frames, err);
	if (r >= 0)
		r = pin_one(db, k, region, id, &ok, err);
	if (r >= 0 && !ok)
		r = err_set(err, -ESTALE, "new pack %s was taken for a stray and is being removed",
			    hex);
	return finish(db, r, err);
}

int packs_adopt(struct meta *m, const char *region, const struct pack_id *id, uint64_t bytes,
		uint64_t frames, struct err *err)
{
	struct db *db = meta_db(m);
	char hex[PACK_ID_HEX];
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	hex_encode(id->b, sizeof(id->b), hex);
	return finish(db, insert_pack(db, region, hex, bytes, frames, err), err);
}

int packs_pin(struct meta *m, const struct session_key *k, const char *region,
	      const struct pack_id *ids, size_t n, bool *ret_ok, struct err *err)
{
	struct db *db = meta_db(m);
	int r = db_begin(db, err);

	if (r < 0)
		return r;
	r = packs_session_check(db, k, err);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = pin_one(db, k, region, &ids[i], &ret_ok[i], err);
	return finish(db, r, err);
}

static int parse_pack(const struct db_row *row, struct pack_row *ret)
{
	const char *hex = db_col_text(row, 0);
	int64_t state = db_col_int(row, 1);

	if (!hex || hex_decode(hex, ret->id.b, sizeof(ret->id.b)) < 0 || state < PACK_PRESENT ||
	    state > PACK_DELETING)
		return -EBADMSG;
	ret->state = (enum pack_state) state;
	ret->bytes = (uint64_t) db_col_int(row, 2);
	ret->frames = (uint64_t) db_col_int(row, 3);
	ret->seq = db_col_int(row, 4);
	ret->stamp = db_col_int(row, 5);
	ret->epoch = db_col_int(row, 6);
	return 0;
}

struct one_pack {
	struct pack_row *ret;
	bool found;
};

static int row_pack(void *arg, const struct db_row *row)
{
	struct one_pack *o = arg;

	o->found = true;
	return parse_pack(row, o->ret);
}

int packs_get(struct meta *m, const char *region, const struct pack_id *id, struct pack_row *ret,
	      struct err *err)
{
	struct one_pack o = {.ret = ret};
	char hex[PACK_ID_HEX];
	int r;

	hex_encode(id->b, sizeof(id->b), hex);

	struct db_value p[] = {DBT(region), DBT(hex)};

	r = db_query(meta_db(m),
		     "SELECT id, state, bytes, frames, seq, stamp, epoch FROM store_pack"
		     " WHERE region = ? AND id = ?",
		     p, 2, row_pack, &o, NULL, err);
	if (r < 0)
		return r;
	if (!o.found)
		return err_set(err, -ENOENT, "pack %s of region %s has no row", hex, region);
	return 0;
}

struct list_packs {
	pack_row_fn *fn;
	void *arg;
	int64_t after; /* seq of the last row */
	unsigned n;    /* rows of this page */
};

static int row_list_pack(void *arg, const struct db_row *row)
{
	struct list_packs *l = arg;
	struct pack_row pr;
	int r = parse_pack(row, &pr);

	if (r < 0)
		return r;
	l->after = pr.seq;
	l->n++;
	return l->fn(l->arg, &pr);
}

int packs_list(struct meta *m, const char *region, int64_t after, pack_row_fn *fn, void *arg,
	       struct err *err)
{
	struct list_packs l = {.fn = fn, .arg = arg, .after = after};
	int r;

	do {
		struct db_value p[] = {DBT(region), DBI(l.after), DBI(PAGE)};

		l.n = 0;
		r = db_query(meta_db(m),
			     "SELECT id, state, bytes, frames, seq, stamp, epoch FROM store_pack"
			     " WHERE region = ? AND seq > ? ORDER BY seq LIMIT ?",
			     p, ARRAY_SIZE(p), row_list_pack, &l, NULL, err);
	} while (r == 0 && l.n == PAGE);
	return r;
}

static int row_usage(void *arg, const struct db_row *row)
{
	uint64_t *v = arg;

	for (int i = 0; i < 3; i++)
		v[i] = (uint64_t) db_col_int(row, i);
	return 0;
}

int packs_usage(struct meta *m, const char *region, uint64_t *ret_packs, uint64_t *ret_bytes,
		uint64_t *ret_frames, struct err *err)
{
	struct db_value p[] = {DBT(region), DBI(PACK_DELETING)};
	uint64_t v[3] = {0};
	int r = db_query(meta_db(m),
			 "SELECT COUNT(*), COALESCE(SUM(bytes), 0), COALESCE(SUM(frames), 0)"
			 " FROM store_pack WHERE region = ? AND state <> ?",
			 p, 2, row_usage, v, NULL, err);

	*ret_packs = v[0];
	*ret_bytes = v[1];
	*ret_frames = v[2];
	return r;
}

/* The collector that judges is still the one that may. */
#define SESSION_THERE                                                                              \
	" AND EXISTS (SELECT 1 FROM store_session WHERE store_session.id = ?"                      \
	" AND store_session.token = ?)"

int packs_condemn(struct meta *m, const struct session_key *k, const char *region,
		  const struct pack_id *id, int64_t snapshot, bool *ret_done, struct err *err)
{
	char hex[PACK_ID_HEX];
	int64_t n = 0;
	int r;

	hex_encode(id->b, sizeof(id->b), hex);

	struct db_value p[] = {DBI(PACK_CONDEMNED), DBI(snapshot), DBT(region), DBT(hex),
			       DBI(PACK_PRESENT),   DBI(snapshot), DBT(k->id),  DBI(k->token)};

	r = exec_sql(meta_db(m),
		     "UPDATE store_pack SET state = ?, epoch = ? WHERE region = ? AND id = ?"
		     " AND state = ? AND stamp < ? AND NOT EXISTS (SELECT 1 FROM store_pin"
		     " WHERE store_pin.region = store_pack.region"
		     " AND store_pin.pack = store_pack.id)" SESSION_THERE,
		     p, ARRAY_SIZE(p), &n, err);
	*ret_done = r >= 0 && n > 0;
	return r;
}

int packs_rescue(struct meta *m, const char *region, const struct pack_id *id, struct err *err)
{
	char hex[PACK_ID_HEX];
	int64_t n = 0;
	int r;

	hex_encode(id->b, sizeof(id->b), hex);

	struct db_value p[] = {DBI(PACK_PRESENT), DBT(region), DBT(hex), DBI(PACK_DELETING)};

	r = exec_sql(meta_db(m),
		     "UPDATE store_pack SET state = ? WHERE region = ? AND id = ? AND state <> ?",
		     p, ARRAY_SIZE(p), &n, err);
	if (r >= 0 && n == 0)
		return err_set(err, -ESTALE, "pack %s of region %s has no usable row", hex, region);
	return r;
}

int packs_sweep_begin(struct meta *m, const struct session_key *k, const char *region,
		      const struct pack_id *id, int64_t before, bool *ret_done, struct err *err)
{
	char hex[PACK_ID_HEX];
	int64_t n = 0;
	int r;

	hex_encode(id->b, sizeof(id->b), hex);

	struct db_value p[] = {DBI(PACK_DELETING), DBT(region), DBT(hex),     DBI(PACK_CONDEMNED),
			       DBI(before),        DBT(k->id),  DBI(k->token)};

	/* A session older than the condemnation may still hold an unpinned lookup result; its
	 * pin would be refused, but waiting for it costs only space. */
	r = exec_sql(meta_db(m),
		     "UPDATE store_pack SET state = ? WHERE region = ? AND id = ? AND state = ?"
		     " AND epoch <= ? AND NOT EXISTS (SELECT 1 FROM store_pin"
		     " WHERE store_pin.region = store_pack.region"
		     " AND store_pin.pack = store_pack.id)"
		     " AND NOT EXISTS (SELECT 1 FROM store_session"
		     " WHERE store_session.epoch <= store_pack.epoch)" SESSION_THERE,
		     p, ARRAY_SIZE(p), &n, err);
	*ret_done = r >= 0 && n > 0;
	return r;
}

int packs_remove(struct meta *m, const char *region, const struct pack_id *id, struct err *err)
{
	char hex[PACK_ID_HEX];

	hex_encode(id->b, sizeof(id->b), hex);

	struct db_value p[] = {DBT(region), DBT(hex), DBI(PACK_DELETING)};

	return exec_sql(meta_db(m),
			"DELETE FROM store_pack WHERE region = ? AND id = ? AND state = ?", p,
			ARRAY_SIZE(p), NULL, err);
}

int packs_lost(struct meta *m, const char *region, const struct pack_id *id, struct err *err)
{
	char hex[PACK_ID_HEX];

	hex_encode(id->b, sizeof(id->b), hex);

	struct db_value p[] = {DBT(region), DBT(hex)};

	return exec_sql(meta_db(m), "DELETE FROM store_pack WHERE region = ? AND id = ?", p,
			ARRAY_SIZE(p), NULL, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/identity.h"

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/row.h"
#include "meta/schema.h"

const char *const schema_identity[] = {
	"CREATE TABLE identity ("
	" object_id TEXT PRIMARY KEY, login TEXT NOT NULL UNIQUE, key TEXT NOT NULL)",
	"CREATE TABLE identity_secret ("
	" key_id TEXT PRIMARY KEY, object_id TEXT NOT NULL, hash TEXT NOT NULL)",
	"CREATE INDEX identity_secret_object ON identity_secret (object_id)",
	"CREATE TABLE identity_member ("
	" group_id TEXT NOT NULL, member_id TEXT NOT NULL, PRIMARY KEY (group_id, member_id))",
	"CREATE INDEX identity_member_of ON identity_member (member_id, group_id)",
	"CREATE TABLE token_key ("
	" kid TEXT PRIMARY KEY, alg TEXT NOT NULL, issuer TEXT NOT NULL, jwk TEXT NOT NULL,"
	" made_us BIGINT NOT NULL, until_us BIGINT NOT NULL)",
	"CREATE TABLE assertion (id TEXT PRIMARY KEY, until_us BIGINT NOT NULL)",
	"CREATE INDEX assertion_until ON assertion (until_us)",
	NULL,
};

#define EPOCH "identity"

int identity_touch(struct meta *m, struct err *err)
{
	int64_t v;

	return counter_next(m, EPOCH, &v, err);
}

int identity_epoch(struct meta *m, int64_t *ret, struct err *err)
{
	return counter_get(m, EPOCH, ret, err);
}

/* ---- Principals ----------------------------------------------------------------------------- */

int identity_add(struct meta *m, const char *object_id, const char *login, const char *key,
		 struct err *err)
{
	struct db_value p[] = {DBT(object_id), DBT(login), DBT(key)};

	return exec_sql(m, "INSERT INTO identity (object_id, login, key) VALUES (?, ?, ?)", p,
			ARRAY_SIZE(p), NULL, err);
}

int identity_remove(struct meta *m, const char *object_id, struct err *err)
{
	static const char *const sql[] = {
		"DELETE FROM identity WHERE object_id = ?",
		"DELETE FROM identity_secret WHERE object_id = ?",
		"DELETE FROM identity_member WHERE member_id = ?",
		"DELETE FROM identity_member WHERE group_id = ?",
	};
	struct db_value p[] = {DBT(object_id)};
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(sql) && r >= 0; i++)
		r = exec_sql(m, sql[i], p, ARRAY_SIZE(p), NULL, err);
	return tx_end(m, r, err);
}

static int row_text(void *arg, const struct db_row *row)
{
	return row_str(row, 0, arg);
}

static int one_text(struct meta *m, const char *sql, const struct db_value *p, size_t n, char **ret,
		    struct err *err)
{
	char *text = NULL;
	int r = db_query(meta_db(m), sql, p, n, row_text, &text, NULL, err);

	if (r >= 0 && !text)
		return -ENOENT;
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	return 0;
}

int identity_by_object(struct meta *m, const char *object_id, char **ret, struct err *err)
{
	struct db_value p[] = {DBT(object_id)};

	return one_text(m, "SELECT key FROM identity WHERE object_id = ?", p, 1, ret, err);
}

int identity_by_login(struct meta *m, const char *login, char **ret, struct err *err)
{
	struct db_value p[] = {DBT(login)};

	return one_text(m, "SELECT key FROM identity WHERE login = ?", p, 1, ret, err);
}

/* ---- Secrets -------------------------------------------------------------------------------- */

int identity_secret_add(struct meta *m, const char *key_id, const char *object_id, const char *hash,
			struct err *err)
{
	struct db_value p[] = {DBT(key_id), DBT(object_id), DBT(hash)};

	return exec_sql(m, "INSERT INTO identity_secret (key_id, object_id, hash) VALUES (?, ?, ?)",
			p, ARRAY_SIZE(p), NULL, err);
}

int identity_secret_get(struct meta *m, const char *key_id, const char *object_id, char **ret,
			struct err *err)
{
	struct db_value p[] = {DBT(key_id), DBT(object_id)};

	return one_text(m, "SELECT hash FROM identity_secret WHERE key_id = ? AND object_id = ?", p,
			ARRAY_SIZE(p), ret, err);
}

int identity_secret_remove(struct meta *m, const char *key_id, struct err *err)
{
	struct db_value p[] = {DBT(key_id)};

	return exec_sql(m, "DELETE FROM identity_secret WHERE key_id = ?", p, 1, NULL, err);
}

/* ---- Groups --------------------------------------------------------------------------------- */

static int member_change(struct meta *m, const char *sql, const char *group_id,
			 const char *member_id, bool *ret_changed, struct err *err)
{
	struct db_value p[] = {DBT(group_id), DBT(member_id)};
	int64_t n = 0;
	int r = exec_sql(m, sql, p, ARRAY_SIZE(p), &n, err);

	if (ret_changed)
		*ret_changed = n > 0;
	return r;
}

int identity_member_add(struct meta *m, const char *group_id, const char *member_id,
			bool *ret_changed, struct err *err)
{
	return member_change(m,
			     "INSERT INTO identity_member (group_id, member_id) VALUES (?, ?)"
			     " ON CONFLICT (group_id, member_id) DO NOTHING",
			     group_id, member_id, ret_changed, err);
}

int identity_member_remove(struct meta *m, const char *group_id, const char *member_id,
			   bool *ret_changed, struct err *err)
{
	return member_change(m, "DELETE FROM identity_member WHERE group_id = ? AND member_id = ?",
			     group_id, member_id, ret_changed, err);
}

static int row_push(void *arg, const struct db_row *row)
{
	return strv_push(arg, db_col_text(row, 0));
}

static int many_texts(struct meta *m, const char *sql, const char *id, char ***ret, struct err *err)
{
	struct db_value p[] = {DBT(id)};
	char **v = NULL;
	int r = db_query(meta_db(m), sql, p, ARRAY_SIZE(p), row_push, &v, NULL, err);

	if (r < 0) {
		strv_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

int identity_members(struct meta *m, const char *group_id, char ***ret, struct err *err)
{
	return many_texts(m,
			  "SELECT member_id FROM identity_member WHERE group_id = ?"
			  " ORDER BY member_id",
			  group_id, ret, err);
}

int identity_groups(struct meta *m, const char *member_id, char ***ret, struct err *err)
{
	return many_texts(m,
			  "WITH RECURSIVE up (id) AS ("
			  " SELECT group_id FROM identity_member WHERE member_id = ?"
			  " UNION SELECT g.group_id FROM identity_member g"
			  " JOIN up ON g.member_id = up.id)"
			  " SELECT id FROM up ORDER BY id",
			  member_id, ret, err);
}

/* ---- Keys that sign tokens ------------------------------------------------------------------ */

void token_key_done(struct token_key *k)
{
	free(k->kid);
	free(k->alg);
	free(k->issuer);
	free(k->jwk);
	*k = (struct token_key){0};
}

int token_key_add(struct meta *m, const struct token_key *k, struct err *err)
{
	struct db_value p[] = {DBT(k->kid), DBT(k->alg),     DBT(k->issuer),
			       DBT(k->jwk), DBI(k->made_us), DBI(k->until_us)};

	return exec_sql(m,
			"INSERT INTO token_key (kid, alg, issuer, jwk, made_us, until_us)"
			" VALUES (?, ?, ?, ?, ?, ?)",
			p, ARRAY_SIZE(p), NULL, err);
}

#define KEY_COLUMNS "kid, alg, issuer, jwk, made_us, until_us"

static int parse_key(const struct db_row *row, struct token_key *k)
{
	int r = row_str(row, 0, &k->kid);

	if (r >= 0)
		r = row_str(row, 1, &k->alg);
	if (r >= 0)
		r = row_str(row, 2, &k->issuer);
	if (r >= 0)
		r = row_str(row, 3, &k->jwk);
	k->made_us = db_col_int(row, 4);
	k->until_us = db_col_int(row, 5);
	return r;
}

static int row_key(void *arg, const struct db_row *row)
{
	return parse_key(row, arg);
}

int token_key_get(struct meta *m, const char *kid, struct token_key *ret, struct err *err)
{
	struct db_value p[] = {DBT(kid)};
	struct token_key k = {0};
	int r = db_query(meta_db(m), "SELECT " KEY_COLUMNS " FROM token_key WHERE kid = ?", p, 1,
			 row_key, &k, NULL, err);

	if (r >= 0 && !k.kid)
		return -ENOENT;
	if (r < 0) {
		token_key_done(&k);
		return r;
	}
	*ret = k;
	return 0;
}

struct key_walk {
	token_key_fn *fn;
	void *arg;
};

static int row_walk(void *arg, const struct db_row *row)
{
	struct key_walk *w = arg;
	auto_token_key struct token_key k = {0};
	int r = parse_key(row, &k);

	return r < 0 ? r : w->fn(w->arg, &k);
}

int token_key_each(struct meta *m, token_key_fn *fn, void *arg, struct err *err)
{
	struct key_walk w = {fn, arg};

	return db_query(meta_db(m),
			"SELECT " KEY_COLUMNS " FROM token_key ORDER BY made_us DESC, kid", NULL, 0,
			row_walk, &w, NULL, err);
}

int token_key_shorten(struct meta *m, const char *kid, int64_t until_us, struct err *err)
{
	struct db_value p[] = {DBI(until_us), DBT(kid), DBI(until_us)};

	return exec_sql(m, "UPDATE token_key SET until_us = ? WHERE kid = ? AND until_us > ?", p,
			ARRAY_SIZE(p), NULL, err);
}

int token_key_expire(struct meta *m, int64_t now_us, struct err *err)
{
	struct db_value p[] = {DBI(now_us)};

	return exec_sql(m, "DELETE FROM token_key WHERE until_us < ?", p, 1, NULL, err);
}

int assertion_use(struct meta *m, const char *id, int64_t until_us, struct err *err)
{
	struct db_value old[] = {DBI(time_now_us())}, p[] = {DBT(id), DBI(until_us)};
	int r = exec_sql(m, "DELETE FROM assertion WHERE until_us < ?", old, 1, NULL, err);

	if (r >= 0)
		r = exec_sql(m, "INSERT INTO assertion (id, until_us) VALUES (?, ?)", p,
			     ARRAY_SIZE(p), NULL, err);
	return r;
}

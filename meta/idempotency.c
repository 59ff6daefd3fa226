/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/idempotency.h"

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/row.h"

struct found {
	const char *digest;
	json_t *response;
	bool other;
};

static int row_found(void *arg, const struct db_row *row)
{
	struct found *f = arg;

	f->other = !str_eq(db_col_text(row, 0), f->digest);
	return f->other ? 0 : row_json(row, 1, &f->response);
}

int idempotency_get(struct meta *m, const char *principal, const char *key, const char *digest,
		    json_t **ret, struct err *err)
{
	struct db_value p[] = {DBT(principal), DBT(key)};
	struct found f = {.digest = digest};
	int r = db_query(meta_db(m),
			 "SELECT digest, response FROM idempotency WHERE principal = ? AND key = ?",
			 p, ARRAY_SIZE(p), row_found, &f, NULL, err);

	if (r < 0)
		return r;
	if (f.other)
		return err_set(err, -EEXIST, "the idempotency key was used for another request");
	if (!f.response)
		return -ENOENT;
	*ret = f.response;
	return 0;
}

int idempotency_put(struct meta *m, const char *principal, const char *key, const char *digest,
		    const json_t *response, struct err *err)
{
	auto_free char *text = NULL;

	if (json_column(response, &text) < 0)
		return err_set(err, -ENOMEM, "out of memory");

	struct db_value p[] = {DBT(principal), DBT(key), DBT(digest), DBI(time_now_us()),
			       DBT(text)};

	return exec_sql(m,
			"INSERT INTO idempotency (principal, key, digest, created_us, response)"
			" VALUES (?, ?, ?, ?, ?)",
			p, ARRAY_SIZE(p), NULL, err);
}

int idempotency_expire(struct meta *m, int64_t before_us, unsigned limit, struct err *err)
{
	struct db_value p[] = {DBI(before_us), DBI(limit)};

	return exec_sql(m,
			"DELETE FROM idempotency WHERE (principal, key) IN (SELECT principal, key"
			" FROM idempotency WHERE created_us < ? ORDER BY created_us LIMIT ?)",
			p, ARRAY_SIZE(p), NULL, err);
}

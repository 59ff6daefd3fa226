/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "base/mem.h"
#include "meta/row.h"

int counter_next(struct meta *m, const char *name, int64_t *ret, struct err *err)
{
	struct db_value p[] = {DBT(name)};
	int r;

	*ret = 0;
	r = db_query(meta_db(m),
		     "INSERT INTO meta_counter (name, value) VALUES (?, 1)"
		     " ON CONFLICT (name) DO UPDATE SET value = meta_counter.value + 1"
		     " RETURNING value",
		     p, ARRAY_SIZE(p), row_int, ret, NULL, err);
	return r;
}

int counter_get(struct meta *m, const char *name, int64_t *ret, struct err *err)
{
	struct db_value p[] = {DBT(name)};

	*ret = 0;
	return db_query(meta_db(m), "SELECT value FROM meta_counter WHERE name = ?", p,
			ARRAY_SIZE(p), row_int, ret, NULL, err);
}

int counter_raise(struct meta *m, const char *name, int64_t least, struct err *err)
{
	struct db_value p[] = {DBT(name), DBI(least)};

	return db_query(meta_db(m),
			"INSERT INTO meta_counter (name, value) VALUES (?, ?)"
			" ON CONFLICT (name) DO UPDATE SET value = excluded.value"
			" WHERE meta_counter.value < excluded.value",
			p, ARRAY_SIZE(p), NULL, NULL, NULL, err);
}

int stamp_renew(struct meta *m, const char *name, struct err *err)
{
	uint64_t value = 0;
	int r = random_bytes(&value, sizeof(value));

	if (r < 0)
		return err_set(err, r, "random bytes: %s", strerrordesc_np(-r));

	struct db_value p[] = {DBT(name), DBI(value >> 1)};

	return db_query(meta_db(m),
			"INSERT INTO meta_counter (name, value) VALUES (?, ?)"
			" ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			p, ARRAY_SIZE(p), NULL, NULL, NULL, err);
}

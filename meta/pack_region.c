/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a region that is given up. */
#include "base/mem.h"
#include "meta/packs_internal.h"
#include "meta/row.h"

static int count(struct meta *m, const char *sql, const char *region, int64_t *ret, struct err *err)
{
	struct db_value p[] = {DBT(region)};

	*ret = 0;
	return db_query(meta_db(m), sql, p, 1, row_int, ret, NULL, err);
}

/* Nobody works there, and every root is elsewhere too. */
static int check_free(struct meta *m, const char *region, struct err *err)
{
	int64_t busy, pins, only;
	int r = count(m, "SELECT COUNT(*) FROM store_root WHERE region = ? AND session IS NOT NULL",
		      region, &busy, err);

	if (r >= 0)
		r = count(m, "SELECT COUNT(*) FROM store_pin WHERE region = ?", region, &pins, err);
	if (r >= 0)
		r = count(m,
			  "SELECT COUNT(*) FROM store_root a WHERE region = ? AND NOT EXISTS"
			  " (SELECT 1 FROM store_root b WHERE b.kind = a.kind AND b.id = a.id"
			  " AND b.digest = a.digest AND b.region <> a.region)",
			  region, &only, err);
	if (r < 0)
		return r;
	if (busy + pins > 0)
		return err_set(err, -EBUSY,
			       "region %s is in use: writers or exports hold %lld of its disks and "
			       "packs",
			       region, (long long) (busy + pins));
	if (only > 0)
		return err_set(err, -ENOTEMPTY, "region %s holds the only copy of %lld disks",
			       region, (long long) only);
	return 0;
}

static char *incarnation_name(const char *region)
{
	return strf("incarnation/%s", region);
}

int packs_incarnation(struct meta *m, const char *region, int64_t *ret, struct err *err)
{
	auto_free char *name = incarnation_name(region);

	return name ? count(m, "SELECT value FROM store_counter WHERE name = ?", name, ret, err)
		    : err_set(err, -ENOMEM, "out of memory");
}

int packs_incarnation_set(struct meta *m, const char *region, int64_t id, struct err *err)
{
	auto_free char *name = incarnation_name(region);
	struct db_value p[] = {DBT(name), DBI(id)};

	if (!name)
		return err_set(err, -ENOMEM, "out of memory");
	return exec_sql(m,
			"INSERT INTO store_counter (name, value) VALUES (?, ?)"
			" ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			p, 2, NULL, err);
}

struct newest {
	struct pack_id *ret;
	bool found;
};

static int newest_row(void *arg, const struct db_row *row)
{
	struct newest *n = arg;
	const char *hex = db_col_text(row, 0);

	n->found = hex && hex_decode(hex, n->ret->b, PACK_ID_BYTES) >= 0;
	return 0;
}

int packs_newest(struct meta *m, const char *region, struct pack_id *ret, struct err *err)
{
	struct db_value p[] = {DBT(region), DBI(PACK_PRESENT)};
	struct newest n = {ret, false};
	int r = db_query(meta_db(m),
			 "SELECT id FROM store_pack WHERE region = ? AND state = ?"
			 " ORDER BY seq DESC LIMIT 1",
			 p, 2, newest_row, &n, NULL, err);

	if (r >= 0 && !n.found)
		r = err_set(err, -ENOENT, "region %s has no pack", region);
	return r;
}

int packs_region_forget(struct meta *m, const char *region, struct err *err)
{
	struct db *db = meta_db(m);
	auto_free char *live = strf("gc-live/%s", region), *gone = strf("gc-removed/%s", region);
	auto_free char *is = incarnation_name(region);
	struct db_value p[] = {DBT(region)}, c[] = {DBT(live), DBT(gone), DBT(is)};
	int r = live && gone && is ? db_begin(db, err) : err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	r = check_free(m, region, err);
	if (r >= 0)
		r = exec_sql(m, "DELETE FROM store_root WHERE region = ?", p, 1, NULL, err);
	if (r >= 0)
		r = exec_sql(m, "DELETE FROM store_pack WHERE region = ?", p, 1, NULL, err);
	if (r >= 0)
		r = exec_sql(m, "DELETE FROM store_counter WHERE name IN (?, ?, ?)", c, 3, NULL,
			     err);
	return tx_end(m, r, err);
}

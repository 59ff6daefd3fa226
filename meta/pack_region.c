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

int packs_region_forget(struct meta *m, const char *region, struct err *err)
{
	struct db *db = meta_db(m);
	auto_free char *live = strf("gc-live/%s", region), *gone = strf("gc-removed/%s", region);
	struct db_value p[] = {DBT(region)}, c[] = {DBT(live), DBT(gone)};
	int r = live && gone ? db_begin(db, err) : err_set(err, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	r = check_free(m, region, err);
	if (r >= 0)
		r = exec_sql(m, "DELETE FROM store_root WHERE region = ?", p, 1, NULL, err);
	if (r >= 0)
		r = exec_sql(m, "DELETE FROM store_pack WHERE region = ?", p, 1, NULL, err);
	if (r >= 0)
		r = exec_sql(m, "DELETE FROM store_counter WHERE name = ? OR name = ?", c, 2, NULL,
			     err);
	return tx_end(m, r, err);
}

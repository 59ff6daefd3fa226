/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/meta.h"

#include "base/mem.h"
#include "meta/driver.h"
#include "meta/schema.h"

struct meta {
	struct db *db;
};

int meta_open(const char *url, struct meta **ret, struct err *err)
{
	struct meta *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	r = db_open(url, &m->db, err);
	if (r >= 0)
		r = schema_migrate(m->db, err);
	if (r < 0) {
		meta_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

void meta_close(struct meta *m)
{
	if (!m)
		return;
	db_close(m->db);
	free(m);
}

struct db *meta_db(struct meta *m)
{
	return m->db;
}

int meta_begin(struct meta *m, struct err *err)
{
	return db_begin(m->db, err);
}

int meta_commit(struct meta *m, struct err *err)
{
	return db_commit(m->db, err);
}

void meta_rollback(struct meta *m)
{
	db_rollback(m->db);
}

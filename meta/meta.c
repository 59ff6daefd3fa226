/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/meta.h"

#include "base/mem.h"
#include "meta/driver.h"
#include "meta/names.h"
#include "meta/row.h"
#include "meta/schema.h"

struct meta {
	struct db *db;
	const char *const *watched; /* types; set once, before other threads use @db */
	const char *stamp;
	const struct resource_naming *namings; /* the same; ends with type NULL; NULL = none */
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

void meta_limit(struct meta *m, unsigned connections)
{
	db_limit(m->db, connections);
}

struct db *meta_db(struct meta *m)
{
	return m->db;
}

void meta_watch(struct meta *m, const char *const *types, const char *stamp)
{
	m->watched = types;
	m->stamp = stamp;
}

const struct resource_naming *meta_namings(const struct meta *m)
{
	return m->namings;
}

void meta_set_namings(struct meta *m, const struct resource_naming *list)
{
	m->namings = list;
}

int watch_note(struct meta *m, const char *type, struct err *err)
{
	for (const char *const *t = m->watched; t && type && *t; t++)
		if (strcmp(*t, type) == 0)
			return stamp_renew(m, m->stamp, err);
	return 0;
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Names that resources are found by besides their key: resource_query.named. */
#include "base/mem.h"
#include "meta/names.h"
#include "meta/row.h"
#include "meta/schema.h"

const char *const schema_names[] = {
	"CREATE TABLE resource_name ("
	" kind TEXT NOT NULL, name TEXT NOT NULL, resource TEXT NOT NULL,"
	" PRIMARY KEY (kind, name, resource))",
	"CREATE INDEX resource_name_of ON resource_name (resource)",
	NULL,
};

static const struct resource_naming *naming_of(struct meta *m, const char *type)
{
	for (const struct resource_naming *n = meta_namings(m); n && type && n->type; n++)
		if (strcmp(n->type, type) == 0)
			return n;
	return NULL;
}

static int drop(struct meta *m, const char *key, struct err *err)
{
	struct db_value p[] = {DBT(key)};

	return exec_sql(m, "DELETE FROM resource_name WHERE resource = ?", p, 1, NULL, err);
}

static int add(struct meta *m, const struct resource *res, const char *name, struct err *err)
{
	struct db_value p[] = {DBT(res->type), DBT(name), DBT(res->key)};

	return exec_sql(m,
			"INSERT INTO resource_name (kind, name, resource) VALUES (?, ?, ?)"
			" ON CONFLICT DO NOTHING",
			p, ARRAY_SIZE(p), NULL, err);
}

int names_write(struct meta *m, const struct resource *res, struct err *err)
{
	const struct resource_naming *n = naming_of(m, res->type);
	auto_strv char **names = NULL;
	int r;

	if (!n)
		return 0;
	r = n->names(res->id, res->doc, &names);
	if (r < 0)
		return err_set(err, r, "names of \"%.300s\": %s", res->id, strerrordesc_np(-r));
	r = drop(m, res->key, err);
	for (char **s = names; s && *s && r >= 0; s++)
		r = add(m, res, *s, err);
	return r;
}

int names_drop(struct meta *m, const char *type, const char *key, struct err *err)
{
	return naming_of(m, type) ? drop(m, key, err) : 0;
}

/* ---- Rows from before there were names ---------------------------------------------------- */

static int name_all(struct meta *m, const char *type, struct err *err)
{
	auto_free char *after = NULL;
	size_t n = 0;
	int r = 0;

	do {
		struct resource_query q = {
			.type = type, .after = after, .limit = RESOURCE_PAGE_MAX};
		struct resource *rows = NULL;

		n = 0;
		r = resource_list(m, &q, &rows, &n, err);
		for (size_t i = 0; i < n && r >= 0; i++)
			r = names_write(m, &rows[i], err);
		free(after);
		after = r >= 0 && n > 0 ? strdup(rows[n - 1].sort) : NULL;
		if (r >= 0 && n > 0 && !after)
			r = err_set(err, -ENOMEM, "out of memory");
		resources_free(rows, n);
	} while (r >= 0 && n == RESOURCE_PAGE_MAX);
	return r;
}

/* Once for each type: a counter says that it was done. */
static int name_type(struct meta *m, const char *type, struct err *err)
{
	auto_free char *done = strf("names of %s", type);
	int64_t have;
	int r = done ? counter_get(m, done, &have, err) : -ENOMEM;

	if (r < 0 || have > 0)
		return r;
	r = meta_begin(m, err);
	if (r < 0)
		return r;
	r = counter_get(m, done, &have, err); /* another process may have done it meanwhile */
	if (r >= 0 && have == 0)
		r = name_all(m, type, err);
	if (r >= 0 && have == 0)
		r = counter_next(m, done, &have, err);
	return tx_end(m, r, err);
}

int meta_name(struct meta *m, const struct resource_naming *list, struct err *err)
{
	int r = 0;

	meta_set_namings(m, list);
	for (const struct resource_naming *n = list; n->type && r >= 0; n++)
		r = name_type(m, n->type, err);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/resources.h"

#include "base/mem.h"
#include "meta/row.h"
#include "meta/schema.h"

const char *const schema_resources[] = {
	"CREATE TABLE meta_counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
	"CREATE TABLE resource ("
	" key TEXT PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, sort TEXT NOT NULL,"
	" api_version TEXT NOT NULL, revision BIGINT NOT NULL, changes BIGINT NOT NULL,"
	" doc TEXT NOT NULL)",
	"CREATE UNIQUE INDEX resource_sort ON resource (type, sort)",
	NULL,
};

#define COLUMNS    "key, id, type, sort, api_version, revision, changes, doc"
#define DOC_COLUMN 7

void resource_done(struct resource *r)
{
	free(r->key);
	free(r->id);
	free(r->type);
	free(r->sort);
	free(r->api_version);
	json_decref(r->doc);
	*r = (struct resource){0};
}

void resources_free(struct resource *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		resource_done(&r[i]);
	free(r);
}

static int copy(const char *s, char **ret)
{
	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? -ENOMEM : 0;
}

int resource_row_doc(const struct resource_row *row, json_t **ret)
{
	json_t *doc = NULL;
	int r = row_json(row->columns, DOC_COLUMN, &doc);

	if (r >= 0 && !json_is_object(doc)) {
		json_decref(doc);
		r = -EBADMSG;
	}
	if (r >= 0)
		*ret = doc;
	return r;
}

/* @ret is for resource_done() also on failure. */
static int take(const struct resource_row *row, struct resource *ret)
{
	int r = copy(row->key, &ret->key);

	if (r >= 0)
		r = copy(row->id, &ret->id);
	if (r >= 0)
		r = copy(row->type, &ret->type);
	if (r >= 0)
		r = copy(row->sort, &ret->sort);
	if (r >= 0)
		r = copy(row->api_version, &ret->api_version);
	ret->revision = row->revision;
	ret->changes = row->changes;
	return r < 0 ? r : resource_row_doc(row, &ret->doc);
}

/* ---- One row ------------------------------------------------------------------------------ */

struct scan {
	resource_row_fn *fn;
	void *arg;
	size_t n; /* rows seen */
};

static int row_scan(void *arg, const struct db_row *columns)
{
	struct scan *s = arg;
	const struct resource_row row = {
		.key = db_col_text(columns, 0),
		.id = db_col_text(columns, 1),
		.type = db_col_text(columns, 2),
		.sort = db_col_text(columns, 3),
		.api_version = db_col_text(columns, 4),
		.revision = db_col_int(columns, 5),
		.changes = db_col_int(columns, 6),
		.columns = columns,
	};

	s->n++;
	if (!row.key || !row.id || !row.type || !row.sort || !row.api_version)
		return -EBADMSG;
	return s->fn(s->arg, &row);
}

int resource_look(struct meta *m, const char *key, resource_row_fn *fn, void *arg, struct err *err)
{
	struct db_value p[] = {DBT(key)};
	struct scan s = {fn, arg, 0};
	int r = db_query(meta_db(m), "SELECT " COLUMNS " FROM resource WHERE key = ?", p, 1,
			 row_scan, &s, NULL, err);

	if (r >= 0 && s.n == 0)
		return err_set(err, -ENOENT, "no resource \"%.300s\"", key);
	return r < 0 ? err_ctx(err, r, "resource \"%.300s\"", key) : r;
}

static int see_one(void *arg, const struct resource_row *row)
{
	return take(row, arg);
}

int resource_get(struct meta *m, const char *key, struct resource *ret, struct err *err)
{
	struct resource res = {0};
	int r = resource_look(m, key, see_one, &res, err);

	if (r < 0) {
		resource_done(&res);
		return r;
	}
	*ret = res;
	return 0;
}

/* ---- Writes ------------------------------------------------------------------------------- */

int resource_create(struct meta *m, struct resource *res, struct err *err)
{
	auto_free char *doc = NULL;
	int64_t revision = 0;
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	r = json_column(res->doc, &doc);
	if (r >= 0)
		r = counter_next(m, "revision", &revision, err);
	if (r >= 0) {
		struct db_value p[] = {
			DBT(res->key),         DBT(res->id),  DBT(res->type), DBT(res->sort),
			DBT(res->api_version), DBI(revision), DBI(1),         DBT(doc)};

		r = exec_sql(m,
			     "INSERT INTO resource (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			     p, ARRAY_SIZE(p), NULL, err);
	}
	if (r >= 0)
		r = watch_note(m, res->type, err);
	if (r >= 0)
		r = names_write(m, res, err);
	r = tx_end(m, r, err);
	if (r >= 0) {
		res->revision = revision;
		res->changes = 1;
	}
	return r;
}

int resource_update(struct meta *m, struct resource *res, bool revise, struct err *err)
{
	auto_free char *doc = NULL;
	int64_t revision = res->revision, n = 0;
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	r = json_column(res->doc, &doc);
	if (r >= 0 && revise)
		r = counter_next(m, "revision", &revision, err);
	if (r >= 0) {
		struct db_value p[] = {DBI(revision), DBT(doc), DBT(res->key), DBI(res->changes)};

		r = exec_sql(m,
			     "UPDATE resource SET revision = ?, doc = ?, changes = changes + 1"
			     " WHERE key = ? AND changes = ?",
			     p, ARRAY_SIZE(p), &n, err);
	}
	if (r >= 0 && n == 0)
		r = err_set(err, -ESTALE, "\"%.300s\" was changed by somebody else meanwhile",
			    res->id);
	if (r >= 0)
		r = watch_note(m, res->type, err);
	if (r >= 0)
		r = names_write(m, res, err);
	r = tx_end(m, r, err);
	if (r >= 0) {
		res->revision = revision;
		res->changes++;
	}
	return r;
}

static int row_type(void *arg, const struct db_row *row)
{
	return row_str(row, 0, arg);
}

int resource_delete(struct meta *m, const char *key, struct err *err)
{
	struct db_value p[] = {DBT(key)};
	auto_free char *type = NULL;
	int r = meta_begin(m, err);

	if (r < 0)
		return r;
	r = db_query(meta_db(m), "DELETE FROM resource WHERE key = ? RETURNING type", p, 1,
		     row_type, &type, NULL, err);
	if (r >= 0)
		r = watch_note(m, type, err);
	if (r >= 0)
		r = names_drop(m, type, key, err);
	return tx_end(m, r, err);
}

/* ---- Pages -------------------------------------------------------------------------------- */

struct page {
	struct resource *rows;
	size_t n, cap;
};

static int see_page(void *arg, const struct resource_row *row)
{
	struct page *pg = arg;
	int r;

	if (pg->n == pg->cap) {
		size_t cap = pg->cap ? pg->cap * 2 : 16;
		struct resource *p = reallocarray(pg->rows, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		pg->rows = p;
		pg->cap = cap;
	}
	pg->rows[pg->n] = (struct resource){0};
	r = take(row, &pg->rows[pg->n]);
	pg->n++; /* also half-taken: resources_free() releases it */
	return r;
}

/* Everything below a key sorts between "KEY/" and "KEY0": '0' follows '/'. */
static int bounds(const char *under, char **ret_lo, char **ret_hi)
{
	*ret_lo = strf("%s/", under);
	*ret_hi = strf("%s0", under);
	return *ret_lo && *ret_hi ? 0 : -ENOMEM;
}

/* One bound on each side: of two on the same side an index search may take the wrong one, and then
 * a page costs what all pages before it hold. */
static int page_sql(const struct resource_query *q, const char *lo, const char *hi, char **ret)
{
	const char *column = q->by_key ? "key" : "sort";

	const char *above = q->by_key ? " AND key > ?" : " AND sort > ?";
	const char *below = q->by_key ? " AND key < ?" : " AND sort < ?";

	const char *which = q->named  ? "key IN (SELECT resource FROM resource_name WHERE kind = ?"
					" AND name = ?)"
			    : q->type ? "type = ?"
				      : "1 = 1";

	*ret = strf("SELECT " COLUMNS " FROM resource WHERE %s%s%s ORDER BY %s%s LIMIT ?", which,
		    lo ? above : "", hi ? below : "", column, q->descending ? " DESC" : "");
	return *ret ? 0 : -ENOMEM;
}

int resource_scan(struct meta *m, const struct resource_query *q, resource_row_fn *fn, void *arg,
		  struct err *err)
{
	auto_free char *under_lo = NULL, *under_hi = NULL, *sql = NULL;
	struct scan s = {fn, arg, 0};
	const char *lo, *hi;
	struct db_value p[5];
	size_t n = 0;
	int r;

	if (q->limit == 0 || q->limit > RESOURCE_PAGE_MAX)
		return err_set(err, -EINVAL, "page of %u rows, 1 to %d are possible", q->limit,
			       RESOURCE_PAGE_MAX);
	if (q->under && *q->under && bounds(q->under, &under_lo, &under_hi) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	lo = under_lo;
	hi = under_hi;
	if (q->after && !q->descending && (!lo || strcmp(q->after, lo) > 0))
		lo = q->after;
	if (q->after && q->descending && (!hi || strcmp(q->after, hi) < 0))
		hi = q->after;
	if (page_sql(q, lo, hi, &sql) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (q->type)
		p[n++] = DBT(q->type);
	if (q->named)
		p[n++] = DBT(q->named);
	if (lo)
		p[n++] = DBT(lo);
	if (hi)
		p[n++] = DBT(hi);
	p[n++] = DBI(q->limit);
	r = db_query(meta_db(m), sql, p, n, row_scan, &s, NULL, err);
	return r < 0 ? err_ctx(err, r, "list of resources") : r;
}

int resource_list(struct meta *m, const struct resource_query *q, struct resource **ret,
		  size_t *ret_n, struct err *err)
{
	struct page pg = {0};
	int r = resource_scan(m, q, see_page, &pg, err);

	if (r < 0) {
		resources_free(pg.rows, pg.n);
		return r;
	}
	*ret = pg.rows;
	*ret_n = pg.n;
	return 0;
}

int resource_any_under(struct meta *m, const char *key, bool *ret, struct err *err)
{
	auto_free char *lo = NULL, *hi = NULL;
	int64_t n = 0;
	int r;

	if (bounds(key, &lo, &hi) < 0)
		return err_set(err, -ENOMEM, "out of memory");

	struct db_value p[] = {DBT(lo), DBT(hi)};

	r = db_query(meta_db(m),
		     "SELECT COUNT(*) FROM (SELECT 1 FROM resource WHERE key > ? AND key < ?"
		     " LIMIT 1) AS one",
		     p, 2, row_int, &n, NULL, err);
	*ret = n > 0;
	return r;
}

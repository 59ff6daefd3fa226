/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/row.h"

#include <string.h>

#include "base/mem.h"

int row_int(void *arg, const struct db_row *row)
{
	int64_t *v = arg;

	*v = db_col_int(row, 0);
	return 0;
}

int row_str(const struct db_row *row, int i, char **ret)
{
	const char *s = db_col_text(row, i);

	*ret = s ? strdup(s) : NULL;
	return s && !*ret ? -ENOMEM : 0;
}

int row_json(const struct db_row *row, int i, json_t **ret)
{
	const char *s = db_col_text(row, i);
	int r;

	*ret = NULL;
	if (!s)
		return 0;
	r = json_parse(s, strlen(s), ret, NULL);
	return r == -EINVAL || r == -EFBIG ? -EBADMSG : r;
}

int json_column(const json_t *j, char **ret)
{
	*ret = j ? json_compact(j) : NULL;
	return j && !*ret ? -ENOMEM : 0;
}

int tx_end(struct meta *m, int r, struct err *err)
{
	if (r < 0) {
		meta_rollback(m);
		return r;
	}
	return meta_commit(m, err);
}

int exec_sql(struct meta *m, const char *sql, const struct db_value *params, size_t n,
	     int64_t *ret_changes, struct err *err)
{
	return db_query(meta_db(m), sql, params, n, NULL, NULL, ret_changes, err);
}

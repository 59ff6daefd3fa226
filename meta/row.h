/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers for rows, private to meta/. */
#ifndef KILN_META_ROW_H
#define KILN_META_ROW_H

#include "base/json.h"
#include "meta/db.h"
#include "meta/meta.h"

/** row_int() - db_row_fn: column 0 into the int64_t at @arg. */
int row_int(void *arg, const struct db_row *row);
/** row_str() - copy of a text column into *@ret; NULL for SQL NULL. 0 or -ENOMEM. */
int row_str(const struct db_row *row, int i, char **ret);
/** row_json() - a text column parsed; NULL for SQL NULL. 0, -ENOMEM, -EBADMSG (not JSON). */
int row_json(const struct db_row *row, int i, json_t **ret);
/** json_column() - compact text for a column; *@ret is NULL for a NULL document. 0 or -ENOMEM. */
int json_column(const json_t *j, char **ret);
/** tx_end() - commit when @r >= 0, else roll back and return @r. */
int tx_end(struct meta *m, int r, struct err *err);
/** exec_sql() - a statement without rows. */
int exec_sql(struct meta *m, const char *sql, const struct db_value *params, size_t n,
	     int64_t *ret_changes, struct err *err);

/** names_write() - after a row was created or updated, names_drop() - after it was deleted: in its
 *  transaction, see meta_name(). */
struct resource;
int names_write(struct meta *m, const struct resource *res, struct err *err);
int names_drop(struct meta *m, const char *type, const char *key, struct err *err);
struct resource_naming;
const struct resource_naming *meta_namings(const struct meta *m);
void meta_set_namings(struct meta *m, const struct resource_naming *list);

/** watch_note() - a resource of this type was written: see meta_watch(). */
int watch_note(struct meta *m, const char *type, struct err *err);

#endif

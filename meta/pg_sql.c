/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "meta/pg.h"

static bool word_at(const char *p, const char *word)
{
	size_t n = strlen(word);

	return strncmp(p, word, n) == 0 && !(p[n] >= 'A' && p[n] <= 'Z') &&
	       !(p[n] >= 'a' && p[n] <= 'z') && p[n] != '_';
}

/* Does an INSERT of one row of values leave conflicts to the driver? */
static bool unique_insert(const char *sql)
{
	return str_starts(sql, "INSERT INTO") && strstr(sql, " VALUES ") &&
	       !strstr(sql, "ON CONFLICT");
}

int pg_sql(const char *sql, struct buf *out, bool *ret_unique)
{
	bool ddl = str_starts(sql, "CREATE TABLE") || str_starts(sql, "ALTER TABLE");
	const char *returning;
	unsigned n = 0;

	*ret_unique = unique_insert(sql);
	returning = *ret_unique ? strstr(sql, " RETURNING ") : NULL;
	for (const char *p = sql; *p; p++) {
		if (p == returning)
			(void) buf_addstr(out, " ON CONFLICT DO NOTHING");
		if (*p == '\'') { /* a literal: as it is, to its end */
			const char *end = strchr(p + 1, '\'');
			size_t len = end ? (size_t) (end - p) + 1 : strlen(p);

			(void) buf_add(out, p, len);
			p += len - 1;
		} else if (*p == '?') {
			(void) buf_addf(out, "$%u", ++n);
		} else if (ddl && p > sql && p[-1] == ' ' && word_at(p, "TEXT")) {
			/* Lists, ranges and their indexes rely on the order of bytes. */
			(void) buf_addstr(out, "TEXT COLLATE \"C\"");
			p += 3;
		} else {
			(void) buf_addch(out, *p);
		}
	}
	if (*ret_unique && !returning)
		(void) buf_addstr(out, " ON CONFLICT DO NOTHING");
	return buf_err(out);
}

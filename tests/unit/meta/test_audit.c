/* SPDX-License-Identifier: Apache-2.0 */
/* The audit chain: whatever is done to its rows is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "meta/audit.h"
#include "meta/db.h"
#include "support/dbs.h"

#define ROWS 5

static struct meta *open_meta(void **state)
{
	const struct dbs *d = *state;
	struct meta *m;

	assert_int_equal(meta_open(d->url, &m, NULL), 0);
	return m;
}

static void add(struct meta *m, int i)
{
	auto_json json_t *j = json_pack("{s:i, s:s}", "n", i, "action", "x/write");

	assert_int_equal(audit_add(m, j, NULL), 0);
	assert_int_equal(json_object_size(j), 2); /* the caller's record is as it was */
}

static struct meta *with_rows(void **state)
{
	struct meta *m = open_meta(state);

	for (int i = 1; i <= ROWS; i++)
		add(m, i);
	return m;
}

static void tamper(struct meta *m, const char *sql)
{
	int64_t n = 0;

	assert_int_equal(db_query(meta_db(m), sql, NULL, 0, NULL, NULL, &n, NULL), 0);
	assert_true(n > 0);
}

static void assert_bad(struct meta *m, const struct audit_head *expect, const char *says)
{
	auto_err struct err err = ERR_INIT;

	assert_int_equal(audit_verify(m, expect, expect != NULL, NULL, &err), -EBADMSG);
	if (!strstr(err_str(&err), says))
		print_error("%s\n", err_str(&err));
	assert_non_null(strstr(err_str(&err), says));
	meta_close(m);
}

static void whole(void **state)
{
	struct meta *m = open_meta(state);
	struct audit_head head;
	int64_t rows = -1;

	assert_int_equal(audit_verify(m, NULL, 0, &rows, NULL), 0);
	assert_int_equal(rows, 0);
	for (int i = 1; i <= 1100; i++) /* more than two pages */
		add(m, i);
	assert_int_equal(audit_head(m, &head, NULL), 0);
	assert_int_equal(head.seq, 1100);
	add(m, 1101);
	assert_int_equal(audit_verify(m, &head, 1, &rows, NULL), 0);
	assert_int_equal(rows, 1101);
	meta_close(m);
}

static void rolled_back_rows_leave_no_gap(void **state)
{
	struct meta *m = with_rows(state);
	int64_t rows = 0;

	assert_int_equal(meta_begin(m, NULL), 0);
	add(m, 99);
	meta_rollback(m);
	add(m, 6);
	assert_int_equal(audit_verify(m, NULL, 0, &rows, NULL), 0);
	assert_int_equal(rows, ROWS + 1);
	meta_close(m);
}

static void changed_row(void **state)
{
	struct meta *m = with_rows(state);

	tamper(m, "UPDATE audit SET record = replace(record, '\"n\":3', '\"n\":4') WHERE seq = 3");
	assert_bad(m, NULL, "row 3 was changed");
}

static void removed_row(void **state)
{
	struct meta *m = with_rows(state);

	tamper(m, "DELETE FROM audit WHERE seq = 3");
	assert_bad(m, NULL, "row 3 is missing");
}

static void removed_tail(void **state)
{
	struct meta *m = with_rows(state);

	tamper(m, "DELETE FROM audit WHERE seq = 5");
	assert_bad(m, NULL, "ends at row 4, its head says 5");
}

static void swapped_rows(void **state)
{
	struct meta *m = with_rows(state);

	tamper(m, "UPDATE audit SET seq = -seq WHERE seq IN (2, 3)");
	tamper(m, "UPDATE audit SET seq = 5 + seq WHERE seq < 0");
	assert_bad(m, NULL, "row 2");
}

/* Somebody who can write everything can make a shorter chain that fits, but not one that holds a
 * head noted elsewhere. */
static void cut_off_with_its_head(void **state)
{
	struct meta *m = with_rows(state);
	struct audit_head noted;

	assert_int_equal(audit_head(m, &noted, NULL), 0);
	tamper(m, "DELETE FROM audit WHERE seq = 5");
	tamper(m, "UPDATE audit_head SET seq = 4,"
		  " hash = (SELECT hash FROM audit WHERE seq = 4)");
	assert_int_equal(audit_verify(m, NULL, 0, NULL, NULL), 0);
	assert_bad(m, &noted, "rows up to 5 are gone");
}

static void rewritten_with_its_head(void **state)
{
	struct meta *m = with_rows(state);
	struct audit_head noted;

	assert_int_equal(audit_head(m, &noted, NULL), 0);
	tamper(m, "DELETE FROM audit WHERE seq = 5");
	tamper(m, "UPDATE audit_head SET seq = 4,"
		  " hash = (SELECT hash FROM audit WHERE seq = 4)");
	add(m, 55);
	assert_int_equal(audit_verify(m, NULL, 0, NULL, NULL), 0);
	assert_bad(m, &noted, "row 5 differs from the head noted earlier");
}

static int count_from(void *arg, int64_t seq, const json_t *record)
{
	int64_t *last = arg;

	assert_int_equal(seq, *last + 1);
	assert_int_equal(json_int_at(record, "seq", 0), seq);
	assert_non_null(json_str_at(record, "time"));
	*last = seq;
	return 0;
}

static void each(void **state)
{
	struct meta *m = with_rows(state);
	int64_t last = 2;

	assert_int_equal(audit_each(m, 2, 2, count_from, &last, NULL), 0);
	assert_int_equal(last, 4);
	assert_int_equal(audit_each(m, 4, 100, count_from, &last, NULL), 0);
	assert_int_equal(last, ROWS);
	meta_close(m);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(whole),
		DBS_TEST(rolled_back_rows_leave_no_gap),
		DBS_TEST(changed_row),
		DBS_TEST(removed_row),
		DBS_TEST(removed_tail),
		DBS_TEST(swapped_rows),
		DBS_TEST(cut_off_with_its_head),
		DBS_TEST(rewritten_with_its_head),
		DBS_TEST(each),
	};

	return dbs_run("meta/audit", tests, ARRAY_SIZE(tests));
}

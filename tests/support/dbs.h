/* SPDX-License-Identifier: Apache-2.0 */
/* The same tests on every database: a file of SQLite's and a server of PostgreSQL's. */
#ifndef KILN_TESTS_SUPPORT_DBS_H
#define KILN_TESTS_SUPPORT_DBS_H

#include "support/pg.h"
#include "support/tmp.h"

/* What *@state of a test points to: an empty database of its own. */
struct dbs {
	char dir[TMP_DIR_MAX]; /* for whatever the test likes; SQLite's file is DIR/kiln.db */
	char url[PG_URL_MAX];
	struct pg *pg; /* the server, shared by the program's tests; NULL for SQLite */
};

struct dbs_test {
	const char *name;
	void (*run)(void **state);
};
#define DBS_TEST(f)                                                                                \
	{                                                                                          \
#f, f                                                                              \
	}

/** dbs_run() - the tests with one database after the other, as groups "NAME on DATABASE". Says so
 *  when PostgreSQL is not installed. Return: number of failed tests, for main(). */
int dbs_run(const char *name, const struct dbs_test *tests, size_t n);
/** dbs_run_with() - the same with the test's own fixture, whose @setup finds in *@state the
 *  PostgreSQL server to use, or NULL for SQLite. */
int dbs_run_with(const char *name, const struct dbs_test *tests, size_t n,
		 int (*setup)(void **state), int (*teardown)(void **state));
/** dbs_setup(), dbs_teardown() - the fixture of dbs_run(). */
int dbs_setup(void **state);
int dbs_teardown(void **state);

#endif

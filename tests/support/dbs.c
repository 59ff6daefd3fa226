/* SPDX-License-Identifier: Apache-2.0 */
#include "support/dbs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"

int dbs_setup(void **state)
{
	struct pg *pg = *state;
	struct dbs *d = calloc(1, sizeof(*d));
	char schema[32];

	if (!d)
		return -1;
	(void) snprintf(d->dir, sizeof(d->dir), "%s/kiln-test-XXXXXX",
			access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(d->dir)) {
		free(d);
		return -1;
	}
	d->pg = pg;
	(void) snprintf(schema, sizeof(schema), "test_%s", strrchr(d->dir, '-') + 1);
	if (pg) /* the directory's name is new, and so is the schema's */
		pg_url(pg, NULL, schema, d->url);
	else
		(void) snprintf(d->url, sizeof(d->url), "sqlite:%s/kiln.db", d->dir);
	*state = d;
	return 0;
}

int dbs_teardown(void **state)
{
	struct dbs *d = *state;
	int r = file_rm_rf(d->dir, NULL);

	free(d);
	return r;
}

static int group_pg(void **state)
{
	*state = pg_start();
	return *state ? 0 : -1;
}

static int group_pg_end(void **state)
{
	pg_stop(*state);
	return 0;
}

static int run_on(const char *name, const char *on, const struct dbs_test *tests, size_t n, bool pg,
		  int (*setup)(void **state), int (*teardown)(void **state))
{
	struct CMUnitTest *list = calloc(n, sizeof(*list));
	char group[128];
	int failed;

	if (!list)
		return 1;
	(void) snprintf(group, sizeof(group), "%s on %s", name, on);
	for (size_t i = 0; i < n; i++)
		list[i] = (struct CMUnitTest){
			.name = tests[i].name,
			.test_func = tests[i].run,
			.setup_func = setup,
			.teardown_func = teardown,
		};
	failed = _cmocka_run_group_tests(group, list, n, pg ? group_pg : NULL,
					 pg ? group_pg_end : NULL);
	free(list);
	return failed;
}

int dbs_run_with(const char *name, const struct dbs_test *tests, size_t n,
		 int (*setup)(void **state), int (*teardown)(void **state))
{
	int failed = run_on(name, "SQLite", tests, n, false, setup, teardown);

	if (pg_installed())
		return failed + run_on(name, "PostgreSQL", tests, n, true, setup, teardown);
	print_message("skip %s on PostgreSQL: its server is not installed\n", name);
	return failed;
}

int dbs_run(const char *name, const struct dbs_test *tests, size_t n)
{
	return dbs_run_with(name, tests, n, dbs_setup, dbs_teardown);
}

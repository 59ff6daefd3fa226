/* SPDX-License-Identifier: Apache-2.0 */
/* Resources are found by further names, which follow every write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "meta/names.h"
#include "support/dbs.h"

static struct meta *open_meta(struct dbs *d)
{
	struct meta *m = NULL;

	assert_int_equal(meta_open(d->url, &m, NULL), 0);
	return m;
}

static struct resource row(const char *key, const char *type, json_t *doc)
{
	struct resource r = {.key = strdup(key),
			     .id = strdup(key),
			     .type = strdup(type),
			     .sort = strdup(key),
			     .api_version = strdup("2023-01-01"),
			     .doc = doc};

	assert_non_null(r.key && r.id && r.type && r.sort && r.api_version ? r.doc : NULL);
	return r;
}

/* What "called" lists, and the key's last part. */
static int names_of(const char *id, const json_t *doc, char ***ret)
{
	const json_t *list = json_object_get(doc, "called"), *v;
	int r = strv_push(ret, strrchr(id, '/') + 1);
	size_t i;

	json_array_foreach((json_t *) list, i, v)
	{
		if (r == 0)
			r = strv_push(ret, json_string_value(v));
	}
	return r;
}

static const struct resource_naming namings[] = {{"boxes", names_of}, {NULL, NULL}};

/* The keys that have a name, one after the other. */
static void expect(struct meta *m, const char *name, const char *want)
{
	struct resource_query q = {
		.type = "boxes", .named = name, .by_key = true, .limit = RESOURCE_PAGE_MAX};
	struct buf got = BUF_INIT(4096);
	struct resource *rows = NULL;
	size_t n = 0;

	assert_int_equal(resource_list(m, &q, &rows, &n, NULL), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_addf(&got, "%s ", rows[i].key), 0);
	assert_string_equal(buf_str(&got), want);
	resources_free(rows, n);
	buf_done(&got);
}

static void follow(void **state)
{
	struct meta *m = open_meta(*state);
	struct resource a = row("/a", "boxes", json_pack("{s:[s,s,s]}", "called", "x", "y", "x"));
	struct resource b = row("/b", "boxes", json_pack("{s:[s]}", "called", "y"));
	struct resource c = row("/c", "others", json_pack("{s:[s]}", "called", "y"));

	assert_int_equal(meta_name(m, namings, NULL), 0);
	assert_int_equal(resource_create(m, &a, NULL), 0);
	assert_int_equal(resource_create(m, &b, NULL), 0);
	assert_int_equal(resource_create(m, &c, NULL), 0);
	expect(m, "x", "/a ");
	expect(m, "y", "/a /b ");
	expect(m, "b", "/b ");
	expect(m, "c", "");
	expect(m, "z", "");

	json_decref(a.doc);
	a.doc = json_pack("{s:[s]}", "called", "z");
	assert_int_equal(resource_update(m, &a, false, NULL), 0);
	expect(m, "x", "");
	expect(m, "y", "/b ");
	expect(m, "z", "/a ");
	expect(m, "a", "/a ");

	/* What is rolled back leaves no name. */
	assert_int_equal(meta_begin(m, NULL), 0);
	json_decref(b.doc);
	b.doc = json_pack("{s:[s]}", "called", "z");
	assert_int_equal(resource_update(m, &b, true, NULL), 0);
	meta_rollback(m);
	expect(m, "z", "/a ");
	expect(m, "y", "/b ");

	assert_int_equal(resource_delete(m, "/b", NULL), 0);
	expect(m, "y", "");
	expect(m, "b", "");
	resource_done(&a);
	resource_done(&b);
	resource_done(&c);
	meta_close(m);
}

/* Rows that were written before there were names get them, once, however many there are. */
static void later(void **state)
{
	struct meta *m = open_meta(*state);

	assert_int_equal(meta_begin(m, NULL), 0);
	for (unsigned i = 0; i < 2500; i++) {
		char key[32];
		struct resource r;

		(void) snprintf(key, sizeof(key), "/r%04u", i);
		r = row(key, i % 10 ? "boxes" : "others", json_pack("{s:[s]}", "called", "all"));
		assert_int_equal(resource_create(m, &r, NULL), 0);
		resource_done(&r);
	}
	assert_int_equal(meta_commit(m, NULL), 0);
	expect(m, "r2499", "");
	assert_int_equal(meta_name(m, namings, NULL), 0);
	expect(m, "r0001", "/r0001 ");
	expect(m, "r1001", "/r1001 ");
	expect(m, "r2499", "/r2499 ");
	expect(m, "r2490", "");
	meta_close(m);
	m = open_meta(*state);
	assert_int_equal(meta_name(m, namings, NULL), 0);
	expect(m, "r2499", "/r2499 ");
	meta_close(m);
}

int main(void)
{
	const struct dbs_test tests[] = {DBS_TEST(follow), DBS_TEST(later)};

	return dbs_run("meta/names", tests, ARRAY_SIZE(tests));
}

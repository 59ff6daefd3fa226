/* SPDX-License-Identifier: Apache-2.0 */
/* Principals, secrets, groups, token keys and used assertions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "meta/identity.h"
#include "support/dbs.h"

static struct meta *open_meta(void **state)
{
	const struct dbs *d = *state;
	struct meta *m;

	assert_int_equal(meta_open(d->url, &m, NULL), 0);
	return m;
}

static void principals(void **state)
{
	struct meta *m = open_meta(state);
	auto_free char *key = NULL, *hash = NULL;
	int64_t before, after;

	assert_int_equal(identity_epoch(m, &before, NULL), 0);
	assert_int_equal(identity_by_object(m, "o1", &key, NULL), -ENOENT);
	assert_int_equal(identity_add(m, "o1", "app:a1", "/k1", NULL), 0);
	assert_int_equal(identity_add(m, "o1", "app:a2", "/k2", NULL), -EEXIST);
	assert_int_equal(identity_add(m, "o2", "app:a1", "/k2", NULL), -EEXIST);
	assert_int_equal(identity_by_login(m, "app:a1", &key, NULL), 0);
	assert_string_equal(key, "/k1");
	assert_int_equal(identity_secret_add(m, "s1", "o1", "hash", NULL), 0);
	assert_int_equal(identity_secret_get(m, "s1", "o2", &hash, NULL), -ENOENT);
	assert_int_equal(identity_secret_get(m, "s1", "o1", &hash, NULL), 0);
	assert_string_equal(hash, "hash");
	assert_int_equal(identity_remove(m, "o1", NULL), 0);
	assert_int_equal(identity_remove(m, "o1", NULL), 0);
	free(take_ptr(hash));
	assert_int_equal(identity_secret_get(m, "s1", "o1", &hash, NULL), -ENOENT);
	assert_int_equal(identity_touch(m, NULL), 0);
	assert_int_equal(identity_epoch(m, &after, NULL), 0);
	assert_true(after > before);
	meta_close(m);
}

static size_t groups(struct meta *m, const char *id)
{
	auto_strv char **v = NULL;

	assert_int_equal(identity_groups(m, id, &v, NULL), 0);
	return strv_len(v);
}

static void groups_are_transitive(void **state)
{
	struct meta *m = open_meta(state);
	auto_strv char **v = NULL;
	bool changed = false;

	assert_int_equal(identity_member_add(m, "g1", "p", &changed, NULL), 0);
	assert_true(changed);
	assert_int_equal(identity_member_add(m, "g1", "p", &changed, NULL), 0);
	assert_false(changed);
	assert_int_equal(identity_member_add(m, "g2", "g1", NULL, NULL), 0);
	assert_int_equal(identity_member_add(m, "g3", "g2", NULL, NULL), 0);
	assert_int_equal(identity_member_add(m, "g3", "p", NULL, NULL), 0); /* by two ways */
	assert_int_equal(groups(m, "p"), 3);
	/* a circle, which nobody should make, ends */
	assert_int_equal(identity_member_add(m, "g1", "g3", NULL, NULL), 0);
	assert_int_equal(groups(m, "p"), 3);
	assert_int_equal(identity_members(m, "g3", &v, NULL), 0);
	assert_int_equal(strv_len(v), 2);
	assert_string_equal(v[0], "g2");
	assert_int_equal(identity_member_remove(m, "g1", "p", &changed, NULL), 0);
	assert_true(changed);
	assert_int_equal(identity_remove(m, "g3", NULL), 0);
	assert_int_equal(groups(m, "p"), 0);
	meta_close(m);
}

static void groups_go_deep(void **state)
{
	struct meta *m = open_meta(state);
	char a[16], b[16];

	assert_int_equal(meta_begin(m, NULL), 0);
	for (int i = 0; i < 300; i++) {
		(void) snprintf(a, sizeof(a), "g%d", i);
		(void) snprintf(b, sizeof(b), "g%d", i + 1);
		assert_int_equal(identity_member_add(m, b, a, NULL, NULL), 0);
	}
	assert_int_equal(meta_commit(m, NULL), 0);
	assert_int_equal(groups(m, "g0"), 300);
	meta_close(m);
}

static int count(void *arg, const struct token_key *k)
{
	unsigned *n = arg;

	assert_non_null(k->jwk);
	++*n;
	return 0;
}

static void token_keys(void **state)
{
	struct meta *m = open_meta(state);
	char kid[] = "k1", alg[] = "RS256", issuer[] = "https://i", jwk[] = "{}";
	struct token_key k = {.kid = kid,
			      .alg = alg,
			      .issuer = issuer,
			      .jwk = jwk,
			      .made_us = 1000,
			      .until_us = 5000};
	auto_token_key struct token_key got = {0};
	unsigned n = 0;

	assert_int_equal(token_key_add(m, &k, NULL), 0);
	assert_int_equal(token_key_add(m, &k, NULL), -EEXIST);
	kid[1] = '2';
	assert_int_equal(token_key_add(m, &k, NULL), 0);
	assert_int_equal(token_key_shorten(m, "k1", 3000, NULL), 0);
	assert_int_equal(token_key_shorten(m, "k1", 4000, NULL), 0); /* never longer again */
	assert_int_equal(token_key_get(m, "k1", &got, NULL), 0);
	assert_int_equal(got.until_us, 3000);
	assert_string_equal(got.issuer, "https://i");
	assert_int_equal(token_key_expire(m, 3001, NULL), 0);
	assert_int_equal(token_key_each(m, count, &n, NULL), 0);
	assert_int_equal(n, 1);
	token_key_done(&got);
	assert_int_equal(token_key_get(m, "k1", &got, NULL), -ENOENT);
	meta_close(m);
}

static void an_assertion_is_used_once(void **state)
{
	struct meta *m = open_meta(state);
	int64_t now = time_now_us();

	assert_int_equal(assertion_use(m, "a", now + 1000000000, NULL), 0);
	assert_int_equal(assertion_use(m, "a", now + 1000000000, NULL), -EEXIST);
	assert_int_equal(assertion_use(m, "b", now - 1, NULL), 0);
	assert_int_equal(assertion_use(m, "b", now + 1000000000, NULL), 0); /* it was forgotten */
	assert_int_equal(assertion_use(m, "a", now + 1000000000, NULL), -EEXIST);
	meta_close(m);
}

int main(void)
{
	static const struct dbs_test tests[] = {
		DBS_TEST(principals), DBS_TEST(groups_are_transitive),     DBS_TEST(groups_go_deep),
		DBS_TEST(token_keys), DBS_TEST(an_assertion_is_used_once),
	};

	return dbs_run("meta/identity", tests, ARRAY_SIZE(tests));
}

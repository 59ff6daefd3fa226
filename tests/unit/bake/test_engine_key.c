/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bake/archive.h"
#include "bake/key.h"
#include "base/mem.h"

static const struct executor_ops fake_a = {.name = "container", .version = "1"};
static const struct executor_ops fake_b = {.name = "container", .version = "2"};
static const struct executor_ops fake_c = {.name = "vm", .version = "1"};

struct input {
	struct disk_ref parent;
	const struct executor_ops *executor;
	const char *env[4];
	uint64_t grow;
	const char *allow, *archive, *refresh, *step;
	bool network;
};

static const struct input reference = {
	.executor = &fake_a,
	.env = {"A=1", "B=2"},
	.step = "{\"kind\":\"Shell\",\"script\":\"00\"}",
	.allow = "[\"apt\"]",
	.archive = "{\"deb_InRelease\":\"00\"}",
	.refresh = "[\"1\"]",
	.network = true,
};

static json_t *parse(const char *text)
{
	json_t *j = NULL;

	assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
	return j;
}

static void key_for(const struct input *in, struct key *ret)
{
	auto_json json_t *allow = parse(in->allow), *refresh = parse(in->refresh);
	auto_json json_t *step = parse(in->step), *archive = parse(in->archive), *doc = NULL;
	struct key_context c = {
		.parent = &in->parent,
		.executor = in->executor,
		.envp = in->env,
		.grow_to_bytes = in->grow,
		.allow = allow,
		.archive = archive,
		.refresh = json_array_get(refresh, 0),
	};

	doc = key_inputs(&c, step, in->network);
	assert_non_null(doc);
	assert_int_equal(key_of(doc, ret), 0);
}

static void each_input_changes_the_key(void **state)
{
	struct input in[14];
	struct key keys[14];

	for (size_t i = 0; i < ARRAY_SIZE(in); i++)
		in[i] = reference;
	in[1].parent.digest.b[31] = 1;
	in[2].executor = &fake_b;
	in[3].executor = &fake_c;
	in[4].env[1] = "B=3";
	in[5].env[1] = NULL;
	in[6].env[2] = "C=";
	in[7].grow = 1;
	in[8].allow = "[\"apt\",\"e:1\"]";
	in[9].refresh = "[\"2\"]";
	in[10].step = "{\"kind\":\"Shell\",\"script\":\"01\"}";
	in[11].network = false;
	in[12].archive = "{\"deb_InRelease\":\"01\"}";
	in[13].archive = "{\"deb_InRelease\":\"00\",\"more_InRelease\":\"00\"}";
	for (size_t i = 0; i < ARRAY_SIZE(in); i++) {
		key_for(&in[i], &keys[i]);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(keys[i].hex, keys[k].hex);
	}
}

static void a_step_without_network_ignores_its_policy(void **state)
{
	struct input a = reference, b = reference;
	struct key ka, kb;

	a.network = b.network = false;
	b.allow = "[\"e:1\"]";
	b.archive = "{\"deb_InRelease\":\"09\"}";
	b.refresh = "[\"9\"]";
	key_for(&a, &ka);
	key_for(&b, &kb);
	assert_string_equal(ka.hex, kb.hex);
}

static void keys_are_stable(void **state)
{
	struct key k;

	/* A change here is a change of the format: raise KEY_FORMAT and take the new value. */
	key_for(&reference, &k);
	assert_string_equal(k.hex,
			    "57e74c1eff57d462a826ebe98a38d05cc7218eecc2b47cf9fd9cc304ab7504e1");
}

static void the_environment_is_fixed_and_sorted(void **state)
{
	auto_json json_t *own = parse("{\"ZED\":\"z\",\"LANG\":\"de_DE.UTF-8\",\"AAA\":\"\"}");
	auto_strv char **env = key_env(own), **plain = key_env(NULL);

	assert_string_equal(env[0], "AAA=");
	assert_string_equal(plain[0], "DEBIAN_FRONTEND=noninteractive");
	for (size_t i = 1; env[i]; i++)
		assert_true(strcmp(env[i - 1], env[i]) < 0);
	assert_int_equal(strv_len(env), strv_len(plain) + 2);
	assert_string_equal(env[strv_len(env) - 1], "ZED=z");
}

static void a_release_file_is_what_it_offers(void **state)
{
	static const char *const texts[] = {
		"-----BEGIN PGP SIGNED MESSAGE-----\nSuite: stable\nDate: Sat, 1\nValid-Until: "
		"Sun, 2\n"
		"SHA256:\n 00 1 main/Packages\n-----BEGIN PGP SIGNATURE-----\nabc\n",
		/* renewed */
		"-----BEGIN PGP SIGNED MESSAGE-----\nSuite: stable\nDate: Mon, 3\nValid-Until: "
		"Tue, 4\n"
		"SHA256:\n 00 1 main/Packages\n-----BEGIN PGP SIGNATURE-----\ndef\nghi\n",
		/* another index */
		"-----BEGIN PGP SIGNED MESSAGE-----\nSuite: stable\nDate: Sat, 1\nValid-Until: "
		"Sun, 2\n"
		"SHA256:\n 01 1 main/Packages\n-----BEGIN PGP SIGNATURE-----\nabc\n",
		/* a field more, without an end of line */
		"Suite: stable\nSHA256:\n 00 1 main/Packages\nX-Date: 1",
	};
	struct digest d[ARRAY_SIZE(texts)];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(archive_release_digest(texts[i], strlen(texts[i]), &d[i]), 0);
	assert_true(digest_eq(&d[0], &d[1]));
	assert_false(digest_eq(&d[0], &d[2]));
	assert_false(digest_eq(&d[0], &d[3]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_input_changes_the_key),
		cmocka_unit_test(a_step_without_network_ignores_its_policy),
		cmocka_unit_test(keys_are_stable),
		cmocka_unit_test(the_environment_is_fixed_and_sorted),
		cmocka_unit_test(a_release_file_is_what_it_offers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "arm/query.h"
#include "arm/text.h"

#define ID GROUP "/providers/Microsoft.Compute/galleries/Gold/images/Deb/versions/1.2.3"

static void parse(const char *text, struct arm_id *id)
{
	auto_err struct err err = ERR_INIT;
	int r = arm_id_parse(text, id, &err);

	if (r < 0)
		print_error("%s: %s\n", text, err_str(&err));
	assert_int_equal(r, 0);
}

static void parts(void **state)
{
	auto_arm_id struct arm_id id = {0};

	parse(ID, &id);
	assert_string_equal(id.text, ID);
	assert_string_equal(id.subscription, "11111111-2222-3333-4444-555555555555");
	assert_string_equal(id.group, "rg");
	assert_string_equal(id.ns, "Microsoft.Compute");
	assert_string_equal(id.type, "Microsoft.Compute/galleries/images/versions");
	assert_string_equal(id.name, "1.2.3");
	assert_string_equal(id.parent,
			    GROUP "/providers/Microsoft.Compute/galleries/Gold/images/Deb");
	assert_int_equal(id.n_names, 3);
	assert_string_equal(id.names[0], "Gold");
	assert_string_equal(id.names[2], "1.2.3");
	assert_null(id.location);
	for (const char *p = id.key; *p; p++)
		assert_false(*p >= 'A' && *p <= 'Z');
}

static void scopes(void **state)
{
	static const struct {
		const char *path, *type, *name, *parent;
	} rows[] = {
		{"/subscriptions", "Microsoft.Resources/subscriptions", NULL, ""},
		{SUB, "Microsoft.Resources/subscriptions", "11111111-2222-3333-4444-555555555555",
		 ""},
		{SUB "/resourcegroups", "Microsoft.Resources/resourceGroups", NULL, SUB},
		{GROUP, "Microsoft.Resources/resourceGroups", "rg", SUB},
		{SUB "/locations", "Microsoft.Resources/subscriptions/locations", NULL, SUB},
		{SUB "/operationresults/x", "Microsoft.Resources/subscriptions/operationresults",
		 "x", SUB},
		{GROUP "/resources", "Microsoft.Resources/resourceGroups/resources", NULL, GROUP},
		{"/tenants", "Microsoft.Resources/tenants", NULL, ""},
		{"/providers", "Microsoft.Resources/providers", NULL, ""},
		{"/providers/A.B", "Microsoft.Resources/providers", "A.B", ""},
		{"/providers/A.B/operations", "A.B/operations", NULL, ""},
		{SUB "/providers", "Microsoft.Resources/providers", NULL, SUB},
		{SUB "/providers/A.B", "Microsoft.Resources/providers", "A.B", SUB},
		{SUB "/providers/A.B/c", "A.B/c", NULL, SUB},
		{GROUP "/providers/A.B/c", "A.B/c", NULL, GROUP},
		{GROUP "/providers/A.B/c/d/providers/E.F/g/h", "E.F/g", "h",
		 GROUP "/providers/A.B/c/d"},
		{"/CommunityGalleries/u/Images/i", "Microsoft.Resources/CommunityGalleries/Images",
		 "i", "/CommunityGalleries/u"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_arm_id struct arm_id id = {0};

		parse(rows[i].path, &id);
		assert_string_equal(id.type, rows[i].type);
		assert_true(str_eq(id.name, rows[i].name));
		assert_string_equal(id.parent, rows[i].parent);
	}
}

static void locations(void **state)
{
	auto_arm_id struct arm_id id = {0};
	auto_free char *a = location_normalize("East US 2"), *b = location_normalize("");

	parse(SUB
	      "/providers/Microsoft.Compute/LOCATIONS/EastUS/publishers/p/artifacttypes/vmimage/"
	      "offers",
	      &id);
	assert_string_equal(id.location, "EastUS");
	assert_string_equal(id.type, "Microsoft.Compute/LOCATIONS/publishers/artifacttypes/offers");
	assert_null(id.name);
	assert_string_equal(a, "eastus2");
	assert_string_equal(b, "");
}

static void spelling(void **state)
{
	auto_arm_id struct arm_id a = {0}, b = {0};

	parse("/SUBSCRIPTIONS/s/ResourceGRoups/R%20G/PROVIDERS/A.B/c/%64/", &a);
	assert_string_equal(a.text, "/subscriptions/s/resourceGroups/R G/providers/A.B/c/d");
	parse("//subscriptions/S/resourcegroups/r g/providers/a.b/C/D", &b);
	assert_string_equal(a.key, b.key);
	assert_true(arm_id_eq("/A/b/", "/a/B"));
	assert_true(arm_id_eq("/a", "/a"));
	assert_false(arm_id_eq("/a", "/ab"));
	assert_false(arm_id_eq("/a", "/b"));
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"",        "a",       "/",      "//",      "/a//b",     "/a/%2f", "/a/%2Fb",
		"/a/%00",  "/a/%",    "/a/%1",  "/a/%g0",  "/a/..",     "/a/.",   "/a/b%0d%0a",
		"/a/\x7f", "/a/\xc3", "/a/\\b", "/a/%5cb", "/a/%2e%2e",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_err struct err err = ERR_INIT;
		auto_arm_id struct arm_id id = {0};

		assert_int_equal(arm_id_parse(bad[i], &id, &err), -EINVAL);
		assert_string_equal(err.arm, "InvalidResourceId");
		assert_null(id.text);
	}
}

static void limits(void **state)
{
	auto_free char *path = malloc(ARM_ID_MAX + 2);
	auto_arm_id struct arm_id id = {0}, long_id = {0};
	char deep[512];
	size_t n;

	assert_non_null(path);
	(void) memset(path, 'a', ARM_ID_MAX + 1);
	path[ARM_ID_MAX + 1] = '\0';
	path[0] = '/';
	assert_int_equal(arm_id_parse(path, &id, NULL), -EINVAL);
	path[ARM_ID_MAX] = '\0';
	parse(path, &long_id);

	n = (size_t) snprintf(deep, sizeof(deep), "/providers/A.B");
	for (int i = 0; i < ARM_ID_PARTS; i++)
		n += (size_t) snprintf(deep + n, sizeof(deep) - n, "/t/n");
	arm_id_done(&id);
	parse(deep, &id);
	assert_int_equal(id.n_names, ARM_ID_PARTS);
	(void) snprintf(deep + n, sizeof(deep) - n, "/t/n");
	arm_id_done(&id);
	assert_int_equal(arm_id_parse(deep, &id, NULL), -EINVAL);
}

static void targets(void **state)
{
	auto_target struct target t = {0};
	auto_err struct err err = ERR_INIT;
	auto_free char *many = malloc(TARGET_MAX + 2);

	assert_int_equal(target_parse("https://host:1/a/b%20c?Api-Version=x&$filter=name+eq+%27a%27"
				      "&flag&empty=",
				      &t, &err),
			 0);
	assert_string_equal(t.path, "/a/b%20c");
	assert_string_equal(target_query(&t, "API-VERSION"), "x");
	assert_string_equal(target_query(&t, "$Filter"), "name eq 'a'");
	assert_string_equal(target_query(&t, "flag"), "");
	assert_string_equal(target_query(&t, "empty"), "");
	assert_null(target_query(&t, "other"));
	target_done(&t);
	assert_int_equal(target_parse("/a?", &t, &err), 0);
	assert_int_equal(t.n_query, 0);
	target_done(&t);
	assert_int_equal(target_parse("/a?x=%00", &t, &err), -EINVAL);
	assert_int_equal(target_parse("/a?x=%0a", &t, &err), -EINVAL);
	assert_int_equal(target_parse("/a?x=1&X=2", &t, &err), -EINVAL);
	assert_int_equal(target_parse("/a?x=%2F", &t, &err), 0); /* a slash in a value is fine */
	target_done(&t);

	assert_non_null(many);
	(void) memset(many, 'a', TARGET_MAX + 1);
	many[0] = '/';
	many[TARGET_MAX + 1] = '\0';
	assert_int_equal(target_parse(many, &t, &err), -EINVAL);
	many[TARGET_MAX] = '\0';
	assert_int_equal(target_parse(many, &t, &err), 0);
	target_done(&t);
	(void) snprintf(many, TARGET_MAX, "/a?");
	for (int i = 0; i <= QUERY_MAX; i++) {
		char option[16];

		if (i == QUERY_MAX) {
			assert_int_equal(target_parse(many, &t, &err), 0);
			target_done(&t);
		}
		(void) snprintf(option, sizeof(option), "k%d=v&", i);
		(void) memcpy(many + strlen(many), option, strlen(option) + 1);
	}
	assert_int_equal(target_parse(many, &t, &err), -EINVAL);
}

static void encoding(void **state)
{
	auto_buf struct buf b = BUF_INIT(100);

	assert_int_equal(percent_encode(&b, "a b/c$\xc3\xa9~", "$"), 0);
	assert_string_equal(buf_str(&b), "a%20b%2Fc$%C3%A9~");
}

static void sort_keys(void **state)
{
	/* ascending; what is no version comes last */
	static const char *const order[] = {
		"0.0.1",  "0.1.0", "1.0.0",  "1.0.2",          "1.0.10", "1.2.0",
		"1.10.0", "2.0.0", "10.0.0", "2147483647.0.0", "beta",   "latest",
	};
	auto_free char *a = arm_sort_key_version("1.0.0"), *b = arm_sort_key_version("01.000.0");

	for (size_t i = 1; i < ARRAY_SIZE(order); i++) {
		auto_free char *x = arm_sort_key_version(order[i - 1]);
		auto_free char *y = arm_sort_key_version(order[i]);

		assert_true(strcmp(x, y) < 0);
	}
	assert_string_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),    cmocka_unit_test(scopes),   cmocka_unit_test(locations),
		cmocka_unit_test(spelling), cmocka_unit_test(refused),  cmocka_unit_test(limits),
		cmocka_unit_test(targets),  cmocka_unit_test(encoding), cmocka_unit_test(sort_keys),
	};

	return cmocka_run_group_tests_name("arm/id", tests, NULL, NULL);
}

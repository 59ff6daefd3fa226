/* SPDX-License-Identifier: Apache-2.0 */
/* Every request of every type is named in the table of operations, and nothing else is. */
#include "harness.h"
#include "providers/provider_operations.h"
#include "providers/registry.h"

#define OPERATIONS_MAX 1024

static size_t row_of(const char *name)
{
	for (size_t i = 0; provider_operations[i]; i++)
		if (strcmp(provider_operations[i], name) == 0)
			return i;
	return OPERATIONS_MAX;
}

static int see(void *arg, const char *name, const char *method, const struct arm_action *action)
{
	bool *asked = arg;
	size_t row = row_of(name);

	(void) action;
	if (row == OPERATIONS_MAX)
		fail_msg("%s of a type asks for '%s', which the table does not name", method, name);
	asked[row] = true;
	return 0;
}

static void every_request_has_its_row(void **state)
{
	bool asked[OPERATIONS_MAX] = {false};
	size_t n = 0;

	(void) state;
	for (const struct arm_type *const *t = provider_types; *t; t++)
		assert_int_equal(arm_type_actions(*t, see, asked), 0);
	for (; provider_operations[n]; n++)
		if (!asked[n] && !provider_operation_is_data(provider_operations[n]))
			fail_msg("no request asks for '%s'", provider_operations[n]);
	assert_true(n > 80 && n < OPERATIONS_MAX);
}

static void rows_are_well_formed(void **state)
{
	(void) state;
	for (size_t i = 0; provider_operations[i]; i++) {
		const char *name = provider_operations[i];

		assert_true(str_ends(name, "/read") || str_ends(name, "/write") ||
			    str_ends(name, "/delete") || str_ends(name, "/action"));
		assert_int_equal(row_of(name), i); /* once */
	}
}

static void clients_can_read_them(void **state)
{
	struct harness *h = *state;

	expect_ok(h, "GET", "/providers/Microsoft.Authorization/providerOperations", "2022-04-01",
		  NULL);
	expect_ok(h, "GET",
		  "/providers/Microsoft.Authorization/providerOperations/microsoft.compute",
		  "2022-04-01", NULL);
	assert_string_equal(text_at(h, "name"), "Microsoft.Compute");
	assert_string_equal(text_at(h, "operations.0.name"), "Microsoft.Compute/register/action");
	(void) text_at(h, "resourceTypes.0.operations.0.name");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_has_its_row),
		cmocka_unit_test(rows_are_well_formed),
		cmocka_unit_test_setup_teardown(clients_can_read_them, harness_setup,
						harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

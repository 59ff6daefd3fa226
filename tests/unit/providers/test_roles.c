/* SPDX-License-Identifier: Apache-2.0 */
/* Role definitions, role assignments, what they allow, and locks. */
#include "harness.h"

#define A      "2022-04-01"
#define R      "2021-04-01"
#define L      "2016-09-01"
#define I      "2026-11-01"
#define AUTH   "/providers/Microsoft.Authorization"
#define READER "acdd72a7-3385-48ef-bd42-f606fba81ae7"
#define OWNER  "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
#define IMAGES "cf7c76d2-98a3-4358-a134-615aa78bf44d"
#define ADMIN  1 /* assignments that the tenant begins with: the administrator is Owner */
#define CUSTOM "00000000-0000-4000-8000-00000000c001"

static const struct arm_principal ann = {
	.object_id = "00000000-0000-4000-8000-0000000000a1", .name = "ann", .kind = "User"};
static const char *const bob_groups[] = {"00000000-0000-4000-8000-0000000000F1", NULL};
static const struct arm_principal bob = {.object_id = "00000000-0000-4000-8000-0000000000b1",
					 .name = "bob",
					 .kind = "Application",
					 .groups = bob_groups};
static const struct arm_principal eve = {.object_id = "00000000-0000-4000-8000-0000000000a1",
					 .name = "eve",
					 .kind = "User",
					 .tenant_id = "99999999-0000-4000-8000-000000000000"};

/* Whom roles are given to must exist. */
static int people_setup(void **state)
{
	struct harness *h;

	assert_int_equal(harness_setup(state), 0);
	h = *state;
	expect_ok(h, "PUT", "/providers/Kiln.Identity/users/ann", I,
		  "{'properties':{'objectId':'00000000-0000-4000-8000-0000000000a1'}}");
	expect_ok(h, "PUT", "/providers/Kiln.Identity/servicePrincipals/bob", I,
		  "{'properties':{'objectId':'00000000-0000-4000-8000-0000000000b1'}}");
	expect_ok(h, "PUT", "/providers/Kiln.Identity/groups/f", I,
		  "{'properties':{'objectId':'00000000-0000-4000-8000-0000000000f1'}}");
	return 0;
}

static void assign_at(struct harness *h, const char *scope, unsigned n, const char *role,
		      const char *principal)
{
	auto_free char *path =
		strf("%s" AUTH "/roleAssignments/00000000-0000-4000-8000-0000000000%02x", scope, n);
	auto_free char *body = strf("{'properties':{'roleDefinitionId':'" AUTH
				    "/roleDefinitions/%s','principalId':'%s'}}",
				    role, principal);

	h->who = NULL;
	expect_ok(h, "PUT", path, A, body);
}

static void unassign(struct harness *h, const char *scope, unsigned n)
{
	auto_free char *path =
		strf("%s" AUTH "/roleAssignments/00000000-0000-4000-8000-0000000000%02x", scope, n);

	h->who = NULL;
	assert_int_equal(call(h, "DELETE", path, A, NULL), 200);
}

static int as(struct harness *h, const struct arm_principal *who, const char *method,
	      const char *path, const char *version, const char *body)
{
	int status;

	h->who = who;
	status = call(h, method, path, version, body);
	h->who = NULL;
	return status;
}

static void forbidden(struct harness *h, const struct arm_principal *who, const char *method,
		      const char *path, const char *version, const char *body)
{
	assert_int_equal(as(h, who, method, path, version, body), 403);
	assert_string_equal(h->code, "AuthorizationFailed");
}

static void nobody_may_anything(void **state)
{
	struct harness *h = *state;

	forbidden(h, &ann, "GET", "~", R, NULL);
	forbidden(h, &ann, "PUT", "~", R, "{'location':'eastus'}");
	forbidden(h, &ann, "GET", "$/resourceGroups", R, NULL);
	assert_int_equal(as(h, &ann, "GET", "/subscriptions", R, NULL), 200);
}

static void forbidden_looks_like_absent(void **state)
{
	struct harness *h = *state;
	auto_free char *there = NULL, *absent = NULL;

	make_gallery(h);
	forbidden(h, &ann, "GET", "@galleries/gal", V25, NULL);
	there = json_compact(h->body);
	forbidden(h, &ann, "GET", "@galleries/lag", V25, NULL);
	absent = json_compact(h->body);
	memcpy(strstr(absent, "galleries/lag"), "galleries/gal", 13);
	assert_string_equal(there, absent);
	forbidden(h, &ann, "DELETE", "@galleries/lag", V25, NULL);
	forbidden(h, &ann, "GET", "/subscriptions/00000000-0000-0000-0000-000000000000", R, NULL);
}

static void roles_are_inherited_and_end_at_once(void **state)
{
	struct harness *h = *state;

	make_gallery(h);
	assign_at(h, "~", 1, READER, ann.object_id);
	assert_int_equal(as(h, &ann, "GET", "~", R, NULL), 200);
	assert_int_equal(as(h, &ann, "GET", "@galleries/gal/images/def", V25, NULL), 200);
	forbidden(h, &ann, "DELETE", "@galleries/gal/images/def", V25, NULL);
	forbidden(h, &ann, "GET",
		  "$"
		  "/resourceGroups/other",
		  R, NULL);
	assert_int_equal(as(h, &ann, "GET", "$/locations", R, NULL), 200);
	forbidden(h, &eve, "GET", "~", R, NULL);
	unassign(h, "~", 1);
	forbidden(h, &ann, "GET", "~", R, NULL);
	forbidden(h, &ann, "GET", "$/locations", R, NULL);
}

static void groups_bring_their_roles(void **state)
{
	struct harness *h = *state;

	forbidden(h, &bob, "GET", "~", R, NULL);
	assign_at(h, "$", 1, READER, "00000000-0000-4000-8000-0000000000f1");
	assert_int_equal(as(h, &bob, "GET", "~", R, NULL), 200);
	forbidden(h, &ann, "GET", "~", R, NULL);
}

static void lists_show_what_one_may_read(void **state)
{
	struct harness *h = *state;
	int seen = 0;

	make_gallery(h);
	expect_ok(h, "PUT", "@galleries/other", V25, "{'location':'eastus'}");
	expect_ok(h, "PUT", "$/resourceGroups/h", R, "{'location':'eastus'}");
	assign_at(h, "@galleries/gal", 1, READER, ann.object_id);
	assert_int_equal(as(h, &ann, "GET", "$/providers/Microsoft.Compute/galleries", V25, NULL),
			 200);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	assert_string_equal(text_at(h, "value.0.name"), "gal");
	assert_int_equal(as(h, &ann, "GET", "@galleries", V25, NULL), 200);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	assert_int_equal(as(h, &ann, "GET", "$/resourceGroups", R, NULL), 200);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 0);
	forbidden(h, &ann, "GET", "$/resourceGroups/h/providers/Microsoft.Compute/galleries", V25,
		  NULL);
	/* pages of one: whatever is left out, all that may be read comes once */
	for (auto_free char *at = strdup("@galleries?$top=1"); at;) {
		const char *next;

		assert_int_equal(as(h, &ann, "GET", at, V25, NULL), 200);
		seen += (int) json_array_size(json_object_get(h->body, "value"));
		next = json_str_at(h->body, "nextLink");
		free(at);
		at = next ? strf("@galleries?$top=1&$skiptoken=%s", strstr(next, "skiptoken=") + 10)
			  : NULL;
		if (at && strchr(at + 30, '&'))
			*strchr(at + 30, '&') = '\0';
	}
	assert_int_equal(seen, 1);
}

static void assignments(void **state)
{
	struct harness *h = *state;

	assign_at(h, "~", 1, READER, ann.object_id);
	assert_int_equal(h->status, 201);
	assert_string_equal(text_at(h, "type"), "Microsoft.Authorization/roleAssignments");
	assign_at(h, "~", 1, READER, ann.object_id);
	assert_int_equal(h->status, 200);
	expect_error(h, "PUT", "~" AUTH "/roleAssignments/00000000-0000-4000-8000-000000000001", A,
		     "{'properties':{'roleDefinitionId':'" AUTH "/roleDefinitions/" OWNER
		     "','principalId':'00000000-0000-4000-8000-0000000000a1'}}",
		     400, "RoleAssignmentUpdateNotPermitted", NULL);
	expect_error(h, "PUT", "~" AUTH "/roleAssignments/00000000-0000-4000-8000-000000000002", A,
		     "{'properties':{'roleDefinitionId':'" AUTH "/roleDefinitions/" READER
		     "','principalId':'00000000-0000-4000-8000-0000000000A1'}}",
		     409, "RoleAssignmentExists", NULL);
	expect_error(h, "PUT", "~" AUTH "/roleAssignments/00000000-0000-4000-8000-000000000002", A,
		     "{'properties':{'roleDefinitionId':'" AUTH "/roleDefinitions/" CUSTOM
		     "','principalId':'00000000-0000-4000-8000-0000000000a1'}}",
		     400, "RoleDefinitionDoesNotExist", NULL);
	expect_error(h, "PUT", "~" AUTH "/roleAssignments/notaguid", A,
		     "{'properties':{'roleDefinitionId':'" AUTH "/roleDefinitions/" READER
		     "','principalId':'00000000-0000-4000-8000-0000000000a1'}}",
		     400, "InvalidResourceName", NULL);
	expect_error(h, "PUT", "~" AUTH "/roleAssignments/00000000-0000-4000-8000-000000000002", A,
		     "{'properties':{'roleDefinitionId':'" AUTH "/roleDefinitions/" READER
		     "','principalId':'00000000-0000-4000-8000-0000000000b1','condition':'x'}}",
		     400, "RoleAssignmentConditionNotSupported", NULL);
	expect_error(h, "PUT",
		     "@galleries/none" AUTH "/roleAssignments/00000000-0000-4000-8000-000000000002",
		     A,
		     "{'properties':{'roleDefinitionId':'" AUTH "/roleDefinitions/" READER
		     "','principalId':'00000000-0000-4000-8000-0000000000b1'}}",
		     404, "ParentResourceNotFound", NULL);
	/* a Reader gives no roles away */
	forbidden(h, &ann, "PUT", "~" AUTH "/roleAssignments/00000000-0000-4000-8000-000000000002",
		  A, "{}");
}

static size_t count(struct harness *h, const char *path)
{
	expect_ok(h, "GET", path, A, NULL);
	return json_array_size(json_object_get(h->body, "value"));
}

static void assignment_lists(void **state)
{
	struct harness *h = *state;

	make_gallery(h);
	assign_at(h, "$", 1, READER, ann.object_id);
	assign_at(h, "~", 2, OWNER, bob.object_id);
	assign_at(h, "@galleries/gal", 3, IMAGES, ann.object_id);
	assert_int_equal(count(h, "$" AUTH "/roleAssignments"), 3 + ADMIN);
	assert_int_equal(count(h, "~" AUTH "/roleAssignments"), 3 + ADMIN);
	assert_int_equal(count(h, "~" AUTH "/roleAssignments?$filter=atScope()"), 2 + ADMIN);
	assert_int_equal(count(h, "$" AUTH "/roleAssignments?$filter=atScope()"), 1 + ADMIN);
	assert_int_equal(count(h, "~" AUTH "/roleAssignments?$filter=principalId%20eq%20'"
				  "00000000-0000-4000-8000-0000000000a1'"),
			 2);
	assert_int_equal(count(h, "~" AUTH "/roleAssignments?$filter=atScope()%20and%20"
				  "assignedTo('00000000-0000-4000-8000-0000000000a1')"),
			 1);
	expect_error(h, "GET", "~" AUTH "/roleAssignments?$filter=colour%20eq%20'red'", A, NULL,
		     400, "InvalidFilterInQueryString", "$filter");
	expect_error(h, "GET", "~" AUTH "/roleAssignments?$filter=atScope(", A, NULL, 400,
		     "InvalidFilterInQueryString", "$filter");
	/* bob sees what holds at his group, not what ann has on the subscription below it */
	assert_int_equal(as(h, &bob, "GET", "~" AUTH "/roleAssignments", A, NULL), 200);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 3 + ADMIN);
	/* what is on a resource goes with it */
	expect_ok(h, "DELETE", "@galleries/gal/images/def", V25, NULL);
	expect_ok(h, "DELETE", "@galleries/gal", V25, NULL);
	assert_int_equal(count(h, "$" AUTH "/roleAssignments"), 2 + ADMIN);
}

static void definitions(void **state)
{
	struct harness *h = *state;
	auto_free char *body =
		strf("{'properties':{'roleName':'Peeker','permissions':[{'actions':["
		     "'microsoft.compute/*/READ'],'notActions':['Microsoft.Compute/galleries/images"
		     "/*']}],'assignableScopes':['/subscriptions/%s']}}",
		     json_str_at(h->app->admin, "subscriptionId"));

	make_gallery(h);
	expect_ok(h, "GET", "$" AUTH "/roleDefinitions?$filter=roleName%20eq%20'reader'", A, NULL);
	assert_string_equal(text_at(h, "value.0.name"), READER);
	assert_string_equal(text_at(h, "value.0.properties.permissions.0.actions.0"), "*/read");
	expect_ok(h, "PUT", "$" AUTH "/roleDefinitions/" CUSTOM, A, body);
	assert_int_equal(h->status, 201);
	assert_string_equal(text_at(h, "properties.type"), "CustomRole");
	expect_error(h, "PUT", "$" AUTH "/roleDefinitions/00000000-0000-4000-8000-00000000c002", A,
		     body, 409, "RoleDefinitionWithSameNameExists", "properties.roleName");
	expect_error(h, "PUT", "$" AUTH "/roleDefinitions/" READER, A, body, 409,
		     "RoleDefinitionIsBuiltIn", NULL);
	assert_int_equal(count(h, "$" AUTH "/roleDefinitions?$filter=type%20eq%20'CustomRole'"), 1);
	assign_at(h, "$", 1, CUSTOM, ann.object_id);
	assert_int_equal(as(h, &ann, "GET", "@galleries/gal", V25, NULL), 200);
	forbidden(h, &ann, "GET", "@galleries/gal/images/def", V25, NULL);
	forbidden(h, &ann, "GET", "~", R, NULL);
	expect_error(h, "DELETE", "$" AUTH "/roleDefinitions/" CUSTOM, A, NULL, 400,
		     "RoleDefinitionHasAssignments", NULL);
	unassign(h, "$", 1);
	expect_ok(h, "DELETE", "$" AUTH "/roleDefinitions/" CUSTOM, A, NULL);
	expect_error(h, "GET", "$" AUTH "/roleDefinitions/" CUSTOM, A, NULL, 404,
		     "RoleDefinitionDoesNotExist", NULL);
}

static void permissions(void **state)
{
	struct harness *h = *state;

	assign_at(h, "~", 1, READER, ann.object_id);
	assert_int_equal(as(h, &ann, "GET", "~" AUTH "/permissions", A, NULL), 200);
	assert_string_equal(text_at(h, "value.0.actions.0"), "*/read");
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	expect_ok(h, "GET", "~" AUTH "/denyAssignments", A, NULL);
}

/* What a role allows to do with data is apart from what it allows to do with resources. */
static void data_actions(void **state)
{
	static const char download[] = "Microsoft.Compute/disks/download/action";
	struct harness *h = *state;
	struct arm *arm = h->app->arm;
	auto_free char *disk = strf("/subscriptions/%s/resourceGroups/g/providers/"
				    "Microsoft.Compute/disks/d",
				    json_str_at(h->app->admin, "subscriptionId"));

	assign_at(h, "~", 1, "959f8984-c045-4866-89c7-12bf9737be2e", ann.object_id);
	assign_at(h, "~", 2, OWNER, bob.object_id);
	assert_int_equal(arm_may_data(arm, &ann, download, disk, NULL), 0);
	assert_int_equal(arm_may(arm, &ann, download, disk, NULL), -EACCES);
	assert_int_equal(arm_may_data(arm, &bob, download, disk, NULL), -EACCES);
	assert_int_equal(arm_may(arm, &bob, download, disk, NULL), 0);
	assert_int_equal(arm_may_data(arm, &eve, download, disk, NULL), -EACCES);
}

static void locks(void **state)
{
	struct harness *h = *state;

	make_gallery(h);
	expect_ok(h, "PUT", "~" AUTH "/locks/keep", L, "{'properties':{'level':'CanNotDelete'}}");
	assert_int_equal(h->status, 201);
	expect_error(h, "DELETE", "@galleries/gal/images/def", V25, NULL, 409, "ScopeLocked", NULL);
	expect_error(h, "DELETE", "~", R, NULL, 409, "ScopeLocked", NULL);
	expect_ok(h, "PUT", "~", R, "{'location':'eastus','tags':{'a':'b'}}");
	expect_ok(h, "PUT", "$" AUTH "/locks/still", L, "{'properties':{'level':'ReadOnly'}}");
	expect_error(h, "PUT", "~", R, "{'location':'eastus'}", 409, "ScopeLocked", NULL);
	expect_error(h, "PUT", "$/resourceGroups/new", R, "{'location':'eastus'}", 409,
		     "ScopeLocked", NULL);
	expect_ok(h, "GET", "$" AUTH "/locks", L, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 2);
	expect_ok(h, "GET", "$" AUTH "/locks?$filter=atScope()", L, NULL);
	assert_int_equal(json_array_size(json_object_get(h->body, "value")), 1);
	expect_ok(h, "DELETE", "$" AUTH "/locks/still", L, NULL);
	expect_ok(h, "DELETE", "~" AUTH "/locks/keep", L, NULL);
	/* one on a child keeps what is above it */
	expect_ok(h, "PUT", "@galleries/gal" AUTH "/locks/child", L,
		  "{'properties':{'level':'CanNotDelete'}}");
	expect_error(h, "DELETE", "~", R, NULL, 409, "ScopeLocked", NULL);
	expect_ok(h, "DELETE", "@galleries/gal" AUTH "/locks/child", L, NULL);
	expect_ok(h, "DELETE", "~", R, NULL);
	expect_error(h, "PUT", "$/providers/No.Such/thing/x" AUTH "/locks/l", L, "{}", 404,
		     "InvalidResourceNamespace", NULL);
}

static void operations_are_their_starters(void **state)
{
	struct harness *h = *state;
	struct arm_response res = {0};
	auto_free char *target = NULL;
	struct arm_request q = {.method = "PUT", .body = "{\"location\":\"eastus\"}"};
	const char *where;

	assign_at(h, "~", 1, OWNER, ann.object_id);
	target = strf("/subscriptions/%s/resourceGroups/g/providers/Microsoft.Compute/galleries/x"
		      "?api-version=" V25,
		      json_str_at(h->app->admin, "subscriptionId"));
	q.target = target;
	q.body_bytes = strlen(q.body);
	q.who = &ann;
	arm_handle(h->app->arm, &q, &res);
	assert_int_equal(res.status, 201);
	where = res.async_operation + strlen(json_str_at(h->app->admin, "endpoint"));
	*strchr((char *) (uintptr_t) where, '?') = '\0';
	assert_int_equal(as(h, &ann, "GET", where, V25, NULL), 200);
	forbidden(h, &bob, "GET", where, V25, NULL);
	unassign(h, "~", 1);
	assign_at(h, "~", 1, READER, bob.object_id);
	assert_int_equal(as(h, &bob, "GET", where, V25, NULL), 200);
	assert_int_equal(arm_work(h->app->arm, res.operation_id, NULL, NULL, NULL), 0);
	arm_response_done(&res);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_may_anything, people_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(forbidden_looks_like_absent, people_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(roles_are_inherited_and_end_at_once, people_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(groups_bring_their_roles, people_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(lists_show_what_one_may_read, people_setup,
						harness_teardown),
		cmocka_unit_test_setup_teardown(assignments, people_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(assignment_lists, people_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(definitions, people_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(permissions, people_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(data_actions, people_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(locks, people_setup, harness_teardown),
		cmocka_unit_test_setup_teardown(operations_are_their_starters, people_setup,
						harness_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

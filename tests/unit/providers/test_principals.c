/* SPDX-License-Identifier: Apache-2.0 */
/* Service principals, users and groups as resources. */
#include "login_client.h"

#include "meta/db.h"
#include "meta/identity.h"

static struct harness *h_of(void **state)
{
	return ((struct client *) *state)->h;
}

static void make(struct harness *h, const char *path, const char *body)
{
	expect_ok(h, "PUT", path, V_ID, body);
}

static void a_principal_gets_ids(void **state)
{
	struct harness *h = h_of(state);
	char app[40], object[40];

	make(h, PRINCIPAL "ci", "{'properties':{'displayName':'CI'}}");
	(void) snprintf(app, sizeof(app), "%s", text_at(h, "properties.appId"));
	(void) snprintf(object, sizeof(object), "%s", text_at(h, "properties.objectId"));
	assert_int_equal(strlen(app), 36);
	assert_string_not_equal(app, object);
	assert_string_equal(text_at(h, "properties.tenantId"),
			    json_str_at(h->app->admin, "tenantId"));
	make(h, PRINCIPAL "ci", "{'properties':{'displayName':'CI 2'}}"); /* ids stay */
	assert_string_equal(text_at(h, "properties.appId"), app);
	assert_string_equal(text_at(h, "properties.objectId"), object);
	expect_error(h, "PUT", PRINCIPAL "ci", V_ID,
		     "{'properties':{'appId':'00000000-0000-0000-0000-000000000001'}}", 409,
		     "PropertyChangeNotAllowed", "properties.appId");
	expect_error(h, "PUT", PRINCIPAL "ci", V_ID, "{'properties':{'appid2':'x'}}", 400,
		     "InvalidParameter", "properties.appid2");
}

static void ids_are_taken_once(void **state)
{
	static const char body[] =
		"{'properties':{'appId':'0A000000-0000-0000-0000-000000000001'}}";
	struct harness *h = h_of(state);

	make(h, PRINCIPAL "one", body);
	assert_string_equal(text_at(h, "properties.appId"), "0a000000-0000-0000-0000-000000000001");
	expect_error(h, "PUT", PRINCIPAL "two", V_ID, body, 409, "Conflict", "properties.appId");
	expect_ok(h, "DELETE", PRINCIPAL "one", V_ID, NULL);
	make(h, PRINCIPAL "two", body);
	make(h, USER "a@example.org", "{}");
	expect_error(h, "PUT", USER "b", V_ID,
		     "{'properties':{'userPrincipalName':'A@Example.ORG'}}", 409, "Conflict",
		     "properties.userPrincipalName");
}

static int row_count(void *arg, const struct db_row *row)
{
	const char *text = db_col_text(row, 0);

	if (text && strstr(text, ((char **) arg)[0]))
		((char **) arg)[1] = ((char **) arg)[0];
	return 0;
}

static void a_secret_is_shown_once_and_stored_hashed(void **state)
{
	static const char *const columns[] = {
		"SELECT doc FROM resource", "SELECT hash FROM identity_secret",
		"SELECT record FROM audit", "SELECT response FROM idempotency"};
	struct harness *h = h_of(state);
	char secret[80], key[40], body[80];

	make(h, PRINCIPAL "ci", "{}");
	expect_ok(h, "POST", PRINCIPAL "ci/addPassword", V_ID, "{'displayName':'first'}");
	(void) snprintf(secret, sizeof(secret), "%s", text_at(h, "secretText"));
	(void) snprintf(key, sizeof(key), "%s", text_at(h, "keyId"));
	assert_int_equal(strlen(secret), 64);
	assert_int_equal(strncmp(text_at(h, "hint"), secret, 3), 0);
	assert_non_null(text_at(h, "endDateTime"));
	expect_ok(h, "GET", PRINCIPAL "ci", V_ID, NULL);
	assert_string_equal(text_at(h, "properties.passwordCredentials.0.keyId"), key);
	assert_null(json_at(h->body, "properties.passwordCredentials.0.secretText"));
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		char *look[2] = {secret, NULL};

		assert_int_equal(db_query(meta_db(h->app->meta), columns[i], NULL, 0, row_count,
					  look, NULL, NULL),
				 0);
		assert_null(look[1]);
	}
	make(h, PRINCIPAL "ci", "{'properties':{'passwordCredentials':[]}}"); /* read-only */
	assert_int_equal(json_array_size(json_at(h->body, "properties.passwordCredentials")), 1);
	(void) snprintf(body, sizeof(body), "{'keyId':'%s'}", key);
	expect_ok(h, "POST", PRINCIPAL "ci/removePassword", V_ID, body);
	expect_error(h, "POST", PRINCIPAL "ci/removePassword", V_ID, body, 404,
		     "CredentialNotFound", "keyId");
	expect_ok(h, "GET", PRINCIPAL "ci", V_ID, NULL);
	assert_int_equal(json_array_size(json_at(h->body, "properties.passwordCredentials")), 0);
}

static void a_secret_takes_no_idempotency_key(void **state)
{
	struct harness *h = h_of(state);
	struct arm_request q = {.method = "POST",
				.target = PRINCIPAL "ci/addPassword?api-version=" V_ID,
				.idempotency_key = "k",
				.who = &h->app->owner};
	struct arm_response res = {0};

	make(h, PRINCIPAL "ci", "{}");
	arm_handle(h->app->arm, &q, &res);
	assert_int_equal(res.status, 400);
	assert_string_equal(json_str_at(res.body, "error.code"), "IdempotencyKeyNotSupported");
	arm_response_done(&res);
}

static void bounds_of_credentials(void **state)
{
	struct harness *h = h_of(state);

	make(h, PRINCIPAL "ci", "{}");
	expect_error(h, "POST", PRINCIPAL "ci/addPassword", V_ID,
		     "{'endDateTime':'2020-01-01T00:00:00Z'}", 400, "InvalidParameter",
		     "endDateTime");
	expect_error(h, "POST", PRINCIPAL "ci/addKey", V_ID, "{'key':'nonsense'}", 400,
		     "InvalidParameter", "key");
	expect_error(h, "POST", PRINCIPAL "ci/addKey", V_ID, "{}", 400, "InvalidParameter", "key");
	make(h, USER "alice", "{}");
	expect_error(h, "POST", USER "alice/setPassword", V_ID, "{'password':'short'}", 400,
		     "InvalidParameter", "password");
	expect_error(h, "PUT", PRINCIPAL "f", V_ID,
		     "{'properties':{'federatedCredentials':[{'name':'x','issuer':'http://i',"
		     "'subject':'s'}]}}",
		     400, "InvalidParameter", NULL);
	expect_error(h, "PUT", PRINCIPAL "f", V_ID,
		     "{'properties':{'federatedCredentials':[{'name':'x','issuer':'https://i',"
		     "'subject':'s'},{'name':'X','issuer':'https://i','subject':'t'}]}}",
		     400, "InvalidParameter", NULL);
	expect_error(h, "PUT", PRINCIPAL "f", V_ID,
		     "{'properties':{'federatedCredentials':[{'name':'x','issuer':'i',"
		     "'subject':'s','jwks':{'keys':[{'kty':'oct','k':'AA'}]}}]}}",
		     400, "InvalidParameter", NULL);
}

/* ---- Groups --------------------------------------------------------------------------------- */

static const char *object_id(struct harness *h, const char *path)
{
	static char id[4][40];
	static unsigned n;
	char *s = id[n++ % 4];

	expect_ok(h, "GET", path, V_ID, NULL);
	(void) snprintf(s, 40, "%s", text_at(h, "properties.objectId"));
	return s;
}

static void member(struct harness *h, const char *group, const char *action, const char *id)
{
	char path[128], body[128];

	(void) snprintf(path, sizeof(path), GROUP "%s/%s", group, action);
	(void) snprintf(body, sizeof(body), "{'members':['%s']}", id);
	(void) call(h, "POST", path, V_ID, body);
}

static unsigned groups_of(struct harness *h, const char *id)
{
	auto_strv char **v = NULL;

	assert_int_equal(identity_groups(h->app->meta, id, &v, NULL), 0);
	return (unsigned) strv_len(v);
}

static void groups_nest_and_never_in_circles(void **state)
{
	struct harness *h = h_of(state);
	const char *ci, *inner, *middle, *outer;

	make(h, PRINCIPAL "ci", "{}");
	make(h, GROUP "inner", "{}");
	make(h, GROUP "middle", "{}");
	make(h, GROUP "outer", "{}");
	ci = object_id(h, PRINCIPAL "ci");
	inner = object_id(h, GROUP "inner");
	middle = object_id(h, GROUP "middle");
	outer = object_id(h, GROUP "outer");
	member(h, "inner", "addMembers", ci);
	member(h, "middle", "addMembers", inner);
	member(h, "outer", "addMembers", middle);
	assert_int_equal(h->status, 204);
	assert_int_equal(groups_of(h, ci), 3);
	member(h, "inner", "addMembers", outer);
	assert_string_equal(h->code, "CircularMembership");
	member(h, "inner", "addMembers", inner);
	assert_string_equal(h->code, "CircularMembership");
	member(h, "inner", "addMembers", "00000000-0000-0000-0000-000000000009");
	assert_string_equal(h->code, "PrincipalNotFound");
	assert_int_equal(groups_of(h, ci), 3);
	member(h, "middle", "removeMembers", inner);
	assert_int_equal(groups_of(h, ci), 1);
}

static void a_principal_that_goes_leaves_its_groups(void **state)
{
	struct harness *h = h_of(state);
	const char *ci;
	char body[160];

	make(h, PRINCIPAL "ci", "{}");
	ci = object_id(h, PRINCIPAL "ci");
	(void) snprintf(body, sizeof(body), "{'properties':{'members':['%s','%s']}}", ci, ci);
	make(h, GROUP "g", body);
	assert_int_equal(json_array_size(json_at(h->body, "properties.members")), 1);
	assert_int_equal(groups_of(h, ci), 1);
	expect_ok(h, "DELETE", PRINCIPAL "ci", V_ID, NULL);
	assert_int_equal(groups_of(h, ci), 0);
	expect_ok(h, "GET", GROUP "g", V_ID, NULL);
	assert_int_equal(json_array_size(json_at(h->body, "properties.members")), 0);
	expect_ok(h, "DELETE", GROUP "g", V_ID, NULL);
}

static void a_put_sets_the_members(void **state)
{
	struct harness *h = h_of(state);
	const char *a, *b;
	char body[160];

	make(h, USER "a", "{}");
	make(h, USER "b", "{}");
	a = object_id(h, USER "a");
	b = object_id(h, USER "b");
	(void) snprintf(body, sizeof(body), "{'properties':{'members':['%s']}}", a);
	make(h, GROUP "g", body);
	(void) snprintf(body, sizeof(body), "{'properties':{'members':['%s']}}", b);
	make(h, GROUP "g", body);
	assert_int_equal(groups_of(h, a), 0);
	assert_int_equal(groups_of(h, b), 1);
	make(h, GROUP "g", "{}");
	assert_int_equal(groups_of(h, b), 0);
}

/* ---- The administrator of admin.json -------------------------------------------------------- */

static void the_administrator_is_made_once(void **state)
{
	struct client *c = *state;
	auto_free char *path =
		strf(PRINCIPAL "admin-%.8s", json_str_at(c->h->app->admin, "clientId"));

	expect_ok(c->h, "GET", path, V_ID, NULL);
	assert_string_equal(text_at(c->h, "properties.appId"),
			    json_str_at(c->h->app->admin, "clientId"));
	expect_ok(c->h, "DELETE", path, V_ID, NULL);
	login_close(c->login);
	c->login = NULL;
	harness_reopen(c->h); /* who deletes it means it */
	expect_error(c->h, "GET", path, V_ID, NULL, 404, "ResourceNotFound", NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, client_setup, client_teardown)
	const struct CMUnitTest tests[] = {
		T(a_principal_gets_ids),
		T(ids_are_taken_once),
		T(a_secret_is_shown_once_and_stored_hashed),
		T(a_secret_takes_no_idempotency_key),
		T(bounds_of_credentials),
		T(groups_nest_and_never_in_circles),
		T(a_principal_that_goes_leaves_its_groups),
		T(a_put_sets_the_members),
		T(the_administrator_is_made_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

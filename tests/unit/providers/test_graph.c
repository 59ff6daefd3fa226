/* SPDX-License-Identifier: Apache-2.0 */
/* Graph: what clients ask, and what they may see. */
#include "login_client.h"

static char bearer[16400];

static void log_in(struct client *c, const char *id, const char *secret)
{
	c->basic = NULL;
	token_ok(c, ADFS, secret_form(id, secret));
	(void) snprintf(bearer, sizeof(bearer), "Bearer %s", c->token);
	c->basic = bearer; /* the header Authorization of the next requests */
}

static void log_in_admin(struct client *c)
{
	const json_t *admin = c->h->app->admin;

	log_in(c, json_str_at(admin, "clientId"), json_str_at(admin, "clientSecret"));
}

static void graph(struct client *c, const char *path, int status)
{
	char *target = strf("/msgraph/v1.0/%s", path);
	int got = http(c, "GET", target, NULL);

	if (got != status) {
		char *text = json_compact(c->res.body);

		fail_msg("%s: %d %s", path, got, text);
	}
	free(target);
}

static size_t values(struct client *c)
{
	return json_array_size(json_object_get(c->res.body, "value"));
}

static void what_az_asks(void **state)
{
	struct client *c = *state;
	const char *admin = json_str_at(c->h->app->admin, "clientId");
	char path[256], body[128];

	log_in_admin(c);
	(void) snprintf(path, sizeof(path),
			"servicePrincipals?$filter=servicePrincipalNames/any(c:c%%20eq%%20'%s')",
			admin);
	graph(c, path, 200);
	assert_int_equal(values(c), 1);
	assert_string_equal(json_str_at(c->res.body, "value.0.id"), admin);
	assert_string_equal(json_str_at(c->res.body, "value.0.servicePrincipalNames.0"), admin);
	(void) snprintf(path, sizeof(path), "servicePrincipals/%s", admin);
	graph(c, path, 200);
	(void) snprintf(path, sizeof(path), "servicePrincipals(appId='%s')", admin);
	graph(c, path, 200);
	assert_string_equal(json_str_at(c->res.body, "appId"), admin);
	graph(c, "servicePrincipals/00000000-0000-0000-0000-000000000001", 404);
	assert_string_equal(json_str_at(c->res.body, "error.code"), "Request_ResourceNotFound");
	(void) snprintf(body, sizeof(body), "{\"ids\":[\"%s\",\"none\"],\"types\":[\"user\"]}",
			admin);
	assert_int_equal(http(c, "POST", "/v1.0/directoryObjects/getByIds", body), 200);
	assert_int_equal(values(c), 1);
	assert_string_equal(
		json_string_value(json_object_get(json_at(c->res.body, "value.0"), "@odata.type")),
		"#microsoft.graph.servicePrincipal");
	graph(c, "me", 200);
	assert_int_equal(http(c, "POST", "/v1.0/directoryObjects/getByIds", "nonsense"), 400);
	graph(c, "applications", 404);
}

static void people_and_groups(void **state)
{
	struct client *c = *state;
	char body[128], path[256];

	expect_ok(c->h, "PUT", USER "alice", V_ID,
		  "{'properties':{'userPrincipalName':'alice@example.org','displayName':'Al'}}");
	(void) snprintf(body, sizeof(body), "{'properties':{'members':['%s']}}",
			text_at(c->h, "properties.objectId"));
	expect_ok(c->h, "PUT", GROUP "g", V_ID, body);
	(void) snprintf(path, sizeof(path), "groups/%s/members",
			text_at(c->h, "properties.objectId"));
	log_in_admin(c);
	graph(c, path, 200);
	assert_int_equal(values(c), 1);
	assert_string_equal(json_str_at(c->res.body, "value.0.displayName"), "Al");
	graph(c, "users/alice@example.org", 200);
	graph(c, "users?$filter=userPrincipalName%20eq%20'Alice@example.org'", 200);
	assert_int_equal(values(c), 1);
	graph(c, "users?$filter=startswith(displayName,'A')", 200);
	assert_int_equal(values(c), 1);
	graph(c, "users?$filter=displayName%20eq%20'B'", 200);
	assert_int_equal(values(c), 0);
	graph(c, "users?$filter=colour%20eq%20'B'", 400);
	graph(c, "groups", 200);
	assert_int_equal(values(c), 1);
}

static void pages(void **state)
{
	struct client *c = *state;
	unsigned seen = 0, rounds = 0;
	char path[64], *next;

	for (int i = 0; i < 7; i++) {
		(void) snprintf(path, sizeof(path), USER "u%d", i);
		expect_ok(c->h, "PUT", path, V_ID, "{}");
	}
	log_in_admin(c);
	graph(c, "users?$top=3", 200);
	for (;; rounds++) {
		const char *link =
			json_string_value(json_object_get(c->res.body, "@odata.nextLink"));

		seen += (unsigned) values(c);
		if (!link)
			break;
		assert_true(str_starts(link, ENDPOINT));
		next = strdup(link + strlen(ENDPOINT));
		assert_int_equal(http(c, "GET", next, NULL), 200);
		free(next);
	}
	assert_int_equal(seen, 7);
	assert_int_equal(rounds, 2);
	graph(c, "users?$skiptoken=zz", 400);
}

static void who_may_not_read_finds_nothing(void **state)
{
	struct client *c = *state;
	char id[40], secret[80], path[128];
	const char *admin = json_str_at(c->h->app->admin, "clientId");

	graph(c, "users", 401);
	assert_true(c->res.n_headers > 0);
	expect_ok(c->h, "PUT", USER "alice", V_ID, "{}");
	expect_ok(c->h, "PUT", PRINCIPAL "ci", V_ID, "{}");
	expect_ok(c->h, "POST", PRINCIPAL "ci/addPassword", V_ID, NULL);
	(void) snprintf(secret, sizeof(secret), "%s", text_at(c->h, "secretText"));
	(void) snprintf(id, sizeof(id), "%s", app_id(c, "ci"));
	log_in(c, id, secret);
	graph(c, "users", 200);
	assert_int_equal(values(c), 0);
	graph(c, "servicePrincipals", 200); /* itself */
	assert_int_equal(values(c), 1);
	graph(c, "me", 200);
	(void) snprintf(path, sizeof(path), "servicePrincipals/%s", admin);
	graph(c, path, 404);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, client_setup, client_teardown)
	const struct CMUnitTest tests[] = {
		T(what_az_asks),
		T(people_and_groups),
		T(pages),
		T(who_may_not_read_finds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

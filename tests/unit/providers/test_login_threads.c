/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads log in and show tokens while principals, groups and keys change. */
#include "login_client.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 6
#define ROUNDS  30

struct crowd {
	struct client *c;
	char secret[80], id[40], gone[16384];
	atomic_uint tokens, refused, wrong;
};

/* A form to the token service; the access token, or NULL. Caller frees. */
static char *get_token(struct crowd *w, int *ret_status)
{
	char form[512];
	struct login_request q = {
		.method = "POST", .target = ADFS, .body = form, .peer = "192.0.2.1"};
	struct login_response res = {0};
	const char *token;
	char *copy;

	(void) snprintf(form, sizeof(form),
			"grant_type=client_credentials&client_id=%s&client_secret=%s", w->id,
			w->secret);
	q.body_bytes = strlen(form);
	if (!login_http(w->c->login, &q, &res))
		return NULL;
	*ret_status = res.status;
	token = json_str_at(res.body, "access_token");
	copy = token ? strdup(token) : NULL;
	login_response_done(&res);
	return copy;
}

static int show(struct crowd *w, const char *token)
{
	struct login_identity id;
	char *value = strf("Bearer %s", token);
	int r = value ? login_authenticate(w->c->login, value, &id, NULL) : -ENOMEM;

	if (r >= 0 && id.who.groups && id.who.groups[0] && strlen(id.who.groups[0]) != 36)
		r = -EBADMSG;
	if (r >= 0)
		login_identity_done(&id);
	free(value);
	return r;
}

static void *one(void *arg)
{
	struct crowd *w = arg;

	for (int i = 0; i < ROUNDS; i++) {
		int status = 0;
		char *token = get_token(w, &status);

		if (!token) /* too many at once from one address wait a second */
			(void) atomic_fetch_add(status == 429 ? &w->refused : &w->wrong, 1);
		else if (show(w, token) == 0)
			(void) atomic_fetch_add(&w->tokens, 1);
		else if (status != 200)
			(void) atomic_fetch_add(&w->wrong, 1);
		free(token);
		if (show(w, w->gone) != -EACCES)
			(void) atomic_fetch_add(&w->wrong, 1);
	}
	return NULL;
}

static void change_things(struct client *c, int i)
{
	char body[128], path[64];

	expect_ok(c->h, "GET", PRINCIPAL "ci", V_ID, NULL);
	(void) snprintf(body, sizeof(body), "{'members':['%s']}",
			text_at(c->h, "properties.objectId"));
	expect_ok(c->h, "POST", i % 2 ? GROUP "g/addMembers" : GROUP "g/removeMembers", V_ID, body);
	(void) snprintf(path, sizeof(path), USER "u%d", i);
	expect_ok(c->h, "PUT", path, V_ID, "{}");
	if (i == 5) {
		auto_free char *key = NULL;

		expect_ok(c->h, "GET", "/providers/Kiln.Identity/tokenKeys", V_ID, NULL);
		key = strf("%s/revoke", text_at(c->h, "value.0.id"));
		expect_ok(c->h, "POST", key, V_ID, NULL);
	}
	login_refresh(c->login);
}

static void a_crowd(void **state)
{
	struct client *c = *state;
	struct crowd *w = calloc(1, sizeof(*w));
	pthread_t threads[THREADS];

	assert_non_null(w);
	w->c = c;
	expect_ok(c->h, "PUT", GROUP "g", V_ID, "{}");
	expect_ok(c->h, "PUT", PRINCIPAL "gone", V_ID, "{}");
	expect_ok(c->h, "POST", PRINCIPAL "gone/addPassword", V_ID, NULL);
	(void) snprintf(w->secret, sizeof(w->secret), "%s", text_at(c->h, "secretText"));
	token_ok(c, ADFS, secret_form(app_id(c, "gone"), w->secret));
	(void) snprintf(w->gone, sizeof(w->gone), "%s", c->token);
	expect_ok(c->h, "DELETE", PRINCIPAL "gone", V_ID, NULL);
	login_refresh(c->login);
	expect_ok(c->h, "PUT", PRINCIPAL "ci", V_ID, "{}");
	expect_ok(c->h, "POST", PRINCIPAL "ci/addPassword", V_ID, NULL);
	(void) snprintf(w->secret, sizeof(w->secret), "%s", text_at(c->h, "secretText"));
	(void) snprintf(w->id, sizeof(w->id), "%s", app_id(c, "ci"));
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, one, w), 0);
	for (int i = 0; i < 10; i++)
		change_things(c, i);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&w->wrong), 0);
	assert_true(atomic_load(&w->tokens) > 0);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_crowd, client_setup, client_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "login_client.h"

#include <stdio.h>

void login_reopen(struct client *c, const char *endpoint, const json_t *config)
{
	struct login_config cfg = {c->h->app->arm, c->keys, endpoint, config};
	struct err e = ERR_INIT;

	login_close(c->login);
	c->login = NULL;
	if (login_open(&cfg, &c->login, &e) < 0)
		fail_msg("%s", err_str(&e));
}

int client_setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	assert_int_equal(harness_setup((void **) &c->h), 0);
	(void) snprintf(c->keys, sizeof(c->keys), "%s/login", c->h->dir);
	login_reopen(c, ENDPOINT, NULL);
	*state = c;
	return 0;
}

int client_teardown(void **state)
{
	struct client *c = *state;
	int r;

	login_response_done(&c->res);
	login_close(c->login);
	r = harness_teardown((void **) &c->h);
	free(c);
	return r;
}

static const char *header(void *arg, const char *name)
{
	const struct client *c = arg;

	if (str_eq_nocase(name, "Authorization"))
		return c->basic;
	return NULL;
}

int http(struct client *c, const char *method, const char *target, const char *body)
{
	struct login_request q = {.method = method,
				  .target = target,
				  .header = header,
				  .header_arg = c,
				  .body = body,
				  .body_bytes = body ? strlen(body) : 0,
				  .peer = c->peer};

	login_response_done(&c->res);
	if (!login_http(c->login, &q, &c->res))
		return -1;
	return c->res.status;
}

int ask(struct client *c, const char *path, const char *fmt, ...)
{
	const char *token;
	va_list ap;
	char *form;
	int status;

	va_start(ap, fmt);
	form = vstrf(fmt, ap);
	va_end(ap);
	assert_non_null(form);
	status = http(c, "POST", path, form);
	free(form);
	token = json_str_at(c->res.body, "access_token");
	(void) snprintf(c->token, sizeof(c->token), "%s", token ? token : "");
	return status;
}

static void unexpected(struct client *c, const char *path, const char *form)
{
	char *text = c->res.body ? json_compact(c->res.body) : NULL;

	fail_msg("%s %s: %d %s", path, form, c->res.status, text ? text : "");
}

void token_ok(struct client *c, const char *path, const char *form)
{
	if (ask(c, path, "%s", form) != 200 || !c->token[0] ||
	    !str_eq(json_str_at(c->res.body, "token_type"), "Bearer") ||
	    json_int_at(c->res.body, "expires_in", 0) <= 0)
		unexpected(c, path, form);
}

void token_bad(struct client *c, const char *path, const char *form, int status, const char *error,
	       int aadsts)
{
	char number[32];
	const char *text;

	(void) snprintf(number, sizeof(number), "AADSTS%d: ", aadsts);
	if (ask(c, path, "%s", form) != status ||
	    !str_eq(json_str_at(c->res.body, "error"), error) ||
	    json_int_at(c->res.body, "error_codes.0", 0) != aadsts)
		unexpected(c, path, form);
	text = json_str_at(c->res.body, "error_description");
	assert_true(text && str_starts(text, number));
	assert_non_null(json_str_at(c->res.body, "correlation_id"));
}

int authenticate(struct client *c, const char *token, const char **ret_code)
{
	static char code[64];
	struct login_identity id;
	struct err e = ERR_INIT;
	char *value = token ? strf("Bearer %s", token) : NULL;
	int r = login_authenticate(c->login, value, &id, &e);

	(void) snprintf(code, sizeof(code), "%s", e.arm ? e.arm : "");
	if (ret_code)
		*ret_code = code;
	if (r >= 0)
		login_identity_done(&id);
	err_done(&e);
	free(value);
	return r;
}

const char *app_id(struct client *c, const char *name)
{
	char path[256];

	(void) snprintf(path, sizeof(path), PRINCIPAL "%s", name);
	expect_ok(c->h, "GET", path, V_ID, NULL);
	return text_at(c->h, "properties.appId");
}

const char *secret_form(const char *id, const char *secret)
{
	static char form[1024];

	(void) snprintf(form, sizeof(form),
			"grant_type=client_credentials&client_id=%s&client_secret=%s"
			"&client_info=1&scope=https%%3A%%2F%%2F127.0.0.1%%3A8443%%2F%%2F.default",
			id, secret);
	return form;
}

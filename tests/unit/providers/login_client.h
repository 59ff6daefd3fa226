/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the token service of an app in-process, as a client would by HTTP. */
#ifndef KILN_TESTS_PROVIDERS_LOGIN_CLIENT_H
#define KILN_TESTS_PROVIDERS_LOGIN_CLIENT_H

#include "harness.h"
#include "login/login.h"

#define V_ID      "2026-11-01"
#define PRINCIPAL "/providers/Kiln.Identity/servicePrincipals/"
#define USER      "/providers/Kiln.Identity/users/"
#define GROUP     "/providers/Kiln.Identity/groups/"
#define ENDPOINT  "https://127.0.0.1:8443"
#define ADFS      "/adfs/oauth2/token"

struct client {
	struct harness *h;
	struct login *login;
	char keys[96];            /* directory of the private keys */
	const char *basic, *peer; /* of the next requests */
	struct login_response res;
	char token[16384]; /* the last access token */
};

/** client_setup() / client_teardown() - fixtures: *@state is a struct client. */
int client_setup(void **state);
int client_teardown(void **state);
/** login_reopen() - the server restarts, with another configuration (NULL = none). */
void login_reopen(struct client *c, const char *endpoint, const json_t *config);

/** http() - one request to the token service; the status; -1 when the path is not one of its. */
int http(struct client *c, const char *method, const char *target, const char *body);
/** ask() - POST a form to @path; the status. @fmt as printf. */
int ask(struct client *c, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** token_ok() - a form that must be answered with a token (then in @c->token). */
void token_ok(struct client *c, const char *path, const char *form);
/** token_bad() - a form that must be refused so. */
void token_bad(struct client *c, const char *path, const char *form, int status, const char *error,
	       int aadsts);
/** authenticate() - 0 or the failure; @ret_code (may be NULL): the ARM code, valid until the next
 *  call. */
int authenticate(struct client *c, const char *token, const char **ret_code);
/** app_id() - of a service principal; valid until the next call of the harness. */
const char *app_id(struct client *c, const char *name);
/** secret_form() - a client_credentials form for a principal and a secret; static. */
const char *secret_form(const char *id, const char *secret);

#endif

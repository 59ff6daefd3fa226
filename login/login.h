/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: the token service (discovery, JWKS, token endpoints in the styles of ADFS and of
 *Entra), a minimal Microsoft Graph, and the check of bearer tokens. Knows no sockets: a server
 *hands it what it read and sends what it gets.
 *
 *	login_open()
 *	per request:
 *		if (login_http(...))			one of the endpoints here: send the response
 *		else if (login_authenticate(...) == 0)	arm_handle() with identity.who,
 *							then login_identity_done()
 *		else					401 with login_challenge()
 *	login_close()
 *
 * Everything is safe from many threads. The wire is described in docs/login.md.
 */
#ifndef KILN_LOGIN_LOGIN_H
#define KILN_LOGIN_LOGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "arm/arm.h"
#include "base/err.h"
#include "base/json.h"

#define LOGIN_BODY_MAX    (64u << 10) /* bytes of a form or JSON body that is read */
#define LOGIN_TOKEN_MAX   (16u << 10) /* bytes of a token that is looked at */
#define LOGIN_HEADERS_MAX 8

struct login;

struct login_config {
	struct arm *arm;      /* borrowed; its configuration has the metadata and the tenant */
	const char *dir;      /* private keys of this host, made with mode 0700; copied */
	const char *endpoint; /* "https://127.0.0.1:8443", as bound; copied */
	const json_t *config; /* kiln.yaml; borrowed until login_close(); NULL = defaults */
};

/** login_open() - Return: 0, -EACCES (a key that others may read), or another -errno. */
int login_open(const struct login_config *c, struct login **ret, struct err *err);
void login_close(struct login *l); /* NULL is fine */
/** login_refresh() - the next request looks at the database again, without waiting for its turn:
 *  after a change of identities that this process made. */
void login_refresh(struct login *l);

struct login_request {
	const char *method; /* "GET" ... */
	const char *target; /* raw: path[?query], percent-encoded as it came */
	const char *(*header)(void *arg, const char *name); /* without case; NULL when absent */
	void *header_arg;
	const char *body; /* may be NULL */
	size_t body_bytes;
	const char *base_url; /* "https://host:port" that the client used, no slash at the end;
				 NULL = the endpoint. Only names that the certificate covers. */
	const char *peer;     /* the client's address, for throttling; NULL = local */
};
struct login_header {
	char *name, *value; /* owned */
};
struct login_response {
	int status;
	json_t *body; /* owned; sent as application/json; NULL = empty */
	struct login_header headers[LOGIN_HEADERS_MAX];
	size_t n_headers;
	char request_id[UUID_STR_LEN]; /* for x-ms-request-id and the access log */
};
void login_response_done(struct login_response *r);

/**
 * login_http() - answer a request to one of the endpoints here
 *
 * A POST may work for seconds (slow hashes, an outside issuer's keys): call it where waiting does
 * not stop other requests. login_owns() tells beforehand.
 * Return: false when the path belongs to somebody else; @ret is then untouched.
 */
bool login_http(struct login *l, const struct login_request *req, struct login_response *ret);
/** login_owns() - would login_http() answer this raw target? */
bool login_owns(const char *target);

/* A token's bearer, as of now; arm_handle() gets &who. */
struct login_identity {
	struct arm_principal who; /* valid until login_identity_done() */
	struct login_session *session;
};

/**
 * login_authenticate() - verify "Authorization: Bearer TOKEN"
 * @authorization: the header's value; NULL = absent
 *
 * Deleting or disabling a principal, removing the credential a token was got with and changing
 * group memberships take effect within half a second.
 * Return: 0, or -EACCES with one of the codes AuthenticationFailed (no token),
 * InvalidAuthenticationToken, ExpiredAuthenticationToken; or another -errno that is no fault of the
 * token (the database).
 */
int login_authenticate(struct login *l, const char *authorization, struct login_identity *ret,
		       struct err *err);
void login_identity_done(struct login_identity *i); /* safe twice */

/** login_challenge() - value of WWW-Authenticate for a refusal; caller frees; NULL on ENOMEM. */
char *login_challenge(const struct login *l, const char *base_url, const struct err *why);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of login/ share. */
#ifndef KILN_LOGIN_INTERNAL_H
#define KILN_LOGIN_INTERNAL_H

#include <pthread.h>

#include "arm/query.h"
#include "login/jwt.h"
#include "login/login.h"
#include "meta/meta.h"

struct keyring;
struct guard;
struct jwks_cache;
struct session_cache;

struct login {
	struct login_config config; /* strings owned */
	struct meta *meta;
	const char *tenant_id; /* the home tenant */
	struct keyring *keys;
	struct guard *guard;
	struct jwks_cache *jwks;
	struct session_cache *sessions;
	pthread_mutex_t lock;    /* guards the two below */
	int64_t epoch, epoch_ns; /* the database's counter, and when it was read */
};

#define EPOCH_NS       (250 * INT64_C(1000000)) /* a value so old is read again */
#define TOKEN_LIFE_S   3599
#define REFRESH_LIFE_S (24 * 3600)

/** login_epoch() - the counter of changes of identities, at most EPOCH_NS old. */
int login_epoch(struct login *l, int64_t *ret, struct err *err);

enum reply_style {
	REPLY_ARM,   /* {"error":{"code","message"}} */
	REPLY_OAUTH, /* {"error","error_description","error_codes",...} */
};

/* One request to an endpoint of this folder. */
struct login_call {
	struct login *l;
	const struct login_request *req;
	struct login_response *res;
	struct target target;
	enum reply_style style;
	const char *base;  /* of the URL that the client used, no slash at the end */
	char *tenant;      /* owned: the variable part of the path; NULL where it has none */
	const char *rest;  /* what follows the endpoint's path, without a slash before it; or "" */
	int status;        /* these three: how oauth_refuse() wants the error said */
	const char *oauth; /* "invalid_client" */
	int aadsts;
	struct err err;
};

/** reply() - status and body (stolen; NULL is -ENOMEM). */
int reply(struct login_call *c, int status, json_t *body);
/** reply_header() - copies. */
int reply_header(struct login_call *c, const char *name, const char *value);
/** reply_error() - what @c->err says, in the endpoint's style. */
void reply_error(struct login_call *c, int code);
/** reply_refuse() - fail with an ARM or Graph code. Return: @code. */
int reply_refuse(struct login_call *c, int code, const char *arm, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** oauth_refuse() - fail with a status, an OAuth error and the number that clients look for in
 *  "AADSTS...:". Return: -EACCES. */
int oauth_refuse(struct login_call *c, int status, const char *error, int aadsts, const char *fmt,
		 ...) __attribute__((format(printf, 5, 6)));

/* ---- Endpoints: each fills @c->res; a negative return becomes an error response ------------- */

typedef int endpoint_fn(struct login_call *c);
endpoint_fn metadata_endpoints; /* metadata.c */
endpoint_fn metadata_aliases;
endpoint_fn metadata_openid;
endpoint_fn metadata_instance;
endpoint_fn metadata_authorize;
endpoint_fn keys_endpoint;  /* keys.c */
endpoint_fn token_endpoint; /* token.c */
endpoint_fn graph_endpoint; /* graph.c */

/* ---- keys.c: what signs tokens, and what is believed ------------------------------------------
 */

struct token_public {
	EVP_PKEY *key;
	enum jwt_alg alg;
	char *issuer; /* "https://host:port": what its tokens' "iss" begins with */
};
void token_public_done(struct token_public *p);

int keys_open(struct login *l, struct err *err);
void keys_close(struct keyring *k);
/** keys_sign() - @claims get "iss" (the issuer and @style's end of it); caller frees. */
int keys_sign(struct login *l, json_t *claims, const char *style, const char *typ, char **ret,
	      struct err *err);
/** keys_find() - the public half. 0, -ENOENT, or a failure of the database. */
int keys_find(struct login *l, const char *kid, int64_t epoch, struct token_public *ret,
	      struct err *err);
/** keys_issuer() - is it the endpoint of a server whose keys are believed? */
int keys_issuer(struct login *l, const char *url, size_t n, bool *ret, struct err *err);

/* ---- principal.c ---------------------------------------------------------------------------- */

struct principal {
	char *object_id, *name, *tenant_id; /* owned, like all */
	char *app_id;                       /* NULL: a user */
	json_t *doc;
	bool disabled;
};
void principal_done(struct principal *p);
#define auto_principal __attribute__((cleanup(principal_done)))

/** principal_by_object(), principal_by_login() - 0, -ENOENT, or a failure of the database. */
int principal_by_object(struct login *l, const char *object_id, struct principal *ret,
			struct err *err);
int principal_by_login(struct login *l, const char *login, struct principal *ret, struct err *err);

/* What a principal proved itself with: "pwd:KEYID", "key:KEYID" or "fed:DIGEST". */
#define CREDENTIAL_MAX 64
struct credential {
	char id[CREDENTIAL_MAX];
	int64_t until_s; /* 0 = no end */
};
/** credential_known() - does the principal still have it? */
bool credential_known(const struct principal *p, const char *id);
/** federated_id() - "fed:..." of an element of federatedCredentials into @dst. 0 or -ENOMEM. */
int federated_id(const json_t *f, char dst[CREDENTIAL_MAX]);
/** credential_end() - "endDateTime" in seconds; 0 = none. */
int64_t credential_end(const json_t *credential);

/* ---- Audiences: audience.c ------------------------------------------------------------------ */

/** audience_of() - the canonical audience of a resource that a client named, or NULL: none of
 *  ours. Caller frees. */
char *audience_of(const struct login *l, const char *base, const char *resource);
/** audience_ok() - is a token for @aud one for this API? 0, -EACCES, or another -errno. */
int audience_ok(struct login *l, const char *aud, struct err *err);

/* ---- guard.c: what guessing may cost -------------------------------------------------------- */

int guard_new(struct guard **ret);
void guard_free(struct guard *g);
/** guard_blocked() - seconds for which @peer must not try @who again; 0 = go on. */
unsigned guard_blocked(struct guard *g, const char *who, const char *peer);
void guard_failed(struct guard *g, const char *who, const char *peer);
/** guard_enter() - wait for one of the few places where hashes are computed. -EAGAIN: too many
 *  wait already, or this peer has too many. guard_leave() - give it back. */
int guard_enter(struct guard *g, const char *peer);
void guard_leave(struct guard *g, const char *peer);
/** guard_proven() - was this secret found right for this credential before? guard_prove() - it
 *  was. Only keyed digests are kept. */
bool guard_proven(struct guard *g, const char *credential, const char *secret);
void guard_prove(struct guard *g, const char *credential, const char *secret);

/** secret_prove() - find the credential of @p that @secret belongs to. Fails as the token endpoint
 *  answers. */
int secret_prove(struct login_call *c, const struct principal *p, const char *secret,
		 struct credential *ret);

/* ---- assertion.c ---------------------------------------------------------------------------- */

/** assertion_prove() - a client's or an outside issuer's signed token instead of a secret.
 *  @client_id may be NULL. */
int assertion_prove(struct login_call *c, const char *assertion, const char *client_id,
		    struct principal *ret_p, struct credential *ret);
/** client_by_id() - the enabled service principal that a request is for. */
int client_by_id(struct login_call *c, const char *client_id, struct principal *ret);

/* ---- jwks.c: keys of outside issuers -------------------------------------------------------- */

int jwks_new(struct jwks_cache **ret);
void jwks_free(struct jwks_cache *j);
/** jwks_find() - the key that an issuer signs with under @kid (NULL: its only one), from the
 *  credential's own list or by https. 0, -ENOENT, or why the keys cannot be had. */
int jwks_find(struct login *l, const json_t *federated, const char *kid, EVP_PKEY **ret,
	      unsigned *ret_algs, struct err *err);

/* ---- authenticate.c ------------------------------------------------------------------------- */

int sessions_new(struct session_cache **ret);
void sessions_free(struct session_cache *s);
/** token_believe() - signature, issuer and times of a token that kiln made. -EACCES with a code as
 *  login_authenticate() has them. */
int token_believe(struct login *l, const char *token, size_t n, const char *typ, int64_t epoch,
		  struct jwt *ret, struct err *err);

#endif

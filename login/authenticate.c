/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From "Authorization: Bearer TOKEN" to a principal. A token that was believed is kept by its
 * digest together with what its principal was; the counter of changes says when to look again.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/internal.h"
#include "meta/identity.h"

#define SLOTS 4096

struct login_session {
	atomic_uint refs;
	struct digest token;
	int64_t epoch, exp_s;
	struct principal principal;
	char **groups;
};

struct session_cache {
	pthread_mutex_t lock; /* guards the slots */
	struct login_session *slots[SLOTS];
};

int sessions_new(struct session_cache **ret)
{
	struct session_cache *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = pthread_mutex_init(&s->lock, NULL);
	if (r != 0) {
		free(s);
		return -r;
	}
	*ret = s;
	return 0;
}

static void unref(struct login_session *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	principal_done(&s->principal);
	strv_free(s->groups);
	free(s);
}

void sessions_free(struct session_cache *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		unref(s->slots[i]);
	(void) pthread_mutex_destroy(&s->lock);
	free(s);
}

static size_t slot_of(const struct digest *d)
{
	size_t v;

	memcpy(&v, d->b, sizeof(v));
	return v % SLOTS;
}

static struct login_session *cached(struct session_cache *c, const struct digest *d, int64_t epoch)
{
	struct login_session *s;

	(void) pthread_mutex_lock(&c->lock);
	s = c->slots[slot_of(d)];
	if (s && digest_eq(&s->token, d) && s->epoch == epoch)
		(void) atomic_fetch_add(&s->refs, 1);
	else
		s = NULL;
	(void) pthread_mutex_unlock(&c->lock);
	return s;
}

static void keep(struct session_cache *c, struct login_session *s)
{
	struct login_session *old;

	(void) atomic_fetch_add(&s->refs, 1);
	(void) pthread_mutex_lock(&c->lock);
	old = c->slots[slot_of(&s->token)];
	c->slots[slot_of(&s->token)] = s;
	(void) pthread_mutex_unlock(&c->lock);
	unref(old);
}

/* ---- One token ------------------------------------------------------------------------------ */

static int refuse(struct err *err, const char *code, const char *what)
{
	(void) err_set(err, -EACCES, "%s", what);
	err_arm(err, code);
	return -EACCES;
}

static int invalid(struct err *err, const char *what)
{
	auto_free char *text = strf("The access token is invalid: %s.", what);

	return refuse(err, "InvalidAuthenticationToken", text ? text : "The token is invalid.");
}

static int expired(struct err *err)
{
	return refuse(err, "ExpiredAuthenticationToken", "The access token has expired.");
}

/* "https://host/adfs", "https://host/TENANT/v2.0", "https://host/TENANT/" */
static bool issuer_ok(const struct jwt *j, const char *issuer)
{
	const char *iss = json_str_at(j->claims, "iss"), *tid = json_str_at(j->claims, "tid");
	size_t n = strlen(issuer);
	const char *end;

	if (!iss || !tid || strncmp(iss, issuer, n) != 0)
		return false;
	end = iss + n;
	if (str_eq(end, "/adfs"))
		return true;
	n = strlen(tid);
	return *end == '/' && strncmp(end + 1, tid, n) == 0 &&
	       (str_eq(end + 1 + n, "/") || str_eq(end + 1 + n, "/v2.0"));
}

static int believe(struct login *l, struct jwt *j, const char *typ, int64_t epoch, struct err *err)
{
	struct token_public key = {0};
	const char *is = json_str_at(j->header, "typ");
	struct err why = ERR_INIT;
	int r;

	if (!j->kid)
		return invalid(err, "it names no key");
	if (!is || !str_eq_nocase(is, typ))
		return invalid(err, "it is no token of this kind");
	r = keys_find(l, j->kid, epoch, &key, err);
	if (r == -ENOENT)
		return invalid(err, "its key is not known");
	if (r < 0)
		return r;
	r = jwt_verify(j, key.key, 1u << key.alg, &why);
	if (r >= 0 && !issuer_ok(j, key.issuer))
		r = err_set(&why, -EACCES, "its issuer is not the one of its key");
	token_public_done(&key);
	if (r >= 0)
		r = jwt_times(j, time_now_us() / 1000000, &why);
	if (r == -ETIME)
		r = expired(err);
	else if (r < 0 && r != -ENOMEM)
		r = invalid(err, err_str(&why));
	err_done(&why);
	return r;
}

int token_believe(struct login *l, const char *token, size_t n, const char *typ, int64_t epoch,
		  struct jwt *ret, struct err *err)
{
	struct err why = ERR_INIT;
	struct jwt j = {0};
	int r = jwt_parse(token, n, &j, &why);

	if (r < 0 && r != -ENOMEM)
		r = invalid(err, err_str(&why));
	err_done(&why);
	if (r >= 0)
		r = believe(l, &j, typ, epoch, err);
	if (r < 0) {
		jwt_done(&j);
		return r;
	}
	*ret = j;
	return 0;
}

static int check_audience(struct login *l, const struct jwt *j, struct err *err)
{
	const char *aud = json_str_at(j->claims, "aud"); /* kiln writes one, never a list */
	int r = aud ? audience_ok(l, aud, err) : -EACCES;

	return r == -EACCES ? invalid(err, "it is for another audience") : r;
}

static int resolve(struct login *l, const struct jwt *j, struct login_session *s, struct err *err)
{
	const char *oid = json_str_at(j->claims, "oid"), *tid = json_str_at(j->claims, "tid");
	const char *cred = json_str_at(j->claims, "cred");
	int r = oid ? principal_by_object(l, oid, &s->principal, err) : -ENOENT;

	if (r == -ENOENT) {
		err_done(err);
		return invalid(err, "its principal does not exist any more");
	}
	if (r < 0)
		return r;
	if (s->principal.disabled)
		return invalid(err, "its principal is disabled");
	if (!str_eq_nocase(s->principal.tenant_id, tid))
		return invalid(err, "its principal belongs to another tenant");
	if (!cred || !credential_known(&s->principal, cred))
		return invalid(err, "the credential that it was got with was removed");
	s->exp_s = json_int_at(j->claims, "exp", 0);
	return identity_groups(l->meta, s->principal.object_id, &s->groups, err);
}

static int make_session(struct login *l, const char *token, size_t n, const struct digest *d,
			int64_t epoch, struct login_session **ret, struct err *err)
{
	auto_jwt struct jwt j = {0};
	struct login_session *s;
	int r = token_believe(l, token, n, "JWT", epoch, &j, err);

	if (r >= 0)
		r = check_audience(l, &j, err);
	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	atomic_init(&s->refs, 1);
	s->token = *d;
	s->epoch = epoch;
	r = resolve(l, &j, s, err);
	if (r < 0) {
		unref(s);
		return r;
	}
	keep(l->sessions, s);
	*ret = s;
	return 0;
}

static void give(struct login_session *s, struct login_identity *ret)
{
	*ret = (struct login_identity){
		.session = s,
		.who = {.object_id = s->principal.object_id,
			.name = s->principal.name,
			.kind = s->principal.app_id ? "Application" : "User",
			.tenant_id = s->principal.tenant_id,
			.groups = (const char *const *) s->groups},
	};
}

int login_authenticate(struct login *l, const char *authorization, struct login_identity *ret,
		       struct err *err)
{
	struct login_session *s;
	const char *token;
	struct digest d;
	int64_t epoch;
	size_t n;
	int r;

	*ret = (struct login_identity){0};
	if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
		return refuse(err, "AuthenticationFailed",
			      "Authentication failed. The 'Authorization' header is missing or has"
			      " no bearer token.");
	token = authorization + 7 + strspn(authorization + 7, " ");
	n = strnlen(token, LOGIN_TOKEN_MAX + 1);
	if (n > LOGIN_TOKEN_MAX)
		return invalid(err, "it is too long");
	r = login_epoch(l, &epoch, err);
	if (r < 0)
		return r;
	sha256(token, n, &d);
	s = cached(l->sessions, &d, epoch);
	if (!s)
		r = make_session(l, token, n, &d, epoch, &s, err);
	if (r < 0)
		return r;
	if (s->exp_s + JWT_SKEW_S <= time_now_us() / 1000000) {
		unref(s);
		return expired(err);
	}
	give(s, ret);
	return 0;
}

void login_identity_done(struct login_identity *i)
{
	unref(i->session);
	*i = (struct login_identity){0};
}

char *login_challenge(const struct login *l, const char *base_url, const struct err *why)
{
	const char *base = base_url ? base_url : l->config.endpoint;

	if (why && str_eq(why->arm, "AuthenticationFailed"))
		return strf("Bearer authorization_uri=\"%s/%s\"", base, l->tenant_id);
	return strf("Bearer authorization_uri=\"%s/%s\", error=\"invalid_token\","
		    " error_description=\"%s\"",
		    base, l->tenant_id, "The access token is invalid or expired");
}

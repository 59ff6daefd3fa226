/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that sign tokens. The private half never leaves this host: DIR/KID.pem, mode 0600. The
 * public half is a row of the database with the issuer it signs for, so that servers that share a
 * database believe each other's tokens. A key signs for KEY_SIGNS, is believed a little longer, and
 * is replaced when the endpoint or the algorithm changes; what it signed before stays good to its
 * end.
 */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/signkey.h"
#include "base/timeutil.h"
#include "login/internal.h"
#include "meta/identity.h"

#define DAY_US       (24 * 3600 * INT64_C(1000000))
#define KEY_SIGNS_US (30 * DAY_US)
#define KEY_END_US   (32 * DAY_US)
#define OVERLAP_US   ((REFRESH_LIFE_S + JWT_SKEW_S) * INT64_C(1000000))
#define KNOWN_MAX    32 /* public keys kept in memory */

struct known {
	char *kid;
	struct token_public public;
	int64_t until_us;
};

struct keyring {
	pthread_mutex_t lock; /* guards all below */
	EVP_PKEY *key;        /* signs */
	enum jwt_alg alg;
	char *kid, *issuer;
	int64_t made_us;
	int64_t own_epoch;             /* of the last look whether it still may sign */
	struct known known[KNOWN_MAX]; /* as of @epoch */
	size_t n_known;
	int64_t epoch;
};

void token_public_done(struct token_public *p)
{
	EVP_PKEY_free(p->key);
	free(p->issuer);
	*p = (struct token_public){0};
}

/* ---- The private half ----------------------------------------------------------------------- */

static char *key_path(const struct login *l, const char *kid)
{
	return strf("%s/%s.pem", l->config.dir, kid);
}

/* ---- Making one ----------------------------------------------------------------------------- */

/* RFC 7638: the digest of what makes the key. */
static int thumbprint(const json_t *jwk, char **ret)
{
	static const char *const parts[] = {"crv", "e", "kty", "n", "x", "y"};
	auto_json json_t *j = json_object();
	auto_buf struct buf b = BUF_INIT(8192);
	struct digest d;
	int r = j ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && r >= 0; i++) {
		json_t *v = json_object_get(jwk, parts[i]);

		if (v)
			r = json_object_set(j, parts[i], v) < 0 ? -ENOMEM : 0;
	}
	if (r >= 0)
		r = json_canonical(j, &b);
	if (r < 0)
		return r;
	sha256(b.data, b.len, &d);
	*ret = b64url_encode(d.b, sizeof(d.b));
	return *ret ? 0 : -ENOMEM;
}

static enum jwt_alg wanted_alg(const struct login *l)
{
	const char *name = json_str_at(l->config.config, "login.algorithm");

	return name ? jwt_alg_find(name) : JWT_RS256;
}

static int row_write(struct login *l, struct keyring *k, const json_t *public, struct err *err)
{
	auto_free char *jwk = json_compact(public);
	struct token_key row = {
		.kid = k->kid,
		.alg = (char *) (uintptr_t) jwt_alg_name(k->alg),
		.issuer = k->issuer,
		.jwk = jwk,
		.made_us = k->made_us,
		.until_us = k->made_us + KEY_END_US,
	}; /* borrows: never released with token_key_done() */
	int r;

	if (!jwk)
		return err_set(err, -ENOMEM, "out of memory");
	r = meta_begin(l->meta, err);
	if (r < 0)
		return r;
	r = token_key_add(l->meta, &row, err);
	if (r >= 0)
		r = token_key_expire(l->meta, time_now_us(), err);
	if (r >= 0)
		r = identity_touch(l->meta, err);
	if (r < 0) {
		meta_rollback(l->meta);
		return r;
	}
	return meta_commit(l->meta, err);
}

static int key_make(struct login *l, struct keyring *k, struct err *err)
{
	auto_json json_t *plain = NULL, *public = NULL;
	auto_free char *path = NULL;
	int r;

	k->alg = wanted_alg(l);
	k->key = k->alg == JWT_ES256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(JWT_RSA_BITS_MIN);
	k->issuer = strdup(l->config.endpoint);
	k->made_us = time_now_us();
	if (!k->key || !k->issuer)
		return err_set(err, -ENOMEM, "a key that signs tokens");
	r = jwk_public(k->key, k->alg, NULL, &plain, err);
	if (r >= 0)
		r = thumbprint(plain, &k->kid);
	if (r >= 0)
		r = jwk_public(k->key, k->alg, k->kid, &public, err);
	if (r < 0)
		return r;
	path = key_path(l, k->kid);
	/* The file first: a row without one would be believed and never used. */
	r = path ? pkey_write(path, k->key, err) : -ENOMEM;
	return r < 0 ? r : row_write(l, k, public, err);
}

/* ---- Finding it again ----------------------------------------------------------------------- */

struct search {
	struct login *l;
	struct keyring *k;
	char **end; /* kids of this host that sign no more */
	struct err *err;
};

static bool usable(const struct search *s, const struct token_key *row)
{
	return !s->k->key && str_eq(row->issuer, s->l->config.endpoint) &&
	       jwt_alg_find(row->alg) == wanted_alg(s->l) &&
	       row->made_us + KEY_SIGNS_US > time_now_us() &&
	       row->until_us >= row->made_us + KEY_END_US;
}

static int consider(void *arg, const struct token_key *row)
{
	struct search *s = arg;
	auto_free char *path = key_path(s->l, row->kid);
	EVP_PKEY *key = NULL;
	int r;

	if (!path)
		return err_set(s->err, -ENOMEM, "out of memory");
	r = pkey_read(path, &key, s->err);
	if (r == -ENOENT)
		return 0; /* another host's */
	if (r < 0)
		return r;
	if (!usable(s, row)) {
		EVP_PKEY_free(key);
		return strv_push(&s->end, row->kid);
	}
	s->k->key = key;
	s->k->alg = jwt_alg_find(row->alg);
	s->k->made_us = row->made_us;
	s->k->kid = strdup(row->kid);
	s->k->issuer = strdup(row->issuer);
	return s->k->kid && s->k->issuer ? 0 : err_set(s->err, -ENOMEM, "out of memory");
}

/* Private halves that sign no more, also those of a crash or of rows that expired long ago. */
static int sweep(const struct login *l, const char *kid, struct err *err)
{
	auto_free char *keep = strf("%s.pem", kid);
	auto_dir DIR *d = opendir(l->config.dir);
	struct dirent *e;

	if (!keep || !d)
		return err_set(err, keep ? -errno : -ENOMEM, "%s", l->config.dir);
	while ((e = readdir(d)))
		if (str_ends(e->d_name, ".pem") && !str_eq(e->d_name, keep) &&
		    unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != ENOENT)
			return err_set(err, -errno, "%s/%s", l->config.dir, e->d_name);
	return 0;
}

static int key_choose(struct login *l, struct keyring *k, struct err *err)
{
	struct search s = {.l = l, .k = k, .err = err};
	int r = token_key_each(l->meta, consider, &s, err);

	if (r >= 0 && !k->key)
		r = key_make(l, k, err);
	for (size_t i = 0; r >= 0 && s.end && s.end[i]; i++)
		r = token_key_shorten(l->meta, s.end[i], time_now_us() + OVERLAP_US, err);
	if (r >= 0)
		r = sweep(l, k->kid, err);
	strv_free(s.end);
	return r;
}

/* Under a lock of the directory: two processes choose one after the other. */
static int key_choose_locked(struct login *l, struct keyring *k, struct err *err)
{
	auto_free char *path = path_join(l->config.dir, "lock");
	auto_fd int lock = -1;
	int r;

	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	r = lock_file(path, LOCK_EXCLUSIVE, &lock, err);
	return r < 0 ? r : key_choose(l, k, err);
}

static void forget_known(struct keyring *k)
{
	for (size_t i = 0; i < k->n_known; i++) {
		free(k->known[i].kid);
		token_public_done(&k->known[i].public);
	}
	k->n_known = 0;
}

static void forget_own(struct keyring *k)
{
	EVP_PKEY_free(k->key);
	free(k->kid);
	free(k->issuer);
	k->key = NULL;
	k->kid = k->issuer = NULL;
}

int keys_open(struct login *l, struct err *err)
{
	enum jwt_alg alg = wanted_alg(l);
	struct keyring *k;
	int r;

	if (alg != JWT_RS256 && alg != JWT_ES256) {
		(void) err_set(err, -EINVAL, "kiln.yaml: login.algorithm: RS256 or ES256 expected");
		err_target(err, "login.algorithm");
		return -EINVAL;
	}
	r = file_mkdir_p(l->config.dir, 0700, err);
	if (r < 0)
		return r;
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_set(err, -ENOMEM, "out of memory");
	r = pthread_mutex_init(&k->lock, NULL);
	if (r != 0) {
		free(k);
		return err_set(err, -r, "keys of tokens");
	}
	l->keys = k;
	r = key_choose_locked(l, k, err);
	return r < 0 ? err_ctx(err, r, "keys of tokens") : 0;
}

void keys_close(struct keyring *k)
{
	if (!k)
		return;
	forget_known(k);
	forget_own(k);
	(void) pthread_mutex_destroy(&k->lock);
	free(k);
}

/* ---- Signing -------------------------------------------------------------------------------- */

/* Was the key that signs revoked meanwhile? */
static int check_own(struct login *l, struct keyring *k, bool *ret_good, struct err *err)
{
	auto_token_key struct token_key row = {0};
	int64_t epoch;
	int r = login_epoch(l, &epoch, err);

	if (r < 0 || k->own_epoch == epoch)
		return r;
	r = token_key_get(l->meta, k->kid, &row, err);
	*ret_good = r >= 0 && row.until_us >= k->made_us + KEY_END_US;
	if (r < 0 && r != -ENOENT)
		return r;
	k->own_epoch = epoch;
	return 0;
}

static int fresh_key(struct login *l, struct keyring *k, struct err *err)
{
	bool good = k->key && k->made_us + KEY_SIGNS_US > time_now_us();
	int r = good ? check_own(l, k, &good, err) : 0;

	if (r < 0 || good)
		return r;
	forget_own(k);
	return key_choose_locked(l, k, err);
}

int keys_sign(struct login *l, json_t *claims, const char *style, const char *typ, char **ret,
	      struct err *err)
{
	struct keyring *k = l->keys;
	auto_free char *kid = NULL;
	EVP_PKEY *key = NULL;
	enum jwt_alg alg = JWT_ALG_MAX;
	int r;

	(void) pthread_mutex_lock(&k->lock);
	r = fresh_key(l, k, err);
	if (r >= 0 && EVP_PKEY_up_ref(k->key) == 1) {
		key = k->key;
		alg = k->alg;
		kid = strdup(k->kid);
		if (json_object_set_new(claims, "iss", json_strf("%s%s", k->issuer, style)) < 0)
			r = -ENOMEM;
	}
	(void) pthread_mutex_unlock(&k->lock);
	if (r >= 0)
		r = kid ? jwt_sign(claims, key, alg, kid, typ, ret, err)
			: err_set(err, -ENOMEM, "out of memory");
	EVP_PKEY_free(key);
	return r;
}

/* ---- Believing ------------------------------------------------------------------------------ */

static int parse_row(const struct token_key *row, struct known *ret, struct err *err)
{
	auto_json json_t *jwk = NULL;
	unsigned algs = 0;
	int r = json_parse(row->jwk, strlen(row->jwk), &jwk, err);

	*ret = (struct known){.until_us = row->until_us, .public.alg = jwt_alg_find(row->alg)};
	if (r >= 0)
		r = jwk_parse(jwk, &ret->public.key, &algs, err);
	if (r >= 0 && !(algs & 1u << ret->public.alg))
		r = -EBADMSG;
	if (r >= 0) {
		ret->kid = strdup(row->kid);
		ret->public.issuer = strdup(row->issuer);
		r = ret->kid && ret->public.issuer ? 0 : -ENOMEM;
	}
	if (r < 0) {
		free(ret->kid);
		token_public_done(&ret->public);
	}
	return r < 0 ? err_ctx(err, r, "key %.64s of the database", row->kid) : 0;
}

static int give(const struct known *n, struct token_public *ret)
{
	char *issuer;

	if (n->until_us < time_now_us())
		return -ENOENT;
	issuer = strdup(n->public.issuer);
	if (!issuer || EVP_PKEY_up_ref(n->public.key) != 1) {
		free(issuer);
		return -ENOMEM;
	}
	ret->key = n->public.key;
	ret->alg = n->public.alg;
	ret->issuer = issuer;
	return 0;
}

static int load(struct login *l, struct keyring *k, const char *kid, struct known **ret,
		struct err *err)
{
	auto_token_key struct token_key row = {0};
	struct known n;
	int r = token_key_get(l->meta, kid, &row, err);

	if (r >= 0)
		r = parse_row(&row, &n, err);
	if (r < 0)
		return r;
	if (k->n_known == KNOWN_MAX)
		forget_known(k);
	k->known[k->n_known] = n;
	*ret = &k->known[k->n_known++];
	return 0;
}

int keys_find(struct login *l, const char *kid, int64_t epoch, struct token_public *ret,
	      struct err *err)
{
	struct keyring *k = l->keys;
	struct known *found = NULL;
	int r = 0;

	(void) pthread_mutex_lock(&k->lock);
	if (k->epoch != epoch)
		forget_known(k);
	k->epoch = epoch;
	for (size_t i = 0; i < k->n_known && !found; i++)
		if (str_eq(k->known[i].kid, kid))
			found = &k->known[i];
	if (!found)
		r = load(l, k, kid, &found, err);
	if (r >= 0)
		r = give(found, ret);
	(void) pthread_mutex_unlock(&k->lock);
	return r;
}

struct issuer_search {
	const char *url;
	size_t n;
	bool found;
};

static int same_issuer(void *arg, const struct token_key *row)
{
	struct issuer_search *s = arg;

	s->found = s->found || (row->until_us >= time_now_us() && strlen(row->issuer) == s->n &&
				strncasecmp(row->issuer, s->url, s->n) == 0);
	return 0;
}

int keys_issuer(struct login *l, const char *url, size_t n, bool *ret, struct err *err)
{
	struct issuer_search s = {.url = url, .n = n};
	int r = 0;

	s.found = strlen(l->config.endpoint) == n && strncasecmp(l->config.endpoint, url, n) == 0;
	if (!s.found)
		r = token_key_each(l->meta, same_issuer, &s, err);
	*ret = s.found;
	return r;
}

/* ---- JWKS ----------------------------------------------------------------------------------- */

static int publish(void *arg, const struct token_key *row)
{
	auto_json json_t *jwk = NULL;
	int r;

	if (row->until_us < time_now_us())
		return 0;
	r = json_parse(row->jwk, strlen(row->jwk), &jwk, NULL);
	if (r >= 0 && json_object_set_new(jwk, "issuer", json_string(row->issuer)) < 0)
		r = -ENOMEM;
	if (r >= 0)
		r = json_array_append(arg, jwk) < 0 ? -ENOMEM : 0;
	return r;
}

int keys_endpoint(struct login_call *c)
{
	auto_json json_t *list = json_array();
	int r = list ? token_key_each(c->l->meta, publish, list, &c->err) : -ENOMEM;

	return r < 0 ? r : reply(c, 200, json_pack("{s:O}", "keys", list));
}

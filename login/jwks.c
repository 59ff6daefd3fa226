/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of outside issuers: inline with the credential, from its jwksUri, or from where the issuer's
 * OpenID configuration says. Fetched by https only, from public addresses unless kiln.yaml allows
 * others; kept for a while, and asked again when a token names a key that is not among them.
 */
#include <openssl/evp.h>
#include <pthread.h>

#include "base/mem.h"
#include "base/timeutil.h"
#include "login/fetch.h"
#include "login/internal.h"

#define SLOTS       64
#define FRESH_NS    (600 * INT64_C(1000000000))      /* used without asking */
#define STALE_NS    (6 * 3600 * INT64_C(1000000000)) /* used while the issuer cannot be reached */
#define ASK_NS      (30 * INT64_C(1000000000))       /* between two questions for one issuer */
#define KEYS_MAX    64                               /* of one issuer */
#define ISSUER_PATH "/.well-known/openid-configuration"

struct entry {
	char *source; /* owned: issuer or URI */
	json_t *keys; /* owned: the list, or NULL while none was had */
	int64_t got_ns, asked_ns;
};

struct jwks_cache {
	pthread_mutex_t lock; /* guards the slots; not held while fetching */
	struct entry slots[SLOTS];
};

int jwks_new(struct jwks_cache **ret)
{
	struct jwks_cache *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return -ENOMEM;
	r = pthread_mutex_init(&j->lock, NULL);
	if (r != 0) {
		free(j);
		return -r;
	}
	*ret = j;
	return 0;
}

void jwks_free(struct jwks_cache *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		free(j->slots[i].source);
		json_decref(j->slots[i].keys);
	}
	(void) pthread_mutex_destroy(&j->lock);
	free(j);
}

/* ---- The list of one issuer ----------------------------------------------------------------- */

/* The slot of a source; the oldest one is given up for a new source. NULL on ENOMEM. */
static struct entry *slot(struct jwks_cache *j, const char *source)
{
	struct entry *old = &j->slots[0];
	char *copy;

	for (size_t i = 0; i < SLOTS; i++) {
		struct entry *e = &j->slots[i];

		if (e->source && str_eq(e->source, source))
			return e;
		if (!e->source || (old->source && e->asked_ns < old->asked_ns))
			old = e;
	}
	copy = strdup(source);
	if (!copy)
		return NULL;
	free(old->source);
	json_decref(old->keys);
	*old = (struct entry){.source = copy};
	return old;
}

/* A deep copy: reference counts of JSON belong to one thread. */
static json_t *take_keys(struct jwks_cache *j, const char *source, bool again, bool *ret_ask)
{
	int64_t now = time_mono_ns();
	struct entry *e;
	json_t *keys = NULL;

	(void) pthread_mutex_lock(&j->lock);
	e = slot(j, source);
	*ret_ask = false;
	if (e) {
		bool fresh = e->keys && now - e->got_ns < FRESH_NS;

		if ((again || !fresh) && (e->asked_ns == 0 || now - e->asked_ns >= ASK_NS)) {
			*ret_ask = true;
			e->asked_ns = now;
		}
		if (e->keys && now - e->got_ns < STALE_NS)
			keys = json_deep_copy(e->keys);
	}
	(void) pthread_mutex_unlock(&j->lock);
	return keys;
}

static void put_keys(struct jwks_cache *j, const char *source, const json_t *keys)
{
	json_t *copy = json_deep_copy(keys);
	struct entry *e;

	(void) pthread_mutex_lock(&j->lock);
	e = copy ? slot(j, source) : NULL;
	if (e) {
		json_decref(e->keys);
		e->keys = copy;
		copy = NULL;
		e->got_ns = time_mono_ns();
	}
	(void) pthread_mutex_unlock(&j->lock);
	json_decref(copy);
}

static int discover(struct login *l, const char *issuer, char **ret, struct err *err)
{
	size_t n = strlen(issuer);
	auto_free char *url =
		strf("%.*s%s", (int) (n - (n && issuer[n - 1] == '/')), issuer, ISSUER_PATH);
	auto_json json_t *doc = NULL;
	const char *uri;
	int r = url ? fetch_json(l->config.config, url, &doc, err) : -ENOMEM;

	if (r < 0)
		return r;
	if (!str_eq(json_str_at(doc, "issuer"), issuer))
		return err_set(err, -EINVAL, "%s says that it belongs to another issuer", url);
	uri = json_str_at(doc, "jwks_uri");
	if (!uri)
		return err_set(err, -EINVAL, "%s has no jwks_uri", url);
	*ret = strdup(uri);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int ask(struct login *l, const json_t *f, json_t **ret, struct err *err)
{
	const char *given = json_str_at(f, "jwksUri");
	auto_free char *found = NULL;
	auto_json json_t *doc = NULL;
	json_t *keys;
	int r = 0;

	if (!given)
		r = discover(l, json_str_at(f, "issuer"), &found, err);
	if (r >= 0)
		r = fetch_json(l->config.config, given ? given : found, &doc, err);
	if (r < 0)
		return err_ctx(err, r, "the issuer's keys");
	keys = json_object_get(doc, "keys");
	if (!json_is_array(keys) || json_array_size(keys) > KEYS_MAX)
		return err_set(err, -EINVAL, "the issuer's keys are no list of at most %d",
			       KEYS_MAX);
	*ret = json_incref(keys);
	return 0;
}

/* ---- One key -------------------------------------------------------------------------------- */

static int pick(const json_t *keys, const char *kid, EVP_PKEY **ret, unsigned *ret_algs)
{
	const json_t *found = NULL;

	for (size_t i = 0; i < json_array_size(keys); i++) {
		const json_t *k = json_array_get(keys, i);

		if (kid ? str_eq(json_str_at(k, "kid"), kid) : json_array_size(keys) == 1)
			found = found ? found : k;
	}
	if (!found)
		return -ENOENT;
	return jwk_parse(found, ret, ret_algs, NULL) < 0 ? -ENOENT : 0;
}

static int missing(const char *kid, struct err *err)
{
	return err_set(err, -ENOENT, "the issuer has no usable key \"%.100s\"", kid ? kid : "");
}

static int from_issuer(struct login *l, const json_t *f, const char *kid, bool again,
		       EVP_PKEY **ret, unsigned *ret_algs, struct err *err)
{
	const char *uri = json_str_at(f, "jwksUri");
	const char *source = uri ? uri : json_str_at(f, "issuer");
	auto_json json_t *keys = NULL, *got = NULL;
	bool wanted = false;
	int r = 0;

	if (!source)
		return missing(kid, err);
	keys = take_keys(l->jwks, source, again, &wanted);
	if (wanted) {
		r = ask(l, f, &got, err);
		if (r >= 0)
			put_keys(l->jwks, source, got);
		else if (keys)
			err_done(err);
	}
	if (!got && !keys)
		return r < 0 ? r
			     : err_set(err, -EAGAIN,
				       "the issuer's keys cannot be had now;"
				       " try again in some seconds");
	return pick(got ? got : keys, kid, ret, ret_algs);
}

int jwks_find(struct login *l, const json_t *federated, const char *kid, EVP_PKEY **ret,
	      unsigned *ret_algs, struct err *err)
{
	const json_t *keys = json_at(federated, "jwks.keys");
	int r;

	if (keys) {
		r = pick(keys, kid, ret, ret_algs);
	} else {
		r = from_issuer(l, federated, kid, false, ret, ret_algs, err);
		if (r == -ENOENT) /* it may have changed its keys since */
			r = from_issuer(l, federated, kid, true, ret, ret_algs, err);
	}
	return r == -ENOENT ? missing(kid, err) : r;
}

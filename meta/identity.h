/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What finding and checking principals needs besides their resource documents: who has which object
 * id and login, hashes of secrets, members of groups, the public halves of token keys, assertions
 * that were used. All writes join the caller's transaction; those that change what a principal is
 * or may prove end with identity_touch(). Common errors as in meta/resources.h.
 */
#ifndef KILN_META_IDENTITY_H
#define KILN_META_IDENTITY_H

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "meta/meta.h"

/** identity_touch() - raise the counter that caches of identities compare. */
int identity_touch(struct meta *m, struct err *err);
/** identity_epoch() - its value; 0 at first. */
int identity_epoch(struct meta *m, int64_t *ret, struct err *err);

/* ---- Principals ----------------------------------------------------------------------------- */

/** identity_add() - @login: "app:CLIENT-ID", "user:NAME" or "group:OBJECT-ID", in lower case; @key:
 *  of the resource. -EEXIST: the object id or login is taken. */
int identity_add(struct meta *m, const char *object_id, const char *login, const char *key,
		 struct err *err);
/** identity_remove() - with its secrets and memberships; absent is success. */
int identity_remove(struct meta *m, const char *object_id, struct err *err);
/** identity_by_object(), identity_by_login() - key of the resource; caller frees. 0 or -ENOENT. */
int identity_by_object(struct meta *m, const char *object_id, char **ret, struct err *err);
int identity_by_login(struct meta *m, const char *login, char **ret, struct err *err);

/* ---- Secrets -------------------------------------------------------------------------------- */

/** identity_secret_add() - @hash: see login/secret.h. -EEXIST: the key id is taken. */
int identity_secret_add(struct meta *m, const char *key_id, const char *object_id, const char *hash,
			struct err *err);
/** identity_secret_get() - the hash; caller frees. 0 or -ENOENT. */
int identity_secret_get(struct meta *m, const char *key_id, const char *object_id, char **ret,
			struct err *err);
int identity_secret_remove(struct meta *m, const char *key_id, struct err *err);

/* ---- Groups --------------------------------------------------------------------------------- */

/** identity_member_add() - present is success; *@ret_changed tells (may be NULL). */
int identity_member_add(struct meta *m, const char *group_id, const char *member_id,
			bool *ret_changed, struct err *err);
int identity_member_remove(struct meta *m, const char *group_id, const char *member_id,
			   bool *ret_changed, struct err *err);
/** identity_members() - object ids of a group's direct members, sorted; release with strv_free();
 *  NULL when there are none. */
int identity_members(struct meta *m, const char *group_id, char ***ret, struct err *err);
/** identity_groups() - all groups that a principal or group is in, directly or through others,
 *  sorted; NULL when there are none. */
int identity_groups(struct meta *m, const char *member_id, char ***ret, struct err *err);

/* ---- Keys that sign tokens ------------------------------------------------------------------ */

struct token_key {
	char *kid, *alg, *issuer, *jwk; /* owned; @jwk: public half as JSON text */
	int64_t made_us, until_us;      /* what it signed is believed until then */
};
void token_key_done(struct token_key *k);
#define auto_token_key __attribute__((cleanup(token_key_done)))

int token_key_add(struct meta *m, const struct token_key *k, struct err *err);
/** token_key_get() - 0 or -ENOENT. */
int token_key_get(struct meta *m, const char *kid, struct token_key *ret, struct err *err);
/** token_key_each() - all, newest first. A non-zero return of @fn ends it and is returned. */
typedef int token_key_fn(void *arg, const struct token_key *k);
int token_key_each(struct meta *m, token_key_fn *fn, void *arg, struct err *err);
/** token_key_shorten() - believe it no longer than @until_us. */
int token_key_shorten(struct meta *m, const char *kid, int64_t until_us, struct err *err);
/** token_key_expire() - forget those that are not believed at @now_us. */
int token_key_expire(struct meta *m, int64_t now_us, struct err *err);

/** assertion_use() - note that an assertion was used; -EEXIST when it was already. It is
 *  forgotten after @until_us. */
int assertion_use(struct meta *m, const char *id, int64_t until_us, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets and passwords that somebody shows. */
#include "base/mem.h"
#include "base/timeutil.h"
#include "login/internal.h"
#include "login/secret.h"
#include "meta/identity.h"

/* Somebody who does not exist costs as much as somebody who does. */
#define NOBODY                                                                                     \
	"$scrypt$ln=16,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA==$"                                          \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static int wrong(struct login_call *c, const struct principal *p, bool expired)
{
	if (!p || !p->app_id)
		return oauth_refuse(c, 400, "invalid_grant", 50126,
				    "The user name or the password is wrong.");
	if (expired)
		return oauth_refuse(c, 401, "invalid_client", 7000222,
				    "The client secret of app '%s' is expired. Add a new one.",
				    p->app_id);
	return oauth_refuse(c, 401, "invalid_client", 7000215,
			    "Invalid client secret provided for app '%s'. Give the secret's value,"
			    " not its id.",
			    p->app_id);
}

static int slow_down(struct login_call *c, unsigned seconds)
{
	char text[16];

	(void) snprintf(text, sizeof(text), "%u", seconds);
	(void) reply_header(c, "Retry-After", text);
	return oauth_refuse(c, 429, "temporarily_unavailable", 90055,
			    "Too many attempts; wait %u s.", seconds);
}

/* 0, -EACCES: not this one, or another failure. */
static int try_hash(struct login_call *c, const char *hash, const char *secret)
{
	struct err why = ERR_INIT;
	int r = guard_enter(c->l->guard, c->req->peer);

	if (r == -EAGAIN)
		return slow_down(c, 1);
	if (r < 0)
		return r;
	r = secret_check(secret, hash, &why);
	guard_leave(c->l->guard, c->req->peer);
	if (r < 0 && r != -EACCES)
		err_move(&c->err, &why);
	err_done(&why);
	return r;
}

static int try_credential(struct login_call *c, const struct principal *p, const json_t *cred,
			  const char *secret, struct credential *ret)
{
	const char *id = json_str_at(cred, "keyId");
	auto_free char *hash = NULL;
	unsigned wait;
	int r;

	if (!id)
		return -EACCES;
	if (!guard_proven(c->l->guard, id, secret)) {
		wait = guard_blocked(c->l->guard, p->object_id, c->req->peer);
		if (wait)
			return slow_down(c, wait);
		r = identity_secret_get(c->l->meta, id, p->object_id, &hash, &c->err);
		if (r == -ENOENT)
			return -EACCES;
		if (r >= 0)
			r = try_hash(c, hash, secret);
		if (r < 0)
			return r;
		guard_prove(c->l->guard, id, secret);
	}
	(void) snprintf(ret->id, sizeof(ret->id), "pwd:%.48s", id);
	ret->until_s = credential_end(cred);
	return 0;
}

static bool hint_fits(const json_t *cred, const char *secret)
{
	const char *hint = json_str_at(cred, "hint");

	return !hint || strncmp(secret, hint, strlen(hint)) == 0;
}

int secret_prove(struct login_call *c, const struct principal *p, const char *secret,
		 struct credential *ret)
{
	const json_t *list;
	int64_t now = time_now_us() / 1000000;
	bool expired = false;
	int r = -EACCES;

	if (!p) {
		r = try_hash(c, NOBODY, secret);
		return r < 0 && (r != -EACCES || c->oauth) ? r : wrong(c, NULL, false);
	}
	list = json_at(p->doc, "properties.passwordCredentials");
	/* Secrets are told apart by their first characters, so that a wrong one costs one hash at
	 * most, however many there are. */
	for (size_t i = 0; i < json_array_size(list) && r == -EACCES && !c->oauth; i++) {
		const json_t *cred = json_array_get(list, i);
		int64_t end = credential_end(cred);

		if (!hint_fits(cred, secret))
			continue;
		if (end && end <= now)
			expired = true;
		else
			r = try_credential(c, p, cred, secret, ret);
	}
	if (r != -EACCES || c->oauth) /* right, or refused for another reason */
		return r;
	guard_failed(c->l->guard, p->object_id, c->req->peer);
	return wrong(c, p, expired);
}

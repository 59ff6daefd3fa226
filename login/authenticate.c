/* SPDX-License-Identifier: Apache-2.0 */
/* From "Authorization: Bearer TOKEN" to a principal. */
#include "base/mem.h"
#include "login/internal.h"

static int refuse(struct err *err, const char *code, const char *what)
{
	(void) err_set(err, -EACCES, "%s", what);
	err_arm(err, code);
	return -EACCES;
}

int login_authenticate(struct login *l, const char *authorization, struct login_identity *ret,
		       struct err *err)
{
	(void) l;
	*ret = (struct login_identity){0};
	if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
		return refuse(err, "AuthenticationFailed",
			      "Authentication failed. The 'Authorization' header is missing or has"
			      " no bearer token.");
	return refuse(err, "InvalidAuthenticationToken",
		      "The access token is invalid: its key is"
		      " not known here.");
}

void login_identity_done(struct login_identity *i)
{
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

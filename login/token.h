/* SPDX-License-Identifier: Apache-2.0 */
/* One request for a token: what token.c reads and issue.c answers. */
#ifndef KILN_LOGIN_TOKEN_H
#define KILN_LOGIN_TOKEN_H

#include "login/internal.h"

struct grant {
	struct login_call *call;
	struct target form;
	bool client_only; /* no user is involved */
	bool openid, offline;
	const char *client_id, *secret, *assertion; /* NULL when absent */
	char *basic_id, *basic_secret;              /* owned: of a Basic header */
	char *resource, *audience;                  /* owned: as named; as it goes into "aud" */
	struct principal principal;
	struct credential credential;
};

/** form() - a field that is there and not empty, or NULL. */
const char *form(const struct grant *g, const char *key);
/** token_issue() - the answer for @g->principal. */
int token_issue(struct grant *g);

/** login_record() - put the end of a request, @r, into the audit log. Return: @r, or why a login
 *  could not be recorded: then there was none. */
int login_record(struct grant *g, int r);

#endif

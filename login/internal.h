/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of login/ share. */
#ifndef KILN_LOGIN_INTERNAL_H
#define KILN_LOGIN_INTERNAL_H

#include "arm/query.h"
#include "login/login.h"
#include "meta/meta.h"

struct login {
	struct login_config config; /* strings owned */
	struct meta *meta;
	const char *tenant_id; /* the home tenant */
};

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
	const char *base; /* of the URL that the client used, no slash at the end */
	char *tenant;     /* owned: the variable part of the path; NULL where it has none */
	const char *rest; /* what follows the endpoint's path, without a slash before it; or "" */
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

/* ---- Endpoints: each fills @c->res; a negative return becomes an error response ------------- */

typedef int endpoint_fn(struct login_call *c);
endpoint_fn metadata_endpoints; /* metadata.c */
endpoint_fn metadata_aliases;
endpoint_fn metadata_openid;
endpoint_fn metadata_instance;

#endif

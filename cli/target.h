/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a command's requests go: to this host's data directory in-process, to the server that holds
 * it (RUN/api.sock), or over HTTPS to the server of a context. Commands send struct arm_request and
 * read struct arm_response, wherever the answer comes from.
 */
#ifndef KILN_CLI_TARGET_H
#define KILN_CLI_TARGET_H

#include "arm/arm.h"
#include "base/event.h"
#include "cli/cli.h"

struct target;

struct target_ops {
	/* Required. Fills @ret as arm_handle() does; 0, or -errno when no answer was had. */
	int (*send)(struct target *t, const struct arm_request *req, struct arm_response *ret,
		    struct err *err);
	/* Required. Follows the operation that @res started to its end. 0, the operation's
	 * failure, or -ECANCELED. */
	int (*finish)(struct target *t, const struct arm_response *res,
		      const struct event_sink *events, struct cancel *cancel, struct err *err);
	/* Required. */
	void (*free)(struct target *t);
};
struct target {
	const struct target_ops *ops;
	char *subscription_id; /* owned */
	char *name;            /* owned: what messages call it */
	bool remote;           /* jobs run elsewhere: nothing needs to run them here */
};

/** cli_target() - of this command, opened on first use: the context that --context or
 *  $KILN_CONTEXT names or `kiln context use` chose, unless --data or $KILN_DATA names a directory;
 *  else this host's data directory. Return 0 or -errno (reported already). */
int cli_target(struct cli *cli, struct target **ret);
void target_free(struct target *t); /* NULL is fine */

/** target_send() - one request. */
int target_send(struct target *t, const struct arm_request *req, struct arm_response *ret,
		struct err *err);
/** target_started() - does an answer say that an operation was started? */
bool target_started(const struct arm_response *res);
/** target_call() - one request that must succeed (2xx), with the type's newest api-version where
 *  @path names none. @body borrowed, may be NULL; @ret_body a new reference, may be NULL. When the
 *  answer starts an operation, @wait says whether to follow it (showing progress on @cli).
 *  Return: 0 or the error of the response or the operation. */
int target_call(struct cli *cli, const char *method, const char *path, const json_t *body,
		bool wait, json_t **ret_body, struct err *err);
/** target_get() - GET of @path. */
int target_get(struct cli *cli, const char *path, json_t **ret, struct err *err);
/** target_each() - the items of a list, page after page; @fn returns 0 or an error that ends it. */
int target_each(struct cli *cli, const char *path, int (*fn)(void *arg, json_t *item), void *arg,
		struct err *err);

/* The kinds. */
int target_open_app(struct cli *cli, struct target **ret, struct err *err);
/** target_open_http() - @context: see cli/context.h; @socket: path of api.sock, or NULL. */
int target_open_http(const json_t *context, const char *socket, struct target **ret,
		     struct err *err);

#endif

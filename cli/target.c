/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/target.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/ref.h"
#include "providers/app_dir.h"

/* Path of the socket of a server that answers for this data directory, or NULL. */
static char *server_socket(const char *data_dir)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	auto_free char *dir = NULL, *run = NULL, *path = NULL;
	auto_fd int fd = -1;

	if (app_dir_find(data_dir, &dir, NULL) < 0)
		return NULL;
	run = app_dir_run(dir);
	path = run ? path_join(run, "api.sock") : NULL;
	if (!path || strlen(path) >= sizeof(addr.sun_path))
		return NULL;
	(void) snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *) &addr, sizeof(addr)) < 0)
		return NULL;
	return take_ptr(path);
}

static int target_choose(struct cli *cli, struct target **ret, struct err *err)
{
	const char *name = cli->context ? cli->context : getenv("KILN_CONTEXT");
	const char *dir = getenv("KILN_DATA");
	auto_json json_t *context = NULL;
	auto_free char *socket = NULL;
	int r = 0;

	if (name && !*name)
		name = NULL;
	if (name || (!cli->data_dir && !(dir && *dir)))
		r = context_find(name, &context, err);
	if (r < 0)
		return r;
	if (context)
		return target_open_http(context, NULL, ret, err);
	socket = server_socket(cli->data_dir);
	return socket ? target_open_http(NULL, socket, ret, err) : target_open_app(cli, ret, err);
}

int cli_target(struct cli *cli, struct target **ret)
{
	auto_err struct err e = ERR_INIT;
	bool open = cli->target;
	int r = open ? 0 : target_choose(cli, &cli->target, &e);

	if (r == 0 && !open && !*cli->target->subscription_id)
		cli_note(cli, "%s shows you no subscription: ask for a role in one",
			 cli->target->name);
	if (r < 0)
		(void) cli_fail(cli, &e);
	else
		*ret = cli->target;
	return r;
}

void target_free(struct target *t)
{
	if (!t)
		return;
	t->ops->free(t);
	free(t->subscription_id);
	free(t->name);
	free(t);
}

int target_send(struct target *t, const struct arm_request *req, struct arm_response *ret,
		struct err *err)
{
	return t->ops->send(t, req, ret, err);
}

static int call_finish(struct cli *cli, const struct arm_response *res, struct err *err)
{
	struct cli_progress *p = cli_progress_new(cli);
	struct target *t = cli->target;
	int r = t->ops->finish(t, res, cli_progress_sink(p), &cli->cancel, err);

	cli_progress_free(p);
	return r;
}

bool target_started(const struct arm_response *res)
{
	return (res->async_operation || res->location) && res->operation_id[0] &&
	       res->status >= 200 && res->status < 300;
}

/* What an operation left: the resource of a PUT or PATCH, the result of a POST. */
static int call_result(struct target *t, const char *method, const char *target,
		       const struct arm_response *first, json_t **ret, struct err *err)
{
	bool put = strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
	struct arm_request q = {.method = "GET", .target = put ? target : first->location};
	struct arm_response res = {0};
	int r;

	if (!q.target || strcmp(method, "DELETE") == 0)
		return 0;
	r = target_send(t, &q, &res, err);
	if (r == 0 && res.status >= 300)
		r = ref_error(res.status, res.body, err);
	else if (r == 0)
		*ret = json_incref(res.body);
	arm_response_done(&res);
	return r;
}

int target_call(struct cli *cli, const char *method, const char *path, const json_t *body,
		bool wait, json_t **ret_body, struct err *err)
{
	auto_free char *target = ref_versioned(path, NULL),
		       *text = body ? json_compact(body) : NULL;
	struct arm_request q = {.method = method, .target = target, .body = text};
	struct arm_response res = {0};
	auto_json json_t *result = NULL;
	struct target *t = cli->target;
	int r;

	if (!target || (body && !text))
		return err_set(err, -ENOMEM, "request");
	q.body_bytes = text ? strlen(text) : 0;
	r = target_send(t, &q, &res, err);
	if (r == 0 && (res.status < 200 || res.status >= 300))
		r = ref_error(res.status, res.body, err);
	if (r == 0 && wait && target_started(&res)) {
		r = call_finish(cli, &res, err);
		if (r == 0)
			r = call_result(t, method, target, &res, &result, err);
	} else if (r == 0) {
		result = json_incref(res.body);
	}
	if (r == 0 && ret_body)
		*ret_body = take_ptr(result);
	arm_response_done(&res);
	if (text)
		explicit_bzero(text, strlen(text)); /* it may have held a secret */
	return r;
}

int target_get(struct cli *cli, const char *path, json_t **ret, struct err *err)
{
	return target_call(cli, "GET", path, NULL, false, ret, err);
}

int target_each(struct cli *cli, const char *path, int (*fn)(void *arg, json_t *item), void *arg,
		struct err *err)
{
	auto_free char *next = strdup(path);
	int r = next ? 0 : err_set(err, -ENOMEM, "list");

	while (r == 0 && next) {
		auto_json json_t *page = NULL;
		const json_t *items, *item;
		const char *link;
		size_t i;

		r = target_get(cli, next, &page, err);
		items = json_is_array(page) ? page : json_object_get(page, "value");
		json_array_foreach((json_t *) items, i, item) if (r == 0) r =
			fn(arg, (json_t *) item);
		link = json_str_at(page, "nextLink");
		free(next);
		next = link ? strdup(link) : NULL;
		if (r == 0 && link && !next)
			r = err_set(err, -ENOMEM, "list");
		if (r == 0)
			r = cancel_check(&cli->cancel);
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Requests answered in this process, jobs run in it. */
#include "base/file.h"
#include "base/mem.h"
#include "cli/target.h"
#include "providers/app.h"
#include "server/tls.h"

struct app_target {
	struct target t;
	struct app *app; /* the command's */
	struct cancel *cancel;
};

/* Does an operation keep the request's resource busy? */
static bool is_busy(struct app_target *a, const char *target)
{
	auto_free char *path = strndup(target, strcspn(target, "?"));
	const char *host = path ? strstr(path, "://") : NULL;
	const char *slash = host ? strchr(host + 3, '/') : path;
	auto_arm_id struct arm_id id = {0};
	char op[UUID_STR_LEN] = "";

	if (!slash || arm_id_parse(slash, &id, NULL) < 0)
		return false;
	/* an action's last word is no resource */
	(void) arm_running(a->app->arm, id.name ? id.text : id.parent, op, NULL);
	return op[0];
}

/* A command that was killed, or told not to wait, leaves its operation to the next one. Whoever
 * finds its resource busy finishes what nobody works on, and only then asks again; what another
 * process works on stays a conflict. True when the resource is free now. */
static bool take_over(struct app_target *a, const char *target)
{
	return is_busy(a, target) && arm_work(a->app->arm, NULL, NULL, a->cancel, NULL) == 0 &&
	       !is_busy(a, target);
}

static int app_send(struct target *t, const struct arm_request *req, struct arm_response *ret,
		    struct err *err)
{
	struct app_target *a = (struct app_target *) t;
	struct arm_request mine = *req;

	(void) err;
	mine.who = &a->app->owner;
	arm_handle(a->app->arm, &mine, ret);
	if (ret->status == 409 && take_over(a, req->target)) {
		arm_response_done(ret);
		*ret = (struct arm_response){0};
		arm_handle(a->app->arm, &mine, ret);
	}
	return 0;
}

static int app_finish(struct target *t, const struct arm_response *res,
		      const struct event_sink *events, struct cancel *cancel, struct err *err)
{
	struct app_target *a = (struct app_target *) t;

	return arm_work(a->app->arm, res->operation_id, events, cancel, err);
}

static void app_free(struct target *t)
{
	(void) t; /* the directory is closed by main() */
}

/* "caFile" of admin.json exists from the first command on. */
static int make_certificates(const struct app *a, struct err *err)
{
	auto_free char *dir = path_join(a->data_dir, "tls");

	return dir ? tls_ensure(dir, NULL, err) : err_set(err, -ENOMEM, "out of memory");
}

int target_open_app(struct cli *cli, struct target **ret, struct err *err)
{
	static const struct target_ops ops = {app_send, app_finish, app_free};
	auto_free struct app_target *a = calloc(1, sizeof(*a));
	const char *sub;
	int r = app_open(cli->data_dir, &cli->app, err);

	if (r >= 0 && cli->app->created)
		r = make_certificates(cli->app, err);
	if (r < 0)
		return r;
	sub = json_str_at(cli->app->admin, "subscriptionId");
	if (a) {
		a->t.ops = &ops;
		a->app = cli->app;
		a->cancel = &cli->cancel;
		a->t.subscription_id = strdup(sub);
		a->t.name = strdup(cli->app->data_dir);
	}
	if (!a || !a->t.subscription_id || !a->t.name) {
		if (a)
			free(a->t.subscription_id);
		return err_set(err, -ENOMEM, "data directory");
	}
	*ret = &take_ptr(a)->t;
	return 0;
}

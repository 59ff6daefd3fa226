/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bake_follow.h"

#include <poll.h>

#include "base/mem.h"
#include "cli/ref.h"
#include "cli/target.h"

#define ASK_MS 300

struct follower {
	struct cli *cli;
	const char *template_id;
	char *log; /* owned: path of the run's log */
	json_int_t offset;
	const struct event_sink *events;
	bool cancelled;
};

/* 1 when there was something, 0 when not, -EAGAIN once the run has ended and all was read. */
static int read_part(struct follower *f, struct err *err)
{
	auto_json json_t *body = json_pack("{s:I}", "offset", f->offset), *part = NULL;
	const json_t *event;
	json_int_t next;
	size_t i;
	int r = body ? target_call(f->cli, "POST", f->log, body, false, &part, err) : -ENOMEM;

	if (r == -ENOENT) { /* no worker has begun it yet */
		err_done(err);
		return 0;
	}
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(part, "events"), i, event)
		event_emit(f->events, json_incref((json_t *) event));
	if (json_bool_at(part, "end", false))
		return -EAGAIN;
	next = json_int_at(part, "next", f->offset);
	r = next > f->offset;
	f->offset = next;
	return r;
}

/* The operation ends a moment after the log, and without one when no worker came to write it. */
static bool operation_ended(struct follower *f, const struct arm_response *res)
{
	auto_json json_t *status = NULL;
	const char *state;

	if (target_get(f->cli, res->async_operation, &status, NULL) < 0)
		return false;
	state = json_str_at(status, "status");
	return state && !str_eq(state, "InProgress");
}

static void cancel_run(struct follower *f)
{
	auto_free char *path = strf("%s/cancel", f->template_id);

	if (path && !f->cancelled)
		(void) target_call(f->cli, "POST", path, NULL, false, NULL, NULL);
	f->cancelled = true;
}

static int follow(struct follower *f, const struct arm_response *res, struct err *err)
{
	int r = 0, quiet = 0;

	while (r >= 0) {
		struct pollfd p = {.fd = f->cancelled ? -1 : f->cli->cancel.event_fd,
				   .events = POLLIN};

		r = read_part(f, err);
		quiet = r == 0 ? quiet + 1 : 0;
		if (r != 0)
			continue;
		if (quiet > 3 && res->async_operation && operation_ended(f, res))
			break;
		if (poll(&p, 1, ASK_MS) > 0)
			cancel_run(f);
	}
	return r == -EAGAIN ? 0 : r;
}

int bake_follow(struct cli *cli, const char *template_id, const struct arm_response *res,
		const struct event_sink *events, struct err *err)
{
	struct follower f = {.cli = cli, .template_id = template_id, .events = events};
	const char *providers = strstr(template_id, "/providers/");
	int r;

	if (!providers)
		return err_set(err, -EINVAL, "%s is no template", template_id);
	f.log = strf("%.*s/providers/Kiln.Images/runs/%s/readLog", (int) (providers - template_id),
		     template_id, res->operation_id);
	r = f.log ? follow(&f, res, err) : err_set(err, -ENOMEM, "run");
	free(f.log);
	return r < 0 ? r : cli->target->ops->finish(cli->target, res, NULL, NULL, err);
}

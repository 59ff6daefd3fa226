/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/store_util.h"

#include "base/mem.h"
#include "providers/app.h"

int store_cmd_open(struct store_cmd *c, struct cli *cli, const struct cli_args *args)
{
	const char *dir = cli_opt(args, "--store");
	struct app *app;
	int r;

	if (!dir) {
		r = cli_app(cli, &app);
		if (r < 0)
			return r; /* reported already */
		c->store = app->store;
		c->borrowed = true;
	} else {
		r = store_open_dir(dir, false, &c->store, &c->err);
		if (r < 0)
			return r;
	}
	c->bar = cli_progress_new(cli);
	c->progress = c->bar ? progress_to_events(cli_progress_sink(c->bar)) : NULL;
	return 0;
}

int store_cmd_close(struct store_cmd *c, struct cli *cli, int r)
{
	bool opened = c->store;
	int x = EXIT_DONE;

	progress_free(c->progress);
	cli_progress_free(c->bar);
	if (r < 0 && opened && c->err.code >= 0)
		err_set(&c->err, r, "standard output: %s", strerror(-r));
	if (c->err.code < 0)
		x = cli_fail(cli, &c->err);
	else if (!opened)
		x = EXIT_FAILED;
	store_session_end(c->session);
	if (!c->borrowed)
		store_close(c->store);
	err_done(&c->err);
	return x;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "providers/app.h"

int cli_app(struct cli *cli, struct app **ret)
{
	auto_err struct err e = ERR_INIT;
	int r = 0;

	if (!cli->app)
		r = app_open(cli->data_dir, &cli->app, &e);
	if (r < 0)
		(void) cli_fail(cli, &e);
	else
		*ret = cli->app;
	return r;
}

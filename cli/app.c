/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/target.h"
#include "providers/app.h"

int cli_app(struct cli *cli, struct app **ret)
{
	auto_err struct err e = ERR_INIT;
	int r = 0;

	if (cli->context)
		return cli_usage(cli, "this command works on this host's data directory: "
				      "--context does not go with it"),
		       -EINVAL;
	if (!cli->target)
		r = target_open_app(cli, &cli->target, &e);
	if (r < 0)
		(void) cli_fail(cli, &e);
	else
		*ret = cli->app;
	return r;
}

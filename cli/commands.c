/* SPDX-License-Identifier: Apache-2.0 */
/* Every command of the program, in the order that --help lists them. */
#include "cli/help.h"
#include "cli/verbs.h"

const struct cli_command *const cli_commands[] = {
	&cmd_init,          &cmd_bake,          &cmd_shell,         &cmd_run,
	&cmd_rest,          &cmd_version_list,  &cmd_version_show,  &cmd_template_list,
	&cmd_template_show, &cmd_platform_list, &cmd_platform_make, &cmd_store_import,
	&cmd_store_export,  &cmd_store_commit,  &cmd_store_diff,    &cmd_store_replicate,
	&cmd_store_serve,   &cmd_store_list,    &cmd_store_remove,  &cmd_store_stats,
	&cmd_store_check,   &cmd_store_gc,      &cmd_store_rebuild, &cmd_store_rekey,
	&cmd_store_catalog, &cmd_completion,    &cmd_help,          NULL,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that cli/commands.c lists. */
#ifndef KILN_CLI_VERBS_H
#define KILN_CLI_VERBS_H

#include "cli/cli.h"

extern const struct cli_command cmd_init, cmd_rest, cmd_completion;
extern const struct cli_command cmd_bake, cmd_shell, cmd_run;
extern const struct cli_command cmd_version_list, cmd_version_show;
extern const struct cli_command cmd_platform_list, cmd_platform_make;
extern const struct cli_command cmd_template_list, cmd_template_show;
extern const struct cli_command cmd_store_import, cmd_store_export, cmd_store_commit;
extern const struct cli_command cmd_store_diff, cmd_store_replicate, cmd_store_list;
extern const struct cli_command cmd_store_remove, cmd_store_serve, cmd_store_check;
extern const struct cli_command cmd_store_gc, cmd_store_stats, cmd_store_rebuild;
extern const struct cli_command cmd_store_catalog, cmd_store_rekey;

#endif

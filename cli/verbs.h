/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that cli/commands.c lists. */
#ifndef KILN_CLI_VERBS_H
#define KILN_CLI_VERBS_H

#include "cli/cli.h"

extern const struct cli_command cmd_init, cmd_rest, cmd_completion;
extern const struct cli_command cmd_bake, cmd_shell, cmd_run;
extern const struct cli_command cmd_version_list, cmd_version_show;
extern const struct cli_command cmd_template_list, cmd_template_show;

#endif

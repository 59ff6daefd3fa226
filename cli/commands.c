/* SPDX-License-Identifier: Apache-2.0 */
/* Every command of the program, in the order that --help lists them. */
#include "cli/help.h"
#include "cli/verbs.h"

const struct cli_command *const cli_commands[] = {
	&cmd_init,         &cmd_bake,          &cmd_shell,
	&cmd_rest,         &cmd_version_list,
	&cmd_version_show, &cmd_template_list, &cmd_template_show,
	&cmd_completion,   &cmd_help,          NULL,
};

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_CLI_HELP_H
#define KILN_CLI_HELP_H

#include <stdio.h>

#include "cli/cli.h"

/** cli_help_all() - the list of commands. */
void cli_help_all(const struct cli *cli, FILE *f);
/** cli_help_command() - synopsis, text, options, examples of one command. */
void cli_help_command(const struct cli *cli, FILE *f, const struct cli_command *cmd);

extern const struct cli_command cmd_help;

#endif

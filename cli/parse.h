/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From argv to a command and its arguments. Pure: nothing is printed, nothing is opened.
 */
#ifndef KILN_CLI_PARSE_H
#define KILN_CLI_PARSE_H

#include "cli/cli.h"

/* Options that every command knows: --data, --json, --help. */
extern const struct cli_option cli_common[];

/* What the command line asks for. */
struct cli_parsed {
	struct cli_args args; /* @args.cmd NULL: no command was named */
	const char *data_dir, *context;
	bool json, help, version;
};

/**
 * cli_parse() - @argv[0] is the program's name
 * @commands: NULL-terminated
 * @ret: filled as far as parsing came, also on failure (so that --json is known); release with
 *	cli_parsed_done(). Points into @argv.
 *
 * "--opt VALUE", "--opt=VALUE", "-o VALUE", "-oVALUE" and joined flags are understood; options may
 * follow arguments; "--" ends them. The number of arguments is checked against the command's
 * @args text ("A [B] [C...]"), unless help was asked for.
 * Return: 0, -EINVAL (message and hint name the word at fault), -ENOMEM.
 */
int cli_parse(int argc, char **argv, const struct cli_command *const *commands,
	      struct cli_parsed *ret, struct err *err);
void cli_parsed_done(struct cli_parsed *p);

/** cli_find() - a command by its full name; NULL when there is none. */
const struct cli_command *cli_find(const struct cli_command *const *commands, const char *name);
/** cli_similar() - which of the commands' names looks most like @word; NULL when none does. */
const char *cli_similar(const struct cli_command *const *commands, const char *word);
/** cli_counts() - least and most arguments that @args ("A [B] [C...]") allows; -1 = any number. */
void cli_counts(const char *args, int *ret_min, int *ret_max);

#endif

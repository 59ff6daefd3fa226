/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/help.h"
#include "cli/output.h"
#include "cli/parse.h"

static void help_options(FILE *f, const struct cli_option *o)
{
	for (; o && o->name; o++) {
		char left[64];

		if (o->letter)
			(void) snprintf(left, sizeof(left), "-%c, %s%s%s", o->letter, o->name,
					o->arg ? " " : "", o->arg ? o->arg : "");
		else
			(void) snprintf(left, sizeof(left), "    %s%s%s", o->name,
					o->arg ? " " : "", o->arg ? o->arg : "");
		if (strlen(left) > 26)
			(void) fprintf(f, "  %s\n  %-26s  %s\n", left, "", o->help);
		else
			(void) fprintf(f, "  %-26s  %s\n", left, o->help);
	}
}

void cli_help_command(const struct cli *cli, FILE *f, const struct cli_command *cmd)
{
	const char *b = cli_sgr(cli, CLI_BOLD), *p = cli_sgr(cli, CLI_PLAIN);

	(void) fprintf(f, "kiln %s: %s\n\n", cmd->name, cmd->summary);
	(void) fprintf(f, "%sUsage:%s kiln %s [OPTIONS]%s%s\n", b, p, cmd->name,
		       cmd->args && *cmd->args ? " " : "", cmd->args ? cmd->args : "");
	if (cmd->help)
		(void) fprintf(f, "\n%s\n", cmd->help);
	(void) fprintf(f, "\n%sOptions:%s\n", b, p);
	help_options(f, cmd->options);
	help_options(f, cli_common);
}

/* Resource commands, one line a noun: its verbs. */
static void help_nouns(FILE *f)
{
	const char *noun = "";
	size_t n = 0;

	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		const char *verb = strchr((*c)->name, ' ');

		if (!(*c)->noun || !verb)
			continue;
		if (n == 0 || strncmp(noun, (*c)->name, n + 1) != 0) {
			(void) fprintf(f, "%s", n ? "\n" : "");
			noun = (*c)->name;
			n = (size_t) (verb - noun);
			(void) fprintf(f, "  %-20.*s ", (int) n, noun);
		}
		(void) fprintf(f, "%s", verb);
	}
	(void) fputc('\n', f);
}

void cli_help_all(const struct cli *cli, FILE *f)
{
	const char *b = cli_sgr(cli, CLI_BOLD), *p = cli_sgr(cli, CLI_PLAIN);

	(void) fprintf(f, "kiln bakes, keeps, ships and runs golden VM images.\n\n");
	(void) fprintf(f, "%sUsage:%s kiln COMMAND [OPTIONS] [ARGUMENTS]\n\n%sCommands:%s\n", b, p,
		       b, p);
	for (const struct cli_command *const *c = cli_commands; *c; c++)
		if (!(*c)->hidden && !(*c)->noun)
			(void) fprintf(f, "  %-20s  %s\n", (*c)->name, (*c)->summary);
	(void) fprintf(f, "\n%sResource commands:%s\n", b, p);
	help_nouns(f);
	(void) fprintf(f, "\n%sOptions of every command:%s\n", b, p);
	help_options(f, cli_common);
	(void) fprintf(f, "  %-26s  %s\n", "    --version", "print the version");
	(void) fprintf(f, "\n'kiln COMMAND --help' explains a command, with examples. Exit status: "
			  "0 done,\n1 failed, 2 usage, 3 refused, 4 cancelled.\n");
}

static int run_help(struct cli *cli, const struct cli_args *args)
{
	auto_free char *name = NULL;
	const struct cli_command *cmd;

	if (args->n_pos == 0) {
		cli_help_all(cli, stdout);
		return EXIT_DONE;
	}
	name = args->n_pos > 1 ? strf("%s %s", args->pos[0], args->pos[1]) : strdup(args->pos[0]);
	cmd = name ? cli_find(cli_commands, name) : NULL;
	if (!cmd)
		return cli_usage(cli, "no command '%s'; 'kiln --help' lists them",
				 name ? name : "");
	cli_help_command(cli, stdout, cmd);
	return EXIT_DONE;
}

const struct cli_command cmd_help = {
	.name = "help",
	.args = "[COMMAND [WORD]]",
	.summary = "explain a command",
	.help = "Same as 'kiln COMMAND --help'.\n\nExamples:\n  kiln help rest",
	.run = run_help,
};

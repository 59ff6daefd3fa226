/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/output.h"
#include "cli/ref.h"
#include "cli/verbs.h"
#include "providers/app.h"
#include "providers/shell.h"

static int run_shell(struct cli *cli, const struct cli_args *args)
{
	auto_err struct err e = ERR_INIT;
	auto_free char *name = strdup(args->pos[0]), *id = NULL;
	char *step = name ? strrchr(name, '@') : NULL;
	struct app *a;
	int r;

	if (!name)
		return EXIT_FAILED;
	if (step)
		*step++ = '\0';
	if (cli_app(cli, &a) < 0)
		return EXIT_FAILED;
	r = ref_find_run(cli, name, cli_opt(args, "--group"), &id, &e);
	if (r == 0)
		r = shell_open(a, id, step, args->n_pos > 1 ? args->pos + 1 : NULL, &cli->cancel,
			       &e);
	return r < 0 ? cli_fail(cli, &e) : r;
}

static const struct cli_option shell_options[] = {
	{"--group", 'g', "GROUP", "resource group of the template (default: search all)"},
	{NULL},
};

const struct cli_command cmd_shell = {
	.name = "shell",
	.args = "TEMPLATE|RUN[@STEP] [COMMAND...]",
	.summary = "open a shell in the disk of a recorded run",
	.help = "TEMPLATE's newest run, or the run with the id RUN. The disk is as it was after "
		"STEP (a\n"
		"customizer's name or number, \"generalize\" or \"source\"), with \"^\" in front "
		"as "
		"it was\n"
		"before it; for a step that failed, as it was when it failed or, unless "
		"errorHandling\n"
		"keeps that, before it. Without @STEP: the newest state. What the shell changes is "
		"thrown\n"
		"away. The exit status is the command's.\n\n"
		"Examples:\n"
		"  kiln shell golden-debian@sshd\n"
		"  kiln shell golden-debian@^nginx -- dpkg -l",
	.options = shell_options,
	.run = run_shell,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* kiln-resources(1), made from the table of commands when kiln is built. */
#include "base/mem.h"
#include "cli/verbs.h"

/* Text as mdoc takes it: backslashes doubled, no line that begins like a request. */
static void text_lines(const char *text)
{
	bool start = true;

	for (; *text; text++) {
		if (start && (*text == '.' || *text == '\''))
			(void) fputs("\\&", stdout);
		start = *text == '\n';
		if (*text == '\\')
			(void) fputs("\\e", stdout);
		else
			(void) putchar(*text);
	}
	(void) putchar('\n');
}

static void options(const struct cli_option *o)
{
	if (!o || !o->name)
		return;
	(void) printf(".Bl -tag -width Ds\n");
	for (; o->name; o++) {
		(void) printf(".It Fl ");
		if (o->letter)
			(void) printf("%c , ", o->letter);
		(void) printf("%s%s%s\n", o->name + 1, o->arg ? " Ar " : "", o->arg ? o->arg : "");
		text_lines(o->help);
	}
	(void) printf(".El\n");
}

static void command(const struct cli_command *c)
{
	(void) printf(".Ss %s\n.Nm kiln Cm %s\n", c->name, c->name);
	if (c->args)
		(void) printf(".Ar %s\n", c->args);
	(void) printf(".Pp\n");
	text_lines(c->summary);
	options(c->options);
	(void) printf(".Bd -literal\n");
	text_lines(c->help);
	(void) printf(".Ed\n");
}

static int run_man(struct cli *cli, const struct cli_args *args)
{
	(void) cli;
	(void) args;
	(void) printf(".Dd $Mdocdate$\n.Dt KILN-RESOURCES 1\n.Os\n.Sh NAME\n"
		      ".Nm kiln-resources\n.Nd commands for kiln's resources\n"
		      ".Sh DESCRIPTION\nEach command sends the requests that\n"
		      ".Nm kiln Cm rest\ncould send, to this host's data directory or to the "
		      "server that\n.Nm kiln Cm login\nchose.\n"
		      "A resource goes by its names from the top on, joined by slashes, or by its "
		      "id.\n.Sh COMMANDS\n");
	for (const struct cli_command *const *c = cli_commands; *c; c++)
		if ((*c)->noun)
			command(*c);
	(void) printf(".Sh SEE ALSO\n.Xr kiln 1\n");
	return EXIT_DONE;
}

const struct cli_command cmd_help_man = {
	.name = "help-man",
	.summary = "print kiln-resources(1)",
	.run = run_man,
	.hidden = true,
};

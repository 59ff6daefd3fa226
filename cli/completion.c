/* SPDX-License-Identifier: Apache-2.0 */
/* Shell completion, generated from the table of commands. */
#include "base/mem.h"
#include "cli/parse.h"
#include "cli/verbs.h"

static bool takes_file(const struct cli_option *o)
{
	return o->arg && (strstr(o->arg, "FILE") || strstr(o->arg, "DIR"));
}

/* Single quotes around @text for a shell. */
static void quoted(const char *text)
{
	(void) putchar('\'');
	for (; *text; text++) {
		if (*text == '\'')
			(void) fputs("'\\''", stdout);
		else
			(void) putchar(*text);
	}
	(void) putchar('\'');
}

static void bash_words(const struct cli_command *cmd)
{
	const struct cli_option *const tables[] = {cmd->options, cli_common};

	(void) printf("\t\t'%s') words='", cmd->name);
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (const struct cli_option *o = tables[t]; o && o->name; o++)
			(void) printf("%s ", o->name);
	(void) printf("' ;;\n");
}

/* Options whose value is a file, so that the word after them completes to one. */
static void bash_file_options(void)
{
	auto_buf struct buf seen = BUF_INIT(65536);

	(void) printf("\tcase $prev in\n\t--data");
	buf_addstr(&seen, " --data ");
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		for (const struct cli_option *o = (*c)->options; o && o->name; o++) {
			auto_free char *word = strf(" %s ", o->name);

			if (!word || !takes_file(o) || strstr(buf_str(&seen), word))
				continue;
			buf_addstr(&seen, word);
			(void) printf("|%s", o->name);
		}
	}
	(void) printf(") mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n\tesac\n");
}

static void complete_bash(void)
{
	(void) printf("# bash completion of kiln: source <(kiln completion bash)\n_kiln() {\n"
		      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
		      "\tlocal cmd='' words='' w i\n");
	bash_file_options();
	(void) printf("\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tw=${COMP_WORDS[i]}\n"
		      "\t\t[[ $w == -* || ${COMP_WORDS[i - 1]} == --data ]] && "
		      "continue\n\t\tcmd=\"${cmd:+$cmd }$w\"\n"
		      "\t\tcase $cmd in\n");
	for (const struct cli_command *const *c = cli_commands; *c; c++)
		if (!(*c)->hidden)
			bash_words(*c);
	(void) printf("\t\tesac\n\t\t[[ -n $words ]] && break\n\tdone\n"
		      "\tif [[ -z $words ]]; then\n\t\tcase $cmd in\n\t\t'') words='");
	for (const struct cli_command *const *c = cli_commands; *c; c++)
		if (!(*c)->hidden)
			(void) printf("%.*s ", (int) strcspn((*c)->name, " "), (*c)->name);
	(void) printf("--help --version' ;;\n");
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		const char *space = strchr((*c)->name, ' ');

		if (space && !(*c)->hidden)
			(void) printf("\t\t'%.*s') words+=' %s' ;;&\n", (int) (space - (*c)->name),
				      (*c)->name, space + 1);
	}
	(void) printf("\t\tesac\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
		      "\telif [[ $cur == -* ]]; then\n"
		      "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
		      "\telse\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\tfi\n}\n"
		      "complete -o filenames -F _kiln kiln\n");
}

/* '[' and ']' and ':' end a description inside _arguments' specifications. */
static void zsh_option(const struct cli_option *o)
{
	auto_buf struct buf spec = BUF_INIT(1024);

	buf_addf(&spec, "%s[", o->name);
	for (const char *c = o->help; *c; c++) {
		if (strchr("[]:\\", *c))
			buf_addch(&spec, '\\');
		buf_addch(&spec, *c);
	}
	buf_addch(&spec, ']');
	if (o->arg)
		buf_addf(&spec, ":%s:%s", o->arg, takes_file(o) ? "_files" : "");
	(void) fputs(" \\\n\t\t\t", stdout);
	quoted(buf_str(&spec));
}

static void complete_zsh(void)
{
	(void) printf("#compdef kiln\n# zsh completion of kiln: kiln completion zsh > "
		      "\"${fpath[1]}/_kiln\"\n_kiln() {\n\tlocal cmd='' w\n"
		      "\tlocal -a words_done commands\n\tcommands=(\n");
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		auto_free char *line = strf("%s:%s", (*c)->name, (*c)->summary);

		if ((*c)->hidden || !line)
			continue;
		(void) printf("\t\t");
		quoted(line);
		(void) putchar('\n');
	}
	(void) printf("\t)\n\twords_done=(${words[2,CURRENT-1]:#-*})\n\tcase \"$words_done\" in\n");
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		const struct cli_option *const tables[] = {(*c)->options, cli_common};

		if ((*c)->hidden)
			continue;
		(void) printf("\t'%s'|'%s '*) _arguments", (*c)->name, (*c)->name);
		for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
			for (const struct cli_option *o = tables[t]; o && o->name; o++)
				zsh_option(o);
		(void) printf(" \\\n\t\t\t'*:argument:_files' ;;\n");
	}
	(void) printf("\t*) _describe command commands ;;\n\tesac\n}\n_kiln \"$@\"\n");
}

static int run_completion(struct cli *cli, const struct cli_args *args)
{
	if (strcmp(args->pos[0], "bash") == 0)
		complete_bash();
	else if (strcmp(args->pos[0], "zsh") == 0)
		complete_zsh();
	else
		return cli_usage(cli, "completion: shell '%s' is not known: bash or zsh",
				 args->pos[0]);
	return EXIT_DONE;
}

const struct cli_command cmd_completion = {
	.name = "completion",
	.args = "SHELL",
	.summary = "print a completion script for bash or zsh",
	.help = "Prints a script that completes commands and options, made from the program's own\n"
		"table of commands.\n\n"
		"Examples:\n"
		"  source <(kiln completion bash)\n"
		"  kiln completion zsh > \"${fpath[1]}/_kiln\"",
	.run = run_completion,
};

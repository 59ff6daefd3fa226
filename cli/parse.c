/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/parse.h"

const struct cli_option cli_common[] = {
	{"--data", 0, "DIR",
	 "data directory (default: $KILN_DATA, /var/lib/kiln, ~/.local/share/kiln)"},
	{"--json", 0, NULL, "print one JSON document, or one per line, and nothing else"},
	{"--help", 'h', NULL, "show this help"},
	{"--context", 0, "NAME", "a server that 'kiln login' knows (default: $KILN_CONTEXT)"},
	{NULL},
};

/* ---- Similar words -------------------------------------------------------------------------- */

#define WORD_MAX 40

/* Edits (insert, delete, replace, swap of neighbours) between two short words. */
static unsigned word_distance(const char *a, const char *b)
{
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];
	size_t na = strnlen(a, WORD_MAX + 1), nb = strnlen(b, WORD_MAX + 1);

	if (na > WORD_MAX || nb > WORD_MAX)
		return WORD_MAX;
	for (size_t i = 0; i <= na; i++)
		d[i][0] = (unsigned) i;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = (unsigned) j;
	for (size_t i = 1; i <= na; i++) {
		for (size_t j = 1; j <= nb; j++) {
			unsigned v = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (d[i - 1][j] + 1 < v)
				v = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < v)
				v = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < v)
				v = d[i - 2][j - 2] + 1;
			d[i][j] = v;
		}
	}
	return d[na][nb];
}

static bool word_closer(const char *word, const char *candidate, unsigned *best)
{
	unsigned d = word_distance(word, candidate);

	if (d >= *best || d > 1 + strlen(word) / 4)
		return false;
	*best = d;
	return true;
}

const char *cli_similar(const struct cli_command *const *commands, const char *word)
{
	const char *found = NULL;
	unsigned best = WORD_MAX;

	for (; *commands; commands++)
		if (!(*commands)->hidden && word_closer(word, (*commands)->name, &best))
			found = (*commands)->name;
	return found;
}

static const char *option_similar(const struct cli_command *cmd, const char *word)
{
	const struct cli_option *const tables[] = {cmd ? cmd->options : NULL, cli_common};
	const char *found = NULL;
	unsigned best = WORD_MAX;

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (const struct cli_option *o = tables[t]; o && o->name; o++)
			if (word_closer(word, o->name, &best))
				found = o->name;
	return found;
}

/* ---- Parsing -------------------------------------------------------------------------------- */

struct parser {
	int argc, at;
	char **argv;
	const struct cli_command *const *commands;
	struct cli_parsed *ret;
	struct err *err;
};

static const char *parser_who(const struct parser *p)
{
	return p->ret->args.cmd ? p->ret->args.cmd->name : NULL;
}

static int bad(struct parser *p, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int bad(struct parser *p, const char *hint, const char *fmt, ...)
{
	const char *who = parser_who(p);
	auto_free char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = vstrf(fmt, ap);
	va_end(ap);
	if (!text)
		return err_set(p->err, -ENOMEM, "command line");
	err_set(p->err, -EINVAL, "%s", text);
	if (hint)
		err_hint(p->err, "did you mean '%s'?", hint);
	else
		err_hint(p->err, "see 'kiln %s%s--help'", who ? who : "", who ? " " : "");
	return -EINVAL;
}

const struct cli_command *cli_find(const struct cli_command *const *commands, const char *name)
{
	for (; *commands; commands++)
		if (strcmp((*commands)->name, name) == 0)
			return *commands;
	return NULL;
}

static bool has_group(const struct cli_command *const *commands, const char *word)
{
	size_t n = strlen(word);

	for (; *commands; commands++)
		if (strncmp((*commands)->name, word, n) == 0 && (*commands)->name[n] == ' ')
			return true;
	return false;
}

static int unknown_sub(struct parser *p, const char *group)
{
	auto_buf struct buf names = BUF_INIT(1024);
	size_t n = strlen(group);

	for (const struct cli_command *const *c = p->commands; *c; c++) {
		const char *name = (*c)->name;

		if (name && !(*c)->hidden && strncmp(name, group, n) == 0 && name[n] == ' ')
			buf_addf(&names, "%s%s", names.len ? ", " : "", name + n + 1);
	}
	err_set(p->err, -EINVAL, "'%s' needs one of: %s", group, buf_str(&names));
	err_hint(p->err, "see 'kiln --help'");
	return -EINVAL;
}

/* The first word that is no option names the command, alone or with the next one. */
/* Two verbs have short forms, with every noun. */
static const char *short_verb(const char *word)
{
	return strcmp(word, "ls") == 0 ? "list" : strcmp(word, "rm") == 0 ? "delete" : word;
}

static int take_command(struct parser *p, const char *word)
{
	const char *similar;

	if (has_group(p->commands, word)) {
		const char *next = p->at + 1 < p->argc ? p->argv[p->at + 1] : "";
		auto_free char *two = strf("%s %s", word, short_verb(next));

		if (!two)
			return err_set(p->err, -ENOMEM, "command line");
		p->ret->args.cmd = cli_find(p->commands, two);
		if (p->ret->args.cmd) {
			p->at++;
			return 0;
		}
		if (!cli_find(p->commands, word)) {
			if (!*next || *next == '-') { /* a noun alone lists */
				auto_free char *list = strf("%s list", word);

				p->ret->args.cmd = list ? cli_find(p->commands, list) : NULL;
				if (p->ret->args.cmd)
					return 0;
			}
			similar = *next && *next != '-' ? cli_similar(p->commands, two) : NULL;
			return similar ? bad(p, similar, "unknown command '%s'", two)
				       : unknown_sub(p, word);
		}
	}
	p->ret->args.cmd = cli_find(p->commands, word);
	if (p->ret->args.cmd)
		return 0;
	return bad(p, cli_similar(p->commands, word), "unknown command '%s'", word);
}

static const struct cli_option *option_find(const struct parser *p, const char *name, size_t n,
					    char letter)
{
	const struct cli_option *const tables[] = {
		p->ret->args.cmd ? p->ret->args.cmd->options : NULL, cli_common};

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (const struct cli_option *o = tables[t]; o && o->name; o++)
			if (name ? strlen(o->name) == n && memcmp(o->name, name, n) == 0
				 : o->letter && o->letter == letter)
				return o;
	return NULL;
}

static int give(struct parser *p, const struct cli_option *o, const char *value)
{
	struct cli_args *a = &p->ret->args;

	if (o == &cli_common[0])
		p->ret->data_dir = value;
	else if (o == &cli_common[1])
		p->ret->json = true;
	else if (o == &cli_common[2])
		p->ret->help = true;
	else if (o == &cli_common[3])
		p->ret->context = value;
	a->given[a->n_given++] = (struct cli_given){o, value};
	return 0;
}

static int take_long(struct parser *p, const char *word)
{
	const char *eq = strchr(word, '=');
	size_t n = eq ? (size_t) (eq - word) : strlen(word);
	const struct cli_option *o;

	if (strcmp(word, "--version") == 0 && !p->ret->args.cmd) {
		p->ret->version = true;
		return 0;
	}
	o = option_find(p, word, n, 0);
	if (!o) {
		auto_free char *name = strndup(word, n);

		if (!name)
			return err_set(p->err, -ENOMEM, "command line");
		return bad(p, option_similar(p->ret->args.cmd, name), "unknown option '%s'", name);
	}
	if (!o->arg)
		return eq ? bad(p, NULL, "option '%s' takes no value", o->name) : give(p, o, NULL);
	if (eq)
		return give(p, o, eq + 1);
	if (p->at + 1 >= p->argc)
		return bad(p, NULL, "option '%s' needs a value (%s)", o->name, o->arg);
	return give(p, o, p->argv[++p->at]);
}

static int take_short(struct parser *p, const char *word)
{
	for (const char *c = word + 1; *c; c++) {
		const struct cli_option *o = option_find(p, NULL, 0, *c);

		if (!o)
			return bad(p, NULL, "unknown option '-%c'", *c);
		if (!o->arg) {
			(void) give(p, o, NULL);
			continue;
		}
		if (c[1])
			return give(p, o, c + 1);
		if (p->at + 1 >= p->argc)
			return bad(p, NULL, "option '-%c' needs a value (%s)", *c, o->arg);
		return give(p, o, p->argv[++p->at]);
	}
	return 0;
}

static int take_word(struct parser *p, bool *rest)
{
	char *word = p->argv[p->at];
	struct cli_args *a = &p->ret->args;

	if (!*rest && strcmp(word, "--") == 0) {
		*rest = true;
		return 0;
	}
	if (!*rest && word[0] == '-' && word[1] == '-')
		return take_long(p, word);
	if (!*rest && word[0] == '-' && word[1])
		return take_short(p, word);
	if (!a->cmd)
		return take_command(p, word);
	a->pos[a->n_pos++] = word;
	return 0;
}

void cli_counts(const char *args, int *ret_min, int *ret_max)
{
	int depth = 0;

	*ret_min = *ret_max = 0;
	while (args && *args) {
		size_t n = strcspn(args, " ");
		bool optional = depth > 0 || args[0] == '[';
		bool many = n >= 3 && memmem(args, n, "...", 3);

		for (size_t i = 0; i < n; i++)
			depth += args[i] == '[' ? 1 : args[i] == ']' ? -1 : 0;
		if (strspn(args, "[-]") < n) { /* not the word "--" of "[-- COMMAND...]" */
			*ret_min += !optional;
			*ret_max = many || *ret_max < 0 ? -1 : *ret_max + 1;
		}
		args += n;
		args += strspn(args, " ");
	}
}

static int check_counts(struct parser *p)
{
	const struct cli_args *a = &p->ret->args;
	const char *word = a->cmd->args;
	int min, max;

	cli_counts(a->cmd->args, &min, &max);
	if (max >= 0 && a->n_pos > max)
		return bad(p, NULL, "unexpected argument '%s'", a->pos[max]);
	if (a->n_pos >= min)
		return 0;
	for (int i = 0; i < a->n_pos; i++) {
		word += strcspn(word, " ");
		word += strspn(word, " ");
	}
	return bad(p, NULL, "%.*s is missing", (int) strcspn(word, " ."), word);
}

int cli_parse(int argc, char **argv, const struct cli_command *const *commands,
	      struct cli_parsed *ret, struct err *err)
{
	struct parser p = {argc, 1, argv, commands, ret, err};
	size_t chars = 0;
	bool rest = false;
	int r = 0;

	*ret = (struct cli_parsed){0};
	for (int i = 1; i < argc; i++)
		chars += strlen(argv[i]) + 1; /* joined letters give one option each */
	ret->args.pos = calloc((size_t) (argc > 0 ? argc : 0) + 1, sizeof(char *));
	ret->args.given = calloc(chars + 1, sizeof(*ret->args.given));
	if (!ret->args.pos || !ret->args.given)
		return err_set(err, -ENOMEM, "command line");
	for (; p.at < argc && r == 0; p.at++)
		r = take_word(&p, &rest);
	for (; p.at < argc; p.at++) /* a refusal, too, is printed the way that was asked for */
		if (strcmp(argv[p.at], "--json") == 0)
			ret->json = true;
	if (r == 0 && ret->args.cmd && !ret->help)
		r = check_counts(&p);
	return r;
}

void cli_parsed_done(struct cli_parsed *p)
{
	free(p->args.pos);
	free(p->args.given);
	*p = (struct cli_parsed){0};
}

/* ---- Access --------------------------------------------------------------------------------- */

const char *cli_opt(const struct cli_args *a, const char *name)
{
	const char *value = NULL;

	for (int i = 0; i < a->n_given; i++)
		if (strcmp(a->given[i].opt->name, name) == 0)
			value = a->given[i].value;
	return value;
}

bool cli_flag(const struct cli_args *a, const char *name)
{
	for (int i = 0; i < a->n_given; i++)
		if (strcmp(a->given[i].opt->name, name) == 0)
			return true;
	return false;
}

const char *cli_opt_next(const struct cli_args *a, const char *name, int *i)
{
	while (*i < a->n_given) {
		const struct cli_given *g = &a->given[(*i)++];

		if (strcmp(g->opt->name, name) == 0)
			return g->value;
	}
	return NULL;
}

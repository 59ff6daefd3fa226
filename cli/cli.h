/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line's frame. A command is one file cli/NAME.c with one struct cli_command, listed in
 * cli/commands.c. Data goes to stdout, everything else to stderr; with --json stdout is one JSON
 * document (or one per line) and nothing else, errors included.
 */
#ifndef KILN_CLI_CLI_H
#define KILN_CLI_CLI_H

#include <stdbool.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/json.h"

struct app;
struct cli_args;
struct cli_noun;
struct target;

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_REFUSED = 3, EXIT_CANCELLED = 4 };

struct cli {
	const char *data_dir;  /* --data, or NULL */
	bool json;             /* --json */
	bool tty;              /* stderr is a terminal (and TERM is not dumb) */
	bool color;            /* tty and NO_COLOR unset */
	struct cancel cancel;  /* set by SIGINT, SIGTERM */
	const char *context;   /* --context, or NULL */
	struct app *app;       /* cli_app() opens it */
	struct target *target; /* cli_target() opens it */
};

/* What an option of a resource command puts into the request's body, at cli_option.path. */
enum cli_put {
	PUT_NONE,
	PUT_TEXT,
	PUT_INT,
	PUT_TRUE,    /* a flag */
	PUT_LIST,    /* repeatable: one more string of an array */
	PUT_PAIR,    /* repeatable: KEY=VALUE of a map */
	PUT_REGION,  /* repeatable: REGION[=REPLICAS] of targetRegions */
	PUT_ID,      /* an id, short ones completed */
	PUT_SECRET,  /* the first line of a file, or of standard input for "-" */
	PUT_FILE,    /* the whole text of a file */
	PUT_JSON,    /* a JSON text, or @FILE */
	PUT_BASE64,  /* the whole content of a file, in Base64 */
	PUT_SSH_KEY, /* repeatable: a file with a public key, one more of publicKeys */
	PUT_IMAGE,   /* a version by names or id, or PUBLISHER:OFFER:SKU[:VERSION] */
	PUT_FORWARD, /* repeatable: [ADDR:]PORT:GUESTPORT */
};

/* One option of a command. @arg NULL = a flag. Options may follow arguments; "--" ends them. */
struct cli_option {
	const char *name; /* "--group" */
	char letter;      /* 'g', or 0 */
	const char *arg;  /* "GROUP", or NULL */
	const char *help; /* one line */
	const char *path; /* "properties.description"; NULL = not of the body */
	enum cli_put put;
	bool required;
};
struct cli_command {
	const char *name;    /* "bake"; two words for sub-commands: "version show" */
	const char *args;    /* "TEMPLATE.json" */
	const char *summary; /* one line */
	const char *help;    /* paragraphs, examples */
	const struct cli_option
		*options; /* ends with name NULL; --json, --data, --help are everyone's */
	int (*run)(struct cli *cli, const struct cli_args *args); /* exit status */
	bool hidden;                                              /* roles: not listed */
	const struct cli_noun *noun; /* resource commands: cli/noun.h */
	const char *action;          /* of `run`, for commands that POST it */
};

/* Parsed arguments. */
struct cli_args {
	const struct cli_command *cmd;
	char **pos; /* positional arguments */
	int n_pos;
	struct cli_given {
		const struct cli_option *opt;
		const char *value; /* NULL for flags */
	} * given;
	int n_given;
};
/** cli_opt() - last value of an option, NULL when not given ("" never means absent). */
const char *cli_opt(const struct cli_args *a, const char *name);
bool cli_flag(const struct cli_args *a, const char *name);
/** cli_opt_next() - values of a repeatable option, in order; start with *@i = 0. */
const char *cli_opt_next(const struct cli_args *a, const char *name, int *i);

extern const struct cli_command *const cli_commands[]; /* NULL-terminated; cli/commands.c */

/** cli_app() - the data directory, opened on first use, also where a server holds it: for commands
 *  that work on this host's disks and guests. Return 0 or -errno (reported already). */
int cli_app(struct cli *cli, struct app **ret);
/** cli_fail() - print the error (and hint) for people or as JSON; Return: exit status for it. */
int cli_fail(struct cli *cli, const struct err *err);
/** cli_usage() - one specific line for a bad call; Return: EXIT_USAGE. */
int cli_usage(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** cli_print_json() - pretty document + newline to stdout. Return 0 or -errno. */
int cli_print_json(const json_t *j);

#endif

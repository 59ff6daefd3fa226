/* SPDX-License-Identifier: Apache-2.0 */
/* What the `kiln store` commands share: opening, progress, closing with one exit status. */
#ifndef KILN_CLI_STORE_UTIL_H
#define KILN_CLI_STORE_UTIL_H

#include "base/event.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "store/store.h"

/* For tables of options: where the keys of --store DIR are. */
#define STORE_KEY_OPTIONS                                                                          \
	{"--key-file", 0, "FILE", "its encryption keys, one a line; remembered by the store"},     \
	{                                                                                          \
		"--key-command", 0, "COMMAND", "a program that prints them: /PATH ARGUMENT..."     \
	}

struct store_cmd {
	struct store *store;
	bool borrowed; /* the application's store */
	struct store_session *session;
	struct cli_progress *bar;
	struct progress *progress;
	struct err err;
};
#define STORE_CMD_INIT ((struct store_cmd){.err = ERR_INIT})

/** store_cmd_open() - the store of --store DIR, else the data directory's. Return 0 or -errno
 *  (in @c->err). */
int store_cmd_open(struct store_cmd *c, struct cli *cli, const struct cli_args *args);
/** store_cmd_open_there() - the same; with @there it must exist already, or -ENOENT. */
int store_cmd_open_there(struct store_cmd *c, struct cli *cli, const struct cli_args *args,
			 bool there);
/** store_cmd_key() - the source that two options name; *@ret is malloc'ed, NULL = none given.
 *  -EINVAL when both are. */
int store_cmd_key(const struct cli_args *args, const char *file_option, const char *command_option,
		  char **ret, struct err *err);
/** store_cmd_close() - releases everything; prints the error, if one is set. @r: what the command
 *  came to; a failure without an error is one of standard output. Return: exit status. */
int store_cmd_close(struct store_cmd *c, struct cli *cli, int r);

/** cli_parse_rate() - "50M"; k, M, G are powers of 1000; NULL = 0, no limit. 0 or -EINVAL. */
int cli_parse_rate(const char *text, uint64_t *ret);

#endif

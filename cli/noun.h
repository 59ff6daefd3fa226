/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource commands: `kiln NOUN VERB`. A noun is a row of facts about a resource type; the verbs
 * are written once, in cli/verb.c, over the same requests that `kiln rest` sends. A new noun is one
 * struct cli_noun and its commands in a file cli/noun_*.c.
 */
#ifndef KILN_CLI_NOUN_H
#define KILN_CLI_NOUN_H

#include "cli/cli.h"
#include "cli/render.h"

enum cli_scope {
	NOUN_GROUP,        /* in a resource group, found by name in all of them */
	NOUN_SUBSCRIPTION, /* /subscriptions/S/PATH/NAME */
	NOUN_TENANT,       /* /PATH/NAME */
	NOUN_ANY,          /* SCOPE/PATH/NAME; --scope, by default the subscription */
};

struct cli_noun {
	const char *type; /* NOUN_GROUP: "Microsoft.Compute/galleries/images" */
	const char *path; /* the others: "resourceGroups", "providers/Kiln.Identity/users" */
	enum cli_scope scope;
	const char *one;   /* "image definition", for messages */
	const char *query; /* of reads: "$expand=ReplicationStatus", or NULL */
	bool query_each;   /* lists don't know @query: each item is read by itself */
	bool located;      /* a new one has a location: its parent's, unless -l says another */
	const char *body;  /* JSON that a new one starts from, or NULL */
	const struct cli_column *columns;
	const char *newest; /* lists are sorted by this time, newest first; NULL = as they come */
	const char *part;   /* `show` prints this part of the document, or NULL = all */
	const struct cli_noun *below; /* what `delete --dry-run` lists beneath it, or NULL */
};

/* Rows that the verbs' option tables begin with. */
#define NOUN_GROUP_OPTION                                                                          \
	{                                                                                          \
		"--group", 'g', "GROUP", "resource group (default: the one that has the name)"     \
	}
#define NOUN_SCOPE_OPTION                                                                          \
	{                                                                                          \
		"--scope", 0, "ID", "what it is about (default: the subscription)"                 \
	}
#define NOUN_WRITE_OPTIONS                                                                         \
	{"--set", 0, "PATH=VALUE", "any other field; VALUE is JSON or text; repeatable"},          \
		{"--tag", 0, "NAME=VALUE", "a tag; repeatable", .path = "tags", .put = PUT_PAIR},  \
		{"--no-wait", 0, NULL, "do not wait for the operation's end"}, CLI_RENDER_OPTIONS
#define NOUN_DELETE_OPTIONS                                                                        \
	{"--yes", 'y', NULL, "do not ask"},                                                        \
		{"--dry-run", 'n', NULL, "only say what would be deleted"},                        \
	{                                                                                          \
		"--no-wait", 0, NULL, "do not wait for the operation's end"                        \
	}
#define NOUN_CREATE_OPTIONS                                                                        \
	{"--body", 'b', "FILE", "a whole document to start from; - for standard input"},           \
		{"--location",       'l',                                                          \
		 "REGION",           "location (default: what it is made in has it)",              \
		 .path = "location", .put = PUT_TEXT},                                             \
		NOUN_WRITE_OPTIONS

extern const struct cli_option verb_list_options[], verb_show_options[], verb_delete_options[],
	verb_update_options[];

/* The verbs: `run` of commands with a noun. */
int verb_list(struct cli *cli, const struct cli_args *args);
int verb_show(struct cli *cli, const struct cli_args *args);
int verb_create(struct cli *cli, const struct cli_args *args);
int verb_update(struct cli *cli, const struct cli_args *args);
int verb_delete(struct cli *cli, const struct cli_args *args);
/** verb_action() - POST of the command's action with the body that its options make. */
int verb_action(struct cli *cli, const struct cli_args *args);

/** noun_scope() - the id that --scope names, or the subscription's; caller frees. */
int noun_scope(struct cli *cli, const struct cli_args *args, char **ret, struct err *err);
/** noun_id() - the id that @typed names; caller frees. */
int noun_id(struct cli *cli, const struct cli_noun *n, const struct cli_args *args,
	    const char *typed, char **ret, struct err *err);
/** noun_body() - adds what the options say to @body. */
int noun_body(struct cli *cli, const struct cli_args *args, json_t *body, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Documents as people and programs want them: a table, JSON, YAML, tab-separated, or whatever a jq
 * filter makes of them. */
#ifndef KILN_CLI_RENDER_H
#define KILN_CLI_RENDER_H

#include "cli/cli.h"

enum cli_cell {
	CELL_TEXT,     /* strings as they are, numbers, true and false as words */
	CELL_SIZE,     /* bytes, for people */
	CELL_COUNT,    /* how many members */
	CELL_LIST,     /* scalars, or the "name"s of objects, joined by commas */
	CELL_MAP,      /* "key=value", joined by commas */
	CELL_LAST,     /* the last part of an id */
	CELL_GROUP,    /* the resource group of an id */
	CELL_NAMES,    /* an id as commands take it: "golden/debian-12/1.0.0" */
	CELL_TIME,     /* ISO 8601, without parts of a second */
	CELL_REPLICAS, /* a replicationStatus.summary: "East US, West Europe 40%" */
};
struct cli_column {
	const char *head; /* upper case; '>' in front aligns right; NULL ends a table of them */
	const char *path; /* where in the document: "properties.provisioningState" */
	enum cli_cell cell;
	bool wide; /* in `show`, not in `list` */
};

/* Options of every command that prints documents; the first rows of its table. */
#define CLI_RENDER_OPTIONS                                                                         \
	{"--output", 'o', "FORMAT", "table (default), json, yaml or tsv"},                         \
	{                                                                                          \
		"--jq", 0, "FILTER", "print what this jq filter makes of the JSON"                 \
	}

/** cli_render_check() - EXIT_DONE, or EXIT_USAGE (reported) when --output names no format. Call it
 *  before anything is asked for or changed. */
int cli_render_check(struct cli *cli, const struct cli_args *args);
/** cli_render() - @doc, an array (rows) or an object (lines), to standard output as the options
 *  say. Return: exit status. */
int cli_render(struct cli *cli, const struct cli_args *args, const json_t *doc,
	       const struct cli_column *columns);

/** yaml_print() - as YAML 1.1 to standard output. Return 0 or -errno. */
int yaml_print(const json_t *doc);
/** jq_print() - each result of @filter on a line: strings bare, the rest as compact JSON.
 *  Return 0, -EINVAL (the filter; @err says where), -EIO. */
int jq_print(const json_t *doc, const char *filter, struct err *err);

#endif

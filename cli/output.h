/* SPDX-License-Identifier: Apache-2.0 */
/* What commands share when they write: colours, tables, sizes of the terminal, safe text. */
#ifndef KILN_CLI_OUTPUT_H
#define KILN_CLI_OUTPUT_H

#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"

enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_RED, CLI_GREEN, CLI_YELLOW, CLI_CYAN };

/** cli_sgr() - the escape sequence that begins a style ("" without colour). CLI_PLAIN ends any. */
const char *cli_sgr(const struct cli *cli, enum cli_style style);

/** cli_columns() - width of the terminal at @fd; 80 when it is none. */
unsigned cli_columns(int fd);

/** cli_width() - columns that UTF-8 text takes; escape sequences do not count. */
size_t cli_width(const char *text);

/** cli_print_safe() - untrusted text: control characters and broken UTF-8 become visible escapes
 *  (tab stays), so that a script's output cannot drive the terminal. */
void cli_print_safe(FILE *f, const char *text, size_t n);

/* A table of text cells, columns as wide as their widest cell. */
struct cli_table;
/** cli_table_new() - @heads: NULL-terminated, one at least; a head that begins with '>' is aligned
 * right. NULL when memory ran out. */
struct cli_table *cli_table_new(const char *const *heads);
/** cli_table_add() - one row of as many cells as heads; copies; NULL is shown as "-". Failures of
 *  memory are kept and returned by cli_table_print(). */
void cli_table_add(struct cli_table *t, const char *const *cells);
/** cli_table_print() - to stdout, heads bold when stdout is a terminal. Frees @t. Return 0 or
 *  -ENOMEM. */
int cli_table_print(const struct cli *cli, struct cli_table *t);
/** cli_table_free() - a table that is not printed; NULL is fine. */
void cli_table_free(struct cli_table *t);

/**
 * cli_bar() - a progress bar as text: "[#####.....]  51%  1.2 GB/2.4 GB  88.0 MB/s  0:14"
 * @dst: at least CLI_BAR_MAX bytes; returns @dst
 * @rate: bytes per second, 0 = unknown; @total 0 = unknown
 */
#define CLI_BAR_MAX 160
char *cli_bar(char *dst, unsigned width, uint64_t done, uint64_t total, double rate);

/** cli_note() - one line for people on stderr, unless --json. */
void cli_note(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** cli_error_json() - {"error":{"code","message","target"?,"hint"?}}; new reference or NULL. */
json_t *cli_error_json(const struct err *err);
/** cli_status_of() - exit status for an error code: EXIT_CANCELLED for -ECANCELED, EXIT_REFUSED for
 *  what was refused (-EINVAL, -EACCES, -EPERM, -EBUSY, -EEXIST, -ESTALE, -EPROTO), else
 *  EXIT_FAILED. */
int cli_status_of(int code);
/** cli_status_of_http() - exit status for an HTTP status: 0 for 2xx; EXIT_REFUSED for 400, 403, 409
 *  and 412; else EXIT_FAILED. */
int cli_status_of_http(int status);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A disk image from elsewhere as the source of a new resource. */
#ifndef KILN_CLI_IMPORT_H
#define KILN_CLI_IMPORT_H

#include "cli/cli.h"

/**
 * import_file_as() - create the resource args->pos[1] from the image args->pos[0]
 * @path: the field of the body that takes its URI
 *
 * A file (or -, standard input, kept in the data directory meanwhile) is looked at first, so that
 * one that is refused makes nothing. Return: exit status.
 */
int import_file_as(struct cli *cli, const struct cli_args *args, const char *path);

#endif

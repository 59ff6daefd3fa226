/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_PROVIDERS_SHELL_H
#define KILN_PROVIDERS_SHELL_H

#include "base/cancel.h"
#include "providers/app.h"

/**
 * shell_open() - a command or an interactive shell in the disk of a template's newest run
 * @template_id: who may read the template and run it (as the in-process owner) is checked
 * @step: as bake_find_step(); NULL = the newest state
 * @argv: NULL-terminated, argv[0] absolute or looked up by the image's shell; NULL = a login shell
 *
 * Changes are thrown away. Return: the command's exit status, or -errno.
 */
int shell_open(struct app *a, const char *template_id, const char *step, char *const argv[],
	       struct cancel *cancel, struct err *err);

#endif

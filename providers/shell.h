/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_PROVIDERS_SHELL_H
#define KILN_PROVIDERS_SHELL_H

#include "base/cancel.h"
#include "providers/app.h"

/**
 * shell_open() - a command or an interactive shell in the disk of a recorded run
 * @id: of a template (its newest run) or of a run; that the in-process owner may read it and run
 *the template is checked
 * @step: as bake_find_step(); NULL = the newest state
 * @argv: NULL-terminated, argv[0] absolute or looked up by the image's shell; NULL = a login shell
 *
 * Changes are thrown away. Return: the command's exit status, or -errno.
 */
int shell_open(struct app *a, const char *id, const char *step, char *const argv[],
	       struct cancel *cancel, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A template file as people write it: ARM parameters, file: URIs beside it, what may be left out.
 */
#ifndef KILN_CLI_BAKE_INPUT_H
#define KILN_CLI_BAKE_INPUT_H

#include "base/err.h"
#include "base/json.h"

struct bake_input {
	json_t *body;      /* owned: the resource to PUT */
	char *name;        /* owned: of the template */
	char *api_version; /* owned: the file's apiVersion, or NULL */
};
void bake_input_done(struct bake_input *in);

/**
 * bake_input_read() - read @path ("-" = standard input) and make a resource of it
 * @name: the template's name, or NULL = the file's "name", else the file name (of "template.json"
 *	the folder's name)
 * @params: "key=value" texts, @n_params of them
 *
 * A texts "[parameters('x')]" becomes the parameter's value, "[concat('a', parameters('x'))]" is
 * joined, as in ARM templates. "file:NAME" becomes the absolute file: URI of NAME beside the file.
 * Return: 0, -EINVAL (message names file and field), -ENOENT, -ENOMEM.
 */
int bake_input_read(const char *path, const char *name, const char *const *params, size_t n_params,
		    struct bake_input *ret, struct err *err);

/** bake_expand() - replace the expressions in @doc by @values, in place; for tests. */
int bake_expand(json_t *doc, const json_t *values, struct err *err);

#endif

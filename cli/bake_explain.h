/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_CLI_BAKE_EXPLAIN_H
#define KILN_CLI_BAKE_EXPLAIN_H

#include "cli/cli.h"

/** explain_print() - what template_explain() gave, for people. */
void explain_print(const struct cli *cli, const json_t *doc);

#endif

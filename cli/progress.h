/* SPDX-License-Identifier: Apache-2.0 */
/* How commands other than bake show an operation's events: one bar that rewrites itself on a
 * terminal, nothing elsewhere. */
#ifndef KILN_CLI_PROGRESS_H
#define KILN_CLI_PROGRESS_H

#include "base/event.h"
#include "cli/cli.h"

struct cli_progress;
/** cli_progress_new() - NULL when memory ran out or there is nothing to show to; all functions
 *  accept that. */
struct cli_progress *cli_progress_new(const struct cli *cli);
/** cli_progress_sink() - borrowed; NULL for NULL. */
const struct event_sink *cli_progress_sink(struct cli_progress *p);
/** cli_progress_free() - clears the bar's line. */
void cli_progress_free(struct cli_progress *p);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a bake is shown: on a terminal one line a finished step, its script's output dimmed above,
 * and a status line that moves; on a pipe plain lines with the elapsed time; with --json the
 * events themselves. Events: docs/events.md.
 */
#ifndef KILN_CLI_BAKE_VIEW_H
#define KILN_CLI_BAKE_VIEW_H

#include "base/event.h"
#include "cli/cli.h"

struct bake_view;

/** bake_view_new() - NULL when memory ran out. */
struct bake_view *bake_view_new(const struct cli *cli);
const struct event_sink *bake_view_sink(struct bake_view *v);
/** bake_view_stop() - take the status line away; no event is shown after this. */
void bake_view_stop(struct bake_view *v);
/** bake_view_record() - the run's record once it ended; borrowed, NULL before. */
const json_t *bake_view_record(const struct bake_view *v);
void bake_view_free(struct bake_view *v); /* NULL is fine */

#endif

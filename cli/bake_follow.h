/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_CLI_BAKE_FOLLOW_H
#define KILN_CLI_BAKE_FOLLOW_H

#include "arm/arm.h"
#include "cli/cli.h"

/** bake_follow() - shows a run that a server's worker does, by its log, until it ends
 *  @template_id: the first interrupt cancels its run
 *  @res: the answer that started the run
 *  Return: 0, or the run's error. */
int bake_follow(struct cli *cli, const char *template_id, const struct arm_response *res,
		const struct event_sink *events, struct err *err);

#endif

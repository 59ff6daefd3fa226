/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KILN_PROVIDERS_TEMPLATE_EXPLAIN_H
#define KILN_PROVIDERS_TEMPLATE_EXPLAIN_H

#include "providers/app.h"

/**
 * template_explain() - what a run of a template would do, without running it
 * @doc: the template, stored or not, as @id
 * @params: of the run, as POST .../run takes them
 * @ret: as bake_explain() (bake/bake.h); new reference
 */
int template_explain(struct app *a, const char *id, const json_t *doc, const json_t *params,
		     struct cancel *cancel, const struct event_sink *events, json_t **ret,
		     struct err *err);

#endif

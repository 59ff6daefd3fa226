/* SPDX-License-Identifier: Apache-2.0 */
/* What runs of image templates take of a host, and how much of it they may take together. */
#ifndef KILN_PROVIDERS_BAKE_BUDGET_H
#define KILN_PROVIDERS_BAKE_BUDGET_H

#include "base/json.h"
#include "meta/jobs.h"

/** bake_budget() - "bake" of kiln.yaml, with the defaults of docs/config.md; @data_dir: where the
 *  overlays will be. */
void bake_budget(const json_t *config, const char *data_dir, struct job_budget *ret);

/** bake_need() - of a template: properties.kiln.resources. @subscription is borrowed. */
void bake_need(const json_t *template, const char *subscription, struct job_need *ret);

#endif

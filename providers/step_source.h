/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of recorded runs, and what differs between two disks. */
#ifndef KILN_PROVIDERS_STEP_SOURCE_H
#define KILN_PROVIDERS_STEP_SOURCE_H

#include "providers/app.h"
#include "providers/versions.h"

/**
 * step_source_load() - a disk by id, or as it was at a step of a run
 * @id: as image_source_load(), or "ID@STEP" with the id of a template (its newest run) or of a run,
 *	and STEP as bake_find_step(). What a step's disk needs the owner to be allowed is to run the
 *	template.
 * @region: normalized, or NULL = the first that has it
 */
int step_source_load(struct app *a, const char *id, const char *region, struct image_source *ret,
		     struct err *err);

/** image_changes() - what differs between two such disks; @ret as bake_changes(). */
int image_changes(struct app *a, const char *id_a, const char *id_b, struct cancel *cancel,
		  json_t **ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Running an image template: the engine's surroundings (struct bake_host) and what a run leaves in
 * resources: lastRunStatus, runOutputs, Kiln.Images/runs. */
#ifndef KILN_PROVIDERS_TEMPLATE_RUN_H
#define KILN_PROVIDERS_TEMPLATE_RUN_H

#include "bake/bake.h"
#include "providers/app.h"

/* One run while it goes on. */
struct template_run {
	struct arm_job *job;
	const struct arm_principal *who; /* who asked for it; must be allowed to read the source */
	const char *subscription;        /* of the template; borrowed */
	struct app *app;
	const json_t *doc;  /* the template, borrowed from the job */
	const char *run_id; /* the operation's id: a job that is run again continues the same run */
	char *run_key;      /* owned: id of the Kiln.Images/runs resource */
	char *location;     /* owned: normalized */
	const char *domain; /* the gallery key that its content is under; NULL = none */
	json_t *record;     /* owned: the engine's record as last reported, or NULL */
	char sub_state[32]; /* last reported */
};

/** template_run_job() - the job "run". Params: {"noCache", "until",
 *  "from", "refresh", "keepGoing", "force"}. */
int template_run_job(struct arm_job *job, struct err *err);

/** template_resolve() - bake_host.resolve: the template's source to a disk. */
int template_resolve(void *arg, const json_t *source, struct bake_source *ret, struct err *err);
/** template_distribute() - bake_host.distribute: one target; writes the runOutput. */
int template_distribute(void *arg, const json_t *target, const json_t *artifact, json_t **ret,
			struct err *err);
/** template_put_run() - write the Kiln.Images/runs resource from @record. */
int template_put_run(struct template_run *t, const json_t *record, struct err *err);

/** template_env() - the engine's environment in an app; @region from the template's location. */
int template_env(struct app *a, const char *location, struct bake_env *ret, struct err *err);
/** template_place() - a template whose target or source is a gallery with a key works in that key's
 *  place: sets @env->region. @doc: the template. */
int template_place(struct app *a, const json_t *doc, struct bake_env *env, struct err *err);

#endif

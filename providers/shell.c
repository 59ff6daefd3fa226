/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/bake.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/shell.h"
#include "providers/template_run.h"

int shell_open(struct app *a, const char *template_id, const char *step, char *const argv[],
	       struct cancel *cancel, struct err *err)
{
	auto_json json_t *doc = NULL;
	auto_free char *location = NULL;
	struct bake_env env;
	struct disk_ref disk;
	int r = arm_may(a->arm, &a->owner, TYPE_TEMPLATE "/run/action", template_id, err);

	if (r == 0)
		r = arm_load(a->arm, template_id, &doc, err);
	if (r < 0)
		return r;
	location = location_normalize(json_str_at(doc, "location") ?: "");
	r = location ? template_env(a, location, &env, err) : no_memory(err);
	if (r < 0)
		return r;
	env.cancel = cancel;
	r = bake_find_step(&env, template_id, step, &disk, NULL, err);
	return r < 0 ? r : bake_shell(&env, &disk, argv, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/shell.h"

#include "bake/bake.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/step_source.h"
#include "providers/template_run.h"

int shell_open(struct app *a, const char *id, const char *step, char *const argv[],
	       struct cancel *cancel, struct err *err)
{
	auto_free char *at = strf("%s@%s", id, step ? step : "");
	auto_image_source struct image_source s = {0};
	struct bake_env env;
	int r = at ? step_source_load(a, at, NULL, &s, err) : no_memory(err);

	if (r == 0)
		r = template_env(a, a->regions[s.region].name, &env, err);
	if (r < 0)
		return r;
	env.cancel = cancel;
	return bake_shell(&env, &s.disk, s.facts, argv, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bake/bake.h"
#include "base/mem.h"
#include "providers/common.h"
#include "providers/shell.h"

static int open_nbd(void *arg, struct nbd_host **ret, struct err *err)
{
	return app_nbd(arg, ret, err);
}

static int open_vmhost(void *arg, struct vm_host **ret, struct err *err)
{
	return app_vmhost(arg, ret, err);
}

int shell_open(struct app *a, const char *template_id, const char *step, char *const argv[],
	       struct cancel *cancel, struct err *err)
{
	struct bake_env env = {
		.store = a->store,
		.journal = a->journal,
		.data_dir = a->data_dir,
		.run_dir = a->run_dir,
		.nbd = open_nbd,
		.vmhost = open_vmhost,
		.arg = a,
		.config = a->config,
		.cancel = cancel,
	};
	auto_json json_t *doc = NULL;
	struct disk_ref disk;
	int r = arm_may(a->arm, &a->owner, TYPE_TEMPLATE "/run/action", template_id, err);

	if (r == 0)
		r = arm_load(a->arm, template_id, &doc, err);
	if (r < 0)
		return r;
	r = app_region_index(a, json_str_at(doc, "location"));
	if (r < 0)
		return err_set(err, r, "%s: its location %s is no region here", template_id,
			       json_str_at(doc, "location"));
	env.region = (unsigned) r;
	r = bake_find_step(&env, template_id, step, &disk, NULL, err);
	return r < 0 ? r : bake_shell(&env, &disk, argv, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/chores.h"

#include "base/log.h"
#include "base/mem.h"
#include "providers/soft_delete.h"
#include "providers/triggers.h"
#include "providers/upload.h"

static int expire_records(struct app *a, struct err *err)
{
	return arm_expire(a->arm, err);
}

static const struct {
	const char *name;
	int (*run)(struct app *a, struct err *err);
} chores[] = {
	{"uploads", upload_sweep},
	{"soft-deleted", soft_delete_purge},
	{"triggers", triggers_look},
	{"records", expire_records},
};

void app_chores(void *app)
{
	for (size_t i = 0; i < ARRAY_SIZE(chores); i++) {
		auto_err struct err e = ERR_INIT;

		if (chores[i].run(app, &e) < 0)
			log_warn("chore.failed", "chore=%s error=%s", chores[i].name, err_str(&e));
	}
}

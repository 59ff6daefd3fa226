/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/chores.h"

#include "base/log.h"
#include "base/mem.h"
#include "providers/soft_delete.h"
#include "providers/triggers.h"
#include "providers/upload.h"
#include "store/maintain.h"

static int expire_records(struct app *a, struct err *err)
{
	return arm_expire(a->arm, err);
}

/* What readers, also those of other processes, found damaged. */
static int heal(struct app *a, struct err *err)
{
	struct store_heal_result ret;
	int r = a->store ? store_heal_pending(a->store, NULL, &ret, err) : 0;

	if (r >= 0 && a->store && ret.packs > 0)
		log_warn("store.healed", "packs=%llu fetched=%llu lost=%llu",
			 (unsigned long long) ret.packs, (unsigned long long) ret.healed,
			 (unsigned long long) ret.lost);
	return r;
}

static const struct {
	const char *name;
	int (*run)(struct app *a, struct err *err);
} chores[] = {
	{"uploads", upload_sweep},
	{"soft-deleted", soft_delete_purge},
	{"triggers", triggers_look},
	{"records", expire_records},
	{"heal", heal},
};

void app_chores(void *app)
{
	for (size_t i = 0; i < ARRAY_SIZE(chores); i++) {
		auto_err struct err e = ERR_INIT;

		if (chores[i].run(app, &e) < 0)
			log_warn("chore.failed", "chore=%s error=%s", chores[i].name, err_str(&e));
	}
}

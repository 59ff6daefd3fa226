/* SPDX-License-Identifier: Apache-2.0 */
#include "providers/chores.h"

#include "base/log.h"
#include "base/mem.h"
#include "providers/audit_seal.h"
#include "providers/soft_delete.h"
#include "providers/step_cache.h"
#include "providers/triggers.h"
#include "providers/upload.h"
#include "providers/vms.h"
#include "store/maintain.h"

void chore_delete(struct app *a, const char *id, const char *api_version, const char *event)
{
	auto_free char *target = strf("%s?api-version=%s", id, api_version);
	struct arm_request req = {.method = "DELETE", .target = target, .who = &a->owner};
	struct arm_response res = {0};

	if (!target)
		return;
	arm_handle(a->arm, &req, &res);
	if (res.status >= 400 && res.status != 409) /* 409: it is being deleted */
		log_warn(event, "id=%s status=%d", id, res.status);
	arm_response_done(&res);
}

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

/* Needs the journal and the store: a worker's. */
static int sweep(struct app *a, struct err *err)
{
	return a->store ? vm_sweep(a, err) : 0;
}

struct chore {
	const char *name;
	int (*run)(struct app *a, struct err *err);
};

static void run_chore(struct app *a, const struct chore *c)
{
	auto_err struct err e = ERR_INIT;

	if (c->run(a, &e) < 0)
		log_warn("chore.failed", "chore=%s error=%s", c->name, err_str(&e));
}

void app_chores(void *app)
{
	static const struct chore chores[] = {
		{"uploads", upload_sweep},
		{"soft-deleted", soft_delete_purge},
		{"triggers", triggers_look},
		{"records", expire_records},
		{"heal", heal},
		{"step-cache", step_cache_chore},
		{"vms", sweep},
	};

	for (size_t i = 0; i < ARRAY_SIZE(chores); i++)
		run_chore(app, &chores[i]);
}

void app_tick(void *app)
{
	static const struct chore audit = {"audit", audit_seal_look};
	struct app *a = app;

	run_chore(a, &audit);
	if (a->ticks++ % CHORES_TICKS == 0)
		app_chores(a);
}

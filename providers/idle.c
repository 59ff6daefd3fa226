/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/mem.h"
#include "base/timeutil.h"
#include "providers/chores.h"
#include "store/maintain.h"

#define LEVEL       15 /* as `kiln store recompress` */
#define RATE_MB     4
#define SLICE_S     5
#define PAUSE_MS    5000
#define AGAIN_MS    3600000
#define GC_ROUNDS   3 /* until what was condemned is gone */
#define SLICE_LEAST (1u << 20)

/* 1 = there may be more to do, 0 = nothing was. */
static int slice(struct app *a, unsigned place, uint64_t rate, struct cancel *stop, struct err *err)
{
	struct store_budget budget = {.max_bytes_per_s = rate, .max_bytes = rate * SLICE_S};
	struct store_recompress_result k;
	int r;

	if (budget.max_bytes < SLICE_LEAST)
		budget.max_bytes = SLICE_LEAST;
	r = store_recompress(a->store, place, LEVEL, &budget, stop, NULL, &k, err);
	if (k.packs > 0)
		log_debug("idle.recompress", "region=%s packs=%llu before=%llu after=%llu",
			  store_region_name(a->store, place), (unsigned long long) k.packs,
			  (unsigned long long) k.bytes_before, (unsigned long long) k.bytes_after);
	a->idle.condemned = a->idle.condemned || k.packs > 0;
	return r < 0 ? r : k.packs > 0;
}

/* The place is done: what was replaced goes. */
static int give_back(struct app *a, unsigned place, struct cancel *stop, struct err *err)
{
	struct store_gc_result g;
	int r = 0;

	for (unsigned i = 0; i < GC_ROUNDS && r >= 0 && a->idle.condemned; i++)
		r = store_gc(a->store, place, false, stop, &g, err);
	if (r >= 0)
		a->idle.condemned = false;
	return r;
}

int app_idle(void *app, struct cancel *stop)
{
	struct app *a = app;
	uint64_t rate =
		(uint64_t) json_int_at(a->config, "limits.recompressMegabytesPerSecond", RATE_MB) *
		1000000;
	auto_err struct err e = ERR_INIT;
	int r;

	if (rate == 0 || !store_region_name(a->store, a->idle.place)) {
		a->idle.place = 0; /* all were done */
		return AGAIN_MS;
	}
	r = slice(a, a->idle.place, rate, stop, &e);
	if (r == 0)
		r = give_back(a, a->idle.place, stop, &e);
	else if (r > 0)
		r = -EAGAIN; /* the same place again */
	if (r < 0 && r != -EAGAIN && r != -EBUSY && !cancel_check(stop))
		log_warn("idle.failed", "region=%s error=%s",
			 store_region_name(a->store, a->idle.place), err_str(&e));
	if (r != -EAGAIN && r != -EBUSY && !cancel_check(stop)) {
		a->idle.place++;
		a->idle.condemned = false;
	}
	return PAUSE_MS;
}

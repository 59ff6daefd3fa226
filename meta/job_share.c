/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is: heavy jobs within a budget, shares taking turns. */
#include "base/mem.h"
#include "meta/jobs_internal.h"
#include "meta/row.h"

struct heavy {
	char *id, *share; /* owned */
	int64_t token, cpus, memory_bytes, disk_bytes;
	bool runs;  /* somebody has it */
	bool here;  /* on this host */
	bool ready; /* it may begin as far as its resource goes */
	bool kept;  /* somebody else waits for it by its id */
	bool noted; /* the claimer is noted as waiting for it */
};

struct heavies {
	struct pick *k;
	struct heavy *v; /* owned; the oldest first */
	size_t n, max;
};

static bool alive(const struct pick *k, const char *owner)
{
	return owner && k->c->alive(k->c->alive_arg, owner);
}

static bool same_host(const struct pick *k, const char *owner)
{
	return !k->c->same_host || k->c->same_host(k->c->alive_arg, owner);
}

/* Columns: id, share, owner, lease_us, token, cpus, memory_bytes, disk_bytes, waiter, queue,
 * cancel. */
static int row_heavy(void *arg, const struct db_row *row)
{
	struct heavies *all = arg;
	const struct pick *k = all->k;
	const char *owner = db_col_text(row, 2), *waiter = db_col_text(row, 8);
	struct heavy h = {
		.token = db_col_int(row, 4),
		.cpus = db_col_int(row, 5),
		.memory_bytes = db_col_int(row, 6),
		.disk_bytes = db_col_int(row, 7),
		.runs = db_col_int(row, 3) > k->now_us && alive(k, owner),
		.ready = db_col_int(row, 9) == 0 || db_col_int(row, 10) != 0,
	};

	h.here = h.runs && same_host(k, owner);
	h.noted = waiter && strcmp(waiter, k->c->owner) == 0;
	h.kept = waiter && !h.noted && alive(k, waiter);
	if (all->n == all->max) {
		size_t max = all->max ? all->max * 2 : 16;
		struct heavy *v = reallocarray(all->v, max, sizeof(*v));

		if (!v)
			return -ENOMEM;
		all->v = v;
		all->max = max;
	}
	if (row_str(row, 0, &h.id) < 0 || row_str(row, 1, &h.share) < 0) {
		free(h.id);
		return -ENOMEM;
	}
	all->v[all->n++] = h;
	return 0;
}

static void heavies_done(struct heavies *all)
{
	for (size_t i = 0; i < all->n; i++) {
		free(all->v[i].id);
		free(all->v[i].share);
	}
	free(all->v);
}

static int64_t running_of(const struct heavies *all, const char *share)
{
	int64_t n = 0;

	for (size_t i = 0; i < all->n; i++)
		n += all->v[i].runs && strcmp(all->v[i].share, share) == 0;
	return n;
}

/* Does it wait for a turn? One that is claimed by its id competes with those that somebody waits
 * for too; what was left for whoever comes does not hold it up. */
static bool competes(const struct heavies *all, const struct heavy *h)
{
	const char *id = all->k->c->id;

	return !h->runs && h->ready && (!id || h->kept || h->noted || strcmp(h->id, id) == 0);
}

/* The next of those that compete and whose share may begin another; NULL when there is none. */
static struct heavy *next_turn(const struct heavies *all)
{
	const struct job_budget *b = all->k->c->budget;
	struct heavy *best = NULL;
	int64_t fewest = 0;

	for (size_t i = 0; i < all->n; i++) {
		struct heavy *h = &all->v[i];
		int64_t n;

		if (!competes(all, h))
			continue;
		n = running_of(all, h->share);
		if (b && b->per_share && n >= b->per_share)
			continue;
		if (!best || n < fewest) {
			best = h;
			fewest = n;
		}
	}
	return best;
}

static bool within(int64_t used, int64_t more, int64_t limit)
{
	return limit <= 0 || more <= limit - used;
}

static bool fits(const struct heavies *all, const struct heavy *h)
{
	const struct job_budget *b = all->k->c->budget;
	struct heavy used = {.runs = false};
	bool any = false;

	for (size_t i = 0; i < all->n; i++) {
		const struct heavy *o = &all->v[i];

		if (!o->here)
			continue;
		any = true;
		used.cpus += o->cpus;
		used.memory_bytes += o->memory_bytes;
		used.disk_bytes += o->disk_bytes;
	}
	return !b || !any ||
	       (within(used.cpus, h->cpus, b->cpus) &&
		within(used.memory_bytes, h->memory_bytes, b->memory_bytes) &&
		within(used.disk_bytes, h->disk_bytes, b->disk_bytes));
}

static bool is_mine(const struct pick *k, const struct heavy *h)
{
	return k->c->id ? strcmp(h->id, k->c->id) == 0 : !h->kept;
}

/* How many go before the job that was asked for. */
static void note_waiting(const struct heavies *all)
{
	struct pick *k = all->k;
	const struct heavy *asked = NULL;
	int64_t n;

	k->ahead = -1;
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->v[i].id, k->c->id) == 0)
			asked = &all->v[i];
	if (!asked || !competes(all, asked))
		return;
	k->waits = true;
	k->noted = asked->noted;
	k->ahead = 0;
	n = running_of(all, asked->share);
	for (size_t i = 0; i < all->n; i++) {
		const struct heavy *h = &all->v[i];
		int64_t other = running_of(all, h->share);

		if (h != asked && competes(all, h) && (other < n || (other == n && h < asked)))
			k->ahead++;
	}
}

static int choose(const struct heavies *all)
{
	struct pick *k = all->k;
	struct heavy *h = next_turn(all);

	if (h && is_mine(k, h) && fits(all, h)) {
		k->id = h->id;
		h->id = NULL;
		k->token = h->token;
		k->heavy = true;
	} else if (k->c->id) {
		note_waiting(all);
	}
	return 0;
}

int pick_heavy(struct meta *m, struct pick *k, struct err *err)
{
	struct heavies all = {.k = k};
	int r = db_query(meta_db(m),
			 "SELECT job.id, share, owner, lease_us, token, cpus, memory_bytes,"
			 " disk_bytes, waiter, queue, cancel FROM job"
			 " JOIN operation ON operation.id = job.id"
			 " WHERE share IS NOT NULL ORDER BY seq",
			 NULL, 0, row_heavy, &all, NULL, err);

	if (r >= 0)
		r = choose(&all);
	heavies_done(&all);
	return r;
}

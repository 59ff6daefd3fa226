/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "meta/db.h"
#include "meta/packs.h"
#include "store/lookup.h"

#define STACK_BYTES (4u << 20)
#define MAIN        ACTORS_MAX /* who runs outside the actors */
#define LATER_NS    1000000    /* the clock goes on by this with each yield */

const char *const sched_break_names[BREAK_MAX] = {"nothing", "pin",   "stamp",
						  "hold",    "again", "alone"};

struct actor {
	ucontext_t at;
	void *stack;
	uint64_t rng;
	bool ended, dead, expired;
	unsigned in_txn;
};

static struct {
	struct sched_plan plan;
	struct actor v[ACTORS_MAX + 1];
	unsigned n, now, yields;
	uint64_t choice; /* random numbers of the schedule itself */
	unsigned crash_at[4], expire_at[4];
	ucontext_t main;
	sched_fn *fn;
	bool running, quiet;
} sc = {.now = MAIN};

/* The actors share one thread. Any other (a reader's, that reads ahead) does its own work and
 * leaves the schedule alone. */
static __thread bool of_schedule;

static uint64_t next(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

unsigned sched_below(size_t n)
{
	return (unsigned) (next(&sc.v[sc.now].rng) % n);
}

void sched_seed(uint64_t seed)
{
	sc.v[MAIN].rng = seed;
}

void sched_quiet(bool quiet)
{
	sc.quiet = quiet;
}

bool sched_dead(unsigned actor)
{
	return sc.v[actor].dead;
}

bool sched_expired(unsigned actor)
{
	return sc.v[actor].expired;
}

unsigned sched_yields(void)
{
	return sc.yields;
}

static void leave(void)
{
	unsigned me = sc.now;

	(void) swapcontext(&sc.v[me].at, &sc.main);
}

/* A place where another may go on. */
static void yield(void)
{
	struct actor *a = &sc.v[sc.now];

	if (!of_schedule || !sc.running || sc.quiet || a->in_txn > 0)
		return;
	sc.yields++;
	for (unsigned i = 0; i < sc.plan.expiries; i++)
		if (sc.expire_at[i] == sc.yields)
			a->expired = true;
	for (unsigned i = 0; i < sc.plan.crashes; i++)
		if (sc.crash_at[i] == sc.yields)
			a->dead = true;
	if (a->dead || next(&sc.choice) % sc.plan.switch_one_in == 0)
		leave();
}

static void actor_main(void)
{
	sc.fn(sc.now);
	sc.v[sc.now].ended = true;
	leave();
}

static void actor_new(unsigned i)
{
	struct actor *a = &sc.v[i];

	*a = (struct actor){.rng = sc.plan.seed * 1000003 + i};
	a->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a->stack == MAP_FAILED || getcontext(&a->at) < 0)
		abort();
	a->at.uc_stack.ss_sp = a->stack;
	a->at.uc_stack.ss_size = STACK_BYTES;
	makecontext(&a->at, actor_main, 0);
}

static int yield_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	yield();
	return sys_real.openat(dirfd, name, flags, mode);
}

static ssize_t yield_pread(int fd, void *p, size_t n, off_t at)
{
	yield();
	return sys_real.pread(fd, p, n, at);
}

static ssize_t yield_pwrite(int fd, const void *p, size_t n, off_t at)
{
	yield();
	return sys_real.pwrite(fd, p, n, at);
}

static int yield_fsync(int fd)
{
	yield();
	return sys_real.fsync(fd);
}

static int yield_renameat2(int ofd, const char *o, int nfd, const char *n, unsigned flags)
{
	yield();
	return sys_real.renameat2(ofd, o, nfd, n, flags);
}

static int yield_unlinkat(int dirfd, const char *name, int flags)
{
	yield();
	return sys_real.unlinkat(dirfd, name, flags);
}

static int yield_mkdirat(int dirfd, const char *name, mode_t mode)
{
	yield();
	return sys_real.mkdirat(dirfd, name, mode);
}

void sched_run(const struct sched_plan *p, unsigned n, sched_fn *fn)
{
	static struct sys table;

	sc.plan = *p;
	sc.n = n;
	sc.fn = fn;
	sc.choice = p->seed * 7919 + 1;
	for (unsigned i = 0; i < ARRAY_SIZE(sc.crash_at); i++) {
		sc.crash_at[i] = (unsigned) (next(&sc.choice) % p->horizon) + 1;
		sc.expire_at[i] = (unsigned) (next(&sc.choice) % p->horizon) + 1;
	}
	for (unsigned i = 0; i < n; i++)
		actor_new(i);
	table = sys_real;
	table.openat = yield_openat;
	table.pread = yield_pread;
	table.pwrite = yield_pwrite;
	table.fsync = yield_fsync;
	table.renameat2 = yield_renameat2;
	table.unlinkat = yield_unlinkat;
	table.mkdirat = yield_mkdirat;
	sys_use(&table);
	sc.running = of_schedule = true;
	for (;;) {
		unsigned ready[ACTORS_MAX], k = 0;

		for (unsigned i = 0; i < n; i++)
			if (!sc.v[i].ended && !sc.v[i].dead)
				ready[k++] = i;
		if (k == 0)
			break;
		sc.now = ready[next(&sc.choice) % k];
		(void) swapcontext(&sc.main, &sc.v[sc.now].at);
		sc.now = MAIN;
	}
	sc.running = of_schedule = false;
	sys_use(NULL);
}

static void txn(int by)
{
	if (of_schedule)
		sc.v[sc.now].in_txn += (unsigned) by;
}

/* The wrapped functions. The real ones are called by everybody else, and by these. */
#define WRAP(ret, name, ...)                                                                       \
	ret __real_##name(__VA_ARGS__);                                                            \
	ret __wrap_##name(__VA_ARGS__);                                                            \
	ret __wrap_##name(__VA_ARGS__)

WRAP(int, db_begin, struct db *db, struct err *err)
{
	int r;

	yield();
	r = __real_db_begin(db, err);
	txn(r >= 0);
	return r;
}

WRAP(int, db_begin_rows, struct db *db, struct err *err)
{
	int r;

	yield();
	r = __real_db_begin_rows(db, err);
	txn(r >= 0);
	return r;
}

WRAP(int, db_begin_read, struct db *db, struct err *err)
{
	int r;

	yield();
	r = __real_db_begin_read(db, err);
	txn(r >= 0);
	return r;
}

WRAP(int, db_commit, struct db *db, struct err *err)
{
	int r = __real_db_commit(db, err);

	txn(-1);
	yield();
	return r;
}

WRAP(void, db_rollback, struct db *db)
{
	__real_db_rollback(db);
	txn(-1);
}

WRAP(int, db_query, struct db *db, const char *sql, const struct db_value *params, size_t n,
     db_row_fn *row, void *arg, int64_t *ret_changes, struct err *err)
{
	int r;

	yield();
	r = __real_db_query(db, sql, params, n, row, arg, ret_changes, err);
	yield();
	return r;
}

WRAP(struct lookup_txn *, lookup_begin, struct lookup *l)
{
	yield();
	return __real_lookup_begin(l);
}

WRAP(void, lookup_end, struct lookup_txn *t)
{
	__real_lookup_end(t);
	yield();
}

WRAP(bool, lookup_find, struct lookup *l, const struct digest *name, struct frame_loc *ret)
{
	bool found;

	yield();
	found = __real_lookup_find(l, name, ret);
	yield();
	return found;
}

WRAP(unsigned, lookup_copies, struct lookup *l, const struct digest *name, struct frame_loc *dst,
     unsigned max)
{
	unsigned n;

	yield();
	n = __real_lookup_copies(l, name, dst, max);
	yield();
	return n;
}

WRAP(int, lookup_add_pack, struct lookup *l, const struct pack_id *id, const struct pack_entry *e,
     uint32_t n, bool replace, struct err *err)
{
	yield();
	return __real_lookup_add_pack(l, id, e, n, replace, err);
}

WRAP(int, lookup_remove_pack, struct lookup *l, const struct pack_id *id,
     const struct pack_entry *e, uint32_t n, struct err *err)
{
	yield();
	return __real_lookup_remove_pack(l, id, e, n, err);
}

WRAP(int, lookup_clear, struct lookup *l, struct err *err)
{
	yield();
	return __real_lookup_clear(l, err);
}

WRAP(int, random_bytes, void *p, size_t n)
{
	uint8_t *b = p;

	if (sc.running && !of_schedule)
		return __real_random_bytes(p, n);
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t) sched_below(256);
	return 0;
}

WRAP(int64_t, time_mono_ns, void)
{
	return ((int64_t) sc.yields + 1) * LATER_NS;
}

/* Each actor is a process of its own to the others. */
WRAP(uint64_t, proc_start_ticks, pid_t pid)
{
	return 1 + sc.now;
}

WRAP(bool, proc_alive, pid_t pid, uint64_t start)
{
	return start == 1 + MAIN ||
	       (start <= sc.n && !sc.v[start - 1].dead && !sc.v[start - 1].expired);
}

/* The rules that can be broken. */
WRAP(int, packs_pin, struct meta *m, const struct session_key *k, const char *region,
     const struct pack_id *ids, size_t n, bool *ret_ok, struct err *err)
{
	if (sc.plan.broken != BREAK_PIN)
		return __real_packs_pin(m, k, region, ids, n, ret_ok, err);
	for (size_t i = 0; i < n; i++)
		ret_ok[i] = true;
	return 0;
}

WRAP(int, packs_root_hold, struct meta *m, const struct session_key *k, const struct root_row *r,
     struct err *err)
{
	return sc.plan.broken == BREAK_HOLD ? 0 : __real_packs_root_hold(m, k, r, err);
}

WRAP(int, packs_condemn, struct meta *m, const struct session_key *k, const char *region,
     const struct pack_id *id, int64_t snapshot, bool *ret_done, struct err *err)
{
	static const char sql[] =
		"UPDATE store_pack SET state = 1, epoch = ? WHERE region = ? AND id = ?"
		" AND state = 0 AND NOT EXISTS (SELECT 1 FROM store_pin"
		" WHERE store_pin.region = store_pack.region AND store_pin.pack = store_pack.id)";
	char hex[PACK_ID_HEX];
	int64_t n = 0;
	int r;

	if (sc.plan.broken != BREAK_STAMP)
		return __real_packs_condemn(m, k, region, id, snapshot, ret_done, err);
	hex_encode(id->b, sizeof(id->b), hex);
	r = db_query(meta_db(m), sql, (struct db_value[]){DBI(snapshot), DBT(region), DBT(hex)}, 3,
		     NULL, NULL, &n, err);
	*ret_done = n > 0;
	return r;
}

WRAP(int, packs_sweep_begin, struct meta *m, const struct session_key *k, const char *region,
     const struct pack_id *id, int64_t before, bool *ret_done, struct err *err)
{
	static const char sql[] = "UPDATE store_pack SET state = 2 WHERE region = ? AND id = ?";
	char hex[PACK_ID_HEX];

	if (sc.plan.broken != BREAK_AGAIN)
		return __real_packs_sweep_begin(m, k, region, id, before, ret_done, err);
	hex_encode(id->b, sizeof(id->b), hex);
	*ret_done = true;
	return db_query(meta_db(m), sql, (struct db_value[]){DBT(region), DBT(hex)}, 2, NULL, NULL,
			NULL, err);
}

WRAP(int, packs_gc_claim, struct meta *m, const struct session_key *k, const char *region,
     struct err *err)
{
	return sc.plan.broken == BREAK_ALONE ? 0 : __real_packs_gc_claim(m, k, region, err);
}

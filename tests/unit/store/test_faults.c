/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each system call of base/file's table and each allocation is failed in turn, once and for ever,
 * in every operation of the store: the error is clean, what was acknowledged stays whole, nothing
 * is left, and doing it again works. KILN_FAULTS_ALL=1 leaves no call out,
 * KILN_FAULTS_ONLY=NAME takes one operation.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "support/fault.h"
#include "support/tmp.h"
#include "trial.h"

#define SYS_TRIALS   6 /* of one kind of fault in one operation, unless all are wanted */
#define ALLOC_TRIALS 16
#define LEAKED       9
#define HANG_S       60

struct how {
	unsigned n;
	int error;
	bool for_ever;
	bool alloc;
	bool lmdb;
};

static int fixture(void **state)
{
	struct trial *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	trial_new(t, false);
	*state = t;
	return 0;
}

static int fixture_end(void **state)
{
	trial_free(*state);
	free(*state);
	return 0;
}

/* The linker sends the lookup's calls of LMDB here (--wrap). */
static struct {
	atomic_uint calls;
	unsigned n; /* 0 = none fails */
	int error;
	bool for_ever;
} lmdb;

static int lmdb_due(void)
{
	unsigned i = atomic_fetch_add(&lmdb.calls, 1) + 1;

	return lmdb.n > 0 && (i == lmdb.n || (lmdb.for_ever && i > lmdb.n)) ? lmdb.error : 0;
}

#define LMDB_CALL(name, params, args)                                                              \
	int __real_##name params;                                                                  \
	int __wrap_##name params;                                                                  \
	int __wrap_##name params                                                                   \
	{                                                                                          \
		int due_ = lmdb_due();                                                             \
                                                                                                   \
		return due_ ? due_ : __real_##name args;                                           \
	}

LMDB_CALL(mdb_env_create, (MDB_env * *e), (e))
LMDB_CALL(mdb_env_open, (MDB_env * e, const char *p, unsigned f, mdb_mode_t m), (e, p, f, m))
LMDB_CALL(mdb_env_set_mapsize, (MDB_env * e, size_t n), (e, n))
LMDB_CALL(mdb_env_info, (MDB_env * e, MDB_envinfo *i), (e, i))
LMDB_CALL(mdb_txn_begin, (MDB_env * e, MDB_txn *p, unsigned f, MDB_txn **t), (e, p, f, t))
LMDB_CALL(mdb_dbi_open, (MDB_txn * t, const char *n, unsigned f, MDB_dbi *d), (t, n, f, d))
LMDB_CALL(mdb_get, (MDB_txn * t, MDB_dbi d, MDB_val *k, MDB_val *v), (t, d, k, v))
LMDB_CALL(mdb_put, (MDB_txn * t, MDB_dbi d, MDB_val *k, MDB_val *v, unsigned f), (t, d, k, v, f))
LMDB_CALL(mdb_del, (MDB_txn * t, MDB_dbi d, MDB_val *k, MDB_val *v), (t, d, k, v))
LMDB_CALL(mdb_drop, (MDB_txn * t, MDB_dbi d, int del), (t, d, del))
LMDB_CALL(mdb_cursor_open, (MDB_txn * t, MDB_dbi d, MDB_cursor **c), (t, d, c))
LMDB_CALL(mdb_cursor_get, (MDB_cursor * c, MDB_val *k, MDB_val *v, MDB_cursor_op o), (c, k, v, o))

/* A commit that fails has ended the transaction. */
int __real_mdb_txn_commit(MDB_txn *t);
int __wrap_mdb_txn_commit(MDB_txn *t);
int __wrap_mdb_txn_commit(MDB_txn *t)
{
	int e = lmdb_due();

	if (e)
		mdb_txn_abort(t);
	return e ? e : __real_mdb_txn_commit(t);
}

static void arm_lmdb(unsigned n, int error, bool for_ever)
{
	lmdb.n = n;
	lmdb.error = error;
	lmdb.for_ever = for_ever;
	atomic_store(&lmdb.calls, 0);
}

static void arm(const struct how *h)
{
	if (h->lmdb)
		arm_lmdb(h->n, h->error, h->for_ever);
	else if (h->alloc)
		fault_alloc_any(h->n, h->for_ever);
	else
		sys_use(fault_any(h->n, h->error, h->for_ever));
}

/* In a child: the operation with its fault. Its status: 0 done, 1 a clean error. */
static int faulted(const struct trial *t, const struct trial_op *op, const char *store,
		   const struct how *h, unsigned *ret_calls)
{
	auto_err struct err e = ERR_INIT;
	int status, p[2];
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		unsigned fds = tmp_fds(), calls;
		int r;

		(void) alarm(HANG_S);
		arm(h);
		r = trial_run(t, op, store, &e);
		calls = h->lmdb    ? atomic_load(&lmdb.calls)
			: h->alloc ? fault_alloc_any_calls()
				   : fault_any_calls();
		fault_alloc_any(0, false);
		arm_lmdb(0, 0, false);
		sys_use(NULL);
		(void) !write(p[1], &calls, sizeof(calls));
		if (r < 0 && err_str(&e)[0] == '\0' && !h->alloc)
			_exit(LEAKED + 1);
		_exit(tmp_fds() != fds ? LEAKED : r < 0);
	}
	(void) close(p[1]);
	if (read(p[0], ret_calls, sizeof(*ret_calls)) != sizeof(*ret_calls))
		*ret_calls = 0;
	(void) close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static unsigned bad;

static void complain(const struct trial_op *op, const struct how *h, const char *what)
{
	bad++;
	print_error("%s, %s %u %s %s: %s\n", op->name,
		    h->lmdb    ? "LMDB call"
		    : h->alloc ? "allocation"
			       : "call",
		    h->n,
		    h->alloc   ? "fails"
		    : h->error ? strerrorname_np(h->error)
			       : "short",
		    h->for_ever ? "for ever" : "once", what);
}

static void one(const struct trial *t, const struct trial_op *op, const struct how *h,
		unsigned *ret_calls)
{
	auto_free char *from = path_join(t->templates, op->name), *store = path_join(t->dir, "now");
	auto_err struct err e = ERR_INIT, e2 = ERR_INIT;
	struct trial_model m;
	int x;

	assert_true(from && store);
	assert_int_equal(trial_copy(from, store), 0);
	x = faulted(t, op, store, h, ret_calls);
	if (x > 1) {
		complain(op, h,
			 x == LEAKED          ? "descriptors are left open"
			 : x == LEAKED + 1    ? "no error text"
			 : x == 128 + SIGALRM ? "hangs"
					      : "crashes");
		return;
	}
	trial_want(t, op, x == 0, &m);
	/* Not done and dropped anyway would be the caller's doubt, not ours. */
	if (x != 0 && op->drops)
		m.n = 1;
	if (trial_prove(t, store, &m, op->heals, &e) < 0) {
		complain(op, h, err_str(&e));
		return;
	}
	if (x == 0)
		return;
	if (trial_run(t, op, store, &e2) < 0) {
		complain(op, h, err_str(&e2));
		return;
	}
	trial_want(t, op, true, &m);
	if (trial_prove(t, store, &m, false, &e) < 0)
		complain(op, h, err_str(&e));
}

static unsigned stride(unsigned calls, unsigned wanted)
{
	return getenv("KILN_FAULTS_ALL") || calls <= wanted ? 1 : calls / wanted;
}

static unsigned sweep(const struct trial *t, struct how h, unsigned wanted)
{
	unsigned trials = 0;

	for (unsigned i = 0; i < n_trial_ops; i++) {
		unsigned calls = 0, ignored, step;
		const char *only = getenv("KILN_FAULTS_ONLY");

		if (only && strcmp(only, trial_ops[i].name) != 0)
			continue;
		h.n = 0;
		one(t, &trial_ops[i], &h, &calls);
		assert_true(calls > 0);
		step = stride(calls, wanted);
		/* The first ones differ by kind of fault, so that sampling sees them all. */
		for (h.n = 1 + (unsigned) (h.error * 7 + h.for_ever * 3) % step; h.n <= calls;
		     h.n += step) {
			one(t, &trial_ops[i], &h, &ignored);
			trials++;
		}
	}
	return trials;
}

static void every_call_may_fail(void **state)
{
	static const struct how kinds[] = {
		{.error = EIO},
		{.error = EIO, .for_ever = true},
		{.error = ENOSPC},
		{.error = ENOSPC, .for_ever = true},
		{.error = EMFILE},
		{.error = EMFILE, .for_ever = true},
		{.error = EINTR},
		{.error = 0},
		{.error = 0, .for_ever = true},
	};
	unsigned trials = 0;

	bad = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* Byte by byte takes long and meets the same loop each time. */
		bool slow = kinds[i].error == 0 && kinds[i].for_ever;

		trials += sweep(*state, kinds[i], slow ? 1 : SYS_TRIALS);
	}
	print_message("%u faults of calls\n", trials);
	assert_int_equal(bad, 0);
}

static void every_allocation_may_fail(void **state)
{
	unsigned trials = 0;

	bad = 0;
	trials += sweep(*state, (struct how){.alloc = true}, ALLOC_TRIALS);
	trials += sweep(*state, (struct how){.alloc = true, .for_ever = true}, ALLOC_TRIALS / 2);
	print_message("%u failed allocations\n", trials);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_call_may_fail, fixture, fixture_end),
		cmocka_unit_test_setup_teardown(every_allocation_may_fail, fixture, fixture_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

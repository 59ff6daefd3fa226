/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL before system call N of each operation, whoever makes the call (our code, the database,
 * the lookup), in any thread: `store-kill COUNT SEED`, COUNT 0 = every N. Afterwards the store
 * recovers by itself and holds what was acknowledged.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "trial.h"

#define OPTIONS                                                                                    \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |  \
	 PTRACE_O_EXITKILL)

/* Lets the child and its threads go on until the @n-th call begins; the number of calls made. */
static unsigned trace(pid_t pid, unsigned n)
{
	unsigned stops = 0;
	int status;

	for (;;) {
		pid_t who = waitpid(-1, &status, __WALL);
		int sig = 0;

		if (who < 0)
			return (stops + 1) / 2;
		if (!WIFSTOPPED(status))
			continue;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			/* Entry and exit of a call are a stop each. */
			if (++stops / 2 + 1 > n && n != 0)
				(void) kill(pid, SIGKILL);
		} else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
			sig = WSTOPSIG(status);
		}
		(void) ptrace(PTRACE_SYSCALL, who, NULL, sig);
	}
}

/* Runs the operation, killed before its call @n (0 = not). *@ret_done: it was acknowledged. */
static unsigned run_killed(const struct trial *t, const struct trial_op *op, const char *store,
			   unsigned n, bool *ret_done)
{
	char done = 0;
	int p[2], status;
	unsigned calls;
	pid_t pid;

	if (pipe(p) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		(void) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void) raise(SIGSTOP);
		done = trial_run(t, op, store, NULL) >= 0;
		(void) !write(p[1], &done, 1);
		_exit(0);
	}
	(void) close(p[1]);
	if (pid < 0 || waitpid(pid, &status, __WALL) != pid)
		abort();
	(void) ptrace(PTRACE_SETOPTIONS, pid, NULL, OPTIONS);
	(void) ptrace(PTRACE_SYSCALL, pid, NULL, 0);
	calls = trace(pid, n);
	*ret_done = read(p[0], &done, 1) == 1 && done;
	(void) close(p[0]);
	return calls;
}

static int one(const struct trial *t, const struct trial_op *op, unsigned n, bool again,
	       unsigned *ret_calls, struct err *err)
{
	auto_free char *from = path_join(t->templates, op->name), *store = path_join(t->dir, "now");
	struct trial_model m;
	bool done;
	int r;

	if (!from || !store || trial_copy(from, store) < 0)
		return err_set(err, -EIO, "cannot copy the template");
	*ret_calls = run_killed(t, op, store, n, &done);
	trial_want(t, op, done, &m);
	if (!done && op->drops)
		m.n = 1; /* removed or not */
	if (n == 0 && !done)
		return err_set(err, -EIO, "fails without being killed");
	r = trial_prove(t, store, &m, op->heals, err);
	if (r < 0 || !again)
		return r;
	r = trial_run(t, op, store, err);
	trial_want(t, op, true, &m);
	return r < 0 ? err_ctx(err, r, "again") : trial_prove(t, store, &m, false, err);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : 55, kills = 0, bad = 0;
	unsigned seed = argc > 2 ? (unsigned) strtoul(argv[2], NULL, 10) : 1;
	struct trial t;

	trial_new(&t, false);
	for (unsigned i = 0; i < n_trial_ops && bad < 20; i++) {
		const struct trial_op *op = &trial_ops[i];
		auto_err struct err first = ERR_INIT;
		unsigned calls = 0, ignored, step, was = kills;

		if (argc > 3 && strcmp(argv[3], op->name) != 0)
			continue;
		if (one(&t, op, 0, false, &calls, &first) < 0) {
			(void) printf("%s: %s\n", op->name, err_str(&first));
			bad++;
		}
		step = count ? calls / (count / n_trial_ops + 1) + 1 : 1;
		for (unsigned n = 1 + seed * 7919 % step; n <= calls; n += step) {
			auto_err struct err e = ERR_INIT;

			kills++;
			if (one(&t, op, n, kills % 4 == 0, &ignored, &e) == 0)
				continue;
			bad++;
			(void) printf("%s, killed at call %u: %s\n", op->name, n, err_str(&e));
			(void) fflush(stdout);
		}
		(void) printf("%-13s %5u calls, %4u kills\n", op->name, calls, kills - was);
	}
	(void) printf("seed %u: %u kills, %u failures\n", seed, kills, bad);
	trial_free(&t);
	return bad > 0 || kills == 0;
}

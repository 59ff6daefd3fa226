/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A deterministic scheduler for the real store. Actors are coroutines of one thread; an actor may
 * be left at each call of the system-call table, of the database outside a transaction and of the
 * lookup, and another goes on. Who goes on, who dies and whose lease ends follows from the seed
 * alone: random bytes, clocks and process identities come from here too (linker option --wrap).
 * A transaction is one step, as the database guarantees. One scheduler per process.
 */
#ifndef TESTS_UNIT_STORE_SCHEDULER_H
#define TESTS_UNIT_STORE_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACTORS_MAX 12

/* Rules of the collector's protocol that can be switched off, to see that their lack is found. */
enum sched_break {
	BREAK_NOTHING,
	BREAK_PIN,   /* what a lookup names is not pinned */
	BREAK_STAMP, /* condemning does not look at stamps */
	BREAK_HOLD,  /* what is built on gets no session root */
	BREAK_AGAIN, /* removing does not look again whether the pack is still condemned */
	BREAK_ALONE, /* two collections of a region at a time */
	BREAK_MAX
};
extern const char *const sched_break_names[BREAK_MAX];

struct sched_plan {
	uint64_t seed;
	unsigned switch_one_in; /* how often an actor is left at a yield */
	unsigned crashes;
	unsigned expiries;
	unsigned horizon; /* yields within which those happen */
	enum sched_break broken;
};

typedef void sched_fn(unsigned actor);

/** sched_run() - until every actor has ended or died. */
void sched_run(const struct sched_plan *p, unsigned n, sched_fn *fn);
/** sched_quiet() - from now on nobody is left: for what surrounds the actors. */
void sched_quiet(bool quiet);
/** sched_dead() - did the actor die? sched_expired() - did its sessions' leases end early? */
bool sched_dead(unsigned actor);
bool sched_expired(unsigned actor);
unsigned sched_yields(void);
/** sched_below() - the next of the running actor's own numbers, less than @n (of the plan's,
 * outside). */
unsigned sched_below(size_t n);
void sched_seed(uint64_t seed);

#endif

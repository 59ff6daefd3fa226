/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol of docs/store-format.md, "Liveness", as a model for Spin; run by
 * tests/integration/gc_model.sh. An atomic block is one transaction or one call. Content 0 lies in
 * packs 0 and 1, a copy each; content 1 is written anew into pack 2. Writers find content by an old
 * look at the lookup or write it, and publish; a copier gives a live disk one more name; a deleter
 * takes roots away; collectors, one a host, prefer different copies; the reaper ends any session
 * at any time, which its owner does not notice. A crash is that, and an owner that never goes on.
 *
 * Asserted: what a root holds has a copy whose bytes are there; and after everybody has ended, two
 * undisturbed cycles (three for a stray) leave nothing dead. With -DNO_... a rule is left out, and
 * Spin must find the damage.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef COLLECTORS
#define COLLECTORS 1
#endif
#ifndef CYCLES
#define CYCLES 2
#endif

#ifndef DELETES
#define DELETES 2
#endif

#define PACKS    3
#define COPIER   WRITERS
#define SESSIONS (WRITERS + 1)
#define ROOTS    (WRITERS + 2) /* one is there from the beginning */

#define NONE      0
#define PRESENT   1
#define CONDEMNED 2
#define DELETING  3

/* Rows. */
byte state[PACKS];
byte stamp[PACKS];
byte when[PACKS];      /* epoch of the condemnation */
byte pins[PACKS];      /* bit per session */
byte alive;            /* bit per session that has a row */
byte since[SESSIONS];  /* epoch of its beginning */
byte roots[2];         /* per content: bit per root */
byte holds[2];         /* per content: bit per session that made a session root */
byte epoch = 2;
byte collector;        /* who claimed the region, + 1 */
byte may_collect;      /* bit per collector whose session has a row */

bool there[PACKS]; /* bytes in the region */
bool written;      /* pack ids are never used again */
byte ended;

#define CONTENT(p)  ((p) / 2)
#define HAS(c)      ((c) == 0 -> there[0] || there[1] : there[2])
#define NEEDED(c)   (roots[c] || holds[c])
#define OLDER_AT(s, p) ((alive & (1 << (s))) && since[s] <= when[p])

#if WRITERS == 2
#define OLDER(p) (OLDER_AT(0, p) || OLDER_AT(1, p) || OLDER_AT(2, p))
#else
#define OLDER(p) (OLDER_AT(0, p) || OLDER_AT(1, p))
#endif

/* The promise: checked whenever bytes or roots change. */
#define WHOLE ((!roots[0] || HAS(0)) && (!roots[1] || HAS(1)))

inline session_begin(s)
{
	atomic {
		alive = alive | (1 << s);
		since[s] = epoch
	}
}

/* The session's rows go; its owner may still believe in it. */
inline session_drop(s)
{
	alive = alive & ~(1 << s);
	pins[0] = pins[0] & ~(1 << s);
	pins[1] = pins[1] & ~(1 << s);
	pins[2] = pins[2] & ~(1 << s);
	holds[0] = holds[0] & ~(1 << s);
	holds[1] = holds[1] & ~(1 << s)
}

/* Pins a pack that was found or written; a condemned one becomes present. */
inline take_pin(s, p, ok)
{
	ok = (alive & (1 << s)) && (state[p] == PRESENT || state[p] == CONDEMNED);
	if
	:: ok ->
		state[p] = PRESENT;
		pins[p] = pins[p] | (1 << s)
	:: else
	fi
}

proctype writer(byte s)
{
	byte p;
	bool ok;

	session_begin(s);
	if
	:: p = 0 /* the lookup once named it, whatever became of it since */
	:: p = 1
	:: atomic { !written -> written = true; p = 2; there[2] = true }
	:: atomic { written -> p = 2 }
	fi;
	/* A new pack gets its row and pin together; what was found gets a pin. */
	atomic {
		if
		:: p == 2 && state[2] == NONE && there[2] && (alive & (1 << s)) ->
			state[2] = PRESENT;
			stamp[2] = epoch
		:: else
		fi;
#ifdef NO_PIN
		ok = (alive & (1 << s)) && state[p] != NONE
#else
		take_pin(s, p, ok)
#endif
	}
	/* Publish: session there, what it pinned is present. */
	atomic {
		if
#ifdef NO_TOKEN
		:: ok ->
#else
		:: ok && (alive & (1 << s)) ->
#endif
			assert(!(pins[p] & (1 << s)) || state[p] == PRESENT);
			stamp[p] = epoch;
			roots[CONTENT(p)] = roots[CONTENT(p)] | (1 << s);
			assert(WHOLE)
		:: else
		fi;
		session_drop(s);
		p = 0;
		ok = false;
		ended++
	}
}

proctype copier()
{
	byte c;
	bool ok;

	session_begin(COPIER);
	if
	:: c = 0
	:: c = 1
	fi;
#ifdef NO_HOLD
	ok = roots[c] != 0;
#else
	atomic {
		ok = (alive & (1 << COPIER)) && roots[c];
		if
		:: ok -> holds[c] = holds[c] | (1 << COPIER)
		:: else
		fi
	}
#endif
	atomic {
		if
		:: ok && (alive & (1 << COPIER)) ->
			roots[c] = roots[c] | (1 << COPIER);
			assert(WHOLE)
		:: else
		fi;
		session_drop(COPIER);
		c = 0;
		ok = false;
		ended++
	}
}

/* Any root may go at any time. */
proctype deleter()
{
	byte n = 0, i;

	do
	:: n < DELETES ->
		atomic {
			select(i : 0 .. ROOTS - 1);
			roots[0] = roots[0] & ~(1 << i);
			roots[1] = roots[1] & ~(1 << i);
			i = 0;
			n++
		}
	:: break
	od;
	atomic { n = 0; ended++ }
}

/* Takes leases away. */
proctype reaper()
{
	byte s;

	if
	:: atomic {
		select(s : 0 .. SESSIONS - 1);
		session_drop(s)
	   }
	:: atomic {
		collector == 1 ->
		collector = 0;
		may_collect = may_collect & ~1
	   }
	:: skip
	fi;
	atomic { s = 0; ended++ }
}

/* One cycle of collector h. */
inline cycle(h)
{
	/* Claim the region; the epoch rises. */
	atomic {
#ifdef NO_CLAIM
		may = true;
#else
		may = (collector == 0);
#endif
		if
		:: may ->
			collector = h + 1;
			may_collect = may_collect | (1 << h);
			epoch++;
			e = epoch
		:: else
		fi
	}
	if
	:: may ->
		/* Sweep. */
		p = 0;
		do
		:: p < PACKS ->
#ifdef NO_RECHECK
			gone = (state[p] == CONDEMNED && when[p] + 2 <= e);
#endif
			atomic {
#ifdef NO_RECHECK
				skip;
#else
				gone = (state[p] == DELETING ||
					(state[p] == CONDEMNED && when[p] + 2 <= e && !pins[p] &&
					 !OLDER(p) && (may_collect & (1 << h))));
#endif
				if
				:: gone -> state[p] = DELETING
				:: else
				fi
			}
			if
			:: gone ->
				atomic { there[p] = false; assert(WHOLE) }
				state[p] = NONE
			:: else
			fi;
			p++
		:: else -> break
		od;
		/* Rows before roots. */
		atomic {
			rows = (state[0] == PRESENT -> 1 : 0) | (state[1] == PRESENT -> 2 : 0) |
			       (state[2] == PRESENT -> 4 : 0)
		}
		atomic { need = (NEEDED(0) -> 1 : 0) | (NEEDED(1) -> 2 : 0) }
		/* Mark: this host's own copy first, then the other, then a condemned one is saved. */
		d_step {
			live = 0;
			if
			:: (need & 1) && (rows & (1 << h)) -> live = live | (1 << h)
			:: (need & 1) && !(rows & (1 << h)) && (rows & (1 << (1 - h))) ->
				live = live | (1 << (1 - h))
			:: else
			fi;
			if
			:: (need & 2) && (rows & 4) -> live = live | 4
			:: else
			fi
		}
		if
		:: (need & 1) && !(rows & 3) ->
			atomic {
				if
				:: state[0] == CONDEMNED -> state[0] = PRESENT
				:: state[0] != CONDEMNED && state[1] == CONDEMNED -> state[1] = PRESENT
				:: else
				fi
			}
		:: else
		fi;
		if
		:: (need & 2) && !(rows & 4) ->
			atomic {
				if
				:: state[2] == CONDEMNED -> state[2] = PRESENT
				:: else
				fi
			}
		:: else
		fi;
		/* Condemn. */
		p = 0;
		do
		:: p < PACKS ->
			atomic {
				if
				:: (rows & (1 << p)) && !(live & (1 << p)) && state[p] == PRESENT &&
#ifndef NO_STAMP
				   stamp[p] < e &&
#endif
				   !pins[p] && (may_collect & (1 << h)) ->
					state[p] = CONDEMNED;
					when[p] = e
				:: else
				fi
			}
			p++
		:: else -> break
		od;
		/* A stray is given a row. */
		atomic {
			if
			:: there[2] && state[2] == NONE ->
				state[2] = PRESENT;
				stamp[2] = epoch
			:: else
			fi
		}
		atomic {
			epoch++;
			may_collect = may_collect & ~(1 << h);
			if
			:: collector == h + 1 -> collector = 0
			:: else
			fi;
			/* Equal states must look equal. */
			e = 0;
			p = 0;
			rows = 0;
			need = 0;
			live = 0;
			gone = false
		}
	:: else
	fi
}

proctype collect(byte h)
{
	byte e, p, rows, need, live, n = 0;
	bool may, gone;

	do
	:: n < CYCLES ->
		cycle(h);
		n++
	:: else -> break
	od;
	ended++
}

/* When everybody has ended, what is dead goes. */
proctype last()
{
	byte e, p, rows, need, live, n = 0, left = 2;
	bool may, gone;

	ended == WRITERS + COLLECTORS + 3;
	alive = 0;
	if
	:: there[2] && state[2] == NONE -> left = 3
	:: else
	fi;
	do
	:: n < left ->
		cycle(0);
		assert(may);
		n++
	:: else -> break
	od;
	assert(roots[0] || (!there[0] && !there[1]));
	assert(roots[1] || !there[2]);
	assert(WHOLE)
}

init {
	atomic {
		/* Content 0 has a root, two copies, stamps of an earlier epoch. */
		state[0] = PRESENT;
		if /* perhaps condemned by a cycle before */
		:: state[1] = PRESENT
		:: state[1] = CONDEMNED
		fi;
		when[1] = 1;
		there[0] = true;
		there[1] = true;
		roots[0] = 1 << (WRITERS + 1);
		run writer(0);
#if WRITERS == 2
		run writer(1);
#endif
		run copier();
		run deleter();
		run reaper();
		run collect(0);
#if COLLECTORS == 2
		run collect(1);
#endif
		run last()
	}
}

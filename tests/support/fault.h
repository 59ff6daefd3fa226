/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults on purpose. A sweep fails the first, second, third ... call of the code under test until
 * a run meets no fault any more:
 *
 *	for (unsigned n = 1;; n++) {
 *		bool armed = true;
 *
 *		sys_use(fault_nth(n, EIO, &armed));
 *		r = code_under_test();
 *		sys_use(NULL);
 *		check_invariants();
 *		if (armed)
 *			break;
 *	}
 */
#ifndef KILN_TESTS_SUPPORT_FAULT_H
#define KILN_TESTS_SUPPORT_FAULT_H

#include <stdbool.h>

#include "base/file.h"

/** fault_nth() - a table of real calls of which number @n (from 1, this thread's) fails with
 *  @error and clears *@armed. A failed close() has closed, as on Linux. One at a time. */
const struct sys *fault_nth(unsigned n, int error, bool *armed);

/** fault_short() - a table whose reads and writes move at most @bytes, every second one fails with
 *  EINTR. */
const struct sys *fault_short(size_t bytes);

/** fault_alloc_nth() - from now on allocation number @n (from 1) of this thread in code linked into
 *  the test program, and in the JSON library, fails and clears *@armed. */
void fault_alloc_nth(unsigned n, bool *armed);
/** fault_alloc_off() - allocations succeed again. */
void fault_alloc_off(void);

/* The same over all threads of the process, for code that works with many. */
/** fault_any() - a table of which call number @n (from 1; 0 = none) fails with @error, and with
 *  @for_ever each one after it. @error 0: reads and writes move at most one byte instead. */
const struct sys *fault_any(unsigned n, int error, bool for_ever);
/** fault_any_calls() - calls since fault_any(). */
unsigned fault_any_calls(void);
/** fault_alloc_any() - allocation number @n (from 1; 0 = none) of any thread fails, and with
 *  @for_ever each one after it, until fault_alloc_any(0, false). */
void fault_alloc_any(unsigned n, bool for_ever);
/** fault_alloc_any_calls() - allocations since fault_alloc_any(). */
unsigned fault_alloc_any_calls(void);

#endif

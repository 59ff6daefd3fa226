/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a $filter: refused with a reason, or a filter whose every term can be judged. */
#include <assert.h>
#include <stdint.h>

#include "arm/filter.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Judges by the length of the name, so that both outcomes occur. */
static int judge(void *arg, const struct filter_term *t)
{
	unsigned *n = arg;

	(*n)++;
	assert(t->name && *t->name && t->n_args <= FILTER_ARGS);
	assert(t->op == FILTER_CALL || t->n_args == 1);
	if (t->op != FILTER_CALL)
		(void) filter_compare(t, t->name);
	return strlen(t->name) % 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = calloc(1, size + 1);
	auto_filter struct filter *f = NULL;
	struct err err = ERR_INIT;
	unsigned judged = 0;
	int r;

	if (!text)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	r = filter_parse(text, &f, &err);
	assert(r == 0 || (r == -EINVAL && err.msg && err.arm && !f));
	if (r == 0) {
		int m = filter_match(f, judge, &judged);

		assert(m == 0 || m == 1);
		assert(filter_n_terms(f) >= 1 && filter_n_terms(f) <= FILTER_TERMS);
		assert(judged >= 1 && judged <= filter_n_terms(f));
		for (size_t i = 0; i < filter_n_terms(f); i++) {
			const struct filter_term *t = filter_term(f, i);
			const char *need = filter_needs(f, t->name, t->op);

			assert(!need || *need || t->n_args > 0);
		}
	}
	err_done(&err);
	return 0;
}
